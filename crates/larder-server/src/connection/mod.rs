//! One client's conversation: bytes in, bytes out, no socket.
//!
//! `Connection` keeps what has arrived and cannot be answered yet, and where it was interrupted.
//! Its output depends on the bytes received only, never on how they were cut into pieces.
//!
//! ```text
//! received bytes -> line   -> Line::Command   -> execute -> output
//!      ^      '---> packet -> Packet::Request ---^
//!      '---- kept while incomplete: part of a line, of a header, or of a value
//! ```
//!
//! Lines or packets: the listener says, or the first byte. Before either a client may have to say who
//! it is (authentication.rs).
//!
//! Bounds: a line by its command (text.rs), a data block by the item limit (a larger one is skipped
//! as it comes, and a large one that is not goes straight into the cache: upload.rs), the output by [`OUTPUT_BYTES_HIGH`] and one value more: beyond it the connection
//! stops until its output has drained. So it does after as many requests as one turn may have, so that
//! others get theirs. What all connections hold together has a bound of its own:
//! beyond it, a request that has grown large before it is complete is refused.

mod ahead;
mod authentication;
mod binary;
mod text;
mod upload;

use std::sync::Arc;

use crate::config::Protocol;
use crate::execute::Outcome;
use crate::execute::retrieve::retrieve;
use crate::execute::walk::Walk;
use crate::protocol::binary::{REQUEST_MAGIC, Refusal};
use crate::protocol::reply;
use crate::protocol::text::{Retrieve, RetrieveOptions};
use crate::service::Service;
use crate::stats::State as Activity;
use crate::watch::Watcher;
pub(crate) use upload::Abandoned;
use upload::Upload;

/// Output at which a connection stops executing until it has drained, in bytes.
pub(crate) const OUTPUT_BYTES_HIGH: usize = 256 << 10;

/// The conversation with one client.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Received and not yet consumed.
    pending: Vec<u8>,
    /// Leading bytes of `pending` in which no line end was found.
    scanned_bytes: usize,
    /// Bytes that `pending` must have before a look at it is worth while.
    needed_bytes: usize,
    /// Bytes of `pending` that the server has counted.
    held_bytes: usize,
    /// The incomplete request in `pending` is to be refused: the server holds too much.
    gives_up: bool,
    /// What the listener speaks that the client came by.
    protocol: Protocol,
    /// The client has said who it is, where it has to.
    authenticated: bool,
    /// The next step of its authentication was asked for.
    sasl_begun: bool,
    state: State,
    /// Requests that it may still execute in this turn.
    turn_left: usize,
    /// The client has said goodbye.
    has_quit: bool,
}

/// A request that is smaller than this is waited for, however much the server holds.
const SMALL_REQUEST_BYTES: usize = 16 << 10;

#[derive(Debug, Default)]
enum State {
    /// At the start of a line.
    #[default]
    Line,
    /// Skipping the rest of a refused data block, to reply afterwards.
    Swallow { bytes: usize, owed: Owed },
    /// Filling a large value.
    Upload(Upload),
    /// In the middle of a retrieval whose output was too much for one go.
    Keys {
        keys: Vec<u8>,
        position: usize,
        options: RetrieveOptions,
    },
    /// In the middle of a walk over all items.
    Walk(Walk),
    /// Sends log lines, and reads what comes without looking at it.
    Watch(Arc<Watcher>),
    /// Nothing more is read.
    Closed,
}

/// What is said once a refused data block has been skipped.
#[derive(Clone, Copy, Debug)]
enum Owed {
    Nothing,
    Line(&'static str),
    Packet(Refusal),
}

/// What a conversation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More bytes.
    Input,
    /// Its output to drain, and others to have their turn; then it is to be resumed.
    Drain,
    /// Its output to drain; then it closes.
    Close,
}

/// How far one look at the pending bytes came.
enum Progress {
    /// `consumed` bytes are done with; look again.
    More(usize),
    /// Nothing can be done before more bytes come.
    Starved,
    /// The state forbids going on for now.
    Stopped,
}

impl Connection {
    /// A conversation that begins on a listener for `protocol`.
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            ..Self::default()
        }
    }

    /// Takes `input`, appends replies to `output`.
    pub(crate) fn receive(
        &mut self,
        service: &Service<'_>,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Next {
        if self.pending.is_empty() {
            self.turn_left = service.requests_per_turn();
            let consumed = self.run(service, input, output);
            if !matches!(self.state, State::Closed) {
                self.pending
                    .extend_from_slice(input.get(consumed..).unwrap_or_default());
            }
        } else {
            self.pending.extend_from_slice(input);
            self.go_on(service, output);
        }
        // What waits for the next turn is not incomplete.
        let is_starved = self.turn_left > 0;
        if is_starved && self.pending.len() > SMALL_REQUEST_BYTES && service.buffers_are_full() {
            self.gives_up = true;
            self.go_on(service, output);
            self.gives_up = false;
        }
        service.hold(&mut self.held_bytes, self.pending.capacity());
        self.next(service, output)
    }

    /// Gives back what the connection holds; nothing is received after that.
    pub(crate) fn close(&mut self, service: &Service<'_>) {
        self.pending = Vec::new();
        service.hold(&mut self.held_bytes, 0);
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Walk(_) => Walk::abandon(service),
            State::Upload(upload) => upload.abandon(service),
            State::Watch(watcher) => service.shared.watchers.remove(&watcher),
            _ => {}
        }
    }

    /// Whether the server ended it, over what the client sent.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.state, State::Closed) && !self.has_quit
    }

    /// What it waits for, for those who look at the server from outside.
    pub(crate) fn activity(&self) -> Activity {
        match self.state {
            State::Watch(_) => Activity::Watch,
            State::Line if self.pending.is_empty() => Activity::Command,
            _ => Activity::Rest,
        }
    }

    /// Goes on with what was received, after output has drained.
    pub(crate) fn resume(&mut self, service: &Service<'_>, output: &mut Vec<u8>) -> Next {
        self.go_on(service, output);
        service.hold(&mut self.held_bytes, self.pending.capacity());
        self.next(service, output)
    }

    /// Executes what is pending, if there is enough of it to be worth a look.
    fn go_on(&mut self, service: &Service<'_>, output: &mut Vec<u8>) {
        self.turn_left = service.requests_per_turn();
        if self.pending.len() >= self.needed_bytes || self.gives_up {
            let pending = std::mem::take(&mut self.pending);
            let consumed = self.run(service, &pending, output);
            self.keep(pending, consumed);
        }
    }

    /// Keeps what is not consumed; an empty buffer is freed, so that idle connections have none.
    fn keep(&mut self, mut pending: Vec<u8>, consumed: usize) {
        if consumed < pending.len() && !matches!(self.state, State::Closed) {
            pending.drain(..consumed);
            self.pending = pending;
        }
    }

    fn next(&self, service: &Service<'_>, output: &[u8]) -> Next {
        match self.state {
            State::Closed => Next::Close,
            State::Keys { .. } | State::Walk(_) => Next::Drain,
            _ if service.is_enough(output) => Next::Drain,
            _ if self.turn_left == 0 && !self.pending.is_empty() => Next::Drain,
            _ => Next::Input,
        }
    }

    /// Executes as much of `input` as is complete and the output has room for; returns the bytes
    /// consumed.
    #[inline]
    fn run(&mut self, service: &Service<'_>, input: &[u8], output: &mut Vec<u8>) -> usize {
        let mut consumed = 0;
        while !service.is_enough(output) && self.turn_left > 0 {
            let rest = input.get(consumed..).unwrap_or_default();
            match self.advance(service, rest, output) {
                Progress::More(bytes) => consumed += bytes,
                Progress::Starved | Progress::Stopped => break,
            }
        }
        consumed
    }

    fn advance(&mut self, service: &Service<'_>, rest: &[u8], output: &mut Vec<u8>) -> Progress {
        match &mut self.state {
            State::Line => self.start(service, rest, output),
            State::Swallow { bytes, owed } => {
                let skipped = rest.len().min(*bytes);
                *bytes -= skipped;
                if *bytes > 0 {
                    return if skipped > 0 {
                        Progress::More(skipped)
                    } else {
                        Progress::Starved
                    };
                }
                owed.pay(output);
                self.state = State::Line;
                Progress::More(skipped)
            }
            State::Upload(_) => {
                if let State::Upload(upload) = std::mem::take(&mut self.state) {
                    return self.upload(service, upload, rest, output);
                }
                Progress::More(0)
            }
            State::Keys {
                keys,
                position,
                options,
            } => {
                let line = Retrieve::new(keys, *options);
                match retrieve(service, &line, *position, output) {
                    Outcome::KeysLeft { position: left } => {
                        *position = left;
                        Progress::Stopped
                    }
                    _ => {
                        self.state = State::Line;
                        Progress::More(0)
                    }
                }
            }
            State::Walk(walk) => {
                if walk.turn(service, output) {
                    return Progress::Stopped;
                }
                self.state = State::Line;
                Progress::More(0)
            }
            State::Watch(watcher) => {
                watcher.take(output);
                if rest.is_empty() {
                    return Progress::Starved;
                }
                Progress::More(rest.len())
            }
            State::Closed => Progress::Stopped,
        }
    }

    /// Looks for a request at the start of `rest`, in the protocol of the connection.
    fn start(&mut self, service: &Service<'_>, rest: &[u8], output: &mut Vec<u8>) -> Progress {
        if self.protocol == Protocol::Auto {
            self.protocol = match rest.first() {
                None => return Progress::Starved,
                Some(&REQUEST_MAGIC) => Protocol::Binary,
                Some(_) => Protocol::Ascii,
            };
        }
        match self.protocol {
            Protocol::Binary => {
                let progress = self.packet(service, rest, output);
                self.count_turn(progress)
            }
            _ if !self.authenticated && service.shared.auth.is_some() => {
                let progress = self.authenticate(service, rest, output);
                self.count_turn(progress)
            }
            _ => self.line(service, rest, output),
        }
    }

    /// Notes that a request has had its part of the turn, unless more of it is still to come.
    fn count_turn(&mut self, progress: Progress) -> Progress {
        if !matches!(progress, Progress::Starved) {
            self.turn_left -= 1;
        }
        progress
    }

    /// Skips `bytes` that come next, and then says what is owed.
    fn skip(&mut self, bytes: usize, owed: Owed, output: &mut Vec<u8>) {
        if bytes > 0 {
            self.state = State::Swallow { bytes, owed };
        } else {
            owed.pay(output);
        }
    }
}

impl Owed {
    /// Says what was owed.
    pub(super) fn pay(&self, output: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Line(line) => reply::fixed(output, line),
            Self::Packet(refusal) => refusal.write(output),
        }
    }
}
