//! What must hold of the parsers for any bytes, for the fuzz targets: each takes bytes, understands
//! them and panics if something is wrong. No part of the library's interface.

use crate::protocol::base64::{self, Decoded};
use crate::protocol::binary::{Body, HEADER_BYTES, Packet};
use crate::protocol::meta::{MetaLine, Request, Verb};
use crate::protocol::text::{self, Command, KEY_BYTES_MAX, Line, Refusal, tokens};

/// Longer data blocks are not announced.
const VALUE_BYTES_MAX: usize = i32::MAX as usize;

/// Any bytes as a line of the text protocols.
pub fn check_text(bytes: &[u8]) {
    let line = line_of(bytes);
    assert!(text::line_bytes_max(&line) >= 2048);
    match text::parse(&line) {
        Line::Command(Command::Retrieve(retrieve)) => {
            assert!(tokens(retrieve.keys).count() > 0);
            tokens(retrieve.keys).for_each(check_key);
        }
        Line::Command(Command::Store(store)) => {
            check_key(store.key);
            assert!(store.value_bytes <= VALUE_BYTES_MAX);
        }
        Line::Command(
            Command::Delete { key, .. } | Command::Count { key, .. } | Command::Touch { key, .. },
        ) => check_key(key),
        Line::Refused(refusal) => check_refusal(&refusal),
        Line::Meta(_) | Line::Command(_) | Line::Hangup => {}
    }
}

/// Any bytes behind every word of the meta protocol.
pub fn check_meta(bytes: &[u8]) {
    let line = line_of(bytes);
    let rest = line.strip_suffix(b"\n").unwrap_or(&line);
    for verb in [
        Verb::Get,
        Verb::Store,
        Verb::Delete,
        Verb::Count,
        Verb::Inspect,
    ] {
        let mut decoded = Decoded::new();
        match MetaLine::new(verb, rest).parse(&mut decoded) {
            Ok(request) => check_request(verb, &request),
            Err(refusal) => {
                check_refusal(&refusal);
                assert!(refusal.reply.is_some(), "errors are never quiet");
            }
        }
    }
}

fn check_request(verb: Verb, request: &Request<'_>) {
    check_key(request.key);
    assert!(request.value_bytes <= VALUE_BYTES_MAX);
    assert!(verb == Verb::Store || request.value_bytes == 0);
    if verb != Verb::Inspect {
        for token in tokens(request.flags) {
            assert!(token.first().is_some_and(|&flag| request.has(flag)));
        }
        assert_eq!(request.has(b'b'), request.key_is_binary);
        assert!(request.has(b'C') || request.cas.is_none());
    }
    if request.key_is_binary {
        // What was decoded leniently has one canonical form.
        let mut text = Vec::new();
        base64::encode(&mut text, request.key);
        assert!(text.len() <= KEY_BYTES_MAX);
        let mut again = Decoded::new();
        assert!(again.decode(&text).is_some());
        assert_eq!(again.bytes(), request.key);
    }
}

/// Any bytes as the start of a packet, whole and in every length.
pub fn check_binary(bytes: &[u8]) {
    for end in 0..=bytes.len() {
        let arrived = bytes.get(..end).unwrap_or_default();
        let packet = Packet::parse(arrived);
        assert_eq!(packet == Packet::Incomplete, end < HEADER_BYTES);
        assert!(
            end < HEADER_BYTES || packet == Packet::parse(bytes),
            "the header decides"
        );
        let Packet::Request { header, .. } = packet else {
            continue;
        };
        assert!(header.key_bytes <= KEY_BYTES_MAX && header.body_bytes <= 1 << 30);
        assert!(header.value_at() + header.value_bytes() == header.packet_bytes());
        let body = Body::cut(&header, arrived);
        let _ = (body.extra_u32(0), body.extra_u64(8), body.extra_u32(16));
        if end >= header.value_at() {
            assert_eq!(body.key.len(), header.key_bytes);
            assert_eq!(body.extras.len(), header.extras_bytes);
            assert!(body.value.len() <= header.value_bytes());
        }
    }
}

/// The bytes up to their first line end, with one.
fn line_of(bytes: &[u8]) -> Vec<u8> {
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    [line, b"\n"].concat()
}

fn check_key(key: &[u8]) {
    assert!(!key.is_empty() && key.len() <= KEY_BYTES_MAX);
}

fn check_refusal(refusal: &Refusal) {
    assert!(refusal.swallow_bytes <= VALUE_BYTES_MAX);
    assert!(refusal.reply.is_none_or(|reply| reply.ends_with("\r\n")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_checks_holds_of_what_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines().filter_map(|line| line.strip_prefix("> ")) {
                check_text(line.as_bytes());
                check_meta(line.get(3..).unwrap_or_default().as_bytes());
            }
        }
        for opcode in 0..=u8::MAX {
            let mut packet = vec![0; 40];
            packet.splice(..2, [0x80, opcode]);
            for (key, extras) in [(1, 0), (1, 8), (1, 4), (1, 20), (0, 0)] {
                packet.splice(3..5, [key, extras]);
                packet.splice(11..12, [key + extras]);
                check_binary(&packet);
            }
        }
    }
}
