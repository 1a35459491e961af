//! Items that are served while they are renewed, and changes in one step.

use super::Cache;
use crate::arena::HEADER_BYTES;
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::op::{CasToken, ItemView, Store, StoreOutcome};
use crate::revision::{Adjust, Renewal, Revision};

impl Cache {
    /// Marks the item under `key` as stale: it is served on, and the next reader that asks
    /// [to renew it](Self::get_to_renew) wins the right to. False if there is none. The item gets a
    /// new token, so that a value computed before does not pass for a current one.
    /// O(value): the item moves to another chunk if it is being read.
    pub fn invalidate(&self, key: &[u8]) -> bool {
        self.get_and_adjust_with(key, |_| (Adjust::nothing().invalidate(), ()))
            .is_some()
    }

    /// The item under `key`, and whether the caller should renew it. Counts as a read. Of all who
    /// see a stale item, one is told [`Renewal::Won`], until it is stored or invalidated again.
    /// O(value): the item is copied.
    #[must_use]
    pub fn get_to_renew(&self, key: &[u8]) -> Option<(ItemGuard<'_>, Renewal)> {
        self.get_and_adjust_with(key, |view| {
            let (adjust, renewal) = match (view.is_stale(), view.is_renewing()) {
                (false, _) => (Adjust::read(), Renewal::Fresh),
                (true, false) => (Adjust::read().win(), Renewal::Won),
                (true, true) => (Adjust::read(), Renewal::Stale),
            };
            (adjust, (ItemGuard::copy_of(&view), renewal))
        })
    }

    /// Shows the item under `key` to `look` and does to it what it answers, in one step.
    /// O(1), O(value) for an item that is being read and changes.
    pub fn get_and_adjust_with<R>(
        &self,
        key: &[u8],
        look: impl FnOnce(ItemView<'_>) -> (Adjust, R),
    ) -> Option<R> {
        let now = self.clock.now();
        let hash = self.hash(key);
        let look = |view: ItemView<'_>| self.under_lock(|| look(view));
        self.shard(hash, now).adjust(hash, key, now, look)
    }

    /// Shows what stands under `key`, if anything, to `decide` and does what it answers, as one step
    /// that no other caller comes between. Returns the item's new token, if it got one. When memory
    /// must be found first, `decide` is asked again, about what it then finds.
    /// O(1), and as `store` for what is put.
    ///
    /// # Errors
    /// As [`store`](Self::store). The item stands as it was, or is gone if it had to make room for
    /// what was to take its place.
    pub fn revise<'v>(
        &self,
        key: &[u8],
        mut decide: impl FnMut(Option<ItemView<'_>>) -> Revision<'v>,
    ) -> Result<Option<CasToken>, Error> {
        super::check_key(key)?;
        let now = self.clock.now();
        let hash = self.hash(key);
        // How large a value `decide` will answer with is not known yet.
        let bytes_max = HEADER_BYTES + key.len() + self.value_bytes_max();
        let mut decide = |found: Option<ItemView<'_>>| self.under_lock(|| decide(found));
        self.with_room(hash, now, bytes_max, |shard, attempt| {
            shard.revise(hash, key, now, attempt, &mut decide)
        })
    }

    /// As [`store`](Self::store), and shows the item as it was stored to `look`. `None` if nothing
    /// was stored, or what was stored had expired at once. O(value).
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn store_with<R>(
        &self,
        store: &Store<'_>,
        look: impl FnOnce(ItemView<'_>) -> R,
    ) -> Result<(StoreOutcome, Option<R>), Error> {
        self.batch().prepare(store.key).store_with(store, look)
    }
}
