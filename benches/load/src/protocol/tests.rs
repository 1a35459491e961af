//! Requests byte by byte as the protocols have them, and what heads of replies mean.

use super::*;
use crate::content::{Lengths, Ttls};
use crate::sizes::Sizes;

fn content(ttl_seconds: u32) -> Content {
    let lengths = Lengths::Drawn(Sizes::Fixed(5));
    Content::new("k", 3, lengths, Ttls::Fixed(ttl_seconds))
}

/// The four requests, one after the other.
fn requests(protocol: Protocol, ttl_seconds: u32, gets: &[u64]) -> [Vec<u8>; 4] {
    let content = content(ttl_seconds);
    let mut out: [Vec<u8>; 4] = Default::default();
    protocol.push_get(gets, &content, &mut out[0]);
    protocol.push_set(1, &content, &mut out[1]);
    protocol.push_delete(1, &content, &mut out[2]);
    protocol.push_touch(1, &content, &mut out[3]);
    out
}

fn value() -> Vec<u8> {
    let mut value = Vec::new();
    content(0).push_value(1, 5, &mut value);
    value
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn text_requests() {
    let [get, set, delete, touch] = requests(Protocol::Text, 60, &[1, 22]);
    assert_eq!(text_of(&get), "get k01 k22\r\n");
    assert_eq!(
        text_of(&set),
        format!("set k01 0 60 5\r\n{}\r\n", text_of(&value()))
    );
    assert_eq!(text_of(&delete), "delete k01\r\n");
    assert_eq!(text_of(&touch), "touch k01 60\r\n");
}

#[test]
fn meta_requests() {
    let [get, set, delete, touch] = requests(Protocol::Meta, 60, &[1]);
    assert_eq!(text_of(&get), "mg k01 k v\r\n");
    assert_eq!(
        text_of(&set),
        format!("ms k01 5 T60\r\n{}\r\n", text_of(&value()))
    );
    assert_eq!(text_of(&delete), "md k01\r\n");
    assert_eq!(text_of(&touch), "mg k01 T60\r\n");
    let [get, set, ..] = requests(Protocol::Meta, 0, &[1, 2]);
    assert_eq!(text_of(&get), "mg k01 k q v\r\nmg k02 k q v\r\nmn\r\n");
    assert_eq!(text_of(&set[..10]), "ms k01 5\r\n");
}

#[test]
fn binary_requests() {
    let [get, set, delete, touch] = requests(Protocol::Binary, 60, &[1]);
    let header = |opcode: u8, extras: u8, body: u8, opaque: u8| {
        let mut header = vec![0x80, opcode, 0, 3, extras, 0, 0, 0, 0, 0, 0, body];
        header.extend([0, 0, 0, opaque, 0, 0, 0, 0, 0, 0, 0, 0]);
        header
    };
    assert_eq!(get, [&header(0, 0, 3, 0)[..], b"k01"].concat());
    let extras = [0, 0, 0, 0, 0, 0, 0, 60];
    assert_eq!(
        set,
        [&header(1, 8, 16, 0)[..], &extras, b"k01", &value()].concat()
    );
    assert_eq!(delete, [&header(4, 0, 3, 0)[..], b"k01"].concat());
    assert_eq!(
        touch,
        [&header(0x1c, 4, 7, 0)[..], &extras[4..], b"k01"].concat()
    );
    let [several, ..] = requests(Protocol::Binary, 0, &[1, 2]);
    let mut no_op = [0; 24];
    no_op[..2].copy_from_slice(&[0x80, 0x0a]);
    let quiet = |key: &'static [u8], place| [&header(9, 0, 3, place)[..], key].concat();
    assert_eq!(
        several,
        [quiet(b"k01", 0), quiet(b"k02", 1), no_op.to_vec()].concat()
    );
}

fn question(op: Op, key_count: u32) -> Question {
    Question { op, key_count }
}

#[test]
fn heads_that_are_no_answer_are_told_from_those_that_are() {
    let cases: [(Protocol, Op, u32, &[u8]); 22] = [
        (Protocol::Text, Op::Get, 1, b"STORED\r\n"),
        (Protocol::Text, Op::Get, 1, b"ERROR\r\n"),
        (Protocol::Text, Op::Get, 1, b"CLIENT_ERROR bad\r\n"),
        (Protocol::Text, Op::Get, 1, b"END\n"),
        (Protocol::Text, Op::Get, 1, b"VALUE k01 0\r\n"),
        (Protocol::Text, Op::Get, 1, b"VALUE k01 0 -1\r\n"),
        (Protocol::Text, Op::Get, 1, b"VALUE k01 0 99999999999\r\n"),
        (Protocol::Text, Op::Get, 1, b"VALUE k01 0 5 7\r\n"),
        (Protocol::Text, Op::Get, 1, b"VALUE \r\n"),
        (Protocol::Text, Op::Set, 1, b"END\r\n"),
        (Protocol::Text, Op::Delete, 1, b"TOUCHED\r\n"),
        (Protocol::Text, Op::Touch, 1, b"DELETED\r\n"),
        (Protocol::Meta, Op::Get, 1, b"HD\r\n"),
        (Protocol::Meta, Op::Get, 1, b"MN\r\n"),
        (Protocol::Meta, Op::Get, 2, b"EN\r\n"),
        (Protocol::Meta, Op::Get, 1, b"VA 5\r\n"),
        (Protocol::Meta, Op::Get, 1, b"VA x kk01\r\n"),
        (Protocol::Meta, Op::Set, 1, b"NF\r\n"),
        (Protocol::Meta, Op::Set, 1, b"ERROR\r\n"),
        (Protocol::Meta, Op::Get, 1, b"\r\n"),
        (Protocol::Binary, Op::Get, 1, &[0x80; 24]),
        (Protocol::Binary, Op::Get, 1, b"END\r\n"),
    ];
    for (protocol, op, key_count, head) in cases {
        let meaning = protocol.understand(head, question(op, key_count));
        assert_eq!(meaning, None, "{protocol:?} {op:?} {}", head.escape_ascii());
    }
}

#[test]
fn binary_heads_must_fit_the_request() {
    let head = |opcode: u8, status: u8, extras: u8, body: u8, opaque: u8| {
        let mut head = [0; 24];
        head[..5].copy_from_slice(&[0x81, opcode, 0, 0, extras]);
        (head[7], head[11], head[15]) = (status, body, opaque);
        head
    };
    let meaning = |head: &[u8; 24], op, count| {
        let question = question(op, count);
        Protocol::Binary
            .understand(head, question)
            .map(|meaning| format!("{meaning:?}"))
    };
    assert!(meaning(&head(0, 0, 4, 9, 0), Op::Get, 1).is_some());
    assert_eq!(
        meaning(&head(9, 0, 4, 9, 0), Op::Get, 1),
        None,
        "another operation"
    );
    assert_eq!(
        meaning(&head(9, 0, 4, 9, 2), Op::Get, 2),
        None,
        "a place not asked for"
    );
    assert_eq!(
        meaning(&head(0, 0, 4, 3, 0), Op::Get, 1),
        None,
        "a body below its parts"
    );
    assert_eq!(
        meaning(&head(0, 0x81, 0, 0, 0), Op::Get, 1),
        None,
        "an unknown command"
    );
    let refused = meaning(&head(1, 0x82, 0, 13, 0), Op::Set, 1).unwrap();
    assert!(
        refused.contains("out of memory") && refused.contains("13"),
        "{refused}"
    );
}

#[test]
fn versions_are_read_in_any_pieces() {
    let mut binary = vec![0; 24];
    (binary[0], binary[1], binary[11]) = (0x81, 0x0b, 6);
    binary.extend(b"1.6.45");
    let text = b"VERSION 1.6.45\r\n".to_vec();
    for (protocol, reply) in [(Protocol::Text, &text), (Protocol::Binary, &binary)] {
        for end in 0..reply.len() {
            assert_eq!(protocol.version(&reply[..end]), Ok(None), "{end}");
        }
        assert_eq!(protocol.version(reply), Ok(Some("1.6.45")));
    }
    assert_eq!(Protocol::Meta.version(b"ERROR\r\n"), Err(NoVersion));
    assert_eq!(Protocol::Binary.version(b"ERROR\r\n"), Err(NoVersion));
}
