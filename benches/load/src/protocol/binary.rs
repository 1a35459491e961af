//! The binary protocol: a header of 24 bytes, then extras, key and value.
//!
//! Several keys are quiet gets with a no-op behind them; the opaque field, which the server sends
//! back, is the place of the key in the request.

use super::{Answer, Meaning, NoVersion, Op, Question, Value, Whose};
use crate::content::Content;

/// Length of a header.
pub(super) const HEADER_BYTES: usize = 24;
pub(super) const VERSION_REQUEST: [u8; HEADER_BYTES] = header(VERSION, 0, 0, 0, 0);

const REQUEST: u8 = 0x80;
const REPLY: u8 = 0x81;

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const DELETE: u8 = 0x04;
const GET_QUIETLY: u8 = 0x09;
const NO_OP: u8 = 0x0a;
const VERSION: u8 = 0x0b;
const TOUCH: u8 = 0x1c;

const OK: u16 = 0;
const KEY_NOT_FOUND: u16 = 1;

pub(super) fn push_get(keys: &[u64], content: &Content, out: &mut Vec<u8>) {
    if let &[key] = keys {
        push(GET, key, &[], None, content, out);
        return;
    }
    for (place, &key) in (0u32..).zip(keys) {
        let start = out.len();
        push(GET_QUIETLY, key, &[], None, content, out);
        out[start + 12..start + 16].copy_from_slice(&place.to_be_bytes());
    }
    out.extend_from_slice(&header(NO_OP, 0, 0, 0, 0));
}

pub(super) fn push_set(key: u64, content: &Content, out: &mut Vec<u8>) {
    let mut extras = [0; 8];
    extras[4..].copy_from_slice(&content.ttl_seconds(key).to_be_bytes());
    push(
        SET,
        key,
        &extras,
        Some(content.value_bytes(key)),
        content,
        out,
    );
}

pub(super) fn push_delete(key: u64, content: &Content, out: &mut Vec<u8>) {
    push(DELETE, key, &[], None, content, out);
}

pub(super) fn push_touch(key: u64, content: &Content, out: &mut Vec<u8>) {
    push(
        TOUCH,
        key,
        &content.ttl_seconds(key).to_be_bytes(),
        None,
        content,
        out,
    );
}

/// Writes a request; with `value_bytes`, the key's value is its body's last part.
#[expect(
    clippy::cast_possible_truncation,
    reason = "keys, extras and values have limits far below"
)]
fn push(
    opcode: u8,
    key: u64,
    extras: &[u8],
    value_bytes: Option<usize>,
    content: &Content,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.extend_from_slice(extras);
    content.push_key(key, out);
    let key_bytes = out.len() - start - HEADER_BYTES - extras.len();
    let body_bytes = extras.len() + key_bytes + value_bytes.unwrap_or(0);
    out[start..start + HEADER_BYTES].copy_from_slice(&header(
        opcode,
        key_bytes as u16,
        extras.len() as u8,
        body_bytes as u32,
        0,
    ));
    if let Some(bytes) = value_bytes {
        content.push_value(key, bytes, out);
    }
}

const fn header(
    opcode: u8,
    key_bytes: u16,
    extras_bytes: u8,
    body_bytes: u32,
    opaque: u32,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let key = key_bytes.to_be_bytes();
    let body = body_bytes.to_be_bytes();
    let place = opaque.to_be_bytes();
    header[0] = REQUEST;
    header[1] = opcode;
    header[2] = key[0];
    header[3] = key[1];
    header[4] = extras_bytes;
    let mut index = 0;
    while index < 4 {
        header[8 + index] = body[index];
        header[12 + index] = place[index];
        index += 1;
    }
    header
}

pub(super) fn understand(head: &[u8], question: Question) -> Option<Meaning<'_>> {
    let reply = Reply::read(head)?;
    let is_several = question.key_count > 1;
    let asked = match question.op {
        Op::Get if is_several && reply.opcode == NO_OP => NO_OP,
        Op::Get if is_several => GET_QUIETLY,
        Op::Get => GET,
        Op::Set => SET,
        Op::Delete => DELETE,
        Op::Touch => TOUCH,
    };
    if reply.opcode != asked || reply.place >= question.key_count {
        return None;
    }
    let body_bytes = reply.body_bytes;
    let done = |answer| Meaning::Done { answer, body_bytes };
    let meaning = match (reply.status, question.op) {
        (OK, Op::Get) if asked != NO_OP => Meaning::Value(reply.value(!is_several)?),
        (OK, _) => done(Answer::Done),
        (KEY_NOT_FOUND, Op::Get) if !is_several => done(Answer::Done),
        (KEY_NOT_FOUND, Op::Delete | Op::Touch) => done(Answer::Absent),
        (status, _) => {
            let message = refusal(status)?;
            if is_several {
                Meaning::Lost {
                    message,
                    body_bytes,
                }
            } else {
                done(Answer::Refused(message))
            }
        }
    };
    Some(meaning)
}

/// What a status says in which a server refuses a request that it understood.
const fn refusal(status: u16) -> Option<&'static str> {
    Some(match status {
        0x03 => "status 0x03: value too large",
        0x05 => "status 0x05: not stored",
        0x82 => "status 0x82: out of memory",
        0x84 => "status 0x84: internal error",
        0x85 => "status 0x85: busy",
        0x86 => "status 0x86: temporary failure",
        _ => return None,
    })
}

/// The fields of a reply's header that matter here.
struct Reply {
    opcode: u8,
    key_bytes: usize,
    extras_bytes: usize,
    status: u16,
    body_bytes: usize,
    place: u32,
}

impl Reply {
    fn read(head: &[u8]) -> Option<Self> {
        let head: &[u8; HEADER_BYTES] = head.try_into().ok()?;
        let [
            magic,
            opcode,
            k0,
            k1,
            extras,
            _,
            s0,
            s1,
            b0,
            b1,
            b2,
            b3,
            p0,
            p1,
            p2,
            p3,
            ..,
        ] = *head;
        (magic == REPLY).then(|| Self {
            opcode,
            key_bytes: usize::from(u16::from_be_bytes([k0, k1])),
            extras_bytes: usize::from(extras),
            status: u16::from_be_bytes([s0, s1]),
            body_bytes: u32::from_be_bytes([b0, b1, b2, b3]) as usize,
            place: u32::from_be_bytes([p0, p1, p2, p3]),
        })
    }

    fn value(&self, is_last: bool) -> Option<Value<'static>> {
        let skip_bytes = self.extras_bytes + self.key_bytes;
        Some(Value {
            whose: Whose::Place(self.place),
            skip_bytes,
            value_bytes: self.body_bytes.checked_sub(skip_bytes)?,
            has_line_end: false,
            is_last,
        })
    }
}

pub(super) fn version(reply: &[u8]) -> Result<Option<&str>, NoVersion> {
    if reply.first().is_some_and(|&magic| magic != REPLY) {
        return Err(NoVersion);
    }
    let Some((head, body)) = reply.split_at_checked(HEADER_BYTES) else {
        return Ok(None);
    };
    let head = Reply::read(head).ok_or(NoVersion)?;
    if head.opcode != VERSION || head.status != OK || head.body_bytes > 1024 {
        return Err(NoVersion);
    }
    body.get(..head.body_bytes)
        .map(|text| std::str::from_utf8(text).map_err(|_| NoVersion))
        .transpose()
}
