//! What a saved cache looks like as bytes. docs/saved.md tells it to whoever reads such a file elsewhere.
//!
//! ```text
//! file    | magic 8 | version 4 | block 0: head | block: items .. | block: long | block: value .. | .. | block: end |
//! block   | kind 4 | payload length 4 | CRC-32 4 | payload |
//! head    | saved at 8 | last token 8 | clear before 8 | marks 8 | items 8 | bytes of memory 8 |
//! items   records, one behind the other
//! long    one record without its value, which follows in blocks of kind value
//! record  | marks 1 | uses 1 | key length 2 | value length 4 | stamp 8 | accessed 4 |
//!         | expires 8, token 8, flags 4: those that the marks name | key | value |
//! end     | items 8 | last token 8 |
//! ```
//! Numbers are little-endian, instants milliseconds since 1970 (`accessed`: seconds). The checksum is that
//! of the block's number, its kind, its length and its payload, so that blocks can be neither lost nor
//! exchanged. Reading believes nothing: lengths are bounded before anything is allocated.

mod read;
mod write;

pub(crate) use read::{Reader, end};
pub(crate) use write::{Sink, Writer};

use std::{fmt, io};

use crate::config::KEY_BYTES_MAX;
use crate::time::Timestamp;

/// The first byte is none of a text, and a line end that is changed on the way is found out.
const MAGIC: [u8; 8] = *b"\x89Larder\n";
const VERSION: u32 = 1;
/// Bytes of a block's payload at the most.
pub(crate) const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Values from here on stand in blocks of their own.
pub(crate) const LONG_VALUE_BYTES: usize = 128 << 10;
/// Bytes of a record besides key and value at the most.
const RECORD_HEAD_BYTES_MAX: usize = 20 + 8 + 8 + 4;
/// Tokens beyond this are none that a cache gave: there would be no room for later ones.
const TOKEN_MAX: u64 = u64::MAX - (1 << 56);
/// Mark of a head: records tell where the adaptive policy had its items.
const HAS_PLACES: u64 = 1;

const _: () = assert!(RECORD_HEAD_BYTES_MAX + KEY_BYTES_MAX + LONG_VALUE_BYTES <= BLOCK_BYTES_MAX);

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Head = 1,
    Items = 2,
    Long = 3,
    Value = 4,
    End = 5,
}

/// What is true of the whole cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) saved_at: Timestamp,
    /// The last token given when saving began.
    pub(crate) last_token: u64,
    /// A clear that was still to come.
    pub(crate) clear_before: Option<Timestamp>,
    /// Whether records tell where the adaptive policy had its items.
    pub(crate) has_places: bool,
    /// Items, and bytes of memory in use, when saving began.
    pub(crate) item_count: u64,
    pub(crate) used_bytes: u64,
}

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) key: &'a [u8],
    /// Empty where it stands elsewhere.
    pub(crate) value: &'a [u8],
    /// Bytes of the value, wherever it is.
    pub(crate) value_bytes: usize,
    pub(crate) flags: u32,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) accessed_at: Timestamp,
    /// The token under which it was stored; it tells when.
    pub(crate) stamp: u64,
    /// The token that a caller chose in its place.
    pub(crate) token: Option<u64>,
    pub(crate) marked: bool,
    pub(crate) fetched: bool,
    pub(crate) stale: bool,
    pub(crate) renewing: bool,
    /// Where the adaptive policy had it: in its main region, and how often it was used since it was looked at.
    pub(crate) main: bool,
    pub(crate) uses: u8,
}

/// What [`Cache::save`](crate::Cache::save) and its kin wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Items.
    pub item_count: u64,
    /// Items left out because their values are [elsewhere](crate::Cache::move_value).
    pub elsewhere_count: u64,
    /// Bytes of everything.
    pub file_bytes: u64,
}

/// What [`Cache::restore`](crate::Cache::restore) read, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Items that were stored. Of those, some may have been evicted since for the ones behind them.
    pub restored_count: u64,
    /// Items left out because their time has passed, or because they were to be cleared meanwhile.
    pub expired_count: u64,
    /// Items left out because the cache had a later value of the same key.
    pub outdated_count: u64,
    /// Items left out because they are longer than the cache takes, or for want of memory
    /// ([`Policy::NoEviction`](crate::Policy::NoEviction)).
    pub refused_count: u64,
    /// Bytes that were read.
    pub file_bytes: u64,
}

/// Why a saved cache could not be read to its end, and what had been restored by then.
#[derive(Debug)]
pub struct RestoreError {
    /// What was in order before that. It stays in the cache.
    pub restored: Restored,
    /// What is wrong.
    pub flaw: Flaw,
}

/// What is wrong with a saved cache.
#[derive(Debug)]
#[non_exhaustive]
pub enum Flaw {
    /// It is none: it begins with something else.
    Foreign,
    /// It is one of another version of the format.
    Version(u32),
    /// It ends too early.
    Truncated,
    /// It is not what was written.
    Damaged {
        /// The number of the first block that is not as it was.
        block: u64,
    },
    /// It could not be read.
    Unreadable(io::Error),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is not a saved cache"),
            Self::Version(version) => {
                write!(f, "its format is version {version}; this is {VERSION}")
            }
            Self::Truncated => f.write_str("it is not whole"),
            Self::Damaged { block } => write!(f, "block {block} is damaged"),
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.flaw.fmt(f)
    }
}

impl std::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.flaw {
            Flaw::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

/// The checksum of a block.
fn checksum(number: u64, kind: u32, payload: &[u8]) -> u32 {
    let length = u32::try_from(payload.len()).expect("BLOCK_BYTES_MAX");
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&kind.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
