//! Asking for the memory of a key before it is used, in two steps: where its item is cannot be told
//! before the index's lines are there.

use super::Shard;

impl Shard {
    /// Asks for the lines of the index in which a key with this hash may stand. O(1).
    pub(crate) fn prefetch_buckets(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Asks for the items that may be under a key with this hash, by their tags. O(1).
    pub(crate) fn prefetch_items(&self, hash: u64) {
        self.index.each_match(hash, |id| self.slab.prefetch(id));
    }
}
