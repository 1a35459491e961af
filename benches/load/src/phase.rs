//! What a thread of load is told, and what it tells back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use crate::content::Content;
use crate::schedule::Schedule;
use crate::source::Source;
use crate::tally::Tally;

/// Nanoseconds since the start of the run, the same for all threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_nanos(self) -> u64 {
        let elapsed = self.0.elapsed();
        elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos())
    }
}

/// What a thread shows while it runs.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) requests: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// What all phases of a thread have in common.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) content: Arc<Content>,
    pub(crate) clock: Clock,
    /// How long a server may be silent.
    pub(crate) timeout: Duration,
    /// Whether to look for events without sleeping.
    pub(crate) spins: bool,
    /// Whether missed keys are stored.
    pub(crate) fills_misses: bool,
    /// Some thread has failed, or the user has had enough: all stop.
    pub(crate) stops: Arc<AtomicBool>,
}

/// When requests are sent.
#[derive(Debug)]
pub(crate) enum Pace {
    /// When a reply has made room.
    Closed,
    /// When their time has come.
    Open(Schedule),
}

/// What a thread is to do.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) source: Source,
    pub(crate) pace: Pace,
    /// Requests in flight on a connection at the most.
    pub(crate) pipeline: usize,
    /// Keys of a get.
    pub(crate) multi_get: usize,
    /// Nothing is sent before it.
    pub(crate) start_nanos: u64,
    /// Requests that were to be sent before it are not counted.
    pub(crate) measure_from_nanos: u64,
    /// Nothing is sent after it.
    pub(crate) end_nanos: u64,
    /// Length of the slices in which latencies are counted besides.
    pub(crate) interval: Option<Duration>,
    /// How many requests are counted at the most.
    pub(crate) requests_max: u64,
}

/// What a thread did in a phase.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) tally: Tally,
    /// From the start of counting to the last answer.
    pub(crate) elapsed_nanos: u64,
    /// Cpu time of this thread in it.
    pub(crate) cpu_nanos: u64,
    /// How long this thread waited for a cpu in it.
    pub(crate) waited_nanos: u64,
    /// Requests of an open loop whose time had come, but that were not sent before the end.
    pub(crate) unsent: u64,
}
