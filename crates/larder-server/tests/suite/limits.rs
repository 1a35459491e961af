//! What `-I` lets through: the same values as memcached, stored at once or joined.

use crate::exchange::Exchange;
use crate::packet::{Packet, one, said};

const ITEM_BYTES_MAX: usize = 1024;
/// What memcached adds to a key and a value.
const OVERHEAD_BYTES: usize = 59;

/// Answers to storing `old_bytes` under `key` and joining what fills the item to the limit, and one more.
fn joined(key: &str, flags: u32, old_bytes: usize, command: &str) -> Vec<String> {
    let flags_bytes = if flags == 0 { 0 } else { 4 };
    let room = ITEM_BYTES_MAX - OVERHEAD_BYTES - key.len() - flags_bytes - old_bytes;
    let answers = [room, room + 1].map(|bytes| {
        let mut client = Exchange::with(|config| config.item_bytes_max = ITEM_BYTES_MAX);
        let (old, new) = ("o".repeat(old_bytes), "n".repeat(bytes));
        client.send(format!("set {key} {flags} 0 {old_bytes}\r\n{old}\r\n").as_bytes());
        client.answer();
        let line = match command {
            "ms" => format!("ms {key} {bytes} MA"),
            _ => format!("{command} {key} 0 0 {bytes}"),
        };
        client.send(format!("{line}\r\n{new}\r\n").as_bytes());
        String::from_utf8(client.answer().0).unwrap()
    });
    answers.to_vec()
}

#[test]
fn a_joined_value_has_the_limit_of_its_item() {
    for key in ["k", "a-longer-key"] {
        for flags in [0, 7] {
            for command in ["append", "prepend"] {
                let expected = ["STORED\r\n", "NOT_STORED\r\n"];
                assert_eq!(joined(key, flags, 100, command), expected, "{key} {flags}");
            }
            assert_eq!(joined(key, flags, 100, "ms"), ["HD\r\n", "NS\r\n"]);
        }
    }
}

/// Without cas uniques `C` compares nothing, but lets nothing pass the limit either.
#[test]
fn a_condition_that_is_ignored_does_not_lift_the_limit() {
    let mut client = Exchange::with(|config| {
        config.item_bytes_max = ITEM_BYTES_MAX;
        config.cas = false;
    });
    let value = "v".repeat(ITEM_BYTES_MAX - 100);
    client.send(
        format!(
            "ms k {} \r\n{value}\r\nms k 200 MA C5\r\n{}\r\nms k 2 MA C5\r\nab\r\n",
            value.len(),
            "w".repeat(200)
        )
        .as_bytes(),
    );
    assert_eq!(
        String::from_utf8(client.answer().0).unwrap(),
        "HD\r\nNS\r\nHD\r\n"
    );
}

#[test]
fn a_packet_that_joins_too_much_stores_nothing() {
    let mut client = Exchange::with(|config| config.item_bytes_max = ITEM_BYTES_MAX);
    let value = vec![b'v'; ITEM_BYTES_MAX - OVERHEAD_BYTES - 1];
    let set = Packet {
        opcode: 0x01,
        key: "k",
        extras: &[0; 8],
        value: &value,
        ..Packet::default()
    };
    assert_eq!(said(&one(&mut client, set)), (0, ""));
    let append = Packet {
        opcode: 0x0e,
        key: "k",
        value: b"x",
        ..Packet::default()
    };
    assert_eq!(said(&one(&mut client, append)), (5, "Not stored."));
}
