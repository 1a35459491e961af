//! The one thread that the engine starts, and only if asked: background work for a cache.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::cache::Cache;
use crate::trace;

/// A thread that calls [`Cache::maintain`] now and then. It stops when this is dropped.
///
/// Without one, expired memory comes back when a store needs it or somebody asks for the dead key. With
/// one it comes back by itself, and a [listener](Cache::listen) hears of what expires in time; it is
/// called by this thread. A listener that panics there is reported by the panic hook, and the thread
/// goes on.
///
/// ```
/// use larder::{Cache, Maintainer};
/// use std::{sync::Arc, time::Duration};
///
/// let cache = Arc::new(Cache::with_limit(1 << 20)?);
/// let maintainer = Maintainer::start(Arc::clone(&cache), Duration::from_secs(1))?;
/// drop(maintainer); // or keep it as long as the cache
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Maintainer {
    stopping: Arc<AtomicBool>,
    /// `None` once it has been joined.
    thread: Option<JoinHandle<()>>,
}

/// The shortest time between two rounds.
const EVERY_MIN: Duration = Duration::from_millis(1);
/// Chunks that are looked at between two looks at whether to stop.
const CHUNKS_A_CALL: usize = 4096;

impl Maintainer {
    /// Starts a thread that, `every` so often (a millisecond at least), gives the memory of everything
    /// that has expired back.
    ///
    /// # Errors
    /// Those of the operating system, if it refuses the thread.
    pub fn start(cache: Arc<Cache>, every: Duration) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stopping);
        let every = every.max(EVERY_MIN);
        let thread = thread::Builder::new()
            .name("larder-maintain".into())
            .spawn(move || run(&cache, &stops, every))?;
        Ok(Self {
            stopping,
            thread: Some(thread),
        })
    }
}

/// Rounds until it is told to stop.
fn run(cache: &Cache, stopping: &AtomicBool, every: Duration) {
    while !stopping.load(Ordering::Acquire) {
        // A panic of a listener: all that was to be done is done, or will be in the next round.
        let _ = catch_unwind(AssertUnwindSafe(|| round(cache, stopping)));
        thread::park_timeout(every);
    }
}

fn round(cache: &Cache, stopping: &AtomicBool) {
    loop {
        let done = cache.maintain(CHUNKS_A_CALL);
        trace::maintained(&done);
        if !done.more_due || stopping.load(Ordering::Acquire) {
            return;
        }
    }
}

impl Drop for Maintainer {
    /// Stops the thread and waits for it, which takes one call of `maintain` at the most; dropped by
    /// the thread itself (in a listener) it does not wait.
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else {
            return;
        };
        thread.thread().unpark();
        if thread.thread().id() != thread::current().id() {
            let ended = thread.join();
            debug_assert!(ended.is_ok(), "panics are caught within");
        }
    }
}
