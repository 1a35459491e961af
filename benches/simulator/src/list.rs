//! Doubly linked lists of keys, linked through arrays indexed by key.
//!
//! A key is on at most one of the lists. Each list knows how many keys it holds and what they weigh together, which is
//! all that the queue policies need. The front is the newest end by convention.

use crate::policy::Space;
use crate::trace::Key;

const NONE: u32 = u32::MAX;
const NOWHERE: u8 = u8::MAX;

/// A fixed number of lists over all keys of a trace.
#[derive(Debug)]
pub struct Lists {
    prev: Vec<Key>,
    next: Vec<Key>,
    place: Vec<u8>,
    ends: Vec<Ends>,
    space: Space,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    front: Key,
    back: Key,
    count: u64,
    weight: u64,
}

impl Lists {
    /// `list_count` empty lists.
    ///
    /// # Panics
    /// When `list_count` is above 254.
    pub fn new(space: &Space, list_count: usize) -> Self {
        assert!(list_count < usize::from(NOWHERE), "a place is one byte");
        let keys = space.sizes.len();
        let empty = Ends {
            front: NONE,
            back: NONE,
            count: 0,
            weight: 0,
        };
        Self {
            prev: vec![NONE; keys],
            next: vec![NONE; keys],
            place: vec![NOWHERE; keys],
            ends: vec![empty; list_count],
            space: space.clone(),
        }
    }

    /// The list that holds `key`.
    #[inline]
    pub fn place(&self, key: Key) -> Option<usize> {
        let place = self.place[key as usize];
        (place != NOWHERE).then_some(usize::from(place))
    }

    /// How many keys `list` holds.
    pub fn count(&self, list: usize) -> u64 {
        self.ends[list].count
    }

    /// What the keys of `list` weigh together.
    pub fn weight(&self, list: usize) -> u64 {
        self.ends[list].weight
    }

    /// The oldest key of `list`.
    pub fn back(&self, list: usize) -> Option<Key> {
        let key = self.ends[list].back;
        (key != NONE).then_some(key)
    }

    /// The newest key of `list`.
    pub fn front(&self, list: usize) -> Option<Key> {
        let key = self.ends[list].front;
        (key != NONE).then_some(key)
    }

    /// The neighbour of `key` that is one step newer.
    pub fn newer(&self, key: Key) -> Option<Key> {
        let key = self.prev[key as usize];
        (key != NONE).then_some(key)
    }

    /// Puts a key that is on no list at the newest end of `list`.
    pub fn push_front(&mut self, list: usize, key: Key) {
        debug_assert_eq!(self.place(key), None);
        let front = self.ends[list].front;
        self.prev[key as usize] = NONE;
        self.next[key as usize] = front;
        match front {
            NONE => self.ends[list].back = key,
            front => self.prev[front as usize] = key,
        }
        self.ends[list].front = key;
        self.enter(list, key);
    }

    /// Puts a key that is on no list at the oldest end of `list`.
    pub fn push_back(&mut self, list: usize, key: Key) {
        debug_assert_eq!(self.place(key), None);
        let back = self.ends[list].back;
        self.next[key as usize] = NONE;
        self.prev[key as usize] = back;
        match back {
            NONE => self.ends[list].front = key,
            back => self.next[back as usize] = key,
        }
        self.ends[list].back = key;
        self.enter(list, key);
    }

    fn enter(&mut self, list: usize, key: Key) {
        self.place[key as usize] = list as u8;
        self.ends[list].count += 1;
        self.ends[list].weight += self.space.size(key);
    }

    /// Takes `key` off the list it is on, if any, and says which it was.
    pub fn remove(&mut self, key: Key) -> Option<usize> {
        let list = self.place(key)?;
        let (prev, next) = (self.prev[key as usize], self.next[key as usize]);
        match prev {
            NONE => self.ends[list].front = next,
            prev => self.next[prev as usize] = next,
        }
        match next {
            NONE => self.ends[list].back = prev,
            next => self.prev[next as usize] = prev,
        }
        self.place[key as usize] = NOWHERE;
        self.ends[list].count -= 1;
        self.ends[list].weight -= self.space.size(key);
        Some(list)
    }

    /// Takes the oldest key off `list`.
    pub fn pop_back(&mut self, list: usize) -> Option<Key> {
        let key = self.back(list)?;
        self.remove(key);
        Some(key)
    }

    /// Moves `key`, wherever it is, to the newest end of `list`.
    pub fn move_to_front(&mut self, list: usize, key: Key) {
        self.remove(key);
        self.push_front(list, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(lists: &Lists, list: usize) -> Vec<Key> {
        std::iter::successors(lists.back(list), |&key| lists.newer(key)).collect()
    }

    #[test]
    fn keeps_order_and_weight() {
        let mut lists = Lists::new(&Space::new(0, vec![1, 2, 4, 8]), 2);
        lists.push_front(0, 0);
        lists.push_front(0, 1);
        lists.push_back(0, 2);
        lists.push_front(1, 3);
        assert_eq!(keys(&lists, 0), [2, 0, 1]);
        assert_eq!(
            (lists.count(0), lists.weight(0), lists.weight(1)),
            (3, 7, 8)
        );
        lists.move_to_front(1, 0);
        assert_eq!(keys(&lists, 0), [2, 1]);
        assert_eq!(keys(&lists, 1), [3, 0]);
        assert_eq!(lists.pop_back(0), Some(2));
        assert_eq!(lists.remove(1), Some(0));
        assert_eq!(
            (lists.back(0), lists.front(0), lists.weight(0)),
            (None, None, 0)
        );
        assert_eq!(lists.remove(1), None);
    }
}
