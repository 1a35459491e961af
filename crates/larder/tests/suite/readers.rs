//! Reads without locks: what is read stays as it was, and what is there all the time is never missed.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::ends::Ends;
use larder::{Adjust, Cache, Policy, Revision, Ttl};

/// Guards of one thread that are no copies.
const GUARDS: usize = 7;

fn cache(policy: Policy, limit_bytes: usize) -> Cache {
    Cache::builder()
        .limit_bytes(limit_bytes)
        .policy(policy)
        .shards(1)
        .build()
        .unwrap()
}

pub(crate) fn filler(number: usize) -> Vec<u8> {
    format!("filler {number}").into_bytes()
}

/// A value that tells whether it is whole: every byte is the first one.
fn is_whole(value: &[u8]) -> bool {
    value.windows(2).all(|pair| pair[0] == pair[1])
}

#[test]
fn a_guard_shows_what_was_read_whatever_becomes_of_the_item() {
    let changes: [&dyn Fn(&Cache); 10] = [
        &|cache| _ = cache.set(b"key", &[2; 100], Ttl::NEVER).unwrap(),
        &|cache| _ = cache.set(b"key", &[2; 3000], Ttl::NEVER).unwrap(),
        &|cache| _ = cache.append(b"key", &[2; 8]).unwrap(),
        &|cache| _ = cache.prepend(b"key", &[2; 8]).unwrap(),
        &|cache| {
            _ = cache
                .update(b"key", |_| larder::Edit::Value(vec![2; 90].into()))
                .unwrap();
        },
        &|cache| assert!(cache.remove(b"key")),
        &|cache| cache.clear(),
        &|cache| cache.clear_before(cache.now().after(Duration::from_secs(1))),
        &|cache| {
            let renew =
                |_: Option<larder::ItemView<'_>>| Revision::Adjust(Adjust::nothing().invalidate());
            cache.revise(b"key", renew).unwrap();
        },
        &|cache| assert!(cache.evict(1) == 1 || cache.remove(b"key")),
    ];
    for policy in [Policy::Adaptive, Policy::Lru, Policy::NoEviction] {
        for change in changes {
            let cache = cache(policy, 2 << 20);
            let token = cache.set(b"key", &[1; 100], Ttl::NEVER).unwrap();
            let guards: Vec<_> = (0..2 * GUARDS)
                .map(|_| cache.get(b"key").unwrap())
                .collect();
            change(&cache);
            cache.validate();
            for number in 0..1000 {
                cache.set(&filler(number), &[3; 100], Ttl::NEVER).unwrap();
            }
            for guard in &guards {
                let view = guard.view();
                assert_eq!((view.key(), view.value()), (&b"key"[..], &[1; 100][..]));
                assert_eq!(guard.cas(), token);
            }
            cache.validate();
            drop(guards);
            cache.validate();
            cache.clear();
            cache.validate();
            assert_eq!(cache.stats().item_count, 0);
        }
    }
}

#[test]
fn guards_keep_their_own_memory_and_no_more() {
    for policy in [Policy::Adaptive, Policy::Lru] {
        let cache = cache(policy, 2 << 20);
        let value = [7; 1000];
        for number in 0..GUARDS {
            cache.set(&filler(number), &value, Ttl::NEVER).unwrap();
        }
        let guards: Vec<_> = (0..GUARDS)
            .map(|number| cache.get(&filler(number)).unwrap())
            .collect();
        // Sizes shift and shift back: pages have to change their class around those that are read.
        for bytes in [1000, 3000, 60, 5000, 1000] {
            for number in 0..20_000 {
                cache
                    .set(&filler(number), &vec![8; bytes], Ttl::NEVER)
                    .unwrap();
            }
            cache.validate();
            assert!(guards.iter().all(|guard| **guard == value));
        }
        let full = cache.stats().item_count;
        // Strict order has no ages to compare classes by within one second.
        assert!(full > 1500 || policy == Policy::Lru, "{full}");
        drop(guards);
        cache.clear();
        assert_eq!(cache.stats().item_bytes, 0);
        cache.validate();
    }
}

#[test]
fn a_guard_may_be_dropped_elsewhere_and_outlive_its_thread() {
    let cache = cache(Policy::Adaptive, 2 << 20);
    cache.set(b"key", &[1; 100], Ttl::NEVER).unwrap();
    let guard = thread::scope(|scope| {
        let read = scope.spawn(|| cache.get(b"key").unwrap());
        read.join().unwrap()
    });
    for round in 0..100 {
        cache.set(b"key", &[2; 100], Ttl::NEVER).unwrap();
        cache.set(&filler(round), &[2; 100], Ttl::NEVER).unwrap();
    }
    assert_eq!(&*guard, &[1; 100]);
    thread::scope(|scope| {
        scope.spawn(|| drop(guard));
    });
    cache.clear();
    cache.validate();
}

#[test]
fn reads_without_a_lock_are_counted() {
    let cache = cache(Policy::Adaptive, 2 << 20);
    cache.set(b"key", b"value", Ttl::NEVER).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    assert!(cache.get(b"key").is_some() && cache.get(b"none").is_none());
                    assert!(cache.peek(b"key").is_some() && cache.contains(b"key"));
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (4000, 4000));
}

/// Keys that are there all the time, in a cache in which everything else changes all the time.
const KEPT: usize = 64;

fn kept(number: usize) -> Vec<u8> {
    format!("kept {number}").into_bytes()
}

fn keep(cache: &Cache, byte: u8) {
    for number in 0..KEPT {
        let value = vec![byte; 10 + 30 * number];
        cache.set(&kept(number), &value, Ttl::NEVER).unwrap();
    }
}

#[test]
fn what_is_there_all_the_time_is_never_missed() {
    let cache = Cache::builder()
        .limit_bytes(8 << 20)
        .limit_bytes_max(16 << 20)
        .shards(2)
        .build()
        .unwrap();
    // What is evicted all the same, because a shrinking limit asks for it, is known before it goes.
    let evictions = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&evictions);
    cache.observe_evictions(move |item| {
        let was_kept = item.key().starts_with(b"kept");
        counted.fetch_add(u64::from(was_kept), Ordering::SeqCst);
    });
    keep(&cache, 1);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    read_kept(&cache, &evictions);
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let cache = &cache;
                scope.spawn(move || (0..20).for_each(|round| change_all_else(cache, writer, round)))
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
    });
    cache.validate();
}

/// Reads all that is kept twice: what was there is still there, unless something was evicted since.
fn read_kept(cache: &Cache, evictions: &AtomicU64) {
    let keys: Vec<_> = (0..KEPT).map(kept).collect();
    let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
    let before = evictions.load(Ordering::SeqCst);
    let was_there: Vec<bool> = keys.iter().map(|key| cache.contains(key)).collect();
    let missed = |number: usize| {
        let evicted = evictions.load(Ordering::SeqCst) != before;
        assert!(evicted || !was_there[number], "{number} was missed");
    };
    for (number, key) in keys.iter().enumerate() {
        match cache.get(key) {
            Some(item) => assert!(item.len() == 10 + 30 * number && is_whole(&item)),
            None => missed(number),
        }
    }
    cache.get_many(&keys, |number, item| {
        match item {
            Some(item) => assert!(is_whole(item.value()) && item.key() == keys[number]),
            None => missed(number),
        }
        ControlFlow::Continue(())
    });
}

/// Small items, that the index grows for, or few large ones, that it shrinks for. The kept ones are stored now
/// and then, so that they stay, where they stand or elsewhere.
fn change_all_else(cache: &Cache, writer: usize, round: usize) {
    let (count, bytes) = [(15_000, 20), (400, 6000)][round % 2];
    for number in 0..count {
        let ttl = match number % 7 {
            0 => Ttl::after(Duration::from_millis(20)),
            _ => Ttl::NEVER,
        };
        let key = filler(number + writer * 7000);
        cache.set(&key, &vec![9; bytes], ttl).unwrap();
        if number % 50 == 0 {
            keep(cache, (number / 50) as u8);
        }
    }
    if writer == 0 {
        cache.set_limit([12 << 20, 8 << 20][round % 2]).unwrap();
        cache.maintain(10_000);
    }
}

/// Keys that are stored once and never evicted, in a cache in which everything else comes, changes, expires and
/// goes, the index grows and shrinks, and the limit moves: every read finds each of them, without exception.
#[test]
fn what_stays_is_found_by_every_read() {
    let cache = Cache::builder()
        .limit_bytes(32 << 20)
        .limit_bytes_max(64 << 20)
        .policy(Policy::NoEviction)
        .shards(2)
        .build()
        .unwrap();
    keep(&cache, 1);
    cache.set(b"kept long", &[1; 8000], Ttl::NEVER).unwrap();
    let keys: Vec<_> = (0..KEPT).map(kept).collect();
    let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for (number, key) in keys.iter().enumerate() {
                        let item = cache.get(key).expect("it stays");
                        assert_eq!(*item, vec![1; 10 + 30 * number]);
                        assert!(cache.contains(key) && cache.peek(key).is_some());
                    }
                    cache.get_many(&keys, |number, item| {
                        assert_eq!(item.expect("it stays").key(), keys[number]);
                        ControlFlow::Continue(())
                    });
                    let long = cache.get_pinned(b"kept long").expect("it stays");
                    assert!(long.is_pinned() && *long == [1; 8000]);
                }
            });
        }
        for round in 0..12_usize {
            let (count, bytes) = [(40_000, 20), (1000, 6000), (300, 20_000)][round % 3];
            for number in 0..count {
                let ttl = match number % 7 {
                    0 => Ttl::after(Duration::from_millis(20)),
                    _ => Ttl::NEVER,
                };
                cache.set(&filler(number), &vec![9; bytes], ttl).unwrap();
                if number % 3 == 0 {
                    // It may have expired already.
                    _ = cache.append(&filler(number), b"and more").unwrap();
                }
            }
            cache.set_limit([48 << 20, 32 << 20][round % 2]).unwrap();
            cache.retain(|item| item.key().starts_with(b"kept"));
            cache.maintain(100_000);
        }
    });
    cache.validate();
    assert_eq!(cache.stats().item_count, KEPT + 1);
}

/// Clears while others read: what is found is whole.
#[test]
fn a_clear_waits_for_nobody_and_tears_nothing() {
    let cache = cache(Policy::Adaptive, 4 << 20);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for number in 0..500 {
                        if let Some(item) = cache.get(&filler(number)) {
                            assert!(is_whole(&item));
                        }
                    }
                }
            });
        }
        for round in 0..200_usize {
            for number in 0..500 {
                let value = vec![round as u8; 20 + (round * 37 + number) % 900];
                cache.set(&filler(number), &value, Ttl::NEVER).unwrap();
            }
            cache.clear();
            if round % 50 == 0 {
                cache.validate();
            }
        }
    });
    cache.validate();
    assert_eq!(cache.stats().item_count, 0);
}
