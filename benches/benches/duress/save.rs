//! A cache is saved and restored: how fast, how much memory with the file in memory, and what the next requests find.

use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

use larder::{Cache, Policy, Ttl};
use larder_benches::key;

use super::rss::resident_bytes_of;

const LIMIT_BYTES: usize = 512 << 20;
const KEYS: u64 = 12_000_000;
/// Requests before the save, and after it.
const REQUESTS: usize = 12_000_000;
const AFTERWARDS: usize = 2_000_000;
const FILE: &str = "/dev/shm/larder-bench-saved";

pub(crate) fn run() {
    for policy in [Policy::Adaptive, Policy::Lru] {
        println!("{policy:?}");
        run_with(policy);
    }
}

fn run_with(policy: Policy) {
    let before = resident_bytes_of("self");
    let build = |limit_bytes| {
        let builder = Cache::builder().limit_bytes(limit_bytes).policy(policy);
        builder.build().expect("a legal configuration")
    };
    let mut requests = Requests::new();
    let in_use = |requests: &mut Requests| {
        let cache = build(LIMIT_BYTES);
        requests.replay(&cache, REQUESTS);
        cache
    };
    let cache = in_use(&mut requests.clone());
    let held = cache.stats().item_count;
    let mut copy = File::create(FILE).expect("memory for a file");
    let (saved, seconds) = timed(|| cache.save(&mut copy));
    report(
        "copied",
        saved.expect("there is memory").file_bytes,
        seconds,
    );
    drop(cache);
    let cache = in_use(&mut requests);
    let hits = requests.clone().replay(&cache, AFTERWARDS);
    println!("hits without a restart      {hits:.4}");
    drop(cache);
    let from_copy = |limit_bytes| {
        let cache = build(LIMIT_BYTES);
        let mut file = File::open(FILE).expect("it is there");
        cache.restore(&mut file).expect("it is whole");
        cache.set_limit(limit_bytes).expect("a legal limit");
        cache
    };
    for limit_bytes in [LIMIT_BYTES, LIMIT_BYTES / 2] {
        let hits = requests.clone().replay(&from_copy(limit_bytes), AFTERWARDS);
        println!("hits from the copy, {} MiB {hits:.4}", limit_bytes >> 20);
    }

    let cache = in_use(&mut Requests::new());
    std::fs::remove_file(FILE).expect("it is there");
    let mut file = Watched::new(File::create(FILE).expect("memory for a file"), before);
    let (saved, seconds) = timed(|| cache.save_draining(&mut file));
    let saved = saved.expect("there is memory");
    report("moved out", saved.file_bytes, seconds);
    println!("items {held}, saved {}", saved.item_count);
    println!("RSS and file at most limit {:+.2} MiB", file.beyond());
    drop(cache);
    for limit_bytes in [LIMIT_BYTES, LIMIT_BYTES / 2] {
        let cold = requests.clone().replay(&build(limit_bytes), AFTERWARDS);
        let cache = build(limit_bytes);
        let mut file = File::open(FILE).expect("it is there");
        let (restored, seconds) = timed(|| cache.restore(&mut file));
        let restored = restored.expect("it is whole");
        report("restored", restored.file_bytes, seconds);
        let kept = cache.stats().item_count as f64 / saved.item_count as f64;
        let hits = requests.clone().replay(&cache, AFTERWARDS);
        println!(
            "limit {} MiB: {:.2} % of the items, hits {hits:.4}, cold {cold:.4}",
            limit_bytes >> 20,
            100.0 * kept
        );
    }
    std::fs::remove_file(FILE).expect("it is there");
}

/// Keys asked for, and stored where they are missing, in values of different lengths. Number n comes as often
/// as 1 / n says (Zipf), and which key that is changes slowly.
#[derive(Clone)]
struct Requests {
    random: u64,
    count: u64,
}

/// After so many requests the popularity of every key has moved on by one.
const DRIFT: u64 = 1000;

impl Requests {
    fn new() -> Self {
        Self {
            random: 1,
            count: 0,
        }
    }

    fn next_number(&mut self) -> u64 {
        // Marsaglia's xorshift.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.count += 1;
        let uniform = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        #[expect(clippy::cast_possible_truncation, reason = "it is below KEYS")]
        let rank = (KEYS as f64).powf(uniform) as u64;
        rank + self.count / DRIFT
    }

    /// The part of the requests that was found.
    fn replay(&mut self, cache: &Cache, count: usize) -> f64 {
        let value = [b'v'; 1000];
        let mut hits = 0;
        for _ in 0..count {
            let number = self.next_number();
            let key = key(number);
            if cache.get(&key).is_some() {
                hits += 1;
            } else {
                let length = 20 + number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 400;
                let value = &value[..usize::try_from(length).expect("it is small")];
                let stored = cache.set(&key, value, Ttl::seconds(86_400));
                stored.expect("something can be evicted");
            }
        }
        f64::from(hits) / count as f64
    }
}

/// A file that looks at the memory as it grows.
struct Watched {
    file: File,
    before: usize,
    bytes: usize,
    most: usize,
}

impl Watched {
    fn new(file: File, before: usize) -> Self {
        Self {
            file,
            before,
            bytes: 0,
            most: 0,
        }
    }

    /// MiB beyond the limit.
    fn beyond(&self) -> f64 {
        (self.most as f64 - LIMIT_BYTES as f64) / f64::from(1 << 20)
    }
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written;
        let resident = resident_bytes_of("self").saturating_sub(self.before);
        self.most = self.most.max(resident + self.bytes);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed().as_secs_f64())
}

fn report(what: &str, bytes: u64, seconds: f64) {
    let mib = bytes as f64 / f64::from(1 << 20);
    println!(
        "{what}: {mib:.0} MiB in {seconds:.2} s, {:.0} MiB/s",
        mib / seconds
    );
}
