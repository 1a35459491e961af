//! Arrays of plain values in narrow pages, which grow and shrink at their end by a page at a time.
//!
//! ```text
//! narrow page | value 0 | value 1 | ... | value n-1 | unused |
//! number      = page of the array << bits of a value's place | place
//! ```
//! Only memory and its growth, as buckets.rs has it for the index: what the values mean is the policy's
//! business.
#![expect(unsafe_code, reason = "values stand in pages of the mapping")]

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use super::memory::prefetch_line;
use super::{Arena, ItemId};

/// What may stand in an array.
///
/// # Safety
/// - Every pattern of bytes is a value, and a value owns nothing.
/// - It fits a narrow page, and its alignment divides the size of one.
pub(crate) unsafe trait Plain: Copy {}

/// Entries of a segment.
pub(crate) const SEGMENT_ENTRIES: usize = 64;
/// Fingerprints of a line.
pub(crate) const LINE_WAYS: usize = 31;

/// What a queue knows of an item. Six bytes, side by side: what is pushed is in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(2))]
pub(crate) struct Entry {
    pub(crate) id: ItemId,
    /// A part of the hash of its key.
    pub(crate) tag: u16,
}

/// A part of a queue of items. Ten of them fill a narrow page of 4 KiB.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Segment {
    pub(crate) stamp: f64,
    /// The segments before and behind it in its chain, by number, and whose chain that is.
    pub(crate) older: u32,
    pub(crate) newer: u32,
    pub(crate) owner: u32,
    pub(crate) entries: [Entry; SEGMENT_ENTRIES],
}

/// Fingerprints of keys in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Fingerprints {
    /// 0 is none.
    pub(crate) ways: [u16; LINE_WAYS],
    /// The one to be written over next.
    pub(crate) next: u16,
}

// SAFETY: numbers only, of which all bytes are some; 408 bytes at an alignment of 8.
unsafe impl Plain for Segment {}
// SAFETY: numbers only, of which all bytes are some; 64 bytes at an alignment of 64.
unsafe impl Plain for Fingerprints {}

const OS_PAGE_BYTES_MIN: usize = 4096;
const _: () = assert!(size_of::<Segment>() * 10 <= OS_PAGE_BYTES_MIN);
const _: () = assert!(size_of::<Fingerprints>() == 64);

/// A growing array of values; all-zero bytes at first.
#[derive(Debug)]
pub(crate) struct Array<T> {
    arena: Arc<Arena>,
    pages: Vec<u32>,
    /// log2 of the bytes of a page.
    page_shift: u32,
    page_values: usize,
    /// Bits of a number that say which value of its page it names.
    place_bits: u32,
    values: PhantomData<T>,
}

impl<T: Plain> Array<T> {
    pub(crate) fn new(arena: &Arc<Arena>) -> Self {
        let page_values = arena.narrow_bytes() / size_of::<T>();
        assert!(page_values > 0 && arena.narrow_bytes().is_multiple_of(align_of::<T>()));
        Self {
            arena: Arc::clone(arena),
            pages: Vec::new(),
            page_shift: arena.narrow_bytes().ilog2(),
            page_values,
            place_bits: page_values.next_power_of_two().ilog2(),
            values: PhantomData,
        }
    }

    /// Values that there is memory for.
    pub(crate) fn count(&self) -> usize {
        self.pages.len() * self.page_values
    }

    /// Values in a page.
    pub(crate) fn page_values(&self) -> usize {
        self.page_values
    }

    /// What it takes of the limit.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * self.arena.narrow_cost_bytes()
    }

    /// The numbers of the values in the last page.
    pub(crate) fn last_page(&self) -> Range<u32> {
        let page = self.pages.len().checked_sub(1).expect("there is a page");
        let first = page << self.place_bits;
        let number = |value: usize| u32::try_from(value).expect("LIMIT_BYTES_MAX bounds them");
        number(first)..number(first + self.page_values)
    }

    /// Adds a page of all-zero bytes; false if the limit does not allow it.
    pub(crate) fn grow(&mut self) -> bool {
        let Some(page) = self.arena.take_narrow_page() else {
            return false;
        };
        self.pages.push(page);
        let start = self.arena.byte_at(self.arena.narrow_offset(page));
        // SAFETY: S1: the page is this array's alone from now on, and lies inside the mapping (S2). The
        // OS has zeroed it unless it kept it when it was given back.
        unsafe { std::ptr::write_bytes(start, 0, self.arena.narrow_bytes()) };
        true
    }

    /// Gives the page of the last values back; they are out of use.
    pub(crate) fn give_last_page(&mut self) {
        if let Some(page) = self.pages.pop() {
            self.arena.give_narrow_page(page);
        }
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }

    /// Gives all pages back.
    pub(crate) fn clear(&mut self) {
        for page in std::mem::take(&mut self.pages) {
            self.arena.give_narrow_page(page);
        }
    }

    /// Asks the processor for the first line of a value that is read soon.
    pub(crate) fn prefetch(&self, number: u32) {
        prefetch_line(self.at(number));
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        let value = self.at(number);
        // SAFETY: `at` points to a value of a page of this array, which was zeroed before its first use;
        // all bytes are values (`Plain`), and nobody writes them while `self` is borrowed (S1, S6).
        unsafe { &*value }
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the borrow is what makes it exclusive"
    )]
    pub(crate) fn get_mut(&mut self, number: u32) -> &mut T {
        let value = self.at(number);
        // SAFETY: as in `get`, and `&mut self` is the only way to it (S6).
        unsafe { &mut *value }
    }

    fn at(&self, number: u32) -> *mut T {
        let page = self.pages[number as usize >> self.place_bits];
        let place = number as usize & ((1 << self.place_bits) - 1);
        assert!(place < self.page_values, "S2: a value lies inside its page");
        let within = ((page as usize) << self.page_shift) + place * size_of::<T>();
        let offset = self.arena.narrow_offset(0) + within;
        self.arena.byte_at(offset).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Links;
    use super::*;

    #[test]
    fn values_stay_while_the_array_grows_and_new_ones_are_zero() {
        let arena = Arc::new(Arena::new(1 << 20, 1 << 20, Links::Large).unwrap());
        let mut arrays: Vec<Array<Segment>> = (0..2).map(|_| Array::new(&arena)).collect();
        let mut numbers = Vec::new();
        for round in 0..8_u32 {
            for (which, array) in (0..).zip(&mut arrays) {
                assert!(array.grow());
                for number in array.last_page() {
                    let segment = array.get_mut(number);
                    assert_eq!((segment.owner, { segment.entries[63].id }.number()), (0, 0));
                    segment.owner = which;
                    segment.entries[63].tag = u16::try_from(number).unwrap();
                    if which == 0 {
                        numbers.push(number);
                    }
                }
            }
            if round % 3 == 2 {
                arrays[1].give_last_page();
            }
        }
        assert_eq!(numbers.len(), arrays[0].count());
        for number in numbers {
            let segment = arrays[0].get(number);
            assert_eq!(u32::from(segment.entries[63].tag), number);
            assert_eq!(segment.owner, 0);
        }
        arrays.iter_mut().for_each(Array::clear);
        assert_eq!(arrays[0].bytes(), 0);
        arena.validate();
    }
}
