//! The address space of the arena: one anonymous mapping, populated as it is touched.
//!
//! Nothing but the base pointer and the way back to the OS; who owns which bytes is the pool's
//! and the slabs' business.
#![expect(
    unsafe_code,
    reason = "giving pages back to the OS zeroes memory behind Rust's back"
)]

use std::io;
use std::ops::Range;

use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

/// A private anonymous mapping. Its bytes read as zero until they are written.
#[derive(Debug)]
pub(crate) struct Map(MmapRaw);

/// What the OS populates and takes back at a time, as far as the arena is concerned.
pub(crate) const OS_PAGE_BYTES: usize = 4096;

impl Map {
    pub(crate) fn reserve(bytes: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(bytes).no_reserve_swap().map_anon()?;
        Ok(Self(MmapRaw::from(map)))
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives the memory under `range` back to the OS; it reads as zero afterwards.
    ///
    /// # Safety
    /// - The caller owns `range`: no reference into it exists, and nobody else reads or writes it.
    /// - `range` lies inside the mapping and its bounds are multiples of [`OS_PAGE_BYTES`].
    pub(crate) unsafe fn decommit(&self, range: Range<usize>) {
        debug_assert!(range.end <= self.len());
        debug_assert!(range.start.is_multiple_of(OS_PAGE_BYTES));
        debug_assert!(range.len().is_multiple_of(OS_PAGE_BYTES));
        // SAFETY: the caller owns the range, so that nobody observes it turning to zeros.
        let advised = unsafe {
            self.0
                .unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
        // A kernel that refuses keeps the memory resident: the limit still holds, because the
        // address space of the pages is what is counted, but RSS falls later.
        debug_assert!(advised.is_ok(), "{advised:?}");
    }
}
