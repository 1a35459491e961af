//! Whether the books of a slab's pages agree with what stands in them. For tests, and whoever asks.

use super::{ExpiresMin, NOWHERE, Page, PageSlot, Slab};
use crate::arena::ItemId;
use crate::sync::Ordering;
use crate::time::ExpiresAt;

impl Slab {
    /// Panics unless the books of every page agree with its chunks. O(chunks).
    /// Returns the live items.
    pub(crate) fn validate(&self) -> Vec<ItemId> {
        let mut live = Vec::new();
        let large = self.large_class();
        assert_eq!(self.used_count(large), self.large.len());
        let is_draining = self.draining_class().is_some();
        assert!(
            self.spare.is_empty() || !is_draining,
            "a page that is drained stays so"
        );
        for (position, &id) in self.large.iter().enumerate() {
            assert!(self.arena.is_run(id) && self.state(id).is_live());
            assert_eq!(self.large_position(id) as usize, position);
        }
        for (index, class) in self.classes.iter().enumerate() {
            let lives = |&slot: &u32| self.pages[slot as usize].used as usize - self.limbo_in(slot);
            let used: usize = class.pages.iter().map(lives).sum();
            assert!(index == large.index() || used == class.used);
            for (at, &slot) in class.pages.iter().enumerate() {
                let page = &self.pages[slot as usize];
                assert_eq!(page.class.index(), index);
                assert_eq!(page.page_at as usize, at);
                let slot_in_table = &self.arena.page_slots[page.number as usize];
                assert_eq!(slot_in_table.load(Ordering::Relaxed), slot);
                let full = page.used == self.cut(page.class).chunks;
                let closed = full || self.is_draining(slot);
                assert_eq!(
                    page.partial_at == NOWHERE,
                    closed,
                    "a page with room is listed"
                );
                if !closed {
                    assert_eq!(class.partial.get(page.partial_at as usize), Some(&slot));
                }
                self.validate_page(PageSlot(slot), page, class.expires_min, &mut live);
                let bound = self.expires_min.earlier(class.expires_min);
                assert_eq!(bound, self.expires_min, "the bound of all is the lowest");
            }
        }
        let lodges = |&&id: &&ItemId| self.class_of(id) != self.class_for(self.item_bytes(id));
        assert_eq!(live.iter().filter(lodges).count(), self.lodgers);
        assert_eq!(
            self.classes.iter().map(|class| class.lodged).sum::<usize>(),
            self.lodgers
        );
        live.extend(&self.large);
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
        assert_eq!(items.len() + self.limbo_in(slot.0), page.used as usize);
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
            assert!(!self.state(id).is_live(), "S3: a free chunk is not live");
            assert_eq!(self.slot_of(id), slot.0);
            free_count += 1;
            assert!(free_count <= page.fresh, "the free list ends");
            free = self.next_free(self.place(id));
        }
        assert_eq!(
            free_count + page.used,
            page.fresh,
            "every used chunk is live or free"
        );
        live.extend(items);
    }
}
