//! The buckets of one shard's index, in pages of the arena: 64 bytes each, one cache line.
//!
//! ```text
//! bucket   | id 0 .. id 11, 4 bytes each | tag 0 .. tag 11, 1 byte each | unused 4 |
//! ```
//!
//! Only memory and its growth: which item goes into which bucket is the index's business.
#![expect(unsafe_code, reason = "buckets stand in pages of the mapping")]

use std::sync::Arc;

use super::memory::prefetch_line;
use super::{Arena, Link};

/// Slots of a bucket.
pub(crate) const SLOTS: usize = 12;

/// One cache line of the index. All-zero bytes are an empty bucket.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    /// The items; an empty slot links to none.
    pub(crate) items: [Link; SLOTS],
    /// Eight bits of each item's hash.
    pub(crate) tags: [u8; SLOTS],
    unused: [u8; 4],
}

impl Bucket {
    pub(crate) const EMPTY: Self = Self {
        items: [Link::NONE; SLOTS],
        tags: [0; SLOTS],
        unused: [0; 4],
    };
}

/// Bytes of a bucket.
const BUCKET_BYTES: usize = size_of::<Bucket>();

const _: () = assert!(BUCKET_BYTES == 64);

/// A growing array of buckets. Pages stay until `clear`.
#[derive(Debug)]
pub(crate) struct Buckets {
    arena: Arc<Arena>,
    pages: Vec<u32>,
    /// log2 of the buckets in a page.
    page_shift: u32,
}

impl Buckets {
    pub(crate) fn new(arena: Arc<Arena>) -> Self {
        let page_shift = (arena.page_bytes / BUCKET_BYTES).ilog2();
        Self {
            arena,
            pages: Vec::new(),
            page_shift,
        }
    }

    /// Buckets that there is memory for.
    pub(crate) fn count(&self) -> usize {
        self.pages.len() << self.page_shift
    }

    /// Bytes of that memory.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * self.arena.page_bytes
    }

    /// Adds a page of empty buckets; false if the pool has none. O(page).
    pub(crate) fn grow(&mut self) -> bool {
        let Some(page) = self.arena.take_page() else {
            return false;
        };
        self.pages.push(page);
        let first = self.at(self.count() - (1 << self.page_shift));
        // SAFETY: S1: the page is this array's alone from now on; it lies inside the mapping (S2)
        // and all-zero bytes are buckets.
        unsafe { std::ptr::write_bytes(first, 0, 1 << self.page_shift) };
        true
    }

    /// Buckets in a page.
    pub(crate) fn page_buckets(&self) -> usize {
        1 << self.page_shift
    }

    /// Gives the page of the last buckets back; they are out of use.
    pub(crate) fn give_last_page(&mut self) {
        if let Some(page) = self.pages.pop() {
            self.arena.give_page(page);
        }
    }

    /// Gives all pages back.
    pub(crate) fn clear(&mut self) {
        for page in self.pages.drain(..) {
            self.arena.give_page(page);
        }
    }

    /// Asks the processor for a bucket that is read soon.
    pub(crate) fn prefetch(&self, number: usize) {
        prefetch_line(self.at(number));
    }

    pub(crate) fn get(&self, number: usize) -> &Bucket {
        let bucket = self.at(number);
        // SAFETY: `at` points into a page of this array, zeroed before its first use; nobody
        // writes it while `self` is borrowed (S1, S6).
        unsafe { &*bucket }
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the borrow is what makes it exclusive"
    )]
    pub(crate) fn get_mut(&mut self, number: usize) -> &mut Bucket {
        let bucket = self.at(number);
        // SAFETY: as in `get`, and `&mut self` is the only way to it (S6).
        unsafe { &mut *bucket }
    }

    fn at(&self, number: usize) -> *mut Bucket {
        let page = self.pages[number >> self.page_shift];
        let within = number & ((1 << self.page_shift) - 1);
        let offset = self.arena.page_offset(page) + within * BUCKET_BYTES;
        self.arena.byte_at(offset).cast()
    }
}
