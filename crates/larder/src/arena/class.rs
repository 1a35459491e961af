//! The size-class table: which chunk an item of so many bytes goes into. Arithmetic only.
//!
//! Chunk sizes grow by eighths or sixteenths of a doubling, then follow from whole chunks a page (7,
//! 6, ... 2), so that a page of large chunks has no unused tail. Above
//! half a page an item is *large*: it gets OS pages of its own.

use super::header::HEADER_BYTES;
use super::item::{SLOT_BYTES, STATE_BYTES};

/// Position in the table; `SizeClasses::large()` is the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeClass(pub(crate) u8);

impl SizeClass {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The first `count` classes, in order.
    pub(crate) fn first(count: usize) -> impl Iterator<Item = Self> {
        let count = u8::try_from(count).expect("fewer than CLASSES_MAX classes");
        (0..count).map(Self)
    }
}

/// The chunk sizes of one cache, ascending, and how a page of each is cut.
#[derive(Debug)]
pub(crate) struct SizeClasses {
    cuts: Vec<Cut>,
}

/// How a page of one class is cut.
///
/// ```text
/// page   | slot 0 .. slot n-1 | state 0 .. state n-1 | chunk 0 .. chunk n-1 |
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) chunk_bytes: usize,
    pub(super) chunks: u32,
    pub(super) states_at: usize,
    pub(super) chunks_at: usize,
    /// 2^40 / chunk_bytes, rounded up: exact for every offset in a page.
    reciprocal: u64,
}

const CHUNK_BYTES_MIN: usize = 24;
/// Steps a doubling up to 512 bytes, up to 4 KiB, and above. The middle is where values are neither
/// small beside their metadata nor few to a page.
const STEPS_UP_TO: [(usize, usize); 3] = [(512, 8), (4096, 16), (usize::MAX, 8)];
const CLASSES_MAX: usize = 128;
const RECIPROCAL_BITS: u32 = 40;

const _: () = assert!(CHUNK_BYTES_MIN > HEADER_BYTES);

impl Cut {
    fn new(page_bytes: usize, chunk_bytes: usize, granule_bytes: usize) -> Self {
        let each = chunk_bytes + SLOT_BYTES + STATE_BYTES;
        // The chunks begin on a granule, which can cost one of them.
        let fits = |chunks: usize| {
            let meta = (chunks * (SLOT_BYTES + STATE_BYTES)).next_multiple_of(granule_bytes);
            meta + chunks * chunk_bytes <= page_bytes
        };
        let most = page_bytes / each;
        let chunks = if fits(most) { most } else { most - 1 };
        let meta_bytes = chunks * (SLOT_BYTES + STATE_BYTES);
        Self {
            chunk_bytes,
            chunks: u32::try_from(chunks).expect("a page is < 4 GiB"),
            states_at: chunks * SLOT_BYTES,
            chunks_at: meta_bytes.next_multiple_of(granule_bytes),
            reciprocal: (1_u64 << RECIPROCAL_BITS).div_ceil(chunk_bytes as u64),
        }
    }

    /// Which chunk begins at `offset` in the page.
    pub(super) fn chunk_at(&self, offset: usize) -> usize {
        let within = (offset - self.chunks_at) as u64;
        // Below 2^20 times below 2^36: no overflow.
        ((within * self.reciprocal) >> RECIPROCAL_BITS) as usize
    }
}

impl SizeClasses {
    /// The table for pages of `page_bytes` whose chunks start at multiples of `granule_bytes`.
    pub(crate) fn new(page_bytes: usize, granule_bytes: usize) -> Self {
        let mut sizes = Vec::new();
        let mut bytes = CHUNK_BYTES_MIN.next_multiple_of(granule_bytes);
        while bytes <= page_bytes / 8 {
            sizes.push(bytes);
            let (_, steps) = STEPS_UP_TO
                .into_iter()
                .find(|&(up_to, _)| bytes < up_to)
                .expect("MAX");
            let step = ((1 << bytes.ilog2()) / steps).max(1);
            bytes = (bytes + step).next_multiple_of(granule_bytes);
        }
        for chunks in (2..8).rev() {
            let share = page_bytes / chunks - SLOT_BYTES - STATE_BYTES - granule_bytes;
            let fit = share / granule_bytes * granule_bytes;
            if sizes.last().is_none_or(|&last| last < fit) {
                sizes.push(fit);
            }
        }
        assert!(
            sizes.len() < CLASSES_MAX,
            "{} classes: the index is a byte",
            sizes.len()
        );
        Self {
            cuts: sizes
                .into_iter()
                .map(|b| Cut::new(page_bytes, b, granule_bytes))
                .collect(),
        }
    }

    /// The class of an item of `item_bytes`, header included. O(log classes).
    pub(crate) fn of(&self, item_bytes: usize) -> SizeClass {
        let index = self
            .cuts
            .partition_point(|cut| cut.chunk_bytes < item_bytes);
        SizeClass(u8::try_from(index).expect("fewer than CLASSES_MAX classes"))
    }

    /// How pages of `class` are cut; `None` for the large class, which has no pages.
    pub(super) fn cut(&self, class: SizeClass) -> Option<&Cut> {
        self.cuts.get(class.index())
    }

    /// The class of items above half a page.
    pub(crate) fn large(&self) -> SizeClass {
        SizeClass(u8::try_from(self.cuts.len()).expect("fewer than CLASSES_MAX classes"))
    }

    /// All classes, the large one last.
    pub(crate) fn count(&self) -> usize {
        self.cuts.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    fn chunk_bytes(classes: &SizeClasses, class: SizeClass) -> usize {
        classes.cut(class).unwrap().chunk_bytes
    }

    #[test]
    fn an_item_gets_the_smallest_chunk_that_holds_it() {
        let classes = SizeClasses::new(PAGE, 8);
        for item_bytes in HEADER_BYTES + 1..PAGE / 2 - 40 {
            let class = classes.of(item_bytes);
            assert!(chunk_bytes(&classes, class) >= item_bytes);
            if class.0 > 0 {
                assert!(chunk_bytes(&classes, SizeClass(class.0 - 1)) < item_bytes);
            }
        }
        assert_eq!(classes.of(PAGE / 2 + 1), classes.large());
        assert!(classes.cut(classes.large()).is_none());
    }

    #[test]
    fn cuts_fill_their_page_and_find_their_chunks() {
        for (page, granule) in [(64 << 10, 8), (256 << 10, 16), (1 << 20, 8), (1 << 20, 64)] {
            let classes = SizeClasses::new(page, granule);
            for cut in &classes.cuts {
                let end = cut.chunks_at + cut.chunks as usize * cut.chunk_bytes;
                assert!(end <= page && page - end <= cut.chunk_bytes + SLOT_BYTES + granule);
                assert!(cut.states_at + cut.chunks as usize <= cut.chunks_at);
                assert!(cut.chunk_bytes.is_multiple_of(granule));
                assert!(cut.chunks_at.is_multiple_of(granule));
                for chunk in 0..cut.chunks as usize {
                    assert_eq!(cut.chunk_at(cut.chunks_at + chunk * cut.chunk_bytes), chunk);
                }
            }
            let sizes: Vec<usize> = classes.cuts.iter().map(|cut| cut.chunk_bytes).collect();
            assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(classes.cuts.last().unwrap().chunks == 2);
        }
    }

    #[test]
    fn rounding_wastes_little_on_average() {
        let classes = SizeClasses::new(1 << 20, 8);
        for doubling in 5..19 {
            let sizes = (1_usize << doubling)..(2 << doubling);
            let (mut used, mut given) = (0, 0);
            for item_bytes in sizes.step_by(7).filter(|&bytes| bytes < (1 << 19) - 40) {
                used += item_bytes;
                given += chunk_bytes(&classes, classes.of(item_bytes));
            }
            let waste = 1.0 - used as f64 / given as f64;
            let bound = if doubling < 17 { 0.07 } else { 0.16 };
            assert!(waste < bound, "2^{doubling}: {waste}");
        }
    }
}
