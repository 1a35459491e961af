//! Other keys are read while a value of 1 GiB is stored.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use larder::{Cache, Ttl};
use larder_benches::key;

use crate::timing::Times;

const LIMIT_BYTES: usize = 2 << 30;
const VALUE_BYTES: usize = 1 << 30;
const ITEMS: u64 = 1_000_000;
const ROUNDS: usize = 3;

pub(crate) fn run() {
    let cache = Cache::with_limit(LIMIT_BYTES).expect("a legal limit");
    for number in 0..ITEMS {
        cache
            .set(&key(number), &[b'v'; 100], Ttl::NEVER)
            .expect("there is room");
    }
    let value: Vec<u8> = (0..VALUE_BYTES / 8)
        .flat_map(|word| {
            (word as u64)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .to_le_bytes()
        })
        .collect();
    let mut alone = Times::new("get, nothing else");
    for number in 0..ITEMS {
        alone.measure(|| cache.get_with(&key(number), |view| view.value().len()));
    }
    alone.print();
    let stored = AtomicBool::new(false);
    let mut during = Times::new("get while 1 GiB is stored");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let began = Instant::now();
                let outcome = cache.set(b"huge", &value, Ttl::NEVER);
                outcome.expect("it is half of the limit");
                println!("stored in {:.2} s", began.elapsed().as_secs_f64());
            }
            stored.store(true, Ordering::Relaxed);
        });
        let mut number = 0;
        while !stored.load(Ordering::Relaxed) {
            number = (number + 7919) % ITEMS;
            during.measure(|| cache.get_with(&key(number), |view| view.value().len()));
        }
    });
    during.print();
    let intact = cache.get_with(b"huge", |view| view.value() == value);
    println!("read back intact: {intact:?}");
}
