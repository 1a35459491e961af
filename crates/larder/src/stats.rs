//! Counters of a shard and the snapshot that sums them.

/// What one shard has counted. Plain numbers: they live under the shard's lock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) misses_expired: u64,
    pub(crate) stores: u64,
    pub(crate) deletes: u64,
    pub(crate) evictions: u64,
    pub(crate) evicted_unfetched: u64,
    pub(crate) expirations: u64,
    pub(crate) expired_unfetched: u64,
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
