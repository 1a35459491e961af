//! Strict least-recently-used order: a doubly linked list through the items' headers.
//!
//! The list holds no memory of its own. Every operation is O(1).

use crate::arena::{ItemId, Link, Slab};

/// The items of one size class of one shard, the most recently used first.
#[derive(Debug, Default)]
pub(crate) struct Lru {
    head: Link,
    tail: Link,
    count: usize,
}

impl Lru {
    /// The item used longest ago.
    pub(crate) fn oldest(&self) -> Option<ItemId> {
        self.tail.id()
    }

    /// The item used next after `id`.
    pub(crate) fn newer(slab: &Slab, id: ItemId) -> Option<ItemId> {
        slab.links(id).0.id()
    }

    /// Adds an item that is in no list, as the most recently used.
    pub(crate) fn push(&mut self, slab: &mut Slab, id: ItemId) {
        slab.set_previous(id, Link::NONE);
        slab.set_next(id, self.head);
        match self.head.id() {
            Some(head) => slab.set_previous(head, Link::from(id)),
            None => self.tail = Link::from(id),
        }
        self.head = Link::from(id);
        self.count += 1;
    }

    /// Takes an item of this list out of it.
    pub(crate) fn remove(&mut self, slab: &mut Slab, id: ItemId) {
        let (previous, next) = slab.links(id);
        match previous.id() {
            Some(previous) => slab.set_next(previous, next),
            None => self.head = next,
        }
        match next.id() {
            Some(next) => slab.set_previous(next, previous),
            None => self.tail = previous,
        }
        self.count -= 1;
    }

    /// Makes an item of this list the most recently used.
    pub(crate) fn bump(&mut self, slab: &mut Slab, id: ItemId) {
        if self.head != Link::from(id) {
            self.remove(slab, id);
            self.push(slab, id);
        }
    }

    /// Panics unless the list is whole; returns its items, the oldest first. O(n).
    pub(crate) fn validate(&self, slab: &Slab) -> Vec<ItemId> {
        let mut items = Vec::with_capacity(self.count);
        let mut newer = Link::NONE;
        let mut at = self.head;
        while let Some(id) = at.id() {
            let (previous, next) = slab.links(id);
            assert_eq!(previous, newer, "neighbours agree");
            items.push(id);
            assert!(items.len() <= self.count, "the list ends");
            (newer, at) = (at, next);
        }
        assert_eq!(self.tail, newer);
        assert_eq!(items.len(), self.count);
        items.reverse();
        items
    }
}
