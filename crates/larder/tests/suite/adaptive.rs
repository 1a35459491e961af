//! What the default policy keeps and what it lets go.

use larder::{Cache, ManualClock, Ttl};

fn cache(limit_bytes: usize) -> Cache {
    Cache::builder()
        .limit_bytes(limit_bytes)
        .shards(1)
        .clock(ManualClock::default())
        .build()
        .unwrap()
}

fn key(number: u32) -> [u8; 8] {
    let mut key = *b"k-......";
    key[4..].copy_from_slice(&number.to_be_bytes());
    key
}

/// How many of the keys are held.
fn held(cache: &Cache, keys: std::ops::Range<u32>) -> usize {
    keys.filter(|&number| cache.contains(&key(number))).count()
}

#[test]
fn a_scan_does_not_wash_out_what_is_read() {
    let cache = cache(4 << 20);
    let value = [1; 100];
    for number in 0..5000 {
        cache.set(&key(number), &value, Ttl::NEVER).unwrap();
    }
    for round in 0..20_u32 {
        for number in 0..5000 {
            if cache.get(&key(number)).is_none() {
                cache.set(&key(number), &value, Ttl::NEVER).unwrap();
            }
        }
        // Each scan is as large as the cache.
        for number in 0..30_000 {
            let scanned = 1_000_000 + round * 30_000 + number;
            cache.set(&key(scanned), &value, Ttl::NEVER).unwrap();
        }
    }
    let kept = held(&cache, 0..5000);
    assert!(kept > 4500, "{kept} of 5000");
    cache.validate();
}

#[test]
fn a_change_of_keys_is_followed() {
    let cache = cache(4 << 20);
    let value = [1; 100];
    let read_through = |base: u32| {
        for _ in 0..10 {
            for number in base..base + 20_000 {
                if cache.get(&key(number)).is_none() {
                    cache.set(&key(number), &value, Ttl::NEVER).unwrap();
                }
            }
        }
        held(&cache, base..base + 20_000)
    };
    assert!(read_through(0) > 19_000);
    let kept = read_through(1_000_000);
    assert!(kept > 19_000, "{kept} of 20000 after all keys changed");
    cache.validate();
}

#[test]
fn what_takes_less_memory_for_its_reads_stays() {
    let cache = cache(4 << 20);
    let (small, large) = ([1; 60], [1; 6000]);
    let read = |number: u32, value: &[u8]| {
        if cache.get(&key(number)).is_none() {
            cache.set(&key(number), value, Ttl::NEVER).unwrap();
        }
    };
    for round in 0..30 {
        // As many bytes of large items as the cache has, each read as often as a small one.
        for number in 0..700 {
            read(1_000_000 + number, &large);
            for small_number in number * 11..number * 11 + 11 {
                read(small_number, &small);
            }
        }
        if round % 10 == 0 {
            cache.validate();
        }
    }
    let kept = held(&cache, 0..7700);
    assert!(kept > 7300, "{kept} of 7700");
    assert!(
        held(&cache, 1_000_000..1_000_700) > 100,
        "the rest of the memory is used"
    );
}

#[test]
fn a_value_of_half_the_limit_is_stored_and_leaves_first() {
    let cache = cache(8 << 20);
    for number in 0..80_000 {
        cache.set(&key(number), &[1; 100], Ttl::NEVER).unwrap();
    }
    let huge = vec![9; 3 << 20];
    cache.set(b"huge", &huge, Ttl::NEVER).unwrap();
    assert_eq!(
        cache.get(b"huge").as_deref(),
        Some(&huge[..]),
        "set, then get"
    );
    cache.validate();
    for number in 0..5000 {
        cache
            .set(&key(1_000_000 + number), &[1; 100], Ttl::NEVER)
            .unwrap();
    }
    assert!(!cache.contains(b"huge"));
    cache.validate();
}

#[test]
fn a_few_items_of_a_size_of_their_own_need_no_page() {
    let cache = cache(1 << 20);
    for number in 0..20_000 {
        cache.set(&key(number), &[1; 100], Ttl::NEVER).unwrap();
    }
    let before = cache.stats();
    for number in 0..5 {
        cache
            .set(&key(1_000_000 + number), &[1; 80], Ttl::NEVER)
            .unwrap();
        cache
            .set(&key(1_000_000 + number), &[2; 82], Ttl::NEVER)
            .unwrap();
    }
    assert_eq!(held(&cache, 1_000_000..1_000_005), 5);
    let evicted = cache.stats().evictions - before.evictions;
    assert!(evicted <= 10, "a chunk each, not a page: {evicted}");
    cache.validate();
}

#[test]
fn evict_takes_as_many_as_it_is_asked_for() {
    let cache = Cache::builder()
        .limit_bytes(8 << 20)
        .shards(4)
        .build()
        .unwrap();
    for number in 0..1000 {
        cache.set(&key(number), b"value", Ttl::NEVER).unwrap();
    }
    assert_eq!(cache.evict(300), 300);
    assert_eq!(cache.stats().item_count, 700);
    assert_eq!((cache.evict(1000), cache.stats().item_count), (700, 0));
    cache.validate();
}

#[test]
fn pages_that_change_their_size_again_and_again_keep_no_trace_of_what_they_held() {
    let cache = cache(2 << 20);
    let mut noise = 1_u64;
    let mut next = |end: u64| {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) % end
    };
    for step in 0..400_000 {
        // Sizes of a few classes each time, others every thousand steps.
        let base = 20_u64 << (step / 1000 % 7);
        let number = u32::try_from(next(3000)).unwrap();
        if cache.get(&key(number)).is_none() {
            let value_bytes = usize::try_from(base + next(base)).unwrap();
            cache
                .set(
                    &key(number),
                    &vec![number.to_be_bytes()[3]; value_bytes],
                    Ttl::NEVER,
                )
                .unwrap();
        }
        if next(20) == 0 {
            cache.remove(&key(number));
        }
        if step % 20_000 == 0 {
            cache.validate();
        }
    }
    cache.validate();
}

/// An item that is overwritten while somebody reads it goes to another chunk, and comes back to the first.
#[test]
fn a_value_that_goes_to_and_fro_leaves_little_behind() {
    let cache = cache(4 << 20);
    let overwrite = |times: u32| {
        for number in 0..times {
            let guard = cache.get(b"to and fro");
            cache
                .set(b"to and fro", &number.to_be_bytes(), Ttl::NEVER)
                .unwrap();
            drop(guard);
        }
        cache.stats().policy_bytes
    };
    let few = overwrite(2_000);
    let many = overwrite(300_000);
    assert!(many <= few + 4096, "{few} bytes, then {many}");
    cache.validate();
}

#[test]
fn a_smaller_limit_ends_though_entries_look_current_more_than_once() {
    let cache = cache(4 << 20);
    for number in 0..5000 {
        cache.set(&key(number), &[1; 1000], Ttl::NEVER).unwrap();
    }
    // Memory for the entries of the small class.
    for number in 3500..5000 {
        cache.remove(&key(number));
    }
    for round in 0..10_000_u32 {
        let name = key(1_000_000 + round % 2);
        let guard = cache.get(&name);
        cache.set(&name, &[2; 100], Ttl::NEVER).unwrap();
        drop(guard);
    }
    cache.set_limit(2 << 20).unwrap();
    cache.validate();
}
