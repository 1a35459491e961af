//! The cache's memory: chunks that hold items, cut from pages, within one limit.
//!
//! ```text
//! Arena   one mapping and the pool of its pages, shared by all shards
//!   |
//! Slab    one shard's pages, by size class                      (slab/, safe)
//!   |
//! page    | lines: times and states | links, if any | chunk 0 | ... | chunk n-1 |  (class.rs)
//!                                            |        (or buckets of an index: buckets.rs)
//! chunk   | header 12 B | key | value | rounding |              (item.rs; memory.rs, unsafe)
//! ```
//!
//! Some classes of large chunks have *wide* pages, of eight units each, because few of their chunks fit
//! a page and its tail would be lost. They have address space of their own, as have *narrow* pages of one
//! OS page each, in which a policy keeps what it knows besides the items (narrow.rs). An item above half a page
//! is *large*: a run of OS pages of its own, with a line, links, and then a chunk.
//! An `ItemId` is 32 bits, survives remapping and never is a pointer: the offset in granules (8
//! bytes up to a limit of 28 GiB, more beyond; eight times that in wide pages) for a chunk of a page,
//! then one id for every OS page of the room for runs.
//!
//! Invariants that the SAFETY comments cite:
//! - **S1** a page belongs to the pool, to one class of one slab, or to one index; a run to the pool
//!   or one slab; a narrow page to one array or to none.
//! - **S2** a chunk is `page + chunks_at + n * chunk_bytes` and never crosses its page; its times, state
//!   and links are the nth of the page. A run starts on an OS page. All lie inside the mapping, and
//!   times and links are aligned.
//! - **S3** a chunk is on its page's free list, beyond its `fresh` mark, or holds one initialised
//!   item: never two of them. Its state byte says live in the last case only, as soon as the page
//!   has been handed out.
//! - **S4** header + key + value fit the chunk, as the header's lengths say.
//! - **S5** an `ItemId` is live from `allocate` to `free`, and known only to the index and the
//!   policy of the shard that owns the slab. Both drop it before `free`.
//! - **S6** a slab is reached through one `&mut` at a time (its shard's lock), and views of its
//!   items borrow it.
//! - **S7** key and value of a pinned run are not written, and the run is not given back, before the last
//!   pin has gone (run.rs). Pins are taken under the shard's lock, of live items.
//! - **S8** what readers without a lock may look at stays what it is until they are gone: a bucket of an index
//!   while a thread is in a section, header, key and value of an item whose address is in a slot
//!   (readers.rs) or that is kept (kept/). Such an item has left the index before its chunk is written or freed.

mod ahead;
mod array;
mod buckets;
mod class;
pub(crate) mod fault;
mod header;
#[cfg(not(any(miri, larder_asan)))]
mod huge;
mod id;
mod item;
mod kept;
mod look;
#[cfg_attr(any(miri, larder_asan), path = "apart.rs")]
mod map;
mod memory;
mod narrow;
mod new_item;
mod pool;
mod run;
mod shown;
mod slab;
mod state;
#[cfg(any(test, fuzzing))]
pub(crate) mod twin;

pub(crate) use ahead::{Ahead, Candidate};
pub(crate) use array::{Array, Entry, Fingerprints, LINE_WAYS, SEGMENT_ENTRIES, Segment};
pub(crate) use buckets::{Bucket, Buckets, Pair, PairSlot, Places, SLOTS, Shape};
pub(crate) use class::SizeClass;
pub(crate) use header::HEADER_BYTES;
pub(crate) use item::{Link, Place, Side, stored_at};
pub(crate) use kept::Kept;
pub(crate) use look::Life;
pub(crate) use memory::prefetch_to_write;
pub(crate) use new_item::{Measured, NewItem, item_lengths};
pub(crate) use run::{Claim, Filled, Grown, Pinned, Run};
pub(crate) use shown::{Found, Shown};
pub(crate) use slab::{Freed, Slab, Standing};
pub(crate) use state::{State, USES_MAX};

use std::ops::Range;

use crate::error::Error;
use crate::sync::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use class::{Grid, SizeClasses, WIDE_SHIFT};
use kept::Keeping;
use map::{Map, os_page_bytes};
use narrow::NarrowPages;
use pool::{Pool, SharedPool, Space};
use run::Trash;

/// Handle of an item: where its chunk starts in the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ItemId(u32);

impl ItemId {
    /// Tells ids apart, and nothing else.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
impl ItemId {
    /// An id that stands for no chunk, for tests of what only passes ids around.
    pub(crate) const fn of_test(number: u32) -> Self {
        Self(number)
    }
}

/// The memory of one cache, shared by the slabs of its shards.
#[derive(Debug)]
pub(crate) struct Arena {
    /// Tells arenas apart, from 1 on.
    number: usize,
    map: Map,
    pool: SharedPool,
    classes: SizeClasses,
    trash: Trash,
    narrow: NarrowPages,
    keeping: Keeping,
    /// A copy of the pool's, to be read without its lock.
    limit_bytes: AtomicUsize,
    page_bytes: usize,
    /// log2 of `page_bytes`.
    page_shift: u32,
    /// log2 of the granule that ids in pages count in; in wide pages it is `WIDE_SHIFT` more.
    granule_shift: u32,
    /// Bytes of all pages: wide pages stand behind them.
    pages_bytes: usize,
    page_count: u32,
    /// Where runs begin, behind the narrow pages.
    runs_at: usize,
    /// The first id of a chunk in a wide page.
    first_wide_id: u32,
    /// The first id of a run; from here on ids count in OS pages.
    first_run_id: u32,
    os_page_bytes: usize,
    /// Whether every chunk has links; runs always have.
    linked: bool,
    /// For each page, wide ones last, its position in the slab that owns it. Written by the owner only.
    page_slots: Box<[AtomicU32]>,
    /// For each page, the class that its chunks are cut for. Written by the owner only.
    page_classes: Box<[AtomicU8]>,
}

/// The number of the next arena.
static ARENAS: AtomicUsize = AtomicUsize::new(1);

/// Which items have links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Large ones only, where eight bytes are nothing.
    Large,
    /// All: the policy keeps lists.
    Everywhere,
}

/// Bytes of all that is kept of a page outside it.
const PAGE_TABLES_BYTES: usize = size_of::<AtomicU32>()
    + size_of::<AtomicU8>()
    + slab::PAGE_RECORD_BYTES
    + Keeping::PAGE_TABLE_BYTES;

/// Bytes of the limit by what they are used for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolUse {
    pub(crate) used_bytes: usize,
    pub(crate) charged_bytes: usize,
    pub(crate) run_bytes: usize,
}

pub(crate) const PAGE_BYTES_MIN: usize = 64 << 10;
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Pages a limit is cut into, as far as the bounds of a page allow.
const PAGES_AIM: usize = 16 << 10;
/// Address space for runs, in limits. Fragmentation costs address space only, so room is cheap;
/// halved until the system grants it.
const RUN_SPACE_LIMITS: usize = 4;
/// A cache whose limit is fewer wide pages has none: a few of them, not full, would matter.
const WIDE_PAGES_MIN: usize = 128;
const GRANULE_SHIFT_MIN: u32 = 3;
const GRANULE_SHIFT_END: u32 = 16;

impl Arena {
    /// Reserves the address space for limits up to `limit_bytes_max`; nothing of it is resident yet.
    /// With `links` every item has two for a policy that keeps lists.
    pub(crate) fn new(
        limit_bytes: usize,
        limit_bytes_max: usize,
        links: Links,
    ) -> Result<Self, Error> {
        let page_bytes = page_bytes_for(limit_bytes_max);
        let wide_bytes = page_bytes << WIDE_SHIFT;
        let pages_bytes = limit_bytes_max / page_bytes * page_bytes;
        let wide_count = match limit_bytes_max / wide_bytes {
            0..WIDE_PAGES_MIN => 0,
            count => count,
        };
        let narrow_at = pages_bytes + wide_count * wide_bytes;
        let os_page_bytes = os_page_bytes();
        let runs_at = narrow_at + NarrowPages::space_bytes(limit_bytes_max, os_page_bytes);
        let map = reserve(runs_at, limit_bytes_max)?;
        map.keep_sparse(pages_bytes..map.len());
        let run_ids = ((map.len() - runs_at) / os_page_bytes) as u64;
        let wide_ids = |shift: u32| (narrow_at - pages_bytes) >> (shift + WIDE_SHIFT);
        let ids = |shift: u32| ((pages_bytes >> shift) + wide_ids(shift)) as u64 + run_ids;
        let granule_shift = (GRANULE_SHIFT_MIN..GRANULE_SHIFT_END)
            .find(|&shift| ids(shift) < u64::from(u32::MAX))
            .expect("LIMIT_BYTES_MAX in granules and OS pages is below 2^32");
        let number = |count: usize| u32::try_from(count).expect("LIMIT_BYTES_MAX bounds them");
        let page_count = pages_bytes / page_bytes;
        let space = Space {
            page_bytes,
            page_count: number(page_count),
            wide_bytes,
            wide_count: number(wide_count),
            runs: runs_at..map.len(),
        };
        let mut pool = Pool::new(limit_bytes, space);
        let pages = page_count + wide_count;
        let narrow = NarrowPages::new(narrow_at..runs_at, os_page_bytes);
        let tables_bytes = pages * PAGE_TABLES_BYTES + narrow.table_bytes();
        let charged = pool.charge(tables_bytes, |_| true);
        assert!(
            charged,
            "side tables are a small part of the smallest limit"
        );
        let linked = links == Links::Everywhere;
        let grid = Grid {
            page_bytes,
            granule_bytes: 1 << granule_shift,
            linked,
            wide: wide_count > 0,
        };
        let first_wide_id = pages_bytes >> granule_shift;
        Ok(Self {
            // Relaxed: only that no two are the same.
            number: ARENAS.fetch_add(1, Ordering::Relaxed),
            pool: SharedPool::new(pool),
            trash: Trash::default(),
            narrow,
            keeping: Keeping::new(pages),
            classes: SizeClasses::new(grid),
            limit_bytes: AtomicUsize::new(limit_bytes),
            page_bytes,
            page_shift: page_bytes.ilog2(),
            granule_shift,
            pages_bytes,
            page_count: number(page_count),
            runs_at,
            first_wide_id: number(first_wide_id),
            first_run_id: number(first_wide_id + wide_ids(granule_shift)),
            os_page_bytes,
            linked,
            page_slots: (0..pages).map(|_| AtomicU32::new(0)).collect(),
            page_classes: (0..pages).map(|_| AtomicU8::new(0)).collect(),
            map,
        })
    }

    /// Asks for huge pages under all pages but wide and narrow ones; whether there are such.
    pub(crate) fn ask_for_huge_pages(&mut self) -> bool {
        self.map.ask_for_huge_pages(self.pages_bytes)
    }

    pub(crate) fn has_huge_pages(&self) -> bool {
        self.map.has_huge_pages()
    }

    pub(crate) fn limit_bytes(&self) -> usize {
        // Relaxed: a number to show or to compare with; the pool's own decides under its lock.
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Whether more is used than the limit, which has just been set lower, allows.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.pool.lock().is_over_limit()
    }

    /// The most that the limit can be set to: what there is address space for.
    pub(crate) fn limit_bytes_max(&self) -> usize {
        self.pages_bytes
    }

    /// Size classes, the large one included.
    pub(crate) fn class_count(&self) -> usize {
        self.classes.count()
    }

    pub(crate) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Sets another limit; free memory beyond it goes back to the OS.
    pub(crate) fn set_limit(&self, limit_bytes: usize) {
        self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
        self.pool
            .lock()
            .set_limit(limit_bytes, |range| self.decommit_free(range));
    }

    /// The class for an item of `item_bytes`, header included.
    pub(crate) fn class_for(&self, item_bytes: usize) -> SizeClass {
        self.classes.of(item_bytes)
    }

    pub(crate) fn pool_use(&self) -> PoolUse {
        let pool = self.pool.lock();
        PoolUse {
            used_bytes: pool.used_bytes(),
            charged_bytes: pool.charged_bytes(),
            run_bytes: pool.run_bytes(),
        }
    }

    /// Makes all memory of items read-only, or no longer so.
    #[cfg(all(test, target_os = "linux", not(any(miri, larder_asan))))]
    pub(crate) fn freeze(&self, is_frozen: bool) {
        self.map.freeze(is_frozen);
    }

    /// Panics unless the books of the pool and of what is kept agree. O(free ranges + pages).
    pub(crate) fn validate(&self) {
        self.validate_kept();
        self.pool.lock().validate();
    }

    /// Counts `bytes` outside the mapping; false if the limit does not allow them.
    #[must_use]
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let decommit = |range| self.decommit_free(range);
        !fault::strikes() && self.pool.lock().charge(bytes, decommit)
    }

    /// Counts as much of `bytes` as the limit allows; returns how much.
    fn charge_up_to(&self, bytes: usize) -> usize {
        if fault::strikes() {
            return 0;
        }
        self.pool
            .lock()
            .charge_up_to(bytes, |range| self.decommit_free(range))
    }

    /// A run in the place of a charge of as many bytes; without one the charge stays.
    fn charge_to_run(&self, bytes: usize) -> Option<usize> {
        if fault::strikes() {
            return None;
        }
        let decommit = |range| self.decommit_free(range);
        let start = self.pool.lock().charge_to_run(bytes, decommit)?;
        self.map.hand_out(start..start + bytes);
        Some(start)
    }

    /// Takes back what `charge` counted, after its memory was given back.
    pub(crate) fn discharge(&self, bytes: usize) {
        self.pool.lock().discharge(bytes);
    }

    fn take_page(&self) -> Option<u32> {
        if fault::strikes() {
            return None;
        }
        let page = self.pool.lock_if_free(self.page_bytes)?.take_page()?;
        self.map.hand_out(self.page_range(page));
        Some(page)
    }

    fn take_wide_page(&self) -> Option<u32> {
        if fault::strikes() {
            return None;
        }
        let decommit = |range| self.decommit_free(range);
        let bytes = self.page_bytes << WIDE_SHIFT;
        let page = self.pool.lock_if_free(bytes)?.take_wide_page(decommit)?;
        self.map.hand_out(self.page_range(page));
        Some(page)
    }

    /// Returns a page, or a wide one. A wide page's memory goes back to the OS first; where the OS keeps
    /// it, it is as with a run.
    fn give_page(&self, page: u32) {
        let range = self.page_range(page);
        self.map.take_back(range.clone());
        if page >= self.page_count {
            self.decommit_free(range);
            self.pool.lock().give_wide_page(page);
            return;
        }
        self.pool
            .lock()
            .give_page(page, |range| self.decommit_free(range));
    }

    #[expect(
        unsafe_code,
        reason = "the pool's pages are handed back to the OS here"
    )]
    fn decommit_free(&self, range: Range<usize>) -> bool {
        // SAFETY: S1: the range is a page of the pool or a run on its way there, so nobody refers
        // to it; both lie inside the mapping on OS page bounds (S2).
        !fault::strikes() && unsafe { self.map.decommit(range) }
    }

    fn run_bytes_for(&self, item_bytes: usize) -> usize {
        item_bytes.next_multiple_of(self.os_page_bytes)
    }
}

/// Bytes of a page for a limit: small limits get small pages, so that classes share them better.
pub(crate) fn page_bytes_for(limit_bytes: usize) -> usize {
    (limit_bytes / PAGES_AIM)
        .next_power_of_two()
        .clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX)
}

/// Maps all pages and as much room for runs as the system grants.
fn reserve(pages_bytes: usize, limit_bytes: usize) -> Result<Map, Error> {
    let mut run_bytes = limit_bytes.next_multiple_of(PAGE_BYTES_MIN) * RUN_SPACE_LIMITS;
    loop {
        match Map::reserve(pages_bytes + run_bytes) {
            Ok(map) => return Ok(map),
            Err(_) if run_bytes > limit_bytes => {
                run_bytes = (run_bytes / 2).next_multiple_of(PAGE_BYTES_MIN);
            }
            Err(error) => {
                let bytes = pages_bytes + run_bytes;
                return Err(Error::MappingFailed {
                    bytes,
                    reason: error.to_string(),
                });
            }
        }
    }
}
