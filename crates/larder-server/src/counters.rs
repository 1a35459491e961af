//! What the workers count: one padded set of counters each, summed when someone asks. Some things are
//! counted for each size class besides.
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
    /// Connections that failed before TLS was agreed on, and after.
    SslHandshakeErrors,
    SslProtoErrors,
    /// Connections closed because they were idle.
    IdleKicks,
    /// Walks over all items that were begun.
    Walks,
    /// Chunks that looking for expired items met, and the items whose memory came back.
    CrawlerChecked,
    CrawlerReclaimed,
    /// Hits whose value was on flash; those whose client went before it came, and those for which there was no
    /// memory.
    FlashGets,
    FlashGetsAborted,
    FlashGetsNoMemory,
    /// Of what was read: back in memory, missed, and missed because it is damaged.
    FlashRecached,
    FlashMisses,
    FlashDamaged,
}

pub(crate) const COUNTERS: usize = Counter::FlashDamaged as usize + 1;

/// A thing that is counted for the size class of the item that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfClass {
    GetHits,
    CmdSet,
    DeleteHits,
    IncrHits,
    DecrHits,
    CasHits,
    CasBadval,
    TouchHits,
}

/// What is counted for one class: a cache line.
pub(crate) const CLASS_COUNTERS: usize = OfClass::TouchHits as usize + 1;

/// The counters of one worker.
#[derive(Debug)]
pub(crate) struct Counters {
    all: [AtomicU64; COUNTERS],
    classes: Box<[[AtomicU64; CLASS_COUNTERS]]>,
}

impl Counters {
    pub(crate) fn new(class_count: usize) -> Self {
        Self {
            all: std::array::from_fn(|_| AtomicU64::default()),
            classes: (0..class_count).map(|_| Default::default()).collect(),
        }
    }

    pub(crate) fn add(&self, counter: Counter, amount: u64) {
        if let Some(cell) = self.all.get(counter as usize) {
            add(cell, amount);
        }
    }

    /// Takes back one that was counted.
    pub(crate) fn uncount(&self, counter: Counter) {
        // Counters wrap.
        self.add(counter, u64::MAX);
    }

    /// Counts one for a size class of the engine.
    pub(crate) fn count_of_class(&self, class: usize, counter: OfClass) {
        let of_class = self.classes.get(class);
        if let Some(cell) = of_class.and_then(|of_class| of_class.get(counter as usize)) {
            add(cell, 1);
        }
    }

    /// The counter with this number.
    pub(crate) fn get(&self, counter: usize) -> u64 {
        self.all
            .get(counter)
            .map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// All counters of a class.
    pub(crate) fn of_class(&self, class: usize) -> [u64; CLASS_COUNTERS] {
        let mut counted = [0; CLASS_COUNTERS];
        for (sum, cell) in counted
            .iter_mut()
            .zip(self.classes.get(class).into_iter().flatten())
        {
            *sum = cell.load(Ordering::Relaxed);
        }
        counted
    }
}

fn add(cell: &AtomicU64, amount: u64) {
    // Relaxed, and no read-modify-write: the worker is the only writer, and readers want a recent
    // number, not an instant of all of them.
    let sum = cell.load(Ordering::Relaxed).wrapping_add(amount);
    cell.store(sum, Ordering::Relaxed);
}
