//! Ten million items expire in one second, and their memory is wanted at once.

use std::time::Duration;

use larder::{Cache, ManualClock, Ttl};
use larder_benches::key;

use crate::timing::Times;

const ITEMS: u64 = 10_000_000;
/// Items beside them that live on.
const LASTING: u64 = 100_000;
const VALUE: [u8; 20] = [b'v'; 20];

pub(crate) fn run() {
    let clock = ManualClock::default();
    let built = Cache::builder()
        .limit_bytes(1 << 30)
        .clock(clock.clone())
        .build();
    let cache = built.expect("a legal configuration");
    let set = |number, ttl| cache.set(&key(number), &VALUE, ttl).expect("there is room");
    for number in 0..LASTING {
        set(ITEMS * 2 + number, Ttl::NEVER);
    }
    let (mut fill, mut overwrite) = (Times::new("set, filling"), Times::new("set, overwriting"));
    for number in 0..ITEMS {
        fill.measure(|| set(number, Ttl::seconds(1)));
    }
    fill.print();
    for number in 0..ITEMS / 10 {
        let number = number.wrapping_mul(7_919_317) % ITEMS;
        overwrite.measure(|| set(number, Ttl::seconds(1)));
    }
    overwrite.print();
    // Two hundredths more: not all shards get the same part of the new keys, and the policy's queues keep entries of
    // what is gone for a while.
    let used = cache.stats().used_bytes / 100 * 102;
    cache.set_limit(used).expect("what is used fits");
    let before = cache.stats();
    println!(
        "{} items in {} MiB, which is now the limit; {} evicted",
        before.item_count,
        used >> 20,
        before.evictions
    );
    clock.advance(Duration::from_secs(1));
    let (mut sets, mut gets) = (Times::new("set, all expired"), Times::new("get meanwhile"));
    let mut lost = 0_u64;
    for number in 0..ITEMS {
        sets.measure(|| set(ITEMS + number, Ttl::NEVER));
        if number % 4 == 0 {
            let lasting = key(ITEMS * 2 + number.wrapping_mul(7_919_317) % LASTING);
            lost += u64::from(gets.measure(|| cache.get(&lasting)).is_none());
        }
    }
    sets.print();
    gets.print();
    let after = cache.stats();
    println!(
        "{} expired, {} evicted, {lost} gets missed, {} MiB used\n",
        after.expirations - before.expirations,
        after.evictions - before.evictions,
        after.used_bytes >> 20
    );
    maintained(&cache, &clock);
}

/// The same found by `maintain`, with gets and sets of a second thread's waiting for its locks at worst.
fn maintained(cache: &Cache, clock: &ManualClock) {
    for number in 0..ITEMS {
        cache.touch(&key(ITEMS + number), Ttl::seconds(1));
    }
    clock.advance(Duration::from_secs(1));
    let mut calls = Times::new("maintain(1000)");
    while calls.measure(|| cache.maintain(1000)).more_due {}
    calls.print();
    println!("{} items left", cache.stats().item_count);
}
