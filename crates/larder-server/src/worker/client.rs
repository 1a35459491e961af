//! A connection with its socket: one turn of reading, executing and sending; what the socket does not
//! take is kept here.

use std::io::{self, ErrorKind, Read};

use crate::connection::{Connection, Next};
use crate::counters::Counter;
use crate::flash::{Answer, Deferred, Hole, Port};
use crate::listener::Stream;
use crate::service::Service;
use crate::slices::LongValue;
use crate::stats::State;
use crate::tls::Channel;

/// As much of an untaken reply is held, however much the server holds.
const SMALL_REPLY_BYTES: usize = 16 << 10;

/// A connection with its socket.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) connection: Connection,
    /// Its records, if it is encrypted.
    pub(super) tls: Option<Box<Channel>>,
    /// Output that the socket has not taken yet, and how much of it, with its long values, it has.
    unsent: Vec<u8>,
    /// The long values that belong into it.
    unsent_values: Vec<LongValue>,
    sent_bytes: usize,
    /// Output that lacks what is still to come from flash.
    waiting: Option<Waiting>,
    /// Bytes of these, and of what its records keep, that the server has counted.
    held_bytes: usize,
    pub(super) next: Next,
    /// The socket may have bytes to read.
    pub(super) readable: bool,
    /// In `Worker::again`.
    pub(super) queued: bool,
    /// The client has said that it will send no more; what it sent may still be unread.
    pub(super) hangup: bool,
    /// Everything that the client sent has been read, and it will send no more.
    pub(super) eof: bool,
    /// Said that it will send no more; only waits for the client to do the same.
    pub(super) finished: bool,
}

/// What a worker has for one turn after the other, so that idle connections have no buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    /// What a socket gave.
    pub(super) input: Box<[u8]>,
    /// Replies.
    pub(super) output: Vec<u8>,
    /// What encrypted input says, and encrypted replies. Empty until there is such a connection.
    pub(super) plain: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

impl Buffers {
    pub(super) fn new(read_bytes: usize) -> Self {
        Self {
            input: vec![0; read_bytes].into_boxed_slice(),
            output: Vec::new(),
            plain: Vec::new(),
            sealed: Vec::new(),
        }
    }
}

/// Output that lacks values.
#[derive(Debug)]
struct Waiting {
    deferred: Deferred,
    /// What answers to it are known by, once they have been asked for.
    serial: Option<u64>,
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
    pub(super) fn new(stream: Stream, channel: Option<Channel>) -> Self {
        Self {
            connection: Connection::new(stream.protocol),
            stream,
            tls: channel.map(Box::new),
            unsent: Vec::new(),
            unsent_values: Vec::new(),
            sent_bytes: 0,
            waiting: None,
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
        buffers: &mut Buffers,
    ) -> io::Result<Turn> {
        if self.owes() && !self.send_unsent(service, &mut buffers.sealed)? {
            return Ok(Turn::Wait);
        }
        if self.waiting.is_some() {
            return self.go_on(service, buffers);
        }
        if self.next == Next::Drain {
            self.resume(service, buffers)?;
            return Ok(self.after_sending());
        }
        if self.next == Next::Close {
            return Ok(Turn::Close);
        }
        if !self.readable {
            if self.connection.activity() == State::Watch {
                self.resume(service, buffers)?;
            }
            return Ok(self.after_sending());
        }
        if self.tls.is_some() {
            return self.open(service, buffers);
        }
        let Buffers { input, output, .. } = buffers;
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
        self.send(service, output, &mut buffers.sealed)?;
        Ok(self.after_sending())
    }

    /// Goes on with what was received, now that its output has drained.
    fn resume(&mut self, service: &Service<'_>, buffers: &mut Buffers) -> io::Result<()> {
        let output = &mut buffers.output;
        output.clear();
        self.next = self.connection.resume(service, output);
        self.send(service, output, &mut buffers.sealed)
    }

    /// Whether there is something that the socket has not taken.
    pub(super) fn owes(&self) -> bool {
        let tls = self.tls.as_deref();
        !self.unsent.is_empty() || tls.is_some_and(|tls| !tls.outgoing().is_empty())
    }

    /// Whether everything that the client is to get has been sent.
    pub(super) fn owes_nothing(&self) -> bool {
        self.waiting.is_none() && !self.owes()
    }

    /// What it waits for.
    pub(super) fn state(&self) -> State {
        if self.owes_nothing() {
            self.connection.activity()
        } else {
            State::Write
        }
    }

    /// What to do once this turn's output has been handed to the socket.
    #[inline(always)] // Once in the path of every reply.
    pub(super) fn after_sending(&self) -> Turn {
        match self.next {
            _ if !self.owes_nothing() => Turn::Wait,
            Next::Close => Turn::Close,
            Next::Drain => Turn::Again,
            Next::Input if self.eof => Turn::Close,
            Next::Input if self.readable => Turn::Again,
            Next::Input => Turn::Wait,
        }
    }

    /// Writes `output`; keeps what the socket does not take. A client that takes no more while the server
    /// holds too much for all of them is given up: its reply cannot be cut short otherwise.
    pub(super) fn send(
        &mut self,
        service: &Service<'_>,
        output: &mut Vec<u8>,
        sealed: &mut Vec<u8>,
    ) -> io::Result<()> {
        match service.port.map(Port::take_holes) {
            Some(holes) if !holes.is_empty() => {
                self.wait_for(service, output, holes);
                Ok(())
            }
            _ => self.send_whole(service, output, sealed),
        }
    }

    /// Sends what waited for values, if all have come.
    #[cold]
    fn go_on(&mut self, service: &Service<'_>, buffers: &mut Buffers) -> io::Result<Turn> {
        let complete = |waiting: &mut Waiting| waiting.deferred.missing() == 0;
        let Some(waiting) = self.waiting.take_if(complete) else {
            return Ok(Turn::Wait);
        };
        let output = &mut buffers.output;
        output.clear();
        waiting.deferred.write(output);
        self.hold(service);
        self.send_whole(service, output, &mut buffers.sealed)?;
        Ok(self.after_sending())
    }

    /// Keeps `output` until its holes are filled.
    #[cold]
    fn wait_for(&mut self, service: &Service<'_>, output: &mut Vec<u8>, holes: Vec<Hole>) {
        self.waiting = Some(Waiting {
            deferred: Deferred::new(std::mem::take(output), holes),
            serial: None,
        });
        self.hold(service);
    }

    #[inline]
    fn send_whole(
        &mut self,
        service: &Service<'_>,
        output: &[u8],
        sealed: &mut Vec<u8>,
    ) -> io::Result<()> {
        if let Some(values) = service.take_slices() {
            return self.send_sliced(service, output, values);
        }
        let sent_bytes = self.write_all_it_takes(service, output, sealed)?;
        if let Some(left) = output.get(sent_bytes..).filter(|left| !left.is_empty()) {
            may_hold(service, left.len())?;
            self.unsent = left.to_vec();
            self.sent_bytes = 0;
            self.hold(service);
        }
        Ok(())
    }

    /// Writes `output` with its long values; keeps what the socket does not take, the values where they are.
    #[cold]
    #[inline(never)]
    fn send_sliced(
        &mut self,
        service: &Service<'_>,
        output: &[u8],
        values: Vec<LongValue>,
    ) -> io::Result<()> {
        let (sent_bytes, is_whole) = self.stream.write_pieces_it_takes(output, &values, 0)?;
        let counters = service.counters;
        counters.add(Counter::BytesWritten, sent_bytes as u64);
        if !is_whole {
            let held = values.iter().map(LongValue::held_bytes);
            may_hold(service, output.len() + held.sum::<usize>())?;
            self.unsent = output.to_vec();
            self.unsent_values = values;
            self.sent_bytes = sent_bytes;
            self.hold(service);
        }
        Ok(())
    }

    /// Writes what was kept; true if all of it is gone.
    fn send_unsent(&mut self, service: &Service<'_>, sealed: &mut Vec<u8>) -> io::Result<bool> {
        if !self.unsent_values.is_empty() {
            return self.send_unsent_sliced(service);
        }
        let unsent = std::mem::take(&mut self.unsent);
        let left = unsent.get(self.sent_bytes..).unwrap_or_default();
        self.sent_bytes += self.write_all_it_takes(service, left, sealed)?;
        if self.sent_bytes < unsent.len() {
            self.unsent = unsent;
        } else {
            self.sent_bytes = 0;
        }
        self.hold(service);
        Ok(!self.owes())
    }

    /// As `send_unsent`, of output with long values.
    #[cold]
    fn send_unsent_sliced(&mut self, service: &Service<'_>) -> io::Result<bool> {
        let (unsent, values) = (&self.unsent, &self.unsent_values);
        let written = self
            .stream
            .write_pieces_it_takes(unsent, values, self.sent_bytes)?;
        let (sent_bytes, is_whole) = written;
        let counters = service.counters;
        counters.add(Counter::BytesWritten, sent_bytes as u64);
        self.sent_bytes += sent_bytes;
        if is_whole {
            self.unsent = Vec::new();
            self.unsent_values = Vec::new();
            self.sent_bytes = 0;
        }
        self.hold(service);
        Ok(!self.owes())
    }

    /// Counts what it keeps.
    pub(super) fn hold(&mut self, service: &Service<'_>) {
        let records = self.tls.as_ref().map_or(0, |tls| tls.held_bytes());
        let waiting = self.waiting.as_ref();
        let waiting = waiting.map_or(0, |waiting| waiting.deferred.held_bytes());
        let values = self.unsent_values.iter().map(LongValue::held_bytes);
        let bytes = self.unsent.capacity() + values.sum::<usize>() + records + waiting;
        service.hold(&mut self.held_bytes, bytes);
    }

    fn write_all_it_takes(
        &mut self,
        service: &Service<'_>,
        bytes: &[u8],
        sealed: &mut Vec<u8>,
    ) -> io::Result<usize> {
        if self.tls.is_some() {
            return self.seal(service, bytes, sealed);
        }
        let sent_bytes = self.stream.write_all_it_takes(bytes)?;
        service
            .counters
            .add(Counter::BytesWritten, sent_bytes as u64);
        Ok(sent_bytes)
    }

    /// What has begun to wait since the last call: to be asked for under this serial number.
    pub(super) fn begin_waiting(&mut self, serial: u64) -> Option<&Deferred> {
        let waiting = self.waiting.as_mut()?;
        if waiting.serial.is_some() {
            return None;
        }
        waiting.serial = Some(serial);
        Some(&waiting.deferred)
    }

    /// Takes an answer, if it is this client's; true if nothing is missing any more.
    pub(super) fn take_fetched(&mut self, service: &Service<'_>, answer: Answer) -> bool {
        let waiting = self.waiting.as_mut();
        let Some(waiting) = waiting.filter(|waiting| waiting.serial == Some(answer.serial)) else {
            return false;
        };
        if let Some([hit, miss]) = waiting.deferred.fill(answer.hole, answer.fetched) {
            service.counters.uncount(hit);
            service.count(miss);
        }
        waiting.deferred.missing() == 0
    }

    /// Closes the socket and gives back what the server has counted.
    pub(super) fn release(mut self, service: &Service<'_>) {
        if let Some(waiting) = &self.waiting {
            let missing = waiting.deferred.missing() as u64;
            service.counters.add(Counter::FlashGetsAborted, missing);
        }
        self.connection.close(service);
        self.end();
        service.hold(&mut self.held_bytes, 0);
    }

    /// In a stopping server: says goodbye once nothing is owed to the client. True if the
    /// connection can be closed at once.
    pub(super) fn finish_if_idle(&mut self) -> bool {
        let owes = !self.owes_nothing() || self.next == Next::Drain || self.readable;
        if owes || self.finished {
            return false;
        }
        self.finished = true;
        self.end();
        self.stream.finish().is_err()
    }
}

/// An error if a client that is slow to take its reply would hold so many bytes more, while the server holds too
/// much already.
fn may_hold(service: &Service<'_>, bytes: usize) -> io::Result<()> {
    if bytes > SMALL_REPLY_BYTES && service.buffers_are_full() {
        let reason = "untaken replies, and connections hold too much together";
        return Err(io::Error::other(reason));
    }
    Ok(())
}
