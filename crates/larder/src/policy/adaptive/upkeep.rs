//! What the order keeps besides the items: entries of rings, fingerprints, and the bytes of both.
//!
//! They grow with the items on probation and with all items, and are counted in the limit. A little is
//! done at every insert, so that no insert does much.

use std::sync::Arc;

use super::class::{self, Class};
use super::ghost::{self, Fit, Ghost};
use super::large::Large;
use super::ring::{SEGMENT_BYTES, Segment};
use super::{Adaptive, GHOST_TENTHS, tag_of};
use crate::arena::{Arena, ItemId, SizeClass, Slab};

/// The bytes of the limit that rings and ghost take.
#[derive(Debug)]
pub(super) struct Memory {
    arena: Arc<Arena>,
    charged_bytes: usize,
    free_bytes: usize,
}

/// Segments kept for the next push.
const SPARE_MAX: usize = 2;

impl Adaptive {
    pub(in crate::policy) fn reserve(&mut self, slab: &Slab, class: SizeClass) -> bool {
        if self.evicted && !self.fit_ghost(slab) {
            return false;
        }
        let Some(queues) = self.classes.get_mut(class.index()) else {
            return true;
        };
        // Entries without an item are taken out a few at a time once they are the greater part; order
        // suffers a little where live ones go to the end.
        if queues.ring.len() > 2 * queues.probation + 128 {
            self.rotate(slab, class);
        }
        let queues = &self.classes[class.index()];
        if queues.ring.needs_segment() && self.spare.is_empty() {
            if !self.memory.take(SEGMENT_BYTES) {
                return false;
            }
            self.spare.push(Segment::new());
        }
        true
    }

    pub(in crate::policy) fn clear(&mut self) {
        for class in &mut self.classes {
            *class = Class::default();
        }
        self.large = Large::default();
        self.values.fill(f64::INFINITY);
        self.dirty = 0;
        self.used_at.fill(self.stored_bytes);
        self.ghost = Ghost::default();
        self.spare = Vec::new();
        self.memory.give_all();
        self.evicted = false;
    }

    pub(in crate::policy) fn charged_bytes(&self) -> usize {
        self.memory.charged_bytes
    }

    pub(in crate::policy) fn validate(&self, slab: &Slab, live: &[ItemId]) {
        let large = slab.large_class();
        let mut known = self.large.validate(slab).len();
        for class in SizeClass::first(large.index()) {
            let queues = &self.classes[class.index()];
            known += queues.len();
            assert_eq!(queues.len(), slab.used_count(class));
            let tag = |id| tag_of(self.hash_of(slab, id));
            let current = queues.ring.entries();
            let current = current.filter(|&entry| class::is_current(slab, class, entry, tag));
            let entered: std::collections::HashSet<_> =
                current.map(|entry| entry.id.number()).collect();
            assert_eq!(
                entered.len(),
                queues.probation,
                "an entry for each on probation"
            );
        }
        assert_eq!(known, live.len());
        let segments = self
            .classes
            .iter()
            .map(|class| class.ring.segments())
            .sum::<usize>();
        let held = (segments + self.spare.len()) * SEGMENT_BYTES + self.ghost.bytes();
        assert_eq!(held + self.memory.free_bytes, self.memory.charged_bytes);
    }

    fn rotate(&mut self, slab: &Slab, class: SizeClass) {
        for _ in 0..2 {
            let hasher = &self.hasher;
            let queues = &mut self.classes[class.index()];
            if queues.ring.needs_segment() && self.spare.is_empty() {
                return;
            }
            let Some(entry) = queues.ring.pop(&mut self.spare) else {
                return;
            };
            let tag = |id| tag_of(hasher.hash_one(slab.key(id)));
            if class::is_current(slab, class, entry, tag) {
                let pushed = queues.ring.push(entry, self.inflation, &mut self.spare);
                debug_assert!(pushed, "looked at above");
            }
        }
        self.trim_spare();
    }

    /// A step of the ghost towards its size; false if that takes memory that the limit does not allow.
    fn fit_ghost(&mut self, slab: &Slab) -> bool {
        match self.ghost.fit(slab.item_count() * GHOST_TENTHS / 10) {
            Fit::Done => true,
            Fit::GaveChunk => {
                self.memory.give(ghost::CHUNK_BYTES);
                true
            }
            Fit::NeedsChunk => {
                let taken = self.memory.take(ghost::CHUNK_BYTES);
                if taken {
                    self.ghost.add_chunk();
                }
                taken
            }
        }
    }

    pub(super) fn trim_spare(&mut self) {
        while self.spare.len() > SPARE_MAX {
            self.spare.pop();
            self.memory.give(SEGMENT_BYTES);
        }
    }
}

impl Memory {
    /// Charged at a time, so that the pool is asked rarely.
    const GRAIN_BYTES: usize = 1 << 10;

    pub(super) fn new(arena: &Arc<Arena>) -> Self {
        Self {
            arena: Arc::clone(arena),
            charged_bytes: 0,
            free_bytes: 0,
        }
    }

    /// Takes `bytes` of what is charged, or charges more; false if the limit does not allow it.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        if self.free_bytes < bytes {
            let more = Self::GRAIN_BYTES.max(bytes);
            if !self.arena.charge(more) {
                return false;
            }
            self.charged_bytes += more;
            self.free_bytes += more;
        }
        self.free_bytes -= bytes;
        true
    }

    fn give(&mut self, bytes: usize) {
        self.free_bytes += bytes;
        if self.free_bytes > 2 * Self::GRAIN_BYTES {
            self.discharge(Self::GRAIN_BYTES);
        }
    }

    fn give_all(&mut self) {
        self.free_bytes = self.charged_bytes;
        self.discharge(self.charged_bytes);
    }

    fn discharge(&mut self, bytes: usize) {
        self.free_bytes -= bytes;
        self.charged_bytes -= bytes;
        self.arena.discharge(bytes);
    }
}
