//! Expired items give their memory back: on request, and within bounds when a store needs room.
//!
//! One operation looks at a bounded number of chunks, and the next goes on where it stopped. Classes
//! take turns, and so do the pages of a class: a pass goes through all that are due before it begins
//! again.

use super::Shard;
use crate::arena::SizeClass;
use crate::index::Shrunk;
use crate::op::Maintained;
use crate::policy::Policy;
use crate::time::{ExpiresAt, Timestamp};

/// Chunks that one operation looks at for expired items before it evicts instead.
const CHUNKS_FOR_ROOM_MAX: usize = 2048;
/// Bytes to be stored for which it looks at one chunk more: giving up live items would take as long.
const BYTES_A_CHUNK_MORE: usize = 16;
/// Items that it expires at a time: there is room then, and others follow with the next operations.
const EXPIRED_A_STEP: usize = 32;
/// Bytes of a large item that take as long to give back as a chunk: an OS page.
const LARGE_BYTES_A_CHUNK: usize = 4096;

/// What one operation may still do to find expired items.
#[derive(Debug)]
pub(super) struct SweepBudget {
    chunks_left: usize,
}

impl SweepBudget {
    /// For an operation that needs room for `bytes`. Where nothing else can make any, nothing that has expired is
    /// left out.
    pub(super) fn for_room(policy: Policy, bytes: usize) -> Self {
        let chunks_left = match policy {
            Policy::NoEviction => usize::MAX,
            Policy::Adaptive | Policy::Lru => CHUNKS_FOR_ROOM_MAX + bytes / BYTES_A_CHUNK_MORE,
        };
        Self { chunks_left }
    }
}

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
    /// Expires what is due until `chunks_max` chunks have been looked at.
    pub(crate) fn maintain(&mut self, now: Timestamp, chunks_max: usize) -> Maintained {
        let mut done = Maintained::default();
        let before = self.counters.expirations;
        let classes = self.slab.class_count();
        for _ in 0..classes {
            let class = SizeClass::first(classes).nth(self.next_class % classes);
            let class = class.expect("a remainder is below the number of classes");
            let mut left = chunks_max - done.examined_count;
            let (left_before, expired_before) = (left, self.counters.expirations);
            while self.may_have_expired(class, now) && left > 0 {
                self.expire_due(class, now, usize::MAX, &mut left);
            }
            done.examined_count = chunks_max - left;
            if left < left_before {
                let swept = self.counters.expirations - expired_before;
                let class = self.classes.at(class);
                class.examined += (left_before - left) as u64;
                class.swept += swept;
            }
            // The next call begins with the next class, even where this one has more.
            self.next_class += 1;
            if self.may_have_expired(class, now) {
                done.more_due = true;
                break;
            }
        }
        let expired = self.counters.expirations - before;
        done.expired_count = usize::try_from(expired).expect("no more than there are items");
        done
    }

    /// Takes up to `merges_max` buckets out of an index that is larger than its items need; true if
    /// any went.
    pub(crate) fn shrink_index(&mut self, merges_max: usize) -> bool {
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

    /// Expires a few items, those of `class` first, as far as `budget` reaches; true if there were any.
    pub(super) fn expire_for_room(
        &mut self,
        class: SizeClass,
        now: Timestamp,
        budget: &mut SweepBudget,
    ) -> bool {
        if !self.slab.any_may_have_expired(now) && self.large_sweep.left == 0 {
            return false;
        }
        for class in std::iter::once(class).chain(self.all_classes()) {
            while self.may_have_expired(class, now) && budget.chunks_left > 0 {
                if self.expire_due(class, now, EXPIRED_A_STEP, &mut budget.chunks_left) > 0 {
                    return true;
                }
            }
        }
        self.slab.renew_bound();
        false
    }

    /// Expires up to `items_max` items of the class, looking at `left` chunks at the most. Returns how
    /// many went.
    fn expire_due(
        &mut self,
        class: SizeClass,
        now: Timestamp,
        items_max: usize,
        left: &mut usize,
    ) -> usize {
        if class == self.slab.large_class() {
            return self.expire_large(now, items_max, left);
        }
        let mut expired_count = 0;
        while expired_count < items_max
            && let Some(id) = self.slab.next_expired(class, now, left)
        {
            self.expire(id);
            expired_count += 1;
        }
        expired_count
    }

    fn may_have_expired(&self, class: SizeClass, now: Timestamp) -> bool {
        self.slab.may_have_expired(class, now)
            || class == self.slab.large_class() && self.large_sweep.left > 0
    }

    /// Goes on with the pass over the large items, as `expire_due`.
    fn expire_large(&mut self, now: Timestamp, items_max: usize, left: &mut usize) -> usize {
        if self.large_sweep.left == 0 {
            self.large_sweep.left = self.slab.large_items().len();
            self.slab.set_large_bound(ExpiresAt::NEVER);
        }
        let mut expired_count = 0;
        while expired_count < items_max && *left > 0 {
            let items = self.slab.large_items();
            let Some(position) = self.large_sweep.left.min(items.len()).checked_sub(1) else {
                self.large_sweep.left = 0;
                break;
            };
            let id = items[position];
            self.large_sweep.left = position;
            let expires_at = self.slab.expires_at(id);
            let mut cost = 1;
            if expires_at.is_past(now) {
                cost += self.slab.run_bytes_of(id) / LARGE_BYTES_A_CHUNK;
                self.expire(id);
                expired_count += 1;
            } else {
                self.slab.note_expiry(id, expires_at);
            }
            *left = left.saturating_sub(cost);
        }
        expired_count
    }
}
