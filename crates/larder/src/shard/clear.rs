//! Removing everything, now or at an instant to come.

use super::Shard;
use super::maintain::LargeSweep;
use crate::arena::{Freed, ItemId};
use crate::expiry;
use crate::time::Timestamp;

impl Shard {
    /// Removes everything. O(pages + large items).
    pub(crate) fn clear(&mut self) {
        self.counters.deletes += self.index.len() as u64;
        self.large_sweep = LargeSweep::default();
        self.index.clear();
        self.order.clear();
        self.slab.clear();
        self.item_bytes = 0;
        self.pending_clear = None;
    }

    /// Removes what was stored before `instant`, now or when it comes. Takes the place of an
    /// earlier call that is still pending. O(1), or O(items) for an instant that has passed.
    pub(crate) fn clear_before(&mut self, instant: Timestamp, now: Timestamp) {
        self.settle_clear(now);
        if instant > now {
            self.pending_clear = Some(instant);
            return;
        }
        self.pending_clear = None;
        if instant <= self.created_at {
            return;
        }
        for position in (0..self.slab.large_items().len()).rev() {
            let id = self.slab.large_items()[position];
            self.delete_if_before(id, instant);
        }
        for class in self.all_classes() {
            // From the last to the first: a page that goes is replaced by one that was looked at.
            for position in (0..self.slab.page_count(class)).rev() {
                let page = self.slab.page_at(class, position);
                let mut from = 0;
                while let Some((id, next)) = expiry::next_live(&self.slab, page, from) {
                    from = next;
                    if self.delete_if_before(id, instant) == Some(Freed::Page) {
                        break;
                    }
                }
            }
        }
    }

    fn delete_if_before(&mut self, id: ItemId, instant: Timestamp) -> Option<Freed> {
        let goes = self.slab.view(id).stored_at() < instant;
        goes.then(|| self.delete(id))
    }

    /// Carries out a `clear_before` whose instant has come. Every operation calls this first, so
    /// nothing can have been stored after the instant.
    pub(crate) fn settle_clear(&mut self, now: Timestamp) {
        if self.pending_clear.is_some_and(|instant| now >= instant) {
            self.clear();
        }
    }
}
