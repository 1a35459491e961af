//! Larder: a cache of byte keys and values within one hard memory limit.
//!
//! ```
//! use larder::{Cache, StoreOutcome, Ttl};
//!
//! let cache = Cache::with_limit(64 << 20)?; // 64 MiB, index included
//! cache.set(b"greeting", b"hello", Ttl::seconds(60))?;
//! let item = cache.get(b"greeting").expect("stored a moment ago");
//! assert_eq!(&*item, b"hello");
//!
//! // Check-and-set: of all who saw this token, one wins.
//! let outcome = cache.compare_and_swap(b"greeting", b"hi", item.cas(), Ttl::NEVER)?;
//! assert!(matches!(outcome, StoreOutcome::Stored(_)));
//! # Ok::<(), larder::Error>(())
//! ```
//!
//! The engine is lock-striped and slab-allocated: items stand in chunks of pages of one mapping,
//! named by 32-bit ids, and the limit covers items, index and side tables together. Expiry is
//! exact to the millisecond, and every stored value carries a token that is never issued again. What
//! is evicted is the [`Policy`]'s choice.
//!
//! # Memory
//! An item takes `12 + key + value` bytes, rounded up to its size class (eighths of a doubling, and
//! sixteenths from 512 bytes to 4 KiB; above half a page or 128 KiB, whole OS pages), 9 bytes beside it, about 8 of
//! index and 2 to 4 of the default policy; 4 more if it has client flags, 8 more under
//! [`Policy::Lru`]. Up to a limit of 28 GiB sizes are multiples of 8 bytes; beyond it of 16, and so on.
//!
//! # Semantics
//! The limit, expiry, eviction, listeners, loading, and who waits for whom: [`guide`].
//!
//! # What it is not
//! It knows no protocol and no socket, spawns no thread but a [`Maintainer`] that is asked for, and opens no
//! file: what a cache is [saved](Cache::save_draining) to is the caller's.

mod arena;
mod cache;
mod config;
mod counter;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hasher;
mod index;
#[cfg(feature = "bytes")]
mod interop;
mod loader;
mod maintainer;
#[cfg(feature = "metrics")]
mod metrics;
mod op;
mod pinned;
mod policy;
mod readers;
mod removal;
mod revision;
mod saved;
mod shard;
mod stats;
mod sync;
mod time;
mod trace;
mod typed;

pub use cache::{Batch, Cache, Cursor, Entry, Iter, Keys, Prepared, Reservation};
pub use config::{
    Builder, KEY_BYTES_MAX, LIMIT_BYTES_MAX, LIMIT_BYTES_MIN, SHARDS_MAX, VALUE_BYTES_MAX,
};
pub use error::Error;
pub use guard::ItemGuard;
pub use maintainer::Maintainer;
pub use op::{
    CasToken, Content, Edit, ItemView, LOCATOR_BYTES, Locator, Maintained, Move, Store, StoreMode,
    StoreOutcome, UpdateOutcome,
};
pub use pinned::{PINNED_VALUE_BYTES_MIN, PinnedGuard};
pub use policy::Policy;
pub use removal::{Cause, Removal};
pub use revision::{Adjust, Put, Renewal, Revision};
pub use saved::{Flaw, RestoreError, Restored, Saved};
pub use stats::{ClassStats, ShardStats, Stats};
pub use time::{Clock, ManualClock, ShiftedClock, Timestamp, Ttl};
#[cfg(feature = "serde")]
pub use typed::Postcard;
pub use typed::{Codec, CodecError, Plain, TypedCache, TypedError};

#[doc = include_str!("../../../docs/embedding.md")]
pub mod guide {}

/// The README's example, compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
