//! What the text and the meta protocol have in common: line ends, numbers, and lines of errors.

use super::{Answer, Meaning, NoVersion};

/// A line without its end; none if it has no CRLF.
pub(super) fn line(head: &[u8]) -> Option<&[u8]> {
    head.strip_suffix(b"\r\n")
}

/// A decimal number.
pub(super) fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit <= 9).then(|| number * 10 + usize::from(digit))
    })
}

/// Writes a decimal number.
pub(super) fn push_number(number: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The message of a line with which a server refuses a request that it understood.
pub(super) fn refusal(line: &[u8]) -> Option<&str> {
    let is_refusal = line.starts_with(b"SERVER_ERROR") || line == b"NOT_STORED" || line == b"NS";
    is_refusal.then(|| std::str::from_utf8(line).unwrap_or("a message that is not UTF-8"))
}

pub(super) fn refused(line: &[u8]) -> Option<Meaning<'_>> {
    refusal(line).map(|message| Meaning::done(Answer::Refused(message)))
}

pub(super) fn version(reply: &[u8]) -> Result<Option<&str>, NoVersion> {
    const START: &[u8] = b"VERSION ";
    let known = START.len().min(reply.len());
    if reply[..known] != START[..known] {
        return Err(NoVersion);
    }
    match reply.split_last() {
        Some((b'\n', text)) => std::str::from_utf8(&text[known..])
            .map(|version| Some(version.trim_end()))
            .map_err(|_| NoVersion),
        _ => Ok(None),
    }
}
