//! One shard's part of a walk over every item.

use super::Shard;
use crate::op::ItemView;
use crate::time::Timestamp;

impl Shard {
    /// Shows the live items of some buckets to `look`, from bucket `from` on, until about `items_max`
    /// items or buckets have been met. The bucket to go on with; `None` behind the last.
    pub(crate) fn walk(
        &self,
        from: usize,
        items_max: usize,
        now: Timestamp,
        mut look: impl FnMut(ItemView<'_>),
    ) -> Option<usize> {
        let mut met = 0;
        for bucket in from..self.index.bucket_count() {
            if met >= items_max.max(1) {
                return Some(bucket);
            }
            met += 1;
            for id in self.index.items_in(bucket) {
                met += 1;
                if !self.slab.expires_at(id).is_past(now) {
                    look(self.slab.view(id));
                }
            }
        }
        None
    }
}
