//! The meta protocol: `mg KEY k v`, several of them quiet with `mn` behind, `ms`, `md`, `mg KEY T`.

use super::lines::{line, number, push_number, refusal, refused};
use super::{Answer, Meaning, Op, Question, Value, Whose};
use crate::content::Content;

pub(super) fn push_get(keys: &[u64], content: &Content, out: &mut Vec<u8>) {
    let is_several = keys.len() > 1;
    for &key in keys {
        out.extend_from_slice(b"mg ");
        content.push_key(key, out);
        let flags: &[u8] = if is_several {
            b" k q v\r\n"
        } else {
            b" k v\r\n"
        };
        out.extend_from_slice(flags);
    }
    if is_several {
        out.extend_from_slice(b"mn\r\n");
    }
}

pub(super) fn push_set(key: u64, content: &Content, out: &mut Vec<u8>) {
    let value_bytes = content.value_bytes(key);
    out.extend_from_slice(b"ms ");
    content.push_key(key, out);
    out.push(b' ');
    push_number(value_bytes, out);
    let ttl_seconds = content.ttl_seconds(key);
    if ttl_seconds > 0 {
        out.extend_from_slice(b" T");
        push_number(ttl_seconds as usize, out);
    }
    out.extend_from_slice(b"\r\n");
    content.push_value(key, value_bytes, out);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn push_delete(key: u64, content: &Content, out: &mut Vec<u8>) {
    out.extend_from_slice(b"md ");
    content.push_key(key, out);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn push_touch(key: u64, content: &Content, out: &mut Vec<u8>) {
    out.extend_from_slice(b"mg ");
    content.push_key(key, out);
    out.extend_from_slice(b" T");
    push_number(content.ttl_seconds(key) as usize, out);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn understand(head: &[u8], question: Question) -> Option<Meaning<'_>> {
    let line = line(head)?;
    let is_several = question.key_count > 1;
    // A miss may come with the flags that were asked for, or without.
    let code = line.split(|&byte| byte == b' ').next()?;
    let answer = match (question.op, code) {
        (Op::Get, b"MN") if is_several => Answer::Done,
        (Op::Get, b"EN") if !is_several => Answer::Done,
        (Op::Set | Op::Delete | Op::Touch, b"HD") => Answer::Done,
        (Op::Delete, b"NF") | (Op::Touch, b"EN") => Answer::Absent,
        (Op::Get, _) if is_several => return value(line, false).or_else(|| lost(line)),
        (Op::Get, _) => return value(line, true).or_else(|| refused(line)),
        _ => return refused(line),
    };
    Some(Meaning::done(answer))
}

/// `VA length kKEY`.
fn value(line: &[u8], is_last: bool) -> Option<Meaning<'_>> {
    let words = line.strip_prefix(b"VA ")?;
    let (length, flags) = words.split_at(memchr::memchr(b' ', words)?);
    Some(Meaning::Value(Value {
        whose: Whose::Key(flags.strip_prefix(b" k")?),
        skip_bytes: 0,
        value_bytes: number(length)?,
        has_line_end: true,
        is_last,
    }))
}

fn lost(line: &[u8]) -> Option<Meaning<'_>> {
    refusal(line).map(|message| Meaning::Lost {
        message,
        body_bytes: 0,
    })
}
