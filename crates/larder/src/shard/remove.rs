//! How items leave: deleted, by key, by condition or in a sweep over all; expired; evicted.

use super::Shard;
use crate::arena::{Freed, ItemId, Life, Place};
use crate::op::ItemView;
use crate::removal::Cause;
use crate::time::Timestamp;

/// How far a sweep over a shard's items has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sweep {
    bucket: usize,
    /// The index's count of moves at the end of the last step.
    moves: usize,
    /// More items moved meanwhile than the index could tell of.
    escaped: bool,
    passes: u32,
}

/// Passes over a shard, each begun because an item may have escaped the last, before one with the shard
/// locked all the time.
const PASSES_MAX: u32 = 4;
/// Buckets that one step of a sweep looks at.
const BUCKETS_A_STEP: usize = 128;
/// Bytes of items that it removes, but for those of one bucket.
const BYTES_A_STEP: usize = 1 << 20;

impl Shard {
    /// Removes the live item under `key`; false if there is none. O(1).
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8], now: Timestamp) -> bool {
        let found = self.find_live(hash, key, now);
        if let Some(id) = found {
            self.delete(id);
        }
        found.is_some()
    }

    /// Shows the live item under `key` to `decide`, and removes it if that says so. O(1).
    pub(crate) fn remove_if<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        decide: impl FnOnce(ItemView<'_>) -> (bool, R),
    ) -> Option<R> {
        let id = self.find_live(hash, key, now)?;
        let (goes, seen) = decide(self.slab.view(id));
        if goes {
            self.delete(id);
        }
        Some(seen)
    }

    /// Goes on with a sweep over the shard's items: of those in the next buckets, removes the ones that
    /// `keep` does not want. Returns how many went, and whether the sweep has come to its end. Every
    /// item that is there from beginning to end is shown at least once.
    pub(crate) fn sweep(
        &mut self,
        sweep: &mut Sweep,
        now: Timestamp,
        cause: Cause,
        keep: &mut impl FnMut(ItemView<'_>) -> bool,
    ) -> (usize, bool) {
        if sweep.bucket == 0 {
            sweep.moves = self.index.moves();
        }
        let step = match sweep.passes {
            ..PASSES_MAX => BUCKETS_A_STEP,
            _ => usize::MAX,
        };
        let bytes = self.item_bytes;
        let mut removed = 0;
        // An item that moved meanwhile may have come to a bucket that had been looked at.
        match self.index.moved_since(sweep.moves) {
            Some(moved_to) => {
                for number in moved_to {
                    removed += self.sweep_bucket(number, now, cause, keep);
                }
            }
            None => sweep.escaped = true,
        }
        let end = sweep.bucket.saturating_add(step);
        while sweep.bucket < end.min(self.index.bucket_count()) {
            removed += self.sweep_bucket(sweep.bucket, now, cause, keep);
            sweep.bucket += 1;
            if bytes - self.item_bytes > BYTES_A_STEP && sweep.passes < PASSES_MAX {
                break;
            }
        }
        sweep.moves = self.index.moves();
        if sweep.bucket < self.index.bucket_count() {
            return (removed, false);
        }
        let ends = !sweep.escaped;
        *sweep = Sweep {
            passes: sweep.passes + 1,
            ..Sweep::default()
        };
        (removed, ends)
    }

    fn sweep_bucket(
        &mut self,
        number: usize,
        now: Timestamp,
        cause: Cause,
        keep: &mut impl FnMut(ItemView<'_>) -> bool,
    ) -> usize {
        if number >= self.index.bucket_count() {
            return 0;
        }
        let items: Vec<ItemId> = self.index.items_in(number).collect();
        let mut removed = 0;
        for id in items {
            if self.slab.expires_at(id).is_past(now) {
                self.expire(id);
            } else if !keep(self.slab.view(id)) {
                self.delete_for(id, cause);
                removed += 1;
            }
        }
        removed
    }

    /// Takes an item out of index and order and frees it.
    pub(super) fn unlink(&mut self, id: ItemId) -> Freed {
        let hash = self.hasher.hash_one(self.slab.key(id));
        self.index.remove(hash, id);
        let place = self.slab.place(id);
        self.strike(id, place, self.slab.item_bytes_at(place));
        self.slab.free(id)
    }

    /// Takes the item at `place`, of `item_bytes`, out of the order and the books.
    #[inline(always)]
    fn strike(&mut self, id: ItemId, place: Place, item_bytes: usize) {
        self.note_left(self.watched_locator(id));
        self.order.remove(&mut self.slab, id, place);
        self.item_bytes -= item_bytes;
        self.classes.at(place.class()).item_bytes -= item_bytes;
    }

    pub(super) fn delete(&mut self, id: ItemId) -> Freed {
        self.delete_for(id, Cause::Deleted)
    }

    pub(super) fn delete_for(&mut self, id: ItemId, cause: Cause) -> Freed {
        self.note_removal(id, cause);
        self.counters.deletes += 1;
        self.unlink(id)
    }

    pub(super) fn expire(&mut self, id: ItemId) -> Freed {
        self.note_removal(id, Cause::Expired);
        self.note_expired(id);
        self.unlink(id)
    }

    pub(super) fn evict(&mut self, id: ItemId) -> Freed {
        self.tell_evicted(id, self.slab.place(id));
        self.unlink(id)
    }

    /// As `evict`, but that the index still has the item, and its chunk is not free yet.
    #[inline(always)]
    pub(super) fn evict_but_for_index(&mut self, id: ItemId, place: Place) {
        let life = self.tell_evicted(id, place);
        self.strike(id, place, life.item_bytes);
        self.slab.retire(id, place);
    }

    /// The item at `place` is about to be evicted. Returns what it was.
    #[inline(always)]
    fn tell_evicted(&mut self, id: ItemId, place: Place) -> Life {
        self.show_evicted(id);
        self.note_removal(id, Cause::Evicted);
        let life = self.slab.life_at(place);
        self.note_evicted(place.class(), life);
        life
    }
}
