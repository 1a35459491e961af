//! The size-class table: which chunk an item of so many bytes goes into. Arithmetic only.
//!
//! Chunk sizes grow by eighths of a doubling up to 2 KiB and by quarters above, then follow from
//! whole chunks a page (7, 6, ... 2), so that a page of large chunks has no unused tail. Above
//! half a page an item is *large*: it gets OS pages of its own.

use super::item::HEADER_BYTES;

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

/// The chunk sizes of one cache, ascending.
#[derive(Debug)]
pub(crate) struct SizeClasses {
    chunk_bytes: Vec<u32>,
}

/// Room for a header, a key of one byte and a short value.
const CHUNK_BYTES_MIN: usize = 48;
const FINE_STEPS_UP_TO: usize = 2048;
const CLASSES_MAX: usize = 128;

const _: () = assert!(CHUNK_BYTES_MIN > HEADER_BYTES);

impl SizeClasses {
    /// The table for pages of `page_bytes` whose chunks start at multiples of `granule_bytes`.
    pub(crate) fn new(page_bytes: usize, granule_bytes: usize) -> Self {
        let mut sizes = Vec::new();
        let mut bytes = CHUNK_BYTES_MIN.next_multiple_of(granule_bytes);
        while bytes <= page_bytes / 8 {
            sizes.push(bytes);
            let doubling = 1 << bytes.ilog2();
            let steps = if bytes < FINE_STEPS_UP_TO { 8 } else { 4 };
            bytes = (bytes + (doubling / steps).max(1)).next_multiple_of(granule_bytes);
        }
        for chunks in (2..8).rev() {
            let fit = page_bytes / chunks / granule_bytes * granule_bytes;
            if sizes.last().is_none_or(|&last| last < fit) {
                sizes.push(fit);
            }
        }
        assert!(sizes.len() < CLASSES_MAX, "the class index is a byte");
        let chunk_bytes = sizes
            .iter()
            .map(|&size| u32::try_from(size).expect("a page is < 4 GiB"));
        Self {
            chunk_bytes: chunk_bytes.collect(),
        }
    }

    /// The class of an item of `item_bytes`, header included. O(log classes).
    pub(crate) fn of(&self, item_bytes: usize) -> SizeClass {
        let index = self
            .chunk_bytes
            .partition_point(|&chunk| (chunk as usize) < item_bytes);
        SizeClass(u8::try_from(index).expect("fewer than CLASSES_MAX classes"))
    }

    /// Bytes of a chunk of `class`; `None` for the large class, whose chunks have their own.
    pub(crate) fn chunk_bytes(&self, class: SizeClass) -> Option<usize> {
        self.chunk_bytes
            .get(class.index())
            .map(|&bytes| bytes as usize)
    }

    /// The class of items above half a page.
    pub(crate) fn large(&self) -> SizeClass {
        SizeClass(u8::try_from(self.chunk_bytes.len()).expect("fewer than CLASSES_MAX classes"))
    }

    /// All classes, the large one last.
    pub(crate) fn count(&self) -> usize {
        self.chunk_bytes.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn an_item_gets_the_smallest_chunk_that_holds_it() {
        let classes = SizeClasses::new(PAGE, 8);
        for item_bytes in HEADER_BYTES + 1..=PAGE / 2 {
            let class = classes.of(item_bytes);
            assert!(classes.chunk_bytes(class).unwrap() >= item_bytes);
            if class.0 > 0 {
                assert!(classes.chunk_bytes(SizeClass(class.0 - 1)).unwrap() < item_bytes);
            }
        }
        assert_eq!(classes.of(PAGE / 2 + 1), classes.large());
        assert_eq!(classes.chunk_bytes(classes.large()), None);
    }

    #[test]
    fn chunks_ascend_and_stand_on_granules() {
        for (page, granule) in [(64 << 10, 8), (256 << 10, 16), (1 << 20, 64)] {
            let classes = SizeClasses::new(page, granule);
            assert!(classes.chunk_bytes.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(
                classes
                    .chunk_bytes
                    .iter()
                    .all(|&b| (b as usize).is_multiple_of(granule))
            );
            assert_eq!(classes.count(), classes.chunk_bytes.len() + 1);
        }
    }

    #[test]
    fn rounding_wastes_little_on_average() {
        let classes = SizeClasses::new(1 << 20, 8);
        for doubling in 6..19 {
            let sizes = (1usize << doubling)..(2 << doubling);
            let (mut used, mut given) = (0, 0);
            for item_bytes in sizes.step_by(7) {
                used += item_bytes;
                given += classes.chunk_bytes(classes.of(item_bytes)).unwrap();
            }
            let waste = 1.0 - used as f64 / given as f64;
            let bound = if doubling < 11 { 0.05 } else { 0.16 };
            assert!(waste < bound, "2^{doubling}: {waste}");
        }
    }
}
