//! Items that callers keep: pinned, within a bound.

use super::Cache;
use crate::guard::ItemGuard;
use crate::pinned::PinnedGuard;

/// Of the limit, what pinned items may hold unless the builder was told otherwise.
const PINNED_PART: usize = 4;

impl Cache {
    /// The item under `key`, to be kept: across an `await`, in another thread, for as long as it takes to send
    /// it to a slow client. Counts as a read. O(1), O(log of the pinned items) where it is pinned, and O(value)
    /// where it is copied: see [`PinnedGuard`].
    ///
    /// ```
    /// use larder::{Cache, PinnedGuard, Ttl};
    ///
    /// let cache = Cache::with_limit(1 << 20)?;
    /// cache.set(b"film", &[7; 20_000], Ttl::seconds(60))?;
    /// let film: PinnedGuard = cache.get_pinned(b"film").expect("stored a moment ago");
    /// assert!(film.is_pinned(), "no copy was made");
    /// cache.remove(b"film");
    /// drop(cache);
    /// assert_eq!(*film, [7; 20_000]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    #[must_use]
    pub fn get_pinned(&self, key: &[u8]) -> Option<PinnedGuard> {
        self.get(key).map(|item| self.pin(item))
    }

    /// Pins an item that was read, by whatever call; a copy, where that is not possible. O(log of the pinned items), and
    /// O(value) where it is copied. An item of another cache is copied.
    ///
    /// ```
    /// # use larder::{Cache, Put};
    /// # let cache = Cache::with_limit(1 << 20)?;
    /// let loaded = cache.get_or_insert_with(b"page", || Put::new(vec![1; 5000]))?;
    /// let page = cache.pin(loaded);
    /// assert!(cache.remove(b"page"));
    /// assert_eq!(page.len(), 5000);
    /// # Ok::<(), larder::Error>(())
    /// ```
    #[must_use]
    pub fn pin(&self, item: ItemGuard<'_>) -> PinnedGuard {
        PinnedGuard::new(item.keep_in(&self.arena, self.pinned_bytes_max()))
    }

    /// The most that pinned items may hold, in bytes: the builder's setting, or half of the limit if that
    /// has been set lower since; without a setting, a quarter of the limit. O(1).
    #[must_use]
    pub fn pinned_bytes_max(&self) -> usize {
        let limit = self.arena.limit_bytes();
        self.pinned_bytes_max
            .map_or(limit / PINNED_PART, |max| max.min(limit / 2))
    }
}

impl Drop for Cache {
    /// What is pinned stays until its guards go; all other memory goes back to the system now.
    fn drop(&mut self) {
        if self.arena.kept_bytes() == 0 {
            return;
        }
        for cell in &mut self.shards {
            cell.shard.get_mut().clear();
        }
        self.arena.empty_trash();
        self.arena.set_limit(0);
    }
}
