//! The address space of the arena: one anonymous mapping, populated as it is touched.
//!
//! Nothing but the base pointer and the way back to the OS; who owns which bytes is the pool's
//! and the slabs' business. Under Miri and AddressSanitizer apart.rs stands in its place.
#![expect(
    unsafe_code,
    reason = "giving pages back to the OS zeroes memory behind Rust's back"
)]

use std::io;
use std::ops::Range;

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

use super::{Arena, ItemId, fault};

/// A private anonymous mapping. Its bytes read as zero until they are written.
#[derive(Debug)]
pub(crate) struct Map(MmapRaw);

impl Map {
    pub(crate) fn reserve(bytes: usize) -> io::Result<Self> {
        if fault::strikes() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let map = MmapOptions::new().len(bytes).no_reserve_swap().map_anon()?;
        Ok(Self(MmapRaw::from(map)))
    }

    /// Keeps the kernel from backing `range` with huge pages: it would populate what is sparse, and
    /// populate again what was given back.
    pub(crate) fn keep_sparse(&self, range: Range<usize>) {
        #[cfg(target_os = "linux")]
        if let Err(error) = self
            .0
            .advise_range(Advice::NoHugePage, range.start, range.len())
        {
            // A kernel without huge pages refuses, and needs no advice.
            debug_assert!(error.kind() == io::ErrorKind::InvalidInput, "{error}");
        }
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }

    /// The byte at `offset`, which is at most `len`.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.len());
        // SAFETY: S2: callers have the offset of a page's or a run's byte, inside the mapping.
        unsafe { self.0.as_mut_ptr().add(offset) }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives the memory under `range` back to the OS; it reads as zero afterwards. False if the OS
    /// keeps it (it does while memory is locked); then it reads as it did.
    ///
    /// # Safety
    /// - The caller owns `range`: no reference into it exists, and nobody else reads or writes it.
    /// - `range` lies inside the mapping and its bounds are multiples of [`os_page_bytes`].
    pub(crate) unsafe fn decommit(&self, range: Range<usize>) -> bool {
        debug_assert!(range.end <= self.len());
        debug_assert!(range.start.is_multiple_of(os_page_bytes()));
        debug_assert!(range.len().is_multiple_of(os_page_bytes()));
        // SAFETY: the caller owns the range, so that nobody observes it turning to zeros.
        let advised = unsafe {
            self.0
                .unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
        advised.is_ok()
    }

    /// Checkers take notice when a page or a run is handed out (apart.rs); here it makes no difference.
    pub(crate) const fn hand_out(&self, _: Range<usize>) {}

    /// As `hand_out`, when it comes back.
    pub(crate) const fn take_back(&self, _: Range<usize>) {}
}

/// As `Map::hand_out`, when chunks change hands.
impl Arena {
    pub(super) const fn open_chunk(&self, _: ItemId) {}

    pub(super) const fn close_chunk(&self, _: ItemId) {}

    pub(super) const fn close_chunks(&self, _page: u32) {}
}

/// What the OS populates and takes back at a time, in bytes; a power of two.
pub(crate) fn os_page_bytes() -> usize {
    rustix::param::page_size()
}
