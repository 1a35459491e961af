//! Keeping memory free by moving the coldest values elsewhere; and that locators are told of however they leave.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, channel};

use larder::{Cache, CasToken, Content, Cursor, Locator, Move, Policy, Store, Ttl};

/// A small cache that tells of locators that leave.
fn watched(limit_bytes: usize, policy: Policy) -> (Cache, Receiver<Locator>) {
    let builder = Cache::builder().limit_bytes(limit_bytes).shards(1);
    let cache = builder.policy(policy).build().unwrap();
    let (tell, told) = channel();
    cache.watch_locators(move |locator| {
        // Whoever listens may have gone before the cache.
        let _ = tell.send(locator);
    });
    (cache, told)
}

/// Moves the value under `key` to a place of its own, which it returns.
fn move_away(cache: &Cache, key: &[u8], stamp: CasToken) -> Locator {
    let mut place = [0; 16];
    place[..key.len()].copy_from_slice(key);
    let to = Content::Elsewhere(Locator(place));
    let moved = Move {
        stamp,
        from: None,
        to,
    };
    assert_eq!(cache.move_value(key, &moved), Ok(true));
    Locator(place)
}

#[test]
fn nothing_is_evicted_as_long_as_the_coldest_move_away() {
    const LIMIT: usize = 16 << 20;
    for policy in [Policy::Adaptive, Policy::Lru] {
        for value_bytes in [4000, 20_000, 100_000] {
            let (cache, told) = watched(LIMIT, policy);
            let mut placed = HashSet::new();
            let value = vec![1; value_bytes];
            let class = cache.class_of(&Store::new(b"key-00000", &value));
            let count = 8 * LIMIT / value_bytes;
            let key = |number: usize| format!("key-{number:05}").into_bytes();
            for number in 0..count {
                cache.set(&key(number), &value, Ttl::NEVER).unwrap();
                if number % 16 < 15 || cache.stats().free_bytes > LIMIT / 4 {
                    continue;
                }
                let mut found = Vec::new();
                let met = cache.show_coldest(class, 32, |view| {
                    found.push((view.key().to_vec(), view.stamp()));
                });
                assert!(found.len() <= met && met <= 32);
                for (key, stamp) in found {
                    assert!(placed.insert(move_away(&cache, &key, stamp)));
                }
            }
            cache.validate();
            assert_eq!(cache.stats().evictions, 0, "{policy:?} {value_bytes}");
            let (mut elsewhere, mut all) = (0, 0);
            let mut cursor = Cursor::default();
            while cache.walk(&mut cursor, 1000, |view| {
                all += 1;
                elsewhere += usize::from(view.locator().is_some());
            }) {}
            assert_eq!((all, elsewhere), (count, placed.len()));
            assert!(elsewhere > count / 2 && elsewhere < count);
            // The newest stay here, as far as the order knows.
            let newest = cache.peek(&key(count - 1)).unwrap();
            assert!(newest.locator().is_none());
            drop(newest);
            cache.set_limit(4 << 20).unwrap();
            cache.validate();
            cache.clear();
            for left in told.try_iter() {
                assert!(placed.remove(&left), "told of once");
            }
            assert!(placed.is_empty(), "{policy:?}");
        }
    }
}

#[test]
fn evictions_tell_of_locators_too() {
    for policy in [Policy::Adaptive, Policy::Lru] {
        let (cache, told) = watched(2 << 20, policy);
        let count = if cfg!(miri) { 2000 } else { 200_000_u32 };
        for number in 0..count {
            let key = number.to_be_bytes();
            cache.set(&key, &[0; 3000], Ttl::NEVER).unwrap();
            let stamp = cache.peek(&key).unwrap().view().stamp();
            move_away(&cache, &key, stamp);
        }
        cache.validate();
        let held = cache.stats().item_count;
        assert!(
            cfg!(miri) || held > 20_000,
            "{held} items of some 60 bytes fit"
        );
        assert_eq!(told.try_iter().count() + held, count as usize);
    }
}

#[test]
fn a_watcher_that_panics_leaves_the_cache_whole() {
    let cache = Cache::with_limit(2 << 20).unwrap();
    cache.watch_locators(|_| panic!("told"));
    cache.set(b"key", b"value", Ttl::NEVER).unwrap();
    let stamp = cache.peek(b"key").unwrap().view().stamp();
    move_away(&cache, b"key", stamp);
    let removed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.remove(b"key")));
    assert!(removed.is_err());
    assert!(!cache.contains(b"key"));
    cache.validate();
}
