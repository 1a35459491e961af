//! Where memory comes from when a chunk is wanted and none is free.
//!
//! In this order: expired items, as far as a bounded look for them reaches (maintain.rs; the wanted class
//! first); a page of another class, if what that would lose is worth less; the next victim of the class
//! itself. `keep` is an item that the operation under way still needs.
//!
//! A page changes its class by being drained: its items move to other pages of their class, and for
//! those that find no room there the class evicts, in its usual order. So a page costs the class
//! what it would have lost next, and no item that is used is lost for standing in the wrong page. A
//! drain goes on by some items with every store that needs room.

use super::Shard;
use super::maintain::SweepBudget;
use crate::arena::{ItemId, SizeClass, Slab, State};
use crate::index::Vacancy;
use crate::policy::Policy;
use crate::time::Timestamp;

/// Items of a page being drained that one store deals with, at least: so many, or of so many bytes.
const DRAIN_ITEMS_MIN: usize = 512;
const DRAIN_BYTES_MIN: usize = 64 << 10;
/// Bytes of such items, for each byte of the item to be stored.
const DRAIN_BYTES_A_BYTE: usize = 8;
/// Items that are evicted together, at the most, and items of their class for each of them.
const VICTIMS_MAX: usize = 8;
const ITEMS_A_VICTIM: usize = 512;

impl Shard {
    /// Gives memory of this shard back to the pool: that of expired items if there are any, else, if
    /// the policy evicts, a page of what it would evict, else what index and policy do not need. False
    /// if there is nothing to give.
    pub(crate) fn give_up_memory(&mut self, now: Timestamp) -> bool {
        self.classes.begin(now);
        let mut budget = SweepBudget::for_room(self.policy, 0);
        self.expire_for_room(self.slab.large_class(), now, &mut budget)
            || self.give_up_page(None, now)
            || self.shrink_index(usize::MAX)
            || self.shrink_order()
    }

    /// Evicts one item, the one that the policy would give up first; false if there is none.
    pub(crate) fn evict_cheapest(&mut self, now: Timestamp) -> bool {
        self.classes.begin(now);
        let cheapest = self.order.cheapest(&self.slab);
        cheapest.is_some_and(|class| self.evict_next(class, None))
    }

    /// An item written by `write`, for which room is made as long as it finds none, but not by evicting
    /// `keep`. `None` if there is no more to be made.
    pub(super) fn with_memory<T>(
        &mut self,
        item_bytes: usize,
        keep: Option<ItemId>,
        now: Timestamp,
        mut write: impl FnMut(&mut Slab) -> Option<T>,
    ) -> Option<T> {
        let mut budget = None;
        loop {
            let written = write(&mut self.slab);
            if written.is_some() {
                return written;
            }
            let budget = budget.get_or_insert_with(|| self.begin_room(item_bytes, now));
            if !self.make_room(item_bytes, keep, now, budget) {
                return None;
            }
        }
    }

    /// Room for `bytes` is needed. Most stores find theirs.
    fn begin_room(&mut self, bytes: usize, now: Timestamp) -> SweepBudget {
        self.classes.begin(now);
        SweepBudget::for_room(self.policy, bytes)
    }

    /// A slot of the index for `hash`; room for its growth is made by evicting.
    pub(super) fn reserve_index(&mut self, hash: u64, now: Timestamp) -> Option<Vacancy> {
        let mut budget = None;
        loop {
            let Self {
                index,
                slab,
                hasher,
                ..
            } = self;
            let vacancy = index.reserve(hash, |id| hasher.hash_one(slab.key(id)));
            if vacancy.is_some() {
                return vacancy;
            }
            let budget = budget.get_or_insert_with(|| self.begin_room(0, now));
            let large = self.slab.large_class();
            let found = self.arena.empty_trash() || self.expire_for_room(large, now, budget);
            if !(found || self.give_up_page(None, now)) {
                return None;
            }
        }
    }

    /// Makes sure that the policy finds the memory that an insert takes of it. Where there is none, the
    /// insert is taken in all the same.
    pub(super) fn reserve_order(&mut self, item_bytes: usize, now: Timestamp) {
        let class = self.slab.class_for(item_bytes);
        if self.order.reserve(&self.slab, class) {
            return;
        }
        let mut budget = self.begin_room(0, now);
        let large = self.slab.large_class();
        if self.expire_for_room(large, now, &mut budget) || self.give_up_page(None, now) {
            self.order.reserve(&self.slab, class);
        }
    }

    /// One step towards a free chunk for an item of `item_bytes`; false if nothing is left to give.
    fn make_room(
        &mut self,
        item_bytes: usize,
        keep: Option<ItemId>,
        now: Timestamp,
        budget: &mut SweepBudget,
    ) -> bool {
        debug_assert!(keep.is_none_or(|id| !self.slab.expires_at(id).is_past(now)));
        let class = self.slab.class_for(item_bytes);
        // Evicted already, and wanted now.
        if self.arena.empty_trash() || self.expire_for_room(class, now, budget) {
            return true;
        }
        if self.policy == Policy::NoEviction {
            return false;
        }
        // A large item needs bytes, and whatever is worth least has them.
        if class == self.slab.large_class() {
            return self.give_up_page(keep, now);
        }
        let source = match self.slab.page_count(class) {
            0 => self.slab.host_of(class),
            _ => Some(class),
        };
        source.is_some_and(|class| {
            self.rebalance(class, item_bytes, keep, now) || self.evict_ahead(class, keep, now)
        }) || self.give_up_page(keep, now)
    }

    /// Goes on with the move of a page to `class`, or begins one if it pays; true if memory came free.
    fn rebalance(
        &mut self,
        class: SizeClass,
        item_bytes: usize,
        keep: Option<ItemId>,
        now: Timestamp,
    ) -> bool {
        let giver = match self.slab.draining_class() {
            Some(giver) if giver == class => {
                // It wants memory itself by now.
                self.slab.end_drain();
                return true;
            }
            Some(giver) => giver,
            None => {
                let Some(giver) = self.order.giver(&self.slab, class, now) else {
                    return false;
                };
                if giver == self.slab.large_class() {
                    return self.evict_next(giver, keep);
                }
                let position = self.order.page_position(giver);
                if !self.slab.begin_drain(giver, position, keep) {
                    return false;
                }
                giver
            }
        };
        let each = self.slab.bytes_each(giver);
        let items_min = DRAIN_ITEMS_MIN.min(DRAIN_BYTES_MIN / each).max(1);
        let items = DRAIN_BYTES_A_BYTE * item_bytes / each;
        self.drain(items.max(items_min), keep, now)
    }

    /// Gives one page, or one large item's run, back to the pool, of what is worth least and does not
    /// share its page with `keep`. O(classes + items of the page).
    fn give_up_page(&mut self, keep: Option<ItemId>, now: Timestamp) -> bool {
        // A chunk that is free in its page gives nobody else anything: only a page does.
        if self.slab.free_spare() {
            return true;
        }
        // What was read when it went may be all that is left.
        if self.slab.retry_limbo() {
            return true;
        }
        if self.slab.draining_class().is_some() && self.drain(usize::MAX, keep, now) {
            return true;
        }
        let Some(cheapest) = self.order.cheapest(&self.slab) else {
            return false;
        };
        // Where `keep` stands in the way of the cheapest, any other class will do.
        let classes = std::iter::once(cheapest).chain(self.all_classes());
        classes
            .into_iter()
            .any(|class| self.give_up_page_of(class, keep, now))
    }

    fn give_up_page_of(&mut self, class: SizeClass, keep: Option<ItemId>, now: Timestamp) -> bool {
        if class == self.slab.large_class() {
            return self.evict_next(class, keep);
        }
        if self.slab.page_count(class) == 0 {
            return false;
        }
        self.slab.end_drain();
        let position = self.order.page_position(class);
        self.slab.begin_drain(class, position, keep) && self.drain(usize::MAX, keep, now)
    }

    /// Deals with up to `items_max` items of the page that is being drained; true if it is empty now.
    fn drain(&mut self, items_max: usize, keep: Option<ItemId>, now: Timestamp) -> bool {
        for _ in 0..items_max {
            let Some((class, id)) = self.slab.next_to_drain() else {
                let gone = self.slab.draining_class().is_none();
                self.slab.end_drain();
                return gone;
            };
            if keep.is_some_and(|keep| self.slab.page_of(keep) == self.slab.page_of(id)) {
                return false;
            }
            if self.slab.expires_at(id).is_past(now) {
                self.expire(id);
            } else if !self.relocate(id) {
                if self.order.ends_with_page(&mut self.slab, id) {
                    self.evict(id);
                } else if !self.evict_next(class, keep) {
                    self.slab.end_drain();
                    return false;
                } else if self.is_live_in(class, id) {
                    // The chunk that came free is for this one, unless it was the victim.
                    self.relocate(id);
                }
            }
        }
        self.slab.draining_class().is_none()
    }

    /// Whether `id` still names an item of `class` here. The last of its page takes the page with it, which
    /// may be another shard's by now.
    fn is_live_in(&self, class: SizeClass, id: ItemId) -> bool {
        let state = self.slab.state_if_of(id, class);
        state.is_some_and(State::is_live)
    }

    /// Moves an item of the page that is being drained to another chunk of its class; false if none is
    /// free.
    pub(super) fn relocate(&mut self, id: ItemId) -> bool {
        let Some(new) = self.slab.relocate(id) else {
            return false;
        };
        let hash = self.hasher.hash_one(self.slab.key(id));
        self.index.swap(hash, id, new);
        self.order.relocate(&mut self.slab, id, new, hash);
        self.slab.free(id);
        true
    }

    /// Evicts the next item of a class; false if there is none.
    fn evict_next(&mut self, class: SizeClass, keep: Option<ItemId>) -> bool {
        let evicted = self.evict_up_to(1, class, keep);
        self.slab.retry_limbo();
        evicted
    }

    /// Evicts the next item of a class, and some more if they are few beside its items: the stores to come find
    /// their memory. What each of them would wait for alone, lines of memory and the look at who reads, is waited
    /// for once. One only, if memory of expired items may be found then. False if there is none.
    fn evict_ahead(&mut self, class: SizeClass, keep: Option<ItemId>, now: Timestamp) -> bool {
        let count = if self.slab.any_may_have_expired(now) {
            1
        } else {
            let few = self.slab.used_count(class) / ITEMS_A_VICTIM;
            few.clamp(1, VICTIMS_MAX)
        };
        self.prefetch_victims(class, count);
        let evicted = self.evict_up_to(count, class, keep);
        self.slab.keep_spare();
        evicted
    }

    /// Evicts up to `count` items of a class, whose chunks are in limbo afterwards; false if there is none.
    fn evict_up_to(&mut self, count: usize, class: SizeClass, keep: Option<ItemId>) -> bool {
        let mut victims = [None; VICTIMS_MAX];
        for slot in &mut victims[..count] {
            let Self {
                order,
                slab,
                hasher,
                ..
            } = self;
            let Some(victim) = order.next_victim(slab, hasher, class, keep) else {
                break;
            };
            debug_assert_ne!(keep, Some(victim.id));
            self.index.prefetch(victim.hash);
            self.order.prefetch(victim.hash);
            self.evict_but_for_index(victim.id, victim.place);
            *slot = Some(victim);
        }
        // Their lines of index and policy have been asked for, and are waited for together.
        for victim in victims.iter().flatten() {
            self.order.remember(victim);
            self.index.remove(victim.hash, victim.id);
        }
        victims[0].is_some()
    }

    /// Gives back what the policy keeps of items that are gone.
    pub(crate) fn trim_order(&mut self) {
        self.order.trim(&self.slab);
    }

    /// Gives back what the policy keeps of items that have gone, once all have; true if that was any.
    pub(super) fn shrink_order(&mut self) -> bool {
        let shrinks = self.item_count() == 0 && self.order.charged_bytes() > 0;
        if shrinks {
            self.order.clear();
        }
        shrinks
    }
}
