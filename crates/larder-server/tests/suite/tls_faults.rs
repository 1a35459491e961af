//! TLS and those who break it: clients without it, gone or idle in the handshake; settings that cannot be had.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::time::Duration;

use rustls::ALL_VERSIONS;

use crate::binary::{Process, larderd};
use crate::encrypted::{Files, encrypt, tcp};
use crate::sockets::{exchange, stat, wait_for};
use crate::tls::{VERSION, is_served, serve};

#[test]
fn who_speaks_no_tls_is_closed_counted_and_told_of() {
    let files = Files::new();
    let server = serve(&files, |_| ());
    let mut watcher = tcp(server.addresses()[1]);
    exchange(&mut watcher, b"watch connevents\r\n", b"OK\r\n");
    let mut plain = tcp(server.addresses()[0]);
    plain
        .write_all(b"version\r\nget a b c d e f g\r\n")
        .unwrap();
    let mut answer = Vec::new();
    match plain.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert!(!answer.starts_with(b"VERSION"));
    let mut lines = BufReader::new(watcher).lines().map(Result::unwrap);
    let line = lines
        .find(|line| line.contains("type=conntlserr fd="))
        .unwrap();
    assert!(line.contains(" msg="), "{line}");
    let closed = lines.find(|line| line.contains("type=conn_close")).unwrap();
    assert!(closed.contains("reason=error"), "{closed}");

    // Nonsense behind a handshake that was none.
    let mut client = files.connect(server.addresses()[0]);
    exchange(&mut client, b"version\r\n", VERSION);
    client
        .sock
        .write_all(b"\x17\x03\x03\x00\x20nonsense nonsense nonsense nonsense")
        .unwrap();
    let _ = client.sock.read_to_end(&mut answer);
    let mut client = tcp(server.addresses()[1]);
    assert_eq!(stat(&mut client, "ssl_handshake_errors"), 1);
    assert_eq!(stat(&mut client, "ssl_proto_errors"), 1);
    // The client may see the end before the server has counted it.
    wait_for(&mut client, "curr_connections", |now| now == 2);
    exchange(&mut client, b"stats reset\r\n", b"RESET\r\n");
    assert_eq!(stat(&mut client, "ssl_proto_errors"), 0);
}

/// The first bytes that a client sends.
fn hello(files: &Files) -> Vec<u8> {
    let mut hello = Vec::new();
    let mut client = encrypt(
        files.client(ALL_VERSIONS, None),
        "localhost",
        std::io::empty(),
    );
    client.conn.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn who_goes_in_the_middle_of_the_handshake_leaves_nothing_behind() {
    let files = Files::new();
    let server = serve(&files, |_| ());
    let hello = hello(&files);
    let mut cuts = 0;
    for end in (0..=hello.len()).step_by(7).chain([hello.len()]) {
        tcp(server.addresses()[0]).write_all(&hello[..end]).unwrap();
        cuts += u64::from(end > 0);
    }
    let mut plain = tcp(server.addresses()[1]);
    wait_for(&mut plain, "curr_connections", |now| now <= 1);
    // Looking whether the port is open is no error.
    assert_eq!(stat(&mut plain, "ssl_handshake_errors"), cuts);
    assert_eq!(stat(&mut plain, "read_buf_bytes"), 0);
    assert!(is_served(&mut files.connect(server.addresses()[0])));
}

#[test]
fn a_handshake_counts_as_a_connection_and_as_idle() {
    let files = Files::new();
    let server = serve(&files, |config| {
        config.connections_max = 3;
        config.idle_timeout = Duration::from_millis(300);
    });
    let hello = hello(&files);
    let silent = tcp(server.addresses()[0]);
    let mut slow = tcp(server.addresses()[0]);
    slow.write_all(&hello[..20]).unwrap();
    let mut dribbling = tcp(server.addresses()[0]);
    // One too many is closed without a word that it could not read.
    let mut beyond = tcp(server.addresses()[0]);
    let mut answer = Vec::new();
    assert_eq!(beyond.read_to_end(&mut answer).unwrap_or(0), 0);
    // A byte now and then is no sign of life.
    let mut bytes = hello.iter().cycle();
    while dribbling.write_all(&[*bytes.next().unwrap()]).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    for mut stream in [silent, slow] {
        assert_eq!(stream.read_to_end(&mut answer).unwrap_or(0), 0);
    }
    let mut plain = tcp(server.addresses()[1]);
    assert_eq!(stat(&mut plain, "idle_kicks"), 3);
    assert_eq!(stat(&mut plain, "rejected_connections"), 1);
}

#[test]
fn what_cannot_be_had_is_told_with_memcacheds_exit_code() {
    let files = Files::new();
    std::fs::write(files.path("empty"), "").unwrap();
    let path = |name: &str| files.path(name).display().to_string();
    let (cert, key, empty) = (path("cert"), path("key"), path("empty"));
    let pair = format!("ssl_chain_cert={cert},ssl_key={key}");
    for (options, code, word) in [
        (String::new(), 64, "ssl_chain_cert"),
        (
            format!("ssl_chain_cert=/nonexistent,ssl_key={key}"),
            64,
            "/nonexistent",
        ),
        (
            format!("ssl_chain_cert={empty},ssl_key={key}"),
            64,
            "certificate chain",
        ),
        (
            format!("ssl_chain_cert={cert},ssl_key={empty}"),
            64,
            "the key",
        ),
        (format!("{pair},ssl_keyformat=2"), 64, "the key"),
        (format!("{pair},ssl_ca_cert={empty}"), 64, "CA certificate"),
        (format!("{pair},ssl_ciphers=RC4-SHA"), 64, "ssl_ciphers"),
        (format!("{pair},ssl_kernel_tls"), 64, "ssl_kernel_tls"),
        (format!("{pair},ssl_min_version=0"), 1, "ssl_min_version"),
    ] {
        let line = ["-p", "-1", "-Z", "-o", &format!("modern,{options}")];
        let output = larderd(&line).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{options}: {text}");
        assert!(text.contains(word), "{options}: {text}");
    }
    for line in [
        ["-l", "notls:127.0.0.1", "-p", "-1"],
        ["-l", "mtls:127.0.0.1", "-p", "-1"],
    ] {
        assert_eq!(larderd(&line).output().unwrap().status.code(), Some(71));
    }
    assert_eq!(
        larderd(&["-Z", "-p", "0"]).output().unwrap().status.code(),
        Some(64)
    );
}

/// What a server with these flags says on stderr from its start to its end.
fn told(flags: &[&str]) -> String {
    let server = Process::start_with(flags);
    let begun = server.told().to_owned();
    begun + &server.end("-TERM").1
}

#[test]
fn an_open_address_is_warned_of_for_what_it_is() {
    let files = Files::new();
    let options = files.options();
    let warning = "can be reached from other machines, ";
    for (address, warned) in [
        ("0.0.0.0", Some("encrypted, but without authentication")),
        ("notls:0.0.0.0", Some("without authentication")),
        ("mtls:0.0.0.0", None),
        ("127.0.0.1", None),
    ] {
        let text = told(&["-Z", "-o", &options, "-l", address]);
        let found = text.split_once(warning).map(|(_, behind)| behind);
        match (found, warned) {
            (None, None) => {}
            (Some(found), Some(warned)) => assert!(found.starts_with(warned), "{text}"),
            _ => panic!("{address}: {text}"),
        }
    }
}
