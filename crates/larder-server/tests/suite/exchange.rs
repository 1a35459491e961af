//! A session over a small cache with a clock that moves on demand, driven as a socket would.

use std::sync::Arc;
use std::time::Duration;

use larder::ManualClock;
use larder_server::{Config, Next, Session};

/// A session and all that it has answered since it was last asked.
pub(crate) struct Exchange {
    session: Session,
    clock: ManualClock,
    output: Vec<u8>,
    closed: bool,
}

impl Exchange {
    /// One shard, so that cas uniques are the same in every run.
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// With another configuration.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let clock = ManualClock::default();
        let mut config = Config::default();
        change(&mut config);
        let cache = larder_server::cache_builder(8 << 20, &config)
            .shards(1)
            .clock(clock.clone());
        let session = Session::new(Arc::new(cache.build().unwrap()), config);
        Self {
            session,
            clock,
            output: Vec::new(),
            closed: false,
        }
    }

    /// Sends `bytes`; as on a socket, what comes after a close is lost.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        let mut output = Vec::new();
        let mut next = self.session.receive(bytes, &mut output);
        self.output.append(&mut output);
        while next == Next::Drain {
            next = self.session.resume(&mut output);
            self.output.append(&mut output);
        }
        self.closed = next == Next::Close;
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// What was answered since the last call, and whether the connection was closed.
    pub(crate) fn answer(&mut self) -> (Vec<u8>, bool) {
        (std::mem::take(&mut self.output), self.closed)
    }
}
