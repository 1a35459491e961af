//! What a connection needs to know of the server that it is part of.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;
use larder::{Cache, CasToken, ItemView, Timestamp};

use crate::auth::Auth;
use crate::config::{Config, Knobs};
use crate::connection::{Abandoned, OUTPUT_BYTES_HIGH};
use crate::counters::{CLASS_COUNTERS, Counter, Counters, OfClass};
use crate::execute::events;
use crate::flash::{Flash, Port};
use crate::slices::{LongValue, Slices};
use crate::stats::{Baseline, Clients, Prefixes};
use crate::tls::Endpoint;
use crate::watch::Watchers;

/// The state that listener, workers and their connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cache: Arc<Cache>,
    pub(crate) config: Config,
    /// Who may connect; everybody if none.
    pub(crate) auth: Option<Auth>,
    /// What TLS connections begin with; none without TLS.
    pub(crate) tls: Option<Endpoint>,
    pub(crate) started: Timestamp,
    /// One set of counters for each worker.
    pub(crate) workers: Box<[CachePadded<Counters>]>,
    pub(crate) connections: Connections,
    /// Bytes that connections hold of unfinished requests and untaken replies.
    pub(crate) buffered_bytes: AtomicUsize,
    /// Bytes of the values that are being filled in the cache's memory.
    pub(crate) uploading_bytes: AtomicUsize,
    /// Those of them that will never be whole.
    pub(crate) abandoned: Abandoned,
    pub(crate) clients: Clients,
    pub(crate) prefixes: Prefixes,
    pub(crate) watchers: Arc<Watchers>,
    /// Values that are not in the cache.
    pub(crate) flash: Option<Arc<Flash>>,
    /// The level that `stats settings` shows: what `verbosity` last said.
    pub(crate) verbosity: AtomicU32,
    /// Walks over all items that are under way.
    pub(crate) walks: AtomicU64,
    knobs: Mutex<Knobs>,
    baseline: Mutex<Baseline>,
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

impl Connections {
    /// One of the open ones has gone.
    pub(crate) fn note_closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(
        cache: Arc<Cache>,
        config: Config,
        auth: Option<Auth>,
        tls: Option<Endpoint>,
        flash: Option<Arc<Flash>>,
    ) -> Self {
        let watchers = Arc::new(Watchers::default());
        let told = Arc::clone(&watchers);
        match flash.clone() {
            None => cache.observe_evictions(move |view| events::evicted(&told, &view)),
            Some(flash) => cache.observe_evictions(move |view| {
                flash.note_eviction();
                events::evicted(&told, &view);
            }),
        }
        Self {
            auth,
            tls,
            started: cache.now(),
            workers: (0..config.threads)
                .map(|_| CachePadded::new(Counters::new(cache.class_count())))
                .collect(),
            cache,
            connections: Connections::default(),
            buffered_bytes: AtomicUsize::new(0),
            uploading_bytes: AtomicUsize::new(0),
            abandoned: Abandoned::default(),
            clients: Clients::default(),
            prefixes: Prefixes::new(config.prefix_delimiter, config.counts_prefixes),
            watchers,
            flash,
            verbosity: AtomicU32::new(config.verbosity),
            walks: AtomicU64::new(0),
            knobs: Mutex::new(config.knobs.clone()),
            baseline: Mutex::default(),
            config,
            stopping: AtomicBool::new(false),
        }
    }

    /// The sum over the workers of the counter with this number.
    pub(crate) fn sum_of(&self, counter: usize) -> u64 {
        let each = self.workers.iter().map(|counters| counters.get(counter));
        each.sum()
    }

    /// The sums over the workers of what is counted for a size class of the engine.
    pub(crate) fn sums_of_class(&self, class: usize) -> [u64; CLASS_COUNTERS] {
        let mut sums = [0; CLASS_COUNTERS];
        for counters in &self.workers {
            for (sum, counted) in sums.iter_mut().zip(counters.of_class(class)) {
                *sum += counted;
            }
        }
        sums
    }

    /// The settings without an effect, as they stand now.
    pub(crate) fn knobs(&self) -> Knobs {
        let knobs = self.knobs.lock().unwrap_or_else(PoisonError::into_inner);
        knobs.clone()
    }

    pub(crate) fn change_knobs(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.knobs.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What counters had come to when they were last reset.
    pub(crate) fn baseline(&self) -> Baseline {
        let baseline = self.baseline.lock().unwrap_or_else(PoisonError::into_inner);
        baseline.clone()
    }

    /// Begins every counter again.
    pub(crate) fn reset_counters(&self) {
        let now = Baseline::take(self);
        *self.baseline.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.prefixes.clear();
    }

    /// Reads the password file that the configuration names; `None` if clients need no password.
    pub(crate) fn load_auth(config: &Config) -> io::Result<Option<Auth>> {
        match &config.auth_file {
            Some(path) => Auth::load(path).map(Some),
            None if config.sasl => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "SASL needs a password file: that of -Y, or of MEMCACHED_SASL_PWDB",
            )),
            None => Ok(None),
        }
    }

    /// Reads the files that the configuration names for TLS; `None` if it is not enabled.
    pub(crate) fn load_tls(cache: &Cache, config: &Config) -> io::Result<Option<Endpoint>> {
        if !config.tls.enabled {
            return Ok(None);
        }
        let credentials = config.tls.credentials()?;
        Ok(Some(Endpoint::new(&config.tls, credentials, cache.now())))
    }

    /// Reads certificates and keys again; the error is a line, and in the log. What cannot be read
    /// stays as it was.
    pub(crate) fn reload_tls(&self) -> Result<(), String> {
        let Some(tls) = &self.tls else {
            return Err("Error TLS not enabled".to_owned());
        };
        let reloaded = tls.reload(self.cache.now());
        reloaded.inspect_err(|why| log::error!("the old certificates stay: {why}"))
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
    /// The descriptor of the connection that is served, or -1: log lines name it.
    pub(crate) fd: i32,
    /// The worker's port to values on flash, if there are any.
    pub(crate) port: Option<&'a Port>,
    /// Where long values of replies go, if they are not to be copied.
    slices: Option<&'a Slices>,
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
            fd: -1,
            port: shared
                .flash
                .as_ref()
                .and_then(|flash| flash.port(number))
                .map(|port| &**port),
            slices: None,
        }
    }

    /// The same for replies whose long values go to `slices`, in their places.
    pub(crate) const fn slicing(mut self, slices: &'a Slices) -> Self {
        self.slices = Some(slices);
        self
    }

    /// The same for replies that are written while something is locked: every value is copied.
    pub(crate) const fn copying(mut self) -> Self {
        self.slices = None;
        self
    }

    /// The same for the connection with this descriptor.
    pub(crate) const fn for_client(mut self, fd: i32) -> Self {
        self.fd = fd;
        self
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

    /// Whether the output of a connection is enough for one go, with the values that it still lacks.
    #[inline]
    pub(crate) fn is_enough(&self, output: &[u8]) -> bool {
        let sliced_bytes = self.slices.map_or(0, Slices::bytes);
        output.len() + sliced_bytes >= OUTPUT_BYTES_HIGH
            || self.port.is_some_and(|port| lacks_much(port, output))
    }

    /// Whether the value is one that is not copied.
    #[inline]
    pub(crate) fn slices(&self, value: &[u8]) -> bool {
        self.slices.is_some() && Slices::is_long(value)
    }

    /// Appends the value of an item that is being shown: as a copy or, if it is long, as the item itself.
    #[inline]
    pub(crate) fn append_value(&self, output: &mut Vec<u8>, view: &ItemView<'_>) {
        let value = view.value();
        let is_sliced = Slices::is_long(value)
            && self
                .slices
                .is_some_and(|slices| slices.add(self.cache, view, output.len()));
        if !is_sliced {
            output.extend_from_slice(value);
        }
    }

    /// Takes back what was appended to an output behind its first `bytes`.
    pub(crate) fn truncate(&self, output: &mut Vec<u8>, bytes: usize) {
        output.truncate(bytes);
        if let Some(slices) = self.slices {
            slices.truncate(bytes);
        }
    }

    /// The long values of the output that is to be sent.
    #[inline]
    pub(crate) fn take_slices(&self) -> Option<Vec<LongValue>> {
        let slices = self.slices.filter(|slices| slices.bytes() > 0);
        slices.map(Slices::take)
    }

    /// The number that clients see of a token: 0 if they are to see none.
    pub(crate) const fn shown(&self, token: CasToken) -> u64 {
        if self.shared.config.cas {
            token.to_u64()
        } else {
            0
        }
    }

    /// The token that a client compares with: one that no item has, if it can know none.
    pub(crate) const fn compared(&self, number: u64) -> CasToken {
        CasToken::from_u64(if self.shared.config.cas { number } else { 0 })
    }

    /// The token that a client chooses for an item, if it may.
    pub(crate) fn chosen(&self, number: Option<u64>) -> Option<CasToken> {
        number
            .filter(|_| self.shared.config.cas)
            .map(CasToken::from_u64)
    }

    /// Looks for expired items, and counts what that came to.
    pub(crate) fn maintain(&self, chunks_max: usize) -> larder::Maintained {
        let done = self.cache.maintain(chunks_max);
        let (checked, reclaimed) = (done.examined_count as u64, done.expired_count as u64);
        self.counters.add(Counter::CrawlerChecked, checked);
        self.counters.add(Counter::CrawlerReclaimed, reclaimed);
        done
    }

    /// Requests that a connection may execute in one turn.
    pub(crate) fn requests_per_turn(&self) -> usize {
        self.shared.config.requests_per_turn.max(1) as usize
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.counters.add(counter, 1);
    }

    /// Counts something about an item of a size class of the engine.
    pub(crate) fn count_of_class(&self, class: usize, counter: OfClass) {
        self.counters.count_of_class(class, counter);
    }
}

/// Whether the values that the output lacks make it enough.
#[cold]
fn lacks_much(port: &Port, output: &[u8]) -> bool {
    output.len() + port.hole_bytes() >= OUTPUT_BYTES_HIGH
}
