//! The state byte of a chunk: bits, and what they mean.
//!
//! ```text
//! | renewing 1 | stale 1 | uses 3 | main 1 | fetched 1 | live 1 |
//! ```
//! `main` and `uses` are the adaptive policy's: where the item stands and how often it was used since
//! it was looked at last. A stale item may be shown while the one reader who is renewing it does so.

/// The state of a chunk. All-zero is a chunk without an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u8);

const LIVE: u8 = 1;
const FETCHED: u8 = 1 << 1;
const MAIN: u8 = 1 << 2;
const USES_SHIFT: u32 = 3;
const USES: u8 = 7 << USES_SHIFT;
const STALE: u8 = 1 << 6;
const RENEWING: u8 = 1 << 7;

/// What the count of uses saturates at.
pub(crate) const USES_MAX: u8 = USES >> USES_SHIFT;

impl State {
    /// A chunk without an item.
    pub(super) const FREE: Self = Self(0);
    /// An item that has just been stored.
    pub(crate) const NEW: Self = Self(LIVE);

    pub(super) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(super) const fn to_bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn is_live(self) -> bool {
        self.0 & LIVE != 0
    }

    /// Whether the item was read since it was stored.
    pub(crate) const fn is_fetched(self) -> bool {
        self.0 & FETCHED != 0
    }

    #[must_use]
    pub(crate) const fn fetched(self) -> Self {
        Self(self.0 | FETCHED)
    }

    pub(crate) const fn is_stale(self) -> bool {
        self.0 & STALE != 0
    }

    /// Whether somebody has the right to renew the item.
    pub(crate) const fn is_renewing(self) -> bool {
        self.0 & RENEWING != 0
    }

    /// The same item with what is known of its renewal.
    #[must_use]
    pub(crate) const fn with_renewal(self, stale: bool, renewing: bool) -> Self {
        let stale = if stale { STALE } else { 0 };
        let renewing = if renewing { RENEWING } else { 0 };
        Self(self.0 & !(STALE | RENEWING) | stale | renewing)
    }

    /// Whether the item has left probation.
    pub(crate) const fn is_main(self) -> bool {
        self.0 & MAIN != 0
    }

    /// The same item in the main region.
    #[must_use]
    pub(crate) const fn main(self) -> Self {
        Self(self.0 | MAIN)
    }

    pub(crate) const fn uses(self) -> u8 {
        (self.0 & USES) >> USES_SHIFT
    }

    /// The same item with a count of uses, at most [`USES_MAX`].
    #[must_use]
    pub(crate) fn with_uses(self, uses: u8) -> Self {
        debug_assert!(uses <= USES_MAX);
        Self(self.0 & !USES | uses << USES_SHIFT)
    }

    /// The same item, used once more.
    #[must_use]
    pub(crate) const fn used(self) -> Self {
        if self.0 & USES == USES {
            self
        } else {
            Self(self.0 + (1 << USES_SHIFT))
        }
    }

    /// A new value in the place of this item's: where it stands and its uses are kept.
    #[must_use]
    pub(super) const fn renewed(self) -> Self {
        Self(LIVE | self.0 & (MAIN | USES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_saturate_and_leave_the_other_bits_alone() {
        let mut state = State::NEW.fetched();
        for uses in 0..=USES_MAX {
            assert_eq!(state.uses(), uses);
            state = state.used();
        }
        assert_eq!(state.uses(), USES_MAX);
        assert!(state.is_live() && state.is_fetched() && !state.is_main());
        assert_eq!(state.with_uses(0).main(), State::NEW.fetched().main());
        let renewed = state.main().renewed();
        assert_eq!(
            (renewed.uses(), renewed.is_main(), renewed.is_fetched()),
            (USES_MAX, true, false)
        );
    }
}
