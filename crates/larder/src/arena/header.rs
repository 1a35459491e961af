//! The bytes before the key in every chunk. Arithmetic only.
//!
//! ```text
//! | stamp 8 | value length 22 bits | long 1 bit, flags 1 bit | key length 1 |
//!           long:   | key length 16 bits, marks | value length 4 | follow, lengths above are 0
//!           token:  | token 8 | follows, if the marks say so: the caller chose it
//!           flags:  | client flags 4 | follow
//! ```
//! Twelve bytes for most items; what is rare (flags, keys above 255 bytes, values of 4 MiB and more,
//! a token of the caller's choice, a marked key, a value elsewhere) is paid for by those that have it.
//!
//! The stamp is a token that the shard issued: its upper bits tell when the item was stored. It is
//! the item's token as well, unless the caller chose another.

use super::new_item::item_lengths;
use crate::op::{CasToken, Store};
use crate::revision::Put;

/// Bytes of the header of most items: no client flags, a short key, a value below 4 MiB.
pub(crate) const HEADER_BYTES: usize = 12;
const FLAGS_BYTES: usize = 4;
const LENGTHS_BYTES: usize = 8;
/// The longest value and key whose lengths the header itself holds.
const SHORT_VALUE_MAX: usize = (1 << 22) - 1;
const SHORT_KEY_MAX: usize = u8::MAX as usize;
const HAS_FLAGS: u32 = 1 << 22;
const HAS_LENGTHS: u32 = 1 << 23;
const TOKEN_BYTES: usize = 8;
/// Marks above a long key's length.
const ELSEWHERE: u32 = 1 << 29;
const HAS_TOKEN: u32 = 1 << 30;
const MARKED: u32 = 1 << 31;
const LONG_KEY_MAX: u32 = u16::MAX as u32;
/// Bytes of the longest header behind those.
const FURTHER_BYTES_MAX: usize = LENGTHS_BYTES + TOKEN_BYTES + FLAGS_BYTES;

const _: () = assert!(crate::config::KEY_BYTES_MAX <= LONG_KEY_MAX as usize);

/// What decides how long an item and its header are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) flags: u32,
    /// The caller's mark on the key.
    pub(super) marked: bool,
    /// The caller chose the token, and it stands beside the stamp.
    pub(super) has_token: bool,
    /// The value is elsewhere, and a locator stands in its place.
    pub(super) elsewhere: bool,
}

impl Lengths {
    /// The same with a value of so many bytes, which is here.
    pub(super) const fn with_value(self, value: usize) -> Self {
        Self {
            value,
            elsewhere: false,
            ..self
        }
    }

    #[inline(always)]
    const fn are_long(self) -> bool {
        let marked = self.marked || self.has_token || self.elsewhere;
        marked || self.key > SHORT_KEY_MAX || self.value > SHORT_VALUE_MAX
    }

    #[inline(always)]
    pub(crate) const fn header_bytes(self) -> usize {
        let flags_bytes = if self.flags == 0 { 0 } else { FLAGS_BYTES };
        let lengths_bytes = if self.are_long() { LENGTHS_BYTES } else { 0 };
        let token_bytes = if self.has_token { TOKEN_BYTES } else { 0 };
        HEADER_BYTES + flags_bytes + lengths_bytes + token_bytes
    }

    pub(crate) const fn item_bytes(self) -> usize {
        self.header_bytes() + self.key + self.value
    }
}

impl Store<'_> {
    /// Bytes of the item that it would be, header included.
    pub(crate) fn item_bytes(&self) -> usize {
        item_lengths(self, self.value_bytes()).item_bytes()
    }
}

impl Put<'_> {
    /// Bytes of the item that it would be under `key`, header included.
    pub(crate) fn item_bytes(&self, key: &[u8]) -> usize {
        let lengths = Lengths {
            key: key.len(),
            value: self.value.len(),
            flags: self.flags,
            marked: self.marked,
            has_token: self.token.is_some(),
            elsewhere: false,
        };
        lengths.item_bytes()
    }
}

/// A header, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) stamp: CasToken,
    /// The stamp, unless `lengths.has_token`.
    pub(super) token: CasToken,
    pub(super) lengths: Lengths,
    /// What `lengths.header_bytes()` says.
    pub(super) bytes: usize,
}

impl Header {
    /// A header whose token is its stamp.
    pub(super) const fn stamped(stamp: CasToken, lengths: Lengths) -> Self {
        Self::new(stamp, stamp, lengths)
    }

    pub(super) const fn new(stamp: CasToken, token: CasToken, lengths: Lengths) -> Self {
        Self {
            stamp,
            token,
            lengths,
            bytes: lengths.header_bytes(),
        }
    }

    /// The header that begins with `fixed`; `word` reads four bytes at an offset behind it.
    #[inline(always)]
    pub(super) fn read(fixed: &[u8; HEADER_BYTES], word: impl Fn(usize) -> u32) -> Self {
        let [a, b, c, d, e, f, g, h, packed @ ..] = *fixed;
        let packed = u32::from_le_bytes(packed);
        let mut key = (packed >> 24) as usize;
        let mut value = packed as usize & SHORT_VALUE_MAX;
        let mut at = HEADER_BYTES;
        let mut marks = 0;
        if packed & HAS_LENGTHS != 0 {
            marks = word(at);
            (key, value) = ((marks & LONG_KEY_MAX) as usize, word(at + 4) as usize);
            at += LENGTHS_BYTES;
        }
        let stamp = CasToken::from_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        let mut token = stamp;
        let has_token = marks & HAS_TOKEN != 0;
        if has_token {
            token = CasToken::from_u64(u64::from(word(at)) | u64::from(word(at + 4)) << 32);
            at += TOKEN_BYTES;
        }
        let mut flags = 0;
        if packed & HAS_FLAGS != 0 {
            flags = word(at);
            at += FLAGS_BYTES;
        }
        Self {
            stamp,
            token,
            lengths: Lengths {
                key,
                value,
                flags,
                marked: marks & MARKED != 0,
                has_token,
                elsewhere: marks & ELSEWHERE != 0,
            },
            bytes: at,
        }
    }

    /// Bytes of the item that it heads, itself included.
    #[inline(always)]
    pub(super) const fn item_bytes(self) -> usize {
        self.bytes + self.lengths.key + self.lengths.value
    }

    /// The bytes that every header begins with, and most consist of.
    #[inline(always)]
    pub(super) fn fixed_bytes(self) -> [u8; HEADER_BYTES] {
        let Lengths {
            key, value, flags, ..
        } = self.lengths;
        let lengths = if self.lengths.are_long() {
            HAS_LENGTHS
        } else {
            length(key) << 24 | length(value)
        };
        let packed = lengths | if flags == 0 { 0 } else { HAS_FLAGS };
        let mut bytes = [0; HEADER_BYTES];
        let (stamp, rest) = bytes.split_at_mut(size_of::<u64>());
        stamp.copy_from_slice(&self.stamp.to_u64().to_le_bytes());
        rest.copy_from_slice(&packed.to_le_bytes());
        bytes
    }

    /// Those that follow, and how many of the array they are.
    pub(super) fn further_bytes(self) -> ([u8; FURTHER_BYTES_MAX], usize) {
        let Lengths {
            key,
            value,
            flags,
            marked,
            has_token,
            elsewhere,
        } = self.lengths;
        let mut bytes = [0; FURTHER_BYTES_MAX];
        let mut count = 0;
        let mut put = |part: &[u8]| {
            bytes[count..count + part.len()].copy_from_slice(part);
            count += part.len();
        };
        if self.lengths.are_long() {
            let marked = if marked { MARKED } else { 0 };
            let token = if has_token { HAS_TOKEN } else { 0 };
            let elsewhere = if elsewhere { ELSEWHERE } else { 0 };
            put(&(length(key) | marked | token | elsewhere).to_le_bytes());
            put(&length(value).to_le_bytes());
        }
        if has_token {
            put(&self.token.to_u64().to_le_bytes());
        }
        if flags != 0 {
            put(&flags.to_le_bytes());
        }
        (bytes, count)
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("checked against KEY_BYTES_MAX and VALUE_BYTES_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_as_they_were_written() {
        for key in [1, 250, 255, 256, 65_535] {
            for value in [0, 1, SHORT_VALUE_MAX, SHORT_VALUE_MAX + 1, 1 << 30] {
                for flags in [0, 1, u32::MAX] {
                    for marks in 0..8 {
                        check(Lengths {
                            key,
                            value,
                            flags,
                            marked: marks & 1 != 0,
                            has_token: marks & 2 != 0,
                            elsewhere: marks & 4 != 0,
                        });
                    }
                }
            }
        }
    }

    fn check(lengths: Lengths) {
        let stamp = CasToken::from_u64(u64::MAX - 7);
        let chosen = CasToken::from_u64(0x0123_4567_89ab_cdef);
        let token = if lengths.has_token { chosen } else { stamp };
        let header = Header::new(stamp, token, lengths);
        let (further, count) = header.further_bytes();
        let bytes = [&header.fixed_bytes()[..], &further[..count]].concat();
        assert_eq!(bytes.len(), lengths.header_bytes());
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let fixed = bytes[..HEADER_BYTES].try_into().unwrap();
        assert_eq!(Header::read(fixed, word), header);
    }
}
