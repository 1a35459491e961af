//! Chunks whose items are gone while somebody may be reading them, without the lock or by a guard: in *limbo*.
//! They count as used by their page, which stays, and by nobody else. One look at who reads is for all of them. What
//! pinned guards keep is known apart: nobody asks for it time and again, they return it.
//!
//! ```text
//! retire -> limbo -> unread -> free, in the list of its page           retry_limbo
//!                        `---> spare -> the next item of its class     keep_spare, take_spare
//! ```
//! What is evicted for stores that are about to come is *spare*: such a store takes the chunk where it is, and the
//! page's books stay as they were. Whoever needs memory for anything else has what is spare freed first.

use std::mem;

use super::{ClassPages, NOWHERE, Slab};
use crate::arena::{Arena, Found, ItemId, Place, SizeClass};
use crate::readers;
use crate::time::ExpiresAt;

impl Slab {
    /// Whether anybody may be reading an item that is hidden in the index. O(threads).
    pub(crate) fn is_read(&self, id: ItemId) -> bool {
        // In this order: who keeps an item enters it before giving its slot up.
        readers::is_read(self.arena.address(id)) || self.arena.is_kept(id)
    }

    /// Whether the chunk of an item that is gone, and in no slot, is left to the guards that keep it.
    #[inline(always)]
    pub(super) fn leave_to_guards(&mut self, id: ItemId) -> bool {
        let left = self.arena.leave_to_guards(id, &self.returned);
        if left {
            self.kept.insert(id);
        }
        left
    }

    /// Frees the chunks that guards have returned; true if there were any.
    fn take_returned(&mut self) -> bool {
        if self.kept.is_empty() {
            return false;
        }
        let ids = self.returned.take();
        for &id in &ids {
            self.kept.remove(&id);
            self.reclaim(id, self.place(id));
        }
        !ids.is_empty()
    }

    /// A live item of a page, to be read once the lock is free: see [`Found::locked`]. `arena` is this slab's.
    pub(crate) fn found<'a>(&self, arena: &'a Arena, id: ItemId) -> Option<Found<'a>> {
        debug_assert!(self.state(id).is_live() && !self.is_large(id));
        Found::locked(arena, id)
    }

    /// Frees the chunks in limbo that nobody reads, and spare ones; true if there were any. Their ids have left the
    /// index. O(threads + chunks in limbo), with one full barrier for all of them.
    pub(crate) fn retry_limbo(&mut self) -> bool {
        let mut any = self.take_returned() | !self.spare.is_empty();
        self.free_spare();
        if self.limbo.is_empty() {
            return any;
        }
        let read = self.sort_out_read();
        while self.limbo.len() > read
            && let Some((id, place)) = self.limbo.pop()
        {
            any = true;
            self.reclaim(id, place);
        }
        any
    }

    /// As `retry_limbo`, but the chunks that nobody reads are kept for stores of their class, which are about to
    /// come. Not while a page is being drained, which must not be used again.
    pub(crate) fn keep_spare(&mut self) {
        if self.drain.is_some() {
            self.retry_limbo();
            return;
        }
        self.free_spare();
        let read = self.sort_out_read();
        let mut at = read;
        while let Some(&(id, _)) = self.limbo.get(at) {
            if self.leave_to_guards(id) {
                self.limbo.swap_remove(at);
            } else {
                self.arena.close_chunk(id);
                at += 1;
            }
        }
        if read == 0 {
            // The rule, and nothing is copied.
            mem::swap(&mut self.limbo, &mut self.spare);
        } else {
            self.spare.extend(self.limbo.drain(read..));
        }
    }

    /// A spare chunk, for an item of its class.
    pub(super) fn take_spare(&mut self, class: SizeClass) -> Option<(ItemId, Place)> {
        let (id, place) = self.spare.pop_if(|(_, place)| place.class == class)?;
        self.note_taken(id, class);
        Some((id, place))
    }

    /// Frees the spare chunks; true if a page has gone with them.
    pub(crate) fn free_spare(&mut self) -> bool {
        let vacant = self.free_slots.len();
        while let Some((id, place)) = self.spare.pop() {
            self.arena.open_chunk(id);
            self.reclaim(id, place);
        }
        self.free_slots.len() > vacant
    }

    /// Brings the chunks in limbo that somebody reads to the front; returns how many.
    fn sort_out_read(&mut self) -> usize {
        let Self { arena, limbo, .. } = self;
        let mut read = 0;
        for id in arena.ids_in_slots() {
            let found = limbo[read..].iter().position(|&(other, _)| other == id);
            if let Some(behind) = found {
                limbo.swap(read, read + behind);
                read += 1;
            }
        }
        read
    }

    /// Chunks of the page that are in limbo, or spare.
    pub(super) fn limbo_in(&self, slot: u32) -> usize {
        let of_page = |(id, _): &&(ItemId, Place)| self.slot_of(*id) == slot;
        let gone = self.limbo.iter().chain(&self.spare);
        gone.filter(of_page).count() + self.kept_in(slot)
    }

    /// Chunks of the page that guards keep and whose items are gone. O(log of such chunks + those).
    fn kept_in(&self, slot: u32) -> usize {
        if self.kept.is_empty() {
            return 0;
        }
        let page = &self.pages[slot as usize];
        let first = self.chunk_id(page, 0);
        let last = self.chunk_id(page, self.cut(page.class).chunks as usize - 1);
        self.kept.range(first..=last).count()
    }

    /// Gives every page back and forgets every item, which have left the index. A page in which somebody
    /// reads stays, without items. O(pages + large items), and the items of such pages.
    pub(crate) fn clear(&mut self) {
        while let Some(&id) = self.large.last() {
            self.free_run(id);
        }
        self.drain = None;
        self.retry_limbo();
        // No page goes before all were emptied: who reads may be done at any moment.
        for slot in self.pages_read() {
            self.empty_page(slot);
        }
        self.retry_limbo();
        // The rest at once; what is left of those pages is all that is in limbo.
        let in_limbo = self.limbo.iter().map(|(id, _)| id).chain(&self.kept);
        let kept: Vec<u32> = in_limbo.map(|&id| self.slot_of(id)).collect();
        for class in &mut self.classes {
            let slots = mem::take(class).pages;
            for slot in slots {
                let page = &mut self.pages[slot as usize];
                page.partial_at = NOWHERE;
                if !kept.contains(&slot) {
                    self.arena
                        .give_page(mem::replace(&mut page.number, NOWHERE));
                }
            }
        }
        (self.lodgers, self.items, self.held_bytes) = (0, 0, 0);
        if kept.is_empty() {
            self.pages = Vec::new();
            self.free_slots = Vec::new();
            return;
        }
        let vacant = |slot: &u32| self.pages[*slot as usize].number == NOWHERE;
        self.free_slots = (0..self.pages.len())
            .map(super::pages::position)
            .filter(vacant)
            .collect();
        for slot in 0..super::pages::position(self.pages.len()) {
            self.enter_again(slot);
        }
    }

    /// Pages with chunks that somebody reads, or keeps.
    fn pages_read(&self) -> Vec<u32> {
        let read = self.arena.ids_read();
        let of_slab = |id: &ItemId| self.owner_of(*id);
        let mut slots: Vec<u32> = read.iter().filter_map(of_slab).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The items of a page, one by one, go into limbo.
    fn empty_page(&mut self, slot: u32) {
        let page = super::PageSlot(slot);
        let mut from = 0;
        while let Some((id, next)) = self.next_live(page, from) {
            from = next;
            self.retire(id, self.place(id));
        }
    }

    /// Enters a page that outlived a clear in its class's new books.
    fn enter_again(&mut self, slot: u32) {
        let page = &mut self.pages[slot as usize];
        if page.number == NOWHERE {
            return;
        }
        page.expires_min = ExpiresAt::NEVER;
        page.stamp = None;
        let (class, used) = (page.class, page.used);
        debug_assert!(used > 0, "what is in limbo");
        let books: &mut ClassPages = &mut self.classes[class.index()];
        page.page_at = super::pages::position(books.pages.len());
        books.pages.push(slot);
        if used < self.cut(class).chunks {
            self.add_partial(slot);
        }
    }
}
