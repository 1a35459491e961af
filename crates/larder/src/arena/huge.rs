//! Which blocks of the mapping may be backed by huge pages. Arithmetic only; map.rs tells the kernel.
//!
//! ```text
//! block, 2 MiB | page | page | page | ... |   some of the pages given back to the OS, or none
//!                a huge page may stand here only while none is
//! ```
//! The kernel populates a huge page as a whole, and in the background makes huge pages of blocks that
//! are populated in part: what was given back would be resident again. So a block with a page that
//! was given back is made of small pages until the page is used again.

use std::ops::Range;

/// The blocks that begin at offset 0.
#[derive(Debug)]
pub(super) struct Blocks {
    /// A bit for each 64 KiB of a block that were given back.
    away: Box<[u32]>,
}

/// Bytes of a huge page. Where the kernel's are larger none are asked for: a block is resident before
/// all its pages are used.
pub(super) const BLOCK_BYTES: usize = 2 << 20;
const BIT_BYTES: usize = BLOCK_BYTES / u32::BITS as usize;

const _: () = assert!(super::PAGE_BYTES_MIN >= BIT_BYTES && super::PAGE_BYTES_MAX <= BLOCK_BYTES);

impl Blocks {
    /// As many as fit into `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            away: vec![0; bytes / BLOCK_BYTES].into_boxed_slice(),
        }
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        self.away.len() * BLOCK_BYTES
    }

    /// The block of a page, if none of its pages has been given back.
    pub(super) fn whole(&self, page: &Range<usize>) -> Option<Range<usize>> {
        let block = page.start / BLOCK_BYTES;
        let is_whole = self.away.get(block) == Some(&0);
        is_whole.then(|| block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES)
    }

    /// The page has been given back.
    pub(super) fn give(&mut self, page: &Range<usize>) {
        if let Some(away) = self.away.get_mut(page.start / BLOCK_BYTES) {
            *away |= bits(page);
        }
    }

    /// The page is used again, or for the first time: its block, if that makes it whole.
    pub(super) fn take(&mut self, page: &Range<usize>) -> Option<Range<usize>> {
        let away = self.away.get_mut(page.start / BLOCK_BYTES)?;
        if *away & bits(page) == 0 {
            return None;
        }
        *away &= !bits(page);
        self.whole(page)
    }
}

/// The bits of a page, which lies in one block.
fn bits(page: &Range<usize>) -> u32 {
    let first = page.start % BLOCK_BYTES / BIT_BYTES;
    let count = page.len() / BIT_BYTES;
    let ones = u32::MAX >> (u32::BITS as usize - count);
    ones << first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_whole_again_when_every_page_is_back() {
        for page_bytes in [64 << 10, 256 << 10, 1 << 20, 2 << 20] {
            let mut blocks = Blocks::new(2 * BLOCK_BYTES + BIT_BYTES);
            assert_eq!(blocks.bytes(), 2 * BLOCK_BYTES);
            let pages: Vec<Range<usize>> = (BLOCK_BYTES..2 * BLOCK_BYTES)
                .step_by(page_bytes)
                .map(|start| start..start + page_bytes)
                .collect();
            let block = Some(BLOCK_BYTES..2 * BLOCK_BYTES);
            for page in &pages {
                assert_eq!(blocks.take(page), None, "it was whole before");
            }
            for page in &pages {
                assert!(blocks.whole(page) == block || page.start > BLOCK_BYTES);
                blocks.give(page);
                assert_eq!(blocks.whole(page), None);
            }
            assert_eq!(blocks.whole(&(0..page_bytes)), Some(0..BLOCK_BYTES));
            let (last, others) = pages.split_last().unwrap();
            assert!(others.iter().all(|page| blocks.take(page).is_none()));
            assert_eq!(blocks.take(last), block);
        }
    }

    #[test]
    fn what_is_behind_the_last_block_is_nobodys() {
        let mut blocks = Blocks::new(BLOCK_BYTES + BIT_BYTES);
        let page = BLOCK_BYTES..BLOCK_BYTES + BIT_BYTES;
        blocks.give(&page);
        assert_eq!((blocks.whole(&page), blocks.take(&page)), (None, None));
    }
}
