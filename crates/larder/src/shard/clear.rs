//! Removing everything, now or at an instant to come.

use super::Shard;
use super::maintain::LargeSweep;
use crate::arena::{Freed, ItemId};
use crate::removal::Cause;
use crate::time::Timestamp;

/// Buckets, and bytes of items, that one step of a clear removes if somebody is told of each item.
const BUCKETS_A_STEP: usize = 64;
const BYTES_A_STEP: usize = 1 << 20;

impl Shard {
    /// Removes everything, or begins to, if somebody is told of each item: `settle_clear` goes on.
    pub(crate) fn request_clear(&mut self) {
        if self.clears_in_steps() {
            self.clear_from = 0;
            // Before any clock: it is due at once.
            self.set_pending_clear(Some(Timestamp::from_unix_millis(0)));
        } else {
            self.clear();
        }
    }

    /// Whether somebody is told of each item, or of each value elsewhere.
    fn clears_in_steps(&self) -> bool {
        self.tells_of(Cause::Cleared) || self.watcher.is_there()
    }

    fn set_pending_clear(&mut self, instant: Option<Timestamp>) {
        self.pending_clear = instant;
        self.front.set_clear(instant);
    }

    /// Removes everything, with nobody told. O(pages + large items).
    pub(crate) fn clear(&mut self) {
        self.counters.deletes += self.index.len() as u64;
        self.large_sweep = LargeSweep::default();
        self.index.clear();
        self.order.clear();
        self.slab.clear();
        self.item_bytes = 0;
        self.classes.clear();
        self.set_pending_clear(None);
    }

    /// Removes what was stored before `instant`, now or when it comes. Takes the place of an
    /// earlier call that is still pending. O(1), or O(items) for an instant that has passed. False if
    /// that instant has passed and somebody is told of each item: then it is left to a sweep.
    pub(crate) fn clear_before(&mut self, instant: Timestamp, now: Timestamp) -> bool {
        self.clear_from = 0;
        self.set_pending_clear((instant > now).then_some(instant));
        if instant > now || instant <= self.created_at {
            return true;
        }
        if self.clears_in_steps() {
            return false;
        }
        for position in (0..self.slab.large_items().len()).rev() {
            let id = self.slab.large_items()[position];
            self.delete_if_before(id, instant);
        }
        for class in self.all_classes() {
            // From the last to the first: a page that goes is replaced by one that was looked at. Others may go with
            // it, which were waiting for their readers.
            let mut left = usize::MAX;
            while let Some(position) = left.min(self.slab.page_count(class)).checked_sub(1) {
                left = position;
                let page = self.slab.page_at(class, position);
                let mut from = 0;
                while let Some((id, next)) = self.slab.next_live(page, from) {
                    from = next;
                    if self.delete_if_before(id, instant) == Some(Freed::Page) {
                        break;
                    }
                }
            }
        }
        true
    }

    fn delete_if_before(&mut self, id: ItemId, instant: Timestamp) -> Option<Freed> {
        let goes = self.slab.view(id).stored_at() < instant;
        goes.then(|| self.delete_for(id, Cause::Cleared))
    }

    /// Carries out a clear whose instant has come, or a step of it: false if there is more to do. Every
    /// operation calls this first, until it is done, so nothing can have been stored after the instant.
    #[inline]
    pub(crate) fn settle_clear(&mut self, now: Timestamp) -> bool {
        self.pending_clear.is_none_or(|instant| now < instant) || self.clear_step(now)
    }

    #[cold]
    fn clear_step(&mut self, now: Timestamp) -> bool {
        if self.clears_in_steps() && !self.clear_some(now) {
            return false;
        }
        self.clear();
        true
    }

    /// Removes the items of some buckets, and notes them for the listener; true if none are left.
    fn clear_some(&mut self, now: Timestamp) -> bool {
        let before = self.item_bytes;
        for _ in 0..BUCKETS_A_STEP {
            if self.clear_from >= self.index.bucket_count() {
                // An item may have moved to a bucket behind the hand: then there is another round.
                self.clear_from = 0;
            }
            if self.index.len() == 0 {
                return true;
            }
            let items: Vec<ItemId> = self.index.items_in(self.clear_from).collect();
            for id in items {
                if self.slab.expires_at(id).is_past(now) {
                    self.expire(id);
                } else {
                    self.delete_for(id, Cause::Cleared);
                }
            }
            self.clear_from += 1;
            if before - self.item_bytes > BYTES_A_STEP {
                break;
            }
        }
        false
    }
}
