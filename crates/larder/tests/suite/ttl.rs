//! Expiry: exact to the millisecond, and expired memory comes back before live items go.

use std::time::Duration;

use larder::{Cache, ManualClock, Timestamp, Ttl};

fn cache_and_clock() -> (Cache, ManualClock) {
    let clock = ManualClock::default();
    let cache = Cache::builder()
        .limit_bytes(2 << 20)
        .shards(1)
        .clock(clock.clone())
        .build()
        .unwrap();
    (cache, clock)
}

#[test]
fn an_item_is_readable_up_to_its_last_millisecond_and_not_after() {
    let (cache, clock) = cache_and_clock();
    cache.set(b"key", b"value", Ttl::seconds(2)).unwrap();
    clock.advance(Duration::from_millis(1999));
    assert!(cache.contains(b"key"));
    clock.advance(Duration::from_millis(1));
    assert!(!cache.contains(b"key"));
    assert!(cache.get(b"key").is_none());
}

#[test]
fn touch_moves_the_expiry_both_ways_and_keeps_the_token() {
    let (cache, clock) = cache_and_clock();
    let token = cache.set(b"key", b"value", Ttl::seconds(2)).unwrap();
    assert!(cache.touch(b"key", Ttl::seconds(10)));
    clock.advance(Duration::from_secs(5));
    assert_eq!(
        cache.get_and_touch(b"key", Ttl::seconds(1)).unwrap().cas(),
        token
    );
    clock.advance(Duration::from_secs(1));
    assert!(!cache.touch(b"key", Ttl::NEVER));
}

#[test]
fn storing_with_a_lifetime_that_has_passed_removes_what_was_there() {
    let (cache, clock) = cache_and_clock();
    cache.set(b"key", b"value", Ttl::NEVER).unwrap();
    let past = Timestamp::from_unix_millis(clock.now().unix_millis() - 1);
    cache.set(b"key", b"newer", Ttl::at(past)).unwrap();
    assert!(!cache.contains(b"key"));
    assert_eq!(cache.stats().item_count, 0);
}

#[test]
fn expired_memory_is_used_before_a_live_item_is_evicted() {
    let (cache, clock) = cache_and_clock();
    // Half of the memory expires, and nobody reads the dead keys.
    for number in 0..20_000_u32 {
        let ttl = if number % 2 == 0 {
            Ttl::seconds(1)
        } else {
            Ttl::NEVER
        };
        cache.set(&number.to_be_bytes(), &[0; 60], ttl).unwrap();
        if cache.stats().evictions > 0 {
            break;
        }
    }
    let evictions = cache.stats().evictions;
    let held = cache.stats().item_count;
    clock.advance(Duration::from_secs(1));
    for number in 0..u32::try_from(held / 2 - 100).unwrap() {
        cache
            .set(&(1_000_000 + number).to_be_bytes(), &[0; 60], Ttl::NEVER)
            .unwrap();
    }
    assert_eq!(cache.stats().evictions, evictions);
    assert!(cache.stats().expirations as usize >= held / 2 - 200);
    cache.validate();
}

#[test]
fn a_class_without_memory_uses_what_expired_in_another() {
    let (cache, clock) = cache_and_clock();
    for number in 0..1000_u32 {
        cache
            .set(&number.to_be_bytes(), &[0; 4000], Ttl::seconds(1))
            .unwrap();
    }
    clock.advance(Duration::from_secs(1));
    let evictions = cache.stats().evictions;
    for number in 0..5000_u32 {
        cache
            .set(&(1_000_000 + number).to_be_bytes(), &[0; 60], Ttl::NEVER)
            .unwrap();
    }
    assert_eq!(cache.stats().evictions, evictions);
    cache.validate();
}

#[test]
fn maintain_gives_memory_back_within_its_budget() {
    let (cache, clock) = cache_and_clock();
    for number in 0..10_000_u32 {
        cache
            .set(&number.to_be_bytes(), &[0; 20], Ttl::seconds(1))
            .unwrap();
    }
    cache.set(b"large", &[0; 100_000], Ttl::seconds(1)).unwrap();
    assert_eq!(
        cache.maintain(1_000_000).expired_count,
        0,
        "nothing is due yet"
    );
    clock.advance(Duration::from_secs(1));
    let first = cache.maintain(100);
    assert!(first.more_due && first.expired_count > 0);
    assert!(
        first.examined_count < 100 + 2000,
        "a budget and at most a page more"
    );
    while cache.maintain(1000).more_due {}
    let stats = cache.stats();
    assert_eq!(
        (stats.item_count, stats.item_bytes, stats.large_bytes),
        (0, 0, 0)
    );
    assert_eq!(stats.expirations, 10_001);
    assert_eq!(
        stats.used_bytes, stats.table_bytes,
        "every page is back in the pool"
    );
    cache.validate();
}

#[test]
fn a_pending_clear_takes_what_is_stored_before_its_instant() {
    let (cache, clock) = cache_and_clock();
    cache.set(b"before", b"1", Ttl::NEVER).unwrap();
    cache.clear_before(clock.now().after(Duration::from_secs(5)));
    cache.set(b"between", b"2", Ttl::NEVER).unwrap();
    clock.advance(Duration::from_millis(4999));
    assert!(cache.contains(b"before") && cache.contains(b"between"));
    clock.advance(Duration::from_millis(1));
    cache.set(b"after", b"3", Ttl::NEVER).unwrap();
    assert!(!cache.contains(b"before") && !cache.contains(b"between"));
    assert!(cache.contains(b"after"));
    assert_eq!(cache.stats().item_count, 1);
}

#[test]
fn a_clear_whose_instant_has_passed_is_not_replaced_by_a_later_call() {
    let (cache, clock) = cache_and_clock();
    cache.set(b"key", b"value", Ttl::NEVER).unwrap();
    cache.clear_before(clock.now().after(Duration::from_secs(1)));
    clock.advance(Duration::from_secs(2));
    cache.clear_before(clock.now().after(Duration::from_secs(1)));
    assert!(!cache.contains(b"key"));
}
