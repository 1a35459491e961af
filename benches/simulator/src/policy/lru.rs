//! Strict least recently used.

use super::{Access, Policy, Space};
use crate::list::Lists;
use crate::trace::Key;

const ALL: usize = 0;

#[derive(Debug)]
pub(super) struct Lru {
    lists: Lists,
    space: Space,
}

impl Lru {
    pub(super) fn new(space: Space) -> Self {
        Self {
            lists: Lists::new(&space, 1),
            space,
        }
    }
}

impl Policy for Lru {
    fn access(&mut self, key: Key) -> Access {
        if self.lists.place(key).is_some() {
            self.lists.move_to_front(ALL, key);
            return Access::Hit;
        }
        let size = self.space.size(key);
        if size <= self.space.capacity {
            while self.lists.weight(ALL) + size > self.space.capacity {
                self.lists.pop_back(ALL);
            }
            self.lists.push_front(ALL, key);
        }
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        self.lists.remove(key);
    }

    fn used(&self) -> u64 {
        self.lists.weight(ALL)
    }
}
