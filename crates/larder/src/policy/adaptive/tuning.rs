//! What all shards of a cache have in common: probation's share, and the experiment that chooses it.

use super::duel::{Duel, RIVALS};
use super::miniature::Weight;
use crate::arena::SizeClass;
use crate::policy::Policy;
use crate::sync::{AtomicU32, AtomicU64, CachePadded, Mutex, Ordering};

/// The constants of the order that are chosen while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// Probation's share of a class.
    pub(super) share: f64,
    /// Uses that take an item from probation to main.
    pub(super) promote_uses: u8,
    /// The value of a turn in the main region, against one on probation, when classes are compared.
    pub(super) main_weight: f64,
}

/// The choice in force, and the duel behind it. A leaf lock, and never waited for: an access that
/// finds it taken is not observed.
#[derive(Debug)]
pub(crate) struct Tuning {
    /// Which of the rivals is in force.
    rival: AtomicU32,
    /// Keys whose mixed hash is below this are observed. 0 until something is evicted.
    sample_end: AtomicU64,
    /// In lines of its own: the others are read by every operation.
    duel: CachePadded<Mutex<Duel>>,
}

/// How much a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) items: usize,
    /// Bytes of their chunks.
    pub(crate) bytes: usize,
}

/// The rival in force at the start.
const FIRST: u32 = 6;
/// Items for which each miniature is made, at most: 1,024, fewer in a cache so small that their memory
/// would matter.
const ENTRIES_MAX: usize = 1024;
const ENTRIES_MIN: usize = 64;
/// Bytes of the limit for each of those items.
const LIMIT_BYTES_AN_ENTRY: usize = 64 << 10;

impl Choice {
    /// Whether `part` of `total` is over the share.
    pub(super) fn is_over(self, part: usize, total: usize) -> bool {
        part as f64 > self.share * total as f64
    }

    /// What a class is worth by the stamps and bytes of its heads: the lesser of what is under main's hand and of
    /// `probation`, which is given if that is who goes next. A class whose main region nobody has used for long is to shrink
    /// also while new items come to it. Infinite without any.
    pub(super) fn value(self, main: Option<(f64, f64)>, probation: Option<(f64, f64)>) -> f64 {
        let value = |head: Option<(f64, f64)>, weight: f64| {
            head.map_or(f64::INFINITY, |(stamp, bytes)| stamp + weight / bytes)
        };
        value(main, self.main_weight).min(value(probation, 1.0))
    }
}

impl Tuning {
    /// For a cache of `limit_bytes` whose items are of so many classes. Only one policy is tuned.
    pub(crate) fn new(policy: Policy, limit_bytes: usize, class_count: usize) -> Self {
        let entries = match policy {
            Policy::Adaptive => {
                (limit_bytes / LIMIT_BYTES_AN_ENTRY).clamp(ENTRIES_MIN, ENTRIES_MAX)
            }
            Policy::Lru | Policy::NoEviction => 0,
        };
        Self {
            rival: AtomicU32::new(FIRST),
            sample_end: AtomicU64::new(0),
            duel: CachePadded::new(Mutex::new(Duel::new(entries, class_count))),
        }
    }

    /// Bytes that it takes, counted in the limit by whoever makes it.
    pub(crate) fn bytes(&self) -> usize {
        self.duel.lock().bytes()
    }

    pub(super) fn choice(&self) -> Choice {
        // Relaxed: a number that stands for itself.
        RIVALS[self.rival.load(Ordering::Relaxed) as usize]
    }

    /// Something is evicted for the first time: accesses are observed from now on.
    pub(super) fn begin(&self, scale: Scale) {
        let mut duel = self.duel.lock();
        if self.sample_end.load(Ordering::Relaxed) == 0 {
            self.sample_end
                .store(duel.restart(scale), Ordering::Relaxed);
        }
    }

    /// Whether accesses to the key with this hash are observed.
    #[inline(always)]
    pub(crate) fn samples(&self, hash: u64) -> bool {
        mixed(hash) < self.sample_end.load(Ordering::Relaxed)
    }

    /// Observes a read of a sampled key; `weight` if it was found.
    pub(crate) fn note_read(&self, hash: u64, weight: Option<Weight>) {
        let Some(mut duel) = self.duel.try_lock() else {
            return;
        };
        if let Some(rival) = duel.read(mixed(hash), weight) {
            self.rival.store(rival, Ordering::Relaxed);
        }
    }

    /// Observes a read without the lock, if the key is sampled.
    #[inline(always)]
    pub(crate) fn note_hit(&self, hash: u64, class: SizeClass, bytes: usize) {
        if self.samples(hash) {
            self.note_read(hash, Some(Weight::of(class, bytes)));
        }
    }

    /// Observes a store under a sampled key. `scale` is the cache's present one.
    pub(crate) fn note_store(&self, hash: u64, weight: Weight, existed: bool, scale: Scale) {
        let Some(mut duel) = self.duel.try_lock() else {
            return;
        };
        duel.store(mixed(hash), weight, existed);
        if let Some(end) = duel.note_scale(scale) {
            self.sample_end.store(end, Ordering::Relaxed);
        }
    }
}

/// Index, ghost and shards use other parts and products of the hash.
fn mixed(hash: u64) -> u64 {
    (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB)
}
