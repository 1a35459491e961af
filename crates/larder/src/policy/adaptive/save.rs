//! Taking everything out, coldest first, for a save: probation from its oldest on, but for what has been used
//! enough to be promoted; then the main region round by round, those first that the hand would evict in the round.
//!
//! An eviction counts an item's uses down to know its turn; here they are kept, because they are saved with
//! the item. So a round takes what has so many uses, or fewer, and the next one those with one more.

use super::{Adaptive, class};
use crate::arena::{ItemId, SizeClass, Slab, USES_MAX};

/// How far the main region of a class has been taken out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// Items with so many uses go.
    uses: u8,
    /// Items that this round looks at before the next one begins.
    left: usize,
}

/// Looks, besides two rounds of everything, in which no item was found: then the books of the class are
/// not believed.
const LOOKS_MIN: usize = 1024;

impl Adaptive {
    pub(in crate::policy) fn begin_save(&mut self) {
        for class in &mut self.classes {
            class.round = Round {
                uses: 0,
                left: class.main,
            };
        }
    }

    pub(in crate::policy) fn next_to_save(
        &mut self,
        slab: &mut Slab,
        class: SizeClass,
    ) -> Option<ItemId> {
        self.dirty |= 1 << class.index();
        if class == slab.large_class() {
            return self.large.oldest();
        }
        let hasher = &self.hasher;
        let queues = &mut self.classes[class.index()];
        while queues.probation > 0 && self.rings.len(class) > 0 {
            let oldest = class::pop_probation(&mut self.rings, slab, class, hasher);
            let Some((entry, item)) = oldest else {
                continue;
            };
            if item.state.uses() < self.choice.promote_uses {
                return Some(entry.id);
            }
            slab.set_state_at(item.place, item.state.main());
            queues.probation -= 1;
            queues.main += 1;
        }
        let looks = (queues.main + LOOKS_MIN) * (usize::from(USES_MAX) + 2);
        for _ in 0..looks {
            let Some(id) = queues.next_main(slab, class, self.inflation) else {
                if queues.main == 0 {
                    return None;
                }
                continue;
            };
            let round = &mut queues.round;
            if round.left == 0 {
                round.uses = (round.uses + 1).min(USES_MAX);
                round.left = queues.main;
            }
            round.left = round.left.saturating_sub(1);
            if slab.state(id).uses() <= round.uses {
                return Some(id);
            }
        }
        None
    }
}
