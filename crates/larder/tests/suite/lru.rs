//! Eviction order: strict LRU, exactly, and what happens between size classes.

use larder::{Cache, Edit, ManualClock, Policy, StoreOutcome, Ttl};
use proptest::prelude::*;

/// One shard, so that there is one order; values of one class, so that every victim is the oldest.
fn small_cache() -> Cache {
    let clock = ManualClock::default();
    Cache::builder()
        .limit_bytes(1 << 20)
        .shards(1)
        .policy(Policy::Lru)
        .clock(clock)
        .build()
        .unwrap()
}

const VALUE: [u8; 4000] = [7; 4000];

fn key(number: u16) -> [u8; 8] {
    let mut key = *b"k-......";
    key[6..].copy_from_slice(&number.to_be_bytes());
    key
}

#[derive(Clone, Debug)]
enum Op {
    Set(u16),
    Add(u16),
    Get(u16),
    Peek(u16),
    Touch(u16),
    Remove(u16),
    Update(u16),
}

fn an_op() -> impl Strategy<Value = Op> {
    let number = || 0..500_u16;
    prop_oneof![
        6 => number().prop_map(Op::Set),
        1 => number().prop_map(Op::Add),
        4 => number().prop_map(Op::Get),
        1 => number().prop_map(Op::Peek),
        1 => number().prop_map(Op::Touch),
        1 => number().prop_map(Op::Remove),
        1 => number().prop_map(Op::Update),
    ]
}

/// Keys in the order of their last use, the oldest first.
#[derive(Default)]
struct Order(Vec<u16>);

impl Order {
    fn forget(&mut self, number: u16) -> bool {
        let at = self.0.iter().position(|&other| other == number);
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn used(&mut self, number: u16) {
        self.forget(number);
        self.0.push(number);
    }
}

fn apply(cache: &Cache, order: &mut Order, op: &Op) {
    match *op {
        Op::Set(number) => {
            cache.set(&key(number), &VALUE, Ttl::NEVER).unwrap();
            order.used(number);
        }
        Op::Add(number) => {
            let outcome = cache.add(&key(number), &VALUE, Ttl::NEVER).unwrap();
            let present = order.0.contains(&number);
            assert_eq!(outcome == StoreOutcome::KeyExists, present);
            order.used(number);
        }
        Op::Get(number) => {
            let found = cache.get(&key(number)).is_some();
            assert_eq!(found, order.0.contains(&number));
            if found {
                order.used(number);
            }
        }
        Op::Peek(number) => {
            assert_eq!(
                cache.peek(&key(number)).is_some(),
                order.0.contains(&number)
            );
        }
        Op::Touch(number) => {
            if cache.touch(&key(number), Ttl::seconds(1000)) {
                order.used(number);
            }
        }
        Op::Remove(number) => assert_eq!(cache.remove(&key(number)), order.forget(number)),
        Op::Update(number) => {
            let edit = |_: larder::ItemView<'_>| Edit::Value(VALUE.as_slice().into());
            if cache.update(&key(number), edit).unwrap() != larder::UpdateOutcome::Missing {
                order.used(number);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn victims_are_the_least_recently_used_in_order(
        ops in prop::collection::vec(an_op(), 500..1500),
    ) {
        let cache = small_cache();
        let mut order = Order::default();
        let mut evictions = 0;
        for op in &ops {
            apply(&cache, &mut order, op);
            let evicted = usize::try_from(cache.stats().evictions - evictions).unwrap();
            evictions += evicted as u64;
            // The victims are exactly the oldest of the model, and nothing else is gone.
            for number in order.0.drain(..evicted) {
                prop_assert!(!cache.contains(&key(number)), "{} outlived its turn", number);
            }
            prop_assert_eq!(cache.stats().item_count, order.0.len());
        }
        for &number in &order.0 {
            prop_assert!(cache.contains(&key(number)));
        }
        cache.validate();
    }
}

#[test]
fn nothing_is_evicted_while_memory_is_free() {
    let cache = small_cache();
    for number in 0..200 {
        cache.set(&key(number), &VALUE, Ttl::NEVER).unwrap();
    }
    assert_eq!(cache.stats().evictions, 0);
    assert!((0..200).all(|number| cache.contains(&key(number))));
}

#[test]
fn a_class_without_items_takes_a_page_of_the_class_whose_oldest_is_oldest() {
    let cache = small_cache();
    for number in 0..1000 {
        cache.set(&key(number), &VALUE, Ttl::NEVER).unwrap();
    }
    let before = cache.stats();
    cache
        .set(b"small", b"of another class", Ttl::NEVER)
        .unwrap();
    assert!(cache.contains(b"small"));
    let evicted = cache.stats().evictions - before.evictions;
    assert!(
        (1..=16).contains(&evicted),
        "one page of 16 chunks, not {evicted} items"
    );
    cache.validate();
}

#[test]
fn a_large_value_makes_room_for_itself() {
    let cache = small_cache();
    for number in 0..1000 {
        cache.set(&key(number), &VALUE, Ttl::NEVER).unwrap();
    }
    let large = vec![9; 500_000];
    for _ in 0..10 {
        cache.set(b"large-1", &large, Ttl::NEVER).unwrap();
        cache.set(b"large-2", &large[1..], Ttl::NEVER).unwrap();
        cache.validate();
    }
    assert_eq!(cache.get(b"large-2").as_deref(), Some(&large[1..]));
    assert!(cache.stats().used_bytes <= 1 << 20);
}

#[test]
fn a_shard_without_memory_gets_some_from_the_others() {
    let cache = Cache::builder()
        .limit_bytes(4 << 20)
        .shards(4)
        .build()
        .unwrap();
    // Fill everything with small items, then ask for values that no one shard has room for.
    for number in 0..60_000_u32 {
        cache
            .set(&number.to_be_bytes(), &[1; 60], Ttl::NEVER)
            .unwrap();
    }
    let large = vec![3; 2 << 20];
    for number in 0..8_u8 {
        cache.set(&[b'L', number], &large, Ttl::NEVER).unwrap();
        assert_eq!(cache.get(&[b'L', number]).as_deref(), Some(&large[..]));
        cache.validate();
    }
}

#[test]
fn a_swap_that_needs_other_shards_memory_never_finds_its_key_missing() {
    let cache = Cache::builder()
        .limit_bytes(8 << 20)
        .shards(8)
        .build()
        .unwrap();
    for number in 0..80_000_u32 {
        cache
            .set(&number.to_be_bytes(), &[1; 60], Ttl::NEVER)
            .unwrap();
    }
    for round in 0..60_usize {
        let key = [b'L', u8::try_from(round % 20).unwrap()];
        let token = cache.set(&key, b"small", Ttl::NEVER).unwrap();
        let value = vec![2; 500_000 + round * 20_000];
        let swapped = cache.compare_and_swap(&key, &value, token, Ttl::NEVER);
        assert!(
            matches!(swapped, Ok(StoreOutcome::Stored(_))),
            "{round}: {swapped:?}"
        );
        assert_eq!(cache.get(&key).as_deref(), Some(&value[..]));
        let replaced = cache.replace(&key, &value[1..], Ttl::NEVER);
        assert!(
            matches!(replaced, Ok(StoreOutcome::Stored(_))),
            "{round}: {replaced:?}"
        );
    }
    cache.validate();
}

#[test]
fn no_eviction_refuses_and_keeps_everything() {
    let cache = Cache::builder()
        .limit_bytes(1 << 20)
        .policy(Policy::NoEviction)
        .build()
        .unwrap();
    let mut stored = Vec::new();
    let refused = loop {
        let number = u16::try_from(stored.len()).unwrap();
        match cache.set(&key(number), &VALUE, Ttl::NEVER) {
            Ok(_) => stored.push(number),
            Err(error) => break error,
        }
    };
    assert!(matches!(
        refused,
        larder::Error::OutOfMemory {
            limit_bytes: 1_048_576,
            ..
        }
    ));
    assert!(stored.len() > 200);
    assert!(stored.iter().all(|&number| cache.contains(&key(number))));
    assert_eq!(cache.stats().evictions, 0);
    // A failed overwrite that needs more room leaves no stale value behind.
    assert!(cache.set(&key(0), &[8; 9000], Ttl::NEVER).is_err());
    assert!(!cache.contains(&key(0)));
    cache.validate();
}
