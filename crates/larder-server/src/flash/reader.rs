//! The threads that read: one value after the other, each checked before it is believed.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use larder::{Content, Locator, Move};

use super::Flash;
use super::hole::{Fetched, Wanted};
use super::place::Place;
use super::port::{Answer, Came, Port};
use super::store::Missed;
use crate::service::Shared;

/// A value to be read, and who waits for it.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) port: Arc<Port>,
    pub(super) client: usize,
    pub(super) serial: u64,
    pub(super) hole: usize,
    pub(super) wanted: Wanted,
}

/// Places at which a value is looked for that is moved again and again meanwhile.
const MOVES_MAX: usize = 4;
/// How often each thread tells of what cannot be read.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Values to be read, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Queue {
    asks: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    asks: VecDeque<Ask>,
    closed: bool,
}

impl Queue {
    pub(super) fn put(&self, asks: impl Iterator<Item = Ask>) {
        let mut waiting = self.lock();
        waiting.asks.extend(asks);
        drop(waiting);
        self.came.notify_all();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().asks.len()
    }

    /// Whoever waits for asks waits no more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.came.notify_all();
    }

    /// The next `count_max` asks, or one reader's part of those that there are; none once the queue is closed
    /// and empty.
    fn take(&self, count_max: usize, readers: usize) -> Vec<Ask> {
        let mut waiting = self.lock();
        while waiting.asks.is_empty() && !waiting.closed {
            waiting = self
                .came
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let count = waiting.asks.len().div_ceil(readers).min(count_max);
        waiting.asks.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what is asked for until the queue is closed.
pub(crate) fn read_for_all(shared: &Shared, flash: &Flash) {
    let depth = shared.config.flash.io_depth.max(1) as usize;
    let readers = shared.config.flash.threads.max(1) as usize;
    let mut told = None;
    loop {
        let asks = flash.queue.take(depth, readers);
        if asks.is_empty() {
            return;
        }
        for ask in asks {
            let mut record = Vec::new();
            let came = fetch(shared, flash, &ask.wanted, &mut record, &mut told);
            let fetched = matches!(came, Came::Whole | Came::Recached).then(|| Fetched {
                record,
                value_bytes: ask.wanted.place().value_bytes as usize,
            });
            ask.port.answer(Answer {
                came,
                serial: ask.serial,
                client: ask.client,
                hole: ask.hole,
                fetched,
            });
        }
    }
}

/// Reads the record of a value; brings it back to memory if that is wanted. The item of what is missed goes.
fn fetch(
    shared: &Shared,
    flash: &Flash,
    wanted: &Wanted,
    record: &mut Vec<u8>,
    told: &mut Option<Instant>,
) -> Came {
    let mut locator = wanted.locator;
    let mut missed = Missed::Gone;
    for _ in 0..MOVES_MAX {
        match flash.store.read(Place::of(locator), &wanted.key, record) {
            Ok(()) => return recache(shared, wanted, locator, record),
            Err(error) => missed = error,
        }
        // The value may have been moved since it was asked for, and its page be used for others.
        match whereabouts(shared, wanted, record) {
            Whereabouts::Here => return Came::Whole,
            Whereabouts::At(other) if other != locator => locator = other,
            Whereabouts::At(_) | Whereabouts::Nowhere => break,
        }
    }
    let came = match missed {
        Missed::Gone => Came::Missed,
        Missed::Damaged => {
            let Place { page, offset, .. } = Place::of(locator);
            tell(told, || {
                format!("a value on flash is not what was written: page {page}, {offset}")
            });
            Came::Damaged
        }
        Missed::Failed(error) => {
            tell(told, || format!("a value cannot be read: {error}"));
            Came::Missed
        }
    };
    super::forget(&shared.cache, &wanted.key, locator);
    came
}

/// Where a value that was asked for is by now.
enum Whereabouts {
    /// In memory: the record has it.
    Here,
    At(Locator),
    /// The item has another value, or is gone.
    Nowhere,
}

fn whereabouts(shared: &Shared, wanted: &Wanted, record: &mut Vec<u8>) -> Whereabouts {
    let seen = shared.cache.peek_with(&wanted.key, |view| {
        if view.stamp() != wanted.stamp {
            return Whereabouts::Nowhere;
        }
        if let Some(locator) = view.locator() {
            return Whereabouts::At(locator);
        }
        record.clear();
        record.extend_from_slice(view.value());
        Whereabouts::Here
    });
    seen.unwrap_or(Whereabouts::Nowhere)
}

fn recache(shared: &Shared, wanted: &Wanted, from: Locator, record: &[u8]) -> Came {
    if !wanted.recache {
        return Came::Whole;
    }
    let value_at = record.len() - wanted.place().value_bytes as usize;
    let moved = Move {
        stamp: wanted.stamp,
        from: Some(from),
        to: Content::Here(record.get(value_at..).unwrap_or_default()),
    };
    // Without memory for it it stays where it is.
    match shared.cache.move_value(&wanted.key, &moved) {
        Ok(true) => Came::Recached,
        _ => Came::Whole,
    }
}

/// Logs an error, unless one was logged less than a second ago: a broken device has many.
fn tell(told: &mut Option<Instant>, message: impl FnOnce() -> String) {
    if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
        *told = Some(Instant::now());
        log::error!("{}", message());
    }
}
