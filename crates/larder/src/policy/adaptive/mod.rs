//! The default order: probation and a main region for every size class, classes compared by value.
//!
//! A hit counts a use in the item's state and does nothing else. All ordering happens at an eviction, one
//! item at a time: the head of a class is promoted, spared, or named as the victim.
//!
//! ```text
//! store     remembered by the ghost, or still filling and probation has its share: main; else probation
//! head      probation's oldest if probation is over its share or main is empty, else under the hand
//! probation used often enough: main, uses = 0, stays in its chunk; else victim, the ghost remembers it
//! main      uses > 0: uses -= 1, the hand goes on; else victim
//! value     probation: stamp + 1 / bytes; main: stamp + weight / bytes  GreedyDual-Size's L + 1 / size
//!           the lesser of both while probation is next: what nobody uses in main makes a class shrink
//! stamp     the inflation when the entry came, or when the hand last left the page
//! inflation the least value of all heads so far
//! ```
//! Probation's share, the uses that promote and main's weight are chosen by [`Tuning`]. The simulator in benches/ says
//! what each part is worth.

mod class;
mod duel;
mod ghost;
mod large;
mod miniature;
mod ring;
mod save;
mod tuning;
mod upkeep;
mod worth;

pub(crate) use tuning::Tuning;

use std::sync::Arc;

use crate::arena::{Arena, Entry, ItemId, Place, SizeClass, Slab, prefetch_to_write};
use crate::hasher::KeyHasher;
use crate::policy::{Standing, Uses, Victim};
use class::{Class, Current};
use ghost::Ghost;
use large::Large;
use miniature::Weight;
use ring::Rings;
use tuning::{Choice, Scale};

/// The order of one shard's items. What every store writes stands in the first line, what is only read or seldom
/// written behind it: processors pass lines to each other one by one.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Adaptive {
    /// The classes whose entries in `values` are out of date.
    dirty: u128,
    /// Bytes stored as new items so far: the clock by which classes are idle.
    stored_bytes: u64,
    /// What that is when idle classes are looked for next.
    review_at: u64,
    inflation: f64,
    choice: Choice,
    /// By size class, the large one apart.
    classes: Box<[Class]>,
    rings: Rings,
    ghost: Ghost,
    uses: Arc<Uses>,
    tuning: Arc<Tuning>,
    hasher: KeyHasher,
    shard_count: usize,
    /// Whether anything was ever evicted.
    evicted: bool,
    /// What the head of each class is worth, the large one last.
    values: Box<[f64]>,
    large: Large,
}

/// What an order takes from the cache that it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdaptiveParts<'a> {
    pub(crate) arena: &'a Arc<Arena>,
    pub(crate) hasher: &'a KeyHasher,
    pub(crate) tuning: &'a Arc<Tuning>,
    /// What readers without the lock note.
    pub(crate) uses: &'a Arc<Uses>,
    pub(crate) shard_count: usize,
}

/// What a look at a head came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Evict(Victim),
    Spared,
    Empty,
}

/// Looks after which an eviction takes what is at the head.
const STEPS_MAX: usize = 64;
/// Probation's share while nothing was evicted yet; the rest goes to main at once.
const FILL_SHARE: Choice = Choice {
    share: 0.1,
    promote_uses: 2,
    main_weight: 3.0,
};
/// A large item above this part of a full cache leaves before all others: it would cost too many.
const URGENT_PART: usize = 10;

impl Adaptive {
    pub(crate) fn new(parts: &AdaptiveParts<'_>, slab: &Slab) -> Self {
        let arena = parts.arena;
        let large = slab.large_class().index();
        assert!(large < 128, "a class is a bit of `dirty`");
        Self {
            classes: (0..large).map(|_| Class::default()).collect(),
            rings: Rings::new(arena, large),
            large: Large::default(),
            values: vec![f64::INFINITY; large + 1].into_boxed_slice(),
            dirty: 0,
            stored_bytes: 0,
            review_at: 0,
            inflation: 0.0,
            ghost: Ghost::new(arena),
            choice: parts.tuning.choice(),
            tuning: Arc::clone(parts.tuning),
            uses: Arc::clone(parts.uses),
            shard_count: parts.shard_count,
            evicted: false,
            hasher: parts.hasher.clone(),
        }
    }

    /// Takes a new item in.
    pub(super) fn insert(
        &mut self,
        slab: &mut Slab,
        id: ItemId,
        place: Place,
        hash: u64,
        standing: Standing,
    ) {
        let class = place.class();
        if standing == Standing::New {
            let remembered = self.ghost.take(hash);
            let filling = !self.evicted && self.is_over(slab, id, class, FILL_SHARE);
            if remembered || filling {
                slab.set_state_at(place, slab.state_at(place).main());
            }
        }
        self.note_uses();
        self.stored_bytes += u64::from(Self::weight(slab, id, class).bytes);
        self.note_use(class);
        self.enter_at(slab, id, place, hash);
    }

    /// Takes an item in where its state says.
    pub(super) fn enter(&mut self, slab: &mut Slab, id: ItemId, hash: u64) {
        self.enter_at(slab, id, slab.place(id), hash);
    }

    fn enter_at(&mut self, slab: &mut Slab, id: ItemId, place: Place, hash: u64) {
        let class = place.class();
        self.dirty |= 1 << class.index();
        if class == slab.large_class() {
            let urgent_bytes = self.scale(slab).bytes / URGENT_PART;
            let urgent = self.evicted && slab.run_bytes_of(id) > urgent_bytes;
            self.large.enter(slab, id, self.inflation, urgent);
            return;
        }
        let entry = Entry {
            id,
            tag: tag_of(hash),
        };
        let state = slab.state_at(place);
        if !state.is_main() && self.push(class, entry) {
            self.classes[class.index()].probation += 1;
            return;
        }
        // Also without memory for an entry: it is looked at in its chunk instead.
        slab.set_state_at(place, state.main());
        if let Some(page) = slab.page_of(id)
            && slab.page_stamp(page).is_none()
        {
            slab.set_page_stamp(page, self.inflation);
        }
        self.classes[class.index()].main += 1;
    }

    #[inline]
    pub(super) fn remove(&mut self, slab: &mut Slab, id: ItemId, place: Place) {
        let class = place.class();
        self.dirty |= 1 << class.index();
        if class == slab.large_class() {
            self.large.remove(slab, id);
            return;
        }
        let class = &mut self.classes[class.index()];
        if slab.state_at(place).is_main() {
            class.main -= 1;
        } else {
            class.probation -= 1;
        }
    }

    /// An item of a page that is given up has moved to another of its class. The hand may have passed
    /// that one already: its stamp is lowered, so that nothing gains a turn by moving.
    pub(super) fn relocate(&mut self, slab: &mut Slab, old: ItemId, new: ItemId, hash: u64) {
        if let (Some(from), Some(to)) = (slab.page_of(old), slab.page_of(new)) {
            let stamp = slab.page_stamp(from).unwrap_or(self.inflation);
            let lowered = slab.page_stamp(to).map_or(stamp, |other| other.min(stamp));
            slab.set_page_stamp(to, lowered);
        }
        self.remove(slab, old, slab.place(old));
        self.enter(slab, new, hash);
    }

    pub(super) fn next_victim(
        &mut self,
        slab: &mut Slab,
        class: SizeClass,
        keep: Option<ItemId>,
    ) -> Option<Victim> {
        if !self.evicted {
            self.evicted = true;
            self.tuning.begin(self.scale(slab));
        }
        let alone = slab.used_count(class) == 1;
        if alone && keep.is_some_and(|id| slab.class_of(id) == class) {
            return None;
        }
        self.dirty |= 1 << class.index();
        // Twice as many: after the first half only `keep` is spared.
        for step in 0..2 * STEPS_MAX {
            match self.step(slab, class, keep, step >= STEPS_MAX) {
                Step::Evict(victim) => return Some(victim),
                Step::Spared => {}
                Step::Empty => return None,
            }
        }
        None
    }

    /// Looks at the head of the class once. `force` spares nothing but `keep`.
    fn step(
        &mut self,
        slab: &mut Slab,
        class: SizeClass,
        keep: Option<ItemId>,
        force: bool,
    ) -> Step {
        if class == slab.large_class() {
            let Self { large, hasher, .. } = self;
            return large.step(slab, hasher, self.choice, self.inflation, keep, force);
        }
        if self.classes[class.index()].probation_is_next(self.choice) {
            let looked = self.step_probation(slab, class, keep, force);
            if looked != Step::Empty {
                return looked;
            }
        }
        let queues = &mut self.classes[class.index()];
        match queues.next_main(slab, class, self.inflation) {
            Some(id) if keep == Some(id) => Step::Spared,
            Some(id) => {
                let state = slab.state(id);
                if state.uses() == 0 || force {
                    return Step::Evict(Victim::of(slab, &self.hasher, id));
                }
                slab.set_state(id, state.with_uses(state.uses() - 1));
                Step::Spared
            }
            None => self.step_probation(slab, class, keep, force),
        }
    }

    #[inline(always)]
    fn step_probation(
        &mut self,
        slab: &mut Slab,
        class: SizeClass,
        keep: Option<ItemId>,
        force: bool,
    ) -> Step {
        let oldest = class::pop_probation(&mut self.rings, slab, class, &self.hasher);
        let Some((entry, item)) = oldest else {
            // Entries without an item were taken out; there may be more of them.
            return if self.rings.len(class) > 0 {
                Step::Spared
            } else {
                Step::Empty
            };
        };
        let Current { place, state, hash } = item;
        let promoted = state.uses() >= self.choice.promote_uses && !force;
        if !promoted && keep != Some(entry.id) {
            return Step::Evict(Victim {
                id: entry.id,
                place,
                hash,
                on_probation: true,
            });
        }
        if promoted || !self.push(class, entry) {
            slab.set_state_at(place, state.main().with_uses(0));
            let queues = &mut self.classes[class.index()];
            queues.probation -= 1;
            queues.main += 1;
        }
        Step::Spared
    }

    pub(super) fn upcoming(&self, class: SizeClass, count: usize) -> &[Entry] {
        match self.classes.get(class.index()) {
            Some(queues) if queues.probation_is_next(self.choice) => {
                self.rings.upcoming(class, count)
            }
            _ => &[],
        }
    }

    pub(super) fn prefetch_books(&self, class: SizeClass) {
        prefetch_to_write(self);
        if let Some(queues) = self.classes.get(class.index()) {
            prefetch_to_write(queues);
            self.rings.prefetch_books(class);
        }
    }

    pub(super) fn prefetch(&self, hash: u64) {
        self.ghost.prefetch(hash);
    }

    /// A key with this hash has been evicted on probation.
    pub(super) fn remember(&mut self, hash: u64) {
        self.ghost.insert(hash);
    }

    /// A read of a key with this hash, which found `found`.
    pub(super) fn note_read(&self, slab: &Slab, hash: u64, found: Option<ItemId>) {
        if self.tuning.samples(hash) {
            let weight = found.map(|id| Self::weight(slab, id, slab.class_of(id)));
            self.tuning.note_read(hash, weight);
        }
    }

    /// A store of the item `id` under a key with this hash; `existed` if it replaced one.
    pub(super) fn note_store(&self, slab: &Slab, hash: u64, id: ItemId, existed: bool) {
        if self.tuning.samples(hash) {
            let weight = Self::weight(slab, id, slab.class_of(id));
            self.tuning
                .note_store(hash, weight, existed, self.scale(slab));
        }
    }

    /// How much the whole cache holds, if all shards hold as much as this one.
    fn scale(&self, slab: &Slab) -> Scale {
        Scale {
            items: slab.item_count() * self.shard_count,
            bytes: slab.held_bytes() * self.shard_count,
        }
    }

    fn weight(slab: &Slab, id: ItemId, class: SizeClass) -> Weight {
        let bytes = if class == slab.large_class() {
            slab.run_bytes_of(id)
        } else {
            slab.bytes_each(class)
        };
        Weight::of(class, bytes)
    }

    pub(super) fn page_position(&self, class: SizeClass) -> usize {
        self.classes
            .get(class.index())
            .map_or(0, |queues| queues.page_position(usize::MAX))
    }

    /// Whether probation has more than its share of the class, or of those that are as large as the item.
    fn is_over(&self, slab: &Slab, id: ItemId, class: SizeClass, choice: Choice) -> bool {
        if class == slab.large_class() {
            return self.large.is_over(slab.run_bytes_of(id), choice);
        }
        let queues = &self.classes[class.index()];
        choice.is_over(queues.probation, queues.len())
    }

    fn push(&mut self, class: SizeClass, entry: Entry) -> bool {
        self.rings.push(class, entry, self.inflation)
    }

    /// Whether an item leaves with the page that is given up under it: one on probation that was not
    /// used, and one of the main region that is its class's next victim as good as any, because the
    /// hand is at its page and probation has no more than its share. If its uses save it, that was its
    /// turn.
    pub(super) fn ends_with_page(&mut self, slab: &mut Slab, id: ItemId) -> bool {
        let class = slab.class_of(id);
        let state = slab.state(id);
        if !state.is_main() {
            if state.uses() == 0 {
                self.ghost.insert(self.hash_of(slab, id));
            }
        } else if self.classes[class.index()].probation_is_next(self.choice) {
            return false;
        } else if state.uses() > 0 {
            slab.set_state(id, state.with_uses(state.uses() - 1));
        }
        state.uses() == 0
    }

    fn hash_of(&self, slab: &Slab, id: ItemId) -> u64 {
        self.hasher.hash_one(slab.key(id))
    }
}

fn tag_of(hash: u64) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "a tag is 16 bits of it")]
    let tag = (hash >> 13) as u16;
    tag
}
