//! Asking for the memory of a key before it is used, in two steps: where its item is cannot be told
//! before the index's lines are there.

use super::Shard;
use crate::arena::{SizeClass, State};

impl Shard {
    /// Asks for all lines that a store of a new key waits for, which it would meet one after the
    /// other. O(1).
    pub(super) fn prefetch_for_store(&self, hash: u64) {
        self.index.prefetch(hash);
        self.order.prefetch(hash);
    }

    /// Asks for what the next evictions from a class will read. Victims are the items that were idle
    /// longest, so nothing of them is in the processor's caches; and where a victim's key leads can be
    /// told only once the key is there, so an eviction asks for the items of a later one and for the
    /// index and policy lines of the next. O(1).
    pub(super) fn prefetch_victims(&self, class: SizeClass) {
        let Some((next, later)) = self.order.upcoming(class) else {
            return;
        };
        self.slab.prefetch_if_of(later, class);
        let state = self.slab.state_if_of(next, class);
        if state.is_some_and(State::is_live) {
            self.prefetch_for_store(self.hasher.hash_one(self.slab.key(next)));
        }
    }
}
