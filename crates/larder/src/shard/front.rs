//! What readers of a shard reach without its lock, and what they leave there for whoever has it.

use std::sync::Arc;

use crate::arena::{Arena, Buckets, Candidate, Found};
use crate::policy::Uses;
use crate::sync::{AtomicU64, CachePadded, Ordering};
use crate::time::{Moment, Timestamp};

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
struct Hits {
    own: [CachePadded<AtomicU64>; COUNTS],
    others: CachePadded<AtomicU64>,
}

/// Threads with a count of their own; the others share one.
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

    /// Counts a read by a thread, see [`Found::thread`].
    #[inline(always)]
    pub(crate) fn note_hit(&self, thread: usize) {
        match self.hits.own.get(thread) {
            // Relaxed: a count, which nobody else writes; an atomic addition would be a barrier too.
            Some(count) => count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed),
            None => _ = self.hits.others.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Reads that were noted.
    pub(super) fn hits(&self) -> u64 {
        let counts = self.hits.own.iter().chain([&self.hits.others]);
        counts
            .map(|count| count.load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }

    /// Asks the processor for what a look for a key with this hash reads first. O(1).
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.buckets.prefetch(hash);
    }

    /// The item under `key`, if it lives and is found without the lock.
    #[inline(always)]
    pub(crate) fn find_live(&self, hash: u64, key: &[u8], now: Moment<'_>) -> Option<Found<'_>> {
        if self.is_clear_due(now) {
            return None;
        }
        alive(self.buckets.find(hash, key)?, now)
    }

    /// As `find_live`, where a candidate was found ahead.
    #[inline(always)]
    pub(crate) fn find_ahead<'b>(
        &self,
        candidate: &Candidate<'b>,
        key: &[u8],
        now: Moment<'_>,
    ) -> Option<Found<'b>> {
        if self.is_clear_due(now) {
            return None;
        }
        alive(candidate.find(key)?, now)
    }

    #[inline(always)]
    fn is_clear_due(&self, now: Moment<'_>) -> bool {
        // Acquire: a clear that was asked for before is met.
        let clear_at = self.clear_at.load(Ordering::Acquire);
        clear_at != NO_CLEAR && now.has_come(Timestamp::from_unix_millis(clear_at))
    }

    /// Everything stored before `instant` goes when it comes.
    pub(super) fn set_clear(&self, instant: Option<Timestamp>) {
        let millis = instant.map_or(NO_CLEAR, Timestamp::unix_millis);
        self.clear_at.store(millis, Ordering::Release);
    }
}

/// What was found, unless its time has passed.
#[inline(always)]
fn alive<'a>(found: Found<'a>, now: Moment<'_>) -> Option<Found<'a>> {
    let expires_at = found.expires_at().timestamp();
    (!expires_at.is_some_and(|instant| now.has_come(instant))).then_some(found)
}
