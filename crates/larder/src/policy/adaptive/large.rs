//! The large items of a shard: two lists, because they stand in no page that a hand could go over.
//!
//! The main list is a clock all the same: who is spared goes to the young end. Each item has its own
//! stamp, and weights are bytes.

use super::{Choice, MAIN_WEIGHT, Step};
use crate::arena::{ItemId, Slab};
use crate::hasher::KeyHasher;
use crate::policy::Victim;
use crate::policy::list::List;

/// Probation and main region of the large items.
#[derive(Debug, Default)]
pub(super) struct Large {
    probation: List,
    main: List,
    probation_bytes: usize,
    main_bytes: usize,
}

impl Large {
    /// Bytes of all large items.
    pub(super) fn bytes(&self) -> usize {
        self.probation_bytes + self.main_bytes
    }

    /// Bytes of those on probation.
    pub(super) fn probation_bytes(&self) -> usize {
        self.probation_bytes
    }

    /// Takes an item in where its state says. `urgent` puts it before all others on probation.
    pub(super) fn enter(&mut self, slab: &mut Slab, id: ItemId, stamp: f64, urgent: bool) {
        let bytes = slab.run_bytes_of(id);
        slab.set_large_stamp(id, if urgent { f64::NEG_INFINITY } else { stamp });
        if slab.state(id).is_main() {
            self.main.push(slab, id);
            self.main_bytes += bytes;
        } else {
            if urgent {
                self.probation.push_oldest(slab, id);
            } else {
                self.probation.push(slab, id);
            }
            self.probation_bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, slab: &mut Slab, id: ItemId) {
        let bytes = slab.run_bytes_of(id);
        if slab.state(id).is_main() {
            self.main.remove(slab, id);
            self.main_bytes -= bytes;
        } else {
            self.probation.remove(slab, id);
            self.probation_bytes -= bytes;
        }
    }

    /// The oldest on probation, else of the main region.
    pub(super) fn oldest(&self) -> Option<ItemId> {
        self.probation.oldest().or_else(|| self.main.oldest())
    }

    /// The next item to be looked at.
    fn head(&self, slab: &Slab, choice: Choice) -> Option<ItemId> {
        let probation = self.probation.oldest();
        let main = self.main.oldest();
        let urgent = |id: &ItemId| slab.large_stamp(*id) == f64::NEG_INFINITY;
        if choice.is_over(self.probation_bytes, self.bytes())
            || probation.as_ref().is_some_and(urgent)
        {
            probation
        } else {
            main.or(probation)
        }
    }

    /// What the next victim is worth; infinite where there is none.
    pub(super) fn value(&self, slab: &Slab, choice: Choice) -> f64 {
        self.head(slab, choice).map_or(f64::INFINITY, |id| {
            let weight = if slab.state(id).is_main() {
                MAIN_WEIGHT
            } else {
                1.0
            };
            slab.large_stamp(id) + weight / slab.run_bytes_of(id) as f64
        })
    }

    /// What the next victim gains by a turn.
    pub(super) fn turn(&self, slab: &Slab, choice: Choice) -> f64 {
        let head = self.head(slab, choice);
        head.map_or(0.0, |id| MAIN_WEIGHT / slab.run_bytes_of(id) as f64)
    }

    /// Looks at the head once.
    pub(super) fn step(
        &mut self,
        slab: &mut Slab,
        hasher: &KeyHasher,
        choice: Choice,
        stamp: f64,
        keep: Option<ItemId>,
        force: bool,
    ) -> Step {
        let Some(id) = self.head(slab, choice) else {
            return Step::Empty;
        };
        let state = slab.state(id);
        let kept = keep == Some(id);
        let spared = if state.is_main() {
            (state.uses() > 0 && !force).then(|| state.with_uses(state.uses() - 1))
        } else {
            (state.uses() >= choice.promote_uses && !force).then(|| state.main().with_uses(0))
        };
        match spared.or_else(|| kept.then_some(state)) {
            None => Step::Evict(Victim {
                on_probation: !state.is_main(),
                ..Victim::of(slab, hasher, id)
            }),
            Some(spared) => {
                self.remove(slab, id);
                slab.set_state(id, spared);
                self.enter(slab, id, stamp, false);
                Step::Spared
            }
        }
    }

    /// Panics unless both lists are whole; returns their items. O(items).
    pub(super) fn validate(&self, slab: &Slab) -> Vec<ItemId> {
        let probation = self.probation.validate(slab);
        let main = self.main.validate(slab);
        let bytes = |items: &[ItemId]| items.iter().map(|&id| slab.run_bytes_of(id)).sum::<usize>();
        assert!(probation.iter().all(|&id| !slab.state(id).is_main()));
        assert!(main.iter().all(|&id| slab.state(id).is_main()));
        assert_eq!(bytes(&probation), self.probation_bytes);
        assert_eq!(bytes(&main), self.main_bytes);
        [probation, main].concat()
    }
}
