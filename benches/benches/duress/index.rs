//! An index that grows from nothing to twenty million items, under one lock. Gets beside it, which make nothing
//! grow, show what the machine adds to any operation.

use larder::{Cache, Ttl};

use crate::timing::Times;

const ITEMS: u64 = 20_000_000;
const LIMIT_BYTES: usize = 2 << 30;

pub(crate) fn run() {
    let built = Cache::builder().limit_bytes(LIMIT_BYTES).shards(1).build();
    let cache = built.expect("a legal configuration");
    for name in ["set, fresh memory", "set, touched memory"] {
        let (mut sets, mut gets) = (Times::new(name), Times::new("get meanwhile"));
        for number in 0..ITEMS {
            let stored = sets.measure(|| cache.set(&number.to_be_bytes(), b"value", Ttl::NEVER));
            stored.expect("there is room");
            gets.measure(|| cache.get(&(number / 2).to_be_bytes()));
        }
        sets.print();
        gets.print();
        let stats = cache.stats();
        println!(
            "{} items, {} evicted, {:.2} bytes of index an item",
            stats.item_count,
            stats.evictions,
            stats.index_bytes as f64 / stats.item_count as f64
        );
        // Pages that are given back stay resident as long as nothing else needs them.
        cache.clear();
    }
}
