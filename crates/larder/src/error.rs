//! What can really fail. Absence and refused preconditions are not errors: see `op.rs`.

use std::fmt;

/// A refusal of the engine. Every variant says which limit was met and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The key is empty. Keys have 1 to [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX) bytes.
    KeyEmpty,
    /// The key is longer than [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX).
    KeyTooLong {
        /// Length of the key, in bytes.
        key_bytes: usize,
    },
    /// The value is longer than the cache's `value_bytes_max`.
    ValueTooLarge {
        /// Length of the value that was to be stored, in bytes.
        value_bytes: usize,
        /// The cache's limit, in bytes.
        value_bytes_max: usize,
    },
    /// No memory could be freed for the item: nothing may be evicted (`Policy::NoEviction`), or
    /// everything evictable was in use by this very operation.
    OutOfMemory {
        /// Bytes that the item needs.
        item_bytes: usize,
        /// The cache's memory limit, in bytes.
        limit_bytes: usize,
    },
    /// A loader asked for the key that it loads, itself or through other loaders, and would wait for
    /// itself: see [`get_or_insert_with`](crate::Cache::get_or_insert_with).
    LoadNeedsItself,
    /// `incr` or `decr` of a value that is not a decimal number below 2^64.
    NotANumber,
    /// A setting of the builder is outside its range.
    InvalidConfig {
        /// Name of the builder's setter.
        setting: &'static str,
        /// What the setter takes.
        expected: String,
    },
    /// The limit cannot be set so low: more is in use, and nothing of it may be evicted
    /// (`Policy::NoEviction`, or pinned items). The limit stays as it was.
    LimitBelowUse {
        /// The limit that was asked for, in bytes.
        limit_bytes: usize,
        /// Bytes in use.
        used_bytes: usize,
    },
    /// The operating system refused the address space for the arena.
    MappingFailed {
        /// Bytes asked for.
        bytes: usize,
        /// The operating system's words.
        reason: String,
    },
}

impl Error {
    /// [`Error::ValueTooLarge`], unless it is not.
    pub(crate) fn unless_value_fits(
        value_bytes: usize,
        value_bytes_max: usize,
    ) -> Result<(), Self> {
        if value_bytes > value_bytes_max {
            return Err(Self::ValueTooLarge {
                value_bytes,
                value_bytes_max,
            });
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyEmpty => f.write_str("the key is empty"),
            Self::KeyTooLong { key_bytes } => {
                write!(
                    f,
                    "the key has {key_bytes} bytes; the limit is {}",
                    crate::KEY_BYTES_MAX
                )
            }
            Self::ValueTooLarge {
                value_bytes,
                value_bytes_max,
            } => {
                write!(
                    f,
                    "the value has {value_bytes} bytes; value_bytes_max is {value_bytes_max}"
                )
            }
            Self::OutOfMemory {
                item_bytes,
                limit_bytes,
            } => write!(
                f,
                "no memory can be freed for an item of {item_bytes} bytes within limit_bytes = {limit_bytes}"
            ),
            Self::LoadNeedsItself => f.write_str("the load of this key waits for itself"),
            Self::NotANumber => f.write_str("the value is not a decimal number below 2^64"),
            Self::InvalidConfig { setting, expected } => write!(f, "{setting}: {expected}"),
            Self::LimitBelowUse {
                limit_bytes,
                used_bytes,
            } => {
                write!(
                    f,
                    "limit_bytes = {limit_bytes}, but {used_bytes} bytes are in use and stay"
                )
            }
            Self::MappingFailed { bytes, reason } => {
                write!(
                    f,
                    "the system refused {bytes} bytes of address space: {reason}"
                )
            }
        }
    }
}

impl std::error::Error for Error {}
