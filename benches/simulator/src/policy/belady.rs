//! The optimum: evict what is asked for again last (L. Belady, 1966), or, where sizes differ, a sampled approximation.
//!
//! With equal weights the order is exact, by a heap. With sizes the victim is, of a fixed number of keys sampled with a
//! constant seed, the one whose size times distance to the next request is greatest.

use std::collections::BinaryHeap;

use super::{Access, Policy, Space};
use crate::sketch::mix;
use crate::trace::{Key, Op, Trace};

/// How many keys are compared for one eviction where sizes differ.
const SAMPLE_COUNT: u64 = 128;
const NEVER: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Belady {
    space: Space,
    equal_sizes: bool,
    /// For each access in order, when its key is accessed next.
    next_uses: Vec<u32>,
    now: usize,
    /// The next use of each held key; `None` is not held.
    held: Vec<Option<u32>>,
    heap: BinaryHeap<(u32, Key)>,
    /// The held keys in no order, and where in it each is.
    order: Vec<Key>,
    position: Vec<u32>,
    used: u64,
    draws: u64,
}

impl Belady {
    /// Looks ahead in the plain reading of `trace`; it can be replayed in that reading only.
    pub(super) fn new(space: Space, trace: &Trace) -> Self {
        let keys = space.sizes.len();
        let accesses: Vec<Key> = trace
            .requests()
            .filter(|request| request.op != Op::Delete)
            .map(|request| request.key)
            .collect();
        let mut next_use = vec![NEVER; keys];
        let mut next_uses = vec![NEVER; accesses.len()];
        for (index, &key) in accesses.iter().enumerate().rev() {
            next_uses[index] = std::mem::replace(&mut next_use[key as usize], index as u32);
        }
        Self {
            equal_sizes: space.sizes.windows(2).all(|pair| pair[0] == pair[1]),
            space,
            next_uses,
            now: 0,
            held: vec![None; keys],
            heap: BinaryHeap::new(),
            order: Vec::new(),
            position: vec![0; keys],
            used: 0,
            draws: 0,
        }
    }

    fn victim(&mut self) -> Option<Key> {
        if self.equal_sizes {
            loop {
                let (next_use, key) = self.heap.pop()?;
                if self.held[key as usize] == Some(next_use) {
                    return Some(key);
                }
            }
        }
        let count = self.order.len() as u64;
        let cost = |key: Key| {
            let next_use = self.held[key as usize].unwrap_or(0);
            let distance = u64::from(next_use).saturating_sub(self.now as u64);
            // What is never asked for again goes first, the largest first.
            let distance = if next_use == NEVER { 1 << 40 } else { distance };
            distance * self.space.size(key)
        };
        let draws = self.draws;
        self.draws += SAMPLE_COUNT;
        (0..SAMPLE_COUNT.min(count))
            .map(|draw| self.order[(mix(draws + draw) % count) as usize])
            .max_by_key(|&key| cost(key))
    }
}

impl Policy for Belady {
    fn access(&mut self, key: Key) -> Access {
        let next_use = self.next_uses[self.now];
        self.now += 1;
        if self.held[key as usize].is_some() {
            self.held[key as usize] = Some(next_use);
            if self.equal_sizes {
                self.heap.push((next_use, key));
            }
            return Access::Hit;
        }
        let size = self.space.size(key);
        // What is never asked for again is worth no eviction.
        if size <= self.space.capacity && next_use != NEVER {
            self.held[key as usize] = Some(next_use);
            self.position[key as usize] = self.order.len() as u32;
            self.order.push(key);
            if self.equal_sizes {
                self.heap.push((next_use, key));
            }
            self.used += size;
            while self.used > self.space.capacity {
                let Some(victim) = self.victim() else { break };
                self.remove(victim);
            }
        }
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        if self.held[key as usize].take().is_some() {
            self.used -= self.space.size(key);
            let position = self.position[key as usize];
            self.order.swap_remove(position as usize);
            if let Some(&moved) = self.order.get(position as usize) {
                self.position[moved as usize] = position;
            }
        }
    }

    fn used(&self) -> u64 {
        self.used
    }
}
