//! SIEVE: one queue that is never reordered, a visited bit, and a hand that moves from old to new.
//!
//! After Y. Zhang and others, "SIEVE is Simpler than LRU", NSDI 2024.

use super::{Access, Policy, Space};
use crate::list::Lists;
use crate::trace::Key;

const ALL: usize = 0;

#[derive(Debug)]
pub(super) struct Sieve {
    lists: Lists,
    space: Space,
    visited: Vec<bool>,
    /// The next key to look at; `None` starts again at the oldest.
    hand: Option<Key>,
}

impl Sieve {
    pub(super) fn new(space: Space) -> Self {
        let visited = vec![false; space.sizes.len()];
        Self {
            lists: Lists::new(&space, 1),
            space,
            visited,
            hand: None,
        }
    }

    fn evict(&mut self) {
        loop {
            let Some(key) = self.hand.or_else(|| self.lists.back(ALL)) else {
                return;
            };
            self.hand = self.lists.newer(key);
            if !std::mem::replace(&mut self.visited[key as usize], false) {
                self.lists.remove(key);
                return;
            }
        }
    }
}

impl Policy for Sieve {
    fn access(&mut self, key: Key) -> Access {
        if self.lists.place(key).is_some() {
            self.visited[key as usize] = true;
            return Access::Hit;
        }
        let size = self.space.size(key);
        if size <= self.space.capacity {
            while self.used() + size > self.space.capacity {
                self.evict();
            }
            self.visited[key as usize] = false;
            self.lists.push_front(ALL, key);
        }
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        if self.hand == Some(key) {
            self.hand = self.lists.newer(key);
        }
        self.lists.remove(key);
    }

    fn used(&self) -> u64 {
        self.lists.weight(ALL)
    }
}
