//! Walks over every item, in bounded steps, whatever happens meanwhile; and being told of evictions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

use larder::{Cache, Cursor, ManualClock, Ttl};

fn key(number: u32) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

/// Walks to the end, with `between` run after every step; how often each key was met.
fn walk(cache: &Cache, items_max: usize, mut between: impl FnMut()) -> BTreeMap<Vec<u8>, u32> {
    let mut met = BTreeMap::new();
    let mut cursor = Cursor::default();
    loop {
        let mut step = 0;
        let more = cache.walk(&mut cursor, items_max, |view| {
            *met.entry(view.key().to_vec()).or_default() += 1;
            step += 1;
        });
        // One bucket more than asked for, at the most.
        assert!(step <= items_max + 12, "{step} items in one step");
        if !more {
            return met;
        }
        between();
    }
}

#[test]
fn a_walk_meets_every_item_once() {
    let cache = Cache::with_limit(32 << 20).unwrap();
    assert!(walk(&cache, 10, || ()).is_empty());
    for number in 0..20_000 {
        cache.set(&key(number), b"value", Ttl::NEVER).unwrap();
    }
    for items_max in [1, 7, 1000, usize::MAX - 12] {
        let met = walk(&cache, items_max, || ());
        assert_eq!(met.len(), 20_000);
        assert!(met.values().all(|&times| times == 1));
    }
    assert_eq!(cache.stats().hits, 0, "a walk is no read");
}

#[test]
fn iterators_meet_every_item_once_and_what_is_there() {
    let cache = Cache::with_limit(32 << 20).unwrap();
    assert_eq!(cache.iter().count(), 0);
    for number in 0..20_000 {
        cache.set(&key(number), &key(number), Ttl::NEVER).unwrap();
    }
    let keys: BTreeSet<_> = cache.keys().map(Vec::from).collect();
    assert_eq!((keys.len(), cache.keys().count()), (20_000, 20_000));
    let mut met = 0;
    for item in &cache {
        assert_eq!(&*item, item.view().key());
        met += 1;
    }
    assert_eq!(met, 20_000);
    assert_eq!(cache.stats().hits, 0, "no read");
    // What goes before its turn is left out, whatever else is done between two.
    let mut items = cache.iter();
    let first = items.next().unwrap();
    assert!(keys.contains(first.view().key()));
    cache.retain(|item| item.key().ends_with(b"7"));
    let left: Vec<_> = items
        .by_ref()
        .map(|item| item.view().key().to_vec())
        .collect();
    assert!(left.iter().all(|key| key.ends_with(b"7")));
    assert!((1900..=2000).contains(&left.len()), "{}", left.len());
    assert!(items.next().is_none() && items.next().is_none());
    assert_eq!(items.size_hint(), (0, Some(0)));
}

#[test]
fn items_are_stored_and_removed_while_keys_are_iterated() {
    let cache = Cache::with_limit(32 << 20).unwrap();
    for number in 0..5000 {
        cache.set(&key(number), b"", Ttl::NEVER).unwrap();
    }
    let mut moved = 0;
    for old in cache.keys() {
        if old.starts_with(b"key-") {
            assert!(cache.remove(&old));
            let new = [b"new-", &old[4..]].concat();
            cache.set(&new, b"", Ttl::NEVER).unwrap();
            moved += 1;
        }
    }
    assert_eq!((moved, cache.stats().item_count), (5000, 5000));
    cache.validate();
}

#[test]
fn expired_and_cleared_items_are_not_met() {
    let clock = ManualClock::default();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    cache.set(b"short", b"", Ttl::seconds(1)).unwrap();
    cache.set(b"long", b"", Ttl::NEVER).unwrap();
    clock.advance(Duration::from_secs(1));
    let met = walk(&cache, 10, || ());
    assert_eq!(met.into_keys().collect::<Vec<_>>(), [b"long".to_vec()]);
    cache.clear();
    assert!(walk(&cache, 10, || ()).is_empty());
}

#[test]
fn items_that_stay_are_met_while_others_come_and_go() {
    let cache = Cache::with_limit(64 << 20).unwrap();
    for number in 0..10_000 {
        cache.set(&key(number), b"stays", Ttl::NEVER).unwrap();
    }
    let mut next = 1_000_000;
    let met = walk(&cache, 100, || {
        for _ in 0..200 {
            cache.set(&key(next), b"comes", Ttl::NEVER).unwrap();
            cache.remove(&key(next - 150));
            next += 1;
        }
    });
    let stayed = (0..10_000).filter(|&number| met.contains_key(&key(number)));
    // What a full bucket sends to one that has been walked is not met: a few in ten thousand.
    let stayed = stayed.count();
    assert!(stayed >= 9_990, "{stayed} of 10,000");
    cache.validate();
}

#[test]
fn an_observer_sees_what_is_evicted_and_nothing_else() {
    let cache = Cache::with_limit(1 << 20).unwrap();
    let (notes, seen) = mpsc::channel();
    cache.observe_evictions(move |view| {
        assert_eq!(view.value().len(), 1000);
        notes.send(view.key().to_vec()).unwrap();
    });
    for number in 0..3000 {
        cache.set(&key(number), &[0; 1000], Ttl::NEVER).unwrap();
    }
    cache.remove(&key(2999));
    cache.set(b"dead", b"", Ttl::EXPIRED).unwrap();
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(seen.len() as u64, cache.stats().evictions);
    assert!(seen.len() > 1000);
    assert!(seen.iter().all(|key| !cache.contains(key)));
}
