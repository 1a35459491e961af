//! Refusals name the limit, and memory stays inside it.

use larder::{Cache, Error, KEY_BYTES_MAX, Store, StoreMode, StoreOutcome, Ttl};

#[test]
fn keys_have_one_to_key_bytes_max_bytes() {
    let cache = Cache::with_limit(4 << 20).unwrap();
    assert_eq!(cache.set(b"", b"value", Ttl::NEVER), Err(Error::KeyEmpty));
    let longest = vec![b'k'; KEY_BYTES_MAX];
    cache.set(&longest, b"value", Ttl::NEVER).unwrap();
    assert_eq!(cache.get(&longest).as_deref(), Some(&b"value"[..]));
    let longer = vec![b'k'; KEY_BYTES_MAX + 1];
    let refused = cache.set(&longer, b"value", Ttl::NEVER).unwrap_err();
    assert_eq!(
        refused,
        Error::KeyTooLong {
            key_bytes: KEY_BYTES_MAX + 1
        }
    );
    assert!(refused.to_string().contains(&KEY_BYTES_MAX.to_string()));
    assert!(cache.get(&longer).is_none() && !cache.remove(b""));
}

#[test]
fn values_have_up_to_value_bytes_max_bytes() {
    let cache = Cache::builder()
        .limit_bytes(4 << 20)
        .value_bytes_max(1000)
        .build()
        .unwrap();
    cache.set(b"key", &[1; 1000], Ttl::NEVER).unwrap();
    let too_large = Error::ValueTooLarge {
        value_bytes: 1001,
        value_bytes_max: 1000,
    };
    assert_eq!(cache.append(b"key", b"x"), Err(too_large.clone()));
    assert_eq!(
        cache.get(b"key").unwrap().len(),
        1000,
        "a refused append changes nothing"
    );
    let replace = Store::new(b"key", &[2; 1001]).mode(StoreMode::Replace);
    assert_eq!(cache.store(&replace), Err(too_large.clone()));
    assert!(cache.contains(b"key"));
    assert_eq!(cache.set(b"key", &[2; 1001], Ttl::NEVER), Err(too_large));
    assert!(
        !cache.contains(b"key"),
        "a refused set leaves no stale value"
    );
}

#[test]
fn every_size_of_value_comes_back_as_it_went_in() {
    let cache = Cache::builder()
        .limit_bytes(64 << 20)
        .shards(2)
        .build()
        .unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut length = 0;
    while length < bytes.len() {
        let key = length.to_be_bytes();
        cache.set(&key, &bytes[..length], Ttl::NEVER).unwrap();
        assert_eq!(cache.get(&key).as_deref(), Some(&bytes[..length]));
        length += 1 + length / 5;
    }
    cache.validate();
}

#[test]
fn the_limit_holds_while_sizes_shift() {
    let limit = 8 << 20;
    let cache = Cache::builder().limit_bytes(limit).build().unwrap();
    for (round, value_bytes) in [100, 4000, 60, 70_000, 900, 30_000].into_iter().enumerate() {
        let value = vec![1; value_bytes];
        for number in 0..(3 * limit / (value_bytes + 100)) {
            let key = [round.to_be_bytes(), number.to_be_bytes()].concat();
            cache.set(&key, &value, Ttl::NEVER).unwrap();
            assert!(cache.contains(&key));
        }
        let stats = cache.stats();
        assert!(stats.used_bytes <= stats.limit_bytes);
        assert!(stats.item_bytes <= stats.used_bytes);
        cache.validate();
    }
}

#[test]
fn clear_gives_everything_back() {
    let cache = Cache::with_limit(8 << 20).unwrap();
    let empty = cache.stats().used_bytes;
    for number in 0..50_000_u32 {
        cache
            .set(&number.to_be_bytes(), &[1; 50], Ttl::NEVER)
            .unwrap();
    }
    cache.set(b"large", &[1; 1 << 20], Ttl::NEVER).unwrap();
    cache.clear();
    let stats = cache.stats();
    assert_eq!(
        (stats.item_count, stats.item_bytes, stats.used_bytes),
        (0, 0, empty)
    );
    cache.set(b"key", b"value", Ttl::NEVER).unwrap();
    cache.validate();
}

#[test]
fn a_token_of_zero_never_matches() {
    let cache = Cache::with_limit(1 << 20).unwrap();
    cache.set(b"key", b"value", Ttl::NEVER).unwrap();
    let zero = larder::CasToken::from_u64(0);
    let outcome = cache
        .compare_and_swap(b"key", b"other", zero, Ttl::NEVER)
        .unwrap();
    assert_eq!(outcome, StoreOutcome::CasMismatch);
}

#[test]
fn the_limit_can_be_halved_and_doubled_while_items_stay() {
    let limit = 32 << 20;
    let cache = Cache::builder()
        .limit_bytes(limit)
        .shards(4)
        .build()
        .unwrap();
    let value = [7; 300];
    let fill = || {
        for number in 0..120_000_u32 {
            cache
                .set(&number.to_be_bytes(), &value, Ttl::NEVER)
                .unwrap();
        }
        cache.stats()
    };
    let full = fill();
    cache.set(b"large", &[1; 1 << 20], Ttl::NEVER).unwrap();
    cache.set_limit(limit / 2).unwrap();
    let halved = cache.stats();
    assert_eq!(halved.limit_bytes, limit / 2);
    assert!(halved.used_bytes <= limit / 2);
    assert!(halved.item_count > full.item_count / 3, "what fits stays");
    cache.validate();
    let refilled = fill();
    assert!(refilled.used_bytes <= limit / 2);
    cache.set_limit(limit).unwrap();
    assert!(
        fill().item_count > full.item_count * 9 / 10,
        "and comes back"
    );
    cache.validate();
}

#[test]
fn the_limit_grows_as_far_as_was_reserved_for_it() {
    let cache = Cache::builder()
        .limit_bytes(4 << 20)
        .limit_bytes_max(16 << 20)
        .shards(1)
        .build()
        .unwrap();
    cache.set_limit(16 << 20).unwrap();
    for number in 0..10_000_u32 {
        cache
            .set(&number.to_be_bytes(), &[1; 1000], Ttl::NEVER)
            .unwrap();
    }
    assert_eq!(cache.stats().evictions, 0);
    for bytes in [(1 << 20) - 1, (16 << 20) + 1] {
        let refused = cache.set_limit(bytes).unwrap_err();
        assert!(matches!(
            refused,
            Error::InvalidConfig {
                setting: "limit_bytes",
                ..
            }
        ));
    }
    assert_eq!(cache.stats().limit_bytes, 16 << 20);
}

#[test]
fn a_smaller_limit_bounds_values_too() {
    let cache = Cache::builder()
        .limit_bytes(16 << 20)
        .shards(1)
        .build()
        .unwrap();
    cache.set(b"key", &[1; 4 << 20], Ttl::NEVER).unwrap();
    cache.set_limit(4 << 20).unwrap();
    assert_eq!(cache.value_bytes_max(), 2 << 20);
    let refused = cache
        .set(b"key", &[1; (2 << 20) + 1], Ttl::NEVER)
        .unwrap_err();
    let value_bytes = (2 << 20) + 1;
    assert_eq!(
        refused,
        Error::ValueTooLarge {
            value_bytes,
            value_bytes_max: 2 << 20
        }
    );
    cache.set(b"key", &[1; 1 << 20], Ttl::NEVER).unwrap();
    cache.validate();
}

#[test]
fn without_eviction_the_limit_does_not_fall_below_what_is_used() {
    let cache = Cache::builder()
        .limit_bytes(8 << 20)
        .shards(1)
        .policy(larder::Policy::NoEviction)
        .build()
        .unwrap();
    for number in 0..6000_u32 {
        cache
            .set(&number.to_be_bytes(), &[1; 1000], Ttl::NEVER)
            .unwrap();
    }
    assert!(matches!(
        cache.set_limit(4 << 20),
        Err(Error::LimitBelowUse { .. })
    ));
    assert_eq!(
        (cache.stats().limit_bytes, cache.stats().item_count),
        (8 << 20, 6000)
    );
    cache.set_limit(7 << 20).unwrap();
    assert_eq!(cache.stats().item_count, 6000);
    cache.validate();
}

#[test]
fn a_cache_on_huge_pages_shrinks_and_grows_as_any_other() {
    let builder = Cache::builder().limit_bytes(16 << 20).shards(2);
    let cache = builder.huge_pages(true).build().unwrap();
    for round in 0..3_u32 {
        for value_bytes in [100, 3000, 200_000] {
            let value = vec![1; value_bytes];
            for number in 0..u32::try_from((20 << 20) / value_bytes).unwrap() {
                cache
                    .set(&number.to_be_bytes(), &value, Ttl::NEVER)
                    .unwrap();
            }
            cache.validate();
        }
        let limit_bytes = if round % 2 == 0 { 6 << 20 } else { 16 << 20 };
        cache.set_limit(limit_bytes).unwrap();
        assert!(cache.stats().used_bytes <= limit_bytes);
        cache.validate();
    }
    assert!(!Cache::with_limit(1 << 20).unwrap().has_huge_pages());
}
