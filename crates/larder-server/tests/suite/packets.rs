//! The binary protocol, packet by packet.

use std::time::Duration;

use larder_server::Protocol;

use crate::exchange::Exchange;
use crate::packet::{Packet, all, number, one, replies, said};

fn get(key: &str) -> Packet<'_> {
    Packet {
        key,
        ..Packet::default()
    }
}

fn store<'a>(opcode: u8, key: &'a str, value: &'a [u8]) -> Packet<'a> {
    let joins = matches!(opcode, 0x0e | 0x0f | 0x19 | 0x1a);
    Packet {
        opcode,
        extras: if joins { b"" } else { b"\0\0\0\x05\0\0\0\0" },
        key,
        value,
        cas: 0,
    }
}

const OK: (u16, &str) = (0, "");
const NOT_FOUND: (u16, &str) = (1, "Not found");
const EXISTS: (u16, &str) = (2, "Data exists for key.");
const INVALID: (u16, &str) = (4, "Invalid arguments");

#[test]
fn stores_say_what_became_of_them() {
    let mut client = Exchange::new();
    for (packet, answer) in [
        (store(3, "k", b"v"), NOT_FOUND),
        (store(0x0e, "k", b"v"), (5, "Not stored.")),
        (store(0x0f, "k", b"v"), (5, "Not stored.")),
        (store(2, "k", b"v"), OK),
        (store(2, "k", b"v"), EXISTS),
        (store(3, "k", b"w"), OK),
        (store(0x0e, "k", b"2"), OK),
        (store(0x0f, "k", b"1"), OK),
        (store(1, "empty", b""), OK),
    ] {
        let reply = one(&mut client, packet);
        assert_eq!((reply.opcode, said(&reply)), (packet.opcode, answer));
        assert_eq!(reply.cas != 0, answer == OK);
    }
    let reply = one(&mut client, get("k"));
    assert_eq!(
        (&reply.value[..], &reply.extras[..]),
        (&b"1w2"[..], &[0, 0, 0, 5][..])
    );
    // With a cas, each of them compares: an add as well.
    for opcode in [1, 2, 3] {
        let cas = one(&mut client, get("k")).cas;
        let with = |cas, key| Packet {
            cas,
            ..store(opcode, key, b"x")
        };
        assert_eq!(said(&one(&mut client, with(cas + 1, "k"))), EXISTS);
        assert_eq!(said(&one(&mut client, with(cas, "absent"))), NOT_FOUND);
        assert_eq!(said(&one(&mut client, with(cas, "k"))), OK);
    }
    for opcode in [0x0e, 0x0f] {
        let wrong = Packet {
            cas: 1,
            ..store(opcode, "k", b"x")
        };
        assert_eq!(said(&one(&mut client, wrong)), EXISTS);
    }
}

#[test]
fn quiet_requests_are_silent_about_what_is_as_expected() {
    let mut client = Exchange::new();
    for opcode in [0x11, 0x12, 0x13, 0x19, 0x1a] {
        let key = if opcode == 0x12 { "new" } else { "k" };
        assert_eq!(all(&mut client, store(opcode, key, b"1")), []);
    }
    assert_eq!(said(&one(&mut client, store(0x12, "k", b"1"))), EXISTS);
    assert_eq!(said(&one(&mut client, store(0x13, "no", b"1"))), NOT_FOUND);
    for opcode in [0x09, 0x0d, 0x1e, 0x24] {
        let extras: &[u8] = if opcode < 0x10 { b"" } else { &[0; 4] };
        let look = |key| Packet {
            opcode,
            extras,
            key,
            ..Packet::default()
        };
        assert_eq!(all(&mut client, look("no")), []);
        let hit = one(&mut client, look("k"));
        let with_key = opcode == 0x0d || opcode == 0x24;
        assert_eq!(
            (&hit.value[..], hit.key.is_empty()),
            (&b"111"[..], !with_key)
        );
    }
    let delete = |key| Packet {
        opcode: 0x14,
        key,
        ..Packet::default()
    };
    assert_eq!(said(&one(&mut client, delete("no"))), NOT_FOUND);
    assert_eq!(all(&mut client, delete("k")), []);
    let flush = Packet {
        opcode: 0x18,
        ..Packet::default()
    };
    assert_eq!(all(&mut client, flush), []);
    assert_eq!(
        all(
            &mut client,
            Packet {
                opcode: 0x17,
                ..Packet::default()
            }
        ),
        []
    );
    client.send(b"more");
    assert_eq!(client.answer(), (Vec::new(), true));
}

#[test]
fn a_miss_with_key_answers_with_the_key() {
    let mut client = Exchange::new();
    let with_key = one(
        &mut client,
        Packet {
            opcode: 0x0c,
            ..get("k")
        },
    );
    assert_eq!(
        (with_key.status, &with_key.key[..], &with_key.value[..]),
        (1, &b"k"[..], &b""[..])
    );
    let touched = Packet {
        opcode: 0x23,
        extras: &[0; 4],
        ..get("k")
    };
    assert_eq!(one(&mut client, touched).key, b"k");
    assert_eq!(said(&one(&mut client, get("k"))), NOT_FOUND);
}

#[test]
fn counters_are_created_stepped_and_refused() {
    let mut client = Exchange::new();
    let mut step = |(opcode, delta, initial, exptime): (u8, u64, u64, u32), key, cas| {
        let numbers = [delta.to_be_bytes(), initial.to_be_bytes()].concat();
        let extras = [&numbers[..], &exptime.to_be_bytes()].concat();
        let packet = Packet {
            opcode,
            extras: &extras,
            key,
            value: b"",
            cas,
        };
        one(&mut client, packet)
    };
    assert_eq!(said(&step((5, 1, 7, u32::MAX), "n", 0)), NOT_FOUND);
    let created = step((5, 1, 7, 0), "n", 0);
    assert_eq!((created.status, number(&created.value)), (0, 7));
    assert_eq!(number(&step((5, 5, 0, 0), "n", created.cas).value), 12);
    assert_eq!(said(&step((6, 5, 0, 0), "n", created.cas)), EXISTS);
    assert_eq!(number(&step((6, 50, 0, 0), "n", 0).value), 0);
    assert_eq!(number(&step((6, 1, 3, 100), "m", 0).value), 3);
    let text = one(&mut client, store(1, "t", b"x"));
    assert_eq!(said(&text), OK);
    let packet = Packet {
        opcode: 5,
        extras: &[0; 20],
        ..get("t")
    };
    let text = "Non-numeric server-side value for incr or decr";
    assert_eq!(said(&one(&mut client, packet)), (6, text));
}

#[test]
fn lifetimes_are_unsigned() {
    let mut client = Exchange::new();
    let lasting = |opcode, exptime: &'static [u8; 8]| Packet {
        opcode,
        extras: exptime,
        key: "k",
        value: b"v",
        cas: 0,
    };
    // 0xffffffff is far away, and not "expired".
    one(&mut client, lasting(1, b"\0\0\0\0\xff\xff\xff\xff"));
    assert_eq!(one(&mut client, get("k")).value, b"v");
    one(&mut client, lasting(1, b"\0\0\0\0\0\0\0\x0a"));
    let touch = |opcode, extras: &'static [u8; 4]| Packet {
        opcode,
        extras,
        ..get("k")
    };
    let touched = one(&mut client, touch(0x1c, b"\0\0\0\x14"));
    assert_eq!(
        (touched.status, &touched.extras[..], &touched.value[..]),
        (0, &[0; 4][..], &b""[..])
    );
    client.advance(Duration::from_secs(19));
    assert_eq!(one(&mut client, touch(0x1d, b"\0\0\0\x14")).value, b"v");
    client.advance(Duration::from_secs(20));
    assert_eq!(
        said(&one(&mut client, touch(0x1c, b"\0\0\0\x14"))),
        NOT_FOUND
    );
}

#[test]
fn flushes_happen_now_or_later() {
    let mut client = Exchange::new();
    let flush = |extras| Packet {
        opcode: 8,
        extras,
        ..Packet::default()
    };
    one(&mut client, store(1, "k", b"v"));
    assert_eq!(said(&one(&mut client, flush(b"\0\0\0\x0a"))), OK);
    assert_eq!(one(&mut client, get("k")).status, 0);
    client.advance(Duration::from_secs(10));
    assert_eq!(one(&mut client, get("k")).status, 1);
    one(&mut client, store(1, "k", b"v"));
    one(&mut client, flush(b""));
    assert_eq!(one(&mut client, get("k")).status, 1);
    let mut forbidden = Exchange::with(|config| config.allows_flush = false);
    assert_eq!(
        said(&one(&mut forbidden, flush(b""))),
        (0x20, "Auth failure.")
    );
}

#[test]
fn plain_requests() {
    let mut client = Exchange::new();
    let plain = |opcode| Packet {
        opcode,
        ..Packet::default()
    };
    assert_eq!(said(&one(&mut client, plain(0x0a))), OK);
    assert_eq!(said(&one(&mut client, plain(0x0b))), (0, "1.6.45"));
    // Without a password file there is no SASL; an unknown request is skipped in full.
    let unknown = (0x81, "Unknown command");
    for opcode in [0x1b, 0x20, 0x30, 0xff] {
        assert_eq!(said(&one(&mut client, plain(opcode))), unknown);
    }
    for opcode in [0x21, 0x22, 0x25, 0x40] {
        let full = store(opcode, "PLAIN", b"\0user\0password");
        let full = Packet {
            extras: if opcode < 0x23 { b"" } else { full.extras },
            ..full
        };
        assert_eq!(said(&one(&mut client, full)), unknown);
    }
    // What a request has no use for is skipped as well.
    for (opcode, extras) in [(0x10, &b""[..]), (0x1c, &[0; 4]), (0x1d, &[0; 4])] {
        let surplus = Packet {
            opcode,
            extras,
            key: "nothing",
            value: b"surplus",
            cas: 0,
        };
        assert_eq!(said(&one(&mut client, surplus)), NOT_FOUND);
    }
    assert_eq!(said(&one(&mut client, plain(0x07))), OK);
    assert!(client.answer().1, "a quit closes");
}

#[test]
fn statistics_come_a_packet_each() {
    let mut client = Exchange::new();
    let stat = |key| Packet {
        opcode: 0x10,
        ..get(key)
    };
    for (topic, name) in [
        ("", "cmd_get"),
        ("settings", "maxconns"),
        ("sizes", "sizes_status"),
    ] {
        let lines = all(&mut client, stat(topic));
        assert!(
            lines.iter().any(|line| line.key == name.as_bytes()),
            "{topic}"
        );
        let end = lines.last().unwrap();
        assert!(end.key.is_empty() && end.value.is_empty());
    }
    assert_eq!(said(&one(&mut client, stat("detail on"))), OK);
    one(&mut client, store(1, "a:b", b"v"));
    let dump = all(&mut client, stat("detail dump"));
    assert_eq!(dump[0].key, b"detailed");
    assert_eq!(
        dump[0].value,
        b"PREFIX a get 0 hit 0 set 1 del 0\r\nEND\r\n"
    );
    assert_eq!(said(&one(&mut client, stat("reset"))), OK);
    for unknown in ["nothing", "detail", "detail x", "cachedump"] {
        assert_eq!(said(&one(&mut client, stat(unknown))), NOT_FOUND);
    }
}

/// Sends bytes to a server of their own: the first thing it says, and it must close.
fn ended_with(bytes: &[u8]) -> (u16, String) {
    let mut client = Exchange::new();
    client.send(bytes);
    let (answer, closed) = client.answer();
    assert!(closed, "{}", bytes.escape_ascii());
    let first = replies(&answer).remove(0);
    let (status, text) = said(&first);
    (status, text.to_owned())
}

#[test]
fn lengths_that_contradict_each_other_end_the_connection() {
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = store(1, "key", b"v").bytes();
        change(&mut bytes);
        ended_with(&bytes)
    };
    let unknown = (0x81, "Unknown command".to_owned());
    assert_eq!(broken(&|bytes| bytes[11] = 3), unknown);
    assert_eq!(broken(&|bytes| bytes[2] = 0xff), unknown);
    assert_eq!(broken(&|bytes| bytes[8..12].fill(0xff)).0, INVALID.0);
    let mut client = Exchange::new();
    one(&mut client, store(1, "k", b"v"));
    let mut bytes = get("k").bytes();
    bytes[0] = 0x81;
    client.send(&bytes);
    assert_eq!(
        client.answer(),
        (Vec::new(), true),
        "no request: not a word"
    );
}

/// A client that says one length and sends another is out of step: what it means as a value is read as
/// headers, and the connection ends at the first that is none. What was said before stands.
#[test]
fn a_stream_out_of_step_ends_at_the_first_byte_that_begins_no_packet() {
    for (announced, sent) in [(3, "abcd"), (0, "a"), (2, "abc"), (1, "ab")] {
        let mut client = Exchange::new();
        one(&mut client, store(1, "k", b"old"));
        let mut bytes = store(1, "k", &sent.as_bytes()[..announced]).bytes();
        bytes.extend(&sent.as_bytes()[announced..]);
        bytes.extend(get("k").bytes());
        client.send(&bytes);
        let (answer, closed) = client.answer();
        assert!(closed, "{announced} of {sent}");
        assert_eq!(
            replies(&answer).len(),
            1,
            "the store's, and nothing behind it"
        );
    }
    // Too few bytes of a value: the next packet's header is its end, and the rest of it no header.
    let mut client = Exchange::new();
    let mut bytes = store(1, "k", b"abcd").bytes();
    bytes.truncate(bytes.len() - 1);
    bytes.extend(get("k").bytes());
    client.send(&bytes);
    let (answer, closed) = client.answer();
    assert!(closed && replies(&answer).len() == 1);
}

#[test]
fn parts_that_a_verb_does_not_have_end_the_connection() {
    let long_key = "k".repeat(251);
    let shape = |opcode, extras, key, value| Packet {
        opcode,
        extras,
        key,
        value,
        cas: 0,
    };
    for packet in [
        shape(0x00, b"", &long_key, b""),
        shape(0x00, b"", "", b""),
        shape(0x00, b"", "k", b"v"),
        shape(0x00, b"x", "k", b""),
        shape(0x01, b"12345678", "", b"v"),
        shape(0x01, b"x", "k", b"v"),
        shape(0x0e, b"x", "k", b"v"),
        shape(0x05, b"", "k", b""),
        shape(0x0b, b"", "k", b""),
        shape(0x08, b"x", "", b""),
        shape(0x1c, b"", "k", b""),
    ] {
        assert_eq!(
            ended_with(&packet.bytes()),
            (INVALID.0, INVALID.1.to_owned())
        );
    }
}

#[test]
fn a_value_too_large_is_skipped_and_takes_the_old_one_with_it() {
    let mut client = Exchange::new();
    let large = vec![b'x'; 1 << 20];
    one(&mut client, store(1, "k", b"old"));
    assert_eq!(
        said(&one(&mut client, store(2, "k", &large))),
        (3, "Too large.")
    );
    assert_eq!(one(&mut client, get("k")).value, b"old");
    assert_eq!(
        said(&one(&mut client, store(1, "k", &large))),
        (3, "Too large.")
    );
    assert_eq!(said(&one(&mut client, get("k"))), NOT_FOUND);
}

#[test]
fn the_first_byte_decides_unless_the_listener_does() {
    let version = Packet {
        opcode: 0x0b,
        ..Packet::default()
    };
    let mut text = Exchange::new();
    text.send(b"version\r\n");
    text.send(&version.bytes());
    text.send(b"\r\n");
    let (answer, _) = text.answer();
    assert!(
        answer.starts_with(b"VERSION 1.6.45\r\nERROR\r\n"),
        "text it stays"
    );
    let mut ascii = Exchange::with(|config| config.protocol = Protocol::Ascii);
    ascii.send(&version.bytes());
    assert_eq!(ascii.answer(), (Vec::new(), false), "a line without end");
    let mut binary = Exchange::with(|config| config.protocol = Protocol::Binary);
    binary.send(b"version\r\n");
    assert_eq!(binary.answer(), (Vec::new(), false), "less than a header");
    binary.send(b"version\r\nversion\r\n");
    assert_eq!(binary.answer(), (Vec::new(), true));
}

#[test]
fn the_table_of_opcodes_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `0x"));
    let listed: Vec<u8> = rows
        .flat_map(|row| row.split('`').filter_map(|word| word.strip_prefix("0x")))
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect();
    for opcode in 0..=u8::MAX {
        let mut client = Exchange::new();
        let extras = if (0x1c..0x20).contains(&opcode) {
            &[0; 4][..]
        } else {
            b""
        };
        let packet = Packet {
            opcode,
            extras,
            ..Packet::default()
        };
        client.send(&packet.bytes());
        let first = replies(&client.answer().0).into_iter().next();
        let is_sasl = (0x20..0x23).contains(&opcode);
        let unknown = first.is_some_and(|reply| reply.status == 0x81) && !is_sasl;
        assert_eq!(listed.contains(&opcode), !unknown, "{opcode:#x}");
    }
}
