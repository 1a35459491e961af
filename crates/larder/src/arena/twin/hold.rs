//! Readers of the twin: who pins a run, and who keeps an item, and that these stay as they were.

use super::{Choices, Hold, KEPT_BYTES_MAX, Pair, Reader};

impl Pair {
    pub(super) fn read(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let Some(at) = choices.position(self.items[slab].len()) else {
            return;
        };
        let item = self.items[slab][at].clone();
        let Some(pinned) = self.slabs[slab].pin_if_large(item.id) else {
            let found = self.slabs[slab].found(&self.arena, item.id);
            let shown = found.expect("a slot is free").show();
            let kept = self.arena.keep(&shown, KEPT_BYTES_MAX);
            assert!(self.arena.kept_bytes() <= KEPT_BYTES_MAX);
            self.keepers.extend(kept.map(|kept| (kept, item)));
            return;
        };
        let start = self.arena.offset_of(item.id);
        let run = start..start + self.slabs[slab].run_bytes_of(item.id);
        let hold = match choices.once_in(2) {
            true => self.arena.keep_pinned(pinned, KEPT_BYTES_MAX),
            false => Err(pinned),
        };
        assert!(self.arena.kept_bytes() <= KEPT_BYTES_MAX);
        let hold = hold.map_or_else(Hold::Pinned, Hold::Kept);
        self.readers.push(Reader { hold, item, run });
    }

    pub(super) fn end_read(&mut self, choices: &mut Choices<'_>) {
        if let Some(at) = choices.position(self.readers.len()) {
            let reader = self.readers.swap_remove(at);
            reader.check();
        }
    }

    pub(super) fn end_keep(&mut self, choices: &mut Choices<'_>) {
        if let Some(at) = choices.position(self.keepers.len()) {
            let (kept, item) = self.keepers.swap_remove(at);
            item.check(&kept.view());
            drop(kept.clone());
            item.check(&kept.view());
        }
    }
}
