//! A page is emptied step by step, so that its memory can serve another class.
//!
//! While it is drained nothing new is stored in it. Its items move to other pages of their class; who
//! leaves when there is no room for them is the policy's decision, and the caller's part.

use super::{PageSlot, Slab};
use crate::arena::{ItemId, SizeClass};

/// The page that is being emptied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    slot: u32,
    /// Chunks before this one hold nothing any more.
    chunk: usize,
}

/// Pages among which the emptiest is chosen.
const CANDIDATES: usize = 16;

impl Slab {
    /// Begins to drain a page of `class` that `keep` does not stand in; false if there is none. Where the
    /// class has a page's worth of free chunks, it is the emptiest of a few, else the first from position
    /// `from` on.
    pub(crate) fn begin_drain(
        &mut self,
        class: SizeClass,
        from: usize,
        keep: Option<ItemId>,
    ) -> bool {
        debug_assert!(self.drain.is_none());
        self.free_spare();
        let kept = keep.and_then(|id| self.page_of(id));
        let pages = &self.classes[class.index()];
        let count = pages.pages.len();
        let free = |slot: &u32| {
            let number = self.pages[*slot as usize].number;
            let read = || self.arena.is_any_kept_in(number) || self.limbo_in(*slot) > 0;
            Some(PageSlot(*slot)) != kept && !read()
        };
        let chosen = if self.is_spacious(class) {
            let partial = pages.partial.iter().rev().take(CANDIDATES).copied();
            partial
                .filter(free)
                .min_by_key(|&slot| self.pages[slot as usize].used)
        } else {
            None
        };
        let in_order = || {
            let mut slots = (0..count).map(|step| pages.pages[(from + step) % count]);
            slots.find(free)
        };
        let Some(slot) = chosen.or_else(in_order) else {
            return false;
        };
        if self.pages[slot as usize].partial_at != super::NOWHERE {
            self.remove_partial(slot);
        }
        self.drain = Some(Drain { slot, chunk: 0 });
        true
    }

    /// Whether the class could do with a page less.
    pub(crate) fn is_spacious(&self, class: SizeClass) -> bool {
        let pages = self.page_count(class);
        pages > 0 && self.used_count(class) <= (pages - 1) * self.chunks_a_page(class)
    }

    /// The class of the page that is being drained.
    pub(crate) fn draining_class(&self) -> Option<SizeClass> {
        self.drain
            .map(|drain| self.pages[drain.slot as usize].class)
    }

    /// The next item to leave the page that is being drained, and its class. `None` when the page is
    /// empty: then its memory is back in the pool, unless somebody reads there. Then the drain is still on.
    pub(crate) fn next_to_drain(&mut self) -> Option<(SizeClass, ItemId)> {
        let Drain { slot, chunk } = self.drain?;
        let page = PageSlot(slot);
        let mut chunks = chunk..self.chunks_in(page);
        let found = chunks.find_map(|chunk| Some((chunk, self.item_in(page, chunk)?)));
        let (chunk, id) = found?;
        self.drain = Some(Drain { slot, chunk });
        Some((self.class_of(id), id))
    }

    /// Moves a live item to another chunk of its class; `None` if none is free there. The caller
    /// frees `id` when index and policy know the new one.
    pub(crate) fn relocate(&mut self, id: ItemId) -> Option<ItemId> {
        let class = self.class_of(id);
        let slot = *self.classes[class.index()].partial.last()?;
        let (new, _) = self.take_chunk(slot);
        self.copy_item(id, new);
        if self.lodgers > 0 {
            self.note_lodger(new, 1);
        }
        self.note_expiry(new, self.expires_at(new));
        Some(new)
    }

    /// Stops draining; what is left of the page is used again.
    pub(crate) fn end_drain(&mut self) {
        if let Some(Drain { slot, .. }) = self.drain.take() {
            let page = &self.pages[slot as usize];
            if page.used < self.cut(page.class).chunks {
                self.add_partial(slot);
            }
        }
    }

    pub(super) fn is_draining(&self, slot: u32) -> bool {
        self.drain.is_some_and(|drain| drain.slot == slot)
    }
}
