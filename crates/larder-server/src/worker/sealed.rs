//! An encrypted connection with its socket: reading and writing by way of its records.

use std::io::{self, ErrorKind, Read};

use super::client::{Buffers, Client, Turn};
use crate::counters::Counter;
use crate::execute::events;
use crate::listener::Stream;
use crate::service::Service;
use crate::tls::Channel;

/// As much of an unfinished record, or message of the handshake, is kept, however much the server holds.
const SMALL_RECORD_BYTES: usize = 20 << 10;

impl Client {
    /// Reads, opens what came, and executes and answers what it says.
    pub(super) fn open(
        &mut self,
        service: &Service<'_>,
        buffers: &mut Buffers,
    ) -> io::Result<Turn> {
        let Buffers {
            input,
            output,
            plain,
            sealed,
        } = buffers;
        let Some(channel) = &mut self.tls else {
            return Ok(Turn::Close);
        };
        let Some(kept_bytes) = channel.restore(input) else {
            return Err(self.failed(service, "a message of the handshake that is too long"));
        };
        let room = input.get_mut(kept_bytes..).unwrap_or_default();
        let room_bytes = room.len();
        let read_bytes = match self.stream.read(room) {
            Ok(read_bytes) => read_bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(Turn::Wait);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Turn::Again),
            Err(error) if channel.is_established() => return Err(error),
            Err(error) => return Err(self.failed(service, &error.to_string())),
        };
        if read_bytes == 0 {
            // Whether or not the client has said goodbye: what came in full is executed already, and every
            // command says where it ends.
            self.readable = false;
            self.eof = true;
            if channel.has_begun() && !channel.is_established() {
                return Err(self.failed(service, "the client went in the middle of the handshake"));
            }
            return Ok(self.after_sending());
        }
        self.readable = read_bytes == room_bytes || self.hangup;
        let was_established = channel.is_established();
        plain.clear();
        let records = input.get_mut(..kept_bytes + read_bytes);
        if let Err(error) = channel.open(records.unwrap_or_default(), plain) {
            return Err(self.failed(service, &error.to_string()));
        }
        if !was_established && channel.is_established() {
            log::debug!("{} speaks {}", self.stream.peer.fd(), channel.agreement());
            self.stream.peer.note_active(service.cache.now());
        }
        if channel.is_ended() {
            (self.readable, self.eof) = (false, true);
        }
        let is_large = channel.held_bytes() > SMALL_RECORD_BYTES;
        self.hold(service);
        if is_large && service.buffers_are_full() {
            return Err(io::Error::other(
                "an unfinished record, and connections hold too much together",
            ));
        }
        // A client that sends its handshake in drops is idle: only what it says counts.
        if !plain.is_empty() {
            service.counters.add(Counter::BytesRead, plain.len() as u64);
            self.stream.peer.note_active(service.cache.now());
        }
        if self.finished {
            return Ok(if self.eof { Turn::Close } else { Turn::Again });
        }
        output.clear();
        if !plain.is_empty() {
            self.next = self.connection.receive(service, plain, output);
        }
        self.send(service, output, sealed)?;
        Ok(self.after_sending())
    }

    /// Seals `plain` and writes as much as the socket takes; how many of its bytes are done with. What is
    /// sealed and not taken is kept by the channel.
    pub(super) fn seal(
        &mut self,
        service: &Service<'_>,
        plain: &[u8],
        sealed: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let Some(channel) = &mut self.tls else {
            return Ok(0);
        };
        let mut done_bytes = 0;
        while flush(channel, &mut self.stream)? {
            let Some(left) = plain.get(done_bytes..).filter(|left| !left.is_empty()) else {
                break;
            };
            let done = channel.seal(left, sealed).map_err(io::Error::other)?;
            done_bytes += done.plain_bytes;
            let records = sealed.get(..done.sealed_bytes).unwrap_or_default();
            let taken_bytes = self.stream.write_all_it_takes(records)?;
            channel.keep(records.get(taken_bytes..).unwrap_or_default());
        }
        service
            .counters
            .add(Counter::BytesWritten, done_bytes as u64);
        self.hold(service);
        Ok(done_bytes)
    }

    /// Says goodbye, if it is encrypted and the socket takes it at once.
    pub(super) fn end(&mut self) {
        if let Some(channel) = &mut self.tls {
            channel.end();
            // Best effort: it is closed in any case.
            let _ = flush(channel, &mut self.stream);
        }
    }

    /// Counts and tells that TLS failed.
    fn failed(&self, service: &Service<'_>, why: &str) -> io::Error {
        let established = self.tls.as_ref().is_some_and(|tls| tls.is_established());
        service.count(if established {
            Counter::SslProtoErrors
        } else {
            Counter::SslHandshakeErrors
        });
        events::tls_failed(&service.shared.watchers, &self.stream.peer, why);
        io::Error::other(format!("TLS: {why}"))
    }
}

/// Writes what a channel has ready; true if all of it is gone.
fn flush(channel: &mut Channel, stream: &mut Stream) -> io::Result<bool> {
    if !channel.outgoing().is_empty() {
        let taken_bytes = stream.write_all_it_takes(channel.outgoing())?;
        channel.note_taken(taken_bytes);
    }
    Ok(channel.outgoing().is_empty())
}
