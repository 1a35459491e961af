//! The threads that read: one value after the other, each checked before it is believed.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use larder::{Content, Move};

use super::Flash;
use super::hole::{Fetched, Wanted};
use super::port::{Answer, Port};
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

    /// The next `count_max` asks, or those that there are; none once the queue is closed and empty.
    fn take(&self, count_max: usize) -> Vec<Ask> {
        let mut waiting = self.lock();
        while waiting.asks.is_empty() && !waiting.closed {
            waiting = self
                .came
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let count = waiting.asks.len().min(count_max);
        waiting.asks.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what is asked for until the queue is closed.
pub(crate) fn read_for_all(shared: &Shared, flash: &Flash) {
    let depth = shared.config.flash.io_depth.max(1) as usize;
    loop {
        let asks = flash.queue.take(depth);
        if asks.is_empty() {
            return;
        }
        for ask in asks {
            let fetched = fetch(shared, flash, &ask.wanted);
            ask.port.answer(Answer {
                serial: ask.serial,
                client: ask.client,
                hole: ask.hole,
                fetched,
            });
        }
    }
}

fn fetch(shared: &Shared, flash: &Flash, wanted: &Wanted) -> Option<Fetched> {
    let place = wanted.place();
    let events = &flash.events;
    let mut record = Vec::new();
    match flash.store.read(place, &wanted.key, &mut record) {
        Ok(()) => {
            let value_bytes = place.value_bytes as usize;
            if wanted.recache {
                let value = record.len() - value_bytes;
                let moved = Move {
                    stamp: wanted.stamp,
                    from: Some(wanted.locator),
                    to: Content::Here(record.get(value..).unwrap_or_default()),
                };
                // Without memory for it it stays where it is.
                if shared.cache.move_value(&wanted.key, &moved) == Ok(true) {
                    events.recached.fetch_add(1, Ordering::Relaxed);
                }
            }
            return Some(Fetched {
                record,
                value_bytes,
            });
        }
        Err(Missed::Gone) => {}
        Err(Missed::Damaged) => {
            events.damaged.fetch_add(1, Ordering::Relaxed);
            log::warn!(
                "a value on flash is not what was written: page {}, {}",
                place.page,
                place.offset
            );
        }
        Err(Missed::Failed(error)) => log::error!("a value cannot be read: {error}"),
    }
    events.missed.fetch_add(1, Ordering::Relaxed);
    shared
        .cache
        .remove_if(&wanted.key, |view| view.locator() == Some(wanted.locator));
    None
}
