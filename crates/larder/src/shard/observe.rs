//! Showing items to somebody as they are evicted.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Shard;
use crate::arena::ItemId;
use crate::op::ItemView;

/// What is called with each item that is evicted, before it goes.
#[derive(Clone, Default)]
pub(crate) struct Observer(pub(crate) Option<Arc<Observe>>);

type Observe = dyn Fn(ItemView<'_>) + Send + Sync;

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "observed" } else { "none" })
    }
}

impl Shard {
    pub(crate) fn observe_evictions(&mut self, observer: Observer) {
        self.observer = observer;
    }

    /// Shows an item that is being evicted. A panic is kept until the lock is free: an eviction that
    /// was left half done would be worse.
    #[inline]
    pub(super) fn show_evicted(&mut self, id: ItemId) {
        if let Observer(Some(observer)) = &self.observer {
            let show = || observer(self.slab.view(id));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(show)) {
                self.panic.get_or_insert(panic);
            }
        }
    }

    /// What an observer panicked with while the shard was locked.
    #[inline]
    pub(crate) fn take_panic(&mut self) -> Option<Box<dyn Any + Send>> {
        // Without one nothing is written.
        self.panic.as_ref()?;
        self.panic.take()
    }
}
