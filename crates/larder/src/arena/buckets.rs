//! The buckets of one shard's index, in pages of the arena: 64 bytes each, one cache line.
//!
//! ```text
//! bucket   | link 0 .. link 11, 4 bytes each | tag 0 .. tag 11, 1 byte each | unused 4 |
//! ```
//! Readers come without a lock while the one writer, who has it, changes what stands in the buckets; so
//! every word is an atomic. A reader that finds a bucket by the shape of an earlier moment may miss an item
//! there, and must not conclude that there is none.
//!
//! Only memory and its growth: which item goes into which bucket is the index's business.
#![expect(unsafe_code, reason = "buckets stand in pages of the mapping")]

use std::sync::{Arc, OnceLock};

use super::memory::prefetch_line;
use super::{Arena, ItemId, Link};
use crate::readers::{self, Section};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering, store_and_fence};

/// Slots of a bucket.
pub(crate) const SLOTS: usize = 12;

/// One cache line of the index. All-zero bytes are an empty bucket.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    links: [AtomicU32; SLOTS],
    /// Eight bits of each item's hash, eight slots a word.
    tags: [AtomicU64; 2],
}

/// Bytes of a bucket.
const BUCKET_BYTES: usize = size_of::<Bucket>();
/// Pages that a table has room for.
const TABLE_PAGES: usize = 256;

const _: () = assert!(BUCKET_BYTES == 64);

impl Bucket {
    pub(crate) fn link(&self, slot: usize) -> Link {
        // Acquire: the item's bytes, and the tag, were written before.
        Link::from_bits(self.links[slot].load(Ordering::Acquire))
    }

    /// All links at once. By the writer only.
    pub(crate) fn links(&self) -> [Link; SLOTS] {
        // SAFETY: only the writer stores links, and it is here; what readers do is load them. A `Link` has the
        // layout of its word.
        unsafe { (&raw const self.links).cast::<[Link; SLOTS]>().read() }
    }

    /// The items, by slot. By the writer only.
    pub(crate) fn items(&self) -> impl Iterator<Item = (usize, ItemId)> {
        let links = self.links().into_iter().enumerate();
        links.filter_map(|(slot, link)| Some((slot, link.id()?)))
    }

    /// A bit for every slot without an item. By the writer only.
    #[inline]
    pub(crate) fn vacant(&self) -> u32 {
        none_of(self.links())
    }

    /// Slots without an item. By the writer only.
    #[inline]
    pub(crate) fn free_slots(&self) -> usize {
        self.vacant().count_ones() as usize
    }

    pub(crate) fn tag(&self, slot: usize) -> u8 {
        // Relaxed: a tag is a hint to a reader, and the writer's own.
        self.tags[slot / 8].load(Ordering::Relaxed).to_le_bytes()[slot % 8]
    }

    /// Puts an item into an empty slot. By the writer only.
    pub(crate) fn put(&self, slot: usize, id: ItemId, tag: u8) {
        let (word, shift) = (&self.tags[slot / 8], slot % 8 * 8);
        // In a register: a word read back from memory of which a byte was just written would have to wait for
        // every write before it.
        let others = word.load(Ordering::Relaxed) & !(0xFF << shift);
        word.store(others | u64::from(tag) << shift, Ordering::Relaxed);
        self.set(slot, Link::from(id));
    }

    /// Puts another item, or none, in the place of a slot's, with the same tag. By the writer only.
    pub(crate) fn set(&self, slot: usize, link: Link) {
        // Release: who finds the item finds its bytes.
        self.links[slot].store(link.to_bits(), Ordering::Release);
    }

    /// Takes an item out of its slot, for a while: the thread passes a full barrier, after which it can look for
    /// readers.
    pub(crate) fn withdraw(&self, slot: usize) {
        store_and_fence(&self.links[slot], Link::NONE.to_bits());
    }

    /// A bit for every slot with this tag.
    #[inline(always)]
    fn hits(&self, tag: u8) -> u32 {
        // Relaxed: tags are hints.
        let [low, high] = [&self.tags[0], &self.tags[1]].map(|word| word.load(Ordering::Relaxed));
        equal_bytes(low, high, tag) & ((1 << SLOTS) - 1)
    }
}

/// A bit for each byte of two words that equals `byte`, in the order of memory.
#[inline]
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
fn equal_bytes(low: u64, high: u64, byte: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    /// # Safety
    /// - The processor has SSE2.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn compared(low: u64, high: u64, byte: u8) -> i32 {
        let words = _mm_set_epi64x(high.cast_signed(), low.cast_signed());
        _mm_movemask_epi8(_mm_cmpeq_epi8(words, _mm_set1_epi8(byte.cast_signed())))
    }
    // SAFETY: the instructions are there, or this would not be compiled.
    unsafe { compared(low, high, byte) }.cast_unsigned()
}

#[inline]
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
fn equal_bytes(low: u64, high: u64, byte: u8) -> u32 {
    let bits = |word: u64| {
        let bytes = word.to_le_bytes().into_iter().enumerate();
        bytes.fold(0, |bits, (at, other)| bits | u32::from(other == byte) << at)
    };
    bits(low) | bits(high) << 8
}

/// A bit for each link that is none.
#[inline]
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
fn none_of(links: [Link; SLOTS]) -> u32 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
        _mm_set_epi32, _mm_setzero_si128,
    };
    /// # Safety
    /// - The processor has SSE2.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn compared(links: [Link; SLOTS]) -> i32 {
        let zero = _mm_setzero_si128();
        let word = |slot: usize| links[slot].to_bits().cast_signed();
        let four = |at: usize| _mm_set_epi32(word(at + 3), word(at + 2), word(at + 1), word(at));
        let is_none = |at: usize| -> __m128i { _mm_cmpeq_epi32(four(at), zero) };
        let first = _mm_packs_epi32(is_none(0), is_none(4));
        let last = _mm_packs_epi32(is_none(8), zero);
        _mm_movemask_epi8(_mm_packs_epi16(first, last))
    }
    // SAFETY: the instructions are there, or this would not be compiled.
    unsafe { compared(links) }.cast_unsigned()
}

#[inline]
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
fn none_of(links: [Link; SLOTS]) -> u32 {
    let links = links.into_iter().enumerate();
    links.fold(0, |bits, (slot, link)| {
        bits | u32::from(link == Link::NONE) << slot
    })
}

/// How many buckets are in use, and how hashes are spread over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Buckets in use: `2^level <= used < 2^(level + 1)`, or 0 before the first insert.
    pub(crate) used: usize,
    pub(crate) level: u32,
}

/// Where an item with some hash may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) buckets: [usize; 2],
    pub(crate) tag: u8,
}

impl Shape {
    pub(crate) const EMPTY: Self = Self { used: 0, level: 0 };

    /// The two buckets of a hash, and its tag. Bits 32 to 41 choose the shard, so the second bucket
    /// and the tag come from products of the whole.
    #[inline]
    pub(crate) fn places(self, hash: u64) -> Places {
        let mixed = (hash ^ (hash >> 29)).wrapping_mul(0x9FB2_1C65_1E98_DF25);
        let second = usize::try_from(mixed >> 24).expect("usize has 64 bits");
        let first = usize::try_from(hash).expect("usize has 64 bits");
        #[expect(clippy::cast_possible_truncation, reason = "a tag is eight bits of it")]
        let tag = (mixed >> 11) as u8;
        Places {
            buckets: [self.address(first), self.address(second)],
            tag,
        }
    }

    fn address(self, bits: usize) -> usize {
        let wide = bits & ((2 << self.level) - 1);
        if wide < self.used {
            wide
        } else {
            bits & ((1 << self.level) - 1)
        }
    }
}

/// The two buckets that may have an item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'b> {
    buckets: [&'b Bucket; 2],
    tag: u8,
}

/// A slot of a pair's first bucket, or of its second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairSlot {
    /// Which of the two.
    pub(crate) bucket: usize,
    pub(crate) slot: usize,
}

/// Where a link stood when somebody was among the buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkAt(*const AtomicU32);

impl Pair<'_> {
    /// The slots with the tag, those of the first bucket first. Both are looked at at once: that an item stands in
    /// the second as often as in the first would be guessed wrongly every other time, and nothing that comes later
    /// could be done meanwhile.
    #[inline(always)]
    pub(crate) fn slots(&self) -> impl Iterator<Item = PairSlot> + use<> {
        let [first, second] = self.buckets;
        let mut hits = first.hits(self.tag) | second.hits(self.tag) << SLOTS;
        std::iter::from_fn(move || {
            if hits == 0 {
                return None;
            }
            let at = hits.trailing_zeros() as usize;
            hits &= hits - 1;
            let bucket = usize::from(at >= SLOTS);
            let slot = at - bucket * SLOTS;
            Some(PairSlot { bucket, slot })
        })
    }

    #[inline(always)]
    pub(crate) fn link(&self, PairSlot { bucket, slot }: PairSlot) -> Link {
        self.buckets[bucket].link(slot)
    }

    /// Where the link of a slot stands.
    #[inline(always)]
    pub(super) fn link_at(&self, PairSlot { bucket, slot }: PairSlot) -> LinkAt {
        LinkAt(&raw const self.buckets[bucket].links[slot])
    }

    /// Asks the processor for the buckets. O(1).
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        self.buckets
            .into_iter()
            .for_each(|bucket| prefetch_line(bucket));
    }
}

/// A growing array of buckets, shared by the writer and the readers.
#[derive(Debug)]
pub(crate) struct Buckets {
    arena: Arc<Arena>,
    /// log2 of the buckets in a page.
    page_shift: u32,
    /// The [`Shape`], in one word: what readers go by.
    shape: AtomicU64,
    /// Pages that the array has. Written by the writer only.
    page_count: AtomicUsize,
    /// How often pages were given back, or were to be. Written by the writer only.
    returns: AtomicUsize,
    /// Where the first pages begin in the mapping: as many as most indexes ever have.
    first: Table,
    /// The others, a table behind the other. Tables stay until the end, so that a reader may look into one at any
    /// time.
    further: Box<[OnceLock<Box<Table>>]>,
}

type Table = [AtomicUsize; TABLE_PAGES];

const fn empty_table() -> Table {
    [const { AtomicUsize::new(0) }; TABLE_PAGES]
}

const LEVEL_BITS: u32 = 8;

impl Buckets {
    pub(crate) fn new(arena: Arc<Arena>) -> Self {
        let page_shift = (arena.page_bytes / BUCKET_BYTES).ilog2();
        let further = arena.limit_bytes_max() / arena.page_bytes / TABLE_PAGES;
        Self {
            arena,
            page_shift,
            shape: AtomicU64::new(0),
            page_count: AtomicUsize::new(0),
            returns: AtomicUsize::new(0),
            first: empty_table(),
            further: (0..further).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// The shape that readers go by.
    #[inline(always)]
    pub(crate) fn shape(&self) -> Shape {
        // Acquire: the pages of that many buckets were entered before.
        let word = self.shape.load(Ordering::Acquire);
        Shape {
            used: usize::try_from(word >> LEVEL_BITS).expect("usize has 64 bits"),
            level: (word & ((1 << LEVEL_BITS) - 1)) as u32,
        }
    }

    /// By the writer only.
    pub(crate) fn set_shape(&self, shape: Shape) {
        let word = (shape.used as u64) << LEVEL_BITS | u64::from(shape.level);
        self.shape.store(word, Ordering::Release);
    }

    /// Buckets that there is memory for.
    pub(crate) fn count(&self) -> usize {
        self.page_count() << self.page_shift
    }

    fn page_count(&self) -> usize {
        // Relaxed: the writer's own.
        self.page_count.load(Ordering::Relaxed)
    }

    /// Bytes of that memory.
    pub(crate) fn bytes(&self) -> usize {
        self.page_count() * self.arena.page_bytes
    }

    /// Adds a page of empty buckets; false if the pool has none. By the writer only. O(page).
    pub(crate) fn grow(&self) -> bool {
        let Some(page) = self.arena.take_page() else {
            return false;
        };
        let position = self.page_count();
        let table = match position.checked_sub(TABLE_PAGES) {
            None => &self.first,
            Some(behind) => {
                self.further[behind / TABLE_PAGES].get_or_init(|| Box::new(empty_table()))
            }
        };
        // Relaxed: published by the shape.
        table[position % TABLE_PAGES].store(self.arena.page_offset(page), Ordering::Relaxed);
        self.page_count.store(position + 1, Ordering::Relaxed);
        let first = self.at(position << self.page_shift);
        // SAFETY: S1: the page is this array's alone from now on, and readers come there by a later shape; it lies
        // inside the mapping (S2) and all-zero bytes are buckets.
        unsafe { std::ptr::write_bytes(first, 0, 1 << self.page_shift) };
        true
    }

    /// Buckets in a page.
    pub(crate) fn page_buckets(&self) -> usize {
        1 << self.page_shift
    }

    /// Gives back the pages behind those of the first `used` buckets: the shape has fewer already. False if
    /// a reader may still be there. By the writer only.
    pub(crate) fn give_back(&self, used: usize) -> bool {
        let keep = used.div_ceil(self.page_buckets());
        if keep == self.page_count() {
            return true;
        }
        // Release: who meets this goes by the shape of now, or a later one.
        let returns = self.returns() + 1;
        self.returns.store(returns, Ordering::Release);
        if !readers::quiesce() {
            return false;
        }
        for position in keep..self.page_count() {
            let page = self.arena.page_at(self.page_offset(position));
            self.arena.give_page(page);
        }
        self.page_count.store(keep, Ordering::Relaxed);
        true
    }

    /// Empties the buckets from `first` on that are out of use and stay. By the writer only. O(buckets).
    pub(crate) fn wipe(&self, first: usize) {
        for number in first..self.count() {
            let bucket = self.get(number);
            (0..SLOTS).for_each(|slot| bucket.set(slot, Link::NONE));
        }
    }

    /// Where a key with this hash may stand; `None` in an index that has no buckets. For readers. O(1).
    #[inline(always)]
    pub(crate) fn pair<'s>(&'s self, hash: u64, _section: &'s Section) -> Option<Pair<'s>> {
        let shape = self.shape();
        (shape.used > 0).then(|| self.pair_at(shape.places(hash)))
    }

    /// What tells whether a link may be [looked at again](Self::is_still) that is found in this section, by a shape
    /// that is loaded after this call.
    #[inline(always)]
    pub(super) fn returns(&self) -> usize {
        // Acquire: that shape is none of before the pages were given back.
        self.returns.load(Ordering::Acquire)
    }

    /// Whether `link` is still where it was found when there had been so many `returns`. For readers. O(1).
    #[inline(always)]
    pub(super) fn is_still(
        &self,
        link: Link,
        LinkAt(at): LinkAt,
        returns: usize,
        _section: &Section,
    ) -> bool {
        if self.returns() != returns {
            return false;
        }
        // SAFETY: `at` points into a page of this array that has not been given back since: whoever does so counts
        // it first, has this thread pass a barrier, and does not if it is in a section by then (S8).
        let word = unsafe { &*at };
        // Acquire: as in `Bucket::link`.
        Link::from_bits(word.load(Ordering::Acquire)) == link
    }

    /// Asks the processor for the buckets of a hash. By anybody, at any time: they may be given back before they
    /// come. O(1).
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        let shape = self.shape();
        if shape.used > 0 {
            let [first, second] = shape.places(hash).buckets;
            prefetch_line(self.at(first));
            prefetch_line(self.at(second));
        }
    }

    /// Two buckets of the present shape; see [`get`](Self::get).
    #[inline(always)]
    pub(crate) fn pair_at(&self, places: Places) -> Pair<'_> {
        let [first, second] = places.buckets;
        Pair {
            buckets: [self.get(first), self.get(second)],
            tag: places.tag,
        }
    }

    /// A bucket of the present shape. Readers are in a section from before they load the shape until after
    /// they let go of the bucket.
    #[inline(always)]
    pub(crate) fn get(&self, number: usize) -> &Bucket {
        let bucket = self.at(number);
        // SAFETY: `at` points into a page of this array, zeroed before its first use, and changed by atomics
        // only. It stays one as long as the writer does not give it back, and that waits for readers (S8).
        unsafe { &*bucket }
    }

    #[inline(always)]
    fn page_offset(&self, position: usize) -> usize {
        let table = match position.checked_sub(TABLE_PAGES) {
            None => &self.first,
            Some(behind) => self.further[behind / TABLE_PAGES]
                .get()
                .expect("made for the first of its pages"),
        };
        // Relaxed: whoever knows the position by the shape, or as the writer, finds what was stored before.
        table[position % TABLE_PAGES].load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn at(&self, number: usize) -> *mut Bucket {
        let page_at = self.page_offset(number >> self.page_shift);
        let within = number & ((1 << self.page_shift) - 1);
        let offset = page_at + within * BUCKET_BYTES;
        self.arena.byte_at(offset).cast()
    }
}
