//! The items of one size class that are on probation, in the order of their arrival.
//!
//! ```text
//! oldest  | id, tag | id, tag | ... 64 of them, one stamp | -> | ... | ->  newest
//! ```
//! An entry stays when its item leaves, because nothing says where it stands. Whoever takes it out
//! asks whether the id still names an item on probation and whether that item's key has the entry's
//! tag: a chunk that got another item meanwhile has the same tag once in 65,536 times, and then that
//! item is looked at early.

use std::collections::VecDeque;

use crate::arena::ItemId;

/// A first-in first-out queue in segments of fixed size.
#[derive(Debug, Default)]
pub(super) struct Ring {
    segments: VecDeque<Box<Segment>>,
    /// Entries of the oldest segment that were taken out.
    taken: usize,
    /// Entries of the newest segment.
    filled: usize,
    len: usize,
}

/// An item that came to its class on probation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: ItemId,
    /// A part of the hash of its key.
    pub(super) tag: u16,
}

/// Entries that came one after the other.
#[derive(Debug)]
pub(super) struct Segment {
    /// The inflation when the first of them came.
    stamp: f64,
    ids: [ItemId; SEGMENT_ENTRIES],
    tags: [u16; SEGMENT_ENTRIES],
}

/// Segments without entries. Boxed, because they move between here and the rings.
pub(super) type Spare = Vec<Box<Segment>>;

const SEGMENT_ENTRIES: usize = 64;
/// How many entries later is late enough for memory to arrive.
const AHEAD: usize = 2;
/// Bytes of a segment and of the pointer to it.
pub(super) const SEGMENT_BYTES: usize = size_of::<Segment>() + 2 * size_of::<usize>();

impl Segment {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            stamp: 0.0,
            ids: [ItemId::UNSET; SEGMENT_ENTRIES],
            tags: [0; SEGMENT_ENTRIES],
        })
    }
}

impl Ring {
    /// Whether the next `push` takes a new segment.
    pub(super) fn needs_segment(&self) -> bool {
        self.segments.is_empty() || self.filled == SEGMENT_ENTRIES
    }

    /// Adds the newest entry. Where `needs_segment` says so, the segment comes from `spare`; false if
    /// that has none.
    #[must_use]
    pub(super) fn push(&mut self, entry: Entry, stamp: f64, spare: &mut Spare) -> bool {
        if self.needs_segment() {
            let Some(mut segment) = spare.pop() else {
                return false;
            };
            segment.stamp = stamp;
            self.segments.push_back(segment);
            self.filled = 0;
        }
        let segment = self.segments.back_mut().expect("pushed above");
        segment.ids[self.filled] = entry.id;
        segment.tags[self.filled] = entry.tag;
        self.filled += 1;
        self.len += 1;
        true
    }

    /// Takes the oldest entry out; a segment that this empties goes to `spare`.
    pub(super) fn pop(&mut self, spare: &mut Spare) -> Option<Entry> {
        if self.len == 0 {
            return None;
        }
        let segment = self.segments.front()?;
        let entry = Entry {
            id: segment.ids[self.taken],
            tag: segment.tags[self.taken],
        };
        self.taken += 1;
        self.len -= 1;
        if self.taken == SEGMENT_ENTRIES || self.len == 0 {
            spare.extend(self.segments.pop_front());
            self.taken = 0;
        }
        Some(entry)
    }

    /// The ids of the next entry to be taken out, and of one that is so much later that its memory can
    /// have arrived by then. `None` near the end of a segment, where they would be in another.
    pub(super) fn upcoming(&self) -> Option<(ItemId, ItemId)> {
        let ids = &self.segments.front()?.ids;
        let later = *ids.get(self.taken + AHEAD)?;
        (AHEAD < self.len).then(|| (ids[self.taken], later))
    }

    /// The inflation when the oldest entries came.
    pub(super) fn stamp(&self) -> Option<f64> {
        self.segments.front().map(|segment| segment.stamp)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// All entries, the oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let entries = self.segments.iter().flat_map(|segment| {
            let pairs = segment.ids.iter().zip(&segment.tags);
            pairs.map(|(&id, &tag)| Entry { id, tag })
        });
        entries.skip(self.taken).take(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque as Twin;

    fn entry(number: u32) -> Entry {
        #[expect(clippy::cast_possible_truncation, reason = "any tag will do")]
        let tag = number as u16;
        Entry {
            id: ItemId::of_test(number),
            tag,
        }
    }

    #[test]
    fn entries_leave_in_the_order_in_which_they_came() {
        let (mut ring, mut twin) = (Ring::default(), Twin::new());
        let mut spare = Vec::new();
        let mut segments = 0;
        let mut noise = 7_u32;
        for number in 0..20_000 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if noise >> 24 < 132 {
                if ring.needs_segment() && spare.is_empty() {
                    assert!(!ring.push(entry(number), 0.0, &mut spare));
                    spare.push(Segment::new());
                    segments += 1;
                }
                assert!(ring.push(entry(number), f64::from(number), &mut spare));
                twin.push_back(entry(number));
            } else {
                assert_eq!(ring.pop(&mut spare), twin.pop_front());
            }
            assert_eq!(ring.len(), twin.len());
            let oldest = twin.front().map(|entry| f64::from(entry.id.number()));
            assert!(
                ring.stamp() <= oldest,
                "a stamp is no later than its entries"
            );
        }
        assert!(ring.entries().eq(twin.iter().copied()));
        while ring.pop(&mut spare).is_some() {}
        assert_eq!(spare.len(), segments, "no segment is lost");
    }
}
