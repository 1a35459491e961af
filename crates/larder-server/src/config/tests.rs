//! Command lines: what they come to, and what is said of wrong ones.

use std::ffi::OsString;
use std::time::Duration;

use super::extended::{Gives, OPTIONS, REFUSED};
use super::flags::{FLAGS, Takes};
use super::*;

fn parse_as(name: &str, line: &str) -> Result<Invocation, UsageError> {
    let args = std::iter::once(name).chain(line.split_whitespace());
    Invocation::from_args(args.map(OsString::from))
}

fn launch(line: &str) -> Launch {
    match parse_as("larderd", line) {
        Ok(Invocation::Serve(launch)) => *launch,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn short_and_long_flags_say_the_same() {
    let long = "--port=1 --listen=a,b:2 --listen [::1]:3 --memory-limit=100 --conn-limit 7 \
                --threads 2 --max-item-size=2m --verbose --verbose=1 --unix-socket /s --unix-mask 755 \
                --disable-evictions --enable-shutdown --disable-flush-all --daemon --pidfile /p";
    let short = "-p1 -l a;b:2 -l [::1]:3 -m 100 -c7 -t 2 -I 2m -vv -s /s -a 755 -MAFd -P/p";
    assert_eq!(
        format!("{:?}", launch(long)),
        format!("{:?}", launch(short))
    );
    let launch = launch(short);
    let config = &launch.config;
    assert_eq!(config.listen, ["a", "b:2", "[::1]:3"]);
    assert_eq!(
        (config.port, config.connections_max, config.threads),
        (1, 7, 2)
    );
    assert_eq!(
        (config.item_bytes_max, launch.memory_bytes),
        (2 << 20, 100 << 20)
    );
    assert_eq!((config.unix_mode, config.verbosity), (0o755, 2));
    assert!(!config.evicts && !config.allows_flush);
    assert!(launch.process.allows_shutdown && launch.process.daemon);
}

#[test]
fn long_names_may_be_shortened_while_they_stay_unambiguous() {
    assert_eq!(launch("--memory-l 100 --por 5").memory_bytes, 100 << 20);
    let error = parse_as("larderd", "--disable-c").map(drop);
    assert!(error.is_ok());
    let error = parse_as("larderd", "--disable").unwrap_err().to_string();
    assert!(error.contains("ambiguous"), "{error}");
}

#[test]
fn ports_can_be_none_or_any() {
    let config = launch("-p -1").config;
    assert_eq!((config.tcp, config.port), (true, 0));
    let config = launch("-p 0 -U 5").config;
    assert_eq!((config.tcp, config.udp_port), (false, Some(5)));
    // Without -p, TCP has the port of -U.
    let config = launch("-U 5").config;
    assert_eq!(
        (config.tcp, config.port, config.udp_port),
        (true, 5, Some(5))
    );
    assert_eq!(launch("-U 0").config.udp_port, None);
    // As in memcached, nothing to listen on is no mistake.
    assert_eq!(launch("-p 0").warnings.len(), 1);
}

#[test]
fn extended_options_are_lists_that_repeat() {
    let launch = launch(
        "-o modern,no_maxconns_fast,idle_timeout=5 -o slab_automove=2,hash_algorithm=jenkins \
         -o read_buf_mem_limit=8,track_sizes,watcher_logbuf_size=64,slab_sizes=64-128-256",
    );
    let config = &launch.config;
    assert!(!config.refuses_connections && config.tracks_sizes);
    assert_eq!(config.idle_timeout, Duration::from_secs(5));
    assert_eq!(config.knobs.slab_automove, 2);
    assert_eq!(config.knobs.hash_algorithm, HashAlgorithm::Jenkins);
    assert_eq!(
        (config.buffer_bytes_max, config.watcher_bytes_max),
        (8 << 20, 64 << 10)
    );
    assert!(launch.warnings.is_empty());
    let odd = self::launch("-o maxconns_fast=yes");
    assert_eq!(odd.warnings.len(), 1, "{:?}", odd.warnings);
}

#[test]
fn defaults_are_memcacheds_but_for_the_address() {
    let ours = launch("");
    assert_eq!(ours.config.listen, ["127.0.0.1"]);
    let Ok(Invocation::Serve(theirs)) = parse_as("/usr/bin/memcached", "") else {
        panic!();
    };
    assert_eq!(theirs.config.listen, ["*"]);
    let Ok(Invocation::Version(version)) = parse_as("memcached", "-V") else {
        panic!();
    };
    assert_eq!(version, "memcached 1.6.45\n");
    assert_eq!(ours.memory_bytes, 64 << 20);
    assert_eq!(ours.config.knobs, Knobs::default());
    for (name, help) in [("larderd", "larderd "), ("memcached", "memcached 1.6.45")] {
        let Ok(Invocation::Help(text)) = parse_as(name, "-h --nonsense") else {
            panic!();
        };
        assert!(text.starts_with(help), "{text}");
    }
    let Ok(Invocation::License(text)) = parse_as("larderd", "-i") else {
        panic!();
    };
    assert!(text.contains("MIT"));
}

#[test]
fn authentication_decides_the_protocol() {
    assert_eq!(launch("-Y /f").config.protocol, Protocol::Ascii);
    assert_eq!(launch("-S").config.protocol, Protocol::Binary);
    assert_eq!(launch("-S -Y /f").config.protocol, Protocol::Binary);
    assert_eq!(launch("-B binary").config.protocol, Protocol::Binary);
}

#[test]
fn mistakes_name_the_flag_and_have_memcacheds_exit_codes() {
    for (line, word, exit_code) in [
        ("-p 65536", "-p", 64),
        ("-p x", "-p", 64),
        ("-p -2", "-p", 64),
        ("-U 70000", "-U", 64),
        ("-m 0", "-m", 64),
        ("-m 64x", "-m", 64),
        ("-m 1 -I 1m", "-I", 64),
        ("-c 0", "-c", 1),
        ("-t 0", "-t", 1),
        ("-t 257", "256", 1),
        ("-R 0", "-R", 1),
        ("-f 1", "-f", 1),
        ("-n 0", "-n", 1),
        ("-N 0", "-N", 1),
        ("-N 5", "-N", 64),
        ("-b x", "-b", 1),
        ("-a 9", "-a", 1),
        ("-B http", "-B", 64),
        ("-I 10", "-I", 64),
        ("-I 2g", "-I", 64),
        ("-l host:x", "host:x", 71),
        ("-l mtls:host", "TLS", 71),
        ("-l proto[binary]:a -Y /f", "-Y", 64),
        ("-B auto -Y /f", "-B", 64),
        ("-B ascii -S", "-B", 64),
        ("-S -U 5", "-U", 64),
        ("-Y /f -U 5", "-U", 64),
        ("-Z -p 0", "-Z", 64),
        ("-Z -o ssl_kernel_tls", "ssl_kernel_tls", 64),
        ("-e", "-e", 1),
        ("-t", "-t", 1),
        ("-x", "-x", 1),
        ("--unknown", "--unknown", 1),
        ("stray", "stray", 1),
        ("-o nonsense", "nonsense", 1),
        ("-o hashpower", "hashpower", 1),
        ("-o hashpower=11", "hashpower", 1),
        ("-o hash_algorithm=md5", "hash_algorithm", 1),
        ("-o slab_automove=3", "slab_automove", 1),
        ("-o slab_automove_window=2", "slab_automove_window", 1),
        ("-o slab_automove_ratio=0", "slab_automove_ratio", 1),
        ("-o slab_sizes=128-64", "slab_sizes", 64),
        ("-o slab_chunk_max=2000", "slab_chunk_max", 1),
        ("-o slab_chunk_max=1024 -I 1000k", "slab_chunk_max", 64),
        ("-o lru_crawler_sleep=1000001", "lru_crawler_sleep", 1),
        ("-o hot_lru_pct=80", "hot_lru_pct", 1),
        ("-o hot_lru_pct=50", "hot_lru_pct", 64),
        ("-o temporary_ttl=5,no_lru_maintainer", "temporary_ttl", 64),
        ("-o tail_repair_time=9", "tail_repair_time", 1),
        ("-o idle_timeout=-1", "idle_timeout", 1),
        ("-o ssl_key", "ssl_key", 1),
        ("-o ssl_min_version=1", "ssl_min_version", 1),
        ("-o ssl_min_version=4", "ssl_min_version", 1),
        ("-o ssl_verify_mode=4", "ssl_verify_mode", 1),
        ("-o ssl_keyformat=3", "ssl_keyformat", 1),
        ("-o ssl_wbuf_size=0", "ssl_wbuf_size", 1),
        ("-o proxy_config=/f", "proxy_config", 1),
    ] {
        assert_mistake(line, word, exit_code);
    }
}

#[test]
fn tls_is_asked_for_and_set_apart() {
    let line = "-Z -l notls:a,mtls:b:1 -o ssl_chain_cert=/c,ssl_key=/k,ssl_keyformat=2 \
                -o ssl_verify_mode=1,ssl_ca_cert=/a,ssl_ciphers=HIGH:!AES128,ssl_min_version=3 \
                -o ssl_session_cache,ssl_wbuf_size=64";
    let asked = launch(line);
    assert!(asked.warnings.is_empty(), "{:?}", asked.warnings);
    let tls = &asked.config.tls;
    assert!(tls.enabled && tls.session_cache);
    assert_eq!(tls.key_format, KeyFormat::Der);
    assert_eq!(tls.verify, VerifyMode::Request);
    assert_eq!(tls.min_version, TlsVersion::V1_3);
    assert_eq!(tls.ciphers.as_deref(), Some("HIGH:!AES128"));
    assert_eq!(tls.write_bytes, 64 << 10);
    // Without -Z all of it is idle, which is odd; nobody vouches for clients without ssl_ca_cert.
    for line in ["-o ssl_key=/k", "-Z -l mtls:a", "-Z -o ssl_verify_mode=2"] {
        assert_eq!(launch(line).warnings.len(), 1, "{line}");
    }
    assert!(
        launch("-Z -o ssl_verify_mode=2 -l btls:a,notls:b")
            .warnings
            .is_empty()
    );
}

#[test]
fn mistakes_about_values_on_flash_do_too() {
    for (line, word, exit_code) in [
        ("-o ext_path=/f", "ext_path", 1),
        ("-o ext_path=/f:5", "ext_path", 1),
        ("-o ext_path=/f:1GB", "ext_path", 1),
        ("-o ext_path=/f:5g:no", "ext_path", 1),
        ("-o ext_path=/f:0m", "ext_path", 64),
        ("-o ext_path=/f:63m", "ext_path", 64),
        ("-o ext_path=/f:5g -U 11211", "-U", 64),
        ("-m 100 -I 5m -o ext_path=/f:5g", "ext_wbuf_size", 64),
        ("-o ext_path=/f:5g,ext_wbuf_size=3", "ext_wbuf_size", 64),
        (
            "-o ext_path=/f:5g,ext_page_size=3,ext_wbuf_size=1",
            "ext_page_size",
            64,
        ),
        ("-o ext_path=/f:5g,ext_threads=0", "ext_threads", 64),
        ("-o ext_path=/f:5g -M", "-M", 64),
        ("-o ext_path=/f:5g -e /f", "-e", 64),
    ] {
        assert_mistake(line, word, exit_code);
    }
}

fn assert_mistake(line: &str, word: &str, exit_code: u8) {
    let error = match parse_as("larderd", line) {
        Err(error) => error,
        Ok(done) => panic!("{line}: {done:?}"),
    };
    assert!(error.to_string().contains(word), "{line}: {error}");
    assert_eq!(error.exit_code(), exit_code, "{line}: {error}");
}

/// docs/compatibility.md has a row for each flag and option, and none for others.
#[test]
fn every_flag_is_in_the_help_and_in_the_document() {
    let Ok(Invocation::Help(help)) = parse_as("larderd", "--help") else {
        panic!();
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
    let document = std::fs::read_to_string(path).unwrap();
    for flag in FLAGS {
        let named = match (flag.long, flag.takes) {
            ("", _) => format!("-{} ", flag.short),
            (long, _) => format!("-{}, --{long}", flag.short),
        };
        assert!(help.contains(&named), "{named} in the help");
        assert!(
            document.contains(&format!("| `{}` |", named.trim())),
            "{named} in the document"
        );
        assert!(!matches!(flag.takes, Takes::Value("")));
    }
    for option in OPTIONS {
        let named = format!("-o {}", option.name);
        assert!(help.contains(&named), "{named} in the help");
        assert!(
            document.contains(&format!("`{}`", option.name)),
            "{named} in the document"
        );
        assert!(!matches!(option.takes, Gives::Value("")));
    }
    for (prefix, _) in REFUSED {
        assert!(document.contains(&format!("`{prefix}")), "{prefix}");
    }
}
