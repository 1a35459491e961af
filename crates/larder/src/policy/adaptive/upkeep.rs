//! What the order keeps besides the items: entries of rings, fingerprints, and the bytes of both.
//!
//! They grow with the items on probation and with all items, and are counted in the limit. A little is
//! done at every insert, so that no insert does much.

use super::Adaptive;
use super::class::{self, Class};
use super::large::Large;
use crate::arena::{ItemId, SizeClass, Slab};

/// Entries without an item that stay in any ring.
const STALE_ENTRIES_MIN: usize = 128;

impl Adaptive {
    pub(in crate::policy) fn reserve(&mut self, slab: &Slab, class: SizeClass) -> bool {
        if self.evicted && !self.fit_ghost(slab) {
            return false;
        }
        if class == slab.large_class() {
            return true;
        }
        self.tidy(slab, class);
        self.rings.reserve(class)
    }

    /// Takes a few entries without an item out of a ring that has too many of them. For every entry that
    /// is added, so that they stay in proportion. O(1).
    #[inline(always)]
    pub(in crate::policy) fn tidy(&mut self, slab: &Slab, class: SizeClass) {
        // Order suffers a little where live ones go to the end.
        if class != slab.large_class() && self.is_mostly_stale(class) {
            self.rotate(slab, class);
            self.rotate(slab, class);
        }
    }

    /// `id`, which has just been named as the next victim, stays, in the main region. If it comes from
    /// probation the hand may meet it at once: it has a use to lose then.
    pub(in crate::policy) fn spare(&mut self, slab: &mut Slab, id: ItemId) {
        let class = slab.class_of(id);
        self.dirty |= 1 << class.index();
        let state = slab.state(id);
        if class == slab.large_class() {
            self.large.remove(slab, id);
            slab.set_state(id, state.main().with_uses(0));
            self.large.enter(slab, id, self.inflation, false);
        } else if !state.is_main() {
            slab.set_state(id, state.main().with_uses(1));
            let queues = &mut self.classes[class.index()];
            queues.probation -= 1;
            queues.main += 1;
        }
    }

    /// Lets go of what items have left behind that are gone. O(what is kept).
    pub(in crate::policy) fn trim(&mut self, slab: &Slab) {
        for class in SizeClass::first(self.classes.len()) {
            // Once around at most: an item whose value went to and fro between two chunks has several
            // entries that look current, and then no number of turns leaves fewer.
            for _ in 0..self.rings.len(class) {
                if !self.is_mostly_stale(class) || !self.rotate(slab, class) {
                    break;
                }
            }
        }
        self.ghost.shrink(Self::remembered_max(slab));
    }

    pub(in crate::policy) fn clear(&mut self) {
        for class in &mut self.classes {
            *class = Class::default();
        }
        self.large = Large::default();
        for index in 0..=self.classes.len() {
            *self.used_at(index) = self.stored_bytes;
        }
        self.values.fill(f64::INFINITY);
        self.dirty = 0;
        self.rings.clear();
        self.ghost.clear();
        self.evicted = false;
    }

    /// An item was read, or its value replaced: its class is in use.
    pub(in crate::policy) fn note_use(&mut self, class: SizeClass) {
        self.dirty |= 1 << class.index();
        *self.used_at(class.index()) = self.stored_bytes;
    }

    /// When a class was last used, the large one last.
    fn used_at(&mut self, index: usize) -> &mut u64 {
        match self.classes.get_mut(index) {
            Some(class) => &mut class.used_at,
            None => &mut self.large.used_at,
        }
    }

    /// Takes over what readers without the lock have noted: before any turnover that comes after them.
    pub(super) fn note_uses(&mut self) {
        let used = self.uses.take();
        self.dirty |= used;
        let mut left = used;
        while left != 0 {
            *self.used_at(left.trailing_zeros() as usize) = self.stored_bytes;
            left &= left - 1;
        }
    }

    pub(in crate::policy) fn charged_bytes(&self) -> usize {
        self.rings.bytes() + self.ghost.bytes()
    }

    pub(in crate::policy) fn validate(&self, slab: &Slab, live: &[ItemId]) {
        let large = slab.large_class();
        let mut known = self.large.validate(slab).len();
        for class in SizeClass::first(large.index()) {
            let queues = &self.classes[class.index()];
            known += queues.len();
            assert_eq!(queues.len(), slab.used_count(class));
            let current = self.rings.entries(class).filter(|&entry| {
                let item = class::current(slab, class, entry, &self.hasher);
                item.is_some()
            });
            let entered: std::collections::HashSet<_> =
                current.map(|entry| entry.id.number()).collect();
            assert_eq!(
                entered.len(),
                queues.probation,
                "an entry for each on probation"
            );
        }
        assert_eq!(known, live.len());
        self.rings.validate();
    }

    /// Whether entries without an item are the greater part of a ring.
    fn is_mostly_stale(&self, class: SizeClass) -> bool {
        let probation = self.classes[class.index()].probation;
        self.rings.len(class) > 2 * probation + STALE_ENTRIES_MIN
    }

    /// Takes the oldest entry out if its item is gone; else makes it the newest. False if that takes
    /// memory, or there is no entry.
    fn rotate(&mut self, slab: &Slab, class: SizeClass) -> bool {
        let Some(entry) = self.rings.oldest(class) else {
            return false;
        };
        let current = class::current(slab, class, entry, &self.hasher).is_some();
        if current && !self.rings.can_push(class) {
            return false;
        }
        self.rings.pop(class);
        if current {
            let pushed = self.rings.push(class, entry, self.inflation);
            debug_assert!(pushed, "looked at above");
        }
        true
    }

    /// A step of the ghost towards its size; false if that takes memory that the limit does not allow.
    fn fit_ghost(&mut self, slab: &Slab) -> bool {
        self.ghost.fit(Self::remembered_max(slab))
    }

    /// Keys that the ghost is to remember: as many as there are items.
    fn remembered_max(slab: &Slab) -> usize {
        slab.item_count()
    }
}
