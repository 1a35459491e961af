//! The locks and atomics of the engine; nobody else names a lock.
//!
//! One file, so that a model checker's versions can stand in for all of them.

pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(any(miri, larder_asan))]
pub(crate) use std::sync::atomic::AtomicPtr;
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use std::sync::atomic::{compiler_fence, fence};

/// Stores, and passes a full barrier: of two threads that store and then load what the other stored, one at
/// least meets the other's store. `Release`, besides.
pub(crate) trait StoreAndFence {
    type Value;
    fn exchange(&self, value: Self::Value);
    fn release(&self, value: Self::Value);
}

macro_rules! store_and_fence {
    ($($atomic:ty: $value:ty),*) => {$(
        impl StoreAndFence for $atomic {
            type Value = $value;
            #[inline]
            fn exchange(&self, value: $value) {
                self.swap(value, Ordering::SeqCst);
            }
            #[inline]
            fn release(&self, value: $value) {
                self.store(value, Ordering::Release);
            }
        }
    )*};
}

store_and_fence!(AtomicU32: u32, AtomicUsize: usize);

#[inline]
pub(crate) fn store_and_fence<A: StoreAndFence>(atomic: &A, value: A::Value) {
    if cfg!(all(target_arch = "x86_64", not(miri))) {
        // An exchange is a full barrier of the processor, and a cheaper one than the fence instruction; it is
        // only the compiler that has to be told.
        atomic.exchange(value);
        compiler_fence(Ordering::SeqCst);
    } else {
        atomic.release(value);
        fence(Ordering::SeqCst);
    }
}

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
