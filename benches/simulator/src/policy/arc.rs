//! ARC: recency and frequency lists with a ghost of each, and a share that the ghosts' hits move.
//!
//! After N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, with weights for
//! counts.

use super::{Access, Policy, Space};
use crate::list::Lists;
use crate::trace::Key;

const RECENT: usize = 0;
const FREQUENT: usize = 1;
const RECENT_GHOST: usize = 2;
const FREQUENT_GHOST: usize = 3;

#[derive(Debug)]
pub(super) struct Arc {
    lists: Lists,
    space: Space,
    /// The weight that RECENT should have.
    target: u64,
}

impl Arc {
    pub(super) fn new(space: Space) -> Self {
        Self {
            lists: Lists::new(&space, 4),
            space,
            target: 0,
        }
    }

    fn adapt(&mut self, list: usize, size: u64) {
        let (recent, frequent) = (
            self.lists.weight(RECENT_GHOST).max(1),
            self.lists.weight(FREQUENT_GHOST).max(1),
        );
        if list == RECENT_GHOST {
            let step = size * (frequent / recent).max(1);
            self.target = (self.target + step).min(self.space.capacity);
        } else {
            self.target = self
                .target
                .saturating_sub(size * (recent / frequent).max(1));
        }
    }

    /// Turns one held key into a ghost.
    fn replace(&mut self, frequent_ghost_hit: bool) {
        let recent = self.lists.weight(RECENT);
        let over = recent > self.target || (frequent_ghost_hit && recent == self.target);
        let from_recent = recent > 0 && (over || self.lists.count(FREQUENT) == 0);
        let (from, to) = if from_recent {
            (RECENT, RECENT_GHOST)
        } else {
            (FREQUENT, FREQUENT_GHOST)
        };
        if let Some(key) = self.lists.pop_back(from) {
            self.lists.push_front(to, key);
        }
    }

    fn weight(&self, lists: &[usize]) -> u64 {
        lists.iter().map(|&list| self.lists.weight(list)).sum()
    }

    fn insert(&mut self, key: Key, size: u64) {
        let capacity = self.space.capacity;
        while self.weight(&[RECENT, RECENT_GHOST]) + size > capacity {
            if self.lists.pop_back(RECENT_GHOST).is_none() {
                self.lists.pop_back(RECENT);
            }
        }
        while self.used() + size > capacity {
            self.replace(false);
        }
        while self.weight(&[RECENT, FREQUENT, RECENT_GHOST, FREQUENT_GHOST]) + size > 2 * capacity
            && self.lists.pop_back(FREQUENT_GHOST).is_some()
        {}
        self.lists.push_front(RECENT, key);
    }
}

impl Policy for Arc {
    fn access(&mut self, key: Key) -> Access {
        let size = self.space.size(key);
        match self.lists.place(key) {
            Some(RECENT | FREQUENT) => {
                self.lists.move_to_front(FREQUENT, key);
                return Access::Hit;
            }
            Some(ghost) => {
                self.adapt(ghost, size);
                self.lists.remove(key);
                while self.used() + size > self.space.capacity {
                    self.replace(ghost == FREQUENT_GHOST);
                }
                self.lists.push_front(FREQUENT, key);
            }
            None if size <= self.space.capacity => self.insert(key, size),
            None => {}
        }
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        if matches!(self.lists.place(key), Some(RECENT | FREQUENT)) {
            self.lists.remove(key);
        }
    }

    fn used(&self) -> u64 {
        self.weight(&[RECENT, FREQUENT])
    }
}
