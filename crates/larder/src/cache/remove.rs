//! Removing: what was looked at, what a condition says, and what it was last.

use super::Cache;
use crate::guard::ItemGuard;
use crate::op::ItemView;
use crate::removal::Cause;
use crate::shard::Sweep;

impl Cache {
    /// Removes the item under `key`; false if there is none. O(1).
    pub fn remove(&self, key: &[u8]) -> bool {
        let now = self.clock.now();
        let hash = self.hash(key);
        self.shard(hash, now).remove(hash, key, now)
    }

    /// Removes the item under `key` and returns what it was. Of any number of callers, one gets it.
    /// Does not count as a read. O(1), and a copy of the value.
    #[must_use = "`remove` removes without a copy"]
    pub fn take(&self, key: &[u8]) -> Option<ItemGuard<'_>> {
        let now = self.clock.now();
        let hash = self.hash(key);
        self.shard(hash, now)
            .remove_if(hash, key, now, |view| (true, ItemGuard::copy_of(&view)))
    }

    /// Removes the item under `key` if `condition` holds of it, in one step that no other caller comes
    /// between; whether it did. Does not count as a read. O(1).
    ///
    /// ```
    /// # let cache = larder::Cache::with_limit(1 << 20)?;
    /// cache.set(b"session", b"user 7", larder::Ttl::NEVER)?;
    /// assert!(!cache.remove_if(b"session", |item| item.value() == b"user 8"));
    /// assert!(cache.remove_if(b"session", |item| item.value() == b"user 7"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn remove_if(&self, key: &[u8], condition: impl FnOnce(ItemView<'_>) -> bool) -> bool {
        let now = self.clock.now();
        let hash = self.hash(key);
        let decide = |view: ItemView<'_>| {
            let goes = self.under_lock(|| condition(view));
            (goes, goes)
        };
        self.shard(hash, now)
            .remove_if(hash, key, now, decide)
            .unwrap_or(false)
    }

    /// Removes every item for which `keep` answers false; how many went. O(items).
    ///
    /// Each item that is there all the time is shown, in no order, now and then one twice; what is
    /// stored meanwhile may be shown. It goes on in steps of about a thousand items, between which
    /// others use the cache; `keep` itself runs under a shard's lock. If it panics, what has been removed
    /// stays removed.
    ///
    /// ```
    /// # let cache = larder::Cache::with_limit(1 << 20)?;
    /// cache.set(b"tenant-1/a", b"", larder::Ttl::NEVER)?;
    /// cache.set(b"tenant-2/a", b"", larder::Ttl::NEVER)?;
    /// assert_eq!(cache.retain(|item| !item.key().starts_with(b"tenant-1/")), 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn retain(&self, keep: impl FnMut(ItemView<'_>) -> bool) -> usize {
        self.remove_unless(Cause::Deleted, keep)
    }

    pub(super) fn remove_unless(
        &self,
        cause: Cause,
        mut keep: impl FnMut(ItemView<'_>) -> bool,
    ) -> usize {
        let now = self.clock.now();
        let mut keep = |view: ItemView<'_>| self.under_lock(|| keep(view));
        let mut removed = 0;
        for number in 0..self.shards.len() {
            let mut sweep = Sweep::default();
            loop {
                let mut shard = self.settled(number, now);
                let (gone, ends) = shard.sweep(&mut sweep, now, cause, &mut keep);
                removed += gone;
                if ends {
                    break;
                }
            }
        }
        removed
    }
}
