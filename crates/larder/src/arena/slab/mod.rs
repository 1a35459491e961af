//! One shard's part of the arena: its pages, by size class, and which of their chunks are free.
//!
//! Safe code: chunk bytes are read and written in item.rs only. A page's books are kept here, not
//! in the page, so that an unused page is never touched.
//!
//! An item stands in a chunk of its own class, or, while that class has no page and too few items to
//! fill one, is *lodged* in a chunk of the next larger class that has.

mod drain;
mod limbo;
mod pages;
mod runs;
mod sweep;
mod validate;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::item::{Link, Place, Side};
use super::kept::Returned;
use super::memory::prefetch_to_write;
use super::new_item::Measured;
use super::{Arena, ItemId, SizeClass, State};
use crate::op::CasToken;
use crate::time::{ExpiresAt, Timestamp};
use drain::Drain;
pub(super) use pages::{RUN_PINS_AT, RUN_POSITION_AT, RUN_STAMP_AT};
use sweep::Pass;

/// The pages of one shard. What every store writes stands at the end.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slab {
    arena: Arc<Arena>,
    classes: Box<[ClassPages]>,
    /// The books of the pages, by slot; `free_slots` are vacant.
    pages: Vec<Page>,
    free_slots: Vec<u32>,
    /// The large items, in no order; each knows its position.
    large: Vec<ItemId>,
    drain: Option<Drain>,
    /// Chunks as those in `limbo` that guards keep, and where those return them.
    kept: BTreeSet<ItemId>,
    returned: Arc<Returned>,
    /// Items lodged in chunks of a larger class, of all classes.
    lodgers: usize,
    /// No item of any class expires before this.
    expires_min: ExpiresMin,
    /// Chunks whose items are gone, but for their readers.
    limbo: Vec<(ItemId, Place)>,
    /// Live items, and bytes that they take with what their pages keep of them.
    items: usize,
    held_bytes: usize,
    /// Chunks as those in `limbo` that nobody reads any more, at hand for the stores that their items were evicted for.
    /// Their pages know nothing of that, and none of them is being drained.
    spare: Vec<(ItemId, Place)>,
}

/// The pages of one size class; what every store looks at is in the first line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct ClassPages {
    /// Live items in its chunks.
    used: usize,
    /// No item in its chunks expires before this.
    expires_min: ExpiresMin,
    /// Slots of the pages that have a free chunk, but for one that is being drained.
    partial: Vec<u32>,
    /// Slots of all its pages, in no order.
    pages: Vec<u32>,
    /// Items of this class lodged in chunks of a larger one.
    lodged: usize,
    /// A look for expired items that is under way.
    pass: Option<Pass>,
}

/// The books of one page.
#[derive(Debug)]
struct Page {
    /// `NOWHERE` for a vacant slot.
    number: u32,
    class: SizeClass,
    /// Chunks that are not free: of live items, in limbo, and spare.
    used: u32,
    /// Chunks from here on were never used.
    fresh: u32,
    /// The first of the chunks that were used and are free.
    free: Link,
    /// No item of the page expires before this.
    expires_min: ExpiresMin,
    /// Position in `ClassPages::pages`.
    page_at: u32,
    /// Position in `ClassPages::partial`; `NOWHERE` for a page that is full or being drained.
    partial_at: u32,
    /// The policy's note on the page.
    stamp: Option<f64>,
}

/// A lower bound of the expiry instants of many items.
type ExpiresMin = ExpiresAt;

/// Bytes that the books of a page take, wherever they are kept; two large items instead take less.
pub(super) const PAGE_RECORD_BYTES: usize = size_of::<Page>() + 4 * size_of::<u32>();

const NOWHERE: u32 = u32::MAX;
/// How many classes up an item may lodge.
const LODGING_CLASSES: usize = 8;

impl Default for ExpiresAt {
    fn default() -> Self {
        Self::NEVER
    }
}

/// What became of the page when one of its items was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// The chunk is free, or will be once whoever reads the item is done.
    Chunk,
    /// It was the last item of its page, or a large one: the memory is back in the pool.
    Page,
}

/// Where a changed item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Where it stood; nobody reads it.
    Stays,
    /// In a new chunk.
    Moves,
}

/// One page of a slab, as a sweep or a clock hand sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageSlot(u32);

impl Slab {
    pub(crate) fn new(arena: Arc<Arena>) -> Self {
        let classes = (0..arena.classes.count())
            .map(|_| ClassPages::default())
            .collect();
        Self {
            arena,
            classes,
            pages: Vec::new(),
            free_slots: Vec::new(),
            large: Vec::new(),
            lodgers: 0,
            items: 0,
            held_bytes: 0,
            expires_min: ExpiresAt::NEVER,
            drain: None,
            limbo: Vec::new(),
            spare: Vec::new(),
            kept: BTreeSet::new(),
            returned: Arc::default(),
        }
    }

    /// Asks for the books of a class. O(1).
    pub(crate) fn prefetch_books(&self, class: SizeClass) {
        prefetch_to_write(&self.classes[class.index()]);
    }

    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// The class for an item of `item_bytes`, header included.
    pub(crate) fn class_for(&self, item_bytes: usize) -> SizeClass {
        self.arena.class_for(item_bytes)
    }

    pub(crate) fn class_count(&self) -> usize {
        self.arena.class_count()
    }

    pub(crate) fn large_class(&self) -> SizeClass {
        self.arena.classes.large()
    }

    /// A chunk for the item, written in the state `state`; `None` if no chunk is free and the pool has no page.
    /// O(1) but for large items. The policy is not told: that is the caller's part.
    pub(crate) fn store(&mut self, item: &Measured<'_>, state: State) -> Option<(ItemId, Place)> {
        let (id, place) = self.allocate_for(item)?;
        self.write(place, item, state);
        self.note_expiry(id, item.expires_at);
        Some((id, place))
    }

    /// Whether `item` could be written over the live item `id`, at `place`, whose chunk has to be of the right class.
    pub(crate) fn can_store_over(&self, id: ItemId, place: Place, item: &Measured<'_>) -> bool {
        item.filled.is_none() && self.fits_in_place(id, place, item.item_bytes())
    }

    /// Writes `item` over the live item `id`, at `place`, which has the same key. Its standing with the policy stays.
    pub(crate) fn store_over(&mut self, id: ItemId, place: Place, item: &Measured<'_>) {
        debug_assert!(self.can_store_over(id, place, item));
        self.write(place, item, self.state_at(place).renewed());
        self.note_expiry(id, item.expires_at);
    }

    /// A new item in a chunk of its own, with the standing of the live item `from`, which stays.
    pub(crate) fn store_beside(
        &mut self,
        from: ItemId,
        item: &Measured<'_>,
    ) -> Option<(ItemId, Place)> {
        let (id, place) = self.allocate_for(item)?;
        self.write(place, item, self.state(from).renewed());
        self.note_expiry(id, item.expires_at);
        Some((id, place))
    }

    /// Whether a live item could get a value of `value_bytes` where it stands.
    pub(crate) fn can_change(&self, id: ItemId, value_bytes: usize) -> bool {
        let item_bytes = self.item_bytes_with(id, value_bytes);
        self.fits_in_place(id, self.place(id), item_bytes) && self.keeps_header(id, value_bytes)
    }

    /// Gives a live item another value: in its chunk, or in a new item with its key, flags and expiry,
    /// and `id` stays. `None` if there is no memory for that.
    pub(crate) fn replace(
        &mut self,
        id: ItemId,
        value: &[u8],
        standing: Standing,
        cas: CasToken,
        now: Timestamp,
    ) -> Option<ItemId> {
        if standing == Standing::Stays {
            self.overwrite_value(id, value, cas, now);
            return Some(id);
        }
        let item_bytes = self.item_bytes_with(id, value.len());
        self.store_changed(id, item_bytes, [Some(value), Some(&[])], cas, now)
    }

    /// Joins `extra` to a live item's value: in its chunk or in a new item, as `replace`.
    pub(crate) fn joined(
        &mut self,
        id: ItemId,
        extra: &[u8],
        side: Side,
        standing: Standing,
        cas: CasToken,
        now: Timestamp,
    ) -> Option<ItemId> {
        if standing == Standing::Stays {
            self.join(id, extra, side, cas, now);
            return Some(id);
        }
        let value_bytes = self.view(id).value.len() + extra.len();
        let item_bytes = self.item_bytes_with(id, value_bytes);
        let parts = match side {
            Side::Front => [Some(extra), None],
            Side::Back => [None, Some(extra)],
        };
        self.store_changed(id, item_bytes, parts, cas, now)
    }

    /// A new item of `item_bytes` with `from`'s key, flags and expiry and a value of two parts, as
    /// `write_changed` takes them. `None` if there is no memory for it.
    fn store_changed(
        &mut self,
        from: ItemId,
        item_bytes: usize,
        parts: [Option<&[u8]>; 2],
        cas: CasToken,
        now: Timestamp,
    ) -> Option<ItemId> {
        let (new, _) = self.allocate(item_bytes)?;
        self.write_changed(new, from, parts, cas, now);
        self.note_expiry(new, self.expires_at(new));
        Some(new)
    }

    /// A new item that differs from the live item `from`, which stays, by its token. `None` if there is no
    /// memory for it.
    pub(crate) fn copy_with(&mut self, from: ItemId, cas: CasToken) -> Option<ItemId> {
        let (id, _) = self.allocate(self.item_bytes(from))?;
        self.copy_item(from, id);
        self.set_token(id, cas);
        self.note_expiry(id, self.expires_at(id));
        Some(id)
    }

    /// Frees a live item's chunk. Index and policy have dropped the id (S5). O(1).
    pub(crate) fn free(&mut self, id: ItemId) -> Freed {
        if self.arena.is_run(id) {
            return self.free_run(id);
        }
        let slot = self.slot_of(id);
        self.retire(id, self.place(id));
        self.retry_limbo();
        if self.pages[slot as usize].number == NOWHERE {
            Freed::Page
        } else {
            Freed::Chunk
        }
    }

    /// The live item at `place` is gone, and its chunk in limbo: once the index has dropped the id too, `retry_limbo` frees
    /// all that are there, with one look at who reads. A large item is freed at once. O(1).
    #[inline]
    pub(crate) fn retire(&mut self, id: ItemId, place: Place) {
        debug_assert!(self.state_at(place).is_live(), "S3: freed once");
        if self.arena.is_run(id) {
            self.free_run(id);
            return;
        }
        if self.lodgers > 0 {
            self.note_lodger(id, -1);
        }
        self.classes[place.class.index()].used -= 1;
        self.items -= 1;
        self.held_bytes -= self.bytes_each(place.class);
        self.set_state_at(place, State::FREE);
        self.limbo.push((id, place));
    }

    /// Makes the chunk of an item that is gone, and that nobody reads, a free one, unless a guard keeps it.
    fn reclaim(&mut self, id: ItemId, place: Place) {
        if self.leave_to_guards(id) {
            return;
        }
        let slot = self.slot_of(id);
        let next = self.pages[slot as usize].free;
        self.make_free(place, next);
        self.arena.close_chunk(id);
        let page = &mut self.pages[slot as usize];
        page.free = Link::from(id);
        page.used -= 1;
        if page.used == 0 {
            self.release_page(slot);
        } else if page.partial_at == NOWHERE && !self.is_draining(slot) {
            self.add_partial(slot);
        }
    }

    /// The class whose chunk a live item has.
    pub(crate) fn class_of(&self, id: ItemId) -> SizeClass {
        self.arena.class_of(id)
    }

    /// Items in chunks of the class.
    pub(crate) fn used_count(&self, class: SizeClass) -> usize {
        self.classes[class.index()].used
    }

    /// Bytes that an item in a chunk of the class takes, with what its page keeps of it.
    pub(crate) fn bytes_each(&self, class: SizeClass) -> usize {
        self.cut(class).each_bytes
    }

    /// Live items.
    pub(crate) fn item_count(&self) -> usize {
        self.items
    }

    /// Bytes that the live items take, with what their pages keep of them.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Bytes of a page.
    pub(crate) fn page_bytes(&self) -> usize {
        self.arena.page_bytes
    }

    /// The large items, in no order.
    pub(crate) fn large_items(&self) -> &[ItemId] {
        &self.large
    }

    pub(crate) fn set_expires_at(&mut self, id: ItemId, expires_at: ExpiresAt) {
        self.set_expiry(id, expires_at);
        self.note_expiry(id, expires_at);
    }

    fn fits_in_place(&self, id: ItemId, place: Place, item_bytes: usize) -> bool {
        // A lodger stays as long as its class does.
        let present = if self.lodgers > 0 {
            self.class_for(self.item_bytes_at(place))
        } else {
            place.class
        };
        let class = self.class_for(item_bytes);
        class == present && (class != self.large_class() || self.fits_run(id, item_bytes))
    }

    /// A chunk for the item, or the run that its value was filled in.
    #[inline(always)]
    fn allocate_for(&mut self, item: &Measured<'_>) -> Option<(ItemId, Place)> {
        let Some(filled) = item.filled else {
            return self.allocate(item.item_bytes());
        };
        let id = self.adopt(filled.take(), item.item_bytes());
        Some(self.placed(id))
    }

    fn allocate(&mut self, item_bytes: usize) -> Option<(ItemId, Place)> {
        let class = self.class_for(item_bytes);
        if class == self.large_class() {
            return self.take_run(item_bytes).map(|id| self.placed(id));
        }
        if let Some(spare) = self.take_spare(class) {
            return Some(spare);
        }
        if let Some(&slot) = self.classes[class.index()].partial.last() {
            return Some(self.take_chunk(slot));
        }
        if self.retry_limbo() {
            return self.allocate(item_bytes);
        }
        // A wide page for a few items would be mostly air: they lodge, if they can.
        let wide = self.cut(class).wide;
        if wide && let Some(lodged) = self.lodge(class) {
            return Some(lodged);
        }
        match self.add_page(class) {
            Some(slot) => Some(self.take_chunk(slot)),
            None if wide => None,
            None => self.lodge(class),
        }
    }

    /// A chunk of a larger class for an item of `class`, which should have no page yet.
    fn lodge(&mut self, class: SizeClass) -> Option<(ItemId, Place)> {
        let host = self.host_of(class)?;
        let slot = match self.classes[host.index()].partial.last() {
            Some(&slot) => slot,
            // Of a wide page's items all may lodge in pages that were made for them.
            None if self.cut(class).wide && !self.cut(host).wide => self.add_page(host)?,
            None => return None,
        };
        self.classes[class.index()].lodged += 1;
        self.lodgers += 1;
        Some(self.take_chunk(slot))
    }

    /// Where an item of a class without pages may lodge; `None` if it should have a page.
    pub(crate) fn host_of(&self, class: SizeClass) -> Option<SizeClass> {
        let own = &self.classes[class.index()];
        let few = (own.lodged + 1) * 2 <= self.cut(class).chunks as usize;
        if !own.pages.is_empty() || !few {
            return None;
        }
        let end = (class.index() + 1 + LODGING_CLASSES).min(self.large_class().index());
        let hosts = SizeClass::first(end).skip(class.index() + 1);
        let wide = self.cut(class).wide;
        hosts.into_iter().find(|&host| {
            !self.classes[host.index()].pages.is_empty() || wide && !self.cut(host).wide
        })
    }

    /// Counts a live item that lodges, if it does, `by` times.
    fn note_lodger(&mut self, id: ItemId, by: isize) {
        let class = self.class_for(self.item_bytes(id));
        if class != self.class_of(id) {
            let lodged = &mut self.classes[class.index()].lodged;
            *lodged = lodged.checked_add_signed(by).expect("counted when it came");
            self.lodgers = self.lodgers.checked_add_signed(by).expect("as above");
        }
    }

    /// A free chunk of a page that has one.
    fn take_chunk(&mut self, slot: u32) -> (ItemId, Place) {
        let page = &self.pages[slot as usize];
        let id = page.free.id();
        let id = id.unwrap_or_else(|| self.chunk_id(page, page.fresh as usize));
        let place = self.place(id);
        let (free, fresh) = if page.free == Link::NONE {
            (Link::NONE, page.fresh + 1)
        } else {
            (self.next_free(place), page.fresh)
        };
        let class = page.class;
        let chunks = self.cut(class).chunks;
        let page = &mut self.pages[slot as usize];
        page.free = free;
        page.fresh = fresh;
        page.used += 1;
        debug_assert!(page.used <= chunks && page.fresh <= chunks);
        if page.used == chunks {
            self.remove_partial(slot);
        }
        self.note_taken(id, class);
        (id, place)
    }

    /// A chunk of the class has been taken for an item.
    fn note_taken(&mut self, id: ItemId, class: SizeClass) {
        self.classes[class.index()].used += 1;
        self.items += 1;
        self.held_bytes += self.bytes_each(class);
        self.arena.open_chunk(id);
    }
}
