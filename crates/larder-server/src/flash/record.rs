//! What is written of an item: its key and its value, and what tells that they are what was written.
//!
//! ```text
//! | crc 4 | value length 4 | written 4 | key length 2 | 0 | key | value |      crc: CRC32C of all behind it
//! ```
//! The key is there so that no read can take another item's value for its own, and so that a page can be
//! read from its beginning to its end. Flags, expiry and tokens stay in the cache.

use std::fmt;

/// Bytes before the key.
pub(super) const HEAD_BYTES: usize = 16;
const CRC_BYTES: usize = 4;

/// A record, read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// When it was written, in seconds since 1970.
    pub(super) written: u32,
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.escape_ascii();
        write!(f, "{key}: {} bytes, {}", self.value.len(), self.written)
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They end before it does.
    Short,
    /// They are not what was written.
    Damaged,
}

/// Bytes of the record of a key and a value.
pub(super) const fn bytes_of(key_bytes: usize, value_bytes: usize) -> usize {
    HEAD_BYTES + key_bytes + value_bytes
}

impl<'a> Record<'a> {
    /// Appends the record.
    pub(super) fn write(&self, buffer: &mut Vec<u8>) {
        let at = buffer.len();
        let key_bytes = u16::try_from(self.key.len()).expect("the longest key has 250 bytes");
        let value_bytes = u32::try_from(self.value.len()).expect("-I is 1 GiB at the most");
        buffer.extend_from_slice(&[0; CRC_BYTES]);
        buffer.extend_from_slice(&value_bytes.to_le_bytes());
        buffer.extend_from_slice(&self.written.to_le_bytes());
        buffer.extend_from_slice(&key_bytes.to_le_bytes());
        buffer.extend_from_slice(&[0; 2]);
        buffer.extend_from_slice(self.key);
        buffer.extend_from_slice(self.value);
        let record = buffer.get_mut(at..).unwrap_or_default();
        if let Some((crc, checked)) = record.split_first_chunk_mut::<CRC_BYTES>() {
            *crc = crc32c::crc32c(checked).to_le_bytes();
        }
    }

    /// The record at the start of `bytes`, which may have others behind it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let record = Self::split(bytes)?;
        let (crc, checked) = bytes.split_first_chunk::<CRC_BYTES>().ok_or(Flaw::Short)?;
        let checked = checked
            .get(..record.bytes() - CRC_BYTES)
            .ok_or(Flaw::Short)?;
        if record.key.is_empty() || crc32c::crc32c(checked) != u32::from_le_bytes(*crc) {
            return Err(Flaw::Damaged);
        }
        Ok(record)
    }

    /// As `read`, of bytes that have not left memory since they were written.
    pub(super) fn split(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(Flaw::Short)?;
        let [_, _, _, _, v0, v1, v2, v3, w0, w1, w2, w3, k0, k1, ..] = *head;
        let key_bytes = usize::from(u16::from_le_bytes([k0, k1]));
        let value_bytes = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let (key, rest) = rest.split_at_checked(key_bytes).ok_or(Flaw::Short)?;
        let value = rest.get(..value_bytes).ok_or(Flaw::Short)?;
        let written = u32::from_le_bytes([w0, w1, w2, w3]);
        Ok(Self {
            key,
            value,
            written,
        })
    }

    pub(super) const fn bytes(&self) -> usize {
        bytes_of(self.key.len(), self.value.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_no_damage_goes_unseen() {
        let value = vec![7; 300];
        for value in [&b""[..], b"v", &value] {
            let record = Record {
                key: b"key",
                value,
                written: 77,
            };
            let mut bytes = Vec::new();
            record.write(&mut bytes);
            assert_eq!(bytes.len(), record.bytes());
            let whole = bytes.len();
            bytes.extend_from_slice(b"what follows");
            assert_eq!(Record::read(&bytes), Ok(record));
            for end in 0..whole {
                assert_eq!(Record::read(&bytes[..end]), Err(Flaw::Short), "{end}");
            }
            for bit in 0..whole * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(Record::read(&damaged).is_err(), "{bit}");
            }
        }
        assert_eq!(Record::read(&[0; 100]), Err(Flaw::Damaged));
    }
}
