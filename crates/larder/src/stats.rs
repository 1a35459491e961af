//! Counters of a shard and of its size classes, and the snapshots that sum them.

use std::time::Duration;

use crate::time::Timestamp;

/// What one shard has counted. Plain numbers: they live under the shard's lock.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Counters {
    // What stores and evictions write comes first.
    pub(crate) stores: u64,
    pub(crate) evictions: u64,
    pub(crate) evicted_unfetched: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) misses_expired: u64,
    pub(crate) deletes: u64,
    pub(crate) expirations: u64,
    pub(crate) expired_unfetched: u64,
    pub(crate) out_of_memory: u64,
}

/// What one shard has counted for one size class.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct ClassCounters {
    // What stores and evictions write comes first, in one line.
    /// Bytes of the items in its chunks, headers included.
    pub(crate) item_bytes: usize,
    pub(crate) evictions: u64,
    pub(crate) evicted_unfetched: u64,
    pub(crate) evicted_mortal: u64,
    /// When an item was evicted last, and for how long it had not been used.
    pub(crate) last_eviction: Option<(Timestamp, Duration)>,
    pub(crate) expirations: u64,
    pub(crate) expired_unfetched: u64,
    pub(crate) swept: u64,
    pub(crate) examined: u64,
    pub(crate) out_of_memory: u64,
}

/// What one shard's memory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) item_count: usize,
    pub(crate) item_bytes: usize,
    pub(crate) index_bytes: usize,
    pub(crate) expiry_bytes: usize,
    pub(crate) policy_bytes: usize,
    pub(crate) rounding_bytes: usize,
    pub(crate) free_bytes: usize,
    /// Bytes of the runs of large items, which are counted by the others.
    pub(crate) run_bytes: usize,
}

/// A snapshot of a cache. Gauges describe the present; counters run since the cache was built.
///
/// Shards are read one after the other, so sums over a busy cache are not of one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Gauge: the memory limit, in bytes.
    pub limit_bytes: usize,
    /// Gauge: bytes of the limit in use: whole pages, large items, and what stands outside of both.
    pub used_bytes: usize,
    /// Gauge: the part of `used_bytes` that large items take, in bytes.
    pub large_bytes: usize,
    /// Gauge: bytes of the pages and large items that [pinned](crate::PinnedGuard) items hold. They count among the
    /// others, and to `used_bytes`.
    pub pinned_bytes: usize,
    /// Gauge: bytes of the index.
    pub index_bytes: usize,
    /// Gauge: bytes of the instants of expiry and of the last use, for every chunk there is.
    pub expiry_bytes: usize,
    /// Gauge: bytes that the policy takes: states, links, queues, what it remembers of evicted keys.
    pub policy_bytes: usize,
    /// Gauge: bytes of the tables of pages.
    pub table_bytes: usize,
    /// Gauge: bytes lost to rounding: from items to their chunks, and from chunks to their pages.
    pub rounding_bytes: usize,
    /// Gauge: bytes of the limit that hold nothing: free chunks of pages in use, and what is in no page.
    ///
    /// Items, index, expiry, policy, tables, rounding and this add up to `limit_bytes`.
    pub free_bytes: usize,
    /// Gauge: items held, expired ones that no one has met yet included.
    pub item_count: usize,
    /// Gauge: bytes of those items: header, key and value.
    pub item_bytes: usize,
    /// Gauge: shards.
    pub shard_count: usize,
    /// Reads (`get` and its kin) that found a live item.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// The part of `misses` that met an item past its expiry.
    pub misses_expired: u64,
    /// Values stored, in-place changes included.
    pub stores: u64,
    /// Items removed because a caller asked.
    pub deletes: u64,
    /// Live items evicted for room.
    pub evictions: u64,
    /// The part of `evictions` that had never been read.
    pub evicted_unfetched: u64,
    /// Items removed because their time had passed.
    pub expirations: u64,
    /// The part of `expirations` that had never been read.
    pub expired_unfetched: u64,
    /// Stores refused because no memory could be freed.
    pub out_of_memory: u64,
}

/// A snapshot of one size class of a cache, over all shards: [`Cache::class_stats`](crate::Cache::class_stats).
/// Gauges describe the present; counters run since the cache was built.
///
/// The last class is that of *large* items, which no chunk holds: each has a run of memory of its own, which
/// is counted as a page of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Gauge: bytes of a chunk: the most that an item of this class has, header included. Of large items the
    /// mean, 0 if there are none.
    pub chunk_bytes: usize,
    /// Gauge: chunks in a page.
    pub chunks_a_page: usize,
    /// Gauge: pages.
    pub page_count: usize,
    /// Gauge: chunks of those pages, free ones included.
    pub chunk_count: usize,
    /// Gauge: chunks with an item: items in this class, expired ones that no one has met yet included.
    pub item_count: usize,
    /// Gauge: bytes of those items: header, key and value.
    pub item_bytes: usize,
    /// Gauge: bytes of the pages.
    pub held_bytes: usize,
    /// Gauge: for how long the longest unused of some items has not been used, to the second: of those that
    /// are nearest to being evicted. Exact under [`Policy::Lru`](crate::Policy::Lru).
    pub longest_idle: Duration,
    /// Live items evicted for room.
    pub evictions: u64,
    /// The part of `evictions` that had never been read.
    pub evicted_unfetched: u64,
    /// The part of `evictions` that would have expired one day.
    pub evicted_mortal: u64,
    /// When an item was evicted last; `None` if none was.
    pub evicted_at: Option<Timestamp>,
    /// For how long that item had not been used, to the second.
    pub evicted_idle: Duration,
    /// Items removed because their time had passed.
    pub expirations: u64,
    /// The part of `expirations` that had never been read.
    pub expired_unfetched: u64,
    /// The part of `expirations` that [`maintain`](crate::Cache::maintain) found.
    pub expired_by_maintain: u64,
    /// Chunks that `maintain` looked at.
    pub examined: u64,
    /// Stores refused because no memory could be freed.
    pub out_of_memory: u64,
}

impl ClassStats {
    /// Adds what one shard has counted.
    pub(crate) fn add(&mut self, counters: &ClassCounters) {
        self.item_bytes += counters.item_bytes;
        self.evictions += counters.evictions;
        self.evicted_unfetched += counters.evicted_unfetched;
        self.evicted_mortal += counters.evicted_mortal;
        self.expirations += counters.expirations;
        self.expired_unfetched += counters.expired_unfetched;
        self.expired_by_maintain += counters.swept;
        self.examined += counters.examined;
        self.out_of_memory += counters.out_of_memory;
        if let Some((at, idle)) = counters.last_eviction
            && self.evicted_at.is_none_or(|before| before <= at)
        {
            (self.evicted_at, self.evicted_idle) = (Some(at), idle);
        }
    }
}

/// A snapshot of one shard of a cache: [`Cache::shard_stats`](crate::Cache::shard_stats). What the fields
/// mean is told at [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "as those of Stats with the same names")]
pub struct ShardStats {
    pub item_count: usize,
    pub item_bytes: usize,
    /// Gauge: bytes of the limit that the shard holds: pages, large items, index, and what the policy keeps.
    pub held_bytes: usize,
    pub hits: u64,
    pub misses: u64,
    pub stores: u64,
    pub deletes: u64,
    pub evictions: u64,
    pub expirations: u64,
    pub out_of_memory: u64,
}

impl Stats {
    /// Adds the gauges of one shard's memory.
    pub(crate) fn add_memory(&mut self, memory: Memory) {
        self.item_count += memory.item_count;
        self.item_bytes += memory.item_bytes;
        self.index_bytes += memory.index_bytes;
        self.expiry_bytes += memory.expiry_bytes;
        self.policy_bytes += memory.policy_bytes;
        self.rounding_bytes += memory.rounding_bytes;
        self.free_bytes += memory.free_bytes;
    }

    /// Adds one shard's counters.
    pub(crate) fn add(&mut self, counters: &Counters) {
        self.hits += counters.hits;
        self.misses += counters.misses;
        self.misses_expired += counters.misses_expired;
        self.stores += counters.stores;
        self.deletes += counters.deletes;
        self.evictions += counters.evictions;
        self.evicted_unfetched += counters.evicted_unfetched;
        self.expirations += counters.expirations;
        self.expired_unfetched += counters.expired_unfetched;
        self.out_of_memory += counters.out_of_memory;
    }
}
