//! Settings of memcached's slab allocator, lists and threads, which mean nothing here: they are
//! accepted within memcached's bounds, shown by `stats settings`, and change nothing else. And those of
//! values on flash, which clients may change.

/// Settings without an effect but for those of values on flash (`ext_`), at memcached's defaults.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Knobs {
    /// `-f`.
    pub growth_factor: f64,
    /// `-n`, in bytes.
    pub chunk_bytes_min: u32,
    /// `-o hashpower`; 0 if it was not given.
    pub hash_power: u32,
    /// `-o hash_algorithm`.
    pub hash_algorithm: HashAlgorithm,
    /// `-o slab_reassign`.
    pub slab_reassign: bool,
    /// `-o slab_automove`, 0 to 2.
    pub slab_automove: u32,
    /// `-o slab_automove_ratio`.
    pub slab_automove_ratio: f64,
    /// `-o slab_automove_window`, in seconds.
    pub slab_automove_window: u32,
    /// `-o slab_automove_freeratio`.
    pub slab_automove_freeratio: f64,
    /// `-o slab_chunk_max`, in bytes; none for memcached's default beside the item limit.
    pub slab_chunk_bytes_max: Option<usize>,
    /// `-o lru_crawler`: whether the commands that walk items are on.
    pub lru_crawler: bool,
    /// `-o lru_crawler_sleep`, in microseconds.
    pub lru_crawler_sleep: u32,
    /// `-o lru_crawler_tocrawl`.
    pub lru_crawler_tocrawl: u32,
    /// `-o lru_maintainer`.
    pub lru_maintainer: bool,
    /// Off by `-o no_lru_maintainer` and `lru mode flat`.
    pub lru_segmented: bool,
    /// `-o hot_lru_pct`.
    pub hot_lru_pct: u32,
    /// `-o warm_lru_pct`.
    pub warm_lru_pct: u32,
    /// `-o hot_max_factor`.
    pub hot_max_factor: f64,
    /// `-o warm_max_factor`.
    pub warm_max_factor: f64,
    /// Whether a short lifetime has a list of its own.
    pub temp_lru: bool,
    /// `-o temporary_ttl`, in seconds.
    pub temporary_ttl: u32,
    /// `-o tail_repair_time`, in seconds.
    pub tail_repair_time: u32,
    /// `-o worker_logbuf_size`, in bytes.
    pub worker_log_bytes: u32,
    /// `-o read_buf_mem_limit`, in bytes; if given it is `buffer_bytes_max` as well.
    pub read_buffer_bytes: u32,
    /// `-o drop_privileges`.
    pub drop_privileges: bool,
    /// `-N`.
    pub napi_ids: u32,
    /// `-o ext_item_size`, in bytes.
    pub ext_item_size: u32,
    /// `-o ext_item_age`, in seconds.
    pub ext_item_age: u32,
    /// `-o ext_low_ttl`, in seconds.
    pub ext_low_ttl: u32,
    /// `-o ext_recache_rate`.
    pub ext_recache_rate: u32,
    /// `-o ext_wbuf_size`, in bytes.
    pub ext_wbuf_size: u32,
    /// `-o ext_compact_under`, in pages.
    pub ext_compact_under: u32,
    /// `-o ext_drop_under`, in pages.
    pub ext_drop_under: u32,
    /// `-o ext_max_sleep`, in microseconds.
    pub ext_max_sleep: u32,
    /// `-o ext_max_frag`.
    pub ext_max_frag: f64,
    /// `-o ext_drop_unread`.
    pub ext_drop_unread: bool,
}

/// memcached's choice of hash functions. Here keys are hashed with a key of the process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// `jenkins`.
    Jenkins,
    /// `murmur3`.
    Murmur3,
    /// `xxh3`.
    Xxh3,
}

impl HashAlgorithm {
    /// The name on the command line and in `stats settings`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jenkins => "jenkins",
            Self::Murmur3 => "murmur3",
            Self::Xxh3 => "xxh3",
        }
    }
}

/// memcached's slab page.
pub(crate) const SLAB_PAGE_BYTES: usize = 1 << 20;

impl Default for Knobs {
    fn default() -> Self {
        Self {
            growth_factor: 1.25,
            chunk_bytes_min: 48,
            hash_power: 0,
            hash_algorithm: HashAlgorithm::Murmur3,
            slab_reassign: true,
            slab_automove: 1,
            slab_automove_ratio: 0.8,
            slab_automove_window: 10,
            slab_automove_freeratio: 0.01,
            slab_chunk_bytes_max: None,
            lru_crawler: true,
            lru_crawler_sleep: 100,
            lru_crawler_tocrawl: 0,
            lru_maintainer: true,
            lru_segmented: true,
            hot_lru_pct: 20,
            warm_lru_pct: 40,
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temp_lru: false,
            temporary_ttl: 61,
            tail_repair_time: 0,
            worker_log_bytes: 64 << 10,
            read_buffer_bytes: 0,
            drop_privileges: false,
            napi_ids: 0,
            ext_item_size: 512,
            ext_item_age: u32::MAX,
            ext_low_ttl: 0,
            ext_recache_rate: 2000,
            ext_wbuf_size: 4 << 20,
            ext_compact_under: 0,
            ext_drop_under: 0,
            ext_max_sleep: 1_000_000,
            ext_max_frag: 0.8,
            ext_drop_unread: false,
        }
    }
}
