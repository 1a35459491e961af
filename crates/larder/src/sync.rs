//! The locks and atomics of the engine; nobody else names a lock.
//!
//! One file, so that a model checker's versions can stand in for all of them.

pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(any(miri, larder_asan))]
pub(crate) use std::sync::atomic::AtomicPtr;
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// What loom's models stand in for, in the tests that it runs.
pub(crate) mod modelled {
    #[cfg(all(loom, test))]
    pub(crate) use self::loom_lock::Mutex;
    #[cfg(all(loom, test))]
    pub(crate) use loom::thread;
    #[cfg(not(all(loom, test)))]
    pub(crate) use parking_lot::Mutex;
    #[cfg(not(all(loom, test)))]
    pub(crate) use std::thread;

    /// Loom's mutex with parking_lot's words.
    #[cfg(all(loom, test))]
    mod loom_lock {
        #[derive(Debug)]
        pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

        impl<T> Mutex<T> {
            pub(crate) fn new(value: T) -> Self {
                Self(loom::sync::Mutex::new(value))
            }

            pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
                self.0.lock().expect("a model does not panic under a lock")
            }
        }
    }
}
