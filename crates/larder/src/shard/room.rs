//! Where memory comes from when a chunk is wanted and none is free.
//!
//! In this order: expired items (of the wanted class first), the class's oldest item, the page of
//! the shard's oldest item. `keep` is an item that the operation under way still needs.

use super::Shard;
use crate::arena::{Freed, ItemId, PageSlot, SizeClass};
use crate::expiry;
use crate::op::Maintained;
use crate::policy::{Lru, Policy};
use crate::time::{ExpiresAt, Timestamp};

/// Items of a class walked over in search of a page that may be given up.
const RELEASE_STEPS_MAX: usize = 64;

impl Shard {
    /// Expires what is due, page by page, until about `chunks_max` chunks have been looked at.
    pub(crate) fn maintain(&mut self, now: Timestamp, chunks_max: usize) -> Maintained {
        let mut done = Maintained::default();
        let before = self.counters.expirations;
        for class in self.all_classes() {
            while self.slab.may_have_expired(class, now) {
                if done.examined_count >= chunks_max {
                    done.more_due = true;
                    break;
                }
                done.examined_count += self.expire_due(class, now);
            }
        }
        let expired = self.counters.expirations - before;
        done.expired_count = usize::try_from(expired).expect("no more than there are items");
        done
    }

    /// Gives memory of this shard back to the pool, for another shard: expired items' if there are
    /// any, else the page of the oldest item. False if there is nothing to give.
    pub(crate) fn give_up_memory(&mut self, now: Timestamp) -> bool {
        self.expire_any(now) || self.release_oldest(None)
    }

    /// One step towards a free chunk of `class`; false if nothing is left to give.
    pub(super) fn make_room(
        &mut self,
        class: SizeClass,
        keep: Option<ItemId>,
        now: Timestamp,
    ) -> bool {
        if self.expire_in(class, keep, now) || self.expire_any_but(keep, now) {
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

    pub(super) fn expire_any(&mut self, now: Timestamp) -> bool {
        self.expire_any_but(None, now)
    }

    /// Expires what is due in some class; false if nothing was.
    fn expire_any_but(&mut self, keep: Option<ItemId>, now: Timestamp) -> bool {
        self.all_classes()
            .any(|class| self.expire_in(class, keep, now))
    }

    /// Expires what is due in the next pages of the class until something was; false if nothing.
    fn expire_in(&mut self, class: SizeClass, keep: Option<ItemId>, now: Timestamp) -> bool {
        debug_assert!(keep.is_none_or(|id| !self.slab.expires_at(id).is_past(now)));
        let before = self.counters.expirations;
        while self.slab.may_have_expired(class, now) && self.counters.expirations == before {
            self.expire_due(class, now);
        }
        self.counters.expirations > before
    }

    /// Expires what is due in one page of the class, or among all large items. Returns the chunks
    /// looked at.
    fn expire_due(&mut self, class: SizeClass, now: Timestamp) -> usize {
        if class == self.slab.large_class() {
            return self.expire_large(now);
        }
        let Some(page) = expiry::take_due_page(&mut self.slab, class, now) else {
            return 0;
        };
        let chunks = self.slab.chunks_in(page);
        let mut from = 0;
        while let Some((id, next)) = expiry::next_expired(&mut self.slab, page, from, now) {
            from = next;
            if self.expire(id) == Freed::Page {
                break;
            }
        }
        chunks
    }

    /// Expires the due ones among the large items; there are few, each at least half a page.
    fn expire_large(&mut self, now: Timestamp) -> usize {
        let large = self.slab.large_class();
        let mut bound = ExpiresAt::NEVER;
        let mut examined_count = 0;
        let mut at = self.lru[large.index()].oldest();
        while let Some(id) = at {
            at = Lru::newer(&self.slab, id);
            examined_count += 1;
            let expires_at = self.slab.expires_at(id);
            if expires_at.is_past(now) {
                self.expire(id);
            } else {
                bound = bound.earlier(expires_at);
            }
        }
        self.slab.set_large_bound(bound);
        examined_count
    }
}
