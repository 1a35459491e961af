//! The books of a slab's pages: which class owns which page, and which pages have a free chunk.

use super::{ExpiresMin, NOWHERE, Page, PageSlot, Slab};
use crate::arena::class::Cut;
use crate::arena::item::{Link, SLOT_BYTES, STATE_BYTES};
use crate::arena::{ItemId, SizeClass};
use crate::sync::Ordering;
use crate::time::ExpiresAt;

/// What stands before the item in a run: its slot and its state.
pub(super) const RUN_META_BYTES: usize = (SLOT_BYTES + STATE_BYTES).next_multiple_of(8);

/// Where the parts of an item are: offsets in the mapping.
#[derive(Clone, Copy, Debug)]
pub(in crate::arena) struct Located {
    pub(in crate::arena) slot: usize,
    pub(in crate::arena) state: usize,
    pub(in crate::arena) chunk: usize,
    pub(in crate::arena) class: SizeClass,
}

impl Slab {
    pub(super) fn cut(&self, class: SizeClass) -> &Cut {
        self.arena.classes.cut(class).expect("not the large class")
    }

    pub(super) fn chunk_id(&self, page: &Page, chunk: usize) -> ItemId {
        let cut = self.cut(page.class);
        let page_at = page.number as usize * self.arena.page_bytes;
        self.arena
            .id_at(page_at + cut.chunks_at + chunk * cut.chunk_bytes)
    }

    /// Where the parts of an item are, as offsets in the mapping.
    pub(in crate::arena) fn locate(&self, id: ItemId) -> Located {
        let offset = self.arena.offset_of(id);
        if self.arena.is_run(id) {
            return Located {
                slot: offset,
                state: offset + SLOT_BYTES,
                chunk: offset + RUN_META_BYTES,
                class: self.large_class(),
            };
        }
        let page_at = offset & !(self.arena.page_bytes - 1);
        let class = self.pages[self.slot_of(id) as usize].class;
        let cut = self.cut(class);
        let chunk = cut.chunk_at(offset - page_at);
        Located {
            slot: page_at + chunk * SLOT_BYTES,
            state: page_at + cut.states_at + chunk,
            chunk: offset,
            class,
        }
    }

    pub(super) fn slot_of(&self, id: ItemId) -> u32 {
        let number = self.arena.offset_of(id) / self.arena.page_bytes;
        // Relaxed: only this slab, under its shard's lock, writes the slots of its own pages.
        self.arena.page_slots[number].load(Ordering::Relaxed)
    }

    pub(super) fn add_page(&mut self, class: SizeClass) -> Option<u32> {
        let number = self.arena.take_page()?;
        let class_pages = &mut self.classes[class.index()].pages;
        let page = Page {
            number,
            class,
            used: 0,
            fresh: 0,
            free: Link::NONE,
            expires_min: ExpiresAt::NEVER,
            page_at: position(class_pages.len()),
            partial_at: NOWHERE,
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
        if self.pages[slot as usize].partial_at != NOWHERE {
            self.remove_partial(slot);
        }
        let page = &self.pages[slot as usize];
        let (number, page_at) = (page.number, page.page_at);
        let class_pages = &mut self.classes[page.class.index()].pages;
        class_pages.swap_remove(page_at as usize);
        if let Some(&moved) = class_pages.get(page_at as usize) {
            self.pages[moved as usize].page_at = page_at;
        }
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
        if let Some(&moved) = partial.get(partial_at as usize) {
            self.pages[moved as usize].partial_at = partial_at;
        }
    }

    /// Panics unless the books of every page agree with its chunks. O(chunks).
    /// Returns the live items in pages, in the order of slots.
    pub(crate) fn validate(&self) -> Vec<ItemId> {
        let mut live = Vec::new();
        for (index, class) in self.classes.iter().enumerate() {
            for (at, &slot) in class.pages.iter().enumerate() {
                let page = &self.pages[slot as usize];
                assert_eq!(page.class.index(), index);
                assert_eq!(page.page_at as usize, at);
                let slot_in_table = &self.arena.page_slots[page.number as usize];
                assert_eq!(slot_in_table.load(Ordering::Relaxed), slot);
                let full = page.used == self.cut(page.class).chunks;
                assert_eq!(
                    page.partial_at == NOWHERE,
                    full,
                    "a page with room is listed"
                );
                if !full {
                    assert_eq!(class.partial.get(page.partial_at as usize), Some(&slot));
                }
                self.validate_page(PageSlot(slot), page, class.expires_min, &mut live);
            }
        }
        live
    }

    fn validate_page(
        &self,
        slot: PageSlot,
        page: &Page,
        class_min: ExpiresMin,
        live: &mut Vec<ItemId>,
    ) {
        let items: Vec<ItemId> = (0..self.chunks_in(slot))
            .filter_map(|chunk| self.item_in(slot, chunk))
            .collect();
        assert_eq!(items.len(), page.used as usize);
        assert!(page.used > 0, "an empty page is in the pool");
        for &id in &items {
            assert_eq!(self.class_of(id), page.class);
            assert!(
                self.item_bytes(id) <= self.cut(page.class).chunk_bytes,
                "S4"
            );
            let expires_at = self.expires_at(id);
            if expires_at != ExpiresAt::NEVER {
                assert_eq!(page.expires_min.earlier(expires_at), page.expires_min);
                assert_eq!(class_min.earlier(expires_at), class_min);
            }
        }
        let mut free_count = 0;
        let mut free = page.free;
        while let Some(id) = free.id() {
            assert!(!self.is_live(id), "S3: a free chunk is not live");
            assert_eq!(self.slot_of(id), slot.0);
            free_count += 1;
            assert!(free_count <= page.fresh, "the free list ends");
            free = self.links(id).1;
        }
        assert_eq!(
            free_count + page.used,
            page.fresh,
            "every used chunk is live or free"
        );
        live.extend(items);
    }
}

fn position(index: usize) -> u32 {
    u32::try_from(index).expect("pages are counted in 32 bits")
}
