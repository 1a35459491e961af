//! The same operations on a cache that asked for huge pages and on one that did not, in turns.

use std::ops::ControlFlow;
use std::time::Instant;

use larder::{Cache, Ttl};
use larder_benches::key;

const ITEMS: u64 = 4_000_000;
const VALUE_BYTES: usize = 100;
const ROUNDS: usize = 9;
/// Operations of a round.
const OPERATIONS: u64 = 1_000_000;
/// Keys of one `get_many`.
const BATCH: usize = 32;

/// Numbers in no order, the same for both caches.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((u128::from(self.0) * u128::from(ITEMS)) >> 64) as u64
    }
}

/// A round of operations.
type Part = fn(&Cache, &mut Numbers);

fn gets(cache: &Cache, numbers: &mut Numbers) {
    for _ in 0..OPERATIONS {
        let found = cache.get_with(&key(numbers.next()), |item| item.value().len());
        assert_eq!(found, Some(VALUE_BYTES));
    }
}

fn sets(cache: &Cache, numbers: &mut Numbers) {
    let value = [1; VALUE_BYTES];
    for _ in 0..OPERATIONS {
        let stored = cache.set(&key(numbers.next()), &value, Ttl::NEVER);
        stored.expect("it fits");
    }
}

fn batches(cache: &Cache, numbers: &mut Numbers) {
    for _ in 0..OPERATIONS / BATCH as u64 {
        let keys: Vec<_> = (0..BATCH).map(|_| key(numbers.next())).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
        let mut bytes = 0;
        cache.get_many(&keys, |_, item| {
            bytes += item.map_or(0, |item| item.value().len());
            ControlFlow::Continue(())
        });
        assert_eq!(bytes, BATCH * VALUE_BYTES);
    }
}

pub(crate) fn run() {
    let caches = [false, true].map(|huge_pages| {
        let builder = Cache::builder().limit_bytes(1 << 30).huge_pages(huge_pages);
        let cache = builder.build().expect("address space");
        assert!(!huge_pages || cache.has_huge_pages(), "none on this system");
        for number in 0..ITEMS {
            let stored = cache.set(&key(number), &[0; VALUE_BYTES], Ttl::NEVER);
            stored.expect("it fits");
        }
        cache
    });
    let parts: [(&str, Part); 3] = [("get", gets), ("set", sets), ("get_many", batches)];
    for (name, part) in parts {
        let (mut ratios, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let mut seconds = [0.0; 2];
            for turn in 0..2 {
                let which = (round + turn) % 2;
                let start = Instant::now();
                part(&caches[which], &mut Numbers(round as u64));
                seconds[which] = start.elapsed().as_secs_f64();
            }
            ratios.push(seconds[0] / seconds[1]);
            without.push(OPERATIONS as f64 / seconds[0] / 1e6);
            with.push(OPERATIONS as f64 / seconds[1] / 1e6);
        }
        println!(
            "{name:<10} {:.2} M/s without, {:.2} M/s with: {:.2} times",
            median(without),
            median(with),
            median(ratios)
        );
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
