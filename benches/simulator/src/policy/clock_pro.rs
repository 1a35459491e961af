//! A CLOCK-Pro variant: a clock of hot pages, a queue of cold ones, and a test period that decides who turns hot.
//!
//! After S. Jiang, F. Chen and X. Zhang, "CLOCK-Pro: An Effective Improvement of the CLOCK Replacement", USENIX ATC
//! 2005. Where the paper walks one ring with three hands, this keeps the three kinds of page in a queue each, which
//! visits them in nearly the same order: cold resident, hot, and cold non-resident (in test). A cold page in test that
//! is asked for again turns hot and the share of cold pages grows; one whose test ends unused shrinks it.

use super::{Access, Policy, Space};
use crate::list::Lists;
use crate::trace::Key;

const COLD: usize = 0;
const HOT: usize = 1;
const TEST: usize = 2;

#[derive(Debug)]
pub(super) struct ClockPro {
    lists: Lists,
    space: Space,
    visited: Vec<bool>,
    /// The weight cold resident pages should have.
    cold_max: u64,
}

impl ClockPro {
    pub(super) fn new(space: Space) -> Self {
        Self {
            lists: Lists::new(&space, 3),
            visited: vec![false; space.sizes.len()],
            cold_max: (space.capacity / 100).max(1),
            space,
        }
    }

    /// Evicts one cold page, or turns a visited one hot.
    fn evict(&mut self) {
        let Some(key) = self.lists.pop_back(COLD) else {
            self.cool();
            return;
        };
        if std::mem::replace(&mut self.visited[key as usize], false) {
            self.lists.push_front(HOT, key);
            self.grow(key);
        } else {
            self.lists.push_front(TEST, key);
            while self.lists.weight(TEST) > self.space.capacity {
                let Some(key) = self.lists.pop_back(TEST) else {
                    break;
                };
                self.cold_max = self.cold_max.saturating_sub(self.space.size(key)).max(1);
            }
        }
        while self.lists.weight(HOT) > self.space.capacity.saturating_sub(self.cold_max) {
            if !self.cool() {
                break;
            }
        }
    }

    /// Moves the hot hand to a page not visited and makes it cold.
    fn cool(&mut self) -> bool {
        while let Some(key) = self.lists.pop_back(HOT) {
            if !std::mem::replace(&mut self.visited[key as usize], false) {
                self.lists.push_front(COLD, key);
                return true;
            }
            self.lists.push_front(HOT, key);
        }
        false
    }

    fn grow(&mut self, key: Key) {
        self.cold_max = (self.cold_max + self.space.size(key)).min(self.space.capacity);
    }
}

impl Policy for ClockPro {
    fn access(&mut self, key: Key) -> Access {
        let place = self.lists.place(key);
        if matches!(place, Some(COLD | HOT)) {
            self.visited[key as usize] = true;
            return Access::Hit;
        }
        let size = self.space.size(key);
        if size > self.space.capacity {
            return Access::Miss;
        }
        if self.lists.remove(key).is_some() {
            self.grow(key);
        }
        while self.used() + size > self.space.capacity {
            self.evict();
        }
        self.visited[key as usize] = false;
        self.lists
            .push_front(if place == Some(TEST) { HOT } else { COLD }, key);
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        if matches!(self.lists.place(key), Some(COLD | HOT)) {
            self.lists.remove(key);
        }
    }

    fn used(&self) -> u64 {
        self.lists.weight(COLD) + self.lists.weight(HOT)
    }
}
