//! Operations that arrived together: at one instant, each key hashed once, cache misses overlapped.
//!
//! ```text
//! prepare      hash every key
//! look ahead   ask for the index buckets of all; then, by their tags, for the items of all
//! operate      one key after the other, in memory that has come meanwhile; a read begins at the item that
//!              was found ahead (arena/ahead.rs)
//! ```
//! An operation on a key that was not used lately waits for memory twice: for its buckets, and for the item's
//! lines, which they lead to. A batch waits for each of the two once, not once for each key.

use std::ops::ControlFlow;

use super::Cache;
use super::held::Held;
use crate::arena::{Ahead, Buckets, Candidate};
use crate::error::Error;
use crate::op::{ItemView, Store, StoreOutcome};
use crate::readers::Section;
use crate::revision::Adjust;
use crate::shard::Access;
use crate::time::{Moment, Timestamp, Ttl};

/// Operations on one cache at one instant: the clock is read when the batch begins.
///
/// ```
/// # let cache = larder::Cache::with_limit(1 << 20)?;
/// # cache.set(b"a", b"1", larder::Ttl::NEVER)?;
/// let batch = cache.batch();
/// let keys = [b"a", b"b"].map(|key| batch.prepare(key));
/// batch.prefetch(&keys);
/// assert!(keys[0].get_with(|item| item.value() == b"1").unwrap());
/// assert!(keys[1].get_with(|_| ()).is_none());
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Batch<'c> {
    cache: &'c Cache,
    now: Timestamp,
}

/// A key of one cache, hashed, with the instant of its [`Batch`]: operations on it are those of
/// [`Cache`] with the same names.
#[derive(Clone, Copy, Debug)]
pub struct Prepared<'c, 'k> {
    batch: Batch<'c>,
    key: &'k [u8],
    hash: u64,
}

/// Keys whose memory is asked for at a time: more would push each other out of the nearest cache.
pub(super) const STAGE_KEYS: usize = 32;

impl Cache {
    /// Begins a batch: reads the clock. O(1).
    #[must_use]
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            cache: self,
            now: self.clock.now(),
        }
    }

    /// Shows what stands under each of `keys` to `visit`, with its position, in the order of `keys`, until
    /// that breaks. Counts as a read of each key that was shown.
    ///
    /// For many keys this is several times faster than [`get_with`](Self::get_with): 32 at a time are
    /// looked up together. `visit` runs without a lock. O(keys).
    pub fn get_many(
        &self,
        keys: &[&[u8]],
        mut visit: impl FnMut(usize, Option<ItemView<'_>>) -> ControlFlow<()>,
    ) {
        let batch = self.batch();
        let mut prepared = [batch.prepare(b""); STAGE_KEYS];
        for (stage, keys) in keys.chunks(STAGE_KEYS).enumerate() {
            let prepared = &mut prepared[..keys.len()];
            for (prepared, key) in prepared.iter_mut().zip(keys) {
                *prepared = batch.prepare(key);
            }
            let first = stage * STAGE_KEYS;
            let shown = batch.get_each(prepared, |at, item| visit(first + at, item));
            if shown.is_break() {
                break;
            }
        }
    }
}

impl<'c> Batch<'c> {
    /// The instant of the batch.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Hashes a key. O(key).
    #[must_use]
    pub fn prepare<'k>(&self, key: &'k [u8]) -> Prepared<'c, 'k> {
        Prepared {
            batch: *self,
            key,
            hash: self.cache.hash(key),
        }
    }

    /// Asks for the memory that operations on `keys` will need, so that it comes for all of them at
    /// once; changes nothing. Worth its while for two keys and more that are used right after, for
    /// up to a few dozen. Takes no lock. O(keys).
    pub fn prefetch(&self, keys: &[Prepared<'_, '_>]) {
        let mut candidates = [None; STAGE_KEYS];
        for keys in keys.chunks(STAGE_KEYS) {
            self.look_ahead(keys, &mut candidates);
        }
    }

    /// Shows what stands under each of `keys` to `visit`, as [`Cache::get_many`] does: no [`prefetch`](Self::prefetch)
    /// is needed. Returns what `visit` did last. O(keys).
    ///
    /// # Panics
    /// If a key was prepared for another cache.
    pub fn get_each(
        &self,
        keys: &[Prepared<'c, '_>],
        mut visit: impl FnMut(usize, Option<ItemView<'_>>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let is_own = |key: &Prepared<'_, '_>| std::ptr::eq(key.batch.cache, self.cache);
        assert!(keys.iter().all(is_own), "keys of this cache");
        if let [key] = keys {
            return key.visit(Access::Read, |item| visit(0, item));
        }
        let mut candidates = [None; STAGE_KEYS];
        for (stage, keys) in keys.chunks(STAGE_KEYS).enumerate() {
            self.look_ahead(keys, &mut candidates);
            let first = stage * STAGE_KEYS;
            for (at, (key, candidate)) in keys.iter().zip(&candidates).enumerate() {
                let look = |item: Option<ItemView<'_>>| visit(first + at, item);
                let now = Moment::exact(key.now());
                let candidate = candidate.as_ref();
                self.cache
                    .read_ahead(key.key, key.hash, now, candidate, look)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Asks for the memory of a few keys, and finds what each of them is likely to need.
    fn look_ahead(
        &self,
        keys: &[Prepared<'_, '_>],
        candidates: &mut [Option<Candidate<'c>>; STAGE_KEYS],
    ) {
        let Some(section) = Section::begin() else {
            candidates.fill(None);
            return;
        };
        let mut pairs = [None; STAGE_KEYS];
        for (pair, key) in pairs.iter_mut().zip(keys) {
            *pair = self.buckets(key).ahead(key.hash, &section);
        }
        for (candidate, pair) in candidates.iter_mut().zip(&pairs[..keys.len()]) {
            *candidate = pair.as_ref().and_then(Ahead::candidate);
        }
    }

    fn buckets(&self, key: &Prepared<'_, '_>) -> &'c Buckets {
        let cell = &self.cache.shards[self.cache.shard_of(key.hash)];
        cell.front.buckets()
    }
}

impl<'c, 'k> Prepared<'c, 'k> {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &'k [u8] {
        self.key
    }

    /// The instant at which operations on it take place.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.batch.now
    }

    /// As [`Cache::get_with`].
    pub fn get_with<R>(&self, look: impl FnOnce(ItemView<'_>) -> R) -> Option<R> {
        self.visit(Access::Read, |item| item.map(look))
    }

    /// As [`Cache::peek_with`].
    pub fn peek_with<R>(&self, look: impl FnOnce(ItemView<'_>) -> R) -> Option<R> {
        self.visit(Access::Peek, |item| item.map(look))
    }

    /// As [`Cache::get_and_touch_with`].
    pub fn get_and_touch_with<R>(
        &self,
        ttl: impl Into<Ttl>,
        look: impl FnOnce(ItemView<'_>) -> R,
    ) -> Option<R> {
        let expires_at = ttl.into().expires_at(self.batch.now);
        self.visit(Access::Touch(expires_at), |item| item.map(look))
    }

    /// As [`Cache::get_and_adjust_with`].
    pub fn get_and_adjust_with<R>(
        &self,
        look: impl FnOnce(ItemView<'_>) -> (Adjust, R),
    ) -> Option<R> {
        let Self { batch, key, hash } = *self;
        let look = |view: ItemView<'_>| batch.cache.under_lock(|| look(view));
        self.lock().adjust(hash, key, batch.now, look)
    }

    /// As [`Cache::store`].
    ///
    /// # Errors
    /// As [`Cache::store`].
    ///
    /// # Panics
    /// If `store` is for another key.
    pub fn store(&self, store: &Store<'_>) -> Result<StoreOutcome, Error> {
        self.store_and_see(store, None)
    }

    /// As [`Cache::store_with`].
    ///
    /// # Errors
    /// As [`Cache::store`].
    ///
    /// # Panics
    /// If `store` is for another key.
    pub fn store_with<R>(
        &self,
        store: &Store<'_>,
        look: impl FnOnce(ItemView<'_>) -> R,
    ) -> Result<(StoreOutcome, Option<R>), Error> {
        let mut look = Some(look);
        let mut seen = None;
        let mut see = |view: ItemView<'_>| {
            seen = look
                .take()
                .map(|look| self.batch.cache.under_lock(|| look(view)));
        };
        let outcome = self.store_and_see(store, Some(&mut see))?;
        Ok((outcome, seen))
    }

    fn store_and_see(
        &self,
        store: &Store<'_>,
        look: Option<&mut dyn FnMut(ItemView<'_>)>,
    ) -> Result<StoreOutcome, Error> {
        assert!(store.key == self.key, "a store of the prepared key");
        let Self { batch, hash, .. } = *self;
        batch.cache.store_at(store, hash, batch.now, look)
    }

    /// Shows the item, or that there is none.
    #[inline]
    fn visit<R>(&self, access: Access, look: impl FnOnce(Option<ItemView<'_>>) -> R) -> R {
        let Self { batch, key, hash } = *self;
        let now = Moment::exact(batch.now);
        batch.cache.access_with(key, hash, now, access, look)
    }

    fn lock(&self) -> Held<'c> {
        self.batch.cache.shard(self.hash, self.batch.now)
    }
}
