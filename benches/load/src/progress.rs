//! The line that shows that something is going on: on a terminal, once a second, over itself.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::phase::Live;
use crate::report::grouped;

const EVERY_NANOS: u64 = 1_000_000_000;

/// Shows progress, and knows whether the user has had enough.
#[derive(Debug, Default)]
pub struct Ticker {
    shows: bool,
    interrupted: Arc<AtomicBool>,
    /// What goes before every line, such as the round.
    label: String,
    last: Cell<Last>,
}

/// What was there when the line was last written.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    nanos: u64,
    requests: u64,
    is_shown: bool,
}

impl Ticker {
    /// Shows nothing where stderr is no terminal, or if `is_quiet`.
    #[must_use]
    pub fn new(is_quiet: bool, interrupted: Arc<AtomicBool>) -> Self {
        Self {
            shows: !is_quiet && std::io::stderr().is_terminal(),
            interrupted,
            ..Self::default()
        }
    }

    /// With another label before the line.
    #[must_use]
    pub fn labelled(&self, label: String) -> Self {
        Self {
            shows: self.shows,
            interrupted: Arc::clone(&self.interrupted),
            label,
            last: Cell::default(),
        }
    }

    /// Whether the user wants it to end.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    pub(crate) fn show(&self, what: &str, elapsed_nanos: u64, lives: &[Arc<Live>]) {
        let last = self.last.get();
        if !self.shows || elapsed_nanos < last.nanos + EVERY_NANOS {
            return;
        }
        let sum = |of: fn(&Live) -> u64| lives.iter().map(|live| of(live)).sum::<u64>();
        let requests = sum(|live| live.requests.load(Ordering::Relaxed));
        let misses = sum(|live| live.misses.load(Ordering::Relaxed));
        let refused = sum(|live| live.refused.load(Ordering::Relaxed));
        let rate = requests.saturating_sub(last.requests) as f64 * 1e9
            / (elapsed_nanos - last.nanos) as f64;
        let line = format!(
            "\r\x1b[K{}{what}: {} s, {} requests/s, {} in all, {} misses, {} refused",
            self.label,
            elapsed_nanos / EVERY_NANOS,
            grouped(rate),
            grouped(requests as f64),
            grouped(misses as f64),
            grouped(refused as f64),
        );
        self.write(&line);
        self.last.set(Last {
            nanos: elapsed_nanos,
            requests,
            is_shown: true,
        });
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if self.last.take().is_shown {
            self.write("\r\x1b[K");
        }
    }

    /// A terminal that is gone is no reason to stop.
    fn write(&self, text: &str) {
        debug_assert!(self.shows);
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes());
        let _ = stderr.flush();
    }
}
