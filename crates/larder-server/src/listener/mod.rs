//! Listening sockets and the streams that they give: opened in bind.rs, accepted in accept.rs.

mod accept;
mod bind;

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use larder::Timestamp;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Token};
use socket2::SockRef;

use crate::config::{Protocol, Tag};
use crate::slices::{self, LongValue};
use crate::stats::{Peer, State, Transport};
use crate::tls::ClientCerts;

pub(crate) use accept::Acceptor;
pub(crate) use bind::{Bound, bind, udp_addresses, udp_peer};

/// A listening socket with what its connections speak.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    protocol: Protocol,
    tag: Option<Tag>,
    /// How it treats certificates of clients; none if it speaks no TLS.
    tls: Option<ClientCerts>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, Arc<Path>),
}

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: StreamSocket,
    /// What others may know of it.
    pub(crate) peer: Arc<Peer>,
    /// What the listener speaks that it came by.
    pub(crate) protocol: Protocol,
    /// How the listener treats certificates of clients; none if it speaks no TLS.
    pub(crate) tls: Option<ClientCerts>,
}

#[derive(Debug)]
enum StreamSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    /// Its TCP address and whether it is encrypted, unless clients need a certificate.
    pub(crate) fn open_address(&self) -> Option<(SocketAddr, bool)> {
        let address = self.tcp_address()?;
        (self.tls != Some(ClientCerts::Required)).then_some((address, self.tls.is_some()))
    }

    /// What others may know of it.
    pub(crate) fn as_peer(&self, now: Timestamp) -> Peer {
        let (transport, path) = match &self.socket {
            Socket::Tcp(_) => (Transport::Tcp, None),
            Socket::Unix(_, path) => (Transport::Unix, Some(Arc::clone(path))),
        };
        let addresses = [None, self.tcp_address()];
        let fd = self.as_raw_fd();
        Peer::new(fd, transport, addresses, State::Listening, now).at(path)
    }

    fn register(&mut self, registry: &mio::Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Socket::Unix(listener, _) => registry.register(listener, token, Interest::READABLE),
        }
    }

    fn accept(&self, now: Timestamp) -> io::Result<Stream> {
        let (socket, peer) = match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, remote) = listener.accept()?;
                // A reply goes out when it is written; the batching is ours.
                stream.set_nodelay(true)?;
                SockRef::from(&stream).set_keepalive(true)?;
                let addresses = [Some(remote), stream.local_addr().ok()];
                let (fd, state) = (stream.as_raw_fd(), State::Command);
                let peer = Peer::new(fd, Transport::Tcp, addresses, state, now);
                (StreamSocket::Tcp(stream), peer)
            }
            Socket::Unix(listener, path) => {
                let (stream, _) = listener.accept()?;
                let (fd, state) = (stream.as_raw_fd(), State::Command);
                let peer = Peer::new(fd, Transport::Unix, [None, None], state, now);
                (StreamSocket::Unix(stream), peer.at(Some(Arc::clone(path))))
            }
        };
        if let Some(Tag(tag)) = &self.tag {
            log::debug!("a connection by the listener {tag}");
        }
        Ok(Stream {
            socket,
            peer: Arc::new(peer),
            protocol: self.protocol,
            tls: self.tls,
        })
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_raw_fd(),
            Socket::Unix(listener, _) => listener.as_raw_fd(),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.socket {
            StreamSocket::Tcp(stream) => stream.write(bytes),
            StreamSocket::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.socket {
            StreamSocket::Tcp(stream) => stream.write_vectored(pieces),
            StreamSocket::Unix(stream) => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.socket {
            StreamSocket::Tcp(stream) => stream.read(buffer),
            StreamSocket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Stream {
    pub(crate) fn register(&mut self, registry: &mio::Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match &mut self.socket {
            StreamSocket::Tcp(stream) => registry.register(stream, token, interest),
            StreamSocket::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Writes until the socket takes no more; how many bytes it took.
    // Once in the path of every reply, which is not to pay for a call, and twice in that of encrypted ones.
    #[inline(always)]
    pub(crate) fn write_all_it_takes(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken_bytes = 0;
        while let Some(left) = bytes.get(taken_bytes..).filter(|left| !left.is_empty()) {
            match self.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => taken_bytes += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(taken_bytes)
    }

    /// Writes an output with its long values, from byte `from` of the whole on, until the socket takes no more; how many
    /// bytes it took, and whether those were all.
    pub(crate) fn write_pieces_it_takes(
        &mut self,
        output: &[u8],
        values: &[LongValue],
        from: usize,
    ) -> io::Result<(usize, bool)> {
        let mut taken_bytes = 0;
        loop {
            let (pieces, count) = slices::pieces(output, values, from + taken_bytes);
            let Some(pieces) = pieces.get(..count).filter(|pieces| !pieces.is_empty()) else {
                return Ok((taken_bytes, true));
            };
            match self.write_vectored(pieces) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => taken_bytes += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok((taken_bytes, false));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match &self.socket {
            StreamSocket::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            StreamSocket::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
        }
    }
}
