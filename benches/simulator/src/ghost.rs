//! A memory of keys evicted lately: a first-in first-out ring bounded by count or by weight.
//!
//! The simulator remembers exact keys. An engine keeps 16-bit fingerprints in small rings: with 32 in a ring, one look-up
//! in 2,048 finds a key that was never there, which is too rare to be worth imitating.

use std::collections::VecDeque;

use crate::policy::Space;
use crate::trace::Key;

/// A bounded memory of evicted keys. A key stands in it at most once.
#[derive(Debug)]
pub struct GhostRing {
    /// (key, stamp): an entry is live while `stamp_of[key]` is its stamp.
    ring: VecDeque<(Key, u32)>,
    stamp_of: Vec<u32>,
    next_stamp: u32,
    weight: u64,
    space: Space,
}

impl GhostRing {
    /// An empty ring over the keys of `space`.
    pub fn new(space: &Space) -> Self {
        Self {
            ring: VecDeque::new(),
            stamp_of: vec![0; space.sizes.len()],
            next_stamp: 1,
            weight: 0,
            space: space.clone(),
        }
    }

    /// Remembers `key` as the newest, then forgets the oldest until at most `weight_max` is remembered.
    pub fn insert(&mut self, key: Key, weight_max: u64) {
        self.take(key);
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        self.stamp_of[key as usize] = stamp;
        self.ring.push_back((key, stamp));
        self.weight += self.space.size(key);
        self.trim(weight_max);
    }

    /// Forgets the oldest until at most `weight_max` is remembered.
    pub fn trim(&mut self, weight_max: u64) {
        while self.weight > weight_max {
            let Some((key, stamp)) = self.ring.pop_front() else {
                break;
            };
            if self.stamp_of[key as usize] == stamp {
                self.stamp_of[key as usize] = 0;
                self.weight -= self.space.size(key);
            }
        }
    }

    /// Forgets `key`; returns how many insertions ago it came in, or `None` if it was not remembered.
    pub fn take(&mut self, key: Key) -> Option<u32> {
        let stamp = std::mem::replace(&mut self.stamp_of[key as usize], 0);
        if stamp == 0 {
            return None;
        }
        self.weight -= self.space.size(key);
        Some(self.next_stamp - stamp)
    }

    /// What the remembered keys weigh together.
    pub fn weight(&self) -> u64 {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_first() {
        let mut ghost = GhostRing::new(&Space::new(0, vec![1; 5]));
        for key in 0..4 {
            ghost.insert(key, 3);
        }
        assert_eq!(ghost.weight(), 3);
        assert_eq!(ghost.take(0), None);
        assert_eq!(ghost.take(1), Some(3));
        ghost.insert(4, 3);
        assert_eq!(
            (ghost.take(2), ghost.take(3), ghost.take(1)),
            (Some(3), Some(2), None)
        );
    }
}
