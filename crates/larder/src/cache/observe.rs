//! Who is told of items that go.

use std::sync::Arc;

use super::Cache;
use super::held::under;
use crate::op::ItemView;
use crate::removal::{Cause, Listener, Removal};
use crate::shard::Observer;

impl Cache {
    /// Shows every item that is evicted from now on to `observer`, before it goes; it takes the place of
    /// an earlier one. It runs under a shard's lock: it may copy and compute, and must not call the
    /// same cache. If it panics, the call that evicts does, once it is done. Items that expire or are
    /// removed are not shown. Nothing is copied for it;
    /// [`listen`](Self::listen) is for those who want to keep what goes, or to use the cache. O(shards).
    pub fn observe_evictions(&self, observer: impl Fn(ItemView<'_>) + Send + Sync + 'static) {
        let own = self.address();
        let observer = move |view: ItemView<'_>| under(own, || observer(view));
        let observer = Observer(Some(Arc::new(observer)));
        for number in 0..self.shards.len() {
            self.lock(number).observe_evictions(observer.clone());
        }
    }

    /// Tells `listener` of every item that goes from now on for one of `causes`; it takes the place of
    /// an earlier one. O(shards).
    ///
    /// It is called once for each item, with a copy of it, by the thread whose call removed it, before
    /// that call returns and with no lock held: it may use this cache. Calls that remove several items
    /// tell of them in that order; calls of different threads may tell in another order than they
    /// removed. What the listener's own calls remove is told once it has returned. If it panics, the
    /// call that it was called by panics, once all else has been told.
    ///
    /// Copies of what a call has removed are outside of the limit until they have been told of: for each
    /// thread the items of about a page (1 MiB at the most), or some large ones. Without a listener, or
    /// for causes that it did not ask for, nothing is copied.
    ///
    /// ```
    /// use larder::{Cache, Cause, Ttl};
    /// use std::sync::mpsc::channel;
    ///
    /// let cache = Cache::with_limit(1 << 20)?;
    /// let (told, goes) = channel();
    /// cache.listen(&[Cause::Replaced, Cause::Deleted], move |removal| {
    ///     told.send((removal.cause(), removal.value().to_vec())).expect("the receiver lives on");
    /// });
    /// cache.set(b"key", b"old", Ttl::NEVER)?;
    /// cache.set(b"key", b"new", Ttl::NEVER)?;
    /// cache.remove(b"key");
    /// assert_eq!(goes.recv(), Ok((Cause::Replaced, b"old".to_vec())));
    /// assert_eq!(goes.recv(), Ok((Cause::Deleted, b"new".to_vec())));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Panics
    /// Not itself; a call that removes panics if the listener's own calls go on removing items without
    /// end, one for each it is told of.
    pub fn listen(&self, causes: &[Cause], listener: impl Fn(&Removal) + Send + Sync + 'static) {
        let listener = Listener::new(causes, listener);
        for number in 0..self.shards.len() {
            self.lock(number).listen(listener.clone());
        }
    }
}
