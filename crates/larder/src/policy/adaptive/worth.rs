//! What the classes are worth beside each other, and so which of them gives memory up.

use super::Adaptive;
use crate::arena::{SizeClass, Slab};

/// A class that has all memory is abandoned when nothing of it was read or stored while this part of the
/// held bytes was stored in others; a class that has less is given longer. Its items would hold out
/// long against larger ones, which are worth less for each byte, for no use at all.
const IDLE_PART: u64 = 16;
/// How often a class that evicts is compared with the others while a page's worth is stored, as long as none of them
/// gives: each look goes over all classes, and a page has hundreds of victims.
const LOOKS_A_PAGE: u64 = 16;
/// What the next victim of an abandoned class is worth: less than any other.
const ABANDONED: f64 = -1.0;

impl Adaptive {
    pub(in crate::policy) fn cheapest(&mut self, slab: &Slab) -> Option<SizeClass> {
        self.refresh(slab);
        let (value, class) = self.least(|_| true)?;
        self.inflate(value);
        Some(class)
    }

    /// `None` as well where there was none a moment ago.
    pub(in crate::policy) fn giver(&mut self, slab: &Slab, class: SizeClass) -> Option<SizeClass> {
        if self.stored_bytes < self.classes[class.index()].look_at {
            return None;
        }
        let giver = self.find_giver(slab, class);
        if giver.is_none() {
            let pause = slab.page_bytes() as u64 / LOOKS_A_PAGE;
            self.classes[class.index()].look_at = self.stored_bytes + pause;
        }
        giver
    }

    fn find_giver(&mut self, slab: &Slab, class: SizeClass) -> Option<SizeClass> {
        self.refresh(slab);
        let own = self.values[class.index()];
        let (value, giver) = self.least(|other| other != class)?;
        self.inflate(value.min(own));
        let spacious = self.spacious(slab, class);
        if spacious.is_some() {
            return spacious;
        }
        // A page changes what its class holds by one part in its pages, and the value of its next
        // victim by as much of a turn.
        let loss = if giver == slab.large_class() {
            self.large.page_value(slab, self.choice)
        } else {
            let each = slab.bytes_each(giver) as f64;
            self.choice.main_weight / each / slab.page_count(giver) as f64
        };
        (own - value > loss).then_some(giver)
    }

    /// Brings `choice` and `values` up to date.
    fn refresh(&mut self, slab: &Slab) {
        self.note_uses();
        let choice = self.tuning.choice();
        if choice != self.choice {
            self.choice = choice;
            self.dirty = u128::MAX >> (127 - slab.large_class().index());
        }
        let held_bytes = slab.held_bytes() as u64;
        if self.stored_bytes >= self.review_at {
            self.review_at = self.stored_bytes + held_bytes / (4 * IDLE_PART);
            self.dirty = u128::MAX >> (127 - slab.large_class().index());
        }
        while self.dirty != 0 {
            let index = self.dirty.trailing_zeros() as usize;
            self.dirty &= self.dirty - 1;
            let value = match self.classes.get(index) {
                Some(queues) => queues.value(slab, SizeClass::at(index), self.choice, &self.rings),
                None => self.large.value(slab, self.choice),
            };
            let abandoned = value.is_finite() && self.is_abandoned(slab, index);
            self.values[index] = if abandoned { ABANDONED } else { value };
        }
    }

    /// Whether a class was idle for longer than a class of its part of the memory ever should be.
    fn is_abandoned(&self, slab: &Slab, index: usize) -> bool {
        let held_bytes = slab.held_bytes() as u64;
        let (class_bytes, used_at) = match self.classes.get(index) {
            Some(queues) => {
                let each = slab.bytes_each(SizeClass::at(index));
                (queues.len() * each, queues.used_at)
            }
            None => (self.large.bytes(), self.large.used_at),
        };
        // The whole memory's worth for a class of a sixteenth or less, down to a sixteenth of that.
        let parts = (class_bytes as u64 * IDLE_PART / held_bytes.max(1)).max(1);
        self.stored_bytes - used_at > held_bytes / parts
    }

    fn least(&self, takes: impl Fn(SizeClass) -> bool) -> Option<(f64, SizeClass)> {
        let mut least = (f64::INFINITY, None);
        for (index, &value) in self.values.iter().enumerate() {
            if value < least.0 && takes(SizeClass::at(index)) {
                least = (value, Some(SizeClass::at(index)));
            }
        }
        least.1.map(|class| (least.0, class))
    }

    /// A class besides `class` whose free chunks are worth a page.
    fn spacious(&self, slab: &Slab, class: SizeClass) -> Option<SizeClass> {
        SizeClass::first(self.classes.len())
            .find(|&other| other != class && slab.is_spacious(other))
    }

    fn inflate(&mut self, value: f64) {
        if value.is_finite() {
            self.inflation = self.inflation.max(value);
        }
    }
}
