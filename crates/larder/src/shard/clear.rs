//! Removing everything, now or at an instant to come.

use super::Shard;
use super::maintain::LargeSweep;
use crate::policy::Lru;
use crate::time::Timestamp;

impl Shard {
    /// Removes everything. O(pages + large items).
    pub(crate) fn clear(&mut self) {
        self.counters.deletes += self.index.len() as u64;
        let large = self.slab.large_class();
        while let Some(id) = self.lru[large.index()].oldest() {
            self.unlink(id);
        }
        self.large_sweep = LargeSweep::default();
        self.index.clear();
        self.slab.clear();
        for lru in &mut self.lru {
            *lru = Lru::default();
        }
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
        for class in self.all_classes() {
            let mut at = self.lru[class.index()].oldest();
            while let Some(id) = at {
                at = Lru::newer(&self.slab, id);
                if self.slab.view(id).stored_at() < instant {
                    self.delete(id);
                }
            }
        }
    }

    /// Carries out a `clear_before` whose instant has come. Every operation calls this first, so
    /// nothing can have been stored after the instant.
    pub(crate) fn settle_clear(&mut self, now: Timestamp) {
        if self.pending_clear.is_some_and(|instant| now >= instant) {
            self.clear();
        }
    }
}
