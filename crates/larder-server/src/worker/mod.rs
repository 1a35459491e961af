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
//! answered in udp.rs.

mod udp;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use crate::connection::{Connection, Next};
use crate::counters::Counter;
use crate::listener::Stream;
use crate::service::{Service, Shared};
use udp::Datagrams;

/// Bytes that one read takes at most, and so one turn of a connection.
const READ_BYTES: usize = 64 << 10;
/// An output buffer that grew beyond this is given back after use.
const OUTPUT_KEPT_BYTES: usize = 1 << 20;
/// How often a worker looks after the cache: expired items, at most this many chunks a time.
const TICK: Duration = Duration::from_millis(250);
const TICK_CHUNKS: usize = 20_000;
/// How long a stopping server waits for clients to take the replies in flight.
const DRAIN: Duration = Duration::from_secs(5);
/// How long it then waits for them to close, so that nothing they still send resets what they
/// have not read yet.
const LINGER: Duration = Duration::from_secs(1);
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
    /// Clients that may have more to do without a new event.
    again: VecDeque<usize>,
    input: Box<[u8]>,
    output: Vec<u8>,
}

/// A connection with its socket.
#[derive(Debug)]
struct Client {
    stream: Stream,
    connection: Connection,
    /// Output that the socket has not taken yet, and how much of it it has.
    unsent: Vec<u8>,
    sent_bytes: usize,
    /// Bytes of `unsent` that the server has counted.
    held_bytes: usize,
    next: Next,
    /// The socket may have bytes to read.
    readable: bool,
    /// In `Worker::again`.
    queued: bool,
    /// The client has said that it will send no more; what it sent may still be unread.
    hangup: bool,
    /// Everything that the client sent has been read, and it will send no more.
    eof: bool,
    /// Said that it will send no more; only waits for the client to do the same.
    finished: bool,
}

/// What became of a client in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Waits for an event.
    Wait,
    /// Has more to do.
    Again,
    /// Is to be closed.
    Close,
}

impl Worker {
    pub(crate) fn new(number: usize, shared: Arc<Shared>) -> io::Result<(Self, Arc<Inbox>)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let inbox = Arc::new(Inbox {
            streams: Mutex::default(),
            waker,
        });
        let worker = Self {
            number,
            shared,
            poll,
            inbox: Arc::clone(&inbox),
            clients: Slab::new(),
            udp: Vec::new(),
            again: VecDeque::new(),
            input: vec![0; READ_BYTES].into_boxed_slice(),
            output: Vec::new(),
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
        let mut events = Events::with_capacity(EVENTS);
        let mut next_tick = Instant::now() + TICK;
        while !self.shared.is_stopping() {
            self.wait(
                &mut events,
                next_tick.saturating_duration_since(Instant::now()),
            );
            self.round(&events);
            if Instant::now() >= next_tick {
                self.tick();
                next_tick = Instant::now() + TICK;
            }
        }
        self.drain(&mut events);
    }

    /// One worker looks after the cache for all.
    fn tick(&self) {
        if self.number == 0 {
            self.shared.cache.maintain(TICK_CHUNKS);
        }
    }

    fn wait(&mut self, events: &mut Events, timeout: Duration) {
        let busy = !self.again.is_empty() || self.udp.iter().any(|udp| udp.is_ready);
        let timeout = if busy { Duration::ZERO } else { timeout };
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
        for datagrams in self.udp.iter_mut().filter(|udp| udp.is_ready) {
            let service = Service::new(&self.shared, self.number);
            datagrams.turn(&service, &mut self.input, &mut self.output);
        }
        if self.output.capacity() > OUTPUT_KEPT_BYTES {
            self.output = Vec::new();
        }
    }

    fn welcome(&mut self) {
        for mut stream in self.inbox.take() {
            let entry = self.clients.vacant_entry();
            if let Err(error) = stream.register(self.poll.registry(), Token(entry.key())) {
                log::error!("a connection cannot be polled: {error}");
                self.shared
                    .connections
                    .open
                    .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                continue;
            }
            match stream.peer {
                Some(peer) => log::info!("{} connected from {peer}", entry.key()),
                None => log::info!("{} connected by the Unix socket", entry.key()),
            }
            entry.insert(Client::new(stream));
        }
    }

    fn turn(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let service = Service::new(&self.shared, self.number);
        let turn = client
            .turn(&service, &mut self.input, &mut self.output)
            .unwrap_or_else(|error| {
                log::info!("{key} failed: {error}");
                Turn::Close
            });
        match turn {
            Turn::Wait => {}
            Turn::Again if client.queued => {}
            Turn::Again => {
                client.queued = true;
                self.again.push_back(key);
            }
            Turn::Close => self.close(key),
        }
    }

    fn close(&mut self, key: usize) {
        self.clients
            .remove(key)
            .release(&Service::new(&self.shared, self.number));
        self.shared
            .connections
            .open
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
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
                    self.close(key);
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
            self.close(key);
        }
    }
}

impl Client {
    fn new(stream: Stream) -> Self {
        Self {
            connection: Connection::new(stream.protocol),
            stream,
            unsent: Vec::new(),
            sent_bytes: 0,
            held_bytes: 0,
            next: Next::Input,
            readable: false,
            queued: false,
            hangup: false,
            eof: false,
            finished: false,
        }
    }

    /// Sends, resumes and reads as far as one turn goes.
    fn turn(
        &mut self,
        service: &Service<'_>,
        input: &mut [u8],
        output: &mut Vec<u8>,
    ) -> io::Result<Turn> {
        if !self.unsent.is_empty() && !self.send_unsent(service)? {
            return Ok(Turn::Wait);
        }
        if self.next == Next::Drain {
            output.clear();
            self.next = self.connection.resume(service, output);
            self.send(service, output)?;
            return Ok(self.after_sending());
        }
        if self.next == Next::Close {
            return Ok(Turn::Close);
        }
        if !self.readable {
            return Ok(self.after_sending());
        }
        let read_bytes = match self.stream.read(input) {
            Ok(read_bytes) => read_bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(Turn::Wait);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Turn::Again),
            Err(error) => return Err(error),
        };
        if read_bytes == 0 {
            self.readable = false;
            self.eof = true;
            return Ok(self.after_sending());
        }
        // A short read has emptied the socket; the next edge says when there is more. An end that
        // has been announced shows no edge again.
        self.readable = read_bytes == input.len() || self.hangup;
        service.counters.add(Counter::BytesRead, read_bytes as u64);
        if self.finished {
            return Ok(Turn::Again);
        }
        output.clear();
        let received = input.get(..read_bytes).unwrap_or_default();
        self.next = self.connection.receive(service, received, output);
        self.send(service, output)?;
        Ok(self.after_sending())
    }

    /// What to do once this turn's output has been handed to the socket.
    fn after_sending(&self) -> Turn {
        match self.next {
            _ if !self.unsent.is_empty() => Turn::Wait,
            Next::Close => Turn::Close,
            Next::Drain => Turn::Again,
            Next::Input if self.eof => Turn::Close,
            Next::Input if self.readable => Turn::Again,
            Next::Input => Turn::Wait,
        }
    }

    /// Writes `output`; keeps what the socket does not take.
    fn send(&mut self, service: &Service<'_>, output: &[u8]) -> io::Result<()> {
        let sent_bytes = self.write_all_it_takes(service, output)?;
        if let Some(left) = output.get(sent_bytes..).filter(|left| !left.is_empty()) {
            self.unsent = left.to_vec();
            self.sent_bytes = 0;
            service.hold(&mut self.held_bytes, self.unsent.capacity());
        }
        Ok(())
    }

    /// Writes what was kept; true if all of it is gone.
    fn send_unsent(&mut self, service: &Service<'_>) -> io::Result<bool> {
        let unsent = std::mem::take(&mut self.unsent);
        let left = unsent.get(self.sent_bytes..).unwrap_or_default();
        self.sent_bytes += self.write_all_it_takes(service, left)?;
        if self.sent_bytes < unsent.len() {
            self.unsent = unsent;
            return Ok(false);
        }
        self.sent_bytes = 0;
        service.hold(&mut self.held_bytes, 0);
        Ok(true)
    }

    fn write_all_it_takes(&mut self, service: &Service<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut sent_bytes = 0;
        while let Some(left) = bytes.get(sent_bytes..).filter(|left| !left.is_empty()) {
            match self.stream.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => sent_bytes += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        service
            .counters
            .add(Counter::BytesWritten, sent_bytes as u64);
        Ok(sent_bytes)
    }

    /// Closes the socket and gives back what the server has counted.
    fn release(mut self, service: &Service<'_>) {
        self.connection.close(service);
        service.hold(&mut self.held_bytes, 0);
    }

    /// In a stopping server: says goodbye once nothing is owed to the client. True if the
    /// connection can be closed at once.
    fn finish_if_idle(&mut self) -> bool {
        let owes = !self.unsent.is_empty() || self.next == Next::Drain || self.readable;
        if owes || self.finished {
            return false;
        }
        self.finished = true;
        self.stream.finish().is_err()
    }
}
