//! What the workers count: one padded set of counters each, summed when someone asks.
//!
//! A counter is written by one worker only, so that counting is a plain load and store.

use std::sync::atomic::{AtomicU64, Ordering};

/// A thing that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    CmdGet,
    CmdSet,
    CmdFlush,
    CmdTouch,
    CmdMeta,
    GetHits,
    GetMisses,
    DeleteHits,
    DeleteMisses,
    IncrHits,
    IncrMisses,
    DecrHits,
    DecrMisses,
    CasHits,
    CasMisses,
    CasBadval,
    TouchHits,
    TouchMisses,
    StoreTooLarge,
    StoreNoMemory,
    AuthCmds,
    AuthErrors,
    BytesRead,
    BytesWritten,
    ConnYields,
    /// Connections closed because they were idle.
    IdleKicks,
    /// Walks over all items that were begun.
    Walks,
    /// Chunks that looking for expired items met, and the items whose memory came back.
    CrawlerChecked,
    CrawlerReclaimed,
}

pub(crate) const COUNTERS: usize = Counter::CrawlerReclaimed as usize + 1;

/// The counters of one worker.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; COUNTERS]);

impl Counters {
    pub(crate) fn add(&self, counter: Counter, amount: u64) {
        if let Some(cell) = self.0.get(counter as usize) {
            // Relaxed, and no read-modify-write: the worker is the only writer, and readers want
            // a recent number, not an instant of all of them.
            cell.store(
                cell.load(Ordering::Relaxed).wrapping_add(amount),
                Ordering::Relaxed,
            );
        }
    }

    /// The counter with this number.
    pub(crate) fn get(&self, counter: usize) -> u64 {
        self.0
            .get(counter)
            .map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}
