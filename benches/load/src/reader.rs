//! From bytes as they arrive to replies, for one connection.
//!
//! A small state machine: a head is collected (kept aside only while it is incomplete), then its
//! body is let through without being kept, and compared on the way if values are to be verified. So
//! a value of any length costs no memory, and any split of the input gives the same replies.

use std::collections::VecDeque;

use crate::content::Content;
use crate::protocol::{Answer, Meaning, Op, Protocol, Question, Value, Whose};

/// The longest head that is taken for one: a key of 250 bytes and numbers are far below.
const HEAD_BYTES_MAX: usize = 2048;
/// How much of a wrong reply is shown.
const SHOWN_BYTES: usize = 100;
const LINE_END: &[u8; 2] = b"\r\n";

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What was asked.
    pub question: Question,
    /// When it was to be sent, in nanoseconds of the run's clock.
    pub intended_nanos: u64,
}

/// What came back for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its first key.
    pub key: u64,
    /// Keys that were there, of those asked for; 1 for what was stored.
    pub hits: u32,
    /// Values that were not the ones stored under their keys.
    pub wrong: u32,
    /// Why the server did not do it.
    pub refusal: Option<String>,
}

/// What the server sent cannot be an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongReply {
    /// The request at the front of the queue, in words.
    pub request: String,
    /// The start of what came instead.
    pub reply: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The requests in flight on a connection, oldest first, and all their keys in order.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    requests: VecDeque<Pending>,
    keys: VecDeque<u64>,
}

impl Expected {
    /// Notes a request that was written.
    pub fn push(&mut self, pending: Pending, keys: &[u64]) {
        debug_assert_eq!(pending.question.key_count as usize, keys.len());
        self.requests.push_back(pending);
        self.keys.extend(keys);
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether none is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The oldest request in words.
    #[must_use]
    pub fn describe_oldest(&self, content: &Content) -> String {
        let Some(pending) = self.requests.front() else {
            return "nothing".to_owned();
        };
        let mut key = Vec::new();
        content.push_key(self.keys.front().copied().unwrap_or(0), &mut key);
        let name = pending.question.op.name();
        let key = String::from_utf8_lossy(&key);
        match pending.question.key_count {
            0 | 1 => format!("`{name} {key}`"),
            count => format!("`{name} {key}` and {} more keys", count - 1),
        }
    }
}

/// The reply that is being read.
#[derive(Debug)]
pub struct Reader {
    protocol: Protocol,
    /// Whether values are compared with what should be there.
    verifies: bool,
    /// The start of a head whose end has not arrived.
    head: Vec<u8>,
    body: Option<Body>,
    hits: u32,
    wrong: u32,
    refusal: Option<String>,
    /// Place in the oldest request behind the key whose value came last.
    place: usize,
}

/// What is left of a body.
#[derive(Debug)]
struct Body {
    skip_bytes: usize,
    value_bytes: usize,
    /// How much of the value has gone by.
    offset: usize,
    /// Bytes of the line end that are still to come.
    line_end_bytes: usize,
    /// The key to compare with, if it is compared.
    key: Option<u64>,
    /// Whether it is a value, and counts.
    is_value: bool,
    /// Whether the request is answered when it has gone by, and how.
    then: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Absent,
    Refused,
}

impl Reader {
    /// A reader of replies in `protocol`.
    #[must_use]
    pub fn new(protocol: Protocol, verifies: bool) -> Self {
        Self {
            protocol,
            verifies,
            head: Vec::new(),
            body: None,
            hits: 0,
            wrong: 0,
            refusal: None,
            place: 0,
        }
    }

    /// Reads `input`, and gives every request that it completes to `done`.
    ///
    /// # Errors
    /// Bytes that are no answer to the oldest request; the connection is of no use after it.
    pub fn read(
        &mut self,
        mut input: &[u8],
        expected: &mut Expected,
        content: &Content,
        done: &mut impl FnMut(Pending, Reply),
    ) -> Result<(), Box<WrongReply>> {
        while !input.is_empty() {
            if self.body.is_some() {
                input = self.read_body(input, expected, content, done)?;
            } else if !self.head.is_empty() {
                input = self.continue_head(input, expected, content, done)?;
            } else if let Some(end) = self.protocol.head_bytes(input) {
                let (head, rest) = input.split_at(end);
                self.begin(head, expected, content, done)?;
                input = rest;
            } else {
                self.keep(input, expected, content)?;
                input = &[];
            }
        }
        Ok(())
    }

    fn keep(
        &mut self,
        piece: &[u8],
        expected: &Expected,
        content: &Content,
    ) -> Result<(), Box<WrongReply>> {
        self.head.extend_from_slice(piece);
        if self.head.len() > HEAD_BYTES_MAX {
            return Err(wrong(
                &self.head,
                "a line without an end",
                expected,
                content,
            ));
        }
        Ok(())
    }

    /// Adds one byte more than is there at the most, so that what lies behind the head stays input.
    fn continue_head<'a>(
        &mut self,
        input: &'a [u8],
        expected: &mut Expected,
        content: &Content,
        done: &mut impl FnMut(Pending, Reply),
    ) -> Result<&'a [u8], Box<WrongReply>> {
        let kept_bytes = self.head.len();
        let piece = &input[..input.len().min(HEAD_BYTES_MAX)];
        self.head.extend_from_slice(piece);
        let Some(end) = self.protocol.head_bytes(&self.head) else {
            self.keep(&[], expected, content)?;
            return Ok(&input[piece.len()..]);
        };
        let mut head = std::mem::take(&mut self.head);
        let result = self.begin(&head[..end], expected, content, done);
        head.clear();
        self.head = head;
        result.map(|()| &input[end - kept_bytes..])
    }

    /// A whole head has arrived.
    fn begin(
        &mut self,
        head: &[u8],
        expected: &mut Expected,
        content: &Content,
        done: &mut impl FnMut(Pending, Reply),
    ) -> Result<(), Box<WrongReply>> {
        let Some(pending) = expected.requests.front() else {
            return Err(wrong(head, "nothing was asked", expected, content));
        };
        match self.protocol.understand(head, pending.question) {
            Some(Meaning::Value(value)) => {
                self.begin_value(&value, head, expected, content)?;
                self.end_body(expected, done);
            }
            Some(Meaning::Done { answer, body_bytes }) => {
                let outcome = match answer {
                    Answer::Done => Outcome::Done,
                    Answer::Absent => Outcome::Absent,
                    Answer::Refused(message) => {
                        self.refusal = Some(message.to_owned());
                        Outcome::Refused
                    }
                };
                if body_bytes == 0 {
                    self.finish(outcome, expected, done);
                } else {
                    self.body = Some(Body::skipped(body_bytes, Some(outcome)));
                }
            }
            Some(Meaning::Lost {
                message,
                body_bytes,
            }) => {
                self.refusal = Some(message.to_owned());
                self.body = (body_bytes > 0).then(|| Body::skipped(body_bytes, None));
            }
            None => return Err(wrong(head, "no answer to it", expected, content)),
        }
        Ok(())
    }

    fn begin_value(
        &mut self,
        value: &Value<'_>,
        head: &[u8],
        expected: &Expected,
        content: &Content,
    ) -> Result<(), Box<WrongReply>> {
        if self.hits == expected.requests[0].question.key_count {
            return Err(wrong(head, "more values than keys", expected, content));
        }
        let mut compared = None;
        if self.verifies {
            let key = self.whose(value.whose, expected, content);
            let key = key.ok_or_else(|| wrong(head, "a key not asked for", expected, content))?;
            if content.value_bytes(key) == value.value_bytes {
                compared = Some(key);
            } else {
                self.wrong += 1;
            }
        }
        self.body = Some(Body {
            skip_bytes: value.skip_bytes,
            value_bytes: value.value_bytes,
            offset: 0,
            line_end_bytes: if value.has_line_end {
                LINE_END.len()
            } else {
                0
            },
            key: compared,
            is_value: true,
            then: value.is_last.then_some(Outcome::Done),
        });
        Ok(())
    }

    /// The number of a value's key among those asked for. Servers answer in the order of the keys,
    /// so the search begins behind the last; a proxy may not, so it goes on at the front.
    fn whose(&mut self, whose: Whose<'_>, expected: &Expected, content: &Content) -> Option<u64> {
        let count = expected.requests.front()?.question.key_count as usize;
        let place = match whose {
            Whose::Place(place) => place as usize,
            Whose::Key(key) => {
                let number = content.key_number(key)?;
                let mut places = (self.place..count).chain(0..self.place);
                places.find(|&place| expected.keys[place] == number)?
            }
        };
        self.place = place + 1;
        expected.keys.get(place).copied()
    }

    fn read_body<'a>(
        &mut self,
        mut input: &'a [u8],
        expected: &mut Expected,
        content: &Content,
        done: &mut impl FnMut(Pending, Reply),
    ) -> Result<&'a [u8], Box<WrongReply>> {
        let Some(body) = &mut self.body else {
            return Ok(input);
        };
        input = &input[take(&mut body.skip_bytes, input).len()..];
        let piece = take(&mut body.value_bytes, input);
        if let Some(key) = body.key
            && !content.is_value_at(key, body.offset, piece)
        {
            self.wrong += 1;
            body.key = None;
        }
        body.offset += piece.len();
        input = &input[piece.len()..];
        let line_end = &LINE_END[LINE_END.len() - body.line_end_bytes..];
        let piece = take(&mut body.line_end_bytes, input);
        if piece != &line_end[..piece.len()] {
            let reason = "no line end behind the value";
            return Err(wrong(input, reason, expected, content));
        }
        input = &input[piece.len()..];
        self.end_body(expected, done);
        Ok(input)
    }

    /// Goes on behind a body if all of it has gone by.
    fn end_body(&mut self, expected: &mut Expected, done: &mut impl FnMut(Pending, Reply)) {
        if let Some(body) = &self.body
            && body.skip_bytes + body.value_bytes + body.line_end_bytes == 0
        {
            self.hits += u32::from(body.is_value);
            let then = body.then;
            self.body = None;
            if let Some(outcome) = then {
                self.finish(outcome, expected, done);
            }
        }
    }

    /// The oldest request is answered.
    fn finish(
        &mut self,
        outcome: Outcome,
        expected: &mut Expected,
        done: &mut impl FnMut(Pending, Reply),
    ) {
        let Some(pending) = expected.requests.pop_front() else {
            return;
        };
        let key = expected.keys.pop_front().unwrap_or(0);
        for _ in 1..pending.question.key_count {
            expected.keys.pop_front();
        }
        let is_done = outcome == Outcome::Done && pending.question.op != Op::Get;
        let reply = Reply {
            key,
            hits: if is_done { 1 } else { self.hits },
            wrong: self.wrong,
            refusal: self.refusal.take(),
        };
        self.hits = 0;
        self.wrong = 0;
        self.place = 0;
        done(pending, reply);
    }
}

impl Body {
    const fn skipped(skip_bytes: usize, then: Option<Outcome>) -> Self {
        Self {
            skip_bytes,
            value_bytes: 0,
            offset: 0,
            line_end_bytes: 0,
            key: None,
            is_value: false,
            then,
        }
    }
}

/// Takes as much of what is `left` as `input` has.
fn take<'a>(left: &mut usize, input: &'a [u8]) -> &'a [u8] {
    let piece = &input[..input.len().min(*left)];
    *left -= piece.len();
    piece
}

#[cold]
fn wrong(
    bytes: &[u8],
    reason: &'static str,
    expected: &Expected,
    content: &Content,
) -> Box<WrongReply> {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    Box::new(WrongReply {
        request: expected.describe_oldest(content),
        reply: shown.escape_ascii().to_string(),
        reason,
    })
}

#[cfg(test)]
mod tests;
