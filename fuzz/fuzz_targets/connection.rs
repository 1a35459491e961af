//! Any bytes on a connection of any protocol, cut in any way: no panic, bounded output, and the same
//! answer as uncut. Pieces that look like commands take the fuzzer behind the parsers sooner.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use larder::ManualClock;
use larder_server::{Config, Next, Protocol, Session, cache_builder};
use libfuzzer_sys::fuzz_target;

/// More than a connection may owe at once: the bound on output, and one value.
const OUTPUT_BYTES_MAX: usize = (256 << 10) + (1 << 20) + 4096;

const WORDS: [&str; 26] = [
    "get",
    "gets",
    "gat 1",
    "gats 0",
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "delete",
    "incr",
    "decr",
    "touch",
    "flush_all",
    "version",
    "verbosity",
    "mn",
    "mg",
    "ms",
    "md",
    "ma",
    "me",
    "bogus",
    "quit",
    "",
];
const ARGUMENTS: [&str; 32] = [
    "0", "1", "-1", "9", "250", "noreply", "b", "k", "q", "v", "c", "s", "t", "f", "h", "l", "u",
    "I", "x", "O1", "T30", "N30", "R30", "C1", "E9", "F5", "MA", "ME", "J9", "D3", "Zm9v", "S",
];

#[derive(Arbitrary, Debug)]
enum Piece {
    Raw(Vec<u8>),
    /// A word, a key, arguments, and a data block that may be of the length that the line says.
    Line {
        word: u8,
        key: u8,
        arguments: Vec<u8>,
        block: Option<Vec<u8>>,
    },
    Packet {
        opcode: u8,
        extras: Vec<u8>,
        key: u8,
        value: Vec<u8>,
        cas: u8,
        lie: Option<u8>,
    },
}

#[derive(Arbitrary, Debug)]
struct Input {
    protocol: u8,
    cuts: Vec<u16>,
    pieces: Vec<Piece>,
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.clone(),
            Self::Line {
                word,
                key,
                arguments,
                block,
            } => {
                let word = WORDS[usize::from(*word) % WORDS.len()];
                let mut line = format!("{word} {}", key_of(*key));
                if let (Some(block), true) = (block, word == "ms") {
                    line += &format!(" {}", block.len());
                }
                for argument in arguments.iter().take(24) {
                    line += " ";
                    line += ARGUMENTS[usize::from(*argument) % ARGUMENTS.len()];
                }
                if let (Some(block), true) = (block, word != "ms") {
                    line = format!("{word} {} 0 0 {}", key_of(*key), block.len());
                }
                let end = block.as_ref().map_or(&b""[..], |_| b"\r\n");
                let block = block.as_deref().unwrap_or_default();
                [line.as_bytes(), b"\r\n", block, end].concat()
            }
            Self::Packet {
                opcode,
                extras,
                key,
                value,
                cas,
                lie,
            } => {
                let key = key_of(*key);
                let extras = &extras[..extras.len().min(20)];
                let body = extras.len() + key.len() + value.len();
                let mut bytes = vec![0; 24];
                bytes[0] = 0x80;
                // Statistics tell times and process ids, which differ between two runs.
                bytes[1] = if *opcode == 0x10 { 0x0a } else { *opcode };
                bytes[2..4].copy_from_slice(&(key.len() as u16).to_be_bytes());
                bytes[4] = extras.len() as u8;
                bytes[8..12].copy_from_slice(&(body as u32).to_be_bytes());
                bytes[23] = *cas;
                if let Some(lie) = lie {
                    bytes[2 + usize::from(*lie) % 10] ^= 1 << (lie % 8);
                }
                [&bytes, extras, key.as_bytes(), value].concat()
            }
        }
    }
}

fn key_of(number: u8) -> String {
    match number {
        0 => String::new(),
        1 => "k".repeat(251),
        2 => "Zm9v".to_owned(),
        other => format!("k{}", other % 4),
    }
}

fn answer(protocol: Protocol, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let mut config = Config::default();
    config.protocol = protocol;
    let cache = cache_builder(4 << 20, &config)
        .shards(1)
        .clock(ManualClock::default())
        .build()
        .expect("a legal configuration");
    let mut session = Session::new(Arc::new(cache), config);
    let mut all = Vec::new();
    let mut output = Vec::new();
    for piece in pieces {
        let mut next = session.receive(piece, &mut output);
        loop {
            assert!(output.len() <= OUTPUT_BYTES_MAX);
            all.append(&mut output);
            match next {
                Next::Drain => next = session.resume(&mut output),
                Next::Input => break,
                Next::Close => return (all, true),
            }
        }
    }
    (all, false)
}

fuzz_target!(|input: Input| {
    let protocol = match input.protocol % 3 {
        0 => Protocol::Auto,
        1 => Protocol::Ascii,
        _ => Protocol::Binary,
    };
    let bytes: Vec<u8> = input.pieces.iter().flat_map(Piece::bytes).collect();
    // What tells times, process ids or the order of the index differs between two runs.
    let differs = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    if differs(b"stats") || differs(b"dump") || differs(b"watch") || differs(&[0x80, 0x10]) {
        return;
    }
    let mut cuts: Vec<usize> = input
        .cuts
        .iter()
        .map(|&cut| usize::from(cut) % (bytes.len() + 1))
        .collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let pieces: Vec<&[u8]> = cuts
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect();
    assert_eq!(answer(protocol, &[&bytes]), answer(protocol, &pieces));
});
