//! Checks that what a shard keeps in several places agrees. For tests; nothing else calls it.

use super::Shard;

impl Shard {
    /// Panics unless slab, lists, index and books agree. O(items).
    pub(crate) fn validate(&self) {
        let mut in_pages = 0;
        let mut bytes = 0;
        for id in self.slab.validate() {
            in_pages += 1;
            assert_eq!(
                self.find(self.hasher.hash_one(self.slab.key(id)), self.slab.key(id)),
                Some(id)
            );
        }
        let mut listed = 0;
        for class in self.all_classes() {
            for id in self.lru[class.index()].validate(&self.slab) {
                assert_eq!(self.slab.class_of(id), class);
                let hash = self.hasher.hash_one(self.slab.key(id));
                assert!(self.index.contains(hash, id), "a listed item is indexed");
                listed += 1;
                bytes += self.slab.item_bytes(id);
                in_pages += usize::from(class == self.slab.large_class());
            }
        }
        assert_eq!(listed, self.index.len(), "an indexed item is listed");
        assert_eq!(in_pages, listed, "every live chunk is listed");
        assert_eq!(bytes, self.item_bytes);
        self.index
            .validate(|id| self.hasher.hash_one(self.slab.key(id)));
    }
}
