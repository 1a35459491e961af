//! The books of a slab's pages: which class owns which page, and which pages have a free chunk.

use std::num::NonZero;

use super::{NOWHERE, Page, PageSlot, Slab};
use crate::arena::class::Cut;
use crate::arena::item::{LINE_BYTES, LINE_SLOTS, LINKS_BYTES, Link, Place, TIMES_BYTES};
use crate::arena::{Arena, ItemId, SizeClass, State};
use crate::stats::{ClassStats, Memory};
use crate::sync::Ordering;
use crate::time::ExpiresAt;

/// What stands before the item in a run: one line, of which a single slot is used. In the place of the
/// other times are the links, the policy's stamp and the item's position.
pub(super) const RUN_META_BYTES: usize = LINE_BYTES;
pub(in crate::arena) const RUN_LINKS_AT: usize = TIMES_BYTES;
pub(in crate::arena) const RUN_STAMP_AT: usize = 2 * TIMES_BYTES;
pub(in crate::arena) const RUN_POSITION_AT: usize = 3 * TIMES_BYTES;

/// Behind these, the word of the run's readers (run.rs).
pub(in crate::arena) const RUN_PINS_AT: usize = 4 * TIMES_BYTES;

/// Places of a list of pages that it may keep, however short it is: it is about to grow again.
const LIST_SHRINKS_FROM: usize = 64;
/// Where states stand in their line. Lines are aligned, and this to as many as there are slots: places are put together
/// bit by bit.
const STATES_AT: NonZero<usize> = NonZero::new(LINE_SLOTS * TIMES_BYTES).expect("behind the times");
const _: () = assert!(
    STATES_AT
        .get()
        .is_multiple_of(LINE_SLOTS.next_power_of_two())
);

impl Arena {
    /// The class that the chunk of `id` was cut for.
    #[inline]
    pub(in crate::arena) fn class_of(&self, id: ItemId) -> SizeClass {
        if self.is_run(id) {
            return self.classes.large();
        }
        self.class_of_page(self.page_of(id))
    }

    #[inline(always)]
    pub(in crate::arena) fn class_of_page(&self, number: u32) -> SizeClass {
        // Relaxed: only the owner of a page, under its shard's lock, writes its class.
        SizeClass(self.page_classes[number as usize].load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(in crate::arena) fn cut(&self, class: SizeClass) -> &Cut {
        self.classes.cut(class).expect("not the large class")
    }

    /// Where the parts of an item are.
    #[inline]
    pub(in crate::arena) fn place(&self, id: ItemId) -> Place {
        if self.is_run(id) {
            let offset = self.offset_of(id);
            return Place {
                times: offset,
                state: STATES_AT | offset,
                links: NonZero::new(offset + RUN_LINKS_AT),
                chunk: offset + RUN_META_BYTES,
                class: self.classes.large(),
            };
        }
        let spot = self.spot_of(id);
        let class = self.class_of_page(spot.page);
        let chunk = self.cut(class).chunk_at(spot.within);
        self.place_in(spot.page_at, class, chunk)
    }

    /// Where the parts of an item in a page would be, if `id` names one: a reader may have an id that was freed
    /// meanwhile, in a page that is cut for something else by now. A hint, and the truth only if the page, whose
    /// number comes first, is of that class while `id` is known to stand in it.
    #[inline(always)]
    pub(in crate::arena) fn place_if_any(&self, id: ItemId) -> Option<(u32, Place)> {
        if self.is_run(id) {
            return None;
        }
        let spot = self.spot_of(id);
        let class = self.class_of_page(spot.page);
        let cut = self.cut(class);
        let chunk = (spot.within >= cut.chunks_at).then(|| cut.chunk_at(spot.within))?;
        let is_one = chunk < cut.chunks as usize;
        is_one.then(|| (spot.page, self.place_in(spot.page_at, class, chunk)))
    }

    #[inline(always)]
    fn place_in(&self, page_at: usize, class: SizeClass, chunk: usize) -> Place {
        let cut = self.cut(class);
        let line = page_at + chunk / LINE_SLOTS * LINE_BYTES;
        let slot = chunk % LINE_SLOTS;
        let links_at = page_at + cut.links_at + chunk * LINKS_BYTES;
        Place {
            times: line + slot * TIMES_BYTES,
            state: STATES_AT | line | slot,
            links: NonZero::new(links_at).filter(|_| self.linked),
            chunk: page_at + cut.chunks_at + chunk * cut.chunk_bytes,
            class,
        }
    }
}

impl Place {
    /// Of an item in a page, whose times and chunk are where they are said to be; without its links, which no read
    /// needs.
    #[inline(always)]
    pub(in crate::arena) fn of_read(times: usize, chunk: usize, class: SizeClass) -> Self {
        let line = times & !(LINE_BYTES - 1);
        let slot = times % LINE_BYTES / TIMES_BYTES;
        Self {
            times,
            state: STATES_AT | line | slot,
            links: None,
            chunk,
            class,
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Arena {
    /// Bytes of a page of `class`, wide or not.
    pub(in crate::arena) fn page_bytes_of(&self, class: SizeClass) -> usize {
        let cut = self.classes.cut(class).expect("a class with pages");
        cut.page_bytes
    }
}

impl Slab {
    pub(super) fn cut(&self, class: SizeClass) -> &Cut {
        self.arena.cut(class)
    }

    pub(super) fn chunk_id(&self, page: &Page, chunk: usize) -> ItemId {
        let cut = self.cut(page.class);
        let page_at = self.arena.page_offset(page.number);
        self.arena
            .id_at(page_at + cut.chunks_at + chunk * cut.chunk_bytes)
    }

    /// Where the chunk of `id` begins: an offset in the mapping.
    pub(in crate::arena) fn chunk_offset(&self, id: ItemId) -> usize {
        let offset = self.arena.offset_of(id);
        if self.arena.is_run(id) {
            offset + RUN_META_BYTES
        } else {
            offset
        }
    }

    /// Whether a live item is a large one.
    pub(crate) fn is_large(&self, id: ItemId) -> bool {
        self.arena.is_run(id)
    }

    /// The slot of the page that a chunk stands in, if it is this slab's.
    pub(super) fn owner_of(&self, id: ItemId) -> Option<u32> {
        let number = self.arena.page_of(id);
        let slot = self.slot_of_page(number);
        let page = self.pages.get(slot as usize);
        page.is_some_and(|page| page.number == number)
            .then_some(slot)
    }

    /// Where the run of a large item begins: an offset in the mapping.
    pub(in crate::arena) fn run_offset(&self, id: ItemId) -> usize {
        debug_assert!(self.arena.is_run(id));
        self.arena.offset_of(id)
    }

    /// Where the parts of an item are.
    pub(crate) fn place(&self, id: ItemId) -> Place {
        self.arena.place(id)
    }

    /// An item, and where its parts are.
    pub(crate) fn placed(&self, id: ItemId) -> (ItemId, Place) {
        (id, self.place(id))
    }

    fn place_in(&self, page_at: usize, class: SizeClass, chunk: usize) -> Place {
        self.arena.place_in(page_at, class, chunk)
    }

    /// The page that a live item stands in; `None` for a large item.
    pub(crate) fn page_of(&self, id: ItemId) -> Option<PageSlot> {
        (!self.arena.is_run(id)).then(|| PageSlot(self.slot_of(id)))
    }

    /// Pages of the class.
    pub(crate) fn page_count(&self, class: SizeClass) -> usize {
        self.classes[class.index()].pages.len()
    }

    /// Chunks in a page of the class.
    pub(crate) fn chunks_a_page(&self, class: SizeClass) -> usize {
        self.cut(class).chunks as usize
    }

    /// The page at a position below `page_count`; removal moves the last page to the gap.
    pub(crate) fn page_at(&self, class: SizeClass, position: usize) -> PageSlot {
        PageSlot(self.classes[class.index()].pages[position])
    }

    /// The policy's note on the page; `None` on a page that is new to its class.
    pub(crate) fn page_stamp(&self, PageSlot(slot): PageSlot) -> Option<f64> {
        self.pages[slot as usize].stamp
    }

    pub(crate) fn set_page_stamp(&mut self, PageSlot(slot): PageSlot, stamp: f64) {
        self.pages[slot as usize].stamp = Some(stamp);
    }

    /// Chunks of the page that may hold an item.
    pub(crate) fn chunks_in(&self, PageSlot(slot): PageSlot) -> usize {
        self.pages[slot as usize].fresh as usize
    }

    /// The item in chunk `chunk` of the page, if it is live.
    pub(crate) fn item_in(&self, page: PageSlot, chunk: usize) -> Option<ItemId> {
        let live = self.state_in(page, chunk).is_live();
        live.then(|| self.id_in(page, chunk))
    }

    /// The first live item of the page from chunk `from` on, and the chunk to go on from.
    pub(crate) fn next_live(&self, page: PageSlot, from: usize) -> Option<(ItemId, usize)> {
        let mut chunks = from..self.chunks_in(page);
        chunks.find_map(|chunk| Some((self.item_in(page, chunk)?, chunk + 1)))
    }

    /// What became of chunk `chunk` of the page.
    pub(crate) fn state_in(&self, PageSlot(slot): PageSlot, chunk: usize) -> State {
        let page = &self.pages[slot as usize];
        let page_at = self.arena.page_offset(page.number);
        self.state_at(self.place_in(page_at, page.class, chunk))
    }

    pub(crate) fn id_in(&self, PageSlot(slot): PageSlot, chunk: usize) -> ItemId {
        self.chunk_id(&self.pages[slot as usize], chunk)
    }

    /// The state of `id`, if it names a chunk that this slab has cut for `class`: an id that was kept
    /// after its item went may name anything.
    pub(crate) fn state_if_of(&self, id: ItemId, class: SizeClass) -> Option<State> {
        let place = self.place_if_of(id, class)?;
        Some(self.state_at(place))
    }

    /// Asks for the memory of what `id` names, if it names a chunk that this slab has cut for `class`.
    pub(crate) fn prefetch_if_of(&self, id: ItemId, class: SizeClass) {
        if let Some(place) = self.place_if_of(id, class) {
            self.arena.prefetch(place);
        }
    }

    /// Where the parts of the chunk are that `id` names, if this slab has cut it for `class`.
    pub(crate) fn place_if_of(&self, id: ItemId, class: SizeClass) -> Option<Place> {
        if self.arena.is_run(id) {
            return None;
        }
        let spot = self.arena.spot_of(id);
        let page = self.pages.get(self.slot_of_page(spot.page) as usize)?;
        if page.number != spot.page || page.class != class {
            return None;
        }
        // Beyond `fresh` stands what the page held in an earlier use.
        let chunk = self.cut(class).chunk_at(spot.within);
        (chunk < page.fresh as usize).then(|| self.place_in(spot.page_at, class, chunk))
    }

    pub(super) fn slot_of(&self, id: ItemId) -> u32 {
        self.slot_of_page(self.arena.page_of(id))
    }

    fn slot_of_page(&self, number: u32) -> u32 {
        // Relaxed: only this slab, under its shard's lock, writes the slots of its own pages.
        self.arena.page_slots[number as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add_page(&mut self, class: SizeClass) -> Option<u32> {
        let number = if self.cut(class).wide {
            self.arena.take_wide_page()?
        } else {
            self.arena.take_page()?
        };
        let class_pages = &mut self.classes[class.index()].pages;
        self.arena.page_classes[number as usize].store(class.0, Ordering::Relaxed);
        self.arena.close_chunks(number);
        let page = Page {
            number,
            class,
            used: 0,
            fresh: 0,
            free: Link::NONE,
            expires_min: ExpiresAt::NEVER,
            page_at: position(class_pages.len()),
            partial_at: NOWHERE,
            stamp: None,
        };
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.pages[slot as usize] = page;
                slot
            }
            None => {
                self.pages.push(page);
                position(self.pages.len() - 1)
            }
        };
        class_pages.push(slot);
        self.arena.page_slots[number as usize].store(slot, Ordering::Relaxed);
        self.add_partial(slot);
        Some(slot)
    }

    pub(super) fn release_page(&mut self, slot: u32) {
        if self.is_draining(slot) {
            self.drain = None;
        }
        self.close_page(slot);
        if self.pages[slot as usize].partial_at != NOWHERE {
            self.remove_partial(slot);
        }
        let page = &self.pages[slot as usize];
        let (number, page_at) = (page.number, page.page_at);
        let class_pages = &mut self.classes[page.class.index()].pages;
        class_pages.swap_remove(page_at as usize);
        shrink(class_pages);
        if let Some(&moved) = class_pages.get(page_at as usize) {
            self.pages[moved as usize].page_at = page_at;
        }
        self.pages[slot as usize].number = NOWHERE;
        self.free_slots.push(slot);
        self.arena.give_page(number);
    }

    pub(super) fn add_partial(&mut self, slot: u32) {
        let page = &mut self.pages[slot as usize];
        let partial = &mut self.classes[page.class.index()].partial;
        page.partial_at = position(partial.len());
        partial.push(slot);
    }

    pub(super) fn remove_partial(&mut self, slot: u32) {
        let page = &mut self.pages[slot as usize];
        let partial_at = std::mem::replace(&mut page.partial_at, NOWHERE);
        let partial = &mut self.classes[page.class.index()].partial;
        partial.swap_remove(partial_at as usize);
        shrink(partial);
        if let Some(&moved) = partial.get(partial_at as usize) {
            self.pages[moved as usize].partial_at = partial_at;
        }
    }

    /// What the pages and runs hold besides the bytes of their items, which are `item_bytes`. O(classes
    /// + large items).
    pub(crate) fn memory(&self, item_bytes: usize) -> Memory {
        let mut held_bytes = 0;
        let mut memory = Memory {
            item_count: self.items,
            item_bytes,
            ..Memory::default()
        };
        for class in SizeClass::first(self.large_class().index()) {
            let (cut, pages) = (self.cut(class), self.page_count(class));
            let chunks = pages * cut.chunks as usize;
            // Slots of a page's last line that no chunk has are lost like the page's tail: rounding.
            let states_bytes = chunks * (LINE_BYTES - LINE_SLOTS * TIMES_BYTES) / LINE_SLOTS;
            let links_bytes = if self.arena.linked {
                chunks * LINKS_BYTES
            } else {
                0
            };
            held_bytes += pages * cut.page_bytes;
            memory.expiry_bytes += chunks * TIMES_BYTES;
            memory.policy_bytes += states_bytes + links_bytes;
            memory.free_bytes += (chunks - self.used_count(class)) * cut.chunk_bytes;
        }
        let runs_bytes = self.runs_bytes();
        memory.run_bytes = runs_bytes;
        held_bytes += runs_bytes;
        memory.expiry_bytes += self.large.len() * TIMES_BYTES;
        memory.policy_bytes += self.large.len() * (RUN_META_BYTES - TIMES_BYTES);
        memory.rounding_bytes = held_bytes
            - memory.item_bytes
            - memory.expiry_bytes
            - memory.policy_bytes
            - memory.free_bytes;
        memory
    }

    /// Bytes of all pages and runs. O(classes + large items).
    pub(crate) fn pages_bytes(&self) -> usize {
        let classes = SizeClass::first(self.large_class().index());
        let pages = classes.map(|class| self.page_count(class) * self.cut(class).page_bytes);
        pages.sum::<usize>() + self.runs_bytes()
    }

    /// Adds the slab's pages and chunks of a class. O(1), O(large items) for the large one.
    pub(crate) fn add_class(&self, class: SizeClass, stats: &mut ClassStats) {
        stats.item_count += self.used_count(class);
        if class == self.large_class() {
            let items = self.large.len();
            stats.chunks_a_page = 1;
            stats.page_count += items;
            stats.chunk_count += items;
            stats.held_bytes += self.runs_bytes();
            stats.chunk_bytes = stats.held_bytes.checked_div(stats.item_count).unwrap_or(0);
            return;
        }
        let (cut, pages) = (self.cut(class), self.page_count(class));
        stats.chunk_bytes = cut.chunk_bytes;
        stats.chunks_a_page = cut.chunks as usize;
        stats.page_count += pages;
        stats.chunk_count += pages * cut.chunks as usize;
        stats.held_bytes += pages * cut.page_bytes;
    }
}

/// Gives back what a list of pages has had for many more of them: every class may have been the largest.
fn shrink(list: &mut Vec<u32>) {
    if list.capacity() >= LIST_SHRINKS_FROM && list.len() < list.capacity() / 4 {
        list.shrink_to(2 * list.len());
    }
}

pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index).expect("pages are counted in 32 bits")
}
