//! Values that memory has no room for, in files on flash; their items stay in the cache.
//!
//! ```text
//! writer    the coldest items -> Batch -> one write -> items hold a Place in the value's stead
//! worker    a hit with a Place -> Hole in the reply -> Ask -> queue        the connection waits, others go on
//! reader    Ask -> read, check -> Answer -> the worker's port -> the hole is filled, the reply sent
//! ```
//! A value is written before anything refers to it, and an item refers to it only if it is still the one that was
//! written: so nothing is ever lost between memory and flash, and nothing stale is found there. What cannot be
//! read, or is not what was written, is a miss, and its item goes. Pages are given up whole: the oldest when
//! none is free. Nothing survives a restart.
//!
//! store.rs has the records (files.rs, pages.rs, record.rs, place.rs), port.rs what workers see of it, hole.rs the
//! replies that wait; reader.rs and writer.rs are the threads, compact.rs and sweep.rs what the writer does
//! besides.

mod compact;
mod files;
mod hole;
mod pages;
mod place;
mod port;
mod reader;
mod record;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use larder::{Cache, Locator};

pub(crate) use hole::{Deferred, Hole, Wanted};
pub(crate) use pages::Counts;
pub(crate) use place::{Place, value_bytes};
pub(crate) use port::{Answer, Came, Port};
pub(crate) use reader::read_for_all;
pub(crate) use writer::write_for_all;

use crate::config::Config;
use reader::Queue;
use store::Store;
use writer::Alarm;

/// The values on flash of one server.
#[derive(Debug)]
pub(crate) struct Flash {
    store: Store,
    queue: Queue,
    alarm: Alarm,
    /// One for each worker.
    ports: Box<[Arc<Port>]>,
    pub(crate) events: Events,
}

/// What happened to values on flash, besides what the table of pages counts.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) compact_lost: AtomicU64,
    pub(crate) compact_rescues: AtomicU64,
    pub(crate) compact_cold: AtomicU64,
    pub(crate) compact_old: AtomicU64,
    pub(crate) compact_skipped: AtomicU64,
}

/// A page, as `stats extstore` tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageStats {
    pub(crate) version: u32,
    pub(crate) live_bytes: u64,
    pub(crate) bucket: usize,
    pub(crate) free_bucket: usize,
}

/// All pages together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    pub(crate) counts: Counts,
    pub(crate) free_pages: u64,
    pub(crate) used_pages: u64,
    /// Bytes of used pages in which nothing lives.
    pub(crate) dead_bytes: u64,
    pub(crate) limit_bytes: u64,
    pub(crate) objects_read: u64,
    pub(crate) bytes_read: u64,
    pub(crate) queued: u64,
}

impl Flash {
    /// Opens the files that the configuration names, and has `cache` tell of what is not needed in them any
    /// more; `None` if it names none.
    pub(crate) fn open(cache: &Cache, config: &Config) -> io::Result<Option<Arc<Self>>> {
        if config.flash.files.is_empty() {
            return Ok(None);
        }
        let flash = Arc::new(Self {
            store: Store::open(&config.flash.files, config.flash.page_bytes)?,
            queue: Queue::default(),
            alarm: Alarm::default(),
            ports: (0..config.threads).map(|_| Arc::default()).collect(),
            events: Events::default(),
        });
        // Of another server's files, if the cache had one before.
        forget_all(cache);
        let told = Arc::clone(&flash);
        cache.watch_locators(move |locator| told.store.leave(locator));
        Ok(Some(flash))
    }

    /// The port of a worker.
    pub(crate) fn port(&self, worker: usize) -> Option<&Arc<Port>> {
        self.ports.get(worker)
    }

    /// An item was evicted: memory is to be made, soon.
    pub(crate) fn note_eviction(&self) {
        self.alarm.raise();
    }

    /// Ends the threads that read and write.
    pub(crate) fn close(&self) {
        self.queue.close();
        self.alarm.close();
    }

    /// Nothing of `cache` is on flash from then on, and nothing is told of it: the files can be another's.
    pub(crate) fn leave(cache: &Arc<Cache>) {
        // If nobody else has the cache it ends with the server.
        if Arc::strong_count(cache) > 1 {
            forget_all(cache);
        }
        cache.watch_locators(|_| ());
        cache.observe_evictions(|_| ());
    }

    pub(crate) fn page_stats(&self) -> Vec<PageStats> {
        let pages = self.store.pages();
        let pages = pages.all().iter().map(|page| PageStats {
            version: page.version,
            live_bytes: page.live_bytes,
            bucket: page.bucket as usize,
            free_bucket: page.free_bucket as usize,
        });
        pages.collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        use std::sync::atomic::Ordering::Relaxed;
        let pages = self.store.pages();
        let count = pages.all().len() as u64;
        let free_pages = u64::from(pages.free_count());
        let (counts, page_bytes) = (pages.counts, self.store.page_bytes());
        drop(pages);
        let used_pages = count - free_pages;
        Totals {
            counts,
            free_pages,
            used_pages,
            dead_bytes: (used_pages * page_bytes).saturating_sub(counts.bytes_used),
            limit_bytes: count * page_bytes,
            objects_read: self.store.objects_read.load(Relaxed),
            bytes_read: self.store.bytes_read.load(Relaxed),
            queued: self.queue.len() as u64,
        }
    }
}

/// The item goes whose value is, or was, at this place.
fn forget(cache: &Cache, key: &[u8], locator: Locator) {
    cache.remove_if(key, |view| view.locator() == Some(locator));
}

fn forget_all(cache: &Cache) {
    cache.retain(|view| view.locator().is_none());
}
