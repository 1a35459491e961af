//! Batches do what the same operations do one at a time: two caches under one clock, one of them asked
//! in batches, are never told apart.

use std::ops::ControlFlow;
use std::time::Duration;

use larder::{Adjust, Cache, ItemView, ManualClock, Policy, Stats, Store, StoreMode, Ttl};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Get(u8),
    Peek(u8),
    Touch(u8, u64),
    Adjust(u8),
    Store {
        key: u8,
        value_bytes: usize,
        ttl_millis: u64,
        joins: bool,
    },
}

#[derive(Clone, Debug)]
enum Step {
    Batch {
        ops: Vec<Op>,
        prefetch: bool,
    },
    /// Gets of many keys, of which so many are looked at.
    GetMany {
        keys: Vec<u8>,
        wanted: usize,
    },
    Advance(u64),
}

fn key(number: u8) -> Vec<u8> {
    format!("key-{number}-{}", "x".repeat(usize::from(number) % 30)).into_bytes()
}

fn an_op() -> impl Strategy<Value = Op> {
    let store = (0..40_u8, 0..40_000_usize, 0..3000_u64, any::<bool>());
    prop_oneof![
        4 => (0..40_u8).prop_map(Op::Get),
        1 => (0..40_u8).prop_map(Op::Peek),
        1 => (0..40_u8, 0..3000_u64).prop_map(|(key, ttl)| Op::Touch(key, ttl)),
        1 => (0..40_u8).prop_map(Op::Adjust),
        4 => store.prop_map(|(key, value_bytes, ttl_millis, joins)| Op::Store {
            key,
            // Most values are short.
            value_bytes: if value_bytes % 8 == 0 { value_bytes } else { value_bytes % 300 },
            ttl_millis,
            joins,
        }),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::collection::vec(an_op(), 0..80), any::<bool>())
            .prop_map(|(ops, prefetch)| Step::Batch { ops, prefetch }),
        4 => (prop::collection::vec(0..40_u8, 0..150), 0..200_usize)
            .prop_map(|(keys, wanted)| Step::GetMany { keys, wanted }),
        2 => (1..2000_u64).prop_map(Step::Advance),
    ]
}

impl Op {
    fn key(&self) -> Vec<u8> {
        key(match *self {
            Self::Get(key) | Self::Peek(key) | Self::Touch(key, _) | Self::Adjust(key) => key,
            Self::Store { key, .. } => key,
        })
    }
}

/// What there is to see of an item but for its token, which is the cache's own.
fn seen(view: &ItemView<'_>) -> String {
    let (key, value) = (view.key().escape_ascii(), view.value());
    let times = (view.expires_at(), view.accessed_at(), view.stored_at());
    let first = value.first();
    format!(
        "{key} {} {first:?} {times:?} {}",
        value.len(),
        view.was_fetched()
    )
}

/// 0 is never.
fn ttl(millis: u64) -> Ttl {
    match millis {
        0 => Ttl::NEVER,
        millis => Ttl::after(Duration::from_millis(millis)),
    }
}

fn store<'a>(op: &Op, key: &'a [u8], value: &'a [u8]) -> Store<'a> {
    let Op::Store {
        ttl_millis, joins, ..
    } = *op
    else {
        panic!("no store: {op:?}");
    };
    let mode = if joins {
        StoreMode::Append
    } else {
        StoreMode::Set
    };
    Store::new(key, value).ttl(ttl(ttl_millis)).mode(mode)
}

fn value_of(op: &Op) -> Vec<u8> {
    match *op {
        Op::Store {
            key, value_bytes, ..
        } => vec![key; value_bytes],
        _ => Vec::new(),
    }
}

fn alone(cache: &Cache, op: &Op) -> Option<String> {
    let (key, value) = (op.key(), value_of(op));
    let see = |view: ItemView<'_>| seen(&view);
    match *op {
        Op::Get(_) => cache.get_with(&key, see),
        Op::Peek(_) => cache.peek_with(&key, see),
        Op::Touch(_, millis) => cache.get_and_touch_with(&key, ttl(millis), see),
        Op::Adjust(_) => {
            cache.get_and_adjust_with(&key, |view| (Adjust::read().invalidate(), seen(&view)))
        }
        Op::Store { .. } => {
            let stored = cache.store_with(&store(op, &key, &value), see);
            stored.unwrap().1
        }
    }
}

fn together(cache: &Cache, ops: &[Op], prefetch: bool) -> Vec<Option<String>> {
    let keys: Vec<Vec<u8>> = ops.iter().map(Op::key).collect();
    let batch = cache.batch();
    let items: Vec<_> = keys.iter().map(|key| batch.prepare(key)).collect();
    if prefetch {
        batch.prefetch(&items);
    }
    let one = |(op, item): (&Op, &larder::Prepared<'_, '_>)| {
        let value = value_of(op);
        let see = |view: ItemView<'_>| seen(&view);
        match *op {
            Op::Get(_) => item.get_with(see),
            Op::Peek(_) => item.peek_with(see),
            Op::Touch(_, millis) => item.get_and_touch_with(ttl(millis), see),
            Op::Adjust(_) => {
                item.get_and_adjust_with(|view| (Adjust::read().invalidate(), seen(&view)))
            }
            Op::Store { .. } => {
                let stored = item.store_with(&store(op, item.key(), &value), see);
                stored.unwrap().1
            }
        }
    };
    ops.iter().zip(&items).map(one).collect()
}

fn get_many(cache: &Cache, keys: &[u8], wanted: usize) -> Vec<Option<String>> {
    let keys: Vec<Vec<u8>> = keys.iter().map(|&number| key(number)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut all = Vec::new();
    cache.get_many(&keys, |position, item| {
        assert_eq!(position, all.len(), "in the order of the keys");
        all.push(item.map(|view| seen(&view)));
        if all.len() == wanted {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    all
}

fn counted(stats: &Stats) -> [u64; 8] {
    [
        stats.hits,
        stats.misses,
        stats.misses_expired,
        stats.stores,
        stats.deletes,
        stats.expirations,
        stats.expired_unfetched,
        stats.item_count as u64,
    ]
}

fn check(shards: usize, policy: Policy, steps: &[Step]) {
    let clock = ManualClock::default();
    let build = || {
        let builder = Cache::builder().limit_bytes(8 << 20).shards(shards);
        builder.policy(policy).clock(clock.clone()).build().unwrap()
    };
    let (single, batched) = (build(), build());
    for step in steps {
        match step {
            Step::Batch { ops, prefetch } => {
                let expected: Vec<_> = ops.iter().map(|op| alone(&single, op)).collect();
                assert_eq!(together(&batched, ops, *prefetch), expected);
            }
            Step::GetMany { keys, wanted } => {
                let looked_at = if *wanted == 0 { keys.len() } else { *wanted };
                let keys_seen = keys.iter().take(looked_at);
                let expected: Vec<_> = keys_seen.map(|&k| alone(&single, &Op::Get(k))).collect();
                assert_eq!(get_many(&batched, keys, *wanted), expected);
            }
            Step::Advance(millis) => clock.advance(Duration::from_millis(*millis)),
        }
        assert_eq!(counted(&batched.stats()), counted(&single.stats()));
    }
    batched.validate();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_is_its_operations(
        shards in prop_oneof![Just(1), Just(8)],
        policy in prop_oneof![Just(Policy::Adaptive), Just(Policy::Lru)],
        steps in prop::collection::vec(a_step(), 1..25),
    ) {
        check(shards, policy, &steps);
    }
}

#[test]
fn prefetching_is_safe_whatever_the_index_holds() {
    let cache = Cache::builder()
        .limit_bytes(4 << 20)
        .shards(1)
        .build()
        .unwrap();
    let keys: Vec<Vec<u8>> = (0..100).map(key).collect();
    let look = |cache: &Cache| {
        let batch = cache.batch();
        let items: Vec<_> = keys.iter().map(|key| batch.prepare(key)).collect();
        batch.prefetch(&items);
    };
    // No index yet; large items; an index that has gone.
    look(&cache);
    for (number, key) in keys.iter().enumerate() {
        let value = vec![7; if number % 10 == 0 { 100_000 } else { number }];
        cache.set(key, &value, Ttl::NEVER).unwrap();
    }
    look(&cache);
    cache.clear();
    look(&cache);
    assert_eq!(cache.stats().item_count, 0);
    cache.validate();
}

fn put(cache: &Cache, key: &[u8], value_bytes: usize, ttl: Ttl) {
    cache.set(key, &vec![7; value_bytes], ttl).unwrap();
}

/// What is done to a cache between the look ahead and the reads: nothing of it is seen as it was before.
#[test]
fn a_read_shows_what_is_there_when_its_turn_comes() {
    type Change = fn(&Cache, &[u8]);
    let changes: [(Change, Option<usize>); 5] = [
        (|cache, key| assert!(cache.remove(key)), None),
        (|cache, _| cache.clear(), None),
        (|cache, key| put(cache, key, 900, Ttl::NEVER), Some(900)),
        (|cache, key| put(cache, key, 20, Ttl::NEVER), Some(20)),
        (
            |cache, key| put(cache, key, 20, Ttl::after(Duration::ZERO)),
            None,
        ),
    ];
    for shards in [1, 8] {
        for policy in [Policy::Adaptive, Policy::Lru] {
            for (number, (change, bytes)) in changes.into_iter().enumerate() {
                let cache = Cache::builder()
                    .limit_bytes(8 << 20)
                    .shards(shards)
                    .policy(policy)
                    .clock(ManualClock::default())
                    .build()
                    .unwrap();
                // Enough for an index of several pages, which a clear gives back.
                let keys: Vec<Vec<u8>> = (0..20_000_u32)
                    .map(|key| key.to_be_bytes().into())
                    .collect();
                keys.iter().for_each(|key| put(&cache, key, 30, Ttl::NEVER));
                let keys: Vec<&[u8]> = keys[..40].iter().map(Vec::as_slice).collect();
                let mut seen = Vec::new();
                cache.get_many(&keys, |at, item| {
                    seen.push(item.map(|item| item.value().len()));
                    if at == 0 {
                        keys[1..].iter().for_each(|key| change(&cache, key));
                    }
                    ControlFlow::Continue(())
                });
                assert_eq!(seen[0], Some(30));
                assert!(
                    seen[1..].iter().all(|seen| *seen == bytes),
                    "{number}: {seen:?}"
                );
                cache.validate();
            }
        }
    }
}

/// Memory of the index goes back and is used for items while a thread reads in batches.
#[test]
fn what_was_found_ahead_is_forgotten_with_its_buckets() {
    let cache = Cache::builder()
        .limit_bytes(8 << 20)
        .shards(1)
        .build()
        .unwrap();
    let fill = |value: &[u8]| {
        for key in 0..20_000_u32 {
            cache.set(&key.to_be_bytes(), value, Ttl::NEVER).unwrap();
        }
    };
    fill(&[1; 20]);
    let keys: Vec<[u8; 4]> = (0..32_u32).map(u32::to_be_bytes).collect();
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 4]>::as_slice).collect();
    cache.get_many(&keys, |at, item| {
        match at {
            // Items of other sizes in all memory there is, that of the buckets too; then as it was.
            0 => {
                cache.clear();
                (0..6000_u32).for_each(|key| {
                    let _ = cache.set(&(key + 1_000_000).to_be_bytes(), &[3; 1000], Ttl::NEVER);
                });
            }
            1 => assert!(item.is_none()),
            2 => {
                cache.clear();
                fill(&[4; 20]);
            }
            _ => assert_eq!(item.unwrap().value(), [4; 20]),
        }
        ControlFlow::Continue(())
    });
    cache.validate();
}

#[test]
#[should_panic(expected = "keys of this cache")]
fn a_key_of_another_cache_is_refused() {
    let caches = [1, 2].map(|_| Cache::with_limit(1 << 20).unwrap());
    let key = caches[0].batch().prepare(b"k");
    let _ = caches[1]
        .batch()
        .get_each(&[key], |_, _| ControlFlow::Continue(()));
}

#[test]
#[should_panic(expected = "a store of the prepared key")]
fn a_store_of_another_key_is_refused() {
    let cache = Cache::with_limit(1 << 20).unwrap();
    let prepared = cache.batch().prepare(b"k");
    let _ = prepared.store(&Store::new(b"other", b"v"));
}
