//! The classic text protocol.

use super::lines::{line, number, push_number, refused};
use super::{Answer, Meaning, Op, Question, Value, Whose};
use crate::content::Content;

pub(super) fn push_get(keys: &[u64], content: &Content, out: &mut Vec<u8>) {
    out.extend_from_slice(b"get");
    for &key in keys {
        out.push(b' ');
        content.push_key(key, out);
    }
    out.extend_from_slice(b"\r\n");
}

pub(super) fn push_set(key: u64, content: &Content, out: &mut Vec<u8>) {
    let value_bytes = content.value_bytes(key);
    out.extend_from_slice(b"set ");
    content.push_key(key, out);
    out.extend_from_slice(b" 0 ");
    push_number(content.ttl_seconds(key) as usize, out);
    out.push(b' ');
    push_number(value_bytes, out);
    out.extend_from_slice(b"\r\n");
    content.push_value(key, value_bytes, out);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn push_delete(key: u64, content: &Content, out: &mut Vec<u8>) {
    out.extend_from_slice(b"delete ");
    content.push_key(key, out);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn push_touch(key: u64, content: &Content, out: &mut Vec<u8>) {
    out.extend_from_slice(b"touch ");
    content.push_key(key, out);
    out.push(b' ');
    push_number(content.ttl_seconds(key) as usize, out);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn understand(head: &[u8], question: Question) -> Option<Meaning<'_>> {
    let line = line(head)?;
    let answer = match (question.op, line) {
        (Op::Get, b"END") | (Op::Set, b"STORED") => Answer::Done,
        (Op::Delete, b"DELETED") | (Op::Touch, b"TOUCHED") => Answer::Done,
        (Op::Delete | Op::Touch, b"NOT_FOUND") => Answer::Absent,
        (Op::Get, _) => return value(line).or_else(|| refused(line)),
        _ => return refused(line),
    };
    Some(Meaning::done(answer))
}

/// `VALUE key flags length`, and nothing behind it: a cas unique was not asked for.
fn value(line: &[u8]) -> Option<Meaning<'_>> {
    let words = line.strip_prefix(b"VALUE ")?;
    let key_end = memchr::memchr(b' ', words)?;
    let (key, rest) = words.split_at(key_end);
    let flags_end = memchr::memchr(b' ', &rest[1..])?;
    Some(Meaning::Value(Value {
        whose: Whose::Key(key),
        skip_bytes: 0,
        value_bytes: number(&rest[flags_end + 2..])?,
        has_line_end: true,
        is_last: false,
    }))
}
