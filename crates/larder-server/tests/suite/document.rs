//! docs/compatibility.md against the program: its tables are read, and what they say is tried.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::time::Duration;

use crate::admin::{start_and_fill, stats};
use crate::binary::{Process, larderd};
use crate::encrypted::{Files, encrypt};
use crate::exchange::Exchange;
use crate::flashed::Flashed;
use crate::sockets::{connect, exchange};

/// One row of a table: the words in code in its first cell, and what the second one says.
struct Row {
    names: Vec<String>,
    verdict: String,
}

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
    std::fs::read_to_string(path).unwrap()
}

/// Words of a text that stand in code.
fn in_code(text: &str) -> Vec<String> {
    let words = text.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The rows of the tables under a heading, up to the next one.
fn rows(heading: &str) -> Vec<Row> {
    let text = document();
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('#'));
    let rows: Vec<Row> = lines
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let mut cells = line.trim_matches('|').split(" | ");
            let names = in_code(cells.next().unwrap());
            let verdict = cells.next().unwrap().trim().to_owned();
            Row { names, verdict }
        })
        .collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

fn assert_verdicts(rows: &[Row]) {
    for Row { names, verdict } in rows {
        assert!(
            ["yes", "differs", "no"].contains(&verdict.as_str()),
            "{names:?}: {verdict}"
        );
    }
}

/// A value for a flag that takes one.
fn value_of(flag: &str, folder: &str) -> Option<String> {
    let value = match flag {
        "p" | "U" => "-1",
        "l" => "127.0.0.1",
        "s" => return Some(format!("{folder}/socket")),
        "P" => return Some(format!("{folder}/pid")),
        "Y" => return Some(format!("{folder}/users")),
        "e" => return Some(format!("{folder}/memory")),
        "a" => "700",
        "B" => "ascii",
        "b" => "64",
        "c" => "100",
        "t" => "2",
        "m" => "32",
        "I" => "2m",
        "D" => ".",
        "u" => "root",
        "R" => "5",
        "f" => "1.5",
        "n" => "64",
        "N" => "1",
        "o" => "modern",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Whether a server with these arguments comes up and answers; else it must have ended by itself with an
/// error that is told, or with a text that was asked for.
fn serves(args: &[String], files: Option<&Files>) -> bool {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // Those end without serving, or go on in the background.
    let ends = args.iter().any(|arg| {
        [
            "-h",
            "-V",
            "-i",
            "-d",
            "--help",
            "--version",
            "--license",
            "--daemon",
        ]
        .iter()
        .any(|flag| arg == flag)
    });
    if ends {
        return larderd(&args).output().unwrap().status.success();
    }
    let Some(server) = Process::try_start_with(&args) else {
        return false;
    };
    let mut answer = [0; 16];
    if args.iter().any(|arg| ["-Z", "--enable-ssl"].contains(arg)) {
        let files = files.expect("those that the server has");
        let client = files.client(rustls::ALL_VERSIONS, None);
        exchange(
            &mut encrypt(client, "localhost", server.connect()),
            b"version\r\n",
            b"VERSION 1.6.45\r\n",
        );
    } else if !args.contains(&"-S") && !args.contains(&"--enable-sasl") {
        let (mut tcp, mut unix);
        let stream: &mut dyn ReadWrite = match server.unix_path() {
            Some(path) => {
                unix = std::os::unix::net::UnixStream::connect(path).unwrap();
                &mut unix
            }
            None => {
                tcp = server.connect();
                &mut tcp
            }
        };
        stream.write_all(b"version\r\nversion\r\n").unwrap();
        stream.read_exact(&mut answer).unwrap();
        let is_closed = args
            .iter()
            .any(|arg| *arg == "-Y" || arg.starts_with("--auth-file"));
        assert!(is_closed || answer.starts_with(b"VERSION "), "{args:?}");
    }
    true
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn every_flag_of_the_table_starts_a_server_or_is_refused() {
    let folder = std::env::temp_dir().join(format!("larder-flags-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    std::fs::write(format!("{folder}/users"), "user:password\n").unwrap();
    let files = Files::new();
    let table = rows("## Flags");
    assert_verdicts(&table);
    for Row { names, verdict } in table {
        let mut forms = names[0].split(", ");
        let short = forms.next().unwrap().strip_prefix('-').unwrap();
        let value = value_of(short, folder);
        let mut lines = vec![vec![format!("-{short}")]];
        lines[0].extend(value.clone());
        if let Some(long) = forms.next() {
            let value = value.map_or(String::new(), |value| format!("={value}"));
            lines.push(vec![format!("{long}{value}")]);
        }
        for mut line in lines {
            match short {
                // Passwords are for the binary protocol too.
                "S" => line.extend(["-Y".to_owned(), format!("{folder}/users")]),
                "Z" => line.extend(["-o".to_owned(), files.options()]),
                "I" => line.push("-m100".to_owned()),
                // In the background there is nobody to read where it listens, nor to end it.
                "d" => line.push("--help".to_owned()),
                _ => {}
            }
            assert_eq!(serves(&line, Some(&files)), verdict != "no", "{line:?}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn every_option_of_the_table_starts_a_server_or_is_refused() {
    let table = rows("### Options of `-o`");
    assert_verdicts(&table);
    let value = |name: &str| match name {
        "idle_timeout" | "sock_cookie_id" | "read_buf_mem_limit" | "resp_obj_mem_limit" => "5",
        "watcher_logbuf_size" | "worker_logbuf_size" | "temporary_ttl" => "64",
        "hashpower" | "tail_repair_time" | "slab_automove_window" => "16",
        "hash_algorithm" => "xxh3",
        "slab_automove" => "2",
        "slab_automove_ratio" | "slab_automove_freeratio" | "ext_max_frag" => "0.5",
        "slab_chunk_max" => "256",
        "slab_sizes" => "100-200-400",
        "lru_crawler_sleep" | "lru_crawler_tocrawl" => "100",
        "hot_lru_pct" | "warm_lru_pct" => "30",
        "hot_max_factor" | "warm_max_factor" => "1.5",
        "ext_path" => "/dev/full:64m",
        "proxy_" => "key=/f",
        "ssl_chain_cert" | "ssl_key" | "ssl_ca_cert" => "/f",
        "ssl_keyformat" | "ssl_verify_mode" | "ssl_min_version" => "2",
        "ssl_ciphers" => "HIGH",
        "ssl_wbuf_size" => "64",
        name if name.starts_with("ext_") && name != "ext_drop_unread" => "4",
        _ => "",
    };
    for Row { names, verdict } in table {
        for name in names {
            let option = match value(&name) {
                "" => name,
                value if name.ends_with('_') => format!("{name}{value}"),
                value => format!("{name}={value}"),
            };
            let line = ["-o".to_owned(), option];
            assert_eq!(serves(&line, None), verdict != "no", "{line:?}");
        }
    }
}

/// A server reports what the tables name, and nothing else.
#[test]
fn the_tables_of_statistics_name_what_is_reported() {
    let (_, server) = start_and_fill(|config| config.idle_timeout = Duration::from_secs(600));
    let mut client = connect(&server);
    // UDP sockets are listed where there are some, errors of TLS where it is spoken.
    let not_always = [
        "UDP",
        "ssl_new_sessions",
        "ssl_handshake_errors",
        "ssl_proto_errors",
        "time_since_server_cert_refresh",
    ];
    for (topic, heading) in [
        ("", "### `stats`"),
        ("settings", "### `stats settings`"),
        ("items", "### `stats items`"),
        ("slabs", "### `stats slabs`"),
        ("conns", "### `stats conns`"),
        ("larder", "### `stats larder`"),
    ] {
        let table = rows(heading);
        if topic != "larder" {
            assert_verdicts(&table);
        }
        let named: BTreeSet<String> = table.into_iter().flat_map(|row| row.names).collect();
        let reported: BTreeSet<String> = stats(&mut client, topic)
            .into_iter()
            .map(|(name, _)| name.rsplit(':').next().unwrap().to_owned())
            .collect();
        let unnamed: Vec<_> = reported.difference(&named).collect();
        assert!(
            unnamed.is_empty(),
            "stats {topic} reports {unnamed:?} besides"
        );
        let missing = named.difference(&reported);
        let missing: Vec<_> = missing
            .filter(|name| !not_always.contains(&name.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "stats {topic} does not report {missing:?}"
        );
    }
}

#[test]
fn the_table_of_statistics_of_flash_names_what_is_reported_besides() {
    let flashed = Flashed::start(2, |_| ());
    let (_, plain) = start_and_fill(|_| ());
    let reported = |server| {
        let lines = stats(&mut connect(server), "").into_iter();
        lines.map(|(name, _)| name).collect::<BTreeSet<String>>()
    };
    let besides = &reported(&flashed.server) - &reported(&plain);
    let table = rows("### Values on flash");
    assert_verdicts(&table);
    let named: BTreeSet<String> = table.into_iter().flat_map(|row| row.names).collect();
    assert_eq!(named, besides);
}

/// Commands for operators: what is there does not answer ERROR, what is not there does.
#[test]
fn the_table_of_commands_is_true() {
    let table = rows("## Commands for operators");
    assert_verdicts(&table);
    for Row { names, verdict } in table {
        for name in names {
            let arguments = match name.as_str() {
                "stats cachedump" => " 1 0",
                "stats detail" => " dump",
                "lru_crawler metadump" | "lru_crawler mgdump" | "lru_crawler crawl" => " all",
                "lru_crawler sleep" | "lru_crawler tocrawl" => " 10",
                "slabs reassign" => " 1 2",
                "slabs automove" => " 1",
                "lru tune" => " 10 20 0.1 0.2",
                "lru mode" => " flat",
                "lru temp_ttl" => " 10",
                "extstore" => " item_age 10",
                "cache_memlimit" => " 8",
                "verbosity" => " 0",
                "debugitem" => " lock k",
                _ => "",
            };
            let mut client = Exchange::new();
            client.send(format!("{name}{arguments}\r\n").as_bytes());
            let (answer, closed) = client.answer();
            let unknown = answer == b"ERROR\r\n";
            let removed = ["stats sizes_enable", "stats sizes_disable"].contains(&name.as_str());
            // It runs already.
            let refused = name == "lru_crawler enable";
            let text = answer.escape_ascii();
            assert_eq!(unknown, verdict == "no" || removed, "{name}: {text}");
            assert!(
                refused || unknown || !answer.starts_with(b"ERROR"),
                "{name}: {text}"
            );
            assert_eq!(closed, name == "quit", "{name}");
        }
    }
}

/// The meta flags that a command is said to have are understood by it; those that no command has are not.
#[test]
fn the_table_of_meta_flags_is_true() {
    let text = document();
    let lines = text.lines().skip_while(|line| *line != "### Meta").skip(1);
    let table: Vec<_> = lines
        .take_while(|line| !line.starts_with('#'))
        .filter(|line| line.starts_with("| `") || line.starts_with("| flag"))
        .collect();
    let commands = in_code(table[0]);
    assert_eq!(commands, ["mg", "ms", "md", "ma"]);
    let mut listed = BTreeSet::new();
    for row in &table[1..] {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for flag in in_code(cells[0]) {
            assert_eq!(cells.len(), 6, "{row}");
            listed.insert(flag.clone());
            let argument = match flag.as_str() {
                "C" | "E" | "F" | "T" | "N" | "R" | "J" | "D" => "0",
                "M" => "I",
                _ => "",
            };
            for (command, verdict) in commands.iter().zip(&cells[1..5]) {
                assert!(["yes", "differs", ""].contains(verdict), "{row}");
                let is_answer = ["W", "X", "Z"].contains(&flag.as_str());
                let argument = if (command.as_str(), flag.as_str()) == ("ms", "M") {
                    "S"
                } else {
                    argument
                };
                let (key, bytes, block) = match command.as_str() {
                    "ms" => ("a2V5", " 1", "v\r\n"),
                    _ => ("a2V5", "", ""),
                };
                let mut client = Exchange::new();
                client.send(
                    format!("{command} {key}{bytes} {flag}{argument}\r\n{block}mn\r\n").as_bytes(),
                );
                let answer = client.answer().0;
                let understood =
                    !answer.starts_with(b"CLIENT_ERROR") && answer.ends_with(b"MN\r\n");
                assert_eq!(
                    understood,
                    !is_answer,
                    "{command} {flag}{argument}: {}",
                    answer.escape_ascii()
                );
            }
        }
    }
    for byte in (b'a'..=b'z').chain(b'A'..=b'Z') {
        let flag = char::from(byte).to_string();
        let mut client = Exchange::new();
        client.send(format!("mg a2V5 {flag}\r\n").as_bytes());
        let unknown = client.answer().0 == b"CLIENT_ERROR invalid flag\r\n";
        let is_answer = ["W", "X", "Z"].contains(&flag.as_str());
        // `S`, once the size of what is stored, has no meaning any more.
        assert_eq!(!unknown || is_answer, listed.contains(&flag), "{flag}");
    }
}
