//! The binary protocol: packets of a 24-byte header, extras, a key and a value. Total and pure.
//!
//! ```text
//! magic 1 | opcode 1 | key length 2 | extras length 1 | data type 1 | vbucket or status 2
//! body length 4 | opaque 4 | cas 8                                    in network byte order
//! ```
//! Data type and vbucket are ignored. A packet whose lengths contradict each other, or its opcode,
//! ends the connection after a reply: nobody can tell where the next one begins.

use super::text::{Direction, KEY_BYTES_MAX};

/// The first byte of every request, which tells it from text.
pub(crate) const REQUEST_MAGIC: u8 = 0x80;
const REPLY_MAGIC: u8 = 0x81;
pub(crate) const HEADER_BYTES: usize = 24;
/// Larger bodies end the connection.
const BODY_BYTES_MAX: usize = 1 << 30;
/// An exptime that asks a counter not to be created.
pub(crate) const EXPTIME_NO_CREATION: u32 = u32::MAX;

/// The status of a reply that asks for the next step of an authentication.
const AUTH_CONTINUE: u16 = 0x21;

/// What became of a request, as its reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    NotFound,
    Exists,
    TooLarge,
    Invalid,
    NotStored,
    NonNumeric,
    AuthFailure,
    UnknownCommand,
    /// Out of memory; with what for.
    NoMemory(&'static str),
}

impl Status {
    const fn code(self) -> u16 {
        match self {
            Self::NotFound => 0x01,
            Self::Exists => 0x02,
            Self::TooLarge => 0x03,
            Self::Invalid => 0x04,
            Self::NotStored => 0x05,
            Self::NonNumeric => 0x06,
            Self::AuthFailure => 0x20,
            Self::UnknownCommand => 0x81,
            Self::NoMemory(_) => 0x82,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Exists => "Data exists for key.",
            Self::TooLarge => "Too large.",
            Self::Invalid => "Invalid arguments",
            Self::NotStored => "Not stored.",
            Self::NonNumeric => "Non-numeric server-side value for incr or decr",
            Self::AuthFailure => "Auth failure.",
            Self::UnknownCommand => "Unknown command",
            Self::NoMemory(text) => text,
        }
    }
}

/// What an opcode asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// The item, perhaps with its key, perhaps with a new lifetime.
    Get {
        with_key: bool,
        touches: bool,
    },
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Delete,
    Count(Direction),
    Touch,
    Flush,
    Noop,
    Version,
    Stat,
    Quit,
    SaslMechanisms,
    SaslAuth,
    SaslStep,
}

impl Verb {
    /// The verb of an opcode, and whether it wants no reply to what is as expected.
    fn of(opcode: u8) -> Option<(Self, bool)> {
        let get = |with_key, touches| Self::Get { with_key, touches };
        Some(match opcode {
            0x00 => (get(false, false), false),
            0x01 => (Self::Set, false),
            0x02 => (Self::Add, false),
            0x03 => (Self::Replace, false),
            0x04 => (Self::Delete, false),
            0x05 => (Self::Count(Direction::Up), false),
            0x06 => (Self::Count(Direction::Down), false),
            0x07 => (Self::Quit, false),
            0x08 => (Self::Flush, false),
            0x09 => (get(false, false), true),
            0x0a => (Self::Noop, false),
            0x0b => (Self::Version, false),
            0x0c => (get(true, false), false),
            0x0d => (get(true, false), true),
            0x0e => (Self::Append, false),
            0x0f => (Self::Prepend, false),
            0x10 => (Self::Stat, false),
            0x11 => (Self::Set, true),
            0x12 => (Self::Add, true),
            0x13 => (Self::Replace, true),
            0x14 => (Self::Delete, true),
            0x15 => (Self::Count(Direction::Up), true),
            0x16 => (Self::Count(Direction::Down), true),
            0x17 => (Self::Quit, true),
            0x18 => (Self::Flush, true),
            0x19 => (Self::Append, true),
            0x1a => (Self::Prepend, true),
            0x1c => (Self::Touch, false),
            0x1d => (get(false, true), false),
            0x1e => (get(false, true), true),
            0x20 => (Self::SaslMechanisms, false),
            0x21 => (Self::SaslAuth, false),
            0x22 => (Self::SaslStep, false),
            0x23 => (get(true, true), false),
            0x24 => (get(true, true), true),
            _ => return None,
        })
    }

    /// Whether the verb stores its value.
    pub(crate) const fn stores(self) -> bool {
        matches!(
            self,
            Self::Set | Self::Add | Self::Replace | Self::Append | Self::Prepend
        )
    }

    /// Whether the parts of a packet are those that the verb has.
    const fn takes(self, header: &Header) -> bool {
        let (key, extras) = (header.key_bytes, header.extras_bytes);
        let value = header.value_bytes();
        match self {
            Self::Version | Self::Noop | Self::Quit | Self::SaslMechanisms => {
                header.body_bytes == 0
            }
            Self::Flush => key == 0 && value == 0 && (extras == 0 || extras == 4),
            Self::Set | Self::Add | Self::Replace => key > 0 && extras == 8,
            Self::Append | Self::Prepend | Self::SaslAuth | Self::SaslStep => {
                key > 0 && extras == 0
            }
            Self::Get { touches: false, .. } | Self::Delete => key > 0 && extras == 0 && value == 0,
            Self::Get { touches: true, .. } | Self::Touch => key > 0 && extras == 4,
            Self::Count(_) => key > 0 && extras == 20 && value == 0,
            Self::Stat => extras == 0,
        }
    }
}

/// The header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) opcode: u8,
    pub(crate) key_bytes: usize,
    pub(crate) extras_bytes: usize,
    pub(crate) body_bytes: usize,
    /// Goes back as it came.
    pub(crate) opaque: [u8; 4],
    pub(crate) cas: u64,
}

impl Header {
    fn read(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [
            _,
            opcode,
            k0,
            k1,
            extras,
            _,
            _,
            _,
            b0,
            b1,
            b2,
            b3,
            o0,
            o1,
            o2,
            o3,
            cas @ ..,
        ] = *bytes;
        Self {
            opcode,
            key_bytes: u16::from_be_bytes([k0, k1]).into(),
            extras_bytes: extras.into(),
            body_bytes: u32::from_be_bytes([b0, b1, b2, b3]) as usize,
            opaque: [o0, o1, o2, o3],
            cas: u64::from_be_bytes(cas),
        }
    }

    pub(crate) const fn value_bytes(&self) -> usize {
        self.body_bytes
            .saturating_sub(self.key_bytes + self.extras_bytes)
    }

    /// Bytes of the packet up to its value.
    pub(crate) const fn value_at(&self) -> usize {
        HEADER_BYTES + self.extras_bytes + self.key_bytes
    }

    /// Bytes of the whole packet.
    pub(crate) const fn packet_bytes(&self) -> usize {
        HEADER_BYTES + self.body_bytes
    }
}

/// What stands at the start of a client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Less than a header.
    Incomplete,
    /// No request: the connection ends without a word.
    Hangup,
    /// A header whose lengths contradict each other: a reply, and the connection ends.
    Broken(Header, Status),
    /// A request, whose body may still be on its way.
    Request {
        header: Header,
        verb: Verb,
        quiet: bool,
    },
    /// A request that the protocol does not know. Its body is skipped.
    Unknown(Header),
}

impl Packet {
    /// Understands the header at the start of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Self::Incomplete;
        };
        if header.first() != Some(&REQUEST_MAGIC) {
            return Self::Hangup;
        }
        let header = Header::read(header);
        if header.key_bytes + header.extras_bytes > header.body_bytes {
            return Self::Broken(header, Status::UnknownCommand);
        }
        if header.body_bytes > BODY_BYTES_MAX {
            return Self::Broken(header, Status::Invalid);
        }
        match Verb::of(header.opcode) {
            _ if header.key_bytes > KEY_BYTES_MAX => Self::Broken(header, Status::Invalid),
            None => Self::Unknown(header),
            Some((verb, _)) if !verb.takes(&header) => Self::Broken(header, Status::Invalid),
            Some((verb, quiet)) => Self::Request {
                header,
                verb,
                quiet,
            },
        }
    }
}

/// The body of a request, cut into its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) extras: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Body<'a> {
    /// Cuts what has arrived of a packet: extras and key at least, or all parts are empty.
    pub(crate) fn cut(header: &Header, bytes: &'a [u8]) -> Self {
        let end = header.packet_bytes().min(bytes.len());
        let body = bytes.get(HEADER_BYTES..end).unwrap_or_default();
        let (extras, rest) = body
            .split_at_checked(header.extras_bytes)
            .unwrap_or_default();
        let (key, value) = rest.split_at_checked(header.key_bytes).unwrap_or_default();
        Self { extras, key, value }
    }

    /// The 32-bit number at an offset of the extras.
    pub(crate) fn extra_u32(&self, at: usize) -> u32 {
        let bytes = self.extras.get(at..).and_then(<[u8]>::first_chunk::<4>);
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// The 64-bit number at an offset of the extras.
    pub(crate) fn extra_u64(&self, at: usize) -> u64 {
        let bytes = self.extras.get(at..).and_then(<[u8]>::first_chunk::<8>);
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// A reply that says what is wrong, kept until the bytes of the request have been skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) opcode: u8,
    pub(crate) opaque: [u8; 4],
    pub(crate) status: Status,
}

impl Refusal {
    pub(crate) const fn of(header: &Header, status: Status) -> Self {
        Self {
            opcode: header.opcode,
            opaque: header.opaque,
            status,
        }
    }

    /// Appends the reply.
    pub(crate) fn write(&self, output: &mut Vec<u8>) {
        let text = self.status.text().as_bytes();
        let lengths = Lengths {
            key: 0,
            extras: 0,
            body: text.len(),
        };
        write_header(
            output,
            self.opcode,
            self.opaque,
            self.status.code(),
            lengths,
            0,
        );
        output.extend_from_slice(text);
    }
}

/// The parts of a reply that are not the same for all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reply<'a> {
    pub(crate) cas: u64,
    pub(crate) extras: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl Reply<'_> {
    /// Appends the reply to a request that was carried out.
    pub(crate) fn write(&self, header: &Header, output: &mut Vec<u8>) {
        self.write_with(header, 0, output);
    }

    /// Appends the answer to a `get` with key that found nothing: the key in the place of a text.
    pub(crate) fn write_miss(&self, header: &Header, output: &mut Vec<u8>) {
        self.write_with(header, Status::NotFound.code(), output);
    }

    /// Appends the reply that asks for the next step of an authentication.
    pub(crate) fn write_continue(&self, header: &Header, output: &mut Vec<u8>) {
        self.write_with(header, AUTH_CONTINUE, output);
    }

    /// Appends the reply but for its value, which has so many bytes.
    pub(crate) fn write_head(&self, header: &Header, value_bytes: usize, output: &mut Vec<u8>) {
        self.write_for(header, 0, value_bytes, output);
    }

    fn write_with(&self, header: &Header, status: u16, output: &mut Vec<u8>) {
        self.write_for(header, status, self.value.len(), output);
        output.extend_from_slice(self.value);
    }

    fn write_for(&self, header: &Header, status: u16, value_bytes: usize, output: &mut Vec<u8>) {
        let lengths = Lengths {
            key: self.key.len(),
            extras: self.extras.len(),
            body: self.extras.len() + self.key.len() + value_bytes,
        };
        // What is left of the body does not come here.
        let here = self.extras.len() + self.key.len() + self.value.len();
        output.reserve(HEADER_BYTES + here);
        write_header(
            output,
            header.opcode,
            header.opaque,
            status,
            lengths,
            self.cas,
        );
        output.extend_from_slice(self.extras);
        output.extend_from_slice(self.key);
    }
}

struct Lengths {
    key: usize,
    extras: usize,
    body: usize,
}

fn write_header(
    output: &mut Vec<u8>,
    opcode: u8,
    opaque: [u8; 4],
    status: u16,
    lengths: Lengths,
    cas: u64,
) {
    let key = u16::try_from(lengths.key).expect("a key of the wire is short");
    let extras = u8::try_from(lengths.extras).expect("extras of replies are numbers");
    let body = u32::try_from(lengths.body).expect("values are below 1 GiB");
    output.extend_from_slice(&[REPLY_MAGIC, opcode]);
    output.extend_from_slice(&key.to_be_bytes());
    output.extend_from_slice(&[extras, 0]);
    output.extend_from_slice(&status.to_be_bytes());
    output.extend_from_slice(&body.to_be_bytes());
    output.extend_from_slice(&opaque);
    output.extend_from_slice(&cas.to_be_bytes());
}
