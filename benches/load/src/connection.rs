//! One connection: its socket, what it has not sent yet, and what it waits for.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::content::Content;
use crate::protocol::{Op, Protocol, Question};
use crate::reader::{Expected, Pending, Reader, Reply, WrongReply};

/// An output buffer that grew beyond this is given back once it is sent.
const OUTPUT_KEPT_BYTES: usize = 1 << 20;

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    protocol: Protocol,
    output: Vec<u8>,
    /// How much of `output` the socket has taken.
    sent_bytes: usize,
    reader: Reader,
    expected: Expected,
    /// Keys that were missed and are to be stored.
    pub(crate) owed: Vec<u64>,
    /// Whether it stands in the queue of those that can take a request.
    pub(crate) is_queued: bool,
    /// Whether it has output that nobody tried to send.
    pub(crate) is_touched: bool,
    /// When something last arrived, or the worker last saw that nothing is in flight.
    pub(crate) active_nanos: u64,
}

/// What one read brought.
pub(crate) enum Arrived {
    /// This many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The server has closed the connection.
    End,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, protocol: Protocol, verifies: bool) -> Self {
        Self {
            socket,
            protocol,
            output: Vec::new(),
            sent_bytes: 0,
            reader: Reader::new(protocol, verifies),
            expected: Expected::default(),
            owed: Vec::new(),
            is_queued: false,
            is_touched: false,
            active_nanos: 0,
        }
    }

    pub(crate) const fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.expected.len()
    }

    pub(crate) fn describe_oldest(&self, content: &Content) -> String {
        self.expected.describe_oldest(content)
    }

    /// Writes a request into the output; several keys only for a get.
    pub(crate) fn ask(&mut self, op: Op, keys: &[u64], intended_nanos: u64, content: &Content) {
        match op {
            Op::Get => self.protocol.push_get(keys, content, &mut self.output),
            Op::Set => self.protocol.push_set(keys[0], content, &mut self.output),
            Op::Delete => self
                .protocol
                .push_delete(keys[0], content, &mut self.output),
            Op::Touch => self.protocol.push_touch(keys[0], content, &mut self.output),
        }
        #[expect(clippy::cast_possible_truncation, reason = "--multi-get has a limit")]
        let question = Question {
            op,
            key_count: keys.len() as u32,
        };
        let pending = Pending {
            question,
            intended_nanos,
        };
        self.expected.push(pending, keys);
    }

    /// Sends what the socket takes; how much that was.
    pub(crate) fn send(&mut self) -> io::Result<usize> {
        let before = self.sent_bytes;
        while self.sent_bytes < self.output.len() {
            match rustix::io::write(&self.socket, &self.output[self.sent_bytes..]) {
                Ok(bytes) => self.sent_bytes += bytes,
                Err(Errno::AGAIN) => return Ok(self.sent_bytes - before),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let bytes = self.sent_bytes - before;
        self.sent_bytes = 0;
        self.output.clear();
        if self.output.capacity() > OUTPUT_KEPT_BYTES {
            self.output = Vec::new();
        }
        Ok(bytes)
    }

    /// Receives into `input`.
    pub(crate) fn receive(&self, input: &mut [u8]) -> io::Result<Arrived> {
        loop {
            return match rustix::io::read(&self.socket, &mut *input) {
                Ok(0) => Ok(Arrived::End),
                Ok(bytes) => Ok(Arrived::Bytes(bytes)),
                Err(Errno::AGAIN) => Ok(Arrived::Nothing),
                Err(Errno::INTR) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Understands what arrived.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        content: &Content,
        done: &mut impl FnMut(Pending, Reply),
    ) -> Result<(), Box<WrongReply>> {
        self.reader.read(input, &mut self.expected, content, done)
    }
}
