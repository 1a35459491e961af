//! A worker: one event loop over many connections. The only file, with the accepting thread's, that
//! names the poller.
//!
//! ```text
//! readable -> read into the worker's buffer -> Connection -> the worker's output -> write
//!                                                              what the socket refuses is kept
//! ```
//!
//! Buffers belong to the worker, so that an idle connection holds none. Readiness comes as edges: a
//! read that fills less than the buffer has emptied the socket, and needs no second to say so.
//! A connection gets one read a turn; one that has more waits behind the others. Datagrams are
//! answered in udp.rs, encrypted connections read and written in sealed.rs.

mod client;
mod pin;
mod sealed;
mod udp;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use crate::counters::Counter;
use crate::execute::events;
use crate::flash::{Came, Port};
use crate::listener::Stream;
use crate::service::{Service, Shared};
use crate::slices::Slices;
use crate::stats::State;
use client::{Buffers, Client, Turn};
use udp::Datagrams;

/// Bytes that one read takes at most, and so one turn of a connection.
const READ_BYTES: usize = 64 << 10;
/// An output buffer that grew beyond this is given back after use.
const OUTPUT_KEPT_BYTES: usize = 1 << 20;
/// How often a worker looks after the cache.
const TICK: Duration = Duration::from_millis(250);
/// Chunks of the cache that are looked at for expired items in a tick, and between two rounds.
const TICK_CHUNKS: usize = 20_000;
const ROUND_CHUNKS: usize = 1000;
/// How long a stopping server waits for clients to take the replies in flight.
const DRAIN: Duration = Duration::from_secs(5);
/// How long it then waits for them to close, so that nothing they still send resets what they
/// have not read yet.
const LINGER: Duration = Duration::from_secs(1);
/// How often log lines are sent to those who watch.
const WATCH_TICK: Duration = Duration::from_millis(20);
const EVENTS: usize = 1024;
const WAKER: Token = Token(usize::MAX);
/// The first token of UDP sockets: no connection has one so high.
const UDP_TOKENS: usize = usize::MAX / 2;

/// Where the accepting thread leaves connections for a worker.
#[derive(Debug)]
pub(crate) struct Inbox {
    streams: Mutex<Vec<Stream>>,
    waker: Waker,
}

impl Inbox {
    pub(crate) fn put(&self, stream: Stream) {
        self.streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(stream);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("a worker cannot be woken: {error}");
        }
    }

    fn take(&self) -> Vec<Stream> {
        std::mem::take(&mut *self.streams.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One event loop.
pub(crate) struct Worker {
    number: usize,
    shared: Arc<Shared>,
    poll: Poll,
    inbox: Arc<Inbox>,
    clients: Slab<Client>,
    udp: Vec<Datagrams>,
    /// Clients that watch log lines.
    watching: Vec<usize>,
    /// Clients that may have more to do without a new event.
    again: VecDeque<usize>,
    /// Chunks still to be looked at in this tick.
    chunks_left: usize,
    buffers: Buffers,
    /// The long values of the replies of one turn.
    slices: Slices,
    /// Where what is read from flash for its clients comes, if anything is.
    port: Option<Arc<Port>>,
    /// The next output that waits for it.
    serial: u64,
}

impl Worker {
    pub(crate) fn new(number: usize, shared: Arc<Shared>) -> io::Result<(Self, Arc<Inbox>)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let inbox = Arc::new(Inbox {
            streams: Mutex::default(),
            waker,
        });
        let flash = shared.flash.as_ref();
        let port = flash.and_then(|flash| flash.port(number)).cloned();
        if let Some(port) = &port {
            let inbox = Arc::clone(&inbox);
            port.connect(move || inbox.wake());
        }
        let worker = Self {
            number,
            shared,
            port,
            serial: 0,
            poll,
            inbox: Arc::clone(&inbox),
            clients: Slab::new(),
            udp: Vec::new(),
            watching: Vec::new(),
            again: VecDeque::new(),
            chunks_left: 0,
            buffers: Buffers::new(READ_BYTES),
            slices: Slices::default(),
        };
        Ok((worker, inbox))
    }

    /// Takes a UDP socket to serve besides its connections.
    pub(crate) fn add_udp(&mut self, socket: UdpSocket) -> io::Result<()> {
        let token = Token(UDP_TOKENS + self.udp.len());
        let datagrams = Datagrams::new(socket, self.poll.registry(), token)?;
        self.udp.push(datagrams);
        Ok(())
    }

    /// Serves until the server stops, then finishes the replies in flight.
    pub(crate) fn run(mut self) {
        if self.shared.config.pins_workers
            && let Err(error) = pin::pin(self.number)
        {
            log::error!("worker {} runs on any processor: {error}", self.number);
        }
        let mut events = Events::with_capacity(EVENTS);
        let mut next_tick = Instant::now() + TICK;
        while !self.shared.is_stopping() {
            let timeout = if self.chunks_left > 0 {
                Duration::ZERO
            } else {
                next_tick.saturating_duration_since(Instant::now())
            };
            self.wait(&mut events, timeout);
            self.round(&events);
            self.maintain();
            if Instant::now() >= next_tick {
                self.tick();
                next_tick = Instant::now() + TICK;
            }
        }
        self.drain(&mut events);
    }

    /// One worker looks after the cache for all; each after its own idle clients.
    fn tick(&mut self) {
        if self.number == 0 {
            self.chunks_left = TICK_CHUNKS;
        }
        if !self.shared.config.idle_timeout.is_zero() {
            self.close_idle();
        }
    }

    /// A part of this tick's look for expired items: clients are served in between.
    fn maintain(&mut self) {
        if self.chunks_left == 0 {
            return;
        }
        let chunks = self.chunks_left.min(ROUND_CHUNKS);
        let began = Instant::now();
        let done = Service::new(&self.shared, self.number).maintain(chunks);
        if done.examined_count > 0 {
            events::maintained(&self.shared.watchers, began.elapsed(), done);
        }
        self.chunks_left = if done.more_due {
            self.chunks_left - chunks
        } else {
            0
        };
    }

    /// Closes the TCP clients that have said nothing for too long and are owed nothing.
    fn close_idle(&mut self) {
        let now = self.shared.cache.now();
        let idle_max = self.shared.config.idle_timeout;
        for key in self.keys() {
            let is_idle = self.clients.get(key).is_some_and(|client| {
                client.stream.peer.remote().is_some()
                    && client.connection.activity() == State::Command
                    && client.owes_nothing()
                    && client.stream.peer.idle(now) > idle_max
            });
            if is_idle {
                Service::new(&self.shared, self.number).count(Counter::IdleKicks);
                self.close(key, "idle_timeout");
            }
        }
    }

    /// Sends the log lines that wait.
    fn send_watched(&mut self) {
        for key in std::mem::take(&mut self.watching) {
            self.turn(key);
        }
    }

    fn wait(&mut self, events: &mut Events, timeout: Duration) {
        let busy = !self.again.is_empty() || self.udp.iter().any(|udp| udp.is_ready);
        let timeout = match (busy, self.watching.is_empty()) {
            (true, _) => Duration::ZERO,
            (false, true) => timeout,
            (false, false) => timeout.min(WATCH_TICK),
        };
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                // Without a poller nothing can be served: say so and let the rest of the server be.
                log::error!("worker {} cannot poll: {error}", self.number);
                std::thread::sleep(TICK);
            }
            _ => {}
        }
    }

    /// A turn for every client with an event, and for those that had more to do.
    fn round(&mut self, events: &Events) {
        for event in events {
            if event.token() == WAKER {
                self.welcome();
                self.take_fetched();
                continue;
            }
            let key = event.token().0;
            if let Some(datagrams) = key.checked_sub(UDP_TOKENS) {
                if let Some(datagrams) = self.udp.get_mut(datagrams) {
                    datagrams.is_ready = true;
                }
                continue;
            }
            if let Some(client) = self.clients.get_mut(key) {
                client.hangup |= event.is_read_closed() || event.is_error();
                client.readable |= event.is_readable() || client.hangup;
                self.turn(key);
            }
        }
        for _ in 0..self.again.len() {
            if let Some(key) = self.again.pop_front()
                && let Some(client) = self.clients.get_mut(key)
            {
                client.queued = false;
                Service::new(&self.shared, self.number).count(Counter::ConnYields);
                self.turn(key);
            }
        }
        self.send_watched();
        for datagrams in self.udp.iter_mut().filter(|udp| udp.is_ready) {
            let service = Service::new(&self.shared, self.number);
            let Buffers { input, output, .. } = &mut self.buffers;
            datagrams.turn(&service, input, output);
        }
        if self.buffers.output.capacity() > OUTPUT_KEPT_BYTES {
            self.buffers.output = Vec::new();
        }
    }

    fn welcome(&mut self) {
        for mut stream in self.inbox.take() {
            let entry = self.clients.vacant_entry();
            if let Err(error) = stream.register(self.poll.registry(), Token(entry.key())) {
                log::error!("a connection cannot be polled: {error}");
                self.shared.connections.note_closed();
                continue;
            }
            let channel = match (stream.tls, &self.shared.tls) {
                (Some(clients), Some(tls)) => tls.channel(clients).map(Some),
                _ => Ok(None),
            };
            let channel = match channel {
                Ok(channel) => channel,
                Err(error) => {
                    log::error!("a connection cannot be encrypted: {error}");
                    self.shared.connections.note_closed();
                    continue;
                }
            };
            let peer = &stream.peer;
            match peer.remote() {
                Some(remote) => log::info!("{} connected from {remote}", entry.key()),
                None => log::info!("{} connected by the Unix socket", entry.key()),
            }
            events::connected(&self.shared.watchers, peer);
            self.shared.clients.add(peer);
            entry.insert(Client::new(stream, channel));
        }
    }

    /// Hands what was read from flash to the clients that wait for it; those that have all go on.
    fn take_fetched(&mut self) {
        let answers = self.port.as_ref().map(|port| port.take_answers());
        for answer in answers.unwrap_or_default() {
            let service = Service::new(&self.shared, self.number);
            match answer.came {
                Came::Whole => {}
                Came::Recached => service.count(Counter::FlashRecached),
                Came::Missed => service.count(Counter::FlashMisses),
                Came::Damaged => {
                    service.count(Counter::FlashMisses);
                    service.count(Counter::FlashDamaged);
                }
            }
            let key = answer.client;
            let client = self.clients.get_mut(key);
            if client.is_some_and(|client| client.take_fetched(&service, answer)) {
                self.turn(key);
            }
        }
    }

    /// Asks for what the reply that a client has been left with lacks.
    #[cold]
    fn fetch(&mut self, key: usize) {
        let (Some(flash), Some(port)) = (&self.shared.flash, &self.port) else {
            return;
        };
        if let Some(client) = self.clients.get_mut(key)
            && let Some(deferred) = client.begin_waiting(self.serial)
        {
            flash.fetch(port, key, self.serial, deferred.wanted());
            self.serial += 1;
        }
    }

    fn turn(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let mut service =
            Service::new(&self.shared, self.number).for_client(client.stream.peer.fd());
        // Records, and output that waits for flash, are written as a whole.
        if client.tls.is_none() && self.port.is_none() {
            service = service.slicing(&self.slices);
        }
        let mut reason = "normal";
        let turn = client
            .turn(&service, &mut self.buffers)
            .unwrap_or_else(|error| {
                log::info!("{key} failed: {error}");
                reason = "error";
                Turn::Close
            });
        if client.connection.is_refused() {
            reason = "error";
        }
        let state = client.state();
        client.stream.peer.note_state(state);
        match turn {
            Turn::Wait if state == State::Watch && !self.watching.contains(&key) => {
                self.watching.push(key);
            }
            Turn::Wait => {}
            Turn::Again if client.queued => {}
            Turn::Again => {
                client.queued = true;
                self.again.push_back(key);
            }
            Turn::Close => self.close(key, reason),
        }
        if self.port.is_some() {
            self.fetch(key);
        }
    }

    fn close(&mut self, key: usize, reason: &str) {
        self.watching.retain(|&watching| watching != key);
        let client = self.clients.remove(key);
        self.shared.clients.remove(&client.stream.peer);
        events::disconnected(&self.shared.watchers, &client.stream.peer, reason);
        client.release(&Service::new(&self.shared, self.number));
        self.shared.connections.note_closed();
        log::info!("{key} closed");
    }

    /// The clients of this moment, to be changed while they are walked.
    fn keys(&self) -> Vec<usize> {
        self.clients.iter().map(|(key, _)| key).collect()
    }

    /// Answers what has arrived, waits for the clients to take it, and closes them all.
    fn drain(&mut self, events: &mut Events) {
        self.welcome();
        let deadline = Instant::now() + DRAIN;
        for key in self.keys() {
            // What arrived before the stop is answered, whether or not its event was seen.
            if let Some(client) = self.clients.get_mut(key) {
                client.readable = true;
                self.turn(key);
            }
        }
        let mut idle_since = None;
        while !self.clients.is_empty() && Instant::now() < deadline {
            for key in self.keys() {
                if self
                    .clients
                    .get_mut(key)
                    .is_some_and(|client| client.finish_if_idle())
                {
                    self.close(key, "shutdown");
                }
            }
            let all_finished = self.clients.iter().all(|(_, client)| client.finished);
            if all_finished && idle_since.get_or_insert_with(Instant::now).elapsed() > LINGER {
                break;
            }
            self.wait(events, Duration::from_millis(20));
            self.round(events);
        }
        for key in self.keys() {
            self.close(key, "shutdown");
        }
    }
}
