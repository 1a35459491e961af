//! Resident memory of a cache beside its limit, through all that may raise it. Alone in its process, so
//! that no other test's memory is counted.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::cell::Cell;
use std::io::{self, Write};
use std::time::Duration;

use larder::{Cache, ManualClock, Ttl};

const LIMIT_BYTES: usize = 64 << 20;
const BEYOND_MAX: usize = 2 << 20;
/// What is resident before it is used where memory is populated by huge pages.
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// Stores between two looks.
const LOOK_EVERY: usize = 1000;

/// Memory of this process that is in no file.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let mut pages = statm.split(' ').skip(1).map(|field| field.parse::<usize>());
    let mut next = || pages.next().unwrap().unwrap();
    let (resident, of_files) = (next(), next());
    (resident - of_files) * rustix::param::page_size()
}

fn huge_pages_come_unasked() -> bool {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    std::fs::read_to_string(path).is_ok_and(|modes| modes.contains("[always]"))
}

struct Watched {
    cache: Cache,
    before: usize,
    beyond_max: usize,
    /// The most that was seen beyond the limit.
    most: Cell<isize>,
}

impl Watched {
    fn look(&self, step: &str) {
        self.look_at(step, self.cache.stats().limit_bytes);
    }

    fn look_at(&self, step: &str, limit: usize) {
        let grown = resident_bytes().saturating_sub(self.before);
        let beyond = grown.cast_signed() - limit.cast_signed();
        self.most.set(self.most.get().max(beyond));
        assert!(
            grown <= limit + self.beyond_max,
            "{step}: {grown} bytes at a limit of {limit}"
        );
    }

    fn store(&self, step: &str, numbers: std::ops::Range<usize>, value_bytes: usize, ttl: Ttl) {
        let value = vec![b'v'; value_bytes];
        for number in numbers {
            self.cache.set(&number.to_be_bytes(), &value, ttl).unwrap();
            if number % LOOK_EVERY == 0 {
                self.look(step);
            }
        }
        self.look(step);
    }

    /// More of that size than fit, with keys that nothing else has.
    fn turn_over(&self, step: &str, value_bytes: usize) {
        let count = self.cache.stats().limit_bytes * 4 / 3 / (value_bytes + 40);
        let first = value_bytes << 32;
        self.store(step, first..first + count, value_bytes, Ttl::NEVER);
    }
}

/// A file in memory, which counts as what the process has.
struct InMemory<'w> {
    watched: &'w Watched,
    /// Kept in pieces: a vector that grows would be there twice.
    pieces: Vec<Vec<u8>>,
}

impl Write for InMemory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pieces.push(bytes.to_vec());
        self.watched.look_at("drained to memory", LIMIT_BYTES);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Watched {
    /// The cache and what it is moved to stay within the limit together.
    fn drain_and_restore(&self) {
        let mut file = InMemory {
            watched: self,
            pieces: Vec::new(),
        };
        let items = self.cache.stats().item_count as u64;
        let saved = self.cache.save_draining(&mut file).unwrap();
        assert_eq!(saved.item_count, items);
        let file = file.pieces.concat();
        let restored = self.cache.restore(&mut &file[..]).unwrap();
        assert_eq!(restored.restored_count, items);
        assert!(self.cache.stats().item_count as u64 * 100 >= items * 98);
    }
}

#[test]
fn resident_memory_keeps_to_the_limit() {
    for huge_pages in [false, true] {
        watch(huge_pages);
    }
}

fn watch(huge_pages: bool) {
    let clock = ManualClock::default();
    let before = resident_bytes();
    let huge = usize::from(huge_pages || huge_pages_come_unasked()) * HUGE_PAGE_BYTES;
    let built = Cache::builder()
        .limit_bytes(LIMIT_BYTES)
        .huge_pages(huge_pages)
        .clock(clock.clone())
        .build();
    let watched = Watched {
        cache: built.unwrap(),
        before,
        beyond_max: BEYOND_MAX + huge,
        most: Cell::new(isize::MIN),
    };
    for value_bytes in [200, 4096, 200] {
        watched.turn_over("sizes that change", value_bytes);
    }
    let (step, count) = ("many that expire", LIMIT_BYTES / 100);
    watched.store(step, 0..count, 20, Ttl::seconds(1));
    clock.advance(Duration::from_secs(1));
    watched.store(step, count..2 * count, 20, Ttl::NEVER);
    watched.cache.clear();
    watched.look("cleared");
    watched.turn_over("filled again", 200);
    for limit_bytes in [LIMIT_BYTES / 2, LIMIT_BYTES] {
        watched.cache.set_limit(limit_bytes).unwrap();
        watched.look("another limit");
        watched.turn_over("another limit", 200);
    }
    watched.drain_and_restore();
    println!(
        "huge pages {huge_pages}: at most limit {:+} KiB",
        watched.most.get() >> 10
    );
    watched.cache.validate();
}
