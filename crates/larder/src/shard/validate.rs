//! Checks that what a shard keeps in several places agrees. For tests; nothing else calls it.

use super::Shard;

impl Shard {
    /// Panics unless slab, order, index and books agree. O(items).
    pub(crate) fn validate(&self) {
        let live = self.slab.validate();
        let mut bytes = 0;
        for &id in &live {
            let hash = self.hasher.hash_one(self.slab.key(id));
            assert_eq!(self.find(hash, self.slab.key(id)), Some(id));
            bytes += self.slab.item_bytes(id);
        }
        assert_eq!(live.len(), self.index.len(), "an indexed item is live");
        assert_eq!(live.len(), self.slab.item_count());
        assert_eq!(bytes, self.item_bytes);
        self.validate_classes(&live);
        self.order.validate(&self.slab, &live);
        self.index
            .validate(|id| self.hasher.hash_one(self.slab.key(id)));
    }
}
