//! Requests that come as datagrams: each is a conversation of its own.
//!
//! ```text
//! request    id 2 | sequence 2 | count 2 = 1 | reserved 2 | commands
//! reply n    id 2 | n        2 | count 2     | 0        2 | up to 1392 bytes
//! ```
//!
//! The numbers run over the whole reply, however many keys it answers (memcached begins again for
//! every item, so that its clients ask for one key at a time). What is not a whole request is
//! forgotten, what the network does not take is lost, and neither is said: so it is with datagrams.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use crate::connection::{Connection, Next};
use crate::counters::Counter;
use crate::protocol::reply;
use crate::service::Service;

const HEADER_BYTES: usize = 8;
/// Bytes of a reply in one datagram.
const PAYLOAD_BYTES: usize = 1392;
/// Datagrams that one turn takes from a socket.
const DATAGRAMS_PER_TURN: usize = 128;
/// A reply may be longer than the largest item by this much: its line, and others' beside it.
const REPLY_BYTES_SPARE: usize = 256 << 10;
/// No more datagrams than their 16-bit count can say.
const REPLY_BYTES_MAX: usize = PAYLOAD_BYTES * u16::MAX as usize;

/// A UDP socket that a worker serves.
#[derive(Debug)]
pub(crate) struct Datagrams {
    socket: UdpSocket,
    /// There may be datagrams to take.
    pub(super) is_ready: bool,
}

impl Datagrams {
    pub(super) fn new(
        mut socket: UdpSocket,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self {
            socket,
            is_ready: true,
        })
    }

    /// Answers the datagrams that are there, up to a number of them.
    pub(super) fn turn(&mut self, service: &Service<'_>, input: &mut [u8], output: &mut Vec<u8>) {
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.socket.recv_from(input) {
                Ok((bytes, from)) => {
                    service.counters.add(Counter::BytesRead, bytes as u64);
                    let datagram = input.get(..bytes).unwrap_or_default();
                    if let Some(id) = answer(service, datagram, output) {
                        self.send(service, id, output, from);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_ready = false;
                    return;
                }
                // An earlier reply that could not be delivered shows here, and is of the past.
                Err(error) => log::debug!("a datagram failed: {error}"),
            }
        }
    }

    fn send(&self, service: &Service<'_>, id: [u8; 2], reply: &[u8], to: SocketAddr) {
        let count = reply.len().div_ceil(PAYLOAD_BYTES);
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        let mut datagram = Vec::with_capacity(HEADER_BYTES + PAYLOAD_BYTES);
        for (number, payload) in (0..u16::MAX).zip(reply.chunks(PAYLOAD_BYTES)) {
            datagram.clear();
            for field in [id, number.to_be_bytes(), count.to_be_bytes(), [0, 0]] {
                datagram.extend_from_slice(&field);
            }
            datagram.extend_from_slice(payload);
            match self.socket.send_to(&datagram, to) {
                Ok(bytes) => service.counters.add(Counter::BytesWritten, bytes as u64),
                Err(error) => {
                    log::debug!("a reply of {count} datagrams is cut off: {error}");
                    return;
                }
            }
        }
    }
}

/// Executes what a datagram asks for; returns the id to answer under, and leaves the reply in
/// `output`. `None` if it is no request.
fn answer(service: &Service<'_>, datagram: &[u8], output: &mut Vec<u8>) -> Option<[u8; 2]> {
    let (&header, request) = datagram.split_first_chunk::<HEADER_BYTES>()?;
    let [high, low, _, _, count @ .., _, _] = header;
    if count != [0, 1] || request.is_empty() {
        return None;
    }
    let reply_bytes_max = (service.item_bytes_max + REPLY_BYTES_SPARE).min(REPLY_BYTES_MAX);
    output.clear();
    let mut connection = Connection::new(service.shared.config.protocol);
    let mut part = Vec::new();
    let mut next = connection.receive(service, request, &mut part);
    loop {
        output.append(&mut part);
        if output.len() > reply_bytes_max {
            output.clear();
            reply::fixed(output, reply::NO_MEMORY_WRITING);
            break;
        }
        if next != Next::Drain {
            break;
        }
        next = connection.resume(service, &mut part);
    }
    connection.close(service);
    Some([high, low])
}
