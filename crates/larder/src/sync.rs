//! The locks and atomics of the engine; nobody else names a lock.
//!
//! One file, so that a model checker's versions can stand in for all of them.

pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(any(miri, larder_asan))]
pub(crate) use std::sync::atomic::AtomicPtr;
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use std::sync::atomic::{compiler_fence, fence};

/// How often a thread looks whether a lock has come free before it sleeps.
const LOOKS_MAX: u32 = 100;

/// Locks a mutex that is held for about a microsecond, as a rule: a thread that slept would be woken by a system
/// call of whoever holds it, which takes longer than that.
#[inline]
pub(crate) fn lock_soon<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Some(guard) => guard,
        None => wait_and_lock(mutex),
    }
}

#[cold]
fn wait_and_lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for _ in 0..LOOKS_MAX {
        std::hint::spin_loop();
        // A look first: the line stays shared while somebody has the lock.
        if !mutex.is_locked()
            && let Some(guard) = mutex.try_lock()
        {
            return guard;
        }
    }
    mutex.lock()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_had_at_once_or_waited_for_however_long_that_takes() {
        let mutex = Mutex::new(0);
        *lock_soon(&mutex) += 1;
        let held = lock_soon(&mutex);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| *lock_soon(&mutex) += 1);
            // By then it sleeps, or will find the lock taken and then free.
            (0..100 * LOOKS_MAX).for_each(|_| std::hint::spin_loop());
            assert_eq!(*held, 1);
            drop(held);
            waiting.join().unwrap();
        });
        assert_eq!(*lock_soon(&mutex), 2);
    }
}
