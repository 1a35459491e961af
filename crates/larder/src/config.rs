//! The builder: every limit with its default and range, checked once in `build`.

use std::hash::BuildHasher;
use std::ops::RangeInclusive;

use crate::cache::Cache;
use crate::error::Error;
use crate::hasher::KeyHasher;
use crate::policy::Policy;
use crate::time::Clock;

/// The smallest memory limit, in bytes.
pub const LIMIT_BYTES_MIN: usize = 1 << 20;
/// The largest memory limit, in bytes.
pub const LIMIT_BYTES_MAX: usize = 1 << 40;
/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = (64 << 10) - 1;
/// The largest value that any cache takes, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 30;
/// The most shards.
pub const SHARDS_MAX: usize = 1024;

/// Settings of a cache to be built. Start with [`Cache::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    limit_bytes: usize,
    limit_bytes_max: Option<usize>,
    shards: Option<usize>,
    value_bytes_max: Option<usize>,
    pinned_bytes_max: Option<usize>,
    policy: Policy,
    huge_pages: Option<bool>,
    clock: Clock,
    /// `None` for a keyed one with a seed of the cache's own.
    hasher: Option<KeyHasher>,
}

/// What `build` has checked; the rest of the engine relies on it.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) limit_bytes: usize,
    pub(crate) limit_bytes_max: usize,
    pub(crate) shards: usize,
    pub(crate) value_bytes_max: usize,
    pub(crate) pinned_bytes_max: Option<usize>,
    pub(crate) policy: Policy,
    pub(crate) huge_pages: bool,
    pub(crate) clock: Clock,
    pub(crate) hasher: KeyHasher,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            limit_bytes: 64 << 20,
            limit_bytes_max: None,
            shards: None,
            value_bytes_max: None,
            pinned_bytes_max: None,
            policy: Policy::default(),
            huge_pages: None,
            clock: Clock::system(),
            hasher: None,
        }
    }

    /// The one memory limit: items, index and side tables together. Default 64 MiB;
    /// [`LIMIT_BYTES_MIN`] to [`LIMIT_BYTES_MAX`].
    pub fn limit_bytes(mut self, bytes: usize) -> Self {
        self.limit_bytes = bytes;
        self
    }

    /// The most that [`Cache::set_limit`] may be asked for. It costs address space, and pages of a
    /// size for such a limit. Default: the limit; up to [`LIMIT_BYTES_MAX`].
    pub fn limit_bytes_max(mut self, bytes: usize) -> Self {
        self.limit_bytes_max = Some(bytes);
        self
    }

    /// Locks that the cache is divided among: a power of two, 1 to [`SHARDS_MAX`], and no more
    /// than one for every 16 pages of the limit (1 MiB up to a limit of 1 GiB). Default: eight for
    /// each of the machine's cores, but at most one for every 16 MiB. The memory limit is not divided.
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = Some(count);
        self
    }

    /// The longest value, in bytes: 1 to [`VALUE_BYTES_MAX`], and at most half of the limit.
    /// Default: half of the limit, [`VALUE_BYTES_MAX`] at most.
    pub fn value_bytes_max(mut self, bytes: usize) -> Self {
        self.value_bytes_max = Some(bytes);
        self
    }

    /// The most that [pinned](crate::PinnedGuard) items may hold of the limit, in bytes: in whole pages and in large
    /// values, which cannot be evicted meanwhile. Beyond it guards have copies. 0 (copies always) to half of the limit.
    /// Default: a quarter of the limit, whatever that is set to later.
    pub fn pinned_bytes_max(mut self, bytes: usize) -> Self {
        self.pinned_bytes_max = Some(bytes);
        self
    }

    /// What happens when the limit is reached. Default [`Policy::Adaptive`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Whether to ask the system for huge pages (2 MiB) under items and index, with which the processor finds their
    /// addresses sooner: reads and stores are 1.2 to 1.4 times as fast. Default: where the limit that the cache is
    /// built with is 64 MiB to 64 GiB. [`Cache::has_huge_pages`] tells whether the system knows of such; where it does not, or has none at
    /// hand, the cache works as without.
    ///
    /// On Linux this is `madvise(MADV_HUGEPAGE)`, which the setting `never` of
    /// `/sys/kernel/mm/transparent_hugepage/enabled` makes void and `always` makes the default for all programs.
    /// Memory is used for the first time 2 MiB at a time: while a cache fills, one store in thousands waits while
    /// the system clears as much, some tenths of a millisecond, and longer where it has to move other memory together
    /// first (`defrag` set to `madvise`) or is a guest whose host has not given it that memory yet. A full cache
    /// waits for that only where 2 MiB that had gone back to the system are used again. Who cannot have it says `false`.
    ///
    /// What is given back to the system, as pages turn into large values or the limit is lowered, goes back in
    /// the cache's own smaller pages, and the rest of their 2 MiB is made of small pages until they are used
    /// again; each such piece divides the mapping, and a process has 65,530 of those, which 128 GiB could use up. The
    /// process's resident memory keeps to the limit as without, but for the last 2 MiB; the system
    /// may get hold of what was a part of a huge page only when it runs short. Values of half a page and
    /// more, and pages of eight units, never stand in huge pages.
    pub fn huge_pages(mut self, asked: bool) -> Self {
        self.huge_pages = Some(asked);
        self
    }

    /// Where the cache takes its time from. Default [`Clock::system`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// How keys are hashed. Default: a keyed hash with a random seed, so that nobody who chooses keys
    /// can make them collide; another should be no worse where keys come from strangers. Its results are
    /// mixed, so all it must do is to differ where keys differ, in 64 bits: of keys with one hash no more
    /// than 24 find a place, and the index grows in vain for the next until the store is refused.
    pub fn hasher(mut self, hasher: impl BuildHasher + Send + Sync + 'static) -> Self {
        self.hasher = Some(KeyHasher::custom(hasher));
        self
    }

    /// Checks every setting and builds the cache. O(limit / 64 KiB + shards).
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the setting that is out of its range;
    /// [`Error::MappingFailed`] if the system refuses the address space (five times the limit is
    /// asked for, twice is enough; memory is used only as items come).
    pub fn build(self) -> Result<Cache, Error> {
        Cache::from_config(self.check()?)
    }

    fn check(self) -> Result<Config, Error> {
        let limit = self.limit_bytes;
        if !(LIMIT_BYTES_MIN..=LIMIT_BYTES_MAX).contains(&limit) {
            return Err(invalid(
                "limit_bytes",
                format!("{LIMIT_BYTES_MIN} to {LIMIT_BYTES_MAX} bytes, not {limit}"),
            ));
        }
        let limit_bytes_max = self.limit_bytes_max.unwrap_or(limit);
        if !(limit..=LIMIT_BYTES_MAX).contains(&limit_bytes_max) {
            return Err(invalid(
                "limit_bytes_max",
                format!("{limit} (the limit) to {LIMIT_BYTES_MAX} bytes, not {limit_bytes_max}"),
            ));
        }
        let shards_max = shards_max(limit, limit_bytes_max);
        let shards = self
            .shards
            .unwrap_or_else(|| default_shards(limit).min(shards_max));
        if !shards.is_power_of_two() || shards > shards_max {
            return Err(invalid(
                "shards",
                format!("a power of two, at most {shards_max} for this limit, not {shards}"),
            ));
        }
        let value_max = (limit / 2).min(VALUE_BYTES_MAX);
        let value_bytes_max = self.value_bytes_max.unwrap_or(value_max);
        if !(1..=value_max).contains(&value_bytes_max) {
            return Err(invalid(
                "value_bytes_max",
                format!("1 to {value_max} bytes for this limit, not {value_bytes_max}"),
            ));
        }
        let pinned_max = limit / 2;
        if let Some(bytes) = self.pinned_bytes_max
            && bytes > pinned_max
        {
            return Err(invalid(
                "pinned_bytes_max",
                format!("0 to {pinned_max} bytes for this limit, not {bytes}"),
            ));
        }
        let Self {
            pinned_bytes_max,
            policy,
            huge_pages,
            clock,
            hasher,
            ..
        } = self;
        Ok(Config {
            limit_bytes: limit,
            limit_bytes_max,
            shards,
            value_bytes_max,
            pinned_bytes_max,
            policy,
            huge_pages: huge_pages.unwrap_or_else(|| HUGE_PAGES_BYTES.contains(&limit)),
            clock,
            hasher: hasher.unwrap_or_else(KeyHasher::random),
        })
    }
}

/// Pages a shard must be able to own: fewer, and its size classes would fight for them.
pub(crate) const PAGES_PER_SHARD_MIN: usize = 16;

fn shards_max(limit_bytes: usize, limit_bytes_max: usize) -> usize {
    let pages = limit_bytes / crate::arena::page_bytes_for(limit_bytes_max);
    let shards = (pages / PAGES_PER_SHARD_MIN).clamp(1, SHARDS_MAX);
    1 << shards.ilog2()
}

/// Limits at which huge pages are asked for by default. The last of them, which is resident before it is all used, is a
/// small part of such a limit; and however many of them are divided, the process keeps mappings for other things.
const HUGE_PAGES_BYTES: RangeInclusive<usize> = 64 << 20..=64 << 30;

/// Bytes of the limit for each shard that is made without being asked for: every shard has pages of
/// each size class, of which the last is not full.
const LIMIT_BYTES_A_SHARD: usize = 16 << 20;

/// Shards for each processor: threads that store are seldom in the same one.
const SHARDS_A_CORE: usize = 8;

fn default_shards(limit_bytes: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let by_cores = (cores * SHARDS_A_CORE).next_power_of_two().min(SHARDS_MAX);
    let by_limit = (limit_bytes / LIMIT_BYTES_A_SHARD).max(1);
    by_cores.min(1 << by_limit.ilog2())
}

fn invalid(setting: &'static str, expected: String) -> Error {
    Error::InvalidConfig { setting, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: Builder) -> &'static str {
        match builder.check() {
            Err(Error::InvalidConfig { setting, .. }) => setting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let builder = || Cache::builder().limit_bytes(64 << 20);
        assert_eq!(
            refused(builder().limit_bytes(LIMIT_BYTES_MIN - 1)),
            "limit_bytes"
        );
        assert_eq!(
            refused(builder().limit_bytes(LIMIT_BYTES_MAX + 1)),
            "limit_bytes"
        );
        for shards in [0, 3, 128, SHARDS_MAX * 2] {
            assert_eq!(refused(builder().shards(shards)), "shards");
        }
        assert_eq!(
            refused(builder().limit_bytes_max((64 << 20) - 1)),
            "limit_bytes_max"
        );
        for bytes in [0, (32 << 20) + 1] {
            assert_eq!(refused(builder().value_bytes_max(bytes)), "value_bytes_max");
        }
        let pinned = builder().pinned_bytes_max((32 << 20) + 1);
        assert_eq!(refused(pinned), "pinned_bytes_max");
    }

    #[test]
    fn huge_pages_are_for_large_caches_or_as_told() {
        let asks = |builder: Builder| builder.check().unwrap().huge_pages;
        let builder = |mib: usize| Cache::builder().limit_bytes(mib << 20);
        assert!(!asks(builder(63)) && asks(builder(64)));
        assert!(asks(builder(64 << 10)) && !asks(builder((64 << 10) + 1)));
        assert!(asks(builder(1).huge_pages(true)) && !asks(builder(64).huge_pages(false)));
    }

    #[test]
    fn defaults_fit_every_limit() {
        for shift in 20..=40 {
            let config = Cache::builder().limit_bytes(1 << shift).check().unwrap();
            assert!(config.shards.is_power_of_two());
            assert!(config.value_bytes_max <= VALUE_BYTES_MAX);
        }
    }
}
