//! The large items of a slab: each in a run of its own, in no order, and each knows its position.

use super::pages::{self, RUN_META_BYTES};
use super::{Freed, Slab};
use crate::arena::item::Link;
use crate::arena::run::{Pin, Pinned, Run};
use crate::arena::{Arena, ItemId};

impl Arena {
    /// Bytes of the run for an item of `item_bytes`, header included.
    pub(in crate::arena) fn run_bytes_of_item(&self, item_bytes: usize) -> usize {
        self.run_bytes_for(RUN_META_BYTES + item_bytes)
    }

    /// Whether an item of so many bytes, header included, gets a run.
    pub(crate) fn is_large(&self, item_bytes: usize) -> bool {
        self.classes.of(item_bytes) == self.classes.large()
    }

    /// Where the key of an item begins in its run, if its header has `header_bytes`.
    pub(crate) const fn run_key_at(header_bytes: usize) -> usize {
        RUN_META_BYTES + header_bytes
    }
}

impl Slab {
    /// Bytes of the run of a live large item.
    pub(crate) fn run_bytes_of(&self, id: ItemId) -> usize {
        self.arena.run_bytes_of_item(self.item_bytes(id))
    }

    /// Bytes of all runs. O(large items).
    pub(super) fn runs_bytes(&self) -> usize {
        self.large.iter().map(|&id| self.run_bytes_of(id)).sum()
    }

    /// A live item, pinned, if it is a large one.
    pub(crate) fn pin_if_large(&self, id: ItemId) -> Option<Pinned> {
        if !self.arena.is_run(id) {
            return None;
        }
        let run_bytes = self.run_bytes_of(id);
        let start = self.arena.offset_of(id);
        let view = self.view(id);
        let base = self.arena.byte_at(start).addr();
        let range = |bytes: &[u8]| {
            let at = start + (bytes.as_ptr().addr() - base);
            at..at + bytes.len()
        };
        Some(Pinned {
            pin: Pin::new(&self.arena, start..start + run_bytes),
            key: range(view.key),
            value: range(view.value),
            meta: view.meta,
        })
    }

    /// Takes a run with a filled value in, for an item that is about to be written.
    pub(super) fn adopt(&mut self, run: Run, item_bytes: usize) -> ItemId {
        let run_bytes = run.len();
        assert_eq!(run_bytes, self.arena.run_bytes_of_item(item_bytes), "S4");
        let start = run.into_slab();
        self.enter_run(start, run_bytes)
    }

    pub(super) fn take_run(&mut self, item_bytes: usize) -> Option<ItemId> {
        let run_bytes = self.arena.run_bytes_of_item(item_bytes);
        let start = self.arena.take_run(run_bytes)?;
        Some(self.enter_run(start, run_bytes))
    }

    fn enter_run(&mut self, start: usize, run_bytes: usize) -> ItemId {
        let id = self.arena.id_at(start);
        self.arena.pins(start).clear();
        self.set_large_position(id, pages::position(self.large.len()));
        self.large.push(id);
        let large = self.large_class();
        self.classes[large.index()].used += 1;
        self.items += 1;
        self.held_bytes += run_bytes;
        id
    }

    pub(super) fn free_run(&mut self, id: ItemId) -> Freed {
        let start = self.arena.offset_of(id);
        let run_bytes = self.run_bytes_of(id);
        let position = self.large_position(id) as usize;
        self.large.swap_remove(position);
        if let Some(&moved) = self.large.get(position) {
            self.set_large_position(moved, pages::position(position));
        }
        let large = self.large_class();
        self.classes[large.index()].used -= 1;
        self.items -= 1;
        self.held_bytes -= run_bytes;
        self.make_free(self.place(id), Link::NONE);
        self.arena.discard_run(start..start + run_bytes);
        Freed::Page
    }

    /// Whether a large item can be changed where it stands: its run stays as long, and nobody reads it.
    pub(super) fn fits_run(&self, id: ItemId, item_bytes: usize) -> bool {
        self.arena.run_bytes_of_item(item_bytes) == self.run_bytes_of(id)
            && !self.arena.pins(self.arena.offset_of(id)).any()
    }
}
