//! Iterators over every key and every item: a walk whose steps are kept until they are asked for.

use std::fmt;
use std::iter::FusedIterator;
use std::vec;

use super::{Cache, Cursor};
use crate::guard::ItemGuard;

/// Keys that are gathered at a time, about: so long one shard is locked, and so many are copied.
const STEP_KEYS: usize = 64;

/// The keys of a cache: [`Cache::keys`].
#[must_use = "iterators are lazy"]
pub struct Keys<'c> {
    cache: &'c Cache,
    /// `None` at the end.
    cursor: Option<Cursor>,
    step: vec::IntoIter<Box<[u8]>>,
}

/// The items of a cache: [`Cache::iter`].
#[derive(Debug)]
#[must_use = "iterators are lazy"]
pub struct Iter<'c>(Keys<'c>);

impl Cache {
    /// The keys of all live items, in no order, each copied. O(1) for each, and O(items) for all.
    ///
    /// It is a [walk](Self::walk) in steps of some 64 keys, between which others use the cache as if it were
    /// not there; it holds no lock between two calls of `next`, and may be kept and dropped at any time. A key that
    /// is there all the time is met at least once, but for rare ones that the index moves meanwhile; now
    /// and then one is met twice. What is stored meanwhile may be met, and what is removed meanwhile may be
    /// met still.
    ///
    /// ```
    /// # let cache = larder::Cache::with_limit(1 << 20)?;
    /// cache.set(b"tenant-1/a", b"", larder::Ttl::NEVER)?;
    /// cache.set(b"tenant-2/a", b"", larder::Ttl::NEVER)?;
    /// let of_first = cache.keys().filter(|key| key.starts_with(b"tenant-1/"));
    /// for key in of_first {
    ///     cache.remove(&key);
    /// }
    /// assert_eq!(cache.stats().item_count, 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn keys(&self) -> Keys<'_> {
        Keys {
            cache: self,
            cursor: Some(Cursor::default()),
            step: Vec::new().into_iter(),
        }
    }

    /// All live items, in no order: what stands under each of the [`keys`](Self::keys) when it comes to it,
    /// without a copy. Does not count as a read. O(1) for each, and O(items) for all.
    ///
    /// What is removed before the iterator comes to it is left out; else it is as told at [`keys`](Self::keys).
    /// To look at every item under the lock, without copies of keys, [`walk`](Self::walk); to remove some,
    /// [`retain`](Self::retain).
    ///
    /// ```
    /// # let cache = larder::Cache::with_limit(1 << 20)?;
    /// cache.set(b"a", b"one", larder::Ttl::NEVER)?;
    /// cache.set(b"b", b"three", larder::Ttl::NEVER)?;
    /// let longest = cache.iter().max_by_key(|item| item.len()).expect("there are two");
    /// assert_eq!((longest.view().key(), &*longest), (&b"b"[..], &b"three"[..]));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.keys())
    }
}

impl Iterator for Keys<'_> {
    type Item = Box<[u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.step.next() {
                return Some(key);
            }
            let mut keys = Vec::new();
            let more = self.cache.walk(self.cursor.as_mut()?, STEP_KEYS, |view| {
                keys.push(view.key().into());
            });
            self.step = keys.into_iter();
            if !more {
                self.cursor = None;
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let step = self.step.len();
        (step, self.cursor.is_none().then_some(step))
    }
}

impl<'c> Iterator for Iter<'c> {
    type Item = ItemGuard<'c>;

    fn next(&mut self) -> Option<Self::Item> {
        let cache = self.0.cache;
        self.0.find_map(|key| cache.peek(&key))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.0.size_hint().1)
    }
}

impl FusedIterator for Keys<'_> {}
impl FusedIterator for Iter<'_> {}

impl<'c> IntoIterator for &'c Cache {
    type Item = ItemGuard<'c>;
    type IntoIter = Iter<'c>;

    fn into_iter(self) -> Iter<'c> {
        self.iter()
    }
}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys = f.debug_struct("Keys");
        keys.field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
