//! memcached's segmented LRU in one pool: HOT, WARM and COLD.
//!
//! A new item enters HOT. The second hit marks an item active. From the tail of HOT and WARM an active item goes to the
//! head of WARM; an inactive one goes to COLD when its segment is above its share (HOT 20 %, WARM 40 %). From the tail
//! of COLD an active item goes to WARM and an inactive one is evicted. The background thread of memcached is taken as
//! always up to date; its limits on the age of a segment's tail are left out.

use super::{Access, Policy, Space};
use crate::list::Lists;
use crate::trace::Key;

const HOT: usize = 0;
const WARM: usize = 1;
const COLD: usize = 2;

const HOT_SHARE: f64 = 0.20;
const WARM_SHARE: f64 = 0.40;

#[derive(Debug)]
pub(super) struct Segmented {
    lists: Lists,
    space: Space,
    /// 0 not hit since stored, 1 hit once, 2 active.
    hits: Vec<u8>,
}

impl Segmented {
    pub(super) fn new(space: Space) -> Self {
        let hits = vec![0; space.sizes.len()];
        Self {
            lists: Lists::new(&space, 3),
            space,
            hits,
        }
    }

    /// Brings HOT and WARM back to their shares, as the maintainer thread does.
    fn maintain(&mut self) {
        for (segment, share) in [(HOT, HOT_SHARE), (WARM, WARM_SHARE)] {
            while self.lists.weight(segment) as f64 > share * self.used() as f64 {
                let Some(key) = self.lists.pop_back(segment) else {
                    break;
                };
                let to = if self.take_active(key) { WARM } else { COLD };
                self.lists.push_front(to, key);
            }
        }
    }

    fn take_active(&mut self, key: Key) -> bool {
        let hits = &mut self.hits[key as usize];
        let active = *hits == 2;
        if active {
            // Only the active mark is cleared: an item that was fetched once stays so.
            *hits = 1;
        }
        active
    }

    fn evict(&mut self) {
        while let Some(key) = self.lists.pop_back(COLD) {
            if !self.take_active(key) {
                return;
            }
            self.lists.push_front(WARM, key);
            self.maintain();
        }
        if self.lists.pop_back(HOT).is_none() {
            self.lists.pop_back(WARM);
        }
    }
}

impl Policy for Segmented {
    fn access(&mut self, key: Key) -> Access {
        if self.lists.place(key).is_some() {
            let hits = &mut self.hits[key as usize];
            *hits = (*hits + 1).min(2);
            // A COLD item is moved at its hit, through the bump ring.
            if *hits == 2 && self.lists.place(key) == Some(COLD) {
                self.take_active(key);
                self.lists.move_to_front(WARM, key);
                self.maintain();
            }
            return Access::Hit;
        }
        let size = self.space.size(key);
        if size <= self.space.capacity {
            while self.used() + size > self.space.capacity {
                self.evict();
            }
            self.hits[key as usize] = 0;
            self.lists.push_front(HOT, key);
            self.maintain();
        }
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        self.lists.remove(key);
    }

    fn used(&self) -> u64 {
        (HOT..=COLD).map(|segment| self.lists.weight(segment)).sum()
    }
}
