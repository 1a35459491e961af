//! The accepting thread: takes connections within the limit and hands them to the workers in turn.
//!
//! Beyond the limit a connection is told so and closed (an encrypted one is only closed), or, if the configuration says so, left in
//! the backlog until another closes.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::{Listener, Stream};
use crate::protocol::reply;
use crate::service::Shared;
use crate::worker::Inbox;

/// Pause before accepting again after the system ran out of descriptors or memory, or while as many
/// connections are open as may be.
const PAUSE: Duration = Duration::from_millis(10);
const WAKER: Token = Token(usize::MAX);

/// The accepting thread's state.
pub(crate) struct Acceptor {
    poll: Poll,
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    inboxes: Vec<Arc<Inbox>>,
    next_worker: usize,
    /// Since when nothing is accepted: the system refused, or the limit is reached.
    paused_since: Option<Instant>,
}

impl Acceptor {
    pub(crate) fn new(
        listeners: Vec<Listener>,
        shared: Arc<Shared>,
        inboxes: Vec<Arc<Inbox>>,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut acceptor = Self {
            poll,
            listeners,
            shared,
            inboxes,
            next_worker: 0,
            paused_since: None,
        };
        for (number, listener) in acceptor.listeners.iter_mut().enumerate() {
            listener.register(acceptor.poll.registry(), Token(number))?;
        }
        Ok((acceptor, waker))
    }

    /// Accepts until the server stops.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        while !self.shared.is_stopping() {
            let timeout = self.paused_since.map(|_| PAUSE);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    log::error!("accepting ends, the poller failed: {error}");
                    return;
                }
                _ => {}
            }
            // Every listener each time: with edges, one that was left over in a pause shows no
            // event of its own again.
            if (0..self.listeners.len()).all(|number| self.accept_all(number)) {
                self.go_on();
            }
        }
    }

    /// Accepts what waits on one listener; false if it must be tried again later.
    fn accept_all(&mut self, number: usize) -> bool {
        loop {
            if !self.shared.config.refuses_connections && self.is_full() {
                self.pause("the connection limit is reached");
                return false;
            }
            let Some(listener) = self.listeners.get(number) else {
                return true;
            };
            match listener.accept(self.shared.cache.now()) {
                Ok(stream) => {
                    let next = self.next_worker;
                    self.next_worker = (next + 1) % self.inboxes.len();
                    self.admit(stream, next);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return true,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => {
                        self.pause(&error.to_string());
                        return false;
                    }
                },
            }
        }
    }

    fn is_full(&self) -> bool {
        let open = self.shared.connections.open.load(Ordering::Relaxed);
        open >= self.shared.config.connections_max
    }

    fn pause(&mut self, why: &str) {
        if self.paused_since.is_none() {
            self.paused_since = Some(Instant::now());
            let connections = &self.shared.connections;
            connections.paused.fetch_add(1, Ordering::Relaxed);
            connections.is_paused.store(true, Ordering::Relaxed);
            log::warn!("accepting pauses: {why}");
        }
    }

    fn go_on(&mut self) {
        if let Some(since) = self.paused_since.take() {
            let connections = &self.shared.connections;
            let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            connections
                .paused_micros
                .fetch_add(micros, Ordering::Relaxed);
            connections.is_paused.store(false, Ordering::Relaxed);
        }
    }

    fn admit(&self, mut stream: Stream, worker: usize) {
        let connections = &self.shared.connections;
        connections.opened.fetch_add(1, Ordering::Relaxed);
        if connections.open.fetch_add(1, Ordering::Relaxed) >= self.shared.config.connections_max {
            connections.note_closed();
            connections.rejected.fetch_add(1, Ordering::Relaxed);
            // Best effort: the socket's buffer is empty, so that the line fits it. Who waits for a handshake
            // could not read it.
            if stream.tls.is_none() {
                let _ = stream.write(reply::TOO_MANY_CONNECTIONS.as_bytes());
            }
            return;
        }
        if let Some(inbox) = self.inboxes.get(worker) {
            inbox.put(stream);
        }
    }
}
