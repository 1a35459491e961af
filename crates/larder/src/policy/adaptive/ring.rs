//! The items of every size class that are on probation, in the order of their arrival.
//!
//! ```text
//! a class  oldest  | id, tag | id, tag | ... 64 of them, one stamp | -> | ... | ->  newest
//! spare            | | -> | | -> ...
//! ```
//! An entry stays when its item leaves, because nothing says where it stands. Whoever takes it out
//! asks whether the id still names an item on probation and whether that item's key has the entry's
//! tag: a chunk that got another item meanwhile has the same tag once in 65,536 times, and then that
//! item is looked at early.
//!
//! All segments of a shard stand in one array, known by their numbers. When more than a page of them are
//! spare, those of the last page move to spare ones, and the page goes back.

use std::sync::Arc;

use crate::arena::{Arena, Array, Entry, SEGMENT_ENTRIES, Segment, SizeClass, prefetch_to_write};

/// A first-in first-out queue for each size class, in segments of fixed size.
#[derive(Debug)]
pub(super) struct Rings {
    segments: Array<Segment>,
    rings: Box<[Ring]>,
    /// Segments without entries.
    spare: Chain,
}

/// One queue. Two of them fill a line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Ring {
    chain: Chain,
    /// Entries of the oldest segment that were taken out.
    taken: u32,
    /// Entries of the newest segment.
    filled: u32,
    len: u32,
}

/// Segments one behind the other.
#[derive(Clone, Copy, Debug)]
struct Chain {
    oldest: u32,
    newest: u32,
    count: u32,
}

/// No segment.
const NONE: u32 = u32::MAX;
/// Owns the spare segments.
const SPARE: u32 = u32::MAX;
/// Spare segments that stay, besides a page of them: what comes next may want some.
const SPARE_MIN: usize = 2;

impl Rings {
    pub(super) fn new(arena: &Arc<Arena>, class_count: usize) -> Self {
        Self {
            segments: Array::new(arena),
            rings: vec![Ring::EMPTY; class_count].into_boxed_slice(),
            spare: Chain::EMPTY,
        }
    }

    /// Makes sure that the next `push` finds room; false if the limit does not allow it.
    #[inline(always)]
    pub(super) fn reserve(&mut self, class: SizeClass) -> bool {
        let ring = &self.rings[class.index()];
        if !ring.needs_segment() {
            // Where it goes.
            prefetch_to_write(&self.segments.get(ring.chain.newest).entries[ring.filled as usize]);
        }
        self.can_push(class) || self.grow()
    }

    /// Adds a page of spare segments.
    #[cold]
    fn grow(&mut self) -> bool {
        if !self.segments.grow() {
            return false;
        }
        for number in self.segments.last_page() {
            self.spare.push(&mut self.segments, number, SPARE);
        }
        true
    }

    /// Whether the next `push` needs no more memory.
    pub(super) fn can_push(&self, class: SizeClass) -> bool {
        !self.rings[class.index()].needs_segment() || self.spare.count > 0
    }

    /// Adds the newest entry; false if the limit does not allow it.
    #[must_use]
    pub(super) fn push(&mut self, class: SizeClass, entry: Entry, stamp: f64) -> bool {
        if self.rings[class.index()].needs_segment() && !self.add_segment(class, stamp) {
            return false;
        }
        let ring = &mut self.rings[class.index()];
        let segment = self.segments.get_mut(ring.chain.newest);
        segment.entries[ring.filled as usize] = entry;
        ring.filled += 1;
        ring.len += 1;
        true
    }

    /// Adds a segment as the newest of a class; false if the limit does not allow it.
    #[cold]
    fn add_segment(&mut self, class: SizeClass, stamp: f64) -> bool {
        if !self.reserve(class) {
            return false;
        }
        let number = self.spare.oldest;
        self.spare.take(&mut self.segments, number);
        self.segments.get_mut(number).stamp = stamp;
        let ring = &mut self.rings[class.index()];
        let owner = u32::from(class.0);
        ring.chain.push(&mut self.segments, number, owner);
        ring.filled = 0;
        true
    }

    /// The oldest entry.
    #[inline]
    pub(super) fn oldest(&self, class: SizeClass) -> Option<Entry> {
        let ring = &self.rings[class.index()];
        let segment = (ring.len > 0).then(|| self.segments.get(ring.chain.oldest))?;
        Some(segment.entries[ring.taken as usize])
    }

    /// Takes the oldest entry out.
    #[inline]
    pub(super) fn pop(&mut self, class: SizeClass) -> Option<Entry> {
        let entry = self.oldest(class)?;
        let ring = &mut self.rings[class.index()];
        ring.taken += 1;
        ring.len -= 1;
        if ring.taken as usize == SEGMENT_ENTRIES || ring.len == 0 {
            self.drop_oldest(class);
        }
        Some(entry)
    }

    /// The oldest segment of a class becomes a spare one.
    #[cold]
    fn drop_oldest(&mut self, class: SizeClass) {
        let ring = &mut self.rings[class.index()];
        ring.taken = 0;
        let number = ring.chain.oldest;
        ring.chain.take(&mut self.segments, number);
        self.spare.push(&mut self.segments, number, SPARE);
        if self.spare.count as usize > self.segments.page_values() + SPARE_MIN {
            self.give_last_page();
        }
    }

    /// The next entries to be taken out, up to `count`: fewer near the end of a segment.
    pub(super) fn upcoming(&self, class: SizeClass, count: usize) -> &[Entry] {
        let ring = &self.rings[class.index()];
        if ring.len == 0 {
            return &[];
        }
        let entries = &self.segments.get(ring.chain.oldest).entries[ring.taken as usize..];
        &entries[..count.min(ring.len as usize).min(entries.len())]
    }

    /// Asks for what the next `push` or `pop` reads first. O(1).
    pub(super) fn prefetch_books(&self, class: SizeClass) {
        prefetch_to_write(&self.rings[class.index()]);
    }

    /// The inflation when the oldest entries of the class came.
    pub(super) fn stamp(&self, class: SizeClass) -> Option<f64> {
        let chain = self.rings[class.index()].chain;
        (chain.count > 0).then(|| self.segments.get(chain.oldest).stamp)
    }

    /// Entries of the class.
    pub(super) fn len(&self, class: SizeClass) -> usize {
        self.rings[class.index()].len as usize
    }

    /// What they take of the limit.
    pub(super) fn bytes(&self) -> usize {
        self.segments.bytes()
    }

    /// Forgets every entry, and gives the memory back.
    pub(super) fn clear(&mut self) {
        self.segments.clear();
        self.rings.fill(Ring::EMPTY);
        self.spare = Chain::EMPTY;
    }

    /// Gives the last page back; there are as many spare segments as it has.
    fn give_last_page(&mut self) {
        let last = self.segments.last_page();
        for number in last.clone() {
            if self.segments.get(number).owner == SPARE {
                self.spare.take(&mut self.segments, number);
            }
        }
        for number in last {
            if self.segments.get(number).owner != SPARE {
                let place = self.spare.oldest;
                self.spare.take(&mut self.segments, place);
                self.relocate(number, place);
            }
        }
        self.segments.give_last_page();
    }

    /// Moves a segment of a ring to the place of one that belongs to no chain.
    fn relocate(&mut self, from: u32, to: u32) {
        let segment = *self.segments.get(from);
        *self.segments.get_mut(to) = segment;
        let chain = &mut self.rings[segment.owner as usize].chain;
        match segment.older {
            NONE => chain.oldest = to,
            older => self.segments.get_mut(older).newer = to,
        }
        match segment.newer {
            NONE => chain.newest = to,
            newer => self.segments.get_mut(newer).older = to,
        }
    }

    /// All entries of the class, the oldest first. For tests.
    pub(super) fn entries(&self, class: SizeClass) -> impl Iterator<Item = Entry> {
        let ring = &self.rings[class.index()];
        let entries = self
            .numbers(ring.chain)
            .flat_map(|number| self.segments.get(number).entries.iter().copied());
        entries.skip(ring.taken as usize).take(ring.len as usize)
    }

    /// Panics unless every segment is in one chain, and knows which. O(segments).
    pub(super) fn validate(&self) {
        let rings = (0..).zip(self.rings.iter().map(|ring| ring.chain));
        let mut count = 0;
        for (owner, chain) in rings.chain([(SPARE, self.spare)]) {
            let mut older = NONE;
            for number in self.numbers(chain) {
                let segment = self.segments.get(number);
                assert_eq!((segment.owner, segment.older), (owner, older));
                older = number;
                count += 1;
            }
            assert_eq!(chain.newest, older);
        }
        assert_eq!(count, self.segments.count(), "no segment is lost");
    }

    /// The numbers of a chain, the oldest first.
    fn numbers(&self, chain: Chain) -> impl Iterator<Item = u32> {
        let mut next = chain.oldest;
        (0..chain.count).map(move |_| {
            let number = next;
            next = self.segments.get(number).newer;
            number
        })
    }
}

impl Ring {
    const EMPTY: Self = Self {
        chain: Chain::EMPTY,
        taken: 0,
        filled: 0,
        len: 0,
    };

    fn needs_segment(&self) -> bool {
        self.chain.count == 0 || self.filled as usize == SEGMENT_ENTRIES
    }
}

impl Chain {
    const EMPTY: Self = Self {
        oldest: NONE,
        newest: NONE,
        count: 0,
    };

    /// Adds a segment that is in no chain as the newest.
    fn push(&mut self, segments: &mut Array<Segment>, number: u32, owner: u32) {
        let segment = segments.get_mut(number);
        (segment.older, segment.newer, segment.owner) = (self.newest, NONE, owner);
        match std::mem::replace(&mut self.newest, number) {
            NONE => self.oldest = number,
            older => segments.get_mut(older).newer = number,
        }
        self.count += 1;
    }

    /// Takes a segment out; it keeps its owner.
    fn take(&mut self, segments: &mut Array<Segment>, number: u32) {
        let &Segment { older, newer, .. } = segments.get(number);
        match older {
            NONE => self.oldest = newer,
            older => segments.get_mut(older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => segments.get_mut(newer).older = older,
        }
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{ItemId, Links};
    use std::collections::VecDeque as Twin;

    const CLASSES: usize = 3;

    fn rings() -> Rings {
        let arena = Arena::new(1 << 20, 1 << 20, Links::Large).unwrap();
        Rings::new(&Arc::new(arena), CLASSES)
    }

    fn entry(number: u32) -> Entry {
        #[expect(clippy::cast_possible_truncation, reason = "any tag will do")]
        let tag = number as u16;
        Entry {
            id: ItemId::of_test(number),
            tag,
        }
    }

    /// Pushes and pops in classes by turns; `pushes_of` gives the pushes in 256 operations of a round.
    fn run_beside_twins(pushes_of: impl Fn(u32) -> u32) -> Rings {
        let mut rings = rings();
        let mut twins: [Twin<Entry>; CLASSES] = Default::default();
        let mut noise = 7_u32;
        for number in 0..40_000 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let index = (noise >> 20) as usize % CLASSES;
            let (class, twin) = (SizeClass::at(index), &mut twins[index]);
            if noise >> 24 < pushes_of(number) {
                assert!(rings.reserve(class));
                assert!(rings.push(class, entry(number), f64::from(number)));
                twin.push_back(entry(number));
            } else {
                assert_eq!(rings.pop(class), twin.pop_front());
            }
            assert_eq!(rings.len(class), twin.len());
            assert_eq!(rings.oldest(class), twin.front().copied());
            let oldest = twin.front().map(|entry| f64::from(entry.id.number()));
            assert!(
                rings.stamp(class) <= oldest,
                "a stamp is no later than its entries"
            );
            if number % 251 == 0 {
                rings.validate();
            }
        }
        for (index, twin) in twins.iter().enumerate() {
            let entries = rings.entries(SizeClass::at(index));
            assert!(entries.eq(twin.iter().copied()));
        }
        rings
    }

    #[test]
    fn entries_leave_in_the_order_in_which_they_came() {
        run_beside_twins(|_| 132);
    }

    #[test]
    fn pages_go_back_as_the_rings_shrink_and_segments_move_for_that() {
        let grows_and_shrinks = |number| if number / 5000 % 2 == 0 { 190 } else { 70 };
        let mut rings = run_beside_twins(grows_and_shrinks);
        for index in 0..CLASSES {
            let class = SizeClass::at(index);
            while rings.len(class) > 64 {
                rings.pop(class);
            }
        }
        rings.validate();
        assert!(rings.segments.count() <= 2 * CLASSES + rings.segments.page_values() * 2);
        rings.clear();
        rings.validate();
        assert_eq!(rings.bytes(), 0);
    }

    #[test]
    fn without_memory_nothing_is_pushed_and_nothing_is_lost() {
        let mut rings = rings();
        let class = SizeClass::at(1);
        let mut pushed = 0;
        while rings.reserve(class) {
            assert!(rings.push(class, entry(pushed), 0.0));
            pushed += 1;
        }
        assert!(!rings.can_push(class) && !rings.push(class, entry(pushed), 0.0));
        rings.validate();
        assert!(rings.entries(class).eq((0..pushed).map(entry)));
        assert!(!rings.reserve(SizeClass::at(0)));
        assert_eq!(rings.pop(SizeClass::at(0)), None);
    }
}
