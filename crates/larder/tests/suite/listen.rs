//! Who listens is told of what goes: once, why, and with no lock held.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use larder::{Cache, Cause, Edit, ManualClock, Policy, Timestamp, Ttl};

type Told = Receiver<(Cause, Vec<u8>, Vec<u8>)>;

fn listen(cache: &Cache, causes: &[Cause]) -> Told {
    let (notes, told) = channel();
    cache.listen(causes, move |removal| {
        let (key, value) = (removal.key().to_vec(), removal.value().to_vec());
        notes.send((removal.cause(), key, value)).unwrap();
    });
    told
}

fn take(told: &Told) -> Vec<(Cause, Vec<u8>, Vec<u8>)> {
    told.try_iter().collect()
}

fn small(clock: &ManualClock) -> Cache {
    let builder = Cache::builder().limit_bytes(1 << 20).shards(1);
    builder.clock(clock.clone()).build().unwrap()
}

#[test]
fn every_way_to_go_has_its_cause() {
    let clock = ManualClock::default();
    let cache = small(&clock);
    let told = listen(&cache, &Cause::ALL);
    let expect = |cause: Cause, value: &[u8]| {
        assert_eq!(take(&told), [(cause, b"key".to_vec(), value.to_vec())]);
    };
    let set = |value: &[u8]| cache.set(b"key", value, Ttl::seconds(1)).unwrap();
    set(b"1");
    assert!(take(&told).is_empty());
    set(b"2");
    expect(Cause::Replaced, b"1");
    let _ = cache.append(b"key", b"!").unwrap();
    expect(Cause::Replaced, b"2");
    let _ = cache.update(b"key", |_| Edit::Value(b"3".into())).unwrap();
    expect(Cause::Replaced, b"2!");
    cache.touch(b"key", Ttl::seconds(2));
    cache.invalidate(b"key");
    assert!(take(&told).is_empty(), "the value is still there");
    assert_eq!(cache.take(b"key").as_deref(), Some(&b"3"[..]));
    expect(Cause::Deleted, b"3");
    set(b"4");
    cache.set(b"key", b"", Ttl::EXPIRED).unwrap();
    expect(Cause::Deleted, b"4");
    set(b"5");
    assert_eq!(cache.retain(|_| false), 1);
    expect(Cause::Deleted, b"5");
    set(b"6");
    assert_eq!(cache.evict(1), 1);
    expect(Cause::Evicted, b"6");
    set(b"7");
    clock.advance(Duration::from_secs(1));
    assert!(cache.get(b"key").is_none());
    expect(Cause::Expired, b"7");
    set(b"8");
    cache.clear();
    expect(Cause::Cleared, b"8");
    set(b"9");
    clock.advance(Duration::from_millis(1));
    cache.clear_before(cache.now());
    expect(Cause::Cleared, b"9");
    set(b"10");
    cache.clear_before(cache.now().after(Duration::from_millis(500)));
    assert!(take(&told).is_empty());
    clock.advance(Duration::from_millis(500));
    assert!(cache.get(b"key").is_none());
    expect(Cause::Cleared, b"10");
    set(b"11");
    cache
        .set(b"key", &vec![0; 2 << 20], Ttl::NEVER)
        .unwrap_err();
    expect(Cause::Deleted, b"11");
    cache.validate();
}

#[test]
fn only_what_was_asked_for_is_told() {
    let clock = ManualClock::default();
    let cache = small(&clock);
    let told = listen(&cache, &[Cause::Expired]);
    for ttl in [1, 1, 2] {
        cache.set(b"key", b"value", Ttl::seconds(ttl)).unwrap();
    }
    cache.clear();
    cache.set(b"a", b"", Ttl::seconds(1)).unwrap();
    cache.set(b"b", b"", Ttl::seconds(1)).unwrap();
    cache.remove(b"a");
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.maintain(100).expired_count, 1);
    assert_eq!(take(&told), [(Cause::Expired, b"b".to_vec(), b"".to_vec())]);
}

#[test]
fn nothing_goes_untold_and_nothing_is_told_twice() {
    for policy in [Policy::Adaptive, Policy::Lru] {
        let clock = ManualClock::default();
        let builder = Cache::builder().limit_bytes(2 << 20).policy(policy);
        let cache = builder.shards(2).clock(clock.clone()).build().unwrap();
        let told = listen(&cache, &Cause::ALL);
        let mut stored = BTreeMap::new();
        for number in 0..30_000_u32 {
            let key = (number * 7919 % 9000).to_le_bytes().to_vec();
            let value = vec![number as u8; 40 + number as usize % 400];
            let ttl = Ttl::seconds(1 + u64::from(number % 60));
            cache.set(&key, &value, ttl).unwrap();
            *stored.entry((key, value)).or_insert(0_i32) += 1;
            match number {
                5000 => cache.clear(),
                9000 => cache.clear_before(cache.now().after(Duration::from_millis(7))),
                13_000 => _ = cache.maintain(usize::MAX),
                17_000 => cache.clear_before(Timestamp::from_unix_millis(
                    cache.now().unix_millis() - 2000,
                )),
                21_000 => _ = cache.retain(|item| item.key()[0] % 3 > 0),
                _ => {}
            }
            clock.advance(Duration::from_millis(u64::from(number % 3)));
        }
        cache.clear();
        let counts =
            take(&told)
                .into_iter()
                .fold(BTreeMap::new(), |mut counts, (cause, key, value)| {
                    *stored.get_mut(&(key, value)).unwrap() -= 1;
                    *counts.entry(cause).or_insert(0_u64) += 1;
                    counts
                });
        assert!(stored.values().all(|&left| left == 0));
        let stats = cache.stats();
        assert_eq!(counts[&Cause::Evicted], stats.evictions);
        assert_eq!(counts[&Cause::Expired], stats.expirations);
        assert_eq!(
            counts[&Cause::Deleted] + counts[&Cause::Cleared],
            stats.deletes
        );
        cache.validate();
    }
}

#[test]
fn a_listener_may_use_the_cache() {
    let cache = Arc::new(small(&ManualClock::default()));
    cache.set(b"evicted", b"0", Ttl::NEVER).unwrap();
    let weak: Weak<Cache> = Arc::downgrade(&cache);
    cache.listen(&[Cause::Evicted], move |removal| {
        let cache = weak.upgrade().unwrap();
        assert!(!cache.contains(removal.key()));
        // Under the same lock as what was evicted, which is free again.
        if cache.incr(b"evicted", 1).unwrap().is_none() {
            cache.set(b"evicted", b"1", Ttl::NEVER).unwrap();
        }
    });
    for number in 0..10_000_u32 {
        cache
            .set(&number.to_le_bytes(), &[0; 400], Ttl::NEVER)
            .unwrap();
        let _ = cache.get(b"evicted");
    }
    assert!(cache.stats().evictions > 1000);
    cache.validate();
}

#[test]
fn what_a_listener_removes_is_told_after_it_has_returned() {
    let cache = Arc::new(small(&ManualClock::default()));
    for number in 0..100_u32 {
        cache.set(&number.to_le_bytes(), b"", Ttl::NEVER).unwrap();
    }
    let weak = Arc::downgrade(&cache);
    let told = Arc::new(AtomicU32::new(0));
    let (count, busy) = (Arc::clone(&told), AtomicBool::new(false));
    cache.listen(&[Cause::Deleted], move |removal| {
        assert!(!busy.swap(true, Ordering::Relaxed), "not within itself");
        count.fetch_add(1, Ordering::Relaxed);
        let number = u32::from_le_bytes(removal.key().try_into().unwrap());
        weak.upgrade().unwrap().remove(&(number + 1).to_le_bytes());
        busy.store(false, Ordering::Relaxed);
    });
    cache.remove(&0_u32.to_le_bytes());
    assert_eq!(told.load(Ordering::Relaxed), 100);
    assert_eq!(cache.stats().item_count, 0);
}

#[test]
fn a_listener_that_removes_without_end_is_told_so() {
    let cache = Arc::new(small(&ManualClock::default()));
    let weak = Arc::downgrade(&cache);
    cache.listen(&[Cause::Replaced], move |removal| {
        let cache = weak.upgrade().unwrap();
        cache.set(removal.key(), b"again", Ttl::NEVER).unwrap();
    });
    cache.set(b"key", b"first", Ttl::NEVER).unwrap();
    let again = || cache.set(b"key", b"second", Ttl::NEVER);
    let panic = catch_unwind(AssertUnwindSafe(again)).unwrap_err();
    let message = panic.downcast::<&str>().unwrap();
    assert!(message.contains("without end"));
    assert_eq!(cache.get(b"key").as_deref(), Some(&b"again"[..]));
    cache.validate();
}

#[test]
fn a_listener_that_panics_is_told_of_the_rest() {
    let cache = small(&ManualClock::default());
    for number in 0..100_u32 {
        cache.set(&number.to_le_bytes(), b"", Ttl::NEVER).unwrap();
    }
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    cache.listen(&[Cause::Cleared], move |_| {
        let earlier = count.fetch_add(1, Ordering::Relaxed);
        assert!(earlier != 4, "the fifth, as it should");
    });
    assert!(catch_unwind(AssertUnwindSafe(|| cache.clear())).is_err());
    // The clear was begun, and goes on with the next call.
    assert!(cache.get(b"key").is_none());
    assert_eq!(told.load(Ordering::Relaxed), 100);
    cache.validate();
}

#[test]
fn threads_tell_of_what_they_removed() {
    let cache = Cache::builder()
        .limit_bytes(2 << 20)
        .shards(2)
        .build()
        .unwrap();
    let told = listen(&cache, &Cause::ALL);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let cache = &cache;
            scope.spawn(move || {
                for number in 0..5000_u32 {
                    let key = (thread * 5000 + number).to_le_bytes();
                    cache.set(&key, &[7; 300], Ttl::NEVER).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                cache.clear();
                thread::yield_now();
            }
        });
    });
    cache.clear();
    let mut keys: Vec<_> = take(&told).into_iter().map(|(_, key, _)| key).collect();
    keys.sort();
    assert_eq!(keys.len(), 20_000);
    keys.dedup();
    assert_eq!(keys.len(), 20_000, "each once");
}
