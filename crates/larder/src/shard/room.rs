//! Where memory comes from when a chunk is wanted and none is free.
//!
//! In this order: expired items, as far as a bounded look finds them (maintain.rs; the wanted class
//! first), the class's oldest item, the page of the shard's oldest item. `keep` is an item that the
//! operation under way still needs.

use super::Shard;
use crate::arena::{Freed, ItemId, PageSlot, SizeClass};
use crate::expiry;
use crate::policy::{Lru, Policy};
use crate::time::Timestamp;

/// Items of a class walked over in search of a page that may be given up.
const RELEASE_STEPS_MAX: usize = 64;

impl Shard {
    /// Gives memory of this shard back to the pool: that of expired items if there are any, else, if
    /// the policy evicts, the page of the oldest item, else what the index does not need. False if
    /// there is nothing to give.
    pub(crate) fn give_up_memory(&mut self, now: Timestamp) -> bool {
        self.expire_for_room(self.slab.large_class(), now)
            || self.policy != Policy::NoEviction && self.release_oldest(None)
            || self.shrink_index(usize::MAX)
    }

    /// One step towards a free chunk of `class`; false if nothing is left to give.
    pub(super) fn make_room(
        &mut self,
        class: SizeClass,
        keep: Option<ItemId>,
        now: Timestamp,
    ) -> bool {
        debug_assert!(keep.is_none_or(|id| !self.slab.expires_at(id).is_past(now)));
        if self.expire_for_room(class, now) {
            return true;
        }
        if self.policy == Policy::NoEviction {
            return false;
        }
        // A chunk of the class is worth the class's oldest item. A large item needs bytes, and
        // whatever is oldest has them.
        let oldest = self.lru[class.index()].oldest();
        match oldest {
            Some(id) if class != self.slab.large_class() && keep != Some(id) => {
                self.evict(id);
                true
            }
            _ => self.release_oldest(keep),
        }
    }

    /// Gives one page, or one large item's run, back to the pool: that of the shard's oldest item
    /// that does not share its page with `keep`. O(classes + chunks of the page).
    pub(super) fn release_oldest(&mut self, keep: Option<ItemId>) -> bool {
        let candidates = self
            .all_classes()
            .filter_map(|class| self.release_candidate(class, keep));
        let Some(oldest) = candidates.min_by_key(|&id| self.slab.accessed_seconds(id)) else {
            return false;
        };
        match self.slab.page_of(oldest) {
            None => {
                self.evict(oldest);
            }
            Some(page) => self.evict_page(page),
        }
        true
    }

    /// The oldest item of the class that may be given up with its whole page.
    fn release_candidate(&self, class: SizeClass, keep: Option<ItemId>) -> Option<ItemId> {
        let oldest = self.lru[class.index()].oldest();
        let walk = std::iter::successors(oldest, |&id| Lru::newer(&self.slab, id));
        walk.take(RELEASE_STEPS_MAX).find(|&id| match keep {
            None => true,
            Some(keep) if keep == id => false,
            Some(keep) => match (self.slab.page_of(id), self.slab.page_of(keep)) {
                (Some(page), Some(kept)) => page != kept,
                _ => true,
            },
        })
    }

    fn evict_page(&mut self, page: PageSlot) {
        let mut from = 0;
        while let Some((id, next)) = expiry::next_live(&self.slab, page, from) {
            from = next;
            if self.evict(id) == Freed::Page {
                return;
            }
        }
    }
}
