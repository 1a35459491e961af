//! The large items of a shard: two lists for each doubling of sizes, because they stand in no page that a hand
//! could go over.
//!
//! The main list is a clock all the same: who is spared goes to the young end. Each item has its own
//! stamp, and weights are bytes. Doublings are compared by value, as classes are.

use super::{Choice, Step};
use crate::arena::{ItemId, Slab};
use crate::hasher::KeyHasher;
use crate::policy::Victim;
use crate::policy::list::List;

/// The large items, by the doubling that their bytes are in.
#[derive(Debug, Default)]
pub(super) struct Large {
    /// As [`Class::used_at`](super::class::Class::used_at).
    pub(super) used_at: u64,
    doublings: [Queues; DOUBLINGS],
}

/// Probation and main region of a doubling.
#[derive(Debug, Default)]
struct Queues {
    probation: List,
    main: List,
    probation_bytes: usize,
    main_bytes: usize,
}

/// The last has all that is larger.
pub(super) const DOUBLINGS: usize = 8;
/// log2 of the bytes that items of the first have at the most.
const FIRST_MAX_LOG: u32 = 15;

/// Which doubling an item of so many bytes is in.
pub(super) fn doubling_of(bytes: usize) -> usize {
    let log = bytes.next_power_of_two().ilog2();
    (log.saturating_sub(FIRST_MAX_LOG) as usize).min(DOUBLINGS - 1)
}

impl Large {
    /// Bytes of all large items.
    pub(super) fn bytes(&self) -> usize {
        self.doublings.iter().map(Queues::bytes).sum()
    }

    /// Whether probation has more than its share of those that are as large as an item of `bytes`.
    pub(super) fn is_over(&self, bytes: usize, choice: Choice) -> bool {
        self.doublings[doubling_of(bytes)].is_over(choice)
    }

    /// Takes an item in where its state says. `urgent` puts it before all others on probation.
    pub(super) fn enter(&mut self, slab: &mut Slab, id: ItemId, stamp: f64, urgent: bool) {
        let bytes = slab.run_bytes_of(id);
        let queues = &mut self.doublings[doubling_of(bytes)];
        slab.set_large_stamp(id, if urgent { f64::NEG_INFINITY } else { stamp });
        if slab.state(id).is_main() {
            queues.main.push(slab, id);
            queues.main_bytes += bytes;
        } else {
            if urgent {
                queues.probation.push_oldest(slab, id);
            } else {
                queues.probation.push(slab, id);
            }
            queues.probation_bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, slab: &mut Slab, id: ItemId) {
        let bytes = slab.run_bytes_of(id);
        let queues = &mut self.doublings[doubling_of(bytes)];
        if slab.state(id).is_main() {
            queues.main.remove(slab, id);
            queues.main_bytes -= bytes;
        } else {
            queues.probation.remove(slab, id);
            queues.probation_bytes -= bytes;
        }
    }

    /// The oldest on probation of the largest, else of their main region.
    pub(super) fn oldest(&self) -> Option<ItemId> {
        let largest_first = || self.doublings.iter().rev();
        largest_first()
            .find_map(|queues| queues.probation.oldest())
            .or_else(|| largest_first().find_map(|queues| queues.main.oldest()))
    }

    /// The next item to be looked at, and what its doubling is worth.
    fn head(&self, slab: &Slab, choice: Choice) -> Option<(ItemId, f64)> {
        let heads = self.doublings.iter().filter_map(|queues| {
            let id = queues.head(slab, choice)?;
            Some((id, queues.value(slab, id, choice)))
        });
        heads.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// What the next victim is worth; infinite where there is none.
    pub(super) fn value(&self, slab: &Slab, choice: Choice) -> f64 {
        self.head(slab, choice)
            .map_or(f64::INFINITY, |(_, value)| value)
    }

    /// What a page less costs the next victim: as much of a turn.
    pub(super) fn page_value(&self, slab: &Slab, choice: Choice) -> f64 {
        self.head(slab, choice).map_or(0.0, |(id, _)| {
            let bytes = slab.run_bytes_of(id);
            let pages = self.doublings[doubling_of(bytes)].bytes() / slab.page_bytes();
            choice.main_weight / bytes as f64 / pages.max(1) as f64
        })
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
        let Some((id, _)) = self.head(slab, choice) else {
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
        self.doublings
            .iter()
            .flat_map(|queues| queues.validate(slab))
            .collect()
    }
}

impl Queues {
    fn bytes(&self) -> usize {
        self.probation_bytes + self.main_bytes
    }

    fn is_over(&self, choice: Choice) -> bool {
        choice.is_over(self.probation_bytes, self.bytes())
    }

    /// The next item to be looked at.
    fn head(&self, slab: &Slab, choice: Choice) -> Option<ItemId> {
        let probation = self.probation.oldest();
        let main = self.main.oldest();
        let urgent = |id: &ItemId| slab.large_stamp(*id) == f64::NEG_INFINITY;
        if self.is_over(choice) || probation.as_ref().is_some_and(urgent) {
            probation
        } else {
            main.or(probation)
        }
    }

    /// What they are worth, as a class is, if `head` is the next to be looked at.
    fn value(&self, slab: &Slab, head: ItemId, choice: Choice) -> f64 {
        let of = |id: ItemId| (slab.large_stamp(id), slab.run_bytes_of(id) as f64);
        let on_probation = !slab.state(head).is_main();
        choice.value(self.main.oldest().map(of), on_probation.then(|| of(head)))
    }

    fn validate(&self, slab: &Slab) -> Vec<ItemId> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doublings_end_with_powers_of_two_and_the_last_has_the_rest() {
        let first_max = 1 << FIRST_MAX_LOG;
        for (bytes, doubling) in [
            (1, 0),
            (first_max, 0),
            (first_max + 1, 1),
            (first_max << 3, 3),
            ((first_max << 3) + 1, 4),
            (first_max << (DOUBLINGS - 1), DOUBLINGS - 1),
            (first_max << 12, DOUBLINGS - 1),
        ] {
            assert_eq!(doubling_of(bytes), doubling, "{bytes}");
        }
    }
}
