//! Values that are kept elsewhere, by somebody who reads and writes there: the items stay.
//!
//! ```text
//! show_coldest -> written elsewhere -> move_value (Here -> Elsewhere)     keeps memory free without evicting
//! a read shows a locator -> read there -> move_value (Elsewhere -> Here)  for a value that is in use again
//! any end of an item with a locator -> watch_locators                     what is written there is not needed
//! ```
//! The cache does no I/O: it only knows that such an item has no value here.

use std::sync::Arc;

use super::Cache;
use super::held::under;
use crate::arena::{HEADER_BYTES, SizeClass};
use crate::error::Error;
use crate::op::{Content, ItemView, LOCATOR_BYTES, Locator, Move};
use crate::shard::Watcher;

impl Cache {
    /// Has the item under `key` hold what `moved` says, if its value is still the one with that stamp, in
    /// that place; false if not. Key, flags, expiry, token and state stay, and it is no use of the item.
    ///
    /// An item whose value is elsewhere shows an empty value and a [locator](ItemView::locator). It is read,
    /// touched, replaced and removed like any other; to change its value (append, prepend, `incr`, `decr`) it
    /// has none: those are refused as if the item were absent, or no number. O(1).
    ///
    /// ```
    /// use larder::{Cache, Content, Locator, Move, Ttl};
    ///
    /// let cache = Cache::with_limit(1 << 20)?;
    /// cache.set(b"key", b"value", Ttl::NEVER)?;
    /// let stamp = cache.peek(b"key").expect("stored").view().stamp();
    /// let there = Locator(*b"page 7, byte 168");
    /// let to = Content::Elsewhere(there);
    /// assert!(cache.move_value(b"key", &Move { stamp, from: None, to })?);
    /// assert_eq!(cache.get(b"key").expect("still known").locator(), Some(there));
    ///
    /// let back = Move { stamp, from: Some(there), to: Content::Here(b"value") };
    /// assert!(cache.move_value(b"key", &back)?);
    /// assert_eq!(cache.get(b"key").as_deref(), Some(&b"value"[..]));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and [`Error::ValueTooLarge`]; the item is as it was.
    pub fn move_value(&self, key: &[u8], moved: &Move<'_>) -> Result<bool, Error> {
        let value_bytes = match moved.to {
            Content::Here(value) => value.len(),
            Content::Elsewhere(_) => LOCATOR_BYTES,
        };
        self.check_value(value_bytes)?;
        let (hash, now) = (self.hash(key), self.clock.now());
        let bytes = HEADER_BYTES + key.len() + value_bytes;
        self.with_room(hash, now, bytes, |shard, _| {
            shard.move_value(hash, key, now, moved)
        })
    }

    /// Shows items of a size class to `look` whose values are here: those that would be evicted next, of about
    /// `items_max` from all shards. Each is spared a turn, so that it is neither shown again nor evicted
    /// while it is written elsewhere. Returns how many were met. `look` runs under a shard's lock: it may copy and compute.
    /// O(`items_max`).
    ///
    /// # Panics
    /// If there is no such class.
    pub fn show_coldest(
        &self,
        class: usize,
        items_max: usize,
        mut look: impl FnMut(ItemView<'_>),
    ) -> usize {
        assert!(class < self.class_count(), "a size class of this cache");
        let now = self.clock.now();
        let each = items_max.div_ceil(self.shards.len());
        let shards = 0..self.shards.len();
        let shown = shards.map(|number| {
            let look = |view: ItemView<'_>| self.under_lock(|| look(view));
            let mut shard = self.settled(number, now);
            shard.show_coldest(SizeClass::at(class), each, now, look)
        });
        shown.sum()
    }

    /// Tells `watcher` of each locator that leaves from now on: its item was removed, expired, evicted, got
    /// another value, or holds its value, or another locator, since a move. It takes the place of an earlier
    /// one. It runs under a shard's lock: it may compute, and must not call the same cache. [`clear`](Self::clear)
    /// takes O(items) then.
    pub fn watch_locators(&self, watcher: impl Fn(Locator) + Send + Sync + 'static) {
        let own = self.address();
        let watcher = move |locator| under(own, || watcher(locator));
        let watcher = Watcher(Some(Arc::new(watcher)));
        for number in 0..self.shards.len() {
            self.lock(number).watch_locators(watcher.clone());
        }
    }
}
