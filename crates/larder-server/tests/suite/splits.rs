//! However a stream of bytes is cut, the answer is the same.

use proptest::prelude::*;

use crate::exchange::Exchange;
use crate::packet::Packet;

/// Commands that take a key and a number, or refuse them.
const WORDS: &[&str] = &[
    "get",
    "gets",
    "gat 10",
    "gats x",
    "delete",
    "incr",
    "decr",
    "touch",
    "flush_all",
    "version",
    "verbosity",
    "stats x",
    "slabs automove",
    "lru temp_ttl",
    "lru_crawler sleep",
    "bogus",
    "",
    " get",
];

/// Pieces that streams are made of: well-formed commands, malformed ones, and plain bytes.
fn a_fragment() -> impl Strategy<Value = Vec<u8>> {
    let key =
        || prop_oneof![8 => "[a-d]{1,2}", 1 => Just("k".repeat(250)), 1 => Just("k".repeat(251))];
    let verb = || prop::sample::select(vec!["set", "add", "replace", "append", "prepend", "cas"]);
    let value = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        2 => Just(b"12".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1000..4000),
        1 => Just(vec![b'v'; 1 << 20]),
    ];
    let tail = || {
        prop::sample::select(vec![
            "",
            " ",
            " noreply",
            " noreply ",
            " junk",
            " 3 noreply",
        ])
    };
    let number = || prop::sample::select(vec!["0", "1", "-1", "+1", "x", "4294967297", "2592001"]);
    let off_by = prop_oneof![10 => Just(0_i64), 1 => -2..3_i64];
    let store = (verb(), key(), number(), number(), value, off_by, tail()).prop_map(
        |(verb, key, flags, exptime, value, off_by, tail)| {
            let length = i64::try_from(value.len()).unwrap() + off_by;
            let line = format!("{verb} {key} {flags} {exptime} {length}{tail}\r\n");
            [line.as_bytes(), &value, b"\r\n"].concat()
        },
    );
    let line = (prop::sample::select(WORDS), key(), number(), tail()).prop_map(
        |(word, key, number, tail)| format!("{word} {key} {number}{tail}\r\n").into_bytes(),
    );
    let many_keys = (key(), 1..3000_usize).prop_map(|(key, count)| {
        format!("get{}\r\n", format!(" {key}").repeat(count)).into_bytes()
    });
    let raw = prop::collection::vec(
        prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), any::<u8>()],
        1..30,
    );
    let rare = prop::sample::select(vec![
        b"quit\r\n".to_vec(),
        b"watch evictions\r\n".to_vec(),
        b"lru_crawler metadump 2\r\n".to_vec(),
        b"stats detail on\r\n".to_vec(),
        b"stats detail dump\r\n".to_vec(),
        b"cache_memlimit 8\r\n".to_vec(),
        b"lru_crawler mgdump 63 noreply\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        vec![b'x'; 2060],
        [&b"version"[..], &[b' '; 17_000], b"\n"].concat(),
    ]);
    prop_oneof![10 => store, 10 => line, 10 => a_meta_line(), 2 => many_keys, 2 => raw, 1 => rare]
}

/// Lines of the meta protocol, with a data block where one belongs.
fn a_meta_line() -> impl Strategy<Value = Vec<u8>> {
    let meta_words = ["mg", "ms", "md", "ma", "me", "mn"];
    let meta_flags = [
        "v", "k", "q", "s", "t", "c", "b", "O1", "T9", "N9", "C1", "E5", "MA", "I", "x", "D3",
        "J1", "S",
    ];
    (
        prop::sample::select(meta_words.to_vec()),
        prop_oneof![8 => "[a-d]{1,2}", 1 => Just("k".repeat(251))],
        prop::collection::vec(prop::sample::select(meta_flags.to_vec()), 0..5),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(word, key, flags, block)| {
            let flags = flags.join(" ");
            if word != "ms" {
                return format!("{word} {key} {flags}\r\n").into_bytes();
            }
            let line = format!("{word} {key} {} {flags}\r\n", block.len());
            [line.as_bytes(), &block, b"\r\n"].concat()
        })
}

/// Packets of the binary protocol, well-formed ones and others.
fn a_packet() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![8 => 0..0x25_u8, 1 => any::<u8>()];
    let extras = prop::sample::select(vec![0_usize, 0, 4, 8, 20]);
    let value = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(vec![b'v'; 1 << 20]),
    ];
    let key = prop_oneof![1 => Just(String::new()), 20 => "[a-d]{1,2}"];
    (opcode, extras, key, value, 0..3_u64).prop_map(|(opcode, extras, key, value, cas)| {
        // Statistics tell the time. Most verbs have extras of one length and either a value or none.
        let opcode = if opcode == 0x10 { 0x0a } else { opcode };
        let stores = matches!(opcode, 1..=3 | 0x0e | 0x0f | 0x11..=0x13 | 0x19 | 0x1a);
        let packet = Packet {
            opcode,
            extras: &vec![0; extras],
            key: &key,
            value: if stores || extras == 20 { &value } else { b"" },
            cas,
        };
        packet.bytes()
    })
}

fn answer(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, bool) {
    let mut exchange = Exchange::new();
    let mut start = 0;
    for &cut in cuts {
        exchange.send(&stream[start..cut]);
        start = cut;
    }
    exchange.send(&stream[start..]);
    exchange.answer()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_split_gives_the_same_output(
        fragments in prop::collection::vec(a_fragment(), 1..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        byte_by_byte in any::<prop::sample::Index>(),
    ) {
        let stream = fragments.concat();
        prop_assert!(is_the_same_cut(&stream, &cuts, byte_by_byte), "{}", stream.escape_ascii());
    }

    #[test]
    fn any_split_of_packets_gives_the_same_output(
        packets in prop::collection::vec(a_packet(), 1..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        byte_by_byte in any::<prop::sample::Index>(),
    ) {
        let stream = packets.concat();
        prop_assert!(is_the_same_cut(&stream, &cuts, byte_by_byte), "{}", stream.escape_ascii());
    }
}

/// Whether a stream is answered alike in one piece and cut, with a stretch that comes byte by byte.
fn is_the_same_cut(
    stream: &[u8],
    cuts: &[prop::sample::Index],
    byte_by_byte: prop::sample::Index,
) -> bool {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
    let start = byte_by_byte.index(stream.len());
    cuts.extend(start..stream.len().min(start + 300));
    cuts.sort_unstable();
    answer(stream, &[]) == answer(stream, &cuts)
}
