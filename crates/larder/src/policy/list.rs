//! A doubly linked list through the items' links: an exact order by the last use, or by arrival.
//!
//! The list holds no memory of its own. Every operation is O(1).

use crate::arena::{ItemId, Link, Slab};

/// Items of one shard, the newest first.
#[derive(Debug, Default)]
pub(super) struct List {
    head: Link,
    tail: Link,
    count: usize,
}

impl List {
    /// The item that was pushed or bumped longest ago.
    pub(super) fn oldest(&self) -> Option<ItemId> {
        self.tail.id()
    }

    /// Adds an item that is in no list, as the newest.
    pub(super) fn push(&mut self, slab: &mut Slab, id: ItemId) {
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
    pub(super) fn remove(&mut self, slab: &mut Slab, id: ItemId) {
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

    /// Adds an item that is in no list, as the oldest.
    pub(super) fn push_oldest(&mut self, slab: &mut Slab, id: ItemId) {
        slab.set_next(id, Link::NONE);
        slab.set_previous(id, self.tail);
        match self.tail.id() {
            Some(tail) => slab.set_next(tail, Link::from(id)),
            None => self.head = Link::from(id),
        }
        self.tail = Link::from(id);
        self.count += 1;
    }

    /// Puts `new`, which is in no list, in the place of `old`.
    pub(super) fn replace(&mut self, slab: &mut Slab, old: ItemId, new: ItemId) {
        let (previous, next) = slab.links(old);
        slab.set_previous(new, previous);
        slab.set_next(new, next);
        match previous.id() {
            Some(previous) => slab.set_next(previous, Link::from(new)),
            None => self.head = Link::from(new),
        }
        match next.id() {
            Some(next) => slab.set_previous(next, Link::from(new)),
            None => self.tail = Link::from(new),
        }
    }

    /// Makes an item of this list the newest.
    pub(super) fn bump(&mut self, slab: &mut Slab, id: ItemId) {
        if self.head != Link::from(id) {
            self.remove(slab, id);
            self.push(slab, id);
        }
    }

    /// Panics unless the list is whole; returns its items, the oldest first. O(n).
    pub(super) fn validate(&self, slab: &Slab) -> Vec<ItemId> {
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
