//! The bytes of keys and values, from a key's number and nothing else.
//!
//! So a value that comes back can be checked whoever stored it: the first bytes of a value spell the
//! key's number, the rest is a piece of one fixed random text that begins where the number's hash
//! says. All bytes are printable, and neither depends on the seed of a run.

use std::sync::Arc;

use larder_simulator::Trace;

use crate::sizes::Sizes;

/// The longest key that the protocols allow.
pub const KEY_BYTES_MAX: usize = 250;
/// Length of the random text, a power of two. It is kept twice over, so that a piece of this length
/// is contiguous wherever it begins.
const TEXT_BYTES: usize = 1 << 16;
/// Bytes at the start of a value that spell the key, six bits each.
const SPELT_BYTES: usize = 8;
const SYMBOLS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// Which length a key's value has.
#[derive(Clone, Debug)]
pub enum Lengths {
    /// Drawn from a distribution by the key's hash.
    Drawn(Sizes),
    /// What the trace says of the key: its size is key plus value.
    Traced(Arc<Trace>),
}

/// How long a key lives after a set or a touch.
#[derive(Clone, Debug)]
pub enum Ttls {
    /// This many seconds, whichever key; 0 is for ever.
    Fixed(u32),
    /// What the trace says of the key.
    Traced(Arc<Trace>),
}

/// What keys and values look like.
#[derive(Clone, Debug)]
pub struct Content {
    prefix: Vec<u8>,
    key_bytes: usize,
    lengths: Lengths,
    ttls: Ttls,
    text: Arc<[u8]>,
}

impl Content {
    /// Keys are `prefix` and the number behind it, filled up with zeros to `key_bytes`.
    #[must_use]
    pub fn new(prefix: &str, key_bytes: usize, lengths: Lengths, ttls: Ttls) -> Self {
        let mut random = fastrand::Rng::with_seed(0x6c61_7264_6572);
        let mut text: Vec<u8> = (0..TEXT_BYTES)
            .map(|_| SYMBOLS[random.usize(..SYMBOLS.len())])
            .collect();
        text.extend_from_within(..);
        Self {
            prefix: prefix.as_bytes().to_vec(),
            key_bytes,
            lengths,
            ttls,
            text: text.into(),
        }
    }

    /// Writes a key.
    pub fn push_key(&self, key: u64, out: &mut Vec<u8>) {
        const ZEROS: [u8; KEY_BYTES_MAX] = [b'0'; KEY_BYTES_MAX];
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(key).as_bytes();
        out.extend_from_slice(&self.prefix);
        let used_bytes = self.prefix.len() + digits.len();
        if let Some(zeros) = ZEROS.get(..self.key_bytes.saturating_sub(used_bytes)) {
            out.extend_from_slice(zeros);
        }
        out.extend_from_slice(digits);
    }

    /// The number of a key, if it is one of ours.
    #[must_use]
    pub fn key_number(&self, key: &[u8]) -> Option<u64> {
        let digits = key.strip_prefix(self.prefix.as_slice())?;
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        if !is_number {
            return None;
        }
        digits.iter().try_fold(0u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
    }

    /// How long a key's value is.
    #[must_use]
    pub fn value_bytes(&self, key: u64) -> usize {
        match &self.lengths {
            Lengths::Drawn(Sizes::Fixed(bytes)) => *bytes,
            Lengths::Drawn(sizes) => sizes.bytes_at((hash(key) >> 11) as f64 / (1u64 << 53) as f64),
            Lengths::Traced(trace) => {
                let size = usize::try_from(key)
                    .ok()
                    .and_then(|index| trace.sizes.get(index))
                    .map_or(0, |&bytes| bytes as usize);
                size.saturating_sub(self.key_bytes).max(1)
            }
        }
    }

    /// How long a key lives, in seconds; 0 is for ever.
    #[must_use]
    pub fn ttl_seconds(&self, key: u64) -> u32 {
        match &self.ttls {
            Ttls::Fixed(seconds) => *seconds,
            Ttls::Traced(trace) => usize::try_from(key)
                .ok()
                .and_then(|index| trace.ttls.get(index).copied())
                .unwrap_or(0),
        }
    }

    /// Writes a key's value, of which [`Content::value_bytes`] is the length.
    pub fn push_value(&self, key: u64, bytes: usize, out: &mut Vec<u8>) {
        let spelt = spell(key);
        out.extend_from_slice(&spelt[..bytes.min(SPELT_BYTES)]);
        let mut offset = SPELT_BYTES;
        while offset < bytes {
            let piece = self.text_at(key, offset, bytes - offset);
            out.extend_from_slice(piece);
            offset += piece.len();
        }
    }

    /// Whether `piece` is what stands at `offset` in the key's value.
    #[must_use]
    pub fn is_value_at(&self, key: u64, mut offset: usize, mut piece: &[u8]) -> bool {
        if offset < SPELT_BYTES {
            let spelt = &spell(key)[offset..];
            let bytes = spelt.len().min(piece.len());
            if piece[..bytes] != spelt[..bytes] {
                return false;
            }
            piece = &piece[bytes..];
            offset += bytes;
        }
        while !piece.is_empty() {
            let expected = self.text_at(key, offset, piece.len());
            if piece[..expected.len()] != *expected {
                return false;
            }
            piece = &piece[expected.len()..];
            offset += expected.len();
        }
        true
    }

    /// A piece of the text for a key's value, from `offset`, up to `bytes` long.
    fn text_at(&self, key: u64, offset: usize, bytes: usize) -> &[u8] {
        #[expect(clippy::cast_possible_truncation, reason = "only low bits are used")]
        let start = (hash(key) as usize).wrapping_add(offset) & (TEXT_BYTES - 1);
        &self.text[start..start + bytes.min(TEXT_BYTES)]
    }
}

fn spell(key: u64) -> [u8; SPELT_BYTES] {
    let mut rest = key;
    [(); SPELT_BYTES].map(|()| {
        let symbol = SYMBOLS[(rest & 63) as usize];
        rest >>= 6;
        symbol
    })
}

/// Mixes a key's number (the finaliser of splitmix64): neighbours have nothing in common.
pub(crate) fn hash(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(sizes: &str) -> Content {
        Content::new(
            "key-",
            12,
            Lengths::Drawn(sizes.parse().unwrap()),
            Ttls::Fixed(0),
        )
    }

    fn key_of(content: &Content, key: u64) -> Vec<u8> {
        let mut out = Vec::new();
        content.push_key(key, &mut out);
        out
    }

    #[test]
    fn keys_are_padded_and_read_back() {
        let content = content("1");
        assert_eq!(key_of(&content, 42), b"key-00000042");
        assert_eq!(key_of(&content, 123_456_789), b"key-123456789");
        for key in [0, 42, 123_456_789] {
            assert_eq!(content.key_number(&key_of(&content, key)), Some(key));
        }
        for other in [&b"kez-00000042"[..], b"key-", b"key-4x", b""] {
            assert_eq!(content.key_number(other), None);
        }
    }

    #[test]
    fn values_are_recognised_in_any_pieces() {
        for bytes in [0, 1, 7, 8, 9, 100, TEXT_BYTES + 20, 3 * TEXT_BYTES] {
            let content = content(&bytes.to_string());
            let mut value = Vec::new();
            content.push_value(5, bytes, &mut value);
            assert_eq!(value.len(), bytes);
            for cut in [0, 1, 5, 8, 50, bytes / 2].map(|cut: usize| cut.min(bytes)) {
                assert!(content.is_value_at(5, 0, &value[..cut]));
                assert!(content.is_value_at(5, cut, &value[cut..]));
            }
            if bytes > 0 {
                assert!(!content.is_value_at(6, 0, &value), "another key's value");
                value[bytes - 1] ^= 1;
                assert!(!content.is_value_at(5, 0, &value), "one wrong bit");
            }
        }
    }

    #[test]
    fn lengths_belong_to_keys_and_follow_the_distribution() {
        let content = content("1-100");
        let lengths: Vec<usize> = (0..10_000).map(|key| content.value_bytes(key)).collect();
        let again: Vec<usize> = (0..10_000).map(|key| content.value_bytes(key)).collect();
        assert_eq!(lengths, again);
        let mean = lengths.iter().sum::<usize>() as f64 / 10_000.0;
        assert!((49.0..=52.0).contains(&mean), "{mean}");
        assert_eq!(lengths.iter().min(), Some(&1));
        assert_eq!(lengths.iter().max(), Some(&100));
    }
}
