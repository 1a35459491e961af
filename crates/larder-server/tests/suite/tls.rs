//! TLS over real sockets: versions, certificates of both sides, new files. Broken clients
//! are in tls_faults.rs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use larder_server::{Config, KeyFormat, Server, TlsVersion, VerifyMode};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, HandshakeKind};

use crate::binary::Process;
use crate::encrypted::{Authority, Dribble, Encrypted, Files, encrypt, tcp};
use crate::sockets::{exchange, start, stat, wait_for};

/// A server with TLS on its first address, and without on its second.
pub(crate) fn serve(files: &Files, change: impl FnOnce(&mut Config)) -> Server {
    let (_, server) = start(|config| {
        files.apply(config);
        config.listen = vec!["127.0.0.1".to_owned(), "notls:127.0.0.1".to_owned()];
        change(config);
    });
    server
}

pub(crate) const VERSION: &[u8] = b"VERSION 1.6.45\r\n";

/// Whether the client gets in.
pub(crate) fn is_served<S: Read + Write>(client: &mut Encrypted<S>) -> bool {
    let mut answer = [0; VERSION.len()];
    client.write_all(b"version\r\n").is_ok()
        && client.read_exact(&mut answer).is_ok()
        && answer == VERSION
}

#[test]
fn both_versions_are_spoken() {
    let files = Files::new();
    let server = serve(&files, |_| ());
    for version in [&TLS12, &TLS13] {
        let config = files.client(&[version], None);
        let mut client = encrypt(config, "localhost", tcp(server.addresses()[0]));
        exchange(&mut client, b"set k 1 0 5\r\nvalue\r\n", b"STORED\r\n");
        exchange(
            &mut client,
            b"get k\r\n",
            b"VALUE k 1 5\r\nvalue\r\nEND\r\n",
        );
        assert_eq!(client.conn.protocol_version(), Some(version.version));
        let pipeline = b"get k\r\n".repeat(2000);
        let replies = b"VALUE k 1 5\r\nvalue\r\nEND\r\n".repeat(2000);
        exchange(&mut client, &pipeline, &replies);
    }
    // The same cache, without TLS beside it.
    let mut plain = tcp(server.addresses()[1]);
    exchange(&mut plain, b"get k\r\n", b"VALUE k 1 5\r\nvalue\r\nEND\r\n");
    assert_eq!(stat(&mut plain, "ssl_handshake_errors"), 0);
    assert_eq!(stat(&mut plain, "ssl_proto_errors"), 0);
}

#[test]
fn everything_may_come_byte_by_byte() {
    let files = Files::new();
    let server = serve(&files, |config| config.tls.write_bytes = 1);
    for version in [&TLS12, &TLS13] {
        let config = files.client(&[version], None);
        let stream = Dribble(tcp(server.addresses()[0]));
        let mut client = encrypt(config, "localhost", stream);
        exchange(
            &mut client,
            b"set k 0 0 5\r\nvalue\r\nget k\r\n",
            b"STORED\r\nVALUE k 0 5\r\nvalue\r\nEND\r\n",
        );
    }
}

#[test]
fn large_values_go_both_ways_and_wait_for_slow_readers() {
    let files = Files::new();
    let server = serve(&files, |config| config.item_bytes_max = 24 << 20);
    for version in [&TLS12, &TLS13] {
        let config = files.client(&[version], None);
        let mut client = encrypt(config, "localhost", tcp(server.addresses()[0]));
        let value: Vec<u8> = (0..=250_u8).cycle().take(16 << 20).collect();
        let size = value.len();
        let request = [
            format!("set big 0 0 {size}\r\n").as_bytes(),
            &value,
            b"\r\n",
        ]
        .concat();
        exchange(&mut client, &request, b"STORED\r\n");
        let rounds = 3;
        client.write_all(&b"get big\r\n".repeat(rounds)).unwrap();
        client.flush().unwrap();
        // Others are served while nobody takes this.
        let mut other = files.connect(server.addresses()[0]);
        for _ in 0..50 {
            exchange(&mut other, b"touch big 0\r\n", b"TOUCHED\r\n");
        }
        let reply = [
            format!("VALUE big 0 {size}\r\n").as_bytes(),
            &value,
            b"\r\nEND\r\n",
        ]
        .concat();
        let mut answer = vec![0; reply.len()];
        for _ in 0..rounds {
            client.read_exact(&mut answer).unwrap();
            assert!(answer == reply);
        }
        exchange(&mut client, b"version\r\n", VERSION);
    }
}

#[test]
fn clients_show_certificates_where_they_have_to() {
    let files = Files::new();
    let good = files.authority.certify("client");
    let foreign = Authority::new().certify("client");
    let clients = [None, Some(&foreign), Some(&good)];
    use VerifyMode::{None as Never, Once, Request, Require};
    for (verify, prefix, has_authority, served) in [
        (Never, "", true, [true, true, true]),
        (Request, "", true, [true, false, true]),
        (Require, "", true, [false, false, true]),
        (Once, "", true, [false, false, true]),
        (Never, "mtls:", true, [false, false, true]),
        (Require, "btls:", true, [true, true, true]),
        // Nobody vouches for anybody.
        (Request, "", false, [true, false, false]),
        (Never, "mtls:", false, [false, false, false]),
    ] {
        let server = serve(&files, |config| {
            config.tls.verify = verify;
            config.listen[0] = format!("{prefix}127.0.0.1");
            if !has_authority {
                config.tls.ca_cert = None;
            }
        });
        for version in [&TLS12, &TLS13] {
            for (certified, served) in clients.iter().zip(served) {
                let config = files.client(&[version], *certified);
                let mut client = encrypt(config, "localhost", tcp(server.addresses()[0]));
                assert_eq!(
                    is_served(&mut client),
                    served,
                    "{verify:?} {prefix} {version:?}"
                );
            }
        }
        let refused = served.iter().filter(|served| !**served).count() as u64 * 2;
        let mut plain = tcp(server.addresses()[1]);
        wait_for(&mut plain, "ssl_handshake_errors", |now| now >= refused);
        assert_eq!(stat(&mut plain, "ssl_handshake_errors"), refused);
    }
}

#[test]
fn new_files_are_for_new_connections_and_bad_ones_for_none() {
    let files = Files::new();
    let server = serve(&files, |_| ());
    let address = server.addresses()[0];
    let connect = |name: &str| encrypt(files.client(ALL_VERSIONS, None), name, tcp(address));
    let mut old = connect("localhost");
    exchange(&mut old, b"version\r\n", VERSION);
    files.certify("other");
    // Not before somebody asks for it.
    assert!(is_served(&mut connect("localhost")));
    exchange(&mut old, b"refresh_certs\r\n", b"OK\r\n");
    assert!(is_served(&mut connect("other")) && !is_served(&mut connect("localhost")));
    exchange(&mut old, b"version\r\n", VERSION);

    let key = std::fs::read(files.path("key")).unwrap();
    let foreign = files.authority.certify("other");
    for (name, content, word) in [
        ("key", String::new(), "Error loading the key: "),
        (
            "cert",
            "nonsense".to_owned(),
            "Error loading the certificate chain: ",
        ),
        (
            "key",
            foreign.key.serialize_pem(),
            "Error validating the certificate: ",
        ),
        (
            "ca",
            "-----BEGIN".to_owned(),
            "Error loading the CA certificate: ",
        ),
    ] {
        let good = std::fs::read(files.path(name)).unwrap();
        std::fs::write(files.path(name), content).unwrap();
        old.write_all(b"refresh_certs\r\n").unwrap();
        let mut answer = String::new();
        BufReader::new(&mut old).read_line(&mut answer).unwrap();
        assert!(
            answer.starts_with(word) && answer.ends_with("\r\n"),
            "{answer}"
        );
        assert!(is_served(&mut connect("other")));
        std::fs::write(files.path(name), good).unwrap();
    }
    assert_eq!(std::fs::read(files.path("key")).unwrap(), key);
    exchange(&mut old, b"refresh_certs\r\n", b"OK\r\n");
    let mut plain = tcp(server.addresses()[1]);
    assert!(stat(&mut plain, "time_since_server_cert_refresh") < 60);
}

#[test]
fn sighup_has_the_files_read_again() {
    let files = Files::new();
    let server = Process::start_with(&["-Z", "-o", &files.options()]);
    let connect = |name: &str| encrypt(files.client(ALL_VERSIONS, None), name, server.connect());
    let mut old = connect("localhost");
    exchange(&mut old, b"version\r\n", VERSION);
    std::fs::write(files.path("cert"), "nonsense").unwrap();
    server.signal("-HUP");
    files.certify("other");
    server.signal("-HUP");
    while !is_served(&mut connect("other")) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!is_served(&mut connect("localhost")));
    exchange(&mut old, b"version\r\n", VERSION);
}

#[test]
fn versions_and_ciphers_can_be_fewer() {
    let files = Files::new();
    let server = serve(&files, |config| config.tls.min_version = TlsVersion::V1_3);
    for (version, served) in [(&TLS12, false), (&TLS13, true)] {
        let config = files.client(&[version], None);
        let mut client = encrypt(config, "localhost", tcp(server.addresses()[0]));
        assert_eq!(is_served(&mut client), served);
    }
    let list = "ECDHE-ECDSA-CHACHA20-POLY1305:AES128-SHA";
    let server = serve(&files, |config| config.tls.ciphers = Some(list.to_owned()));
    let config = files.client(&[&TLS12], None);
    let mut client = encrypt(config, "localhost", tcp(server.addresses()[0]));
    assert!(is_served(&mut client));
    let suite = client.conn.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(
        suite,
        rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    );
}

#[test]
fn sessions_are_resumed_where_they_began_and_only_if_asked_for() {
    let files = Files::new();
    let kind = |client: &mut Encrypted| {
        assert!(is_served(client));
        client.conn.handshake_kind().unwrap()
    };
    for version in [&TLS12, &TLS13] {
        let server = serve(&files, |_| ());
        let config = files.client(&[version], None);
        for _ in 0..2 {
            let stream = tcp(server.addresses()[0]);
            let kind = kind(&mut encrypt(config.clone(), "localhost", stream));
            assert_eq!(kind, HandshakeKind::Full);
        }
        let server = serve(&files, |config| {
            config.tls.session_cache = true;
            config.listen.push("mtls:127.0.0.1".to_owned());
        });
        let connect = |listener: usize| {
            let stream = tcp(server.addresses()[listener]);
            encrypt(config.clone(), "localhost", stream)
        };
        assert_eq!(kind(&mut connect(0)), HandshakeKind::Full);
        let mut plain = tcp(server.addresses()[1]);
        let sessions = stat(&mut plain, "ssl_new_sessions");
        assert!(sessions > 0);
        assert_eq!(kind(&mut connect(0)), HandshakeKind::Resumed);
        if version.version == TLS12.version {
            assert_eq!(stat(&mut plain, "ssl_new_sessions"), sessions);
        }
        // What began without a certificate does not get in where one is needed.
        assert!(!is_served(&mut connect(2)));
        // New files: everybody is looked at again.
        exchange(&mut plain, b"refresh_certs\r\n", b"OK\r\n");
        assert_eq!(kind(&mut connect(0)), HandshakeKind::Full);
    }
}

#[test]
fn who_ends_gets_what_is_owed_and_a_goodbye() {
    let files = Files::new();
    let server = serve(&files, |_| ());
    for says_goodbye in [true, false] {
        for version in [&TLS12, &TLS13] {
            let config = files.client(&[version], None);
            let mut client = encrypt(config, "localhost", tcp(server.addresses()[0]));
            client
                .write_all(b"set k 0 0 1\r\nx\r\nget k\r\nget unfinished")
                .unwrap();
            if says_goodbye {
                client.conn.send_close_notify();
            }
            client.flush().unwrap();
            if !says_goodbye {
                client.sock.shutdown(Shutdown::Write).unwrap();
            }
            // Without the server's goodbye this would be an error.
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
        }
    }
    let mut client = files.connect(server.addresses()[0]);
    let mut answer = Vec::new();
    client.write_all(b"version\r\nquit\r\n").unwrap();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, VERSION);
    let mut client = files.connect(server.addresses()[0]);
    exchange(&mut client, b"version\r\n", VERSION);
    server.stop();
    assert_eq!(client.read_to_end(&mut answer).unwrap(), 0);
}

#[test]
fn new_keys_are_agreed_on_in_between() {
    let files = Files::new();
    let server = serve(&files, |_| ());
    let config = files.client(&[&TLS13], None);
    let mut client = encrypt(config, "localhost", tcp(server.addresses()[0]));
    exchange(&mut client, b"version\r\n", VERSION);
    for _ in 0..5 {
        // The server is asked for new keys of its own as well, and announces them before it uses them.
        client.conn.refresh_traffic_keys().unwrap();
        exchange(&mut client, b"version\r\n", VERSION);
        exchange(&mut client, b"version\r\n", VERSION);
    }
}

#[test]
fn keys_may_be_der_or_beside_the_certificate() {
    let files = Files::new();
    let server = serve(&files, |config| {
        config.tls.key = Some(files.path("key.der"));
        config.tls.key_format = KeyFormat::Der;
    });
    assert!(is_served(&mut files.connect(server.addresses()[0])));
    let [cert, key] =
        ["cert", "key"].map(|name| std::fs::read_to_string(files.path(name)).unwrap());
    std::fs::write(files.path("cert"), cert + &key).unwrap();
    let server = serve(&files, |config| config.tls.key = None);
    assert!(is_served(&mut files.connect(server.addresses()[0])));
}

#[test]
fn settings_are_shown() {
    let files = Files::new();
    let server = serve(&files, |config| {
        config.tls.verify = VerifyMode::Once;
        config.tls.write_bytes = 64 << 10;
    });
    let mut plain = tcp(server.addresses()[1]);
    let shown = crate::admin::stats(&mut plain, "settings");
    let cert = files.path("cert").display().to_string();
    for (name, value) in [
        ("ssl_enabled", "yes"),
        ("ssl_chain_cert", &cert),
        ("ssl_verify_mode", "7"),
        ("ssl_keyformat", "1"),
        ("ssl_ciphers", "NULL"),
        ("ssl_wbuf_size", "65536"),
        ("ssl_session_cache", "no"),
        ("ssl_min_version", "tlsv1.2"),
    ] {
        let found = shown.iter().find(|(known, _)| known == name).unwrap();
        assert_eq!(found.1, value, "{name}");
    }
}
