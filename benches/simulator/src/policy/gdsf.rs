//! GreedyDual-Size with frequency: evict the least of inflation + frequency / size.
//!
//! After L. Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", HP Labs
//! 1998. The order is exact: a heap with stale entries skipped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Access, Policy, Space};
use crate::trace::Key;

#[derive(Debug)]
pub(super) struct Gdsf {
    space: Space,
    /// Accesses since stored, by key; 0 is not held.
    counts: Vec<u32>,
    /// The current priority by key, as the bits of a non-negative float, which order as the floats do.
    priorities: Vec<u64>,
    heap: BinaryHeap<Reverse<(u64, Key)>>,
    inflation: f64,
    used: u64,
}

impl Gdsf {
    pub(super) fn new(space: Space) -> Self {
        let keys = space.sizes.len();
        Self {
            space,
            counts: vec![0; keys],
            priorities: vec![0; keys],
            heap: BinaryHeap::new(),
            inflation: 0.0,
            used: 0,
        }
    }

    fn count(&mut self, key: Key) {
        let count = &mut self.counts[key as usize];
        *count += 1;
        let value = f64::from(*count) / self.space.size(key).max(1) as f64;
        let priority = (self.inflation + value).to_bits();
        self.priorities[key as usize] = priority;
        self.heap.push(Reverse((priority, key)));
    }

    fn evict(&mut self) {
        while let Some(Reverse((priority, key))) = self.heap.pop() {
            if self.counts[key as usize] > 0 && self.priorities[key as usize] == priority {
                self.inflation = f64::from_bits(priority);
                self.remove(key);
                return;
            }
        }
    }
}

impl Policy for Gdsf {
    fn access(&mut self, key: Key) -> Access {
        if self.counts[key as usize] > 0 {
            self.count(key);
            return Access::Hit;
        }
        let size = self.space.size(key);
        if size <= self.space.capacity {
            while self.used + size > self.space.capacity {
                self.evict();
            }
            self.used += size;
            self.count(key);
        }
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        if std::mem::replace(&mut self.counts[key as usize], 0) > 0 {
            self.used -= self.space.size(key);
        }
    }

    fn used(&self) -> u64 {
        self.used
    }
}
