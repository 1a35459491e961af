//! The three wire formats: requests to bytes, and heads of replies to what they mean.
//!
//! A reply is a head (a line, or the 24 bytes of a binary header), perhaps with a body behind it.
//! What a head means depends on the head and on the request that it answers, and on nothing else:
//! the functions here are pure. Collecting heads and bodies from the bytes that arrive is
//! `reader.rs`.

mod binary;
mod lines;
mod meta;
mod text;

use crate::content::Content;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read one key, or several at once.
    Get,
    /// Store a key.
    Set,
    /// Remove a key.
    Delete,
    /// Give a key a new time to live.
    Touch,
}

impl Op {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Get, Self::Set, Self::Delete, Self::Touch];

    /// Its name in flags and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Touch => "touch",
        }
    }
}

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `get`, `set`, `delete`, `touch`.
    Text,
    /// `mg`, `ms`, `md`.
    Meta,
    /// 24 bytes of header.
    Binary,
}

/// A request as far as its reply is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What was asked.
    pub op: Op,
    /// Of how many keys; above 1 only for [`Op::Get`].
    pub key_count: u32,
}

/// What the head of a reply means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// A value follows.
    Value(Value<'a>),
    /// The request is answered.
    Done {
        /// How.
        answer: Answer<'a>,
        /// Bytes that follow and mean nothing more.
        body_bytes: usize,
    },
    /// One key of several could not be read; the others go on.
    Lost {
        /// What the server says.
        message: &'a str,
        /// Bytes that follow and mean nothing more.
        body_bytes: usize,
    },
}

/// The head of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Whose it is.
    pub whose: Whose<'a>,
    /// Bytes before it that mean nothing more.
    pub skip_bytes: usize,
    /// Its length.
    pub value_bytes: usize,
    /// Whether a line end follows it.
    pub has_line_end: bool,
    /// Whether it answers the request.
    pub is_last: bool,
}

/// Which of the keys asked for a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// The one with these bytes.
    Key(&'a [u8]),
    /// The one at this place in the request.
    Place(u32),
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// As asked: stored, deleted, touched, or all values given that there are.
    Done,
    /// There is no such key to delete or touch.
    Absent,
    /// The server could not do it, and says why.
    Refused(&'a str),
}

impl<'a> Meaning<'a> {
    const fn done(answer: Answer<'a>) -> Self {
        Self::Done {
            answer,
            body_bytes: 0,
        }
    }
}

impl Protocol {
    /// Its name in flags and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Meta => "meta",
            Self::Binary => "binary",
        }
    }

    /// Writes a request for values.
    pub fn push_get(self, keys: &[u64], content: &Content, out: &mut Vec<u8>) {
        match self {
            Self::Text => text::push_get(keys, content, out),
            Self::Meta => meta::push_get(keys, content, out),
            Self::Binary => binary::push_get(keys, content, out),
        }
    }

    /// Writes a request to store the key's value.
    pub fn push_set(self, key: u64, content: &Content, out: &mut Vec<u8>) {
        match self {
            Self::Text => text::push_set(key, content, out),
            Self::Meta => meta::push_set(key, content, out),
            Self::Binary => binary::push_set(key, content, out),
        }
    }

    /// Writes a request to remove a key.
    pub fn push_delete(self, key: u64, content: &Content, out: &mut Vec<u8>) {
        match self {
            Self::Text => text::push_delete(key, content, out),
            Self::Meta => meta::push_delete(key, content, out),
            Self::Binary => binary::push_delete(key, content, out),
        }
    }

    /// Writes a request for a new time to live.
    pub fn push_touch(self, key: u64, content: &Content, out: &mut Vec<u8>) {
        match self {
            Self::Text => text::push_touch(key, content, out),
            Self::Meta => meta::push_touch(key, content, out),
            Self::Binary => binary::push_touch(key, content, out),
        }
    }

    /// Where the head at the start of `bytes` ends, if it is all there.
    #[must_use]
    pub fn head_bytes(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Text | Self::Meta => memchr::memchr(b'\n', bytes).map(|end| end + 1),
            Self::Binary => (bytes.len() >= binary::HEADER_BYTES).then_some(binary::HEADER_BYTES),
        }
    }

    /// What a whole head means as the answer to `question`; none if it is no answer to it.
    #[must_use]
    pub fn understand(self, head: &[u8], question: Question) -> Option<Meaning<'_>> {
        match self {
            Self::Text => text::understand(head, question),
            Self::Meta => meta::understand(head, question),
            Self::Binary => binary::understand(head, question),
        }
    }

    /// The request for the server's version.
    #[must_use]
    pub const fn version_request(self) -> &'static [u8] {
        match self {
            Self::Text | Self::Meta => b"version\r\n",
            Self::Binary => &binary::VERSION_REQUEST,
        }
    }

    /// The version in the reply to [`Protocol::version_request`], once it is all there; an error if
    /// it is no such reply.
    ///
    /// # Errors
    /// The bytes cannot be the reply.
    pub fn version(self, reply: &[u8]) -> Result<Option<&str>, NoVersion> {
        match self {
            Self::Text | Self::Meta => lines::version(reply),
            Self::Binary => binary::version(reply),
        }
    }
}

/// A reply that is not one to the request for the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoVersion;

#[cfg(test)]
mod tests;
