//! The thread that writes: it keeps memory free by moving the coldest values to flash.
//!
//! Each class of items that are large enough keeps a small part of its chunks free, so that stores find room
//! without evicting. When a class has less, as many items as it lacks are written together, those that would
//! be evicted next. The thread sleeps the longer the less there is to do; an eviction wakes it, because then
//! it was late.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder::{CasToken, ClassStats, Content, Locator, Move, Stats, Store as NewItem};

use super::Flash;
use super::compact::Compactor;
use super::record::Record;
use super::store::{Added, Batch};
use super::sweep::Sweeper;
use crate::config::{Bucket, Knobs};
use crate::service::Shared;

/// Wakes the writer before its time.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    state: Mutex<Alarmed>,
    rings: Condvar,
}

#[derive(Debug, Default)]
struct Alarmed {
    raised: bool,
    closed: bool,
}

/// The part of a class that is kept free.
const FREE_PART: usize = 32;
/// But no more bytes than this.
const FREE_BYTES_MAX: usize = 64 << 20;
/// Items that are chosen at a time.
const ITEMS_MAX: usize = 512;
/// How long it sleeps at least, when there was nothing to do, and at the most while values are being stored.
const SLEEP_MIN: Duration = Duration::from_millis(1);
const SLEEP_STORING: Duration = Duration::from_millis(10);
/// How long nothing is written after a write has failed.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// memcached's slab page; an item above half of it is one in chunks there.
const CHUNKED_BYTES: usize = 512 << 10;

impl Alarm {
    pub(super) fn raise(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.raised {
            state.raised = true;
            self.rings.notify_all();
        }
    }

    pub(super) fn close(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.rings.notify_all();
    }

    /// Waits for so long, or until the alarm is raised; false once it is closed.
    fn wait(&self, sleep: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .rings
            .wait_timeout_while(state, sleep, |state| !state.raised && !state.closed);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.raised = false;
        !state.closed
    }
}

/// What writes to flash: batches on their way to their pages.
pub(super) struct Writer<'s> {
    pub(super) shared: &'s Shared,
    pub(super) flash: &'s Flash,
    batches: Vec<Batch>,
    /// Nothing is written before.
    failed: Option<Instant>,
}

/// An item that is to move, before anybody else changes it.
pub(super) struct Chosen {
    pub(super) key: Vec<u8>,
    pub(super) stamp: CasToken,
}

/// Writes until the server closes its flash.
pub(crate) fn write_for_all(shared: &Shared, flash: &Flash) {
    let mut writer = Writer::new(shared, flash);
    let (mut compactor, mut sweeper) = (Compactor::default(), Sweeper::default());
    let mut sleep = SLEEP_MIN;
    let mut stores = 0;
    while flash.alarm.wait(sleep) {
        let knobs = shared.knobs();
        let sleep_max = Duration::from_micros(u64::from(knobs.ext_max_sleep)).max(SLEEP_MIN);
        if writer.is_pausing() {
            sleep = sleep_max.min(FAILED_PAUSE);
            continue;
        }
        let stats = shared.cache.stats();
        let before = std::mem::replace(&mut stores, stats.stores);
        let is_busy = writer.make_room(&knobs, &stats);
        let compacts = compactor.step(&mut writer, &knobs);
        let sweeps = sweeper.step(&mut writer, &knobs);
        sleep = if is_busy || compacts || sweeps {
            SLEEP_MIN
        } else if stores == before {
            (sleep * 2).min(sleep_max)
        } else {
            (sleep * 2).min(SLEEP_STORING)
        };
    }
}

impl<'s> Writer<'s> {
    pub(super) fn new(shared: &'s Shared, flash: &'s Flash) -> Self {
        let write_bytes = shared.config.knobs.ext_wbuf_size as usize;
        let batches = Bucket::ALL.map(|bucket| Batch::new(bucket, write_bytes));
        Self {
            shared,
            flash,
            batches: batches.into(),
            failed: None,
        }
    }

    /// When a write failed last.
    pub(super) const fn failed(&self) -> Option<Instant> {
        self.failed
    }

    /// Whether the last write failed a short while ago.
    pub(super) fn is_pausing(&self) -> bool {
        self.failed
            .is_some_and(|failed| failed.elapsed() < FAILED_PAUSE)
    }

    /// Moves values out of each class that has too little memory free; true if one was moved.
    fn make_room(&mut self, knobs: &Knobs, stats: &Stats) -> bool {
        let shared = self.shared;
        let cache = &shared.cache;
        let unused_bytes = stats.limit_bytes.saturating_sub(stats.used_bytes);
        let classes = cache.class_stats();
        // Of an item of that size with no key, which is as good as any.
        let least = knobs.ext_item_size.min(u32::MAX / 2) as usize;
        let empty = vec![0; least.min(self.shared.config.item_bytes_max)];
        let first = cache.class_of(&NewItem::new(b"", &empty));
        let mut is_busy = false;
        for (class, stats) in classes.iter().enumerate().skip(first) {
            let lacking = lacking_items(stats, unused_bytes, class + 1 == classes.len());
            if lacking == 0 {
                continue;
            }
            let mut chosen = Vec::new();
            cache.show_coldest(class, lacking.min(ITEMS_MAX), |view| {
                chosen.push(Chosen {
                    key: view.key().to_vec(),
                    stamp: view.stamp(),
                });
            });
            is_busy |= self.move_away(&chosen, knobs);
            if self.is_pausing() {
                break;
            }
        }
        is_busy
    }

    /// Writes the values of items that still have them, and has the items refer to what was written. True if
    /// there was a page for one.
    pub(super) fn move_away(&mut self, chosen: &[Chosen], knobs: &Knobs) -> bool {
        let now = self.shared.cache.now();
        let mut is_added = false;
        for Chosen { key, stamp } in chosen {
            let cache = &self.shared.cache;
            let Some(item) = cache.peek(key) else {
                continue;
            };
            let view = item.view();
            if view.stamp() != *stamp || view.locator().is_some() {
                continue;
            }
            let left = view.expires_at().map(|at| at.since(now).as_secs());
            let bucket = match left {
                _ if view.value().len() > CHUNKED_BYTES => Bucket::Chunked,
                Some(left) if left < u64::from(knobs.ext_low_ttl) => Bucket::LowTtl,
                _ => Bucket::Default,
            };
            let record = Record {
                key,
                value: view.value(),
                written: seconds(now.unix_seconds()),
            };
            // One write takes a whole record. Items of clients are shorter, by -I.
            if record.bytes() > knobs.ext_wbuf_size as usize {
                continue;
            }
            is_added |= self.add(bucket, &record, *stamp, None);
            if self.is_pausing() {
                return is_added;
            }
        }
        self.flush_all();
        is_added
    }

    /// Adds a record to the batch of its bucket, which is written first if it is full. False if there is no
    /// page for it.
    pub(super) fn add(
        &mut self,
        bucket: Bucket,
        record: &Record<'_>,
        stamp: CasToken,
        from: Option<Locator>,
    ) -> bool {
        let mut added = Added::Full;
        for _ in 0..2 {
            let Some(batch) = self.batches.get_mut(bucket as usize) else {
                return false;
            };
            added = batch.add(&self.flash.store, record, stamp, from);
            if added != Added::Full {
                break;
            }
            self.flush(bucket);
        }
        added == Added::Yes
    }

    pub(super) fn flush_all(&mut self) {
        for bucket in Bucket::ALL {
            self.flush(bucket);
        }
    }

    fn flush(&mut self, bucket: Bucket) {
        let Self {
            shared,
            flash,
            batches,
            failed,
        } = self;
        let Some(batch) = batches.get_mut(bucket as usize) else {
            return;
        };
        let events = &flash.events;
        let written = batch.flush(&flash.store, |record, entry, place| {
            let moved = Move {
                stamp: entry.stamp,
                from: entry.from,
                to: Content::Elsewhere(place.to_locator()),
            };
            let is_moved = shared.cache.move_value(record.key, &moved) == Ok(true);
            if is_moved && entry.from.is_some() {
                events.compact_rescues.fetch_add(1, Relaxed);
                match bucket {
                    Bucket::ColdCompact => events.compact_cold.fetch_add(1, Relaxed),
                    Bucket::Old => events.compact_old.fetch_add(1, Relaxed),
                    _ => 0,
                };
            }
            is_moved
        });
        if let Err(error) = written {
            log::error!("values stay in memory, because they cannot be written: {error}");
            *failed = Some(Instant::now());
        }
    }
}

/// How many items of a class should move for it to have enough memory free.
fn lacking_items(stats: &ClassStats, unused_bytes: usize, is_large: bool) -> usize {
    if stats.item_count == 0 || stats.chunk_bytes == 0 {
        return 0;
    }
    let free_chunks = if is_large {
        0
    } else {
        stats.chunk_count.saturating_sub(stats.item_count)
    };
    let free_bytes = unused_bytes + free_chunks * stats.chunk_bytes;
    // Two at least, also of values that are longer than the most that is kept free otherwise.
    let wanted_bytes = (stats.held_bytes / FREE_PART)
        .min(FREE_BYTES_MAX)
        .max(2 * stats.chunk_bytes);
    let lacking = wanted_bytes.saturating_sub(free_bytes);
    // The last items of a class stay: they are hardly what memory is short of.
    lacking
        .div_ceil(stats.chunk_bytes)
        .min(stats.item_count.saturating_sub(2))
}

pub(super) fn seconds(unix: u64) -> u32 {
    u32::try_from(unix).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_longer_than_what_is_kept_free_are_no_reason_to_stop() {
        let mut stats = ClassStats::default();
        assert_eq!(lacking_items(&stats, 0, true), 0);
        for chunk_bytes in [100, FREE_BYTES_MAX / 2, FREE_BYTES_MAX, 1 << 30] {
            stats.chunk_bytes = chunk_bytes;
            stats.item_count = 5;
            stats.held_bytes = 5 * chunk_bytes;
            assert_eq!(lacking_items(&stats, 0, true), 2);
            assert_eq!(lacking_items(&stats, 2 * chunk_bytes, true), 0);
        }
    }
}
