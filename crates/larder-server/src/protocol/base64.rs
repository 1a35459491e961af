//! Keys in base64, as memcached reads and writes them: the standard alphabet with padding.
//!
//! Reading is as lenient as memcached's: bytes outside of the alphabet are skipped, and what stands
//! behind a padded group is not looked at. Writing is canonical.

/// Bytes that a key of the wire's greatest length decodes to, at most.
pub(crate) const DECODED_BYTES_MAX: usize = super::text::KEY_BYTES_MAX / 4 * 3;

/// A decoded key.
#[derive(Debug)]
pub(crate) struct Decoded {
    bytes: [u8; DECODED_BYTES_MAX],
    length: usize,
}

impl Decoded {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; DECODED_BYTES_MAX],
            length: 0,
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// What the last text was decoded to.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Decodes `text`; `None` if it stands for nothing, or is no base64.
    pub(crate) fn decode(&mut self, text: &[u8]) -> Option<()> {
        let known = || text.iter().filter_map(|&byte| Some((byte, value(byte)?)));
        let count = known().count();
        if count == 0 || count % 4 != 0 {
            return None;
        }
        self.length = 0;
        let mut group = 0_u32;
        let mut padding = 0;
        for (at, (byte, value)) in known().enumerate() {
            group = group << 6 | u32::from(value);
            padding += usize::from(byte == b'=');
            if at % 4 < 3 {
                continue;
            }
            let [_, first, second, third] = group.to_be_bytes();
            self.push(first);
            self.push(second);
            self.push(third);
            group = 0;
            match padding {
                0 => {}
                1 | 2 => {
                    self.length -= padding;
                    break;
                }
                _ => return None,
            }
        }
        Some(())
    }
}

/// Appends `bytes` in base64.
pub(crate) fn encode(output: &mut Vec<u8>, bytes: &[u8]) {
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        for (to, from) in three.iter_mut().zip(group) {
            *to = *from;
        }
        let [first, second, third] = three.map(u32::from);
        let bits = first << 16 | second << 8 | third;
        for place in 0..4 {
            output.push(if place <= group.len() {
                digit(bits >> (18 - 6 * place) & 63)
            } else {
                b'='
            });
        }
    }
}

fn digit(value: u32) -> u8 {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    ALPHABET.get(value as usize).copied().unwrap_or(b'=')
}

/// The six bits that a character stands for; padding stands for zeros.
fn value(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Decoded::new();
        decoded.decode(text)?;
        Some(decoded.bytes().to_vec())
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for length in 1..=DECODED_BYTES_MAX {
            let bytes: Vec<u8> = (0..length)
                .map(|n| u8::try_from(n * 37 % 256).unwrap())
                .collect();
            let mut text = Vec::new();
            encode(&mut text, &bytes);
            assert_eq!(text.len(), length.div_ceil(3) * 4);
            assert_eq!(decoded(&text), Some(bytes));
        }
    }

    #[test]
    fn known_texts() {
        for (text, bytes) in [
            (&b"Zm9v"[..], &b"foo"[..]),
            (b"Zm8=", b"fo"),
            (b"Zg==", b"f"),
            (b"++//", b"\xfb\xef\xff"),
        ] {
            let mut encoded = Vec::new();
            encode(&mut encoded, bytes);
            assert_eq!(
                (&encoded[..], decoded(text).unwrap()),
                (text, bytes.to_vec())
            );
        }
    }

    #[test]
    fn reading_is_as_lenient_as_memcacheds() {
        assert_eq!(decoded(b"Zm!9v"), Some(b"foo".to_vec()));
        assert_eq!(decoded(b"Zg==Zm9v"), Some(b"f".to_vec()));
        assert_eq!(decoded(b"=m9v"), Some(b"\x02o".to_vec()));
        for bad in [&b""[..], b"Zm9", b"!!!!", b"Z===", b"====", b"Zm9vZ"] {
            assert_eq!(decoded(bad), None, "{bad:?}");
        }
    }
}
