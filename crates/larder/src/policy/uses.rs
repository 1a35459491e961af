//! Classes of which items were read without the shard's lock, since its policy asked last.

use crate::arena::SizeClass;
use crate::sync::{AtomicU64, CachePadded, Ordering};

/// A bit for each class.
#[derive(Debug, Default)]
pub(crate) struct Uses(CachePadded<[AtomicU64; 2]>);

const WORD_BITS: usize = u64::BITS as usize;

impl Uses {
    /// Notes a read of an item of the class. Writes only what changes.
    #[inline(always)]
    pub(crate) fn note(&self, class: SizeClass) {
        let word = &self.0[class.index() / WORD_BITS];
        let bit = 1 << (class.index() % WORD_BITS);
        // Relaxed: a hint, and no more.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Takes what was noted.
    pub(crate) fn take(&self) -> u128 {
        let [low, high] = [&self.0[0], &self.0[1]].map(|word| match word.load(Ordering::Relaxed) {
            0 => 0,
            _ => word.swap(0, Ordering::Relaxed),
        });
        u128::from(low) | u128::from(high) << WORD_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_taken_once() {
        let uses = Uses::default();
        for index in [0, 63, 64, 127, 64] {
            uses.note(SizeClass::at(index));
        }
        assert_eq!(uses.take(), 1 | 1 << 63 | 1 << 64 | 1 << 127);
        assert_eq!(uses.take(), 0);
    }
}
