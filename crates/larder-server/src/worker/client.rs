//! A connection with its socket: one turn of reading, executing and sending; what the socket does not
//! take is kept here.

use std::io::{self, ErrorKind, Read, Write};

use crate::connection::{Connection, Next};
use crate::counters::Counter;
use crate::listener::Stream;
use crate::service::Service;
use crate::stats::State;

/// As much of an untaken reply is held, however much the server holds.
const SMALL_REPLY_BYTES: usize = 16 << 10;

/// A connection with its socket.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) connection: Connection,
    /// Output that the socket has not taken yet, and how much of it it has.
    pub(super) unsent: Vec<u8>,
    sent_bytes: usize,
    /// Bytes of `unsent` that the server has counted.
    held_bytes: usize,
    next: Next,
    /// The socket may have bytes to read.
    pub(super) readable: bool,
    /// In `Worker::again`.
    pub(super) queued: bool,
    /// The client has said that it will send no more; what it sent may still be unread.
    pub(super) hangup: bool,
    /// Everything that the client sent has been read, and it will send no more.
    eof: bool,
    /// Said that it will send no more; only waits for the client to do the same.
    pub(super) finished: bool,
}

/// What became of a client in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Waits for an event.
    Wait,
    /// Has more to do.
    Again,
    /// Is to be closed.
    Close,
}

impl Client {
    pub(super) fn new(stream: Stream) -> Self {
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
    pub(super) fn turn(
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
            if self.connection.activity() == State::Watch {
                output.clear();
                self.next = self.connection.resume(service, output);
                self.send(service, output)?;
            }
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
        self.stream.peer.note_active(service.cache.now());
        if self.finished {
            return Ok(Turn::Again);
        }
        output.clear();
        let received = input.get(..read_bytes).unwrap_or_default();
        self.next = self.connection.receive(service, received, output);
        self.send(service, output)?;
        Ok(self.after_sending())
    }

    /// What it waits for.
    pub(super) fn state(&self) -> State {
        if self.unsent.is_empty() {
            self.connection.activity()
        } else {
            State::Write
        }
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

    /// Writes `output`; keeps what the socket does not take. A client that takes no more while the server
    /// holds too much for all of them is given up: its reply cannot be cut short otherwise.
    fn send(&mut self, service: &Service<'_>, output: &[u8]) -> io::Result<()> {
        let sent_bytes = self.write_all_it_takes(service, output)?;
        if let Some(left) = output.get(sent_bytes..).filter(|left| !left.is_empty()) {
            if left.len() > SMALL_REPLY_BYTES && service.buffers_are_full() {
                let reason = "untaken replies, and connections hold too much together";
                return Err(io::Error::other(reason));
            }
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
    pub(super) fn release(mut self, service: &Service<'_>) {
        self.connection.close(service);
        service.hold(&mut self.held_bytes, 0);
    }

    /// In a stopping server: says goodbye once nothing is owed to the client. True if the
    /// connection can be closed at once.
    pub(super) fn finish_if_idle(&mut self) -> bool {
        let owes = !self.unsent.is_empty() || self.next == Next::Drain || self.readable;
        if owes || self.finished {
            return false;
        }
        self.finished = true;
        self.stream.finish().is_err()
    }
}
