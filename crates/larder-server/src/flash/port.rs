//! What one worker sees of the values on flash: the holes in the reply that it is writing, and the answers
//! that have come for its connections.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use larder::ItemView;

use super::hole::{Fetched, Hole, Wanted};
use super::{Flash, reader::Ask};

/// One worker's.
#[derive(Default)]
pub(crate) struct Port {
    /// Holes of the connection whose requests are being executed. Only its worker has them.
    holes: Mutex<Vec<Hole>>,
    /// Bytes of the values that those lack.
    hole_bytes: AtomicUsize,
    answers: Mutex<Vec<Answer>>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Hits that could have brought a value back.
    active_hits: AtomicU64,
}

/// What came of a read, for a hole of one worker's client.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Of the client's output that waits: no other had it before.
    pub(crate) serial: u64,
    pub(crate) client: usize,
    pub(crate) hole: usize,
    pub(crate) fetched: Option<Fetched>,
    pub(crate) came: Came,
}

/// How a read went, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The value is there.
    Whole,
    /// And in memory again.
    Recached,
    Missed,
    /// Missed, because it is not what was written.
    Damaged,
}

/// An item that was used within so many seconds before this read is in use.
const ACTIVE_SECONDS: u64 = 60;

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").finish_non_exhaustive()
    }
}

impl Port {
    /// `wake` is called when there are answers.
    pub(crate) fn connect(&self, wake: impl Fn() + Send + Sync + 'static) {
        // The first worker stays: there is one.
        let _ = self.wake.set(Box::new(wake));
    }

    /// What is to be read for an item whose value is not in the cache. Every `recache_rate`-th that is in use
    /// is to come back.
    pub(crate) fn wanted(
        &self,
        view: &ItemView<'_>,
        now: u64,
        recache_rate: u32,
    ) -> Option<Wanted> {
        let idle = now.saturating_sub(view.accessed_at().unix_seconds());
        let active = recache_rate > 0 && view.was_fetched() && idle < ACTIVE_SECONDS;
        // Relaxed: a count.
        let is_turn = || {
            let hits = self.active_hits.fetch_add(1, Ordering::Relaxed) + 1;
            hits.is_multiple_of(u64::from(recache_rate))
        };
        let recache = active && is_turn();
        Some(Wanted {
            key: Box::from(view.key()),
            stamp: view.stamp(),
            locator: view.locator()?,
            recache,
        })
    }

    pub(crate) fn add_hole(&self, hole: Hole) {
        let bytes = hole.head.len() + hole.wanted.place().value_bytes as usize;
        self.hole_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.holes().push(hole);
    }

    /// Bytes that the holes so far will take of the output.
    pub(crate) fn hole_bytes(&self) -> usize {
        self.hole_bytes.load(Ordering::Relaxed)
    }

    /// The holes of what was executed last.
    pub(crate) fn take_holes(&self) -> Vec<Hole> {
        // Nearly always there are none.
        if self.hole_bytes.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        self.hole_bytes.store(0, Ordering::Relaxed);
        std::mem::take(&mut *self.holes())
    }

    pub(super) fn answer(&self, answer: Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push(answer);
        let is_first = answers.len() == 1;
        drop(answers);
        if let (true, Some(wake)) = (is_first, self.wake.get()) {
            wake();
        }
    }

    pub(crate) fn take_answers(&self) -> Vec<Answer> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *answers)
    }

    fn holes(&self) -> std::sync::MutexGuard<'_, Vec<Hole>> {
        self.holes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flash {
    /// Has values read for the holes of a client's output; the answers come to its worker's port.
    pub(crate) fn fetch<'w>(
        &self,
        port: &Arc<Port>,
        client: usize,
        serial: u64,
        wanted: impl Iterator<Item = &'w Wanted>,
    ) {
        let asks = wanted.enumerate().map(|(hole, wanted)| Ask {
            port: Arc::clone(port),
            client,
            serial,
            hole,
            wanted: wanted.clone(),
        });
        self.queue.put(asks);
    }
}
