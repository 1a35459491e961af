//! What the control plane tells `tracing`, with the feature of that name; without it, nothing. No
//! operation on a key is traced.

use crate::op::Maintained;
use crate::saved::{Restored, Saved};

/// A cache was built.
pub(crate) fn built(limit_bytes: usize, shard_count: usize) {
    #[cfg(feature = "tracing")]
    tracing::debug!(limit_bytes, shard_count, "cache built");
    #[cfg(not(feature = "tracing"))]
    let _ = (limit_bytes, shard_count);
}

/// Another limit holds.
pub(crate) fn limit_set(before: usize, limit_bytes: usize) {
    #[cfg(feature = "tracing")]
    tracing::info!(before, limit_bytes, "memory limit set");
    #[cfg(not(feature = "tracing"))]
    let _ = (before, limit_bytes);
}

/// Everything was removed.
pub(crate) fn cleared() {
    #[cfg(feature = "tracing")]
    tracing::info!("cache cleared");
}

/// Items were saved.
pub(crate) fn saved(saved: Saved) {
    #[cfg(feature = "tracing")]
    tracing::info!(saved.item_count, saved.file_bytes, "cache saved");
    #[cfg(not(feature = "tracing"))]
    let _ = saved;
}

/// Saved items were restored.
pub(crate) fn restored(restored: Restored) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        restored.restored_count,
        restored.file_bytes,
        "cache restored"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = restored;
}

/// A `Maintainer` has done some work.
pub(crate) fn maintained(done: &Maintained) {
    #[cfg(feature = "tracing")]
    if done.expired_count > 0 {
        let (expired_count, more_due) = (done.expired_count, done.more_due);
        tracing::debug!(
            expired_count,
            more_due,
            "expired items gave their memory back"
        );
    }
    #[cfg(not(feature = "tracing"))]
    let _ = done;
}
