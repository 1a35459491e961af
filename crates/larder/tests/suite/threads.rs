//! Many threads: no update is lost, one swap wins, no torn value is ever read.

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use larder::{Cache, Edit, StoreOutcome, Ttl, UpdateOutcome};
use parking_lot::Mutex;

const THREADS: u64 = 8;

#[test]
fn a_cas_loop_loses_no_update() {
    let cache = Cache::with_limit(1 << 20).unwrap();
    cache.set(b"counter", b"0", Ttl::NEVER).unwrap();
    let rounds = 2000;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..rounds {
                    loop {
                        let item = cache.get(b"counter").unwrap();
                        let number: u64 = std::str::from_utf8(&item).unwrap().parse().unwrap();
                        let next = (number + 1).to_string();
                        let swap = cache.compare_and_swap(
                            b"counter",
                            next.as_bytes(),
                            item.cas(),
                            Ttl::NEVER,
                        );
                        match swap.unwrap() {
                            StoreOutcome::Stored(_) => break,
                            StoreOutcome::CasMismatch => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(
        cache.get(b"counter").as_deref(),
        Some((THREADS * rounds).to_string().as_bytes())
    );
    cache.validate();
}

#[test]
fn of_many_swaps_with_one_token_exactly_one_wins() {
    let cache = Cache::with_limit(1 << 20).unwrap();
    let tokens = Mutex::new(HashSet::new());
    for round in 0..300_u32 {
        let token = cache.set(b"key", &round.to_be_bytes(), Ttl::NEVER).unwrap();
        assert!(tokens.lock().insert(token));
        let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
        let wins: usize = thread::scope(|scope| {
            let swaps: Vec<_> = (0..THREADS)
                .map(|number| {
                    let (cache, barrier, tokens) = (&cache, &barrier, &tokens);
                    scope.spawn(move || {
                        barrier.wait();
                        let value = number.to_be_bytes();
                        match cache
                            .compare_and_swap(b"key", &value, token, Ttl::NEVER)
                            .unwrap()
                        {
                            StoreOutcome::Stored(token) => {
                                assert!(tokens.lock().insert(token), "reused {token}");
                                1
                            }
                            StoreOutcome::CasMismatch => 0,
                            other => panic!("{other:?}"),
                        }
                    })
                })
                .collect();
            swaps.into_iter().map(|swap| swap.join().unwrap()).sum()
        });
        assert_eq!(wins, 1);
    }
}

#[test]
fn of_many_adds_exactly_one_stores() {
    let cache = Cache::with_limit(1 << 20).unwrap();
    for round in 0..300_u32 {
        let key = round.to_be_bytes();
        let stored: usize = thread::scope(|scope| {
            let adds: Vec<_> = (0..THREADS)
                .map(|number| {
                    let cache = &cache;
                    scope.spawn(move || {
                        let outcome = cache.add(&key, &number.to_be_bytes(), Ttl::NEVER).unwrap();
                        usize::from(outcome != StoreOutcome::KeyExists)
                    })
                })
                .collect();
            adds.into_iter().map(|add| add.join().unwrap()).sum()
        });
        assert_eq!(stored, 1);
    }
}

#[test]
fn incr_and_update_lose_nothing() {
    let cache = Cache::with_limit(1 << 20).unwrap();
    cache.set(b"counter", b"0", Ttl::NEVER).unwrap();
    cache.set(b"list", b"", Ttl::NEVER).unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..1000 {
                    assert!(cache.incr(b"counter", 1).unwrap().is_some());
                    let longer = cache.update(b"list", |view| {
                        let mut value = view.value().to_vec();
                        value.push(b'x');
                        Edit::Value(value.into())
                    });
                    assert!(matches!(longer, Ok(UpdateOutcome::Stored(_))));
                    assert!(matches!(
                        cache.append(b"list", b"y"),
                        Ok(StoreOutcome::Stored(_))
                    ));
                }
            });
        }
    });
    assert_eq!(cache.get(b"counter").as_deref(), Some(&b"8000"[..]));
    assert_eq!(cache.get(b"list").unwrap().len(), 16_000);
}

/// A value that tells its key and length, so that a wrong or torn one shows.
fn value_for(key: u64, length: usize) -> Vec<u8> {
    let mut value = key.to_be_bytes().to_vec();
    value.resize(8 + length, (key % 251) as u8 ^ (length % 251) as u8);
    value
}

fn check(key: u64, value: &[u8]) {
    assert_eq!(value, value_for(key, value.len() - 8), "key {key}");
}

#[test]
fn a_full_cache_under_many_threads_stays_whole() {
    let limit = 4 << 20;
    let cache = Cache::builder()
        .limit_bytes(limit)
        .shards(4)
        .build()
        .unwrap();
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let cache = &cache;
            scope.spawn(move || {
                let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                for step in 0..20_000_u32 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let key = random % 5000;
                    let name = key.to_be_bytes();
                    match random >> 60 {
                        0..=6 => {
                            cache.get_with(&name, |view| check(key, view.value()));
                        }
                        7..=12 => {
                            let length = match random >> 55 & 31 {
                                0 => 40_000,
                                1..=8 => 2000,
                                _ => (random >> 40 & 255) as usize,
                            };
                            cache
                                .set(&name, &value_for(key, length), Ttl::NEVER)
                                .unwrap();
                        }
                        13 => {
                            cache.remove(&name);
                        }
                        14 => {
                            cache.maintain(100);
                        }
                        _ if step % 5000 == 0 => cache.clear(),
                        _ => {
                            cache.touch(&name, Ttl::seconds(random >> 50 & 3));
                        }
                    }
                    if step % 1000 == 0 {
                        assert!(cache.stats().used_bytes <= limit);
                    }
                }
            });
        }
    });
    cache.validate();
}

#[test]
fn the_limit_moves_under_load() {
    let cache = Cache::builder()
        .limit_bytes(16 << 20)
        .shards(4)
        .build()
        .unwrap();
    thread::scope(|scope| {
        for seed in 0..4_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for step in 0..30_000_u64 {
                    let key = step.wrapping_mul(seed + 7919) % 20_000;
                    let length = (key % 60 * 30) as usize;
                    cache
                        .set(&key.to_be_bytes(), &value_for(key, length), Ttl::NEVER)
                        .unwrap();
                    cache.get_with(&key.to_be_bytes(), |view| check(key, view.value()));
                }
            });
        }
        scope.spawn(|| {
            for round in 0..40 {
                let limit = if round % 2 == 0 { 5 << 20 } else { 16 << 20 };
                cache.set_limit(limit).unwrap();
            }
        });
    });
    cache.set_limit(5 << 20).unwrap();
    assert!(cache.stats().used_bytes <= 5 << 20);
    cache.validate();
}
