//! Probation and main region of one size class.
//!
//! ```text
//! probation   ring of ids, the oldest is looked at first                    (ring.rs)
//! main        [k][ ][p][k][k][p][k]   the chunks of the class's pages, k main, p probation
//!                   ^ hand            goes over them in their order, around
//! ```
//! An item stays in the chunk that it was stored in: promotion and a spared turn are bits of its state.

use super::ring::Rings;
use super::{Choice, tag_of};
use crate::arena::{Entry, ItemId, Place, SizeClass, Slab, State};
use crate::hasher::KeyHasher;

/// The items of one class, but for their memory; in a line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Class {
    /// What `Adaptive::stored_bytes` was when the class was last used.
    pub(super) used_at: u64,
    /// Items on probation.
    pub(super) probation: usize,
    /// Items of the main region.
    pub(super) main: usize,
    hand: Hand,
    /// What `Adaptive::stored_bytes` is when other classes are asked for a page next, after none had one to give.
    pub(super) look_at: u64,
    /// How far a save has come that takes everything out.
    pub(super) round: super::save::Round,
}

/// Where the next item of the main region is looked for.
#[derive(Clone, Copy, Debug, Default)]
struct Hand {
    /// Position among the pages of the class.
    page: usize,
    chunk: usize,
}

/// Chunks that the hand goes over in search of one item. Beyond that the class is mostly empty, and
/// another source of memory is nearer.
const SCAN_CHUNKS_MAX: usize = 4096;
/// Entries without an item that one look at the ring takes out.
const STALE_ENTRIES_MAX: usize = 256;

impl Class {
    pub(super) fn len(&self) -> usize {
        self.probation + self.main
    }

    /// Whether the next item to be looked at is on probation.
    pub(super) fn probation_is_next(&self, choice: Choice) -> bool {
        self.main == 0 || choice.is_over(self.probation, self.len())
    }

    /// What the class is worth, see [`Choice::value`]; infinite for an empty one. The hand's page, and the ring's
    /// oldest segment, stand for the items: nothing is looked for.
    pub(super) fn value(
        &self,
        slab: &Slab,
        class: SizeClass,
        choice: Choice,
        rings: &Rings,
    ) -> f64 {
        if self.len() == 0 {
            return f64::INFINITY;
        }
        let each = slab.bytes_each(class) as f64;
        let main = (self.main > 0).then(|| {
            let page = slab.page_at(class, self.page_position(slab.page_count(class)));
            (slab.page_stamp(page).unwrap_or(0.0), each)
        });
        let is_next = self.probation_is_next(choice);
        let probation = is_next.then(|| (rings.stamp(class).unwrap_or(0.0), each));
        choice.value(main, probation)
    }

    /// The item of the main region under the hand, which goes on; pages that it leaves get `stamp`.
    pub(super) fn next_main(
        &mut self,
        slab: &mut Slab,
        class: SizeClass,
        stamp: f64,
    ) -> Option<ItemId> {
        let mut budget = SCAN_CHUNKS_MAX;
        while self.main > 0 {
            let pages = slab.page_count(class);
            let position = self.page_position(pages);
            let page = slab.page_at(class, position);
            let end = slab.chunks_in(page).min(self.hand.chunk + budget);
            let mut chunks = self.hand.chunk..end;
            let found = chunks.find(|&chunk| {
                let state = slab.state_in(page, chunk);
                state.is_live() && state.is_main()
            });
            if let Some(chunk) = found {
                self.hand = Hand {
                    page: position,
                    chunk: chunk + 1,
                };
                return Some(slab.id_in(page, chunk));
            }
            budget = budget.saturating_sub(end.saturating_sub(self.hand.chunk) + 1);
            if budget == 0 {
                self.hand.chunk = end;
                return None;
            }
            slab.set_page_stamp(page, stamp);
            self.hand = Hand {
                page: (position + 1) % pages,
                chunk: 0,
            };
        }
        None
    }

    /// The position of the hand's page among `pages`, of which some may have gone.
    pub(super) fn page_position(&self, pages: usize) -> usize {
        if self.hand.page < pages {
            self.hand.page
        } else {
            0
        }
    }
}

/// What an entry names: an item on probation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) place: Place,
    pub(super) state: State,
    /// Of its key.
    pub(super) hash: u64,
}

/// Takes the oldest item on probation out of the class's ring, with its entry. `None` if there is none, or
/// none was found in a bounded number of entries.
#[inline(always)]
pub(super) fn pop_probation(
    rings: &mut Rings,
    slab: &Slab,
    class: SizeClass,
    hasher: &KeyHasher,
) -> Option<(Entry, Current)> {
    for _ in 0..STALE_ENTRIES_MAX {
        let entry = rings.pop(class)?;
        if let Some(item) = current(slab, class, entry, hasher) {
            return Some((entry, item));
        }
    }
    None
}

/// The item that an entry was made for, if that is still on probation.
#[inline(always)]
pub(super) fn current(
    slab: &Slab,
    class: SizeClass,
    entry: Entry,
    hasher: &KeyHasher,
) -> Option<Current> {
    let place = slab.place_if_of(entry.id, class)?;
    let state = slab.state_at(place);
    if !state.is_live() || state.is_main() {
        return None;
    }
    let hash = hasher.hash_one(slab.key_at(place));
    let item = Current { place, state, hash };
    (tag_of(hash) == entry.tag).then_some(item)
}
