//! What is asked of a cache, and how long it takes.
//!
//! Key numbers are drawn before the clock runs; keys are computed from them by two multiplications, so
//! that a round measures the cache and not the reading of keys from memory.

use std::hint::black_box;
use std::str::FromStr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use larder_bench::zipf::Zipf;

use crate::process;
use crate::subject::{Larder, Room, Subject};

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
    /// Every operation is arithmetic, and no cache is asked: how much more two threads do than one is the machine's.
    Arithmetic,
}

impl FromStr for Mix {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "evict" => Ok(Self::Evict),
            sets => Ok(Self::Sets(sets.parse()?)),
        }
    }
}

/// Which keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keys {
    Uniform,
    /// Zipf's law with this exponent.
    Zipf(f64),
    /// One, always.
    Hot,
}

impl FromStr for Keys {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "uniform" | "0" => Ok(Self::Uniform),
            "hot" => Ok(Self::Hot),
            exponent => Ok(Self::Zipf(exponent.parse()?)),
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) mix: Mix,
    pub(crate) keys: Keys,
    pub(crate) items: u64,
    pub(crate) value_bytes: usize,
    pub(crate) threads: usize,
    /// Whether caches that ask for huge pages by themselves do not.
    pub(crate) small_pages: bool,
}

impl Case {
    /// The table's first column.
    pub(crate) fn label(&self) -> String {
        let threads = self.threads;
        let plural = if threads == 1 { "" } else { "s" };
        format!(
            "{}, {}, {threads} thread{plural}",
            self.work(),
            self.population()
        )
    }

    /// What is done.
    pub(crate) fn work(&self) -> String {
        let mix = match self.mix {
            Mix::Sets(0) => "get".to_owned(),
            Mix::Sets(100) => "set".to_owned(),
            Mix::Sets(sets) => format!("get and set {}:{sets}", 100 - sets),
            Mix::Evict => return "set, evicting".to_owned(),
            Mix::Arithmetic => return "arithmetic".to_owned(),
        };
        match self.keys {
            Keys::Uniform => format!("{mix}, uniform"),
            Keys::Zipf(exponent) => format!("{mix}, zipf {exponent}"),
            Keys::Hot => format!("{mix}, one key"),
        }
    }

    /// What the cache is filled with.
    pub(crate) fn population(&self) -> String {
        let items = match self.items {
            items if items % 1_000_000 == 0 => format!("{} M", items / 1_000_000),
            items if items % 1000 == 0 => format!("{} k", items / 1000),
            items => items.to_string(),
        };
        let pages = if self.small_pages {
            ", small pages"
        } else {
            ""
        };
        format!("{items} of {KEY_BYTES}+{} B{pages}", self.value_bytes)
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
        let item_bytes_max = KEY_BYTES + self.value_bytes;
        Room {
            items,
            bytes: items * item_bytes_max,
            item_bytes_max,
            small_pages: self.small_pages,
        }
    }

    /// The key numbers of each thread, other ones each `time`.
    pub(crate) fn draw(&self, operations: usize, time: usize) -> Vec<Vec<u32>> {
        let zipf = match self.keys {
            Keys::Zipf(exponent) => Some(Zipf::new(self.items, exponent)),
            Keys::Uniform | Keys::Hot => None,
        };
        let thread = |thread| {
            let mut random = fastrand::Rng::with_seed((time as u64) << 32 | thread);
            let number = |_| match &zipf {
                // Popular keys are no neighbours in memory: items were stored in order.
                Some(zipf) => zipf.rank(&mut random).wrapping_mul(2_654_435_761) % self.items,
                None if self.keys == Keys::Hot => self.items / 2,
                None => random.u64(..self.items),
            };
            let number = (0..operations).map(number);
            number
                .map(|n| u32::try_from(n).expect("items are counted in 32 bits"))
                .collect()
        };
        (0..self.threads as u64).map(thread).collect()
    }
}

/// What a round took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    /// On the wall for an operation, all threads together.
    pub(crate) seconds: f64,
    /// Gets that found nothing.
    pub(crate) misses: u64,
    /// How long threads were ready and had no cpu.
    pub(crate) waited: Duration,
}

/// A filled cache, whichever it is.
pub(crate) trait Bench {
    fn name(&self) -> &'static str;
    /// Does the operations, numbers by thread.
    fn round(&mut self, case: &Case, numbers: &[Vec<u32>]) -> Ran;
    /// How long each set takes that evicts, in nanoseconds, with the clock's own time in it; and how
    /// long the thread had no cpu.
    fn latencies(&mut self, operations: usize) -> (Histogram<u64>, Duration);
}

/// A cache with what it was filled with.
pub(crate) struct Filled<S> {
    cache: S,
    value: Vec<u8>,
    /// The first number that no key has had.
    next: u64,
}

impl<S: Subject> Filled<S> {
    pub(crate) fn new(case: &Case) -> Self {
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
        Self {
            cache,
            value,
            next: items,
        }
    }

    pub(crate) fn bench(case: &Case) -> Box<dyn Bench> {
        Box::new(Self::new(case))
    }
}

impl Filled<Larder> {
    /// Gets of one thread, so many keys at a time.
    pub(crate) fn round_of_many(&self, numbers: &[u32], many: usize) -> Ran {
        let waited = process::waited();
        let begun = Instant::now();
        let mut misses = 0;
        for numbers in numbers.chunks(many) {
            let mut keys = [[0; KEY_BYTES]; MANY_MAX];
            for (key, &number) in keys.iter_mut().zip(numbers) {
                *key = self::key(u64::from(number));
            }
            let keys = keys.each_ref().map(<[u8; KEY_BYTES]>::as_slice);
            misses += self.cache.get_many(&keys[..numbers.len()]);
        }
        Ran {
            seconds: begun.elapsed().as_secs_f64() / numbers.len() as f64,
            misses,
            waited: process::waited().saturating_sub(waited),
        }
    }
}

/// The most keys that are asked for at a time.
pub(crate) const MANY_MAX: usize = 32;

/// No set takes longer than this, in nanoseconds; beyond it they count as this long.
const LATENCY_MAX: u64 = 10_000_000_000;

impl<S: Subject> Bench for Filled<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn round(&mut self, case: &Case, numbers: &[Vec<u32>]) -> Ran {
        let start = Barrier::new(numbers.len());
        let (cache, value, first) = (&self.cache, &self.value, self.next);
        let worker = |thread: usize| {
            start.wait();
            let waited = process::waited();
            let begun = Instant::now();
            let misses = match case.mix {
                Mix::Sets(sets) => mixed(cache, &numbers[thread], sets, value),
                Mix::Evict => evicting(cache, first + thread as u64, numbers, value),
                Mix::Arithmetic => arithmetic(&numbers[thread]),
            };
            let ended = Instant::now();
            (
                begun,
                ended,
                misses,
                process::waited().saturating_sub(waited),
            )
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
        Ran {
            seconds: (ended - begun).as_secs_f64() / operations as f64,
            misses: ran.iter().map(|ran| ran.2).sum(),
            waited: ran.iter().map(|ran| ran.3).sum(),
        }
    }

    fn latencies(&mut self, operations: usize) -> (Histogram<u64>, Duration) {
        let mut latencies =
            Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("legal bounds and digits");
        let waited = process::waited();
        for _ in 0..operations {
            let key = key(self.next);
            self.next += 1;
            let begun = Instant::now();
            self.cache.set(&key, &self.value);
            let took: Duration = begun.elapsed();
            latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
        (latencies, process::waited().saturating_sub(waited))
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

/// Instructions of four chains at a time, about as many for each number as a get takes. The same code whatever the cache.
#[inline(never)]
fn arithmetic(numbers: &[u32]) -> u64 {
    const STEPS: u32 = 50;
    let mut words = [1_u64, 2, 3, 4];
    for &number in numbers {
        for step in 0..STEPS {
            for (at, word) in (0..).zip(&mut words) {
                *word = word.rotate_left(7) ^ u64::from(number + at).wrapping_mul(u64::from(step));
            }
        }
        black_box(&mut words);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::{Foyer, Moka, QuickCache, Segcache, ShardedLru};

    const CASE: Case = Case {
        mix: Mix::Sets(0),
        keys: Keys::Uniform,
        items: 1000,
        value_bytes: 100,
        threads: 2,
        small_pages: false,
    };

    /// Every adapter finds what it stored, and evicts what it has no room for.
    fn behaves<S: Subject>() {
        let mut bench = Filled::<S>::new(&CASE);
        let seen = bench.cache.get(&key(7), <[u8]>::to_vec);
        assert_eq!(seen.as_deref(), Some(&bench.value[..]), "{}", S::NAME);
        assert_eq!(bench.cache.get(&key(CASE.items), |_| ()), None);
        let ran = bench.round(&CASE, &CASE.draw(5000, 0));
        assert_eq!(ran.misses, 0, "{}", S::NAME);
        bench.cache.set(&key(7), b"new");
        let seen = bench.cache.get(&key(7), <[u8]>::to_vec);
        assert_eq!(seen.as_deref(), Some(&b"new"[..]), "{}", S::NAME);

        // Far more than the smallest cache of any kind holds.
        let full = Case {
            mix: Mix::Evict,
            items: 100_000,
            ..CASE
        };
        let mut bench = Filled::<S>::new(&full);
        let (latencies, _) = bench.latencies(1000);
        assert_eq!(latencies.len(), 1000);
        assert!(latencies.max() > 0, "{}", S::NAME);
        let every = [(0..200_000).collect()];
        let gets = Case { threads: 1, ..CASE };
        let held = 200_000 - bench.round(&gets, &every).misses;
        assert!((20_000..=150_000).contains(&held), "{}: {held}", S::NAME);
    }

    #[test]
    fn every_cache_stores_finds_replaces_and_evicts() {
        behaves::<Larder>();
        behaves::<QuickCache>();
        behaves::<Moka>();
        behaves::<Foyer>();
        behaves::<Segcache>();
        behaves::<ShardedLru>();
    }

    #[test]
    fn many_at_a_time_are_found() {
        let bench = Filled::<Larder>::new(&CASE);
        let numbers: Vec<u32> = (0..1100).collect();
        assert_eq!(bench.round_of_many(&numbers, MANY_MAX).misses, 100);
    }

    #[test]
    fn labels_say_it_all() {
        let case = Case {
            keys: Keys::Zipf(0.99),
            mix: Mix::Sets(10),
            items: 10_000,
            ..CASE
        };
        assert_eq!(
            case.label(),
            "get and set 90:10, zipf 0.99, 10 k of 20+100 B, 2 threads"
        );
    }
}
