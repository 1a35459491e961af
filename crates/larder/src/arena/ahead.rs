//! Items that several reads are about to need, found ahead: by the time that each is read, its memory has come.
//!
//! ```text
//! ahead    in a section: the first item in the pair of buckets with the tag of the key
//! read     in another one: into a slot; barrier; is it still where it was found?     (as in shown.rs)
//! ```
//! What is found is a hint. Where it does not lead to the item, the item is looked for as if nobody had looked ahead.

use super::buckets::LinkAt;
use super::item::Link;
use super::{Buckets, Found, ItemId, Pair, PairSlot, Place, SizeClass};
use crate::readers::{Reading, Section};

/// An item that may be the one under a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'b> {
    buckets: &'b Buckets,
    /// See [`Buckets::returns`].
    returns: usize,
    id: ItemId,
    at: LinkAt,
    page: u32,
    // Of its place, what a read needs: these are written down for every key of a batch, and read again.
    times: usize,
    chunk: usize,
    class: SizeClass,
}

/// The buckets of a key, among which the caller is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead<'b, 's> {
    buckets: &'b Buckets,
    returns: usize,
    pair: Pair<'s>,
}

impl Buckets {
    /// The buckets of a hash, which the processor is asked for; `None` in an index that has none. O(1).
    #[inline(always)]
    pub(crate) fn ahead<'b: 's, 's>(
        &'b self,
        hash: u64,
        section: &'s Section,
    ) -> Option<Ahead<'b, 's>> {
        let returns = self.returns();
        let pair = self.pair(hash, section)?;
        pair.prefetch();
        Some(Ahead {
            buckets: self,
            returns,
            pair,
        })
    }
}

impl<'b> Ahead<'b, '_> {
    /// The first candidate that `find` would meet. The processor is asked for all of them. O(1).
    #[inline(always)]
    pub(crate) fn candidate(&self) -> Option<Candidate<'b>> {
        let mut slots = self.pair.slots();
        let first = slots.find_map(|slot| self.candidate_at(slot));
        if let Some(second) = slots.next() {
            self.ask_for(second, slots);
        }
        first
    }

    #[inline(always)]
    fn candidate_at(&self, slot: PairSlot) -> Option<Candidate<'b>> {
        let arena = self.buckets.arena();
        let id = self.pair.link(slot).id()?;
        let (page, place) = arena.place_if_any(id)?;
        arena.prefetch(place);
        Some(Candidate {
            buckets: self.buckets,
            returns: self.returns,
            id,
            at: self.pair.link_at(slot),
            page,
            times: place.times,
            chunk: place.chunk,
            class: place.class,
        })
    }

    /// Asks for the others: it is seldom that more than one has the tag.
    #[cold]
    fn ask_for(&self, second: PairSlot, others: impl Iterator<Item = PairSlot>) {
        for slot in std::iter::once(second).chain(others) {
            let _ = self.candidate_at(slot);
        }
    }
}

impl<'b> Candidate<'b> {
    /// The item, if it is still where it was found and the one under `key`. O(1).
    #[inline(always)]
    pub(crate) fn find(&self, key: &[u8]) -> Option<Found<'b>> {
        let Self {
            buckets,
            returns,
            id,
            at,
            page,
            times,
            chunk,
            class,
        } = *self;
        let reading = Reading::begin()?;
        let arena = buckets.arena();
        reading.protect(arena.address(id));
        // As in `find`.
        let is_there = buckets.is_still(Link::from(id), at, returns, reading.section())
            && arena.class_of_page(page) == class;
        if !is_there {
            return None;
        }
        let place = Place::of_read(times, chunk, class);
        let header = arena.header(chunk);
        let is_it = arena.key_with(place, header) == key;
        is_it.then(|| Found::protected(arena, place, header, reading))
    }
}
