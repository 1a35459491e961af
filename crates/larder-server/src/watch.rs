//! `watch`: log lines of what happens, to connections that asked for them.
//!
//! ```text
//! event -> is anybody watching? -> line -> buffer of each watcher -> its worker sends, every few ms
//! ```
//!
//! Without a watcher an event costs one look at a flag. A watcher that does not read loses lines and is
//! told how many. Publishing takes one lock, the watchers', and is done under a shard's lock where an
//! eviction is the event: nothing here calls the cache.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::protocol::admin::Streams;
use crate::protocol::log;

/// Connections that may watch at a time.
const WATCHERS_MAX: usize = 20;

/// All watchers of a server.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// Streams that any of them wants.
    wanted: AtomicU16,
    list: Mutex<List>,
    pub(crate) written: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) skipped: AtomicU64,
}

#[derive(Debug, Default)]
struct List {
    all: Vec<Arc<Watcher>>,
    /// Number of the last line.
    gid: u64,
}

/// One connection that watches.
#[derive(Debug)]
pub(crate) struct Watcher {
    streams: Streams,
    bytes_max: usize,
    buffer: Mutex<Buffer>,
}

/// Lines that the connection has not taken yet.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Lines lost since the last that fitted.
    skipped: u64,
}

impl Watchers {
    /// Adds a watcher; `None` if there are too many.
    pub(crate) fn add(&self, streams: Streams, bytes_max: usize) -> Option<Arc<Watcher>> {
        let mut list = self.lock();
        if list.all.len() >= WATCHERS_MAX {
            return None;
        }
        let watcher = Arc::new(Watcher {
            streams,
            bytes_max,
            buffer: Mutex::default(),
        });
        list.all.push(Arc::clone(&watcher));
        self.note_wanted(&list);
        Some(watcher)
    }

    pub(crate) fn remove(&self, watcher: &Arc<Watcher>) {
        let mut list = self.lock();
        list.all.retain(|other| !Arc::ptr_eq(other, watcher));
        self.note_wanted(&list);
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// Whether somebody watches this stream.
    #[inline]
    pub(crate) fn want(&self, stream: Streams) -> bool {
        Streams::from_bits(self.wanted.load(Relaxed)).has(stream)
    }

    /// Hands the line that `write` makes to everybody who watches `stream`. Out of the way of those who
    /// asked first whether anybody does.
    #[cold]
    #[inline(never)]
    pub(crate) fn publish(&self, stream: Streams, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.want(stream) {
            return;
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut list = self.lock();
        list.gid += 1;
        let mut line = Vec::new();
        log::start(&mut line, since.as_secs(), since.subsec_micros(), list.gid);
        write(&mut line);
        line.push(b'\n');
        self.written.fetch_add(1, Relaxed);
        for watcher in list.all.iter().filter(|one| one.streams.has(stream)) {
            let taken = watcher.put(&line);
            let counter = if taken { &self.sent } else { &self.skipped };
            counter.fetch_add(1, Relaxed);
        }
    }

    fn note_wanted(&self, list: &List) {
        let all = list.all.iter();
        let wanted = all.fold(0, |bits, watcher| bits | watcher.streams.bits());
        self.wanted.store(wanted, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Moves the lines that wait to `output`.
    pub(crate) fn take(&self, output: &mut Vec<u8>) {
        output.append(&mut self.lock().bytes);
    }

    /// Whether the line found room.
    fn put(&self, line: &[u8]) -> bool {
        let mut buffer = self.lock();
        if buffer.bytes.len() + line.len() + log::SKIPPED_BYTES_MAX > self.bytes_max {
            buffer.skipped += 1;
            return false;
        }
        let skipped = std::mem::take(&mut buffer.skipped);
        if skipped > 0 {
            log::skipped(&mut buffer.bytes, skipped);
        }
        buffer.bytes.extend_from_slice(line);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(watcher: &Watcher) -> String {
        let mut output = Vec::new();
        watcher.take(&mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn lines_go_to_those_who_watch_their_stream() {
        let watchers = Watchers::default();
        let mut written = false;
        watchers.publish(Streams::FETCHERS, |_| written = true);
        assert!(!written, "nobody watches");
        let first = watchers.add(Streams::FETCHERS, 1000).unwrap();
        let second = watchers.add(Streams::EVICTIONS, 1000).unwrap();
        watchers.publish(Streams::FETCHERS, |line| line.extend(b"one"));
        watchers.publish(Streams::EVICTIONS, |line| line.extend(b"two"));
        let line = text(&first);
        assert!(
            line.starts_with("ts=") && line.ends_with(" gid=1 type=one\n"),
            "{line}"
        );
        assert!(text(&second).ends_with(" gid=2 type=two\n"));
        assert_eq!(text(&first), "");
        watchers.remove(&first);
        assert!(!watchers.want(Streams::FETCHERS) && watchers.want(Streams::EVICTIONS));
    }

    #[test]
    fn a_watcher_that_does_not_read_is_told_what_it_lost() {
        let watchers = Watchers::default();
        let watcher = watchers.add(Streams::FETCHERS, 150).unwrap();
        for _ in 0..10 {
            watchers.publish(Streams::FETCHERS, |line| line.extend(b"line"));
        }
        let kept = text(&watcher);
        let lines = kept.lines().count();
        assert!((1..10).contains(&lines), "{kept}");
        watchers.publish(Streams::FETCHERS, |line| line.extend(b"line"));
        let lost = format!("skipped={}\n", 10 - lines);
        assert!(text(&watcher).starts_with(&lost));
        assert_eq!(watchers.skipped.load(Relaxed), 10 - lines as u64);
    }

    #[test]
    fn the_number_of_watchers_is_bounded() {
        let watchers = Watchers::default();
        let all: Vec<_> = (0..WATCHERS_MAX)
            .map(|_| watchers.add(Streams::NONE, 1).unwrap())
            .collect();
        assert!(watchers.add(Streams::NONE, 1).is_none());
        watchers.remove(&all[0]);
        assert!(watchers.add(Streams::NONE, 1).is_some());
    }
}
