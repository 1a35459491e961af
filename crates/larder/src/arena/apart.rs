//! The arena's memory in pieces, for checkers: in the place of `map.rs` under Miri and AddressSanitizer.
//!
//! ```text
//! map.rs    | page 0 | page 1 | ...  one mapping; an offset is a distance from its base
//! here      [page 0]   [page 1]      an allocation each, while it is handed out; a table finds it
//! ```
//! Whoever leaves his page, or uses one that was given back, leaves an allocation, and is caught. Chunks
//! without an item are closed: AddressSanitizer has them poisoned, Miri takes their bytes for
//! uninitialised. A page comes filled with junk, as one that was used before would be.
#![expect(
    unsafe_code,
    reason = "memory is allocated and poisoned as no safe type could"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::io;
#[cfg(not(larder_asan))]
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

use super::{Arena, ItemId, fault};
use crate::sync::{AtomicPtr, Mutex, Ordering};

/// As many offsets as a mapping would have, and memory under those that are handed out.
#[derive(Debug)]
pub(crate) struct Map {
    bytes: usize,
    /// Where each OS page of offsets stands; null under what is not handed out.
    table: Box<[AtomicPtr<u8>]>,
    /// What is handed out: where it begins, and its bytes.
    pieces: Mutex<BTreeMap<usize, usize>>,
}

const OS_PAGE_SHIFT: u32 = 12;
/// What a line of a page, and a bucket of an index, is aligned to.
const PIECE_ALIGN: usize = 64;
/// Neither zero nor a state that could pass for a free chunk's.
const JUNK: u8 = 0xa5;

impl Map {
    pub(crate) fn reserve(bytes: usize) -> io::Result<Self> {
        if fault::strikes() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let table = Box::new_zeroed_slice(bytes >> OS_PAGE_SHIFT);
        Ok(Self {
            bytes,
            // SAFETY: zero is the null pointer. Nothing else is so fast where nearly all stays null.
            table: unsafe { table.assume_init() },
            pieces: Mutex::default(),
        })
    }

    /// Nothing here is sparse.
    pub(crate) const fn keep_sparse(&self, _: Range<usize>) {}

    /// An allocation is no place for them.
    pub(crate) const fn ask_for_huge_pages(&mut self, _bytes: usize) -> bool {
        false
    }

    pub(crate) const fn has_huge_pages(&self) -> bool {
        false
    }

    /// The byte at `offset`, to be used only if its page or run is handed out.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        let within = offset % os_page_bytes();
        // The table is indexed and never borrowed as a whole: Miri would look at every word of it.
        let start = if offset < self.bytes {
            // Acquire: with the Release in `hand_out`, for whoever has the offset from elsewhere.
            self.table[offset >> OS_PAGE_SHIFT].load(Ordering::Acquire)
        } else {
            ptr::null_mut()
        };
        if start.is_null() {
            // As good as any for no bytes at all, which may stand behind the last of a page; whoever
            // reads there faults.
            return ptr::without_provenance_mut(PIECE_ALIGN + within);
        }
        start.wrapping_add(within)
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes
    }

    /// What is not handed out has no memory anyway.
    ///
    /// # Safety
    /// - None here; it is the mapping's that asks for care.
    pub(crate) const unsafe fn decommit(&self, _: Range<usize>) -> bool {
        true
    }

    /// A page or a run has been handed out: it gets memory.
    pub(crate) fn hand_out(&self, range: Range<usize>) {
        let layout = layout(range.len());
        // SAFETY: pages and runs are not empty.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: these are the bytes just allocated.
        unsafe { ptr::write_bytes(start, JUNK, range.len()) };
        let mut pieces = self.pieces.lock();
        let before = pieces.range(..range.end).next_back();
        let is_free = before.is_none_or(|(&start, &bytes)| start + bytes <= range.start);
        assert!(is_free, "S1: {range:?} is handed out twice");
        pieces.insert(range.start, range.len());
        for (at, os_page) in os_pages(&range).enumerate() {
            let start = start.wrapping_add(at << OS_PAGE_SHIFT);
            self.table[os_page].store(start, Ordering::Release);
        }
    }

    /// A page or a run comes back: its memory goes.
    pub(crate) fn take_back(&self, range: Range<usize>) {
        let mut pieces = self.pieces.lock();
        let bytes = pieces.remove(&range.start);
        assert_eq!(bytes, Some(range.len()), "S1: {range:?} is given back once");
        self.release(range);
    }

    fn release(&self, range: Range<usize>) {
        let start = self.at(range.start);
        for os_page in os_pages(&range) {
            self.table[os_page].store(ptr::null_mut(), Ordering::Relaxed);
        }
        open(start, range.len());
        // SAFETY: `hand_out` allocated it with this layout, and it has just been forgotten.
        unsafe { dealloc(start, layout(range.len())) };
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        for (start, bytes) in std::mem::take(&mut *self.pieces.lock()) {
            self.release(start..start + bytes);
        }
    }
}

/// Chunks change hands.
impl Arena {
    /// The chunk of `id` has been taken for an item.
    pub(super) fn open_chunk(&self, id: ItemId) {
        let bytes = self.classes.cut(self.class_of(id));
        let bytes = bytes.expect("a chunk of a page").chunk_bytes;
        open(self.map.at(self.offset_of(id)), bytes);
    }

    /// The item of `id` is gone: nobody reads its chunk before it is taken again.
    pub(super) fn close_chunk(&self, id: ItemId) {
        let bytes = self.classes.cut(self.class_of(id));
        let bytes = bytes.expect("a chunk of a page").chunk_bytes;
        close(self.map.at(self.offset_of(id)), bytes);
    }

    /// The page, whose class has been noted, has been handed out: none of its chunks has been taken.
    pub(super) fn close_chunks(&self, page: u32) {
        let class = self.class_of_page(page);
        let cut = self.classes.cut(class).expect("a class with pages");
        let first = self.map.at(self.page_offset(page) + cut.chunks_at);
        close(first, cut.page_bytes - cut.chunks_at);
    }
}

/// Positions of a range in the table.
fn os_pages(range: &Range<usize>) -> Range<usize> {
    range.start >> OS_PAGE_SHIFT..range.end >> OS_PAGE_SHIFT
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, PIECE_ALIGN).expect("far below isize::MAX")
}

#[cfg(larder_asan)]
unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const u8, bytes: usize);
    fn __asan_unpoison_memory_region(start: *const u8, bytes: usize);
}

fn open(start: *mut u8, bytes: usize) {
    // SAFETY: it only changes what AddressSanitizer knows of memory that is the arena's.
    #[cfg(larder_asan)]
    unsafe {
        __asan_unpoison_memory_region(start, bytes);
    }
    #[cfg(not(larder_asan))]
    let _ = (start, bytes);
}

fn close(start: *mut u8, bytes: usize) {
    // SAFETY: as in `open`.
    #[cfg(larder_asan)]
    unsafe {
        __asan_poison_memory_region(start, bytes);
    }
    #[cfg(not(larder_asan))]
    for at in (0..bytes).step_by(UNSET.len()) {
        let count = UNSET.len().min(bytes - at);
        let target = start.wrapping_add(at).cast::<MaybeUninit<u8>>();
        // SAFETY: the bytes are those of chunks that hold no item, in one page that is handed out.
        unsafe { ptr::copy_nonoverlapping(UNSET.as_ptr(), target, count) };
    }
}

/// Bytes that Miri knows to be nothing yet.
#[cfg(not(larder_asan))]
static UNSET: [MaybeUninit<u8>; 4096] = [MaybeUninit::uninit(); 4096];

/// What the table counts in, whatever the OS does.
pub(crate) const fn os_page_bytes() -> usize {
    1 << OS_PAGE_SHIFT
}
