//! Values as `Bytes`, with the feature `bytes`: shared, and sliced without a copy.

use ::bytes::Bytes;

use crate::cache::Cache;
use crate::guard::ItemGuard;
use crate::pinned::PinnedGuard;
use crate::revision::Put;

impl Cache {
    /// The value under `key`, as `Bytes` of its own: one copy is made, clones and slices of it are free.
    /// Counts as a read. O(value). Long values need no copy: `cache.get_pinned(key).map(Bytes::from)`.
    #[must_use]
    pub fn get_bytes(&self, key: &[u8]) -> Option<Bytes> {
        self.get_with(key, |view| Bytes::copy_from_slice(view.value()))
    }
}

impl From<ItemGuard<'_>> for Bytes {
    /// The value, copied once, unless the guard is a copy already.
    fn from(item: ItemGuard<'_>) -> Self {
        let (bytes, key_bytes) = item.into_parts();
        Self::from(bytes).slice(key_bytes..)
    }
}

impl From<PinnedGuard> for Bytes {
    /// The value, without a copy: it stays pinned until the last clone and slice of these `Bytes` has gone.
    fn from(item: PinnedGuard) -> Self {
        Self::from_owner(item)
    }
}

impl From<Bytes> for Put<'static> {
    /// An item with these bytes, which are not copied if nobody else has them.
    fn from(value: Bytes) -> Self {
        Self::new(Vec::from(value))
    }
}
