//! What readers of a shard reach without its lock, and what they leave there for whoever has it.

use std::sync::Arc;

use crate::arena::{Arena, Buckets, Found};
use crate::policy::Uses;
use crate::readers;
use crate::sync::{AtomicU64, CachePadded, Ordering};
use crate::time::Timestamp;

/// A shard's side that needs no lock.
#[derive(Debug)]
pub(crate) struct Front {
    buckets: Arc<Buckets>,
    uses: Arc<Uses>,
    hits: Hits,
    /// Milliseconds: from then on nothing is found here before the shard has been cleared.
    clear_at: AtomicU64,
}

/// Reads that found their item here, counted by thread, so that threads do not share what they write.
#[derive(Debug, Default)]
struct Hits([CachePadded<AtomicU64>; COUNTS]);

/// Threads with a count of their own; more share.
const COUNTS: usize = 16;

const NO_CLEAR: u64 = u64::MAX;

impl Front {
    pub(crate) fn new(arena: &Arc<Arena>) -> Self {
        Self {
            buckets: Arc::new(Buckets::new(Arc::clone(arena))),
            uses: Arc::default(),
            hits: Hits::default(),
            clear_at: AtomicU64::new(NO_CLEAR),
        }
    }

    pub(crate) fn buckets(&self) -> &Arc<Buckets> {
        &self.buckets
    }

    pub(crate) fn uses(&self) -> &Arc<Uses> {
        &self.uses
    }

    pub(crate) fn note_hit(&self) {
        // Relaxed: a count.
        let count = &self.hits.0[readers::thread_number() % COUNTS];
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads that were noted.
    pub(super) fn hits(&self) -> u64 {
        let counts = self.hits.0.iter();
        counts
            .map(|count| count.load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }

    /// The item under `key`, if it lives and is found without the lock.
    #[inline]
    pub(crate) fn find_live(&self, hash: u64, key: &[u8], now: Timestamp) -> Option<Found<'_>> {
        // Acquire: a clear that was asked for before is met.
        if now.unix_millis() >= self.clear_at.load(Ordering::Acquire) {
            return None;
        }
        let found = self.buckets.find(hash, key)?;
        (!found.expires_at().is_past(now)).then_some(found)
    }

    /// Everything stored before `instant` goes when it comes.
    pub(super) fn set_clear(&self, instant: Option<Timestamp>) {
        let millis = instant.map_or(NO_CLEAR, Timestamp::unix_millis);
        self.clear_at.store(millis, Ordering::Release);
    }
}
