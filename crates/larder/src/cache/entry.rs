//! One key, and what is done under it: in words of what is there or not.

use super::Cache;
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::op::{CasToken, Edit, ItemView, UpdateOutcome};
use crate::revision::{Put, Revision};

/// A key of a cache, to insert under or to change what is there. It holds no lock: each method is one
/// step that no other caller comes between, and between two anything may happen.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'c, 'k> {
    cache: &'c Cache,
    key: &'k [u8],
}

impl Cache {
    /// The entry of `key`, whether or not there is an item. O(1).
    ///
    /// ```
    /// use larder::{Cache, Edit, Put, Ttl};
    ///
    /// let cache = Cache::with_limit(1 << 20)?;
    /// let quota = cache.entry(b"quota").or_insert(Put::new(b"100").ttl(Ttl::seconds(60)))?;
    /// assert_eq!(&*quota, b"100");
    ///
    /// let log = |line: &'static [u8]| {
    ///     cache.entry(b"log").upsert_with(move |item| match item {
    ///         Some(item) => Put::instead_of(&item, [item.value(), line].concat()),
    ///         None => Put::new(line),
    ///     })
    /// };
    /// log(b"one\n")?;
    /// log(b"two\n")?;
    /// assert_eq!(cache.get(b"log").as_deref(), Some(&b"one\ntwo\n"[..]));
    /// # Ok::<(), larder::Error>(())
    /// ```
    #[must_use]
    pub const fn entry<'c, 'k>(&'c self, key: &'k [u8]) -> Entry<'c, 'k> {
        Entry { cache: self, key }
    }
}

impl<'c, 'k> Entry<'c, 'k> {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &'k [u8] {
        self.key
    }

    /// The item; if there is none, `put` becomes it. Counts as a read. O(1).
    ///
    /// # Errors
    /// As [`Cache::store`]; the key is absent then.
    pub fn or_insert(self, put: Put<'_>) -> Result<ItemGuard<'c>, Error> {
        super::check_key(self.key)?;
        match self.cache.get(self.key) {
            Some(item) => Ok(item),
            None => self.cache.put_if_absent(self.key, &put),
        }
    }

    /// The item; if there is none, what `load` makes, once for all who ask:
    /// [`Cache::get_or_insert_with`]. O(1) on a hit.
    ///
    /// # Errors
    /// As [`Cache::get_or_insert_with`].
    pub fn or_insert_with<'v>(
        self,
        load: impl FnOnce() -> Put<'v>,
    ) -> Result<ItemGuard<'c>, Error> {
        self.cache.get_or_insert_with(self.key, load)
    }

    /// As [`or_insert_with`](Self::or_insert_with), with a `load` that can fail. O(1) on a hit.
    ///
    /// # Errors
    /// As [`Cache::try_get_or_insert_with`].
    pub fn or_try_insert_with<'v, E: From<Error>>(
        self,
        load: impl FnOnce() -> Result<Put<'v>, E>,
    ) -> Result<ItemGuard<'c>, E> {
        self.cache.try_get_or_insert_with(self.key, load)
    }

    /// Changes the item, if there is one, as `edit` says: [`Cache::update`]. O(1).
    ///
    /// # Errors
    /// As [`Cache::update`].
    pub fn update<'v>(
        self,
        edit: impl FnOnce(ItemView<'_>) -> Edit<'v>,
    ) -> Result<UpdateOutcome, Error> {
        self.cache.update(self.key, edit)
    }

    /// Puts what `make` makes of the item, or of the lack of one, in its place. One step: of any number
    /// of callers, each is shown what the one before it has put. `make` runs under the shard's lock, and
    /// again if memory must be found first. O(1).
    ///
    /// # Errors
    /// As [`Cache::revise`].
    pub fn upsert_with<'v>(
        self,
        mut make: impl FnMut(Option<ItemView<'_>>) -> Put<'v>,
    ) -> Result<CasToken, Error> {
        let put = |found: Option<ItemView<'_>>| Revision::Put(make(found));
        let token = self.cache.revise(self.key, put)?;
        Ok(token.expect("what is put has a token"))
    }
}
