//! What the cache tells of its size classes and its shards, one by one.

use std::time::Duration;

use larder::{
    Builder, Cache, ClassStats, ManualClock, Policy, ShardStats, Stats, Store, StoreOutcome,
    Timestamp, Ttl,
};

fn builder(limit_bytes: usize) -> Builder {
    Cache::builder().limit_bytes(limit_bytes).shards(2)
}

fn set(cache: &Cache, number: usize, value_bytes: usize, ttl: Ttl) -> usize {
    let key = format!("key {number}");
    let value = vec![0; value_bytes];
    let store = Store::new(key.as_bytes(), &value).ttl(ttl);
    let stored = cache.store(&store).unwrap();
    assert!(matches!(stored, StoreOutcome::Stored(_)));
    cache.class_of(&store)
}

/// Classes and shards add up to what the cache says of itself.
fn add_up(cache: &Cache) -> Vec<ClassStats> {
    let whole = cache.stats();
    let classes = cache.class_stats();
    assert_eq!(classes.len(), cache.class_count());
    let sum = |of: fn(&ClassStats) -> u64| classes.iter().map(of).sum::<u64>();
    assert_eq!(
        sum(|class| class.item_count as u64),
        whole.item_count as u64
    );
    assert_eq!(
        sum(|class| class.item_bytes as u64),
        whole.item_bytes as u64
    );
    assert_eq!(sum(|class| class.evictions), whole.evictions);
    assert_eq!(
        sum(|class| class.evicted_unfetched),
        whole.evicted_unfetched
    );
    assert_eq!(sum(|class| class.expirations), whole.expirations);
    assert_eq!(
        sum(|class| class.expired_unfetched),
        whole.expired_unfetched
    );
    assert_eq!(sum(|class| class.out_of_memory), whole.out_of_memory);
    for class in &classes {
        assert!(class.item_count <= class.chunk_count);
        assert_eq!(class.chunk_count, class.page_count * class.chunks_a_page);
        assert!(
            class.item_bytes <= class.item_count * class.chunk_bytes || class.chunks_a_page == 1
        );
        assert!(class.item_bytes <= class.held_bytes && class.held_bytes <= whole.used_bytes);
    }
    let small = &classes[..classes.len() - 1];
    assert!(
        small
            .windows(2)
            .all(|pair| pair[0].chunk_bytes < pair[1].chunk_bytes)
    );
    shards_add_up(cache, &whole);
    classes
}

fn shards_add_up(cache: &Cache, whole: &Stats) {
    let shards = cache.shard_stats();
    assert_eq!(shards.len(), whole.shard_count);
    let sum = |of: fn(&ShardStats) -> u64| shards.iter().map(of).sum::<u64>();
    assert_eq!(
        sum(|shard| shard.item_count as u64),
        whole.item_count as u64
    );
    assert_eq!(
        sum(|shard| shard.item_bytes as u64),
        whole.item_bytes as u64
    );
    assert_eq!(sum(|shard| shard.hits), whole.hits);
    assert_eq!(sum(|shard| shard.misses), whole.misses);
    assert_eq!(sum(|shard| shard.stores), whole.stores);
    assert_eq!(sum(|shard| shard.deletes), whole.deletes);
    assert_eq!(sum(|shard| shard.evictions), whole.evictions);
    assert_eq!(sum(|shard| shard.expirations), whole.expirations);
    assert_eq!(sum(|shard| shard.out_of_memory), whole.out_of_memory);
    let (held, used) = (
        sum(|shard| shard.held_bytes as u64),
        whole.used_bytes as u64,
    );
    // Besides, there are the tables of pages, and what the policy remembers for all shards.
    let shared = (whole.table_bytes + whole.policy_bytes) as u64;
    assert!(held <= used && used - held <= shared, "{held} of {used}");
}

#[test]
fn every_item_is_counted_in_the_class_that_it_shows() {
    for policy in [Policy::Adaptive, Policy::Lru, Policy::NoEviction] {
        let cache = builder(64 << 20).policy(policy).build().unwrap();
        for number in 0..2000 {
            for value_bytes in [10, 700, 5000] {
                set(
                    &cache,
                    number * 10_000 + value_bytes,
                    value_bytes,
                    Ttl::NEVER,
                );
            }
        }
        let large = set(&cache, 1, 300_000, Ttl::NEVER);
        assert_eq!(large, cache.class_count() - 1);
        let mut counted = vec![(0, 0); cache.class_count()];
        let mut cursor = larder::Cursor::default();
        while cache.walk(&mut cursor, 1000, |view| {
            let (items, bytes) = &mut counted[view.class()];
            *items += 1;
            *bytes += 12 + view.key().len() + view.value().len();
        }) {}
        let classes = add_up(&cache);
        let told: Vec<_> = classes
            .iter()
            .map(|class| (class.item_count, class.item_bytes))
            .collect();
        assert_eq!(told, counted);
        assert_eq!(classes[large].page_count, 1);
        assert!(classes[large].chunk_bytes >= 300_000);
        // Replaced, joined to, deleted: the bytes go along.
        for number in 0..500 {
            let key = format!("key {}", number * 10_000 + 700);
            let joined = cache.append(key.as_bytes(), &[1; 900]).unwrap();
            assert!(matches!(joined, StoreOutcome::Stored(_)));
            set(&cache, number * 10_000 + 10, 1200, Ttl::NEVER);
            cache.remove(format!("key {}", number * 10_000 + 5000).as_bytes());
        }
        add_up(&cache);
        cache.validate();
        cache.clear();
        assert!(
            add_up(&cache)
                .iter()
                .all(|class| class.item_bytes + class.item_count == 0)
        );
    }
}

#[test]
fn evictions_and_their_ages_are_those_of_a_class() {
    for policy in [Policy::Adaptive, Policy::Lru] {
        let clock = ManualClock::at(Timestamp::from_unix_seconds(1_800_000_000));
        let cache = builder(16 << 20)
            .policy(policy)
            .clock(clock.clone())
            .build()
            .unwrap();
        let mut class = 0;
        for number in 0..40_000 {
            let ttl = if number % 4 == 0 {
                Ttl::seconds(1_000_000)
            } else {
                Ttl::NEVER
            };
            class = set(&cache, number, 1000, ttl);
            if number % 100 == 0 {
                clock.advance(Duration::from_secs(1));
            }
        }
        let classes = add_up(&cache);
        let told = classes[class];
        assert!(told.evictions > 10_000, "{told:?}");
        assert!(
            told.evicted_mortal > told.evictions / 8 && told.evicted_mortal < told.evictions / 2
        );
        assert_eq!(told.evicted_unfetched, told.evictions);
        // 16 MiB are some 15,000 items, which 150 seconds bring.
        let idle = told.evicted_idle.as_secs();
        assert!(idle > 1 && idle < 400, "{idle}");
        assert!(told.evicted_at.is_some());
        assert!(
            told.longest_idle.as_secs() > 1 && told.longest_idle.as_secs() < 400,
            "{told:?}"
        );
        let others = classes
            .iter()
            .enumerate()
            .filter(|&(number, _)| number != class);
        assert_eq!(others.map(|(_, other)| other.evictions).sum::<u64>(), 0);
    }
}

#[test]
fn what_expires_is_told_by_how_it_was_found() {
    let clock = ManualClock::at(Timestamp::from_unix_seconds(1_800_000_000));
    let cache = builder(16 << 20).clock(clock.clone()).build().unwrap();
    let mut class = 0;
    for number in 0..1000 {
        class = set(&cache, number, 100, Ttl::seconds(10));
    }
    cache.get(b"key 0").unwrap();
    clock.advance(Duration::from_secs(11));
    assert!(cache.get(b"key 0").is_none() && cache.get(b"key 1").is_none());
    while cache.maintain(10_000).more_due {}
    let told = add_up(&cache)[class];
    assert_eq!((told.expirations, told.expired_by_maintain), (1000, 998));
    assert_eq!(told.expired_unfetched, 999);
    assert!(told.examined >= 998);
}

#[test]
fn a_refused_store_is_counted_in_its_class() {
    let cache = builder(8 << 20).policy(Policy::NoEviction).build().unwrap();
    let value = vec![0; 100_000];
    let mut number = 0;
    let class = loop {
        let key = format!("key {number}");
        let store = Store::new(key.as_bytes(), &value);
        if cache.store(&store).is_err() {
            break cache.class_of(&store);
        }
        number += 1;
    };
    let told = add_up(&cache)[class];
    assert!(told.out_of_memory > 0 && told.item_count == number);
}
