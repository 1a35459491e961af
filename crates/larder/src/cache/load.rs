//! What is missing is loaded, once for all who ask.

use std::sync::Arc;

use super::{Cache, check_key};
use crate::arena::HEADER_BYTES;
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::loader::{Circular, Joined, Lead, Turn};
use crate::op::{CasToken, ItemView};
use crate::revision::Put;
use crate::time::Timestamp;

/// What a load came to, for those who waited for it.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// The item, as it was loaded or found.
    Item(Arc<ItemGuard<'static>>),
    /// It was loaded, and could not be stored.
    Refused(Error),
}

/// What there is for who would load what is missing.
pub(super) enum Sought<'c> {
    /// The item.
    Item(ItemGuard<'c>),
    /// A place in the flight that loads it.
    Flight(Joined<'c, Landing>),
}

impl Cache {
    /// The item under `key`; if there is none, what `load` makes, which is stored with the lifetime and
    /// flags that it says. Counts as a read.
    ///
    /// Of all who miss the key at once, one runs its `load`; the others wait, and get what it made
    /// without a look into the cache, even if it does not stay there ([`Ttl::EXPIRED`](crate::Ttl::EXPIRED)
    /// hands it to those who wait and keeps nothing). If that `load` panics, the next who waits runs its
    /// own. What is stored by other means meanwhile stays, and is returned in the place of what was
    /// loaded; a removal meanwhile does not keep what was loaded from being stored.
    ///
    /// No lock is held while `load` runs: it may use this cache, other keys' loads included. O(1), one
    /// lookup, on a hit.
    ///
    /// ```
    /// use larder::{Cache, Put, Ttl};
    ///
    /// let cache = Cache::with_limit(1 << 20)?;
    /// let load = || Put::new(b"from the database").ttl(Ttl::seconds(60));
    /// assert_eq!(&*cache.get_or_insert_with(b"key", load)?, b"from the database");
    /// assert!(cache.contains(b"key"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::KeyEmpty`] and [`Error::KeyTooLong`]; [`Error::ValueTooLarge`] and
    /// [`Error::OutOfMemory`] if what was loaded cannot be stored: those who wait get the same error.
    /// [`Error::LoadNeedsItself`] if a load asks for its own key, or two loads, of whatever threads, for
    /// each other's. A `load` that waits for another thread or task, which waits for this load, is not
    /// noticed.
    pub fn get_or_insert_with<'v>(
        &self,
        key: &[u8],
        load: impl FnOnce() -> Put<'v>,
    ) -> Result<ItemGuard<'_>, Error> {
        self.try_get_or_insert_with(key, || Ok(load()))
    }

    /// As [`get_or_insert_with`](Self::get_or_insert_with), with a `load` that can fail: then its error
    /// is returned, nothing is stored, and the next who waits runs its own `load`. O(1) on a hit.
    ///
    /// # Errors
    /// Those of `load`, and those of [`get_or_insert_with`](Self::get_or_insert_with) as `E`.
    pub fn try_get_or_insert_with<'v, E: From<Error>>(
        &self,
        key: &[u8],
        load: impl FnOnce() -> Result<Put<'v>, E>,
    ) -> Result<ItemGuard<'_>, E> {
        let turn = match self.get_or_join(key)? {
            Sought::Item(item) => return Ok(item),
            Sought::Flight(Joined::Lead(lead)) => Turn::Lead(lead),
            Sought::Flight(Joined::Wait(wait)) => wait.block(),
        };
        let lead = match turn {
            Turn::Landed(landing) => return Ok(landing.item()?),
            Turn::Lead(lead) => lead,
        };
        match self.loaded_meanwhile(key, lead) {
            Ok(item) => Ok(item),
            Err(lead) => {
                let put = lead.within(load)?;
                Ok(self.land(key, lead, &put)?)
            }
        }
    }

    /// The item under `key`, which is a read, or a place in the flight that loads it.
    pub(super) fn get_or_join(&self, key: &[u8]) -> Result<Sought<'_>, Error> {
        check_key(key)?;
        Ok(match self.get(key) {
            Some(item) => Sought::Item(item),
            None => Sought::Flight(self.flights.join(self.hash(key), key)?),
        })
    }

    /// Who has the lead looks again: another flight may have landed since the miss. Gives the lead back
    /// if there is still no item.
    pub(super) fn loaded_meanwhile<'c>(
        &'c self,
        key: &[u8],
        lead: Lead<'c, Landing>,
    ) -> Result<ItemGuard<'c>, Lead<'c, Landing>> {
        let Some(item) = self.peek(key) else {
            return Err(lead);
        };
        lead.land(|| Landing::of(&item));
        Ok(item)
    }

    /// Stores what was loaded, unless something has been stored meanwhile, and ends the flight.
    pub(super) fn land<'c>(
        &'c self,
        key: &[u8],
        lead: Lead<'c, Landing>,
        put: &Put<'_>,
    ) -> Result<ItemGuard<'c>, Error> {
        let stored = self.put_if_absent(key, put);
        lead.land(|| match &stored {
            Ok(item) => Landing::of(item),
            Err(error) => Landing::Refused(error.clone()),
        });
        stored
    }

    /// Stores `put` under `key` unless an item is there; what is there then, or would be if it had not
    /// expired at once.
    pub(super) fn put_if_absent(&self, key: &[u8], put: &Put<'_>) -> Result<ItemGuard<'_>, Error> {
        let now = self.clock.now();
        let hash = self.hash(key);
        let bytes = HEADER_BYTES + key.len() + put.value.len();
        let mut item = None;
        let mut copy = |view: ItemView<'_>| item = Some(ItemGuard::copy_of(&view));
        let token = self.with_room(hash, now, bytes, |shard, attempt| {
            shard.put_if_absent(hash, key, now, attempt, put, &mut copy)
        })?;
        Ok(item.unwrap_or_else(|| self.item_of(put, key, token, now)))
    }

    /// What was stored of `put` under `key` at `now`.
    pub(super) fn item_of(
        &self,
        put: &Put<'_>,
        key: &[u8],
        token: CasToken,
        now: Timestamp,
    ) -> ItemGuard<'_> {
        let class = self.arena.class_for(put.item_bytes(key));
        put.item(key, token, now, class)
    }
}

impl Landing {
    fn of(item: &ItemGuard<'_>) -> Self {
        Self::Item(Arc::new(ItemGuard::copy_of(&item.view())))
    }

    /// A copy for one who waited.
    pub(super) fn item<'c>(self) -> Result<ItemGuard<'c>, Error> {
        match self {
            Self::Item(item) => Ok(ItemGuard::copy_of(&item.view())),
            Self::Refused(error) => Err(error),
        }
    }
}

impl From<Circular> for Error {
    fn from(Circular: Circular) -> Self {
        Self::LoadNeedsItself
    }
}
