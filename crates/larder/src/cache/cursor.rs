//! Walking over every item in bounded steps, while everybody else goes on.
//!
//! ```text
//! cursor = shard, bucket of its index        a step: some buckets, under that shard's lock alone
//! ```
//!
//! Between steps anything may happen. An item that is there all the time is met at least once, unless
//! the index moves it meanwhile from a bucket that is still to come to one that has been: that takes a
//! full bucket, or an index that shrinks, and is rare. Moved the other way, it is met twice.

use super::Cache;
use crate::op::ItemView;

/// How far a walk over a cache's items has come. It refers to nothing: dropping it ends the walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    shard: usize,
    bucket: usize,
}

impl Cache {
    /// Goes on with a walk: shows about `items_max` live items to `look`, under one shard's lock and
    /// without counting as a read, and moves `cursor` behind them. False when the walk is at its end.
    /// O(`items_max`). Start with `Cursor::default()`.
    pub fn walk(
        &self,
        cursor: &mut Cursor,
        items_max: usize,
        mut look: impl FnMut(ItemView<'_>),
    ) -> bool {
        if cursor.shard >= self.shards.len() {
            return false;
        }
        let now = self.clock.now();
        let shard = self.settled(cursor.shard, now);
        let look = |view: ItemView<'_>| self.under_lock(|| look(view));
        *cursor = match shard.walk(cursor.bucket, items_max, now, look) {
            Some(bucket) => Cursor { bucket, ..*cursor },
            None => Cursor {
                shard: cursor.shard + 1,
                bucket: 0,
            },
        };
        cursor.shard < self.shards.len()
    }
}
