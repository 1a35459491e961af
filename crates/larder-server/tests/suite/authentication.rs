//! Who may not say anything before saying who it is: SASL in packets, a `set` in text.

use std::io::Write;

use larder_server::Protocol;

use crate::exchange::Exchange;
use crate::packet::{Packet, Reply, all, one, said};

/// A connection to a server with these users.
fn client(protocol: Protocol, users: &str) -> Exchange {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(users.as_bytes()).unwrap();
    Exchange::with(|config| {
        config.protocol = protocol;
        config.auth_file = Some(file.path().to_owned());
    })
}

const FAILURE: (u16, &str) = (0x20, "Auth failure.");

fn sasl(client: &mut Exchange, opcode: u8, mechanism: &str, data: &[u8]) -> Reply {
    let packet = Packet {
        opcode,
        key: mechanism,
        value: data,
        ..Packet::default()
    };
    one(client, packet)
}

#[test]
fn packets_authenticate_by_sasl_plain() {
    let mut client = client(Protocol::Auto, "foo:bar\nme:my pass\n");
    let plain = |opcode| Packet {
        opcode,
        ..Packet::default()
    };
    assert_eq!(said(&one(&mut client, plain(0x0b))), (0, "1.6.45"));
    assert_eq!(said(&one(&mut client, plain(0x20))), (0, "PLAIN"));
    for (opcode, mechanism, data) in [
        (0x21, "PLAIN", &b"\0foo\0baz"[..]),
        (0x21, "PLAIN", b"\0nobody\0bar"),
        (0x21, "PLAIN", b"other\0foo\0bar"),
        (0x21, "PLAIN", b"foo bar"),
        (0x21, "CRAM-MD5", b""),
        (0x22, "PLAIN", b"\0foo\0bar"),
    ] {
        assert_eq!(said(&sasl(&mut client, opcode, mechanism, data)), FAILURE);
    }
    let long = "m".repeat(33);
    let invalid = (4, "Invalid arguments");
    assert_eq!(said(&sasl(&mut client, 0x21, &long, b"x")), invalid);
    assert_eq!(
        said(&sasl(&mut client, 0x21, "PLAIN", &[b'x'; 20_000])),
        invalid
    );
    let authenticated = (0, "Authenticated");
    assert_eq!(
        said(&sasl(&mut client, 0x21, "PLAIN", b"\0foo\0bar")),
        authenticated
    );
    assert_eq!(said(&one(&mut client, plain(0x0a))), (0, ""));
    assert_eq!(
        all(
            &mut client,
            Packet {
                opcode: 0x09,
                key: "k",
                ..Packet::default()
            }
        ),
        []
    );
}

#[test]
fn plain_in_two_steps() {
    let mut client = client(Protocol::Binary, "foo:bar");
    let asked = sasl(&mut client, 0x21, "PLAIN", b"");
    assert_eq!((asked.status, &asked.value[..]), (0x21, &b""[..]));
    assert_eq!(
        said(&sasl(&mut client, 0x22, "PLAIN", b"foo\0foo\0bar")),
        (0, "Authenticated")
    );
}

#[test]
fn other_packets_end_a_connection_that_has_not_authenticated() {
    for opcode in [0x00, 0x07, 0x0a, 0x10, 0x17, 0x30] {
        let mut client = client(Protocol::Auto, "foo:bar");
        let packet = Packet {
            opcode,
            ..Packet::default()
        };
        let replies = all(&mut client, packet);
        assert_eq!(said(&replies[0]), FAILURE, "{opcode}");
        client.send(b"more");
        assert!(client.answer().1);
    }
}

/// Sends text in one piece and byte by byte to a twin; both answer the same.
fn text(users: &str, request: &str) -> (String, bool) {
    let mut whole = client(Protocol::Ascii, users);
    whole.send(request.as_bytes());
    let mut cut = client(Protocol::Ascii, users);
    for byte in request.as_bytes() {
        cut.send(&[*byte]);
    }
    let answer = whole.answer();
    assert_eq!(answer, cut.answer());
    (String::from_utf8(answer.0).unwrap(), answer.1)
}

#[test]
fn text_authenticates_by_a_set() {
    let users = "foo:bar\nme:my pass:word\n";
    for (request, reply) in [
        (
            "set any 5 100 7\r\nfoo bar\r\nget k\r\n",
            "STORED\r\nEND\r\n",
        ),
        (
            "set k 0 0 15\r\nme my pass:word\r\nmn\r\n",
            "STORED\r\nMN\r\n",
        ),
        ("set k 0 0 7 noreply\r\nfoo bar\r\n", "STORED\r\n"),
        ("setting k 0 0 7\r\nfoo bar\r\n", "STORED\r\n"),
        ("get foo\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        (
            "stats settings\r\nversion\r\n",
            "CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR unauthenticated\r\n",
        ),
        ("set k 0 0 x\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        (
            "set k 0 0 16385\r\n",
            "CLIENT_ERROR auth token too long\r\n",
        ),
        (
            "set k 0 0 7\r\nfoo bar12",
            "CLIENT_ERROR bad command line termination\r\n",
        ),
        (
            "set k 0 0 6\r\nfoobar\r\n",
            "CLIENT_ERROR bad authentication token format\r\n",
        ),
        (
            "set k 0 0 7\r\nfoo baz\r\nset k 0 0 7\r\nfoo bar\r\n",
            "CLIENT_ERROR authentication failure\r\nSTORED\r\n",
        ),
    ] {
        assert_eq!(text(users, request), (reply.to_owned(), false), "{request}");
    }
    for request in [
        "get\r\n",
        "quit\r\n",
        "\r\nx",
        &"x".repeat(2049),
        &("x".repeat(2049) + "\r\n"),
    ] {
        assert_eq!(text(users, request), (String::new(), true), "{request}");
    }
    // Too little to be looked at.
    for request in ["", "x", "\n", "\r\n"] {
        assert_eq!(text(users, request), (String::new(), false), "{request}");
    }
}

#[test]
fn a_password_file_that_is_not_there_lets_nobody_in() {
    let mut client = Exchange::with(|config| config.auth_file = Some("/nonexistent".into()));
    client.send(b"set k 0 0 1\r\n \r\nversion\r\n");
    let answer = client.answer().0;
    assert!(!answer.starts_with(b"STORED") && !answer.ends_with(b"1.6.45\r\n"));
}
