//! Replies are the same however the bytes are cut, and mistakes of a server are told.

use super::*;
use crate::content::{Lengths, Ttls};
use crate::sizes::Sizes;

const BYTES: usize = 20;

fn content() -> Content {
    Content::new("k", 3, Lengths::Drawn(Sizes::Fixed(BYTES)), Ttls::Fixed(0))
}

fn value(key: u64) -> Vec<u8> {
    let mut value = Vec::new();
    content().push_value(key, BYTES, &mut value);
    value
}

/// The requests of the streams below.
fn questions() -> Vec<(Op, Vec<u64>)> {
    vec![
        (Op::Get, vec![1]),
        (Op::Get, vec![2]),
        (Op::Get, vec![3, 4, 5]),
        (Op::Set, vec![6]),
        (Op::Set, vec![7]),
        (Op::Delete, vec![8]),
        (Op::Delete, vec![9]),
        (Op::Touch, vec![10]),
        (Op::Touch, vec![11]),
        (Op::Get, vec![12]),
    ]
}

/// What the streams below say: key, hits, refusals.
const ANSWERS: [(u64, u32, bool); 10] = [
    (1, 1, false),
    (2, 0, false),
    (3, 2, false),
    (6, 1, false),
    (7, 0, true),
    (8, 1, false),
    (9, 0, false),
    (10, 1, false),
    (11, 0, false),
    (12, 1, false),
];

fn text_stream() -> Vec<u8> {
    let hit = |key: u64| {
        [
            format!("VALUE k{key:02} 0 20\r\n").into_bytes(),
            value(key),
            b"\r\n".to_vec(),
        ]
        .concat()
    };
    [
        &hit(1)[..],
        b"END\r\nEND\r\n",
        &hit(3),
        &hit(5),
        b"END\r\nSTORED\r\nSERVER_ERROR out of memory storing object\r\nDELETED\r\nNOT_FOUND\r\n",
        b"TOUCHED\r\nNOT_FOUND\r\n",
        &hit(12),
        b"END\r\n",
    ]
    .concat()
}

fn meta_stream() -> Vec<u8> {
    let hit = |key: u64| {
        [
            format!("VA 20 kk{key:02}\r\n").into_bytes(),
            value(key),
            b"\r\n".to_vec(),
        ]
        .concat()
    };
    [
        &hit(1)[..],
        b"EN kk02\r\n",
        &hit(3),
        &hit(5),
        b"MN\r\nHD\r\nNS\r\nHD\r\nNF\r\nHD\r\nEN\r\n",
        &hit(12),
    ]
    .concat()
}

fn binary_stream() -> Vec<u8> {
    let reply = |opcode: u8, status: u8, place: u8, extras: &[u8], rest: &[u8]| {
        let mut bytes = [0; 24];
        (bytes[0], bytes[1], bytes[7], bytes[15]) = (0x81, opcode, status, place);
        bytes[4] = u8::try_from(extras.len()).unwrap();
        bytes[11] = u8::try_from(extras.len() + rest.len()).unwrap();
        [&bytes[..], extras, rest].concat()
    };
    let flags = [0; 4];
    [
        reply(0, 0, 0, &flags, &value(1)),
        reply(0, 1, 0, &[], b"Not found"),
        reply(9, 0, 0, &flags, &value(3)),
        reply(9, 0, 2, &flags, &value(5)),
        reply(0x0a, 0, 0, &[], b""),
        reply(1, 0, 0, &[], b""),
        reply(1, 0x82, 0, &[], b"Out of memory"),
        reply(4, 0, 0, &[], b""),
        reply(4, 1, 0, &[], b"Not found"),
        reply(0x1c, 0, 0, &flags, b""),
        reply(0x1c, 1, 0, &[], b"Not found"),
        reply(0, 0, 0, &flags, &value(12)),
    ]
    .concat()
}

fn expected(questions: &[(Op, Vec<u64>)]) -> Expected {
    let mut expected = Expected::default();
    for (op, keys) in questions {
        let question = Question {
            op: *op,
            key_count: u32::try_from(keys.len()).unwrap(),
        };
        let pending = Pending {
            question,
            intended_nanos: 0,
        };
        expected.push(pending, keys);
    }
    expected
}

/// Reads pieces one after the other.
fn read(
    protocol: Protocol,
    questions: &[(Op, Vec<u64>)],
    pieces: &[&[u8]],
) -> Result<Vec<Reply>, Box<WrongReply>> {
    let mut reader = Reader::new(protocol, true);
    let mut expected = expected(questions);
    let mut replies = Vec::new();
    for piece in pieces {
        reader.read(piece, &mut expected, &content(), &mut |_, reply| {
            replies.push(reply);
        })?;
    }
    Ok(replies)
}

fn assert_answers(protocol: Protocol, pieces: &[&[u8]]) {
    let replies = read(protocol, &questions(), pieces).unwrap();
    let seen: Vec<_> = replies
        .iter()
        .map(|reply| (reply.key, reply.hits, reply.refusal.is_some()))
        .collect();
    assert_eq!(seen, ANSWERS, "{protocol:?}");
    assert!(replies.iter().all(|reply| reply.wrong == 0));
}

#[test]
fn any_split_gives_the_same_replies() {
    let streams = [
        (Protocol::Text, text_stream()),
        (Protocol::Meta, meta_stream()),
        (Protocol::Binary, binary_stream()),
    ];
    for (protocol, stream) in streams {
        assert_answers(protocol, &[&stream]);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_answers(protocol, &bytes);
        for first in 0..stream.len() {
            let (start, rest) = stream.split_at(first);
            assert_answers(protocol, &[start, rest]);
            let (middle, end) = rest.split_at(rest.len().min(7));
            assert_answers(protocol, &[start, middle, end]);
        }
    }
}

#[test]
fn every_prefix_is_incomplete_and_not_wrong() {
    for (protocol, stream) in [
        (Protocol::Text, text_stream()),
        (Protocol::Meta, meta_stream()),
        (Protocol::Binary, binary_stream()),
    ] {
        for end in 0..stream.len() {
            let replies = read(protocol, &questions(), &[&stream[..end]]).unwrap();
            assert!(replies.len() < ANSWERS.len(), "{protocol:?} {end}");
        }
    }
}

#[test]
fn wrong_values_are_counted() {
    let get = [(Op::Get, vec![1]), (Op::Get, vec![2])];
    let mut changed = value(1);
    changed[BYTES - 1] ^= 1;
    let one = [b"VALUE k01 0 20\r\n", &changed[..], b"\r\nEND\r\n"].concat();
    let two = b"VALUE k02 0 3\r\nabc\r\nEND\r\n".to_vec();
    let replies = read(Protocol::Text, &get, &[&one, &two]).unwrap();
    let wrong: Vec<u32> = replies.iter().map(|reply| reply.wrong).collect();
    assert_eq!(wrong, [1, 1], "one bit; another length");
}

#[test]
fn values_may_come_in_another_order_but_not_for_other_keys() {
    let get = [(Op::Get, vec![1, 2, 2])];
    let hit = |key: u64| {
        [
            format!("VALUE k{key:02} 0 20\r\n").into_bytes(),
            value(key),
            b"\r\n".to_vec(),
        ]
        .concat()
    };
    let replies = read(
        Protocol::Text,
        &get,
        &[&hit(2), &hit(1), &hit(2), b"END\r\n"],
    )
    .unwrap();
    assert_eq!((replies[0].hits, replies[0].wrong), (3, 0));
    let wrong = read(Protocol::Text, &get, &[&hit(3)]).unwrap_err();
    assert_eq!(wrong.reason, "a key not asked for");
    assert_eq!(wrong.request, "`get k01` and 2 more keys");
    let more = [hit(1), hit(2), hit(2), hit(2)].concat();
    let wrong = read(Protocol::Text, &get, &[&more]).unwrap_err();
    assert_eq!(wrong.reason, "more values than keys");
}

#[test]
fn what_is_no_answer_is_told_with_its_request() {
    let get = [(Op::Get, vec![1])];
    let reason = |questions: &[(Op, Vec<u64>)], reply: &[u8]| {
        read(Protocol::Text, questions, &[reply])
            .unwrap_err()
            .reason
    };
    assert_eq!(
        reason(&get, b"HTTP/1.1 400 Bad Request\r\n"),
        "no answer to it"
    );
    assert_eq!(reason(&[], b"END\r\n"), "nothing was asked");
    assert_eq!(
        reason(&get, &[b'x'; HEAD_BYTES_MAX + 1]),
        "a line without an end"
    );
    let no_end = [b"VALUE k01 0 20\r\n", &value(1)[..], b"END\r\n"].concat();
    assert_eq!(reason(&get, &no_end), "no line end behind the value");
    let bytes: Vec<&[u8]> = no_end.chunks(1).collect();
    let wrong = read(Protocol::Text, &get, &bytes).unwrap_err();
    assert_eq!(wrong.reason, "no line end behind the value");
    let endless = vec![&b"xxxxxxxx"[..]; HEAD_BYTES_MAX / 8 + 1];
    let wrong = read(Protocol::Text, &get, &endless).unwrap_err();
    assert_eq!(wrong.reason, "a line without an end");
}

#[test]
fn one_key_of_several_may_be_refused_and_the_others_are_read() {
    let get = [(Op::Get, vec![1, 2])];
    let stream = [
        b"SERVER_ERROR out of memory\r\nVA 20 kk02\r\n",
        &value(2)[..],
        b"\r\nMN\r\n",
    ]
    .concat();
    let replies = read(Protocol::Meta, &get, &[&stream]).unwrap();
    assert_eq!(replies[0].hits, 1);
    assert_eq!(
        replies[0].refusal.as_deref(),
        Some("SERVER_ERROR out of memory")
    );
}
