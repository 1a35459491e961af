//! Expired items give their memory back: on request, and within bounds when a store needs room.
//!
//! A page is opened when its bound says that something in it may have expired. Pages and classes
//! take turns, so that every opened page has had time to gather expired items, and no page is
//! opened again and again while others wait.

use super::Shard;
use crate::arena::{Freed, SizeClass};
use crate::expiry;
use crate::index::Shrunk;
use crate::op::Maintained;
use crate::policy::Policy;
use crate::time::{ExpiresAt, Timestamp};

/// Due pages that one store opens before it evicts instead.
const PAGES_FOR_ROOM_MAX: usize = 2;
/// Large items that one step of their sweep looks at.
const LARGE_ITEMS_A_STEP: usize = 64;
/// Buckets of the index that one call of `maintain` gives up at the most.
const INDEX_MERGES_MAX: usize = 1024;

/// How far the sweep of the large items has come; they stand in no page.
///
/// It goes from the last position to the first: what is stored meanwhile comes behind it and notes
/// its own expiry, and what moves to a gap has been looked at.
#[derive(Debug, Default)]
pub(super) struct LargeSweep {
    /// Positions below this are still to be looked at; 0 between two passes.
    left: usize,
}

impl Shard {
    /// Expires what is due, page by page, until about `chunks_max` chunks have been looked at; lets
    /// an index that has become too large shrink.
    pub(crate) fn maintain(&mut self, now: Timestamp, chunks_max: usize) -> Maintained {
        let mut done = Maintained::default();
        let before = self.counters.expirations;
        let classes = self.slab.class_count();
        for _ in 0..classes {
            let class = SizeClass::first(classes).nth(self.next_class % classes);
            let class = class.expect("a remainder is below the number of classes");
            while self.may_have_expired(class, now) && done.examined_count < chunks_max {
                done.examined_count += self.expire_due(class, now).max(1);
            }
            // The next call begins with the next class, even where this one has more.
            self.next_class += 1;
            if self.may_have_expired(class, now) {
                done.more_due = true;
                break;
            }
        }
        self.shrink_index(INDEX_MERGES_MAX);
        let expired = self.counters.expirations - before;
        done.expired_count = usize::try_from(expired).expect("no more than there are items");
        done
    }

    /// Takes up to `merges_max` buckets out of an index that is larger than its items need; true if
    /// any went.
    pub(super) fn shrink_index(&mut self, merges_max: usize) -> bool {
        let Self {
            index,
            slab,
            hasher,
            ..
        } = self;
        let mut merges = 0;
        while merges < merges_max && index.shrink(|id| hasher.hash_one(slab.key(id))) == Shrunk::One
        {
            merges += 1;
        }
        merges > 0
    }

    /// Looks for expired items in a few due pages, those of `class` first; true if there were any.
    /// Under `Policy::NoEviction`, where nothing else can make room, it looks at all that are due.
    pub(super) fn expire_for_room(&mut self, class: SizeClass, now: Timestamp) -> bool {
        let before = self.counters.expirations;
        let pages_max = match self.policy {
            Policy::NoEviction => usize::MAX,
            Policy::Adaptive | Policy::Lru => PAGES_FOR_ROOM_MAX,
        };
        let mut pages = 0;
        for class in std::iter::once(class).chain(self.all_classes()) {
            while self.may_have_expired(class, now) && pages < pages_max {
                self.expire_due(class, now);
                pages += 1;
                if self.counters.expirations > before {
                    return true;
                }
            }
        }
        false
    }

    /// Expires what is due in one page of the class, or among some large items. Returns the chunks
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

    fn may_have_expired(&self, class: SizeClass, now: Timestamp) -> bool {
        self.slab.may_have_expired(class, now)
            || class == self.slab.large_class() && self.large_sweep.left > 0
    }

    /// Goes on with the pass over the large items. Returns how many were looked at.
    fn expire_large(&mut self, now: Timestamp) -> usize {
        if self.large_sweep.left == 0 {
            self.large_sweep.left = self.slab.large_items().len();
            self.slab.set_large_bound(ExpiresAt::NEVER);
        }
        let mut examined_count = 0;
        while examined_count < LARGE_ITEMS_A_STEP {
            let items = self.slab.large_items();
            let left = self.large_sweep.left.min(items.len());
            let Some(position) = left.checked_sub(1) else {
                self.large_sweep.left = 0;
                break;
            };
            let id = items[position];
            self.large_sweep.left = position;
            examined_count += 1;
            let expires_at = self.slab.expires_at(id);
            if expires_at.is_past(now) {
                self.expire(id);
            } else {
                self.slab.note_expiry(id, expires_at);
            }
        }
        examined_count
    }
}
