//! A shard, locked; and what must not happen while it is.
//!
//! Closures of callers run under a shard's lock. If one called its cache, it could wait for itself, or two
//! for each other. So it is noted with the thread which caches' locks it is under, and a call of one of
//! those panics at once, always and not only when it would wait.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::panic::resume_unwind;

use super::Cache;
use crate::arena::Arena;
use crate::shard::Shard;
use crate::sync::{MutexGuard, lock_soon};
use crate::time::Timestamp;

thread_local! {
    /// The cache under whose lock this thread runs a closure; 0 for none.
    static UNDER: Cell<usize> = const { Cell::new(0) };
    /// Those further up the stack, where the closure of one cache calls another.
    static FURTHER_UP: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// One shard, locked. Once it is unlocked, memory of large values goes back to the OS, and whoever
/// listens is told of what has been removed.
pub(super) struct Held<'c> {
    shard: Option<MutexGuard<'c, Shard>>,
    arena: &'c Arena,
}

impl Cache {
    /// Shard `number`, locked.
    ///
    /// # Panics
    /// If this thread is in a closure under a lock of this cache.
    #[inline]
    pub(super) fn lock(&self, number: usize) -> Held<'_> {
        self.check_entry();
        let shard = lock_soon(&self.shards[number].shard);
        Held {
            shard: Some(shard),
            arena: &self.arena,
        }
    }

    /// Panics if this thread is in a closure under a lock of this cache.
    #[inline]
    pub(super) fn check_entry(&self) {
        if UNDER.get() != 0 {
            self.refuse_reentry();
        }
    }

    /// Shard `number`, locked, with nothing in it that should have been cleared by `now`.
    #[inline]
    pub(super) fn settled(&self, number: usize, now: Timestamp) -> Held<'_> {
        let mut shard = self.lock(number);
        while !shard.settle_clear(now) {
            // What was removed is told of, and others may help meanwhile.
            drop(shard);
            shard = self.lock(number);
        }
        shard
    }

    /// Runs a closure of a caller, which may not call this cache.
    #[inline]
    pub(super) fn under_lock<R>(&self, closure: impl FnOnce() -> R) -> R {
        under(self.address(), closure)
    }

    #[cold]
    fn refuse_reentry(&self) {
        let own = self.address();
        let further_up = FURTHER_UP.with_borrow(|caches| caches.contains(&own));
        assert!(
            UNDER.get() != own && !further_up,
            "a closure that a cache runs under its lock must not call that cache"
        );
    }

    /// What tells caches apart: where the shards are, which do not move.
    pub(super) fn address(&self) -> usize {
        self.shards.as_ptr().addr()
    }
}

/// Runs a closure of a caller under a lock of the cache with that address.
#[inline]
pub(super) fn under<R>(cache: usize, closure: impl FnOnce() -> R) -> R {
    struct Leave(usize);
    impl Drop for Leave {
        fn drop(&mut self) {
            UNDER.set(self.0);
            if self.0 != 0 {
                FURTHER_UP.with_borrow_mut(Vec::pop);
            }
        }
    }
    let before = UNDER.replace(cache);
    if before != 0 {
        FURTHER_UP.with_borrow_mut(|caches| caches.push(before));
    }
    let _leave = Leave(before);
    closure()
}

impl Deref for Held<'_> {
    type Target = Shard;

    #[inline]
    fn deref(&self) -> &Shard {
        self.shard
            .as_deref()
            .expect("it is there until it is dropped")
    }
}

impl DerefMut for Held<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Shard {
        self.shard
            .as_deref_mut()
            .expect("it is there until it is dropped")
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        let news = self.take_news();
        let panic = self.take_panic();
        self.shard = None;
        self.arena.empty_trash();
        if let Some(news) = news {
            news.tell();
        }
        if let Some(panic) = panic
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
