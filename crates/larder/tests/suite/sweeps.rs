//! Sweeps that stop anywhere and go on later, while items are stored, touched and moved before and
//! behind them: nothing goes early, and nothing that has expired is forgotten.

use std::collections::HashMap;
use std::time::Duration;

use larder::{Cache, ManualClock, Policy, Ttl};
use proptest::prelude::*;

/// Values of several classes; all keys with the largest do not fit the limit, so that pages are
/// drained and items move.
const VALUE_BYTES: [usize; 7] = [0, 8, 60, 200, 1000, 3000, 40_000];
const KEYS: u16 = 600;
const LIMIT_BYTES: usize = 1 << 20;

#[derive(Clone, Debug)]
enum Op {
    Store(Stored),
    StoreMany { count: u16, stored: Stored },
    Touch { key: u16, millis: Option<u64> },
    TouchMany { key: u16, millis: Option<u64> },
    Remove(u16),
    Advance(u64),
    Maintain(usize),
    Halve,
    Double,
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    key: u16,
    value_bytes: usize,
    millis: Option<u64>,
}

fn an_op() -> impl Strategy<Value = Op> {
    let millis = || prop::option::weighted(0.8, 1..60_u64);
    let stored = || {
        (0..KEYS, prop::sample::select(&VALUE_BYTES[..]), millis()).prop_map(
            |(key, value_bytes, millis)| Stored {
                key,
                value_bytes,
                millis,
            },
        )
    };
    let key = || 0..KEYS;
    prop_oneof![
        6 => stored().prop_map(Op::Store),
        4 => (1..400_u16, stored()).prop_map(|(count, stored)| Op::StoreMany { count, stored }),
        4 => (key(), millis()).prop_map(|(key, millis)| Op::Touch { key, millis }),
        1 => (key(), millis()).prop_map(|(key, millis)| Op::TouchMany { key, millis }),
        2 => key().prop_map(Op::Remove),
        6 => (0..25_u64).prop_map(Op::Advance),
        8 => (0..40_usize).prop_map(Op::Maintain),
        1 => Just(Op::Halve),
        1 => Just(Op::Double),
    ]
}

/// A full little cache and when each of its items expires.
struct Pair {
    cache: Cache,
    clock: ManualClock,
    now: u64,
    expires_at: HashMap<u16, Option<u64>>,
}

impl Pair {
    fn new(policy: Policy) -> Self {
        let clock = ManualClock::default();
        let cache = Cache::builder()
            .limit_bytes(LIMIT_BYTES)
            .limit_bytes_max(2 * LIMIT_BYTES)
            .shards(1)
            .policy(policy)
            .clock(clock.clone());
        Self {
            cache: cache.build().unwrap(),
            clock,
            now: 0,
            expires_at: HashMap::new(),
        }
    }

    fn ttl(millis: Option<u64>) -> Ttl {
        millis.map_or(Ttl::NEVER, |millis| {
            Ttl::after(Duration::from_millis(millis))
        })
    }

    fn store(&mut self, stored: Stored) {
        let Stored {
            key,
            value_bytes,
            millis,
        } = stored;
        let ttl = Self::ttl(millis);
        let set = self
            .cache
            .set(&key.to_be_bytes(), &vec![7; value_bytes], ttl);
        if set.is_ok() {
            let expires_at = millis.map(|millis| self.now + millis);
            self.expires_at.insert(key, expires_at);
        } else {
            self.expires_at.remove(&key);
        }
    }

    fn touch(&mut self, key: u16, millis: Option<u64>) {
        if self.cache.touch(&key.to_be_bytes(), Self::ttl(millis)) {
            let expires_at = millis.map(|millis| self.now + millis);
            self.expires_at.insert(key, expires_at);
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Store(stored) => self.store(stored),
            Op::StoreMany { count, stored } => {
                for step in 0..count {
                    let key = (stored.key + step) % KEYS;
                    self.store(Stored { key, ..stored });
                }
            }
            Op::Touch { key, millis } => self.touch(key, millis),
            Op::TouchMany { key, millis } => {
                (key..KEYS).for_each(|key| self.touch(key, millis));
            }
            Op::Remove(key) => {
                self.cache.remove(&key.to_be_bytes());
            }
            Op::Advance(millis) => {
                self.now += millis;
                self.clock.advance(Duration::from_millis(millis));
            }
            Op::Maintain(chunks) => {
                let done = self.cache.maintain(chunks);
                assert!(done.examined_count <= chunks);
            }
            Op::Halve => self.cache.set_limit(LIMIT_BYTES).unwrap_or_default(),
            Op::Double => self.cache.set_limit(2 * LIMIT_BYTES).unwrap(),
        }
    }

    /// Readable items, none of which is past its time.
    fn readable(&self) -> usize {
        let readable = (0..KEYS).filter(|key| self.cache.contains(&key.to_be_bytes()));
        readable
            .inspect(|key| {
                let expires_at = self.expires_at[key];
                assert!(expires_at.is_none_or(|at| self.now < at), "read too late");
            })
            .count()
    }

    /// Sweeps everything that is due: what is left is what can be read.
    fn settle(&self) {
        let before = self.cache.stats();
        let readable = self.readable();
        while self.cache.maintain(13).more_due {}
        let after = self.cache.stats();
        assert_eq!(self.readable(), readable, "a sweep took what was alive");
        assert_eq!(
            after.item_count, readable,
            "what has expired is found without reading it"
        );
        assert_eq!(after.evictions, before.evictions);
        self.cache.validate();
    }
}

fn check(policy: Policy, ops: &[Op]) {
    let mut pair = Pair::new(policy);
    for (step, op) in ops.iter().enumerate() {
        pair.apply(op);
        if step % 16 == 0 {
            pair.cache.validate();
            pair.readable();
        }
    }
    pair.settle();
    pair.apply(&Op::Advance(60));
    pair.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 150 }))]

    #[test]
    fn a_sweep_in_steps_takes_all_that_is_due_and_nothing_else(
        ops in prop::collection::vec(an_op(), 1..120),
    ) {
        check(Policy::Adaptive, &ops);
    }

    #[test]
    fn so_it_is_with_lists(ops in prop::collection::vec(an_op(), 1..120)) {
        check(Policy::Lru, &ops);
    }

    #[test]
    fn so_it_is_where_nothing_is_evicted(ops in prop::collection::vec(an_op(), 1..120)) {
        check(Policy::NoEviction, &ops);
    }
}

/// One page of 1,000 items, swept in steps of 100 chunks. What is stored or touched in the part
/// that has been swept is found by the next pass, what was touched to live longer stays.
#[test]
fn what_changes_behind_a_sweep_is_found_by_the_next() {
    let mut pair = Pair::new(Policy::Adaptive);
    let many = |key, millis| Op::StoreMany {
        count: KEYS / 2,
        stored: Stored {
            key,
            value_bytes: 8,
            millis,
        },
    };
    pair.apply(&many(0, Some(10)));
    pair.apply(&many(KEYS / 2, Some(20)));
    pair.apply(&Op::Advance(10));
    assert!(pair.cache.maintain(100).more_due);
    // New items take the chunks that have just come free, an old one behind the sweep is touched.
    for key in 0..50 {
        pair.apply(&Op::Store(Stored {
            key,
            value_bytes: 8,
            millis: Some(1),
        }));
    }
    pair.touch(KEYS - 1, Some(1));
    pair.touch(KEYS / 2, None);
    assert!(pair.cache.maintain(100).more_due);
    pair.touch(KEYS / 2 + 1, Some(1));
    pair.apply(&Op::Advance(1));
    pair.settle();
    assert_eq!(pair.readable(), usize::from(KEYS / 2) - 2);
    pair.apply(&Op::Advance(10));
    pair.settle();
    assert_eq!(pair.readable(), 1);
}
