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

use super::huge::{BLOCK_BYTES, Blocks};
use super::{Arena, ItemId, fault};
use crate::sync::Mutex;

/// A private anonymous mapping. Its bytes read as zero until they are written.
#[derive(Debug)]
pub(crate) struct Map {
    mapping: MmapRaw,
    base: Base,
    bytes: usize,
    /// Which blocks may be backed by huge pages, if that was asked for and the kernel has any. A leaf
    /// lock, taken under the pool's.
    blocks: Option<Mutex<Blocks>>,
}

/// The byte at offset 0: the first of the mapping that a huge page can begin with.
#[derive(Clone, Copy, Debug)]
struct Base(*mut u8);

// SAFETY: an address; whoever uses what stands there has to be alone with it (S1, S6).
unsafe impl Send for Base {}
// SAFETY: as for `Send`.
unsafe impl Sync for Base {}

impl Map {
    pub(crate) fn reserve(bytes: usize) -> io::Result<Self> {
        if fault::strikes() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let options = MmapOptions::new()
            .len(bytes + BLOCK_BYTES)
            .no_reserve_swap()
            .map_anon()?;
        let mapping = MmapRaw::from(options);
        let start = mapping.as_mut_ptr();
        let skipped = start.addr().next_multiple_of(BLOCK_BYTES) - start.addr();
        Ok(Self {
            base: Base(start.wrapping_add(skipped)),
            mapping,
            bytes,
            blocks: None,
        })
    }

    /// Asks the kernel for huge pages in the first `bytes`, of which every page is handed out and given back
    /// whole. Whether it has any.
    pub(crate) fn ask_for_huge_pages(&mut self, bytes: usize) -> bool {
        let blocks = Blocks::new(bytes);
        // A page of the kernel's tables has an entry for each small page of a huge one.
        let huge_bytes = os_page_bytes() * (os_page_bytes() / size_of::<u64>());
        if huge_bytes <= BLOCK_BYTES && self.advise_huge(0..blocks.bytes()) {
            self.blocks = Some(Mutex::new(blocks));
        }
        self.has_huge_pages()
    }

    /// Whether the kernel has been asked for huge pages and knows of such.
    pub(crate) const fn has_huge_pages(&self) -> bool {
        self.blocks.is_some()
    }

    fn advise_huge(&self, range: Range<usize>) -> bool {
        #[cfg(target_os = "linux")]
        return self.advise(Advice::HugePage, range).is_ok();
        #[cfg(not(target_os = "linux"))]
        false
    }

    #[cfg(target_os = "linux")]
    fn advise(&self, advice: Advice, range: Range<usize>) -> io::Result<()> {
        self.mapping
            .advise_range(advice, self.skipped() + range.start, range.len())
    }

    /// Bytes of the mapping before offset 0.
    fn skipped(&self) -> usize {
        self.base.0.addr() - self.mapping.as_mut_ptr().addr()
    }

    /// Keeps the kernel from backing `range` with huge pages: it would populate what is sparse, and
    /// populate again what was given back.
    pub(crate) fn keep_sparse(&self, range: Range<usize>) {
        #[cfg(target_os = "linux")]
        if let Err(error) = self.advise(Advice::NoHugePage, range) {
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
        unsafe { self.base.0.add(offset) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes
    }

    /// Makes the whole mapping read-only, or no longer so.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn freeze(&self, is_frozen: bool) {
        use rustix::mm::{MprotectFlags, mprotect};
        let mut flags = MprotectFlags::READ;
        flags.set(MprotectFlags::WRITE, !is_frozen);
        // SAFETY: the range is the mapping; nothing is unmapped, and who writes meanwhile ends the process.
        let done = unsafe { mprotect(self.base.0.cast(), self.len(), flags) };
        done.expect("the mapping's own range");
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
        let Some(blocks) = &self.blocks else {
            // SAFETY: the caller's promises.
            return unsafe { self.give_to_os(range) };
        };
        let mut blocks = blocks.lock();
        let whole = blocks.whole(&range);
        if let Some(block) = whole.clone() {
            self.keep_small(block);
        }
        // SAFETY: the caller's promises.
        let given = unsafe { self.give_to_os(range.clone()) };
        if given {
            blocks.give(&range);
        } else if let Some(block) = whole {
            self.advise_huge(block);
        }
        given
    }

    /// # Safety
    /// - As for `decommit`.
    unsafe fn give_to_os(&self, range: Range<usize>) -> bool {
        let start = self.skipped() + range.start;
        // SAFETY: the caller owns the range, so that nobody observes it turning to zeros.
        let advised = unsafe {
            self.mapping
                .unchecked_advise_range(UncheckedAdvice::DontNeed, start, range.len())
        };
        advised.is_ok()
    }

    /// No huge page from now on. The kernel may refuse (it divides the mapping, and mappings are limited in
    /// number): then what is given back here may become resident again.
    fn keep_small(&self, block: Range<usize>) {
        #[cfg(target_os = "linux")]
        let _ = self.advise(Advice::NoHugePage, block);
        #[cfg(not(target_os = "linux"))]
        let _ = block;
    }

    /// A page or a run has been handed out. A block that was missing it may have a huge page again.
    pub(crate) fn hand_out(&self, range: Range<usize>) {
        if let Some(blocks) = &self.blocks {
            let mut blocks = blocks.lock();
            if let Some(block) = blocks.take(&range) {
                self.advise_huge(block);
            }
        }
    }

    /// A page or a run comes back: checkers take notice (apart.rs), here it makes no difference.
    pub(crate) const fn take_back(&self, _: Range<usize>) {}
}

/// As `Map::take_back`, when chunks change hands.
impl Arena {
    pub(super) const fn open_chunk(&self, _: ItemId) {}

    pub(super) const fn close_chunk(&self, _: ItemId) {}

    pub(super) const fn close_chunks(&self, _page: u32) {}
}

/// What the OS populates and takes back at a time, in bytes; a power of two.
pub(crate) fn os_page_bytes() -> usize {
    rustix::param::page_size()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Whether the kernel is asked for huge pages where `at` stands.
    fn is_asked(at: *mut u8) -> bool {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
        let mut is_here = false;
        for line in maps.lines() {
            let first = line.split(' ').next().expect("the first part");
            let bounds = first.split_once('-').and_then(|(start, end)| {
                let number = |text| usize::from_str_radix(text, 16).ok();
                Some(number(start)?..number(end)?)
            });
            if let Some(bounds) = bounds {
                is_here = bounds.contains(&at.addr());
            } else if is_here && let Some(flags) = line.strip_prefix("VmFlags:") {
                return flags.split(' ').any(|flag| flag == "hg");
            }
        }
        panic!("every mapping has flags");
    }

    #[test]
    fn a_block_that_has_given_a_page_back_is_made_of_small_ones() {
        const PAGE: usize = 64 << 10;
        let mut map = Map::reserve(4 * BLOCK_BYTES).unwrap();
        assert!(map.at(0).addr().is_multiple_of(BLOCK_BYTES));
        if !map.ask_for_huge_pages(3 * BLOCK_BYTES) {
            assert!(!map.has_huge_pages());
            return;
        }
        let in_block = |block: usize| map.at(block * BLOCK_BYTES + BLOCK_BYTES / 2);
        let asked = || [0, 1, 2, 3].map(|block| is_asked(in_block(block)));
        assert_eq!(asked(), [true, true, true, false]);
        let page = BLOCK_BYTES + PAGE..BLOCK_BYTES + 2 * PAGE;
        let byte = map.at(page.start);
        // SAFETY: the page is the test's alone.
        unsafe { byte.write(7) };
        // SAFETY: as above; nobody refers to it.
        assert!(unsafe { map.decommit(page.clone()) });
        // SAFETY: as above.
        assert_eq!(unsafe { byte.read() }, 0);
        assert_eq!(asked(), [true, false, true, false]);
        map.hand_out(BLOCK_BYTES..BLOCK_BYTES + PAGE);
        assert_eq!(asked(), [true, false, true, false]);
        map.hand_out(page);
        assert_eq!(asked(), [true, true, true, false]);
    }
}
