//! What an id says: where in the mapping a chunk or a run begins, and which page that is. Arithmetic only.

use std::ops::Range;

use super::class::WIDE_SHIFT;
use super::{Arena, ItemId};

/// Where a chunk begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// The number of its page.
    pub(super) page: u32,
    /// Where that begins in the mapping.
    pub(super) page_at: usize,
    /// Bytes from there to the chunk.
    pub(super) within: usize,
}

impl Arena {
    /// Where a page, or a wide one, stands in the mapping.
    pub(super) fn page_range(&self, page: u32) -> Range<usize> {
        let start = self.page_offset(page);
        let shift = if page < self.page_count {
            0
        } else {
            WIDE_SHIFT
        };
        start..start + (self.page_bytes << shift)
    }

    /// Where a page, or a wide one, begins in the mapping.
    #[inline]
    pub(super) fn page_offset(&self, page: u32) -> usize {
        match page.checked_sub(self.page_count) {
            None => (page as usize) << self.page_shift,
            Some(wide) => self.pages_bytes + ((wide as usize) << (self.page_shift + WIDE_SHIFT)),
        }
    }

    /// The page that a chunk stands in.
    #[inline]
    pub(super) fn page_of(&self, id: ItemId) -> u32 {
        self.spot_of(id).page
    }

    /// Where in which page the chunk of `id`, which is not a run's, begins.
    #[inline(always)]
    pub(super) fn spot_of(&self, id: ItemId) -> Spot {
        // As many granules to a wide page as to any: both are as much larger.
        let page_ids_shift = self.page_shift - self.granule_shift;
        let spot = |number: u32, shift: u32| {
            let page = number >> page_ids_shift;
            let within = number & ((1 << page_ids_shift) - 1);
            Spot {
                page,
                page_at: (page as usize) << (self.page_shift + shift),
                within: (within as usize) << (self.granule_shift + shift),
            }
        };
        match id.0.checked_sub(self.first_wide_id) {
            None => spot(id.0, 0),
            Some(number) => {
                let wide = spot(number, WIDE_SHIFT);
                Spot {
                    page: self.page_count + wide.page,
                    page_at: self.pages_bytes + wide.page_at,
                    ..wide
                }
            }
        }
    }

    /// The page that `offset`, which is below the runs, lies in.
    pub(super) fn page_at(&self, offset: usize) -> u32 {
        let number = match offset.checked_sub(self.pages_bytes) {
            None => offset >> self.page_shift,
            Some(behind) => self.page_count as usize + (behind >> (self.page_shift + WIDE_SHIFT)),
        };
        u32::try_from(number).expect("pages are counted in 32 bits")
    }

    pub(super) fn id_at(&self, offset: usize) -> ItemId {
        let number = if offset < self.pages_bytes {
            offset >> self.granule_shift
        } else if offset < self.runs_at {
            let behind = offset - self.pages_bytes;
            self.first_wide_id as usize + (behind >> (self.granule_shift + WIDE_SHIFT))
        } else {
            self.first_run_id as usize + (offset - self.runs_at) / self.os_page_bytes
        };
        ItemId(u32::try_from(number).expect("granule_shift keeps every id below 2^32"))
    }

    #[inline]
    pub(super) fn offset_of(&self, id: ItemId) -> usize {
        let number = id.0 as usize;
        if id.0 < self.first_wide_id {
            number << self.granule_shift
        } else if id.0 < self.first_run_id {
            let behind = number - self.first_wide_id as usize;
            self.pages_bytes + (behind << (self.granule_shift + WIDE_SHIFT))
        } else {
            self.runs_at + (number - self.first_run_id as usize) * self.os_page_bytes
        }
    }

    /// Whether `id` names a run; else it names a chunk of a page.
    #[inline]
    pub(super) fn is_run(&self, id: ItemId) -> bool {
        id.0 >= self.first_run_id
    }
}
