//! The size-class table: which chunk an item of so many bytes goes into. Arithmetic only.
//!
//! Chunk sizes grow by eighths or sixteenths of a doubling, then follow from whole chunks a page (15,
//! 14, ... 2), so that a page of large chunks has no unused tail. What lies between those few sizes is
//! cut from *wide* pages of several units (63 chunks, 59, ... 18). Above half a page, or 128 KiB, an item
//! is *large*: it gets OS pages of its own.

use super::header::HEADER_BYTES;
use super::item::{LINE_BYTES, LINE_SLOTS, LINKS_BYTES};

/// Position in the table; `SizeClasses::large()` is the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeClass(pub(crate) u8);

impl SizeClass {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The class at a position that is known to be one's.
    pub(crate) fn at(index: usize) -> Self {
        Self(u8::try_from(index).expect("fewer than CLASSES_MAX classes"))
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
    /// The class of small items, by their bytes in granules of chunks, rounded up.
    small: Box<[u8]>,
    /// log2 of the bytes of a granule.
    granule_shift: u32,
}

/// How a page of one class is cut.
///
/// ```text
/// page   | line 0 .. line (n-1)/7 | links 0 .. n-1, if items are linked | chunk 0 .. chunk n-1 |
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) chunk_bytes: usize,
    pub(super) chunks: u32,
    /// What each of them takes of its page.
    pub(super) each_bytes: usize,
    pub(super) links_at: usize,
    pub(super) chunks_at: usize,
    /// Bytes of the page.
    pub(super) page_bytes: usize,
    /// Whether the page is a wide one.
    pub(super) wide: bool,
    /// 2^40 / chunk_bytes, rounded up: exact for every offset in a page.
    reciprocal: u64,
}

/// What the chunks of a page are cut by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) page_bytes: usize,
    /// Chunks start at multiples of it.
    pub(super) granule_bytes: usize,
    /// Whether every chunk has links, which a policy with lists needs.
    pub(super) linked: bool,
    /// Whether there are wide pages.
    pub(super) wide: bool,
}

const CHUNK_BYTES_MIN: usize = 24;
/// Steps a doubling up to 512 bytes, up to 4 KiB, and above. The middle is where values are neither
/// small beside their metadata nor few to a page.
const STEPS_UP_TO: [(usize, usize); 3] = [(512, 8), (4096, 16), (usize::MAX, 8)];
/// log2 of the units in a wide page.
pub(super) const WIDE_SHIFT: u32 = 3;
/// Chunks of a wide page, by class: sizes between an eighth and a half of a page that whole chunks of a
/// page leave out. Powers of two with some bytes of key and header are well served.
const WIDE_CHUNKS: [usize; 13] = [63, 59, 52, 44, 36, 34, 31, 29, 27, 25, 22, 20, 18];
/// The largest chunk: above it, rounding to OS pages wastes less than chunks would.
const CHUNK_BYTES_MAX: usize = 128 << 10;
const CLASSES_MAX: usize = 128;
const RECIPROCAL_BITS: u32 = 40;
/// Items up to so many bytes find their class by one look.
const SMALL_BYTES_MAX: usize = 4096;

const _: () = assert!(CHUNK_BYTES_MIN > HEADER_BYTES);

impl Grid {
    /// Bytes of a page before its chunks.
    fn meta_bytes(self, chunks: usize) -> usize {
        let links_bytes = if self.linked { chunks * LINKS_BYTES } else { 0 };
        (Self::lines_bytes(chunks) + links_bytes).next_multiple_of(self.granule_bytes)
    }

    fn lines_bytes(chunks: usize) -> usize {
        chunks.div_ceil(LINE_SLOTS) * LINE_BYTES
    }

    /// The largest chunk of which `chunks` fit into a page.
    fn share(self, chunks: usize) -> usize {
        let each = (self.page_bytes - self.meta_bytes(chunks)) / chunks;
        each / self.granule_bytes * self.granule_bytes
    }

    /// Chunk sizes by steps, up to a sixteenth of a page; none is a wide page's.
    fn stepped_sizes(self) -> Vec<(usize, bool)> {
        let mut sizes = Vec::new();
        let mut bytes = CHUNK_BYTES_MIN.next_multiple_of(self.granule_bytes);
        while bytes <= self.page_bytes / 16 {
            sizes.push((bytes, false));
            let (_, steps) = STEPS_UP_TO
                .into_iter()
                .find(|&(up_to, _)| bytes < up_to)
                .expect("MAX");
            let step = ((1 << bytes.ilog2()) / steps).max(1);
            bytes = (bytes + step).next_multiple_of(self.granule_bytes);
        }
        sizes
    }

    /// What the chunks of a wide page are cut by.
    fn widened(self) -> Self {
        Self {
            page_bytes: self.page_bytes << WIDE_SHIFT,
            granule_bytes: self.granule_bytes << WIDE_SHIFT,
            ..self
        }
    }
}

impl Cut {
    fn new(grid: Grid, chunk_bytes: usize, wide: bool) -> Self {
        let grid = if wide { grid.widened() } else { grid };
        // The part of a line that each chunk has, rounded down, bounds them from above.
        let bound = grid.page_bytes / (chunk_bytes + LINE_BYTES / LINE_SLOTS);
        let fits =
            |&chunks: &usize| grid.meta_bytes(chunks) + chunks * chunk_bytes <= grid.page_bytes;
        let chunks = (1..=bound).rev().find(fits).expect("one chunk fits a page");
        Self {
            chunk_bytes,
            chunks: u32::try_from(chunks).expect("a page is < 4 GiB"),
            each_bytes: grid.page_bytes / chunks,
            links_at: Grid::lines_bytes(chunks),
            chunks_at: grid.meta_bytes(chunks),
            page_bytes: grid.page_bytes,
            wide,
            reciprocal: (1_u64 << RECIPROCAL_BITS).div_ceil(chunk_bytes as u64),
        }
    }

    /// Which chunk begins at `offset` in the page.
    pub(super) fn chunk_at(&self, offset: usize) -> usize {
        let within = (offset - self.chunks_at) as u64;
        // Below 2^20 times below 2^36, or below 2^23 times below 2^28: no overflow.
        ((within * self.reciprocal) >> RECIPROCAL_BITS) as usize
    }
}

impl SizeClasses {
    pub(super) fn new(grid: Grid) -> Self {
        let mut sizes = grid.stepped_sizes();
        let stepped = sizes.last().map_or(0, |&(bytes, _)| bytes);
        let shares = (2..16).map(|chunks| (grid.share(chunks), false));
        let wide = WIDE_CHUNKS.map(|chunks| (grid.widened().share(chunks), true));
        let wide = wide.into_iter().filter(|_| grid.wide);
        let fits = |&(bytes, _): &(usize, bool)| stepped < bytes && bytes <= CHUNK_BYTES_MAX;
        sizes.extend(shares.chain(wide).filter(fits));
        sizes.sort_unstable();
        assert!(
            sizes.len() < CLASSES_MAX,
            "{} classes: the index is a byte",
            sizes.len()
        );
        let mut classes = Self {
            cuts: sizes
                .into_iter()
                .map(|(bytes, wide)| Cut::new(grid, bytes, wide))
                .collect(),
            small: Box::default(),
            granule_shift: grid.granule_bytes.ilog2(),
        };
        // Chunks are whole granules, so that all items of so many granules have one class.
        classes.small = (0..=SMALL_BYTES_MAX / grid.granule_bytes)
            .map(|granules| classes.searched(granules * grid.granule_bytes).0)
            .collect();
        classes
    }

    /// The class of an item of `item_bytes`, header included. O(1), above 4 KiB O(log classes).
    pub(crate) fn of(&self, item_bytes: usize) -> SizeClass {
        let granules = (item_bytes + (1 << self.granule_shift) - 1) >> self.granule_shift;
        match self.small.get(granules) {
            Some(&class) => SizeClass(class),
            None => self.searched(item_bytes),
        }
    }

    fn searched(&self, item_bytes: usize) -> SizeClass {
        let index = self
            .cuts
            .partition_point(|cut| cut.chunk_bytes < item_bytes);
        SizeClass::at(index)
    }

    /// How pages of `class` are cut; `None` for the large class, which has no pages.
    pub(super) fn cut(&self, class: SizeClass) -> Option<&Cut> {
        self.cuts.get(class.index())
    }

    /// The class of items that no chunk holds.
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

    fn grid(page_bytes: usize, granule_bytes: usize, linked: bool) -> Grid {
        Grid {
            page_bytes,
            granule_bytes,
            linked,
            wide: true,
        }
    }

    fn chunk_bytes(classes: &SizeClasses, class: SizeClass) -> usize {
        classes.cut(class).unwrap().chunk_bytes
    }

    #[test]
    fn an_item_gets_the_smallest_chunk_that_holds_it() {
        let classes = SizeClasses::new(grid(PAGE, 8, false));
        for item_bytes in HEADER_BYTES + 1..PAGE / 2 - 64 {
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
        for (page, granule, linked) in [
            (64 << 10, 8, false),
            (256 << 10, 16, true),
            (1 << 20, 8, false),
            (1 << 20, 64, true),
        ] {
            let classes = SizeClasses::new(grid(page, granule, linked));
            for cut in &classes.cuts {
                let count = cut.chunks as usize;
                let (page, granule) = if cut.wide {
                    (page << WIDE_SHIFT, granule << WIDE_SHIFT)
                } else {
                    (page, granule)
                };
                assert_eq!(cut.page_bytes, page);
                let end = cut.chunks_at + count * cut.chunk_bytes;
                assert!(end <= page && page - end <= cut.chunk_bytes + LINE_BYTES + granule);
                let links_bytes = if linked { count * LINKS_BYTES } else { 0 };
                assert!(cut.links_at >= count.div_ceil(LINE_SLOTS) * LINE_BYTES);
                assert!(cut.links_at + links_bytes <= cut.chunks_at);
                assert!(cut.chunk_bytes.is_multiple_of(granule));
                assert!(cut.chunks_at.is_multiple_of(granule));
                for chunk in 0..count {
                    assert_eq!(cut.chunk_at(cut.chunks_at + chunk * cut.chunk_bytes), chunk);
                }
            }
            let sizes: Vec<usize> = classes.cuts.iter().map(|cut| cut.chunk_bytes).collect();
            assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]));
            let largest = sizes.last().unwrap();
            assert!(*largest > page / 2 - 64 || *largest > CHUNK_BYTES_MAX * 9 / 10);
        }
    }

    /// Of all that an item takes, tails of pages included, the part that is neither it nor its line.
    #[test]
    fn rounding_wastes_little_on_average() {
        for page_shift in 16..=20 {
            let classes = SizeClasses::new(grid(1 << page_shift, 8, false));
            let largest = classes.cuts.last().unwrap().chunk_bytes;
            let (mut sum, mut doublings) = (0.0, 0);
            for doubling in 6..largest.ilog2() {
                let sizes = (1_usize << doubling)..(2 << doubling);
                let (mut used, mut given) = (0.0, 0.0);
                for item_bytes in sizes.step_by(7) {
                    let cut = classes.cut(classes.of(item_bytes)).unwrap();
                    used += item_bytes as f64 + LINE_BYTES as f64 / LINE_SLOTS as f64;
                    given += cut.each_bytes as f64;
                }
                let waste = 1.0 - used / given;
                println!(
                    "pages of {} KiB, from {} bytes: {waste:.3}",
                    1 << (page_shift - 10),
                    1 << doubling
                );
                assert!(waste < 0.07, "{waste}");
                sum += waste;
                doublings += 1;
            }
            let mean = sum / f64::from(doublings);
            println!("pages of {} KiB: {mean:.3}", 1 << (page_shift - 10));
            assert!(mean < 0.05, "{mean}");
        }
    }
}
