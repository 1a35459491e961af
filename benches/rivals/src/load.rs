//! What is asked of a cache, and how long it takes.
//!
//! Key numbers are drawn before the clock runs; keys are computed from them by two multiplications, so
//! that a round measures the cache and not the reading of keys from memory.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use larder_bench::zipf::Zipf;

use crate::subject::{Room, Subject};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 20;

/// A key of 20 bytes that differ from the first on.
pub(crate) fn key(number: u64) -> [u8; KEY_BYTES] {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    let mut key = [b'k'; KEY_BYTES];
    key[..8].copy_from_slice(&mixed.to_le_bytes());
    key[8..16].copy_from_slice(&number.to_le_bytes());
    key
}

/// What is done in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// So many of a hundred operations are sets of items that are there, the others gets.
    Sets(u32),
    /// Every operation stores a key that was never there, and the cache is full.
    Evict,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) mix: Mix,
    /// Exponent of Zipf's law over the items; 0 is uniform.
    pub(crate) zipf: f64,
    pub(crate) items: u64,
    pub(crate) value_bytes: usize,
    pub(crate) threads: usize,
}

impl Case {
    /// The table's first column.
    pub(crate) fn label(&self) -> String {
        let mix = match self.mix {
            Mix::Sets(0) => "get".to_owned(),
            Mix::Sets(100) => "set".to_owned(),
            Mix::Sets(sets) => format!("get and set {}:{sets}", 100 - sets),
            Mix::Evict => "set, evicting".to_owned(),
        };
        let keys = match self.mix {
            Mix::Evict => ", new keys".to_owned(),
            Mix::Sets(_) if self.zipf == 0.0 => ", uniform".to_owned(),
            Mix::Sets(_) => format!(", zipf {}", self.zipf),
        };
        let (items, value) = (self.items, self.value_bytes);
        let plural = if self.threads == 1 { "" } else { "s" };
        let threads = self.threads;
        format!("{mix}{keys}, {items} of 20+{value} B, {threads} thread{plural}")
    }

    /// Room for the items, tight if they are to be evicted.
    pub(crate) fn room(&self) -> Room {
        let items = usize::try_from(self.items).expect("64 bits");
        let items = if self.mix == Mix::Evict {
            items
        } else {
            // Shares of shards and of regions differ; nothing is to be evicted here.
            items + items / 2 + 1024
        };
        Room {
            items,
            bytes: items * (KEY_BYTES + self.value_bytes),
        }
    }

    /// The key numbers of each thread.
    pub(crate) fn draw(&self, operations: usize) -> Vec<Vec<u32>> {
        let zipf = (self.zipf > 0.0).then(|| Zipf::new(self.items, self.zipf));
        let thread = |thread| {
            let mut random = fastrand::Rng::with_seed(thread);
            let number = |_| match &zipf {
                None => random.u64(..self.items),
                // Popular keys are no neighbours in memory: items were stored in order.
                Some(zipf) => zipf.rank(&mut random).wrapping_mul(2_654_435_761) % self.items,
            };
            let number = (0..operations).map(number);
            number
                .map(|n| u32::try_from(n).expect("items are counted in 32 bits"))
                .collect()
        };
        (0..self.threads as u64).map(thread).collect()
    }
}

/// A filled cache, whichever it is.
pub(crate) trait Bench {
    fn name(&self) -> &'static str;
    /// Seconds for an operation on the wall, all threads together; and gets that missed.
    fn round(&mut self, case: &Case, numbers: &[Vec<u32>]) -> (f64, u64);
    /// How long each set takes that evicts, in nanoseconds, with the clock's own time in it.
    fn latencies(&mut self, case: &Case, operations: usize) -> Histogram<u64>;
}

/// A cache with what it was filled with.
pub(crate) struct Filled<S> {
    cache: S,
    value: Vec<u8>,
    /// The first number that no key has had.
    next: u64,
}

impl<S: Subject> Filled<S> {
    pub(crate) fn bench(case: &Case) -> Box<dyn Bench> {
        let cache = S::new(case.room());
        let value = vec![b'v'; case.value_bytes];
        // Twice as many as it is to hold, if it is to evict.
        let items = if case.mix == Mix::Evict {
            case.items * 2
        } else {
            case.items
        };
        for number in 0..items {
            cache.set(&key(number), &value);
        }
        Box::new(Self {
            cache,
            value,
            next: items,
        })
    }
}

impl<S: Subject> Bench for Filled<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn round(&mut self, case: &Case, numbers: &[Vec<u32>]) -> (f64, u64) {
        let start = Barrier::new(numbers.len());
        let (cache, value, first) = (&self.cache, &self.value, self.next);
        let worker = |thread: usize| {
            start.wait();
            let begun = Instant::now();
            let misses = match case.mix {
                Mix::Sets(sets) => mixed(cache, &numbers[thread], sets, value),
                Mix::Evict => evicting(cache, first + thread as u64, numbers, value),
            };
            (begun, Instant::now(), misses)
        };
        let ran = if numbers.len() == 1 {
            vec![worker(0)]
        } else {
            std::thread::scope(|scope| {
                let worker = &worker;
                let spawn = |thread| scope.spawn(move || worker(thread));
                let threads: Vec<_> = (0..numbers.len()).map(spawn).collect();
                let join =
                    |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
                threads.into_iter().map(join).collect()
            })
        };
        let operations: usize = numbers.iter().map(Vec::len).sum();
        if case.mix == Mix::Evict {
            self.next += operations as u64;
        }
        let begun = ran.iter().map(|ran| ran.0).min().expect("a thread");
        let ended = ran.iter().map(|ran| ran.1).max().expect("a thread");
        let misses = ran.iter().map(|ran| ran.2).sum();
        ((ended - begun).as_secs_f64() / operations as f64, misses)
    }

    fn latencies(&mut self, _: &Case, operations: usize) -> Histogram<u64> {
        let mut latencies = Histogram::new(3).expect("three digits");
        for _ in 0..operations {
            let key = key(self.next);
            self.next += 1;
            let begun = Instant::now();
            self.cache.set(&key, &self.value);
            let took: Duration = begun.elapsed();
            latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
        latencies
    }
}

fn mixed<S: Subject>(cache: &S, numbers: &[u32], sets: u32, value: &[u8]) -> u64 {
    let (mut misses, mut due) = (0, 0);
    for &number in numbers {
        let key = key(u64::from(number));
        due += sets;
        if due >= 100 {
            due -= 100;
            cache.set(&key, value);
        } else {
            // The value is looked at: a cache that hands out a pointer only has not fetched it yet.
            let seen = cache.get(&key, |value| value.first().copied());
            misses += u64::from(black_box(seen).is_none());
        }
    }
    misses
}

fn evicting<S: Subject>(cache: &S, first: u64, numbers: &[Vec<u32>], value: &[u8]) -> u64 {
    let mut number = first;
    for _ in 0..numbers[0].len() {
        cache.set(&key(number), value);
        number += numbers.len() as u64;
    }
    0
}
