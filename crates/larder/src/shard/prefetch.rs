//! Asking for memory before it is used, so that several loads are waited for at once.

use super::Shard;
use crate::arena::SizeClass;

impl Shard {
    /// Asks for all lines that a store of a new key waits for, which it would meet one after the
    /// other. O(1).
    pub(super) fn prefetch_for_store(&self, hash: u64) {
        self.index.prefetch(hash);
        self.order.prefetch(hash);
    }

    /// Asks for what the next `count` evictions from a class will read of their items. Victims are the items that
    /// were idle longest, so nothing of them is in the processor's caches. O(`count`).
    pub(super) fn prefetch_victims(&self, class: SizeClass, count: usize) {
        for &id in self.order.upcoming(class, count) {
            self.slab.prefetch_if_of(id, class);
        }
    }
}
