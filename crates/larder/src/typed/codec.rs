//! How values become bytes and back.

/// Why a codec failed.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// Turns values of `T` into bytes and back. Equal keys must become equal bytes.
pub trait Codec<T> {
    /// Appends the bytes of `value` to `buffer`.
    ///
    /// # Errors
    /// If there are none for it.
    fn encode(&self, value: &T, buffer: &mut Vec<u8>) -> Result<(), CodecError>;

    /// The value that was encoded as `bytes`.
    ///
    /// # Errors
    /// If they are not those of a value.
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// Text and bytes as they are, and `u64` in eight bytes, the highest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Codec<Vec<u8>> for Plain {
    fn encode(&self, value: &Vec<u8>, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        buffer.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }
}

impl Codec<String> for Plain {
    fn encode(&self, value: &String, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        buffer.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

impl Codec<u64> for Plain {
    fn encode(&self, value: &u64, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        buffer.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, CodecError> {
        Ok(u64::from_be_bytes(bytes.try_into()?))
    }
}
