//! `stats conns`: who is connected, and what each connection waits for.
//!
//! A worker notes a client's state after each of its turns, in a cell that this file reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use larder::Timestamp;

use super::Lines;

/// Everything with a descriptor that clients see: listeners, UDP sockets and connections.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<BTreeMap<RawFd, Arc<Peer>>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Peer {
    fd: RawFd,
    transport: Transport,
    remote: Option<SocketAddr>,
    local: Option<SocketAddr>,
    /// Of a Unix socket that listens, or that it came by.
    path: Option<Arc<Path>>,
    state: AtomicU8,
    /// Milliseconds since 1970 of the last turn that brought bytes.
    active_at: AtomicU64,
}

/// What a descriptor carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Unix,
}

/// What a descriptor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Connections.
    Listening,
    /// A command.
    Command,
    /// The rest of a command or of its data block.
    Rest,
    /// Its client to read.
    Write,
    /// Log lines.
    Watch,
}

const STATES: [State; 5] = [
    State::Listening,
    State::Command,
    State::Rest,
    State::Write,
    State::Watch,
];

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Listening => "conn_listening",
            Self::Command => "conn_read",
            Self::Rest => "conn_nread",
            Self::Write => "conn_mwrite",
            Self::Watch => "conn_watch",
        }
    }
}

impl Peer {
    /// A connection, or with no `remote` a listener.
    pub(crate) fn new(
        fd: RawFd,
        transport: Transport,
        addresses: [Option<SocketAddr>; 2],
        state: State,
        now: Timestamp,
    ) -> Self {
        let [remote, local] = addresses;
        Self {
            fd,
            transport,
            remote,
            local,
            path: None,
            state: AtomicU8::new(state as u8),
            active_at: AtomicU64::new(now.unix_millis()),
        }
    }

    /// The same on a Unix socket with this path.
    pub(crate) fn at(mut self, path: Option<Arc<Path>>) -> Self {
        self.path = path;
        self
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    pub(crate) fn note_active(&self, now: Timestamp) {
        self.active_at.store(now.unix_millis(), Relaxed);
    }

    pub(crate) fn note_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    pub(crate) fn state(&self) -> State {
        let number = usize::from(self.state.load(Relaxed));
        STATES.get(number).copied().unwrap_or(State::Command)
    }

    /// How long it has said nothing.
    pub(crate) fn idle(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_unix_millis(self.active_at.load(Relaxed)))
    }

    fn local_address(&self) -> String {
        match &self.path {
            Some(path) => format!("unix:{}", path.display()),
            None => self.address(self.local),
        }
    }

    fn address(&self, address: Option<SocketAddr>) -> String {
        match (address, self.transport) {
            (Some(address), transport) => {
                let name = if transport == Transport::Udp {
                    "udp"
                } else {
                    "tcp"
                };
                let family = if address.is_ipv6() { "6" } else { "" };
                format!("{name}{family}:{address}")
            }
            (None, _) => "unix:".to_owned(),
        }
    }
}

impl Clients {
    pub(crate) fn add(&self, peer: &Arc<Peer>) {
        self.lock().insert(peer.fd, Arc::clone(peer));
    }

    /// Before its descriptor is closed, so that it is not yet another's.
    pub(crate) fn remove(&self, peer: &Peer) {
        self.lock().remove(&peer.fd);
    }

    fn all(&self) -> Vec<Arc<Peer>> {
        self.lock().values().map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RawFd, Arc<Peer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines<'_> {
    pub(super) fn conns(&mut self) {
        let now = self.service.cache.now();
        for peer in self.service.shared.clients.all() {
            let fd = peer.fd;
            let state = peer.state();
            if peer.transport == Transport::Udp {
                self.text(&format!("{fd}:UDP"), "UDP");
            }
            if state == State::Listening {
                self.text(&format!("{fd}:addr"), &peer.local_address());
            } else {
                self.text(&format!("{fd}:addr"), &peer.address(peer.remote));
                self.text(&format!("{fd}:listen_addr"), &peer.local_address());
            }
            // Whoever asks is being answered.
            let asks = fd == self.service.fd;
            let name = if asks { "conn_parse_cmd" } else { state.name() };
            self.text(&format!("{fd}:state"), name);
            let idle = peer.idle(now).as_secs();
            self.number(&format!("{fd}:secs_since_last_cmd"), idle);
        }
    }
}
