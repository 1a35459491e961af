//! Every allocation of the arena fails once: errors have types, no stale value is readable, the books
//! agree, and the cache goes on working.

use std::collections::HashMap;
use std::time::Duration;

use crate::arena::fault;
use crate::{Cache, Error, ManualClock, Policy, StoreOutcome, Ttl};

const LIMIT_BYTES: usize = 1 << 20;
/// Sizes from many to a page to runs of their own, the longest filled before they are stored.
const VALUE_BYTES: [usize; 9] = [10, 300, 60, 3000, 40_000, 10, 9000, 120_000, 200_000];

/// A cache, and the value that each key has if it has one.
struct Pair {
    cache: Cache,
    clock: ManualClock,
    twin: HashMap<u32, Vec<u8>>,
    refused: usize,
}

impl Pair {
    fn new(policy: Policy) -> Self {
        let clock = ManualClock::default();
        let builder = Cache::builder().limit_bytes(LIMIT_BYTES).shards(1);
        let builder = builder.limit_bytes_max(2 * LIMIT_BYTES).policy(policy);
        let built = builder.clock(clock.clone()).build();
        Self {
            cache: built.expect("a legal configuration, and address space"),
            clock,
            twin: HashMap::new(),
            refused: 0,
        }
    }

    fn set(&mut self, number: u32, value_bytes: usize, ttl: Ttl) {
        let value = vec![u8::try_from(number % 251).expect("below"); value_bytes];
        match self.cache.set(&number.to_be_bytes(), &value, ttl) {
            Ok(_) => self.twin.insert(number, value),
            Err(Error::OutOfMemory { .. }) => {
                self.refused += 1;
                self.twin.remove(&number)
            }
            Err(error) => panic!("{error}"),
        };
    }

    fn append(&mut self, number: u32, extra: &[u8]) {
        match self.cache.append(&number.to_be_bytes(), extra) {
            Ok(StoreOutcome::Stored(_)) => {
                let value = self.twin.get_mut(&number).expect("it was there");
                value.extend_from_slice(extra);
            }
            Ok(_) | Err(Error::OutOfMemory { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn set_limit(&self, bytes: usize) {
        match self.cache.set_limit(bytes) {
            Ok(()) | Err(Error::LimitBelowUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What is readable is what was stored last.
    fn check(&self) {
        for number in 0..2000_u32 {
            if let Some(item) = self.cache.peek(&number.to_be_bytes()) {
                let expected = self.twin.get(&number).map(|value| &value[..]);
                assert_eq!(Some(&*item), expected, "a stale value under {number}");
            }
        }
        self.cache.validate();
    }

    /// Fills the cache more than once with sizes that change, joins, expires, resizes and clears.
    fn run(&mut self) {
        for (round, value_bytes) in VALUE_BYTES.into_iter().enumerate() {
            let count = (LIMIT_BYTES / 2 / (value_bytes + 60)).min(1500);
            for number in 0..u32::try_from(count).expect("below") {
                let ttl = if number % 3 == 0 {
                    Ttl::after(Duration::from_millis(5))
                } else {
                    Ttl::NEVER
                };
                self.set(number, value_bytes, ttl);
            }
            for number in (0..40).step_by(5) {
                self.append(number, &[7; 700]);
            }
            match round {
                1 | 5 => self.set_limit(LIMIT_BYTES * 2),
                2 | 6 => self.set_limit(LIMIT_BYTES),
                3 => self.cache.clear(),
                _ => {}
            }
            self.clock.advance(Duration::from_millis(4));
            self.cache.maintain(200);
        }
    }
}

/// Runs the sequence with each allocation failing in turn. Returns how many there are.
fn each_fails_once(policy: Policy) -> usize {
    for successes in 0.. {
        let mut pair = Pair::new(policy);
        fault::arm(successes);
        pair.run();
        let struck = fault::disarm();
        pair.check();
        // Without faults, and after a clear where nothing may be evicted, everything works.
        pair.cache.clear();
        pair.refused = 0;
        for number in 0..100 {
            pair.set(number, 500, Ttl::NEVER);
            assert!(pair.cache.contains(&number.to_be_bytes()));
        }
        assert_eq!(pair.refused, 0);
        pair.check();
        if !struck {
            return successes;
        }
    }
    unreachable!("the sequence ends")
}

#[test]
fn a_cache_is_built_with_less_address_space_where_the_system_refuses_much() {
    fault::arm(0);
    let mut pair = Pair::new(Policy::Adaptive);
    assert!(fault::disarm());
    pair.run();
    pair.check();
}

#[test]
fn every_allocation_may_fail_under_the_adaptive_policy() {
    let count = each_fails_once(Policy::Adaptive);
    assert!(count > 100, "{count} allocations");
}

#[test]
fn every_allocation_may_fail_under_strict_lru() {
    let count = each_fails_once(Policy::Lru);
    assert!(count > 100, "{count} allocations");
}

#[test]
fn every_allocation_may_fail_where_nothing_is_evicted() {
    let count = each_fails_once(Policy::NoEviction);
    assert!(count > 50, "{count} allocations");
}
