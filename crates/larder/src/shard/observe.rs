//! Showing items to somebody as they are evicted.

use std::fmt;
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

    pub(super) fn show_evicted(&self, id: ItemId) {
        if let Observer(Some(observer)) = &self.observer {
            observer(self.slab.view(id));
        }
    }
}
