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
    for number in 0..60_000_u32 {
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
    // Evicting has begun, so that the policy takes a page or two for itself.
    for number in 0..u32::try_from(held / 2 - 2000).unwrap() {
        cache
            .set(&(1_000_000 + number).to_be_bytes(), &[0; 60], Ttl::NEVER)
            .unwrap();
    }
    assert_eq!(cache.stats().evictions, evictions);
    assert!(cache.stats().expirations as usize >= held / 2 - 2100);
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
    assert_eq!(first.examined_count, 100);
    while cache.maintain(1000).more_due {}
    let stats = cache.stats();
    assert_eq!(
        (stats.item_count, stats.item_bytes, stats.large_bytes),
        (0, 0, 0)
    );
    assert_eq!(stats.expirations, 10_001);
    assert_eq!(
        stats.used_bytes,
        stats.index_bytes + stats.policy_bytes + stats.table_bytes,
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

#[test]
fn maintain_gives_every_shard_and_page_its_turn() {
    let clock = ManualClock::default();
    let cache = Cache::builder()
        .limit_bytes(32 << 20)
        .shards(4)
        .clock(clock.clone())
        .build()
        .unwrap();
    // Lifetimes spread over a hundred seconds, so that every page is due all the time.
    for number in 0..100_000_u64 {
        let ttl = Ttl::seconds(1 + number * 7919 % 100);
        cache.set(&number.to_be_bytes(), &[0; 20], ttl).unwrap();
    }
    for _ in 0..400 {
        clock.advance(Duration::from_millis(250));
        cache.maintain(5000);
    }
    // A pass over all chunks takes twenty calls, which is five seconds: what is left is what expired
    // since the last pass.
    let left = cache.stats().item_count;
    assert!(
        left < 10_000,
        "{left} items of 100000 are left, and none is alive"
    );
    cache.validate();
}

#[test]
fn a_store_does_not_sweep_pages_whose_bounds_are_stale() {
    let (cache, clock) = cache_and_clock();
    let mut number = 0_u32;
    while cache.stats().evictions == 0 {
        cache
            .set(&number.to_be_bytes(), &[0; 20], Ttl::seconds(1))
            .unwrap();
        number += 1;
    }
    // Everything lives longer than the bounds of its pages say.
    for number in 0..number {
        cache.touch(&number.to_be_bytes(), Ttl::seconds(1000));
    }
    clock.advance(Duration::from_secs(10));
    let before = cache.stats();
    for extra in 0..100_u32 {
        cache
            .set(&(1_000_000 + extra).to_be_bytes(), &[0; 20], Ttl::NEVER)
            .unwrap();
    }
    let after = cache.stats();
    assert_eq!(after.expirations, before.expirations);
    let evicted = after.evictions - before.evictions;
    assert!(
        evicted.abs_diff(100) < 16,
        "{evicted}: one for each store, of some a little ahead"
    );
    cache.validate();
}

#[test]
fn memory_of_the_index_comes_back_when_items_go() {
    let (cache, clock) = cache_and_clock();
    for number in 0..15_000_u32 {
        cache
            .set(&number.to_be_bytes(), b"", Ttl::seconds(1))
            .unwrap();
    }
    let full = cache.stats().index_bytes;
    clock.advance(Duration::from_secs(1));
    for _ in 0..10 {
        cache.maintain(usize::MAX);
    }
    assert!(cache.stats().index_bytes <= full - (64 << 10));
    cache.validate();
}

#[test]
fn clearing_counts_large_items_too() {
    let (cache, _clock) = cache_and_clock();
    for number in 0..4_u8 {
        cache.set(&[b's', number], &[0; 10], Ttl::NEVER).unwrap();
        cache
            .set(&[b'l', number], &[0; 100_000], Ttl::NEVER)
            .unwrap();
    }
    cache.clear();
    assert_eq!(cache.stats().deletes, 8);
}

#[test]
fn large_items_expire_in_steps() {
    let clock = ManualClock::default();
    let cache = Cache::builder()
        .limit_bytes(64 << 20)
        .shards(1)
        .clock(clock.clone())
        .build()
        .unwrap();
    for number in 0..400_u32 {
        let ttl = if number % 3 == 0 {
            Ttl::seconds(100)
        } else {
            Ttl::seconds(1)
        };
        cache.set(&number.to_be_bytes(), &[0; 40_000], ttl).unwrap();
    }
    clock.advance(Duration::from_secs(1));
    assert!(cache.maintain(64).more_due);
    // One that the pass has not reached is removed, one that it has is touched to expire sooner.
    cache.remove(&300_u32.to_be_bytes());
    cache.touch(&0_u32.to_be_bytes(), Ttl::after(Duration::from_millis(500)));
    while cache.maintain(64).more_due {}
    assert_eq!(cache.stats().item_count, 133);
    clock.advance(Duration::from_millis(500));
    cache.maintain(usize::MAX);
    assert_eq!(cache.stats().item_count, 132);
    cache.validate();
}
