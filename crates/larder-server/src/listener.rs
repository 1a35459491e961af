//! The accepting thread: takes connections within the limit and hands them to the workers in turn.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::Config;
use crate::protocol::reply;
use crate::service::Shared;
use crate::worker::Inbox;

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client's socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

const BACKLOG: i32 = 1024;
/// Only the server's own user may connect to the Unix socket.
const UNIX_SOCKET_MODE: u32 = 0o700;
/// Pause before accepting again after the system ran out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(10);
const WAKER: Token = Token(usize::MAX);

/// Opens every listening socket of the configuration, bound and listening.
pub(crate) fn bind(config: &Config) -> io::Result<Vec<Listener>> {
    if let Some(path) = &config.unix_socket {
        return Ok(vec![Listener::Unix(bind_unix(path)?)]);
    }
    let mut listeners = Vec::new();
    for address in &config.listen {
        for address in resolve(address, config.port)? {
            let listener =
                bind_tcp(address).map_err(|error| named(&error, &address.to_string()))?;
            if !address.ip().is_loopback() {
                log::warn!("{address} can be reached from other machines, without authentication");
            }
            listeners.push(Listener::Tcp(listener));
        }
    }
    Ok(listeners)
}

/// The socket addresses that `host`, `host:port`, `[v6]:port` or `*` stand for.
fn resolve(address: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if address == "*" {
        return Ok(vec![SocketAddr::from(([0, 0, 0, 0], port))]);
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host = bare.unwrap_or(address);
    let with_port = address.starts_with('[') && bare.is_none() || host.matches(':').count() == 1;
    let resolved = if with_port {
        address.to_socket_addrs()
    } else {
        (host, port).to_socket_addrs()
    };
    let mut addresses: Vec<SocketAddr> =
        resolved.map_err(|error| named(&error, address))?.collect();
    addresses.dedup();
    Ok(addresses)
}

fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {what}: {error}"))
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    // A socket that an earlier server left behind; anything else is not ours to remove.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener =
        UnixListener::bind(path).map_err(|error| named(&error, &path.display().to_string()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(UNIX_SOCKET_MODE))?;
    Ok(listener)
}

impl Listener {
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // A reply goes out when it is written; the batching is ours.
                stream.set_nodelay(true)?;
                SockRef::from(&stream).set_keepalive(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }
}

/// The accepting thread's state.
pub(crate) struct Acceptor {
    poll: Poll,
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    inboxes: Vec<Arc<Inbox>>,
    next_worker: usize,
    /// The system refused the last attempt for want of descriptors or memory.
    paused: bool,
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
            paused: false,
        };
        for (number, listener) in acceptor.listeners.iter_mut().enumerate() {
            let registry = acceptor.poll.registry();
            let token = Token(number);
            match listener {
                Listener::Tcp(listener) => {
                    registry.register(listener, token, Interest::READABLE)?;
                }
                Listener::Unix(listener) => {
                    registry.register(listener, token, Interest::READABLE)?;
                }
            }
        }
        Ok((acceptor, waker))
    }

    /// Accepts until the server stops.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        while !self.shared.is_stopping() {
            match self.poll.poll(&mut events, self.paused.then_some(PAUSE)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    log::error!("accepting ends, the poller failed: {error}");
                    return;
                }
                _ => {}
            }
            // Every listener each time: with edges, one that was left over in a pause shows no
            // event of its own again.
            if (0..self.listeners.len()).all(|number| self.accept_all(number)) {
                self.paused = false;
            }
        }
    }

    /// Accepts what waits on one listener; false if it must be tried again later.
    fn accept_all(&mut self, number: usize) -> bool {
        let Some(listener) = self.listeners.get(number) else {
            return true;
        };
        loop {
            match listener.accept() {
                Ok(stream) => {
                    let next = self.next_worker;
                    self.next_worker = (next + 1) % self.inboxes.len();
                    self.admit(stream, next);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return true,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => {
                        if !std::mem::replace(&mut self.paused, true) {
                            self.shared
                                .connections
                                .paused
                                .fetch_add(1, Ordering::Relaxed);
                            log::warn!("accepting pauses: {error}");
                        }
                        return false;
                    }
                },
            }
        }
    }

    fn admit(&self, mut stream: Stream, worker: usize) {
        let connections = &self.shared.connections;
        connections.opened.fetch_add(1, Ordering::Relaxed);
        if connections.open.fetch_add(1, Ordering::Relaxed) >= self.shared.config.connections_max {
            connections.open.fetch_sub(1, Ordering::Relaxed);
            connections.rejected.fetch_add(1, Ordering::Relaxed);
            // Best effort: the socket's buffer is empty, so that the line fits it.
            let _ = stream.write(reply::TOO_MANY_CONNECTIONS.as_bytes());
            return;
        }
        if let Some(inbox) = self.inboxes.get(worker) {
            inbox.put(stream);
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Stream {
    pub(crate) fn register(&mut self, registry: &mio::Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, interest),
            Self::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_resolve_with_and_without_a_port() {
        let one = |address| resolve(address, 11).unwrap().first().unwrap().to_string();
        assert_eq!(one("127.0.0.1"), "127.0.0.1:11");
        assert_eq!(one("127.0.0.1:5"), "127.0.0.1:5");
        assert_eq!(one("::1"), "[::1]:11");
        assert_eq!(one("[::1]"), "[::1]:11");
        assert_eq!(one("[::1]:5"), "[::1]:5");
        assert_eq!(one("*"), "0.0.0.0:11");
        assert!(resolve("127.0.0.1:x", 11).is_err());
    }
}
