//! Wire transcripts: what is sent and what must come back, byte for byte.
//!
//! ```text
//! # a comment
//! > get key            sent, with CR LF behind it
//! >| raw\x00bytes      sent as it stands: no line end; \r \n \xNN and {text*count} are replaced
//! < END                expected, with CR LF behind it
//! <| raw               expected as it stands
//! < (nothing)          expected: no byte
//! < (close)            expected: the connection is closed
//! ~ 1500               the clock moves by that many milliseconds
//! ```
//! Every transcript runs twice: each send in one piece, and byte by byte.

use std::path::Path;
use std::time::Duration;

use crate::exchange::Exchange;

#[test]
fn every_transcript_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() >= 8, "the transcripts are there");
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        run(name, &text, usize::MAX);
        run(name, &text, 1);
    }
}

/// What was expected since the last send, checked when the next one comes.
#[derive(Default)]
struct Expected {
    bytes: Vec<u8>,
    close: bool,
    line: usize,
}

fn run(name: &str, text: &str, piece_bytes: usize) {
    let mut exchange = Exchange::new();
    let mut expected = Expected::default();
    let mut was_expecting = false;
    for (number, line) in text.lines().enumerate() {
        let (mark, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
        let rest = rest.strip_prefix(' ').unwrap_or_default();
        let expects = mark.starts_with('<');
        if was_expecting && !expects && !line.is_empty() && mark != "#" {
            check(name, &mut exchange, &std::mem::take(&mut expected));
        }
        was_expecting = expects || was_expecting && (line.is_empty() || mark == "#");
        expected.line = number + 1;
        match mark {
            "" | "#" => {}
            ">" => send(
                &mut exchange,
                &[&unescape(rest)[..], b"\r\n"].concat(),
                piece_bytes,
            ),
            ">|" => send(&mut exchange, &unescape(rest), piece_bytes),
            "<" if rest == "(nothing)" => {}
            "<" if rest == "(close)" => expected.close = true,
            "<" => expected
                .bytes
                .extend([&unescape(rest)[..], b"\r\n"].concat()),
            "<|" => expected.bytes.extend(unescape(rest)),
            "~" => exchange.advance(Duration::from_millis(rest.parse().unwrap())),
            other => panic!("{name}:{}: unknown mark {other:?}", number + 1),
        }
    }
    check(name, &mut exchange, &expected);
}

fn send(exchange: &mut Exchange, bytes: &[u8], piece_bytes: usize) {
    for piece in bytes.chunks(piece_bytes.min(bytes.len().max(1))) {
        exchange.send(piece);
    }
}

fn check(name: &str, exchange: &mut Exchange, expected: &Expected) {
    let (bytes, closed) = exchange.answer();
    let at = format!("{name}, before line {}", expected.line + 1);
    assert_eq!(
        bytes.escape_ascii().to_string(),
        expected.bytes.escape_ascii().to_string(),
        "{at}"
    );
    assert_eq!(closed, expected.close, "{at}: closed");
}

/// Replaces `\r`, `\n`, `\xNN` and `{text*count}`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (piece, used) = if let Some(hex) = rest.strip_prefix("\\x") {
            (vec![u8::from_str_radix(&hex[..2], 16).unwrap()], 4)
        } else if rest.starts_with("\\r") {
            (b"\r".to_vec(), 2)
        } else if rest.starts_with("\\n") {
            (b"\n".to_vec(), 2)
        } else if let Some((repeat, _)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            let (text, count) = repeat.split_once('*').unwrap();
            (
                text.repeat(count.parse().unwrap()).into_bytes(),
                repeat.len() + 2,
            )
        } else {
            (first.to_string().into_bytes(), first.len_utf8())
        };
        bytes.extend(piece);
        rest = &rest[used..];
    }
    bytes
}
