//! Serving what there is while one caller renews it.

use std::time::Duration;

use super::Cache;
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::op::{CasToken, ItemView};
use crate::revision::{Adjust, Put, Revision};

/// The right to renew an item, which goes back when this is dropped: the next reader can win it then.
#[derive(Debug)]
pub(super) struct RightToRenew<'c, 'k> {
    cache: &'c Cache,
    key: &'k [u8],
    /// The item's when the right was won.
    token: CasToken,
}

/// What is there for who would renew it if it is old.
pub(super) enum Found<'c, 'k> {
    /// An item that need not be renewed, or not by the caller.
    Current(ItemGuard<'c>),
    /// An old item, which the caller is to renew.
    Old(RightToRenew<'c, 'k>),
    /// None.
    Missing,
}

impl Cache {
    /// The item under `key`; if it is old, one of those who ask makes another by `load`, while the
    /// others are given the old one at once. Old is what has been [invalidated](Self::invalidate), and
    /// what expires within `ahead`. If there is none, it is loaded as by
    /// [`get_or_insert_with`](Self::get_or_insert_with). Counts as a read.
    ///
    /// The one who makes another waits for its own `load`, and returns what that made. If `load` panics,
    /// the old item stays and the next who asks is the one. If the item is invalidated again meanwhile,
    /// what was made is stored as stale; if it is stored by other means, that stays and is returned. No
    /// lock is held while `load` runs. Others who keep to the right to renew
    /// ([`get_to_renew`](Self::get_to_renew)) are seen, and see this. O(1) but for `load`.
    ///
    /// ```
    /// use larder::{Cache, Put, Ttl};
    /// use std::time::Duration;
    ///
    /// let cache = Cache::with_limit(1 << 20)?;
    /// let ahead = Duration::from_secs(10);
    /// let load = |text: &'static [u8]| move || Put::new(text).ttl(Ttl::seconds(60));
    /// assert_eq!(&*cache.get_or_renew_with(b"rates", ahead, load(b"monday's"))?, b"monday's");
    /// assert_eq!(&*cache.get_or_renew_with(b"rates", ahead, load(b"unused"))?, b"monday's");
    /// cache.invalidate(b"rates");
    /// assert_eq!(&*cache.get_or_renew_with(b"rates", ahead, load(b"tuesday's"))?, b"tuesday's");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub fn get_or_renew_with<'v>(
        &self,
        key: &[u8],
        ahead: Duration,
        load: impl FnOnce() -> Put<'v>,
    ) -> Result<ItemGuard<'_>, Error> {
        self.try_get_or_renew_with(key, ahead, || Ok(load()))
    }

    /// As [`get_or_renew_with`](Self::get_or_renew_with), with a `load` that can fail: then its error is
    /// returned, the old item stays, and the next who asks runs its own `load`. O(value) on a hit.
    ///
    /// # Errors
    /// Those of `load`, and those of [`get_or_insert_with`](Self::get_or_insert_with) as `E`.
    pub fn try_get_or_renew_with<'v, E: From<Error>>(
        &self,
        key: &[u8],
        ahead: Duration,
        load: impl FnOnce() -> Result<Put<'v>, E>,
    ) -> Result<ItemGuard<'_>, E> {
        match self.find_to_renew(key, ahead) {
            Found::Current(item) => Ok(item),
            Found::Old(right) => Ok(right.store(&load()?)?),
            Found::Missing => self.try_get_or_insert_with(key, load),
        }
    }

    pub(super) fn find_to_renew<'c, 'k>(&'c self, key: &'k [u8], ahead: Duration) -> Found<'c, 'k> {
        let latest = self.clock.now().after(ahead);
        let look = |view: ItemView<'_>| {
            let is_old = view.is_stale() || view.expires_at().is_some_and(|at| at <= latest);
            if is_old && !view.is_renewing() {
                return (Adjust::read().win(), Err(view.cas()));
            }
            (Adjust::read(), Ok(ItemGuard::copy_of(&view)))
        };
        match self.get_and_adjust_with(key, look) {
            Some(Ok(item)) => Found::Current(item),
            Some(Err(token)) => Found::Old(RightToRenew {
                cache: self,
                key,
                token,
            }),
            None => Found::Missing,
        }
    }
}

impl<'c> RightToRenew<'c, '_> {
    /// Stores what was made in the place of the old item.
    pub(super) fn store(self, put: &Put<'_>) -> Result<ItemGuard<'c>, Error> {
        let now = self.cache.clock.now();
        let mut newer = None;
        let token = self.cache.revise(self.key, |found| match found {
            Some(view) if view.cas() != self.token && view.is_stale() => {
                let renewing = view.is_renewing();
                Revision::Put(put.by_ref().stale(true).renewing(renewing))
            }
            Some(view) if view.cas() != self.token => {
                newer = Some(ItemGuard::copy_of(&view));
                Revision::Keep
            }
            _ => Revision::Put(put.by_ref()),
        })?;
        let key = self.key;
        Ok(match token {
            Some(token) => self.cache.item_of(put, key, token, now),
            None => newer.expect("it was kept"),
        })
    }
}

impl Drop for RightToRenew<'_, '_> {
    /// Gives the right back, if the item that it was won for is still there.
    fn drop(&mut self) {
        let gone_back = self.cache.revise(self.key, |found| match found {
            Some(view) if view.cas() == self.token => Revision::Adjust(Adjust::nothing().release()),
            _ => Revision::Keep,
        });
        debug_assert!(gone_back.is_ok(), "nothing is stored");
    }
}
