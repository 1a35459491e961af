//! What a connection needs to know of the server that it is part of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use larder::{Cache, Timestamp};

use crate::config::Config;
use crate::counters::{Counter, Counters};

/// The state that listener, workers and their connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cache: Arc<Cache>,
    pub(crate) config: Config,
    pub(crate) started: Timestamp,
    /// One set of counters for each worker.
    pub(crate) workers: Box<[CachePadded<Counters>]>,
    pub(crate) connections: Connections,
    /// Bytes that connections hold of unfinished requests and untaken replies.
    pub(crate) buffered_bytes: AtomicUsize,
    /// Set once, when the server is to finish what it has begun and end.
    pub(crate) stopping: AtomicBool,
}

/// Connections of the whole server.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) open: AtomicUsize,
    pub(crate) opened: AtomicU64,
    pub(crate) rejected: AtomicU64,
    /// Times that accepting stopped for want of file descriptors or at the limit.
    pub(crate) paused: AtomicU64,
    /// For how long it has, those that have ended.
    pub(crate) paused_micros: AtomicU64,
    pub(crate) is_paused: AtomicBool,
}

impl Shared {
    pub(crate) fn new(cache: Arc<Cache>, config: Config) -> Self {
        Self {
            started: cache.now(),
            workers: (0..config.threads)
                .map(|_| CachePadded::default())
                .collect(),
            cache,
            config,
            connections: Connections::default(),
            buffered_bytes: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// The sum of a counter over the workers.
    pub(crate) fn sum(&self, counter: Counter) -> u64 {
        self.workers
            .iter()
            .map(|counters| counters.get(counter))
            .sum()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// The server as one worker's connections see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) cache: &'a Cache,
    pub(crate) counters: &'a Counters,
    pub(crate) item_bytes_max: usize,
    pub(crate) started: Timestamp,
}

impl<'a> Service<'a> {
    /// The service of worker `number`.
    pub(crate) fn new(shared: &'a Shared, number: usize) -> Self {
        Self {
            shared,
            cache: &shared.cache,
            counters: shared
                .workers
                .get(number)
                .expect("one set of counters for each worker"),
            item_bytes_max: shared.config.item_bytes_max,
            started: shared.started,
        }
    }

    /// Counts a connection's buffers: `held` is what was counted before, and becomes `bytes`.
    pub(crate) fn hold(&self, held: &mut usize, bytes: usize) {
        let total = &self.shared.buffered_bytes;
        if bytes > *held {
            total.fetch_add(bytes - *held, Ordering::Relaxed);
        } else if bytes < *held {
            total.fetch_sub(*held - bytes, Ordering::Relaxed);
        }
        *held = bytes;
    }

    /// Whether connections hold more than they may together.
    pub(crate) fn buffers_are_full(&self) -> bool {
        let held = self.shared.buffered_bytes.load(Ordering::Relaxed);
        held > self.shared.config.buffer_bytes_max
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.counters.add(counter, 1);
    }
}
