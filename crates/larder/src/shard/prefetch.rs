//! Asking for memory before it is used, so that several loads are waited for at once.

use super::Shard;
use crate::arena::{SizeClass, prefetch_to_write};

impl Shard {
    /// Asks for the books of a class that is stored to: another processor may have changed them last. O(1).
    pub(super) fn prefetch_books(&self, class: SizeClass) {
        prefetch_to_write(&self.item_bytes);
        self.slab.prefetch_books(class);
        self.classes.prefetch_books(class);
        self.order.prefetch_books(class);
    }

    /// Asks for what the next `count` evictions from a class will read of their items. Victims are the items that
    /// were idle longest, so nothing of them is in the processor's caches. O(`count`).
    pub(super) fn prefetch_victims(&self, class: SizeClass, count: usize) {
        for id in self.order.upcoming(class, count) {
            self.slab.prefetch_if_of(id, class);
        }
    }
}
