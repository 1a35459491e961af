//! Whatever serde can serialize, in postcard's format, with the feature `serde`.

use ::serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecError};

/// Any type that serde serializes and deserializes, in the compact format of the crate `postcard`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    fn encode(&self, value: &T, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        *buffer = postcard::to_extend(value, std::mem::take(buffer))?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            (_, rest) => Err(format!("{} bytes behind the value", rest.len()).into()),
        }
    }
}
