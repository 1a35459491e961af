//! The options of `-o`: every one of memcached's, by one table.
//!
//! ```text
//! -o name,name=value,...        an option that takes no value ignores one, with a warning
//! ```

use std::time::Duration;

use larder::ShiftedClock;

use super::flags::Group;
use super::invocation::Draft;
use super::knobs::HashAlgorithm;
use super::tls;
use super::value::{self, Refused};

/// One option.
pub(super) struct Extended {
    pub(super) name: &'static str,
    pub(super) takes: Gives,
    pub(super) group: Group,
    pub(super) help: &'static str,
    apply: fn(&mut Draft, &str) -> Result<(), Refused>,
}

/// Whether an option has a value.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    Nothing,
    /// May have one, which this names in the help.
    Perhaps(&'static str),
    /// Needs one.
    Value(&'static str),
}

/// Executes the list of one `-o`.
pub(super) fn apply(draft: &mut Draft, list: &str) -> Result<(), Refused> {
    for option in list.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        if let Some((_, why)) = REFUSED.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            return Err(format!("{name}: {why}"));
        }
        if name == TEST_CLOCK {
            draft.launch.config.test_clock = Some(ShiftedClock::system());
            continue;
        }
        let Some(known) = OPTIONS.iter().find(|known| known.name == name) else {
            return Err(format!("{name:?}: there is no such option"));
        };
        match (known.takes, value) {
            (Value(what), None) => return Err(format!("{name} needs a value: {what}")),
            (Nothing, Some(value)) => {
                let warning = format!("-o {name} takes no value: {value:?} says nothing");
                draft.launch.warnings.push(warning);
            }
            _ => {}
        }
        (known.apply)(draft, value.unwrap_or_default())
            .map_err(|refused| format!("{name} {refused}"))?;
    }
    Ok(())
}

/// Lets clients move the server's clock: for tests, and so in no help.
const TEST_CLOCK: &str = "debug_time";

/// What a build without that part of memcached refuses as well, by the start of its name.
pub(super) const REFUSED: [(&str, &str); 1] = [("proxy_", "this server is no proxy")];

const fn option(
    name: &'static str,
    takes: Gives,
    group: Group,
    help: &'static str,
    apply: fn(&mut Draft, &str) -> Result<(), Refused>,
) -> Extended {
    Extended {
        name,
        takes,
        group,
        help,
        apply,
    }
}

/// A knob that is set.
macro_rules! knob {
    ($name:literal, $field:ident = $value:expr, $help:literal) => {
        option($name, Nothing, Knobs, $help, |draft, _| {
            draft.launch.config.knobs.$field = $value;
            Ok(())
        })
    };
}

/// A knob with a value that a function reads.
macro_rules! knob_value {
    ($name:literal, $what:literal, $field:ident = $read:expr, $help:literal) => {
        option($name, Value($what), Knobs, $help, |draft, text| {
            let read: fn(&str) -> Result<_, Refused> = $read;
            draft.launch.config.knobs.$field = read(text)?;
            Ok(())
        })
    };
}

/// The same, of values on flash.
macro_rules! disk_value {
    ($name:literal, $what:literal, $field:ident = $read:expr, $help:literal) => {
        option($name, Value($what), Disks, $help, |draft, text| {
            let read: fn(&str) -> Result<_, Refused> = $read;
            draft.launch.config.knobs.$field = read(text)?;
            Ok(())
        })
    };
}

use Gives::{Nothing, Perhaps, Value};
use Group::{Connections, Disks, Knobs, Listening, Memory, Process};

/// What memcached keeps in a signed 32-bit number, or in 32 bits.
const I32_MAX: u32 = i32::MAX as u32;

#[rustfmt::skip] // A table: what it says of an option stands together.
pub(super) static OPTIONS: &[Extended] = &[
    option("ssl_chain_cert", Value("<file>"), Listening,
        "the server's certificate, and those that vouch for it, in PEM",
        |draft, text| {
            draft.launch.config.tls.chain_cert = Some(text.into());
            Ok(())
        }),
    option("ssl_key", Value("<file>"), Listening,
        "its private key, if it is not in the file of the certificate",
        |draft, text| {
            draft.launch.config.tls.key = Some(text.into());
            Ok(())
        }),
    option("ssl_keyformat", Value("<num>"), Listening, "1 for PEM, 2 for DER (default: 1)",
        |draft, text| {
            draft.launch.config.tls.key_format = tls::key_format(text)?;
            Ok(())
        }),
    option("ssl_verify_mode", Value("<num>"), Listening,
        "certificates of clients: 0 none, 1 asked for, 2 or 3 needed\n\
         (default: 0)",
        |draft, text| {
            draft.launch.config.tls.verify = tls::verify_mode(text)?;
            Ok(())
        }),
    option("ssl_ca_cert", Value("<file>"), Listening,
        "who vouches for clients, in PEM",
        |draft, text| {
            draft.launch.config.tls.ca_cert = Some(text.into());
            Ok(())
        }),
    option("ssl_ciphers", Value("<list>"), Listening,
        "cipher suites of TLS 1.2 by OpenSSL's names (default: all)",
        |draft, text| {
            draft.launch.config.tls.ciphers = Some(text.to_owned());
            Ok(())
        }),
    option("ssl_min_version", Value("<num>"), Listening,
        "2 for TLS 1.2, 3 for TLS 1.3 (default: 2)",
        |draft, text| {
            draft.launch.config.tls.min_version = tls::version(text)?;
            Ok(())
        }),
    option("ssl_session_cache", Nothing, Listening,
        "let clients resume what they negotiated before",
        |draft, _| {
            draft.launch.config.tls.session_cache = true;
            Ok(())
        }),
    option("ssl_wbuf_size", Value("<KiB>"), Listening,
        "as much of a reply is encrypted before it is sent (default: 16)",
        |draft, text| {
            let kibibytes: usize = value::number(text, 1..=16_384)?;
            draft.launch.config.tls.write_bytes = kibibytes << 10;
            Ok(())
        }),
    option("ssl_kernel_tls", Nothing, Listening,
        "refused: the kernel is left out of it",
        |draft, _| {
            draft.kernel_tls = true;
            Ok(())
        }),
    option("maxconns_fast", Nothing, Connections,
        "tell a connection beyond -c so and close it (default)",
        |draft, _| {
            draft.launch.config.refuses_connections = true;
            Ok(())
        }),
    option("no_maxconns_fast", Nothing, Connections,
        "let connections beyond -c wait until another closes",
        |draft, _| {
            draft.launch.config.refuses_connections = false;
            Ok(())
        }),
    option("idle_timeout", Value("<s>"), Connections,
        "close TCP connections that are idle for so long (default: 0, never)",
        |draft, text| {
            let seconds = value::number(text, 0..=I32_MAX)?;
            draft.launch.config.idle_timeout = Duration::from_secs(u64::from(seconds));
            Ok(())
        }),
    option("read_buf_mem_limit", Value("<MiB>"), Connections,
        "bytes that connections hold together of unfinished requests and\n\
         untaken replies (default: 0, which means 64)",
        |draft, text| {
            let mebibytes = value::number(text, 0..=4095_u32)?;
            draft.launch.config.knobs.read_buffer_bytes = mebibytes << 20;
            if mebibytes > 0 {
                draft.launch.config.buffer_bytes_max = (mebibytes as usize) << 20;
            }
            Ok(())
        }),
    option("sock_cookie_id", Value("<num>"), Connections,
        "mark listening sockets for packet filters (default: 0)",
        |draft, text| {
            draft.launch.config.socket_mark = value::number(text, 0..=u32::MAX)?;
            Ok(())
        }),
    option("watcher_logbuf_size", Value("<KiB>"), Connections,
        "log lines that wait for one watching connection (default: 256)",
        |draft, text| {
            let kibibytes = value::number(text, 1..=4_194_303_usize)?;
            draft.launch.config.watcher_bytes_max = kibibytes << 10;
            Ok(())
        }),
    option("pin_workers", Nothing, Process,
        "keep each worker on one of the processors that the server may use",
        |draft, _| {
            draft.launch.config.pins_workers = true;
            Ok(())
        }),
    option("no_largepages", Nothing, Memory,
        "do not ask for huge memory pages",
        |draft, _| {
            draft.launch.config.huge_pages = Some(false);
            Ok(())
        }),
    option("track_sizes", Nothing, Memory,
        "let stats sizes look at every item",
        |draft, _| {
            draft.launch.config.tracks_sizes = true;
            Ok(())
        }),
    option("lru_crawler", Nothing, Memory, "let lru_crawler walk the items (default)",
        |draft, _| {
            draft.launch.config.knobs.lru_crawler = true;
            Ok(())
        }),
    option("no_lru_crawler", Nothing, Memory,
        "refuse lru_crawler crawl, metadump and mgdump",
        |draft, _| {
            draft.launch.config.knobs.lru_crawler = false;
            Ok(())
        }),
    option("no_modern", Nothing, Connections,
        "as memcached 1.4: no_maxconns_fast, no_lru_crawler, and of what has no\n\
         effect no_slab_reassign, no_slab_automove, no_lru_maintainer and jenkins",
        |draft, _| {
            let config = &mut draft.launch.config;
            config.refuses_connections = false;
            let knobs = &mut config.knobs;
            knobs.slab_chunk_bytes_max.get_or_insert(super::knobs::SLAB_PAGE_BYTES);
            (knobs.slab_reassign, knobs.slab_automove) = (false, 0);
            (knobs.lru_segmented, knobs.lru_crawler, knobs.lru_maintainer) = (false, false, false);
            knobs.hash_algorithm = HashAlgorithm::Jenkins;
            Ok(())
        }),
    knob_value!("hashpower", "<num>", hash_power = |text| value::number(text, 12..=32_u32),
        "start of the hash table, 12 to 32 (default: 16)"),
    option("no_hashexpand", Nothing, Knobs, "a hash table that does not grow", |_, _| Ok(())),
    knob_value!("hash_algorithm", "<name>", hash_algorithm = |text| match text {
            "jenkins" => Ok(HashAlgorithm::Jenkins),
            "murmur3" => Ok(HashAlgorithm::Murmur3),
            "xxh3" => Ok(HashAlgorithm::Xxh3),
            _ => Err(format!("takes jenkins, murmur3 or xxh3, not {text:?}")),
        },
        "jenkins, murmur3 or xxh3 (default: murmur3)"),
    knob!("slab_reassign", slab_reassign = true, "move slab pages (default)"),
    knob!("no_slab_reassign", slab_reassign = false, "move no slab pages"),
    option("slab_automove", Perhaps("0|1|2"), Knobs, "move slab pages unasked (default: 1)",
        |draft, text| {
            let level = if text.is_empty() { 1 } else { value::number(text, 0..=2_u32)? };
            draft.launch.config.knobs.slab_automove = level;
            Ok(())
        }),
    knob!("no_slab_automove", slab_automove = 0, "as slab_automove=0"),
    knob_value!("slab_automove_ratio", "<num>",
        slab_automove_ratio = |text| value::float(text, "above 0, up to 1", |f| f > 0.0 && f <= 1.0),
        "age ratio that moves pages (default: 0.8)"),
    knob_value!("slab_automove_window", "<s>",
        slab_automove_window = |text| value::number(text, 3..=1800_u32),
        "3 to 1800 (default: 10)"),
    knob_value!("slab_automove_freeratio", "<num>",
        slab_automove_freeratio = |text| value::float(text, "of 0 or more", |f| f >= 0.0),
        "memory held free (default: 0.01)"),
    option("slab_chunk_max", Value("<KiB>"), Knobs,
        "largest chunk, 1 to 1024 (default: 512)",
        |draft, text| {
            let kibibytes: usize = value::number(text, 1..=1024)?;
            draft.launch.config.knobs.slab_chunk_bytes_max = Some(kibibytes << 10);
            Ok(())
        }),
    option("no_chunked_items", Nothing, Knobs, "as slab_chunk_max=1024",
        |draft, _| {
            draft.launch.config.knobs.slab_chunk_bytes_max = Some(super::knobs::SLAB_PAGE_BYTES);
            Ok(())
        }),
    option("slab_sizes", Value("<a-b-c>"), Knobs, "chunk sizes, ascending",
        |draft, text| {
            draft.slab_sizes = Some(text.to_owned());
            Ok(())
        }),
    knob_value!("tail_repair_time", "<s>",
        tail_repair_time = |text| value::number(text, 10..=I32_MAX),
        "10 or more (default: off)"),
    knob_value!("lru_crawler_sleep", "<us>",
        lru_crawler_sleep = |text| value::number(text, 0..=1_000_000_u32),
        "0 to 1000000 (default: 100)"),
    knob_value!("lru_crawler_tocrawl", "<num>",
        lru_crawler_tocrawl = |text| value::number(text, 0..=u32::MAX),
        "items a run (default: 0, all)"),
    option("lru_maintainer", Nothing, Knobs, "several lists (default)",
        |draft, _| {
            let knobs = &mut draft.launch.config.knobs;
            (knobs.lru_maintainer, knobs.lru_segmented) = (true, true);
            Ok(())
        }),
    option("no_lru_maintainer", Nothing, Knobs, "one list",
        |draft, _| {
            let knobs = &mut draft.launch.config.knobs;
            (knobs.lru_maintainer, knobs.lru_segmented) = (false, false);
            Ok(())
        }),
    knob_value!("hot_lru_pct", "<num>", hot_lru_pct = |text| value::number(text, 1..=79_u32),
        "share of the hot list, 1 to 79 (default: 20)"),
    knob_value!("warm_lru_pct", "<num>", warm_lru_pct = |text| value::number(text, 1..=79_u32),
        "share of the warm list; with the hot one at most 80 (default: 40)"),
    knob_value!("hot_max_factor", "<num>",
        hot_max_factor = |text| value::float(text, "above 0", |f| f > 0.0),
        "age in the hot list (default: 0.2)"),
    knob_value!("warm_max_factor", "<num>",
        warm_max_factor = |text| value::float(text, "above 0", |f| f > 0.0),
        "age in the warm list (default: 2.0)"),
    option("temporary_ttl", Value("<s>"), Knobs,
        "a list for short lifetimes (default: off, 61)",
        |draft, text| {
            let knobs = &mut draft.launch.config.knobs;
            (knobs.temp_lru, knobs.temporary_ttl) = (true, value::number(text, 0..=I32_MAX)?);
            Ok(())
        }),
    knob_value!("worker_logbuf_size", "<KiB>",
        worker_log_bytes = |text| value::number(text, 0..=4_194_303_u32).map(|kib| kib << 10),
        "log buffer of a thread (default: 64)"),
    option("modern", Nothing, Knobs, "nothing, as in memcached", |_, _| Ok(())),
    option("inline_ascii_resp", Nothing, Knobs, "nothing, as in memcached", |_, _| Ok(())),
    option("no_inline_ascii_resp", Nothing, Knobs, "nothing, as in memcached", |_, _| Ok(())),
    option("resp_obj_mem_limit", Perhaps("<MiB>"), Knobs, "nothing, as in memcached",
        |draft, _| {
            let warning = "-o resp_obj_mem_limit is deprecated: see read_buf_mem_limit";
            draft.launch.warnings.push(warning.to_owned());
            Ok(())
        }),
    knob!("drop_privileges", drop_privileges = true, "no system calls but those needed"),
    knob!("no_drop_privileges", drop_privileges = false, "any system calls (default)"),
    option("relaxed_privileges", Nothing, Knobs, "for memcached's tests", |_, _| Ok(())),
    option("ext_path", Value("<file:size>"), Disks,
        "keep values there that memory has no room for: a file or device, its\n\
         size in m, g, t or p, and perhaps :compact, :lowttl, :chunked, :coldcompact\n\
         or :old; may be given several times. What is in it is lost",
        |draft, text| {
            draft.launch.config.flash.files.push(super::flash::file(text)?);
            Ok(())
        }),
    option("ext_page_size", Value("<MiB>"), Disks, "what is given up at a time (default: 64)",
        |draft, text| {
            let mebibytes: u64 = value::number(text, 0..=4095)?;
            draft.launch.config.flash.page_bytes = mebibytes << 20;
            Ok(())
        }),
    disk_value!("ext_wbuf_size", "<MiB>",
        ext_wbuf_size = |text| value::number(text, 0..=4095_u32).map(|mib| mib << 20),
        "what is written at a time, at the most; -I is no larger (default: 4)"),
    option("ext_threads", Value("<num>"), Disks, "threads that read (default: 1)",
        |draft, text| {
            draft.launch.config.flash.threads = value::number(text, 0..=256_u32)?;
            Ok(())
        }),
    option("ext_io_depth", Value("<num>"), Disks, "reads that one takes at a time (default: 1)",
        |draft, text| {
            draft.launch.config.flash.io_depth = value::number(text, 0..=u32::MAX)?;
            Ok(())
        }),
    disk_value!("ext_item_size", "<num>", ext_item_size = |text| value::number(text, 0..=u32::MAX),
        "least bytes of an item whose value goes there (default: 512)"),
    disk_value!("ext_item_age", "<s>", ext_item_age = |text| value::number(text, 0..=u32::MAX),
        "one that is idle for so long goes in any case (default: never)"),
    disk_value!("ext_low_ttl", "<s>", ext_low_ttl = |text| value::number(text, 0..=u32::MAX),
        "shorter lifetimes have pages of their own (default: 0)"),
    disk_value!("ext_recache_rate", "<num>",
        ext_recache_rate = |text| value::number(text, 0..=u32::MAX),
        "of reads of what is in use, every such comes back (default: 2000)"),
    disk_value!("ext_compact_under", "<num>",
        ext_compact_under = |text| value::number(text, 0..=u32::MAX),
        "with so few free pages, empty one that is mostly dead\n\
         (default: 0, a hundredth of the first file's)"),
    disk_value!("ext_drop_under", "<num>",
        ext_drop_under = |text| value::number(text, 0..=u32::MAX),
        "with so few, empty the oldest (default: 0, a hundredth)"),
    disk_value!("ext_max_sleep", "<us>",
        ext_max_sleep = |text| value::number(text, 0..=u32::MAX),
        "how long what writes sleeps at the most (default: 1000000)"),
    disk_value!("ext_max_frag", "<num>",
        ext_max_frag = |text| value::float(text, "of 0 or more", |f| f >= 0.0),
        "living part of a page below which it is mostly dead (default: 0.80)"),
    option("ext_drop_unread", Nothing, Disks,
        "what was not read since it was written goes with the oldest page",
        |draft, _| {
            draft.launch.config.knobs.ext_drop_unread = true;
            Ok(())
        }),
];
