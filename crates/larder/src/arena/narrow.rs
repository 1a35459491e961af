//! Narrow pages: one OS page each, for what a policy keeps besides the items.
//!
//! That grows and shrinks in small steps, shard by shard: pages of the pool would be mostly air in a small
//! cache, and what is handed back to an allocator stays resident. A narrow page is charged to the
//! limit while it is held and is the OS's when it is not. Which ones are held is a bit each; the lowest free
//! one is handed out first.

use std::ops::Range;

use super::Arena;
use crate::sync::Mutex;

/// The narrow pages of a cache.
#[derive(Debug)]
pub(super) struct NarrowPages {
    /// Where they are in the mapping.
    place: Range<usize>,
    /// Bytes of one.
    bytes: usize,
    free: Mutex<Free>,
}

/// Those that nobody holds. A leaf lock.
#[derive(Debug)]
struct Free {
    /// A bit for each page: 1 is free.
    words: Box<[u64]>,
    /// No word before this one has a free page.
    first: usize,
}

/// The part of the limit that there is address space for.
const LIMIT_PART: usize = 4;
/// Bytes of the tables of whoever holds a narrow page, charged with it.
const TABLES_BYTES: usize = 2 * size_of::<u32>();

impl NarrowPages {
    /// Address space for a cache of `limit_bytes`, in whole words of bits.
    pub(super) fn space_bytes(limit_bytes: usize, os_page_bytes: usize) -> usize {
        (limit_bytes / LIMIT_PART).next_multiple_of(64 * os_page_bytes)
    }

    pub(super) fn new(place: Range<usize>, bytes: usize) -> Self {
        let words = place.len() / bytes / 64;
        Self {
            place,
            bytes,
            free: Mutex::new(Free {
                words: vec![u64::MAX; words].into_boxed_slice(),
                first: 0,
            }),
        }
    }

    /// Bytes of the bits.
    pub(super) fn table_bytes(&self) -> usize {
        self.place.len() / self.bytes / 8
    }
}

impl Free {
    fn take(&mut self) -> Option<u32> {
        while *self.words.get(self.first)? == 0 {
            self.first += 1;
        }
        let word = &mut self.words[self.first];
        let number = self.first * 64 + word.trailing_zeros() as usize;
        *word &= *word - 1;
        Some(u32::try_from(number).expect("LIMIT_BYTES_MAX bounds them"))
    }

    fn give(&mut self, page: u32) {
        let (word, bit) = (page as usize / 64, 1 << (page % 64));
        debug_assert!(self.words[word] & bit == 0, "given back once");
        self.words[word] |= bit;
        self.first = self.first.min(word);
    }
}

impl Arena {
    /// A narrow page, if the limit allows one more.
    pub(super) fn take_narrow_page(&self) -> Option<u32> {
        if !self.charge(self.narrow_cost_bytes()) {
            return None;
        }
        let page = self.narrow.free.lock().take();
        if page.is_none() {
            self.discharge(self.narrow_cost_bytes());
        }
        let page = page?;
        self.map.hand_out(self.narrow_range(page));
        Some(page)
    }

    /// Takes one back; its memory goes to the OS first. Where the OS keeps it, it is as with a run.
    pub(super) fn give_narrow_page(&self, page: u32) {
        let range = self.narrow_range(page);
        self.map.take_back(range.clone());
        self.decommit_free(range);
        self.narrow.free.lock().give(page);
        self.discharge(self.narrow_cost_bytes());
    }

    /// Where a narrow page begins in the mapping.
    pub(super) fn narrow_offset(&self, page: u32) -> usize {
        self.narrow.place.start + page as usize * self.narrow.bytes
    }

    fn narrow_range(&self, page: u32) -> Range<usize> {
        let start = self.narrow_offset(page);
        start..start + self.narrow.bytes
    }

    /// Bytes of a narrow page.
    pub(super) fn narrow_bytes(&self) -> usize {
        self.narrow.bytes
    }

    /// What one takes of the limit.
    pub(super) fn narrow_cost_bytes(&self) -> usize {
        self.narrow.bytes + TABLES_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::super::Links;
    use super::*;

    #[test]
    fn the_lowest_free_one_is_handed_out_and_counted() {
        let arena = Arena::new(1 << 20, 1 << 20, Links::Large).unwrap();
        let before = arena.pool_use().used_bytes;
        let pages: Vec<u32> = (0..3).map(|_| arena.take_narrow_page().unwrap()).collect();
        assert_eq!(pages, [0, 1, 2]);
        let used = arena.pool_use().used_bytes - before;
        assert_eq!(used, 3 * arena.narrow_cost_bytes());
        arena.give_narrow_page(1);
        arena.give_narrow_page(2);
        assert_eq!(arena.take_narrow_page(), Some(1));
        arena.give_narrow_page(1);
        arena.give_narrow_page(0);
        assert_eq!(arena.pool_use().used_bytes, before);
    }

    #[test]
    fn they_end_with_their_address_space_or_with_the_limit() {
        let arena = Arena::new(1 << 20, 1 << 20, Links::Large).unwrap();
        let space = NarrowPages::space_bytes(1 << 20, arena.narrow_bytes());
        let count = std::iter::from_fn(|| arena.take_narrow_page()).count();
        let fit = (1 << 20) / arena.narrow_cost_bytes();
        assert!(count == space / arena.narrow_bytes() || count + 1 >= fit / 2);
        let before = arena.pool_use().used_bytes;
        assert_eq!(arena.take_narrow_page(), None);
        assert_eq!(
            arena.pool_use().used_bytes,
            before,
            "a refusal costs nothing"
        );
        arena.validate();
    }
}
