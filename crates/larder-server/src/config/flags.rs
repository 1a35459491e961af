//! The flags: every one of memcached's, by one table that parser, help and tests share.

use super::invocation::{Draft, EXIT_ERROR, EXIT_OS, EXIT_USAGE};
use super::value::{self, Refused};
use super::{Listen, Protocol, THREADS_MAX, extended};

/// One flag.
pub(super) struct Flag {
    pub(super) short: char,
    /// Empty for a flag without a long name.
    pub(super) long: &'static str,
    pub(super) takes: Takes,
    pub(super) group: Group,
    /// Lines for the help; what they say of the default is memcached's as well.
    pub(super) help: &'static str,
    /// What a refused value exits with.
    pub(super) exit_code: u8,
    pub(super) apply: fn(&mut Draft, &str) -> Result<(), Refused>,
}

/// Whether a flag has a value.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    /// May have one, which says nothing.
    Ignored,
    /// Needs one; this names it in the help.
    Value(&'static str),
}

/// Where the help shows a flag or an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Listening,
    Connections,
    Memory,
    Disks,
    Commands,
    Process,
    Information,
    /// Accepted, shown by `stats settings`, without an effect.
    Knobs,
}

impl Flag {
    pub(super) fn has_long(&self, long: &str) -> bool {
        !self.long.is_empty() && self.long == long
    }
}

const fn flag(
    short: char,
    long: &'static str,
    takes: Takes,
    group: Group,
    help: &'static str,
    apply: fn(&mut Draft, &str) -> Result<(), Refused>,
) -> Flag {
    Flag {
        short,
        long,
        takes,
        group,
        help,
        exit_code: EXIT_ERROR,
        apply,
    }
}

impl Flag {
    const fn exits(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self
    }
}

use Group::{Commands, Connections, Information, Knobs, Listening, Memory, Process};
use Takes::{Ignored, Nothing, Value};

#[rustfmt::skip] // A table: what it says of a flag stands together.
pub(super) static FLAGS: &[Flag] = &[
    flag('p', "port", Value("<num>"), Listening,
        "TCP port (default: 11211; 0 for none, -1 for any that is free)",
        |draft, text| {
            let port = value::port(text)?;
            draft.port_given = true;
            draft.launch.config.tcp = port.is_some();
            draft.launch.config.port = port.unwrap_or_default();
            Ok(())
        }).exits(EXIT_USAGE),
    flag('U', "udp-port", Value("<num>"), Listening,
        "UDP port (default: 0, off; -1 for any that is free)",
        |draft, text| {
            draft.launch.config.udp_port = value::port(text)?;
            Ok(())
        }).exits(EXIT_USAGE),
    flag('l', "listen", Value("<addr>"), Listening,
        "address to listen on, or several with commas between; may be repeated:\n\
         host, host:port, [v6]:port, * for all; in front, if wanted,\n\
         proto[ascii|binary|negotiating]: and tag[name]: (1 to 8 characters);\n\
         with -Z also notls: (plain), btls: (TLS, clients need no certificate)\n\
         or mtls: (TLS, clients need one), before the others\n\
         (default: 127.0.0.1 as larderd, all addresses as memcached)",
        |draft, text| {
            for address in text.split([',', ';']).map(str::trim).filter(|a| !a.is_empty()) {
                Listen::parse(address)?;
                if !draft.listen.iter().any(|known| known == address) {
                    draft.listen.push(address.to_owned());
                }
            }
            Ok(())
        }).exits(EXIT_OS),
    flag('s', "unix-socket", Value("<file>"), Listening,
        "listen on this Unix socket, and on no address",
        |draft, text| {
            draft.launch.config.unix_socket = Some(text.into());
            Ok(())
        }),
    flag('a', "unix-mask", Value("<mask>"), Listening,
        "permissions of the Unix socket, in octal (default: 700)",
        |draft, text| {
            draft.launch.config.unix_mode = value::mode(text)?;
            Ok(())
        }),
    flag('B', "protocol", Value("<name>"), Listening,
        "ascii, binary or auto (default: auto, by the first byte)",
        |draft, text| {
            draft.protocol_given = true;
            draft.launch.config.protocol = match text {
                "auto" => Protocol::Auto,
                "ascii" => Protocol::Ascii,
                "binary" => Protocol::Binary,
                _ => return Err(format!("takes ascii, binary or auto, not {text:?}")),
            };
            Ok(())
        }).exits(EXIT_USAGE),
    flag('b', "listen-backlog", Value("<num>"), Listening,
        "connections that may wait to be accepted (default: 1024)",
        |draft, text| {
            draft.launch.config.backlog = value::number(text, 0..=i32::MAX)?;
            Ok(())
        }),
    flag('Z', "enable-ssl", Nothing, Listening,
        "speak TLS on TCP; needs -o ssl_chain_cert",
        |draft, _| {
            draft.launch.config.tls.enabled = true;
            Ok(())
        }),
    flag('c', "conn-limit", Value("<num>"), Connections,
        "most connections at a time (default: 1024)",
        |draft, text| {
            draft.launch.config.connections_max = value::number(text, 1..=i32::MAX as usize)?;
            Ok(())
        }),
    flag('t', "threads", Value("<num>"), Connections,
        "worker threads (default: 4)",
        |draft, text| {
            draft.launch.config.threads = value::number(text, 1..=THREADS_MAX)?;
            Ok(())
        }),
    flag('m', "memory-limit", Value("<num>"), Memory,
        "memory for items and index, in megabytes, or with m or g behind it\n\
         (default: 64)",
        |draft, text| {
            let mebibytes = value::mebibytes(text, larder::LIMIT_BYTES_MAX >> 20)?;
            draft.launch.memory_bytes = mebibytes << 20;
            Ok(())
        }).exits(EXIT_USAGE),
    flag('M', "disable-evictions", Nothing, Memory,
        "refuse what does not fit instead of evicting",
        |draft, _| {
            draft.launch.config.evicts = false;
            Ok(())
        }),
    flag('I', "max-item-size", Value("<num>"), Memory,
        "largest item, in bytes, or with k, m or g behind it\n\
         (default: 1m; 1k to 1024m, and at most half of -m)",
        |draft, text| {
            draft.launch.config.item_bytes_max = value::bytes(text, 1024..=1 << 30)?;
            Ok(())
        }).exits(EXIT_USAGE),
    flag('k', "lock-memory", Nothing, Memory,
        "keep the memory in use from being swapped (a failure is a warning)",
        |draft, _| {
            draft.launch.process.locks_memory = true;
            Ok(())
        }),
    flag('L', "enable-largepages", Nothing, Memory,
        "ask for huge memory pages however little memory there is, and warn if\n\
         the system has none (default: ask from -m 64 on)",
        |draft, _| {
            draft.launch.config.huge_pages = Some(true);
            Ok(())
        }),
    flag('e', "memory-file", Value("<file>"), Memory,
        "keep the items in this file from SIGUSR1 or shutdown graceful to the\n\
         next start; best in memory, as in /dev/shm",
        |draft, text| {
            if text.is_empty() {
                return Err("takes a file, not nothing".to_owned());
            }
            draft.launch.config.memory_file = Some(text.into());
            Ok(())
        }),
    flag('A', "enable-shutdown", Nothing, Commands,
        "let clients end the server by the command shutdown",
        |draft, _| {
            draft.launch.process.allows_shutdown = true;
            Ok(())
        }),
    flag('F', "disable-flush-all", Nothing, Commands, "refuse flush_all",
        |draft, _| {
            draft.launch.config.allows_flush = false;
            Ok(())
        }),
    flag('X', "disable-dumping", Nothing, Commands,
        "refuse stats cachedump, stats detail, lru_crawler metadump and mgdump",
        |draft, _| {
            draft.launch.config.allows_dump = false;
            Ok(())
        }),
    flag('W', "disable-watch", Nothing, Commands, "refuse watch",
        |draft, _| {
            draft.launch.config.allows_watch = false;
            Ok(())
        }),
    flag('C', "disable-cas", Nothing, Commands,
        "show no cas uniques and compare none (memory is the same)",
        |draft, _| {
            draft.launch.config.cas = false;
            Ok(())
        }),
    flag('D', "", Value("<char>"), Commands,
        "what ends a key's prefix (default: :), and turn stats detail on",
        |draft, text| {
            let delimiter = text.bytes().next().ok_or("takes a character, not nothing")?;
            draft.launch.config.prefix_delimiter = delimiter;
            draft.launch.config.counts_prefixes = true;
            Ok(())
        }),
    flag('S', "enable-sasl", Nothing, Commands,
        "binary connections must authenticate by SASL PLAIN, by one of the\n\
         user:password lines of -Y's file or of MEMCACHED_SASL_PWDB",
        |draft, _| {
            draft.launch.config.sasl = true;
            Ok(())
        }),
    flag('Y', "auth-file", Value("<file>"), Commands,
        "text connections must authenticate by one of the user:password lines of\n\
         this file, which SIGHUP has read again",
        |draft, text| {
            draft.launch.config.auth_file = Some(text.into());
            Ok(())
        }),
    flag('d', "daemon", Nothing, Process, "go on in the background",
        |draft, _| {
            draft.launch.process.daemon = true;
            Ok(())
        }),
    flag('P', "pidfile", Value("<file>"), Process,
        "write the process id there (with -d it is removed at the end)",
        |draft, text| {
            draft.launch.process.pid_file = Some(text.into());
            Ok(())
        }),
    flag('u', "user", Value("<user>"), Process,
        "become this user if started by root (as memcached, root must say so)",
        |draft, text| {
            draft.launch.process.user = Some(text.to_owned());
            Ok(())
        }),
    flag('r', "enable-coredumps", Nothing, Process, "allow core dumps of any size",
        |draft, _| {
            draft.launch.process.core_dumps = true;
            Ok(())
        }),
    flag('v', "verbose", Ignored, Process,
        "say more on stderr: -v events, -vv commands, -vvv everything",
        |draft, _| {
            draft.launch.config.verbosity += 1;
            Ok(())
        }),
    flag('h', "help", Nothing, Information, "print this",
        |draft, _| {
            draft.help();
            Ok(())
        }),
    flag('V', "version", Nothing, Information, "print the version",
        |draft, _| {
            draft.version();
            Ok(())
        }),
    flag('i', "license", Nothing, Information, "print the license",
        |draft, _| {
            draft.license();
            Ok(())
        }),
    flag('R', "max-reqs-per-event", Value("<num>"), Connections,
        "requests of one connection before others get their turn (default: 500; memcached's is 20)",
        |draft, text| {
            draft.launch.config.requests_per_turn = value::number(text, 1..=i32::MAX as u32)?;
            Ok(())
        }),
    flag('f', "slab-growth-factor", Value("<num>"), Knobs,
        "ratio of chunk sizes (default: 1.25)",
        |draft, text| {
            draft.launch.config.knobs.growth_factor = value::float(text, "above 1", |f| f > 1.0)?;
            Ok(())
        }),
    flag('n', "slab-min-size", Value("<bytes>"), Knobs,
        "least space for key, value and flags (default: 48)",
        |draft, text| {
            draft.launch.config.knobs.chunk_bytes_min = value::number(text, 1..=i32::MAX as u32)?;
            Ok(())
        }),
    flag('N', "napi-ids", Value("<num>"), Knobs,
        "workers by network queue (default: 0; here in turn)",
        |draft, text| {
            draft.launch.config.knobs.napi_ids = value::number(text, 1..=i32::MAX as u32)?;
            Ok(())
        }),
    flag('o', "extended", Value("<list>"), Information,
        "options below, with commas between them; may be repeated",
        extended::apply),
];
