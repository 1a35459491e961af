//! Allocations that fail when a test, or a fuzz target, says so; elsewhere none does, at no cost.
//!
//! Whatever the arena may be refused asks here first: pages, runs, charges, address space, and memory
//! that the OS is to take back. One thread's faults are its own.

#[cfg(not(any(test, fuzzing)))]
pub(super) use off::strikes;
#[cfg(any(test, fuzzing))]
pub(super) use on::strikes;
#[cfg(any(test, fuzzing))]
pub(crate) use on::{arm, disarm};

#[cfg(not(any(test, fuzzing)))]
mod off {
    /// Whether this allocation fails.
    pub(in crate::arena) const fn strikes() -> bool {
        false
    }
}

#[cfg(any(test, fuzzing))]
mod on {
    use std::cell::Cell;

    thread_local! {
        /// Allocations that still succeed before one fails.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Lets one allocation of this thread fail, after `successes` that do not.
    pub(crate) fn arm(successes: usize) {
        LEFT.set(Some(successes));
    }

    /// No more faults; whether the one that was ordered has struck.
    pub(crate) fn disarm() -> bool {
        LEFT.take().is_none()
    }

    /// Whether this allocation fails.
    pub(in crate::arena) fn strikes() -> bool {
        let left = LEFT.get();
        LEFT.set(left.and_then(|left| left.checked_sub(1)));
        left == Some(0)
    }
}
