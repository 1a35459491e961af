//! Resident memory of an embedded cache beside its limit, through all that may raise it.

use std::time::Duration;

use larder::{Cache, ManualClock, Ttl};
use larder_benches::key;

const LIMIT_BYTES: usize = 1 << 30;
const ITEMS: u64 = 10_000_000;
/// Operations between two looks at the resident memory.
const LOOK_EVERY: u64 = 20_000;

/// The largest resident memory since the last report, less what the process had before.
struct Watch {
    before: usize,
    most: usize,
}

impl Watch {
    fn look(&mut self) {
        self.most = self.most.max(resident_bytes() - self.before);
    }

    fn report(&mut self, step: &str, cache: &Cache) {
        self.look();
        let stats = cache.stats();
        let beyond = (self.most as f64 - stats.limit_bytes as f64) / f64::from(1 << 20);
        println!(
            "{step:<30} limit {:>5} MiB, RSS at most limit {beyond:+.2} MiB, {} items",
            stats.limit_bytes >> 20,
            stats.item_count
        );
        self.most = 0;
    }
}

pub(crate) fn run() {
    for huge_pages in [false, true] {
        println!("huge pages: {huge_pages}");
        run_with(huge_pages);
    }
}

fn run_with(huge_pages: bool) {
    let clock = ManualClock::default();
    let mut watch = Watch {
        before: resident_bytes(),
        most: 0,
    };
    let built = Cache::builder()
        .limit_bytes(LIMIT_BYTES)
        .limit_bytes_max(LIMIT_BYTES * 2)
        .huge_pages(huge_pages)
        .clock(clock.clone());
    let cache = built.build().expect("a legal configuration");
    let store = |watch: &mut Watch, first: u64, count: u64, value_bytes: usize, ttl: Ttl| {
        let value = vec![b'v'; value_bytes];
        for number in first..first + count {
            let stored = cache.set(&key(number), &value, ttl);
            stored.expect("something can be evicted");
            if number % LOOK_EVERY == 0 {
                watch.look();
            }
        }
    };
    let turnover = |value_bytes: u64| 2 * LIMIT_BYTES as u64 / (value_bytes + 60);
    for (step, value_bytes) in [
        ("fill with 200 bytes", 200),
        ("shift to 4 KiB", 4096),
        ("shift back to 200 bytes", 200),
    ] {
        let bytes = usize::try_from(value_bytes).expect("it is small");
        store(&mut watch, 0, turnover(value_bytes), bytes, Ttl::NEVER);
        watch.report(step, &cache);
    }
    store(&mut watch, 0, ITEMS, 20, Ttl::seconds(1));
    watch.report("10 M items that expire", &cache);
    clock.advance(Duration::from_secs(1));
    store(&mut watch, ITEMS, ITEMS, 20, Ttl::NEVER);
    watch.report("10 M items in their place", &cache);
    cache.clear();
    watch.report("clear", &cache);
    store(&mut watch, 0, turnover(200), 200, Ttl::NEVER);
    watch.report("filled again", &cache);
    for (step, limit_bytes) in [("halved", LIMIT_BYTES / 2), ("doubled", LIMIT_BYTES)] {
        cache.set_limit(limit_bytes).expect("within the range");
        watch.most = 0;
        watch.report(step, &cache);
        store(&mut watch, 0, turnover(200), 200, Ttl::NEVER);
        watch.report("filled again", &cache);
    }
}

fn resident_bytes() -> usize {
    resident_bytes_of("self")
}

/// What a process has of the memory now.
pub(crate) fn resident_bytes_of(process: &str) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_usize) * rustix::param::page_size()
}
