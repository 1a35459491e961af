//! Single operations of the engine, one thread: hits, misses, overwrites, stores that evict.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use larder::{Cache, Ttl};
use larder_benches::{Keys, filled, key};

const ITEMS: u64 = 1_000_000;

fn gets(criterion: &mut Criterion) {
    let cache = filled(ITEMS, 100);
    for (name, mut keys) in [
        ("uniform", Keys::uniform(ITEMS)),
        ("zipf", Keys::zipf(ITEMS)),
    ] {
        criterion.bench_function(&format!("get_with/1M/20+100/{name}"), |bencher| {
            bencher.iter(|| {
                let key = key(keys.next_number());
                cache.get_with(&key, |view| black_box(view.value().len()))
            });
        });
    }
    let mut keys = Keys::uniform(ITEMS);
    criterion.bench_function("get/1M/20+100/uniform", |bencher| {
        bencher.iter(|| cache.get(&key(keys.next_number())));
    });
    criterion.bench_function("get_with/miss", |bencher| {
        bencher.iter(|| cache.get_with(&key(ITEMS + keys.next_number()), |_| ()));
    });
    criterion.bench_function("set/overwrite/1M/20+100/uniform", |bencher| {
        bencher.iter(|| cache.set(&key(keys.next_number()), &[b'w'; 100], Ttl::NEVER));
    });
}

fn evicting_sets(criterion: &mut Criterion) {
    for value_bytes in [8, 100, 1000, 16_000] {
        let cache = Cache::with_limit(64 << 20).expect("a legal limit");
        let value = vec![b'v'; value_bytes];
        let mut number = 0;
        let mut set = || {
            number += 1;
            cache
                .set(&key(number), &value, Ttl::NEVER)
                .expect("something can be evicted");
        };
        while cache_is_not_full(&cache) {
            set();
        }
        criterion.bench_function(&format!("set/evicting/20+{value_bytes}"), |bencher| {
            bencher.iter(&mut set);
        });
    }
}

fn cache_is_not_full(cache: &Cache) -> bool {
    cache.stats().evictions < 1000
}

criterion_group!(benches, gets, evicting_sets);
criterion_main!(benches);
