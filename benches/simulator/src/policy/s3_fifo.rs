//! S3-FIFO: a small probation queue, a main clock with two-bit counters, and a ghost of the probation queue.
//!
//! After J. Yang and others, "FIFO Queues are All You Need for Cache Eviction", SOSP 2023. While the cache first fills,
//! what does not fit the small queue goes to the main one, and an object larger than the small queue is not admitted.

use super::{Access, Parameters, Policy, Space};
use crate::ghost::GhostRing;
use crate::list::Lists;
use crate::trace::Key;

const SMALL: usize = 0;
const MAIN: usize = 1;
const COUNT_MAX: u8 = 3;

#[derive(Debug)]
pub(super) struct S3Fifo {
    lists: Lists,
    ghost: GhostRing,
    space: Space,
    counts: Vec<u8>,
    small_max: u64,
    ghost_max: u64,
    promote_at: u8,
    evicted: bool,
}

impl S3Fifo {
    /// `share` of the capacity is probation (0.1), the ghost remembers `ghost` capacities (0.9), and an item moves to
    /// main at `promote` hits (2).
    pub(super) fn new(space: Space, parameters: &mut Parameters) -> Self {
        let share = parameters.take("share", 0.1);
        let ghost = parameters.take("ghost", 0.9);
        Self {
            lists: Lists::new(&space, 2),
            ghost: GhostRing::new(&space),
            counts: vec![0; space.sizes.len()],
            small_max: ((space.capacity as f64 * share) as u64).max(1),
            ghost_max: (space.capacity as f64 * ghost) as u64,
            promote_at: parameters.take("promote", 2.0) as u8,
            space,
            evicted: false,
        }
    }

    fn evict(&mut self) {
        self.evicted = true;
        let main_max = self.space.capacity - self.small_max;
        if self.lists.weight(MAIN) > main_max || self.lists.count(SMALL) == 0 {
            self.evict_main();
        } else {
            self.evict_small();
        }
    }

    fn evict_small(&mut self) {
        while let Some(key) = self.lists.pop_back(SMALL) {
            if self.counts[key as usize] < self.promote_at {
                self.ghost.insert(key, self.ghost_max);
                return;
            }
            self.counts[key as usize] = 0;
            self.lists.push_front(MAIN, key);
        }
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.lists.pop_back(MAIN) {
            if self.counts[key as usize] == 0 {
                return;
            }
            self.counts[key as usize] -= 1;
            self.lists.push_front(MAIN, key);
        }
    }
}

impl Policy for S3Fifo {
    fn access(&mut self, key: Key) -> Access {
        if self.lists.place(key).is_some() {
            let count = &mut self.counts[key as usize];
            *count = (*count + 1).min(COUNT_MAX);
            return Access::Hit;
        }
        let size = self.space.size(key);
        if size > self.small_max {
            return Access::Miss;
        }
        let remembered = self.ghost.take(key).is_some();
        while self.used() + size > self.space.capacity {
            self.evict();
        }
        self.counts[key as usize] = 0;
        let filling = !self.evicted && self.lists.weight(SMALL) + size > self.small_max;
        self.lists
            .push_front(if remembered || filling { MAIN } else { SMALL }, key);
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        self.lists.remove(key);
    }

    fn used(&self) -> u64 {
        self.lists.weight(SMALL) + self.lists.weight(MAIN)
    }
}
