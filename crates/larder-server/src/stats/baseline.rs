//! `stats reset`: counters go on counting, and what they had come to is subtracted from then on.
//! So nobody who counts is disturbed, and gauges stay what they are.

use std::sync::atomic::Ordering::Relaxed;

use larder::{ClassStats, Stats};

use crate::counters::{CLASS_COUNTERS, COUNTERS, Counter};
use crate::service::{Service, Shared};
use crate::tls::Endpoint;

/// What counters had come to at the last reset.
#[derive(Clone, Debug)]
pub(crate) struct Baseline {
    counters: [u64; COUNTERS],
    engine: Stats,
    pub(super) opened: u64,
    pub(super) rejected: u64,
    pub(super) paused: u64,
    pub(super) paused_micros: u64,
    pub(super) tls_sessions: u64,
    /// Of each size class: the engine's counters, and those of commands.
    classes: Vec<(ClassStats, [u64; CLASS_COUNTERS])>,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            counters: [0; COUNTERS],
            engine: Stats::default(),
            opened: 0,
            rejected: 0,
            paused: 0,
            paused_micros: 0,
            tls_sessions: 0,
            classes: Vec::new(),
        }
    }
}

impl Baseline {
    /// What counters have come to now.
    pub(crate) fn take(shared: &Shared) -> Self {
        let connections = &shared.connections;
        let classes = shared.cache.class_stats().into_iter().enumerate();
        let classes = classes.map(|(class, stats)| (stats, shared.sums_of_class(class)));
        let mut baseline = Self {
            engine: shared.cache.stats(),
            opened: connections.opened.load(Relaxed),
            rejected: connections.rejected.load(Relaxed),
            paused: connections.paused.load(Relaxed),
            paused_micros: connections.paused_micros.load(Relaxed),
            tls_sessions: shared.tls.as_ref().map_or(0, Endpoint::new_sessions),
            classes: classes.collect(),
            ..Self::default()
        };
        for (number, sum) in baseline.counters.iter_mut().enumerate() {
            *sum = shared.sum_of(number);
        }
        baseline
    }

    /// A counter of the workers since the reset.
    pub(crate) fn since(&self, shared: &Shared, counter: Counter) -> u64 {
        let before = self.counters.get(counter as usize).copied();
        let sum = shared.sum_of(counter as usize);
        sum.saturating_sub(before.unwrap_or_default())
    }

    /// Counters of commands for a size class since the reset.
    pub(super) fn commands_since(&self, shared: &Shared, class: usize) -> [u64; CLASS_COUNTERS] {
        let mut sums = shared.sums_of_class(class);
        let before = self.classes.get(class).into_iter();
        for (sum, before) in sums.iter_mut().zip(before.flat_map(|(_, before)| before)) {
            *sum = sum.saturating_sub(*before);
        }
        sums
    }

    /// The engine's counters of a size class since the reset; its gauges as they are in `stats`.
    pub(super) fn class_since(&self, class: usize, stats: &ClassStats) -> ClassStats {
        let mut stats = *stats;
        let Some((before, _)) = self.classes.get(class) else {
            return stats;
        };
        subtract([
            (&mut stats.evictions, before.evictions),
            (&mut stats.evicted_unfetched, before.evicted_unfetched),
            (&mut stats.evicted_mortal, before.evicted_mortal),
            (&mut stats.expirations, before.expirations),
            (&mut stats.expired_unfetched, before.expired_unfetched),
            (&mut stats.expired_by_maintain, before.expired_by_maintain),
            (&mut stats.examined, before.examined),
            (&mut stats.out_of_memory, before.out_of_memory),
        ]);
        stats
    }

    /// The engine's counters since the reset; its gauges as they are.
    pub(super) fn engine_since(&self, service: &Service<'_>) -> Stats {
        let mut stats = service.cache.stats();
        let before = &self.engine;
        subtract([
            (&mut stats.hits, before.hits),
            (&mut stats.misses, before.misses),
            (&mut stats.misses_expired, before.misses_expired),
            (&mut stats.stores, before.stores),
            (&mut stats.deletes, before.deletes),
            (&mut stats.evictions, before.evictions),
            (&mut stats.evicted_unfetched, before.evicted_unfetched),
            (&mut stats.expirations, before.expirations),
            (&mut stats.expired_unfetched, before.expired_unfetched),
            (&mut stats.out_of_memory, before.out_of_memory),
        ]);
        stats
    }
}

/// Takes from each counter what it was before; one that was set back in between stays at 0.
fn subtract<const N: usize>(counters: [(&mut u64, u64); N]) {
    for (counter, before) in counters {
        *counter = counter.saturating_sub(before);
    }
}
