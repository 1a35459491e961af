//! The bytes before the key in every chunk. Arithmetic only.
//!
//! ```text
//! | cas 8 | value length 22 bits | long 1 bit, flags 1 bit | key length 1 |
//!           long:   | key length 4 | value length 4 | follow, and the lengths above are 0
//!           flags:  | client flags 4 | follow
//! ```
//! Twelve bytes for most items; what is rare (flags, keys above 255 bytes, values of 4 MiB and more)
//! is paid for by those that have it.

use crate::op::CasToken;

/// Bytes of the header of most items: no client flags, a short key, a value below 4 MiB.
pub(crate) const HEADER_BYTES: usize = 12;
const FLAGS_BYTES: usize = 4;
const LENGTHS_BYTES: usize = 8;
/// The longest value and key whose lengths the header itself holds.
const SHORT_VALUE_MAX: usize = (1 << 22) - 1;
const SHORT_KEY_MAX: usize = u8::MAX as usize;
const HAS_FLAGS: u32 = 1 << 22;
const HAS_LENGTHS: u32 = 1 << 23;
/// Bytes of the longest header.
const HEADER_BYTES_MAX: usize = HEADER_BYTES + LENGTHS_BYTES + FLAGS_BYTES;

/// What decides how long an item and its header are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) flags: u32,
}

impl Lengths {
    const fn are_long(self) -> bool {
        self.key > SHORT_KEY_MAX || self.value > SHORT_VALUE_MAX
    }

    pub(super) const fn header_bytes(self) -> usize {
        let flags_bytes = if self.flags == 0 { 0 } else { FLAGS_BYTES };
        let lengths_bytes = if self.are_long() { LENGTHS_BYTES } else { 0 };
        HEADER_BYTES + flags_bytes + lengths_bytes
    }

    pub(super) const fn item_bytes(self) -> usize {
        self.header_bytes() + self.key + self.value
    }
}

/// A header, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cas: CasToken,
    pub(super) lengths: Lengths,
}

impl Header {
    /// The header that begins with `fixed`; `word` reads four bytes at an offset behind it.
    pub(super) fn read(fixed: &[u8; HEADER_BYTES], word: impl Fn(usize) -> u32) -> Self {
        let [a, b, c, d, e, f, g, h, packed @ ..] = *fixed;
        let packed = u32::from_le_bytes(packed);
        let mut key = (packed >> 24) as usize;
        let mut value = packed as usize & SHORT_VALUE_MAX;
        let mut at = HEADER_BYTES;
        if packed & HAS_LENGTHS != 0 {
            (key, value) = (word(at) as usize, word(at + 4) as usize);
            at += LENGTHS_BYTES;
        }
        let flags = if packed & HAS_FLAGS != 0 { word(at) } else { 0 };
        let cas = CasToken::from_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        Self {
            cas,
            lengths: Lengths { key, value, flags },
        }
    }

    /// The header's bytes, and how many of the array they are.
    pub(super) fn to_bytes(self) -> ([u8; HEADER_BYTES_MAX], usize) {
        let Lengths { key, value, flags } = self.lengths;
        let long = self.lengths.are_long();
        let mut bytes = [0; HEADER_BYTES_MAX];
        let mut count = 0;
        let mut put = |part: &[u8]| {
            bytes[count..count + part.len()].copy_from_slice(part);
            count += part.len();
        };
        let short = if long {
            0
        } else {
            length(key) << 24 | length(value)
        };
        let marks = if long { HAS_LENGTHS } else { 0 } | if flags == 0 { 0 } else { HAS_FLAGS };
        put(&self.cas.to_u64().to_le_bytes());
        put(&(short | marks).to_le_bytes());
        if long {
            put(&length(key).to_le_bytes());
            put(&length(value).to_le_bytes());
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
                    let lengths = Lengths { key, value, flags };
                    let header = Header {
                        cas: CasToken::from_u64(u64::MAX - 7),
                        lengths,
                    };
                    let (bytes, count) = header.to_bytes();
                    assert_eq!(count, lengths.header_bytes());
                    let word =
                        |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
                    let fixed = bytes[..HEADER_BYTES].try_into().unwrap();
                    assert_eq!(Header::read(fixed, word), header);
                }
            }
        }
    }
}
