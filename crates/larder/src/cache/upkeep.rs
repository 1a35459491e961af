//! What is done to a cache as a whole: clearing, maintaining, resizing, looking at it.

use super::Cache;
use crate::config::{LIMIT_BYTES_MIN, PAGES_PER_SHARD_MIN};
use crate::error::Error;
use crate::op::{Maintained, Store};
use crate::policy::Policy;
use crate::removal::Cause;
use crate::stats::{ClassStats, ShardStats, Stats};
use crate::sync::Ordering;
use crate::time::Timestamp;
use crate::trace;

/// Chunks that `maintain` looks at while it keeps a shard locked: if somebody is told of each item that
/// has expired, it is kept that long.
const CHUNKS_A_LOCK: usize = 256;
/// Buckets of the index that it gives up meanwhile.
const MERGES_A_LOCK: usize = 64;
/// How often one call of `maintain` does that for a shard.
const INDEX_LOCKS_MAX: usize = 16;

impl Cache {
    /// Removes everything. O(pages + large items), or O(items) if somebody [listens](Self::listen) for
    /// [`Cause::Cleared`]; other callers wait for one shard at a time.
    pub fn clear(&self) {
        let now = self.clock.now();
        for number in 0..self.shards.len() {
            self.lock(number).request_clear();
            drop(self.settled(number, now));
        }
        trace::cleared();
    }

    /// Removes what was stored before `instant`. If the instant lies ahead, everything that is
    /// stored when it comes goes then, and a later call takes this one's place. O(shards), or
    /// O(items) for an instant that has passed.
    pub fn clear_before(&self, instant: Timestamp) {
        let now = self.clock.now();
        let mut done = true;
        for number in 0..self.shards.len() {
            done &= self.settled(number, now).clear_before(instant, now);
        }
        if !done {
            self.remove_unless(Cause::Cleared, |view| view.stored_at() >= instant);
        }
    }

    /// Does background work now: expired items give their memory back, until `chunks_max` chunks have
    /// been looked at, and an index that has become too large shrinks. Call it now and then from a thread
    /// of your own; without it expired memory comes back when it is needed or when someone asks for the
    /// dead key. Locks one shard at a time, for some hundred microseconds at the most.
    /// O(`chunks_max` + shards).
    pub fn maintain(&self, chunks_max: usize) -> Maintained {
        let now = self.clock.now();
        let mut done = Maintained::default();
        // Each call begins behind the shard in which the last one ran out of budget: all get a turn.
        let first = self.next_shard.load(Ordering::Relaxed) as usize;
        for step in 0..self.shards.len() {
            let number = (first + step) % self.shards.len();
            let more_due = self.maintain_shard(number, now, chunks_max, &mut done);
            if more_due && !done.more_due {
                let next = u32::try_from(number + 1).expect("SHARDS_MAX is small");
                self.next_shard.store(next, Ordering::Relaxed);
            }
            done.more_due |= more_due;
        }
        done
    }

    /// The part of one shard; true if something was left.
    fn maintain_shard(
        &self,
        number: usize,
        now: Timestamp,
        chunks_max: usize,
        done: &mut Maintained,
    ) -> bool {
        let more_due = loop {
            let mut shard = self.settled(number, now);
            let left = chunks_max - done.examined_count;
            let part = shard.maintain(now, left.min(CHUNKS_A_LOCK));
            done.examined_count += part.examined_count;
            done.expired_count += part.expired_count;
            if !part.more_due || done.examined_count == chunks_max {
                break part.more_due;
            }
        };
        for _ in 0..INDEX_LOCKS_MAX {
            if !self.lock(number).shrink_index(MERGES_A_LOCK) {
                break;
            }
        }
        more_due
    }

    /// Evicts up to `count` items now, from the shards in turn, those that the policy would evict first.
    /// Returns how many went: fewer if no more are held, none under [`Policy::NoEviction`]. For
    /// callers that bound something besides memory, a number of items for example. O(`count` + shards).
    pub fn evict(&self, count: usize) -> usize {
        let now = self.clock.now();
        let mut evicted = 0;
        let mut in_vain = 0;
        while evicted < count && in_vain < self.shards.len() {
            // Relaxed: any shard will do.
            let turn = self.next_evicted.fetch_add(1, Ordering::Relaxed) as usize;
            let gone = self.lock(turn % self.shards.len()).evict_cheapest(now);
            evicted += usize::from(gone);
            in_vain = if gone { 0 } else { in_vain + 1 };
        }
        evicted
    }

    /// Counters and gauges, summed over the shards. O(shards).
    #[must_use]
    pub fn stats(&self) -> Stats {
        let now = self.clock.now();
        let mut stats = Stats {
            shard_count: self.shards.len(),
            policy_bytes: self.tuning_bytes,
            ..Stats::default()
        };
        let mut order_bytes = self.tuning_bytes;
        let mut run_bytes = 0;
        for number in 0..self.shards.len() {
            let shard = self.settled(number, now);
            let memory = shard.memory();
            run_bytes += memory.run_bytes;
            stats.add_memory(memory);
            order_bytes += shard.order_bytes();
            stats.add(&shard.counters());
        }
        let pool = self.arena.pool_use();
        stats.limit_bytes = self.arena.limit_bytes();
        stats.used_bytes = pool.used_bytes;
        stats.large_bytes = pool.run_bytes;
        stats.pinned_bytes = self.arena.kept_bytes();
        // Runs that are being filled, or that are read while their items are gone already.
        stats.rounding_bytes += pool.run_bytes.saturating_sub(run_bytes);
        // On a cache in use the pool may have moved on since a shard was looked at.
        stats.table_bytes = pool.charged_bytes.saturating_sub(order_bytes);
        stats.free_bytes += stats.limit_bytes.saturating_sub(pool.used_bytes);
        stats
    }

    /// What each size class holds and has counted, summed over the shards. An item's place in this is
    /// [`ItemView::class`](crate::ItemView::class). O(shards * classes + large items).
    #[must_use]
    pub fn class_stats(&self) -> Vec<ClassStats> {
        let now = self.clock.now();
        let mut classes = vec![ClassStats::default(); self.class_count()];
        for number in 0..self.shards.len() {
            self.settled(number, now).add_classes(&mut classes, now);
        }
        classes
    }

    /// What each shard holds and has counted. O(shards * classes + large items).
    #[must_use]
    pub fn shard_stats(&self) -> Vec<ShardStats> {
        let now = self.clock.now();
        let shards = 0..self.shards.len();
        shards
            .map(|number| self.settled(number, now).stats())
            .collect()
    }

    /// How many size classes there are, that of large items included. O(1).
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.arena.class_count()
    }

    /// The number of the size class for what `store` would store, as [`class_stats`](Self::class_stats)
    /// counts them: a chunk of it, or, while few items of the class are there, of a larger one. O(1).
    #[must_use]
    pub fn class_of(&self, store: &Store<'_>) -> usize {
        self.arena.class_for(store.item_bytes()).index()
    }

    /// The present instant by the cache's clock. O(1).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether [`huge_pages`](crate::Builder::huge_pages) were asked for and the system knows of such. O(1).
    #[must_use]
    pub fn has_huge_pages(&self) -> bool {
        self.arena.has_huge_pages()
    }

    /// Sets another memory limit. Shrinking evicts, one page at a time and with one shard locked at a
    /// time, until the new limit holds; the memory goes back to the OS. Other callers go on
    /// meanwhile. O(pages given up).
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if `bytes` is below [`LIMIT_BYTES_MIN`](crate::LIMIT_BYTES_MIN) or
    /// what the shards need, or above the builder's `limit_bytes_max`. [`Error::LimitBelowUse`] if
    /// nothing may be evicted and more is in use: under [`Policy::NoEviction`], or because it is
    /// [pinned](crate::PinnedGuard). After an error the limit is as it was.
    pub fn set_limit(&self, bytes: usize) -> Result<(), Error> {
        let shards_need = self.shards.len() * PAGES_PER_SHARD_MIN * self.arena.page_bytes();
        let range = LIMIT_BYTES_MIN.max(shards_need)..=self.arena.limit_bytes_max();
        if !range.contains(&bytes) {
            let expected = format!("{} to {} bytes, not {bytes}", range.start(), range.end());
            return Err(Error::InvalidConfig {
                setting: "limit_bytes",
                expected,
            });
        }
        let before = self.arena.limit_bytes();
        self.arena.set_limit(bytes);
        let now = self.clock.now();
        for number in 0..self.shards.len() {
            if self.arena.is_over_limit() {
                self.lock(number).trim_order();
            }
        }
        let mut number = 0;
        let mut in_vain = 0;
        while self.arena.is_over_limit() {
            let gave = self.lock(number).give_up_memory(now);
            in_vain = if gave { 0 } else { in_vain + 1 };
            if in_vain == self.shards.len() {
                let used_bytes = self.arena.pool_use().used_bytes;
                self.arena.set_limit(before);
                return Err(Error::LimitBelowUse {
                    limit_bytes: bytes,
                    used_bytes,
                });
            }
            number = (number + 1) % self.shards.len();
        }
        trace::limit_set(before, bytes);
        Ok(())
    }

    /// The longest value that this cache takes, in bytes: the builder's setting, or half of the
    /// limit if that has been set lower since. O(1).
    #[must_use]
    pub fn value_bytes_max(&self) -> usize {
        self.value_bytes_max.min(self.arena.limit_bytes() / 2)
    }

    /// What this cache does when its limit is reached. O(1).
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Walks every shard and panics unless all invariants hold. For tests: O(items), with each
    /// shard locked in turn.
    pub fn validate(&self) {
        self.arena.validate();
        for number in 0..self.shards.len() {
            self.lock(number).validate();
        }
    }
}
