//! Who is told of evictions.

use std::sync::Arc;

use super::Cache;
use crate::op::ItemView;
use crate::shard::Observer;

impl Cache {
    /// Shows every item that is evicted from now on to `observer`, before it goes; it takes the place of
    /// an earlier one. It runs under a shard's lock: it may copy and compute, and must not call the
    /// same cache. Items that expire or are removed are not shown.
    pub fn observe_evictions(&self, observer: impl Fn(ItemView<'_>) + Send + Sync + 'static) {
        let observer = Observer(Some(Arc::new(observer)));
        for shard in &self.shards {
            shard.lock().observe_evictions(observer.clone());
        }
    }
}
