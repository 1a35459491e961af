//! Opening the listening sockets of a configuration: addresses looked up, bound and listening.
//!
//! A host can stand for several addresses. One of them that is in use, or of a family that the
//! machine has not got, is let pass if another of the same host could be had.

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use larder::Timestamp;
use mio::net::{TcpListener, UdpSocket, UnixListener};
use socket2::{Domain, Protocol as Ip, Socket, Type};

use super::{Listener, Socket as Listening};
use crate::config::{Config, Listen, ListenTls};
use crate::stats::{Peer, State, Transport};
use crate::tls::ClientCerts;

/// Every socket that a server listens on.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) udp: Vec<UdpSocket>,
}

/// Opens every listening socket of the configuration, and writes their ports to its file.
pub(crate) fn bind(config: &Config) -> io::Result<Bound> {
    let mut bound = Bound::default();
    if let Some(path) = &config.unix_socket {
        let listener =
            bind_unix(path, config).map_err(|error| named(&error, &path.display().to_string()))?;
        bound.listeners.push(Listener {
            socket: Listening::Unix(listener, path.as_path().into()),
            protocol: config.protocol,
            tag: None,
            tls: None,
        });
        return Ok(bound);
    }
    for text in &config.listen {
        let listen = Listen::parse(text)
            .map_err(|message| io::Error::new(ErrorKind::InvalidInput, message))?;
        let tls = client_certs(text, &listen, config)?;
        if config.tcp {
            for socket in bind_each(text, &listen, config.port, |at| bind_tcp(at, config))? {
                bound.listeners.push(Listener {
                    socket: Listening::Tcp(TcpListener::from_std(socket.into())),
                    protocol: listen.protocol.unwrap_or(config.protocol),
                    tag: listen.tag.clone(),
                    tls,
                });
            }
        }
        if let Some(port) = config.udp_port {
            for socket in bind_each(text, &listen, port, |at| bind_udp(at, config))? {
                bound.udp.push(UdpSocket::from_std(socket.into()));
            }
        }
    }
    if let Some(path) = &config.ports_file
        && let Err(error) = write_ports(path, &bound)
    {
        // As in memcached, no reason not to serve.
        log::error!("cannot write the ports to {}: {error}", path.display());
    }
    Ok(bound)
}

/// How a listener treats certificates of clients; none if it speaks no TLS.
fn client_certs(text: &str, listen: &Listen, config: &Config) -> io::Result<Option<ClientCerts>> {
    match listen.tls {
        Some(_) if !config.tls.enabled => {
            let message = format!("cannot listen on {text}: TLS is not enabled");
            Err(io::Error::new(ErrorKind::InvalidInput, message))
        }
        None if config.tls.enabled => Ok(Some(config.tls.verify.into())),
        None | Some(ListenTls::Plain) => Ok(None),
        Some(ListenTls::Basic) => Ok(Some(ClientCerts::Ignored)),
        Some(ListenTls::Mutual) => Ok(Some(ClientCerts::Required)),
    }
}

/// Binds every address of one `-l`; an error if none of them could be had, or one not for a reason
/// that may pass.
fn bind_each(
    text: &str,
    listen: &Listen,
    port: u16,
    mut bind_one: impl FnMut(SocketAddr) -> io::Result<Socket>,
) -> io::Result<Vec<Socket>> {
    let mut sockets: Vec<Socket> = Vec::new();
    let mut failed = None;
    let mut port = listen.port.unwrap_or(port);
    for mut address in resolve(text, listen, port)? {
        address.set_port(port);
        match bind_one(address) {
            Ok(socket) => {
                // What the system chose for the first address holds for the others.
                let chosen = socket.local_addr()?.as_socket();
                port = chosen.map_or(port, |address| address.port());
                sockets.push(socket);
            }
            Err(error) if may_pass(&error) => {
                failed.get_or_insert_with(|| named(&error, &address.to_string()));
            }
            Err(error) => return Err(named(&error, &address.to_string())),
        }
    }
    match failed {
        Some(error) if sockets.is_empty() => Err(error),
        Some(error) => {
            log::warn!("{error}; another address of {text} serves");
            Ok(sockets)
        }
        None => Ok(sockets),
    }
}

fn may_pass(error: &io::Error) -> bool {
    let no_family = error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32);
    no_family
        || matches!(
            error.kind(),
            ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable
        )
}

/// The socket addresses that a host stands for.
fn resolve(text: &str, listen: &Listen, port: u16) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = &listen.host else {
        let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        return Ok(all.map(|host| SocketAddr::from((host, port))).to_vec());
    };
    let found = (host.as_str(), port).to_socket_addrs();
    let mut addresses: Vec<SocketAddr> = found.map_err(|error| named(&error, text))?.collect();
    addresses.dedup();
    Ok(addresses)
}

fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {what}: {error}"))
}

fn socket(address: SocketAddr, kind: Type, config: &Config) -> io::Result<Socket> {
    let transport = if kind == Type::STREAM {
        Ip::TCP
    } else {
        Ip::UDP
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(transport))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(target_os = "linux")]
    if config.socket_mark != 0 {
        let mark = config.socket_mark;
        socket.set_mark(mark).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("sock_cookie_id {mark} is not allowed: {error}"),
            )
        })?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_tcp(address: SocketAddr, config: &Config) -> io::Result<Socket> {
    let socket = socket(address, Type::STREAM, config)?;
    socket.listen(config.backlog)?;
    Ok(socket)
}

fn bind_udp(address: SocketAddr, config: &Config) -> io::Result<Socket> {
    /// A long reply goes out as many datagrams at once.
    const SEND_BUFFER_BYTES: usize = 4 << 20;
    let socket = socket(address, Type::DGRAM, config)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    Ok(socket)
}

fn bind_unix(path: &Path, config: &Config) -> io::Result<UnixListener> {
    // A socket that an earlier server left behind; anything else is not ours to remove.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(config.unix_mode))?;
    // Nobody can connect before this, so nobody does with other permissions.
    socket.listen(config.backlog)?;
    Ok(UnixListener::from_std(socket.into()))
}

/// A line for each port, under another name first, so that nobody reads half of it.
fn write_ports(path: &Path, bound: &Bound) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".lck");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&temporary)?;
    let tcp = bound.listeners.iter().filter_map(Listener::tcp_address);
    for (transport, address) in tcp
        .map(|address| ("TCP", address))
        .chain(udp_addresses(&bound.udp).map(|address| ("UDP", address)))
    {
        let family = if address.is_ipv6() { "INET6" } else { "INET" };
        writeln!(file, "{transport} {family}: {}", address.port())?;
    }
    drop(file);
    std::fs::rename(&temporary, path)
}

/// The addresses of UDP sockets.
pub(crate) fn udp_addresses(sockets: &[UdpSocket]) -> impl Iterator<Item = SocketAddr> {
    sockets.iter().filter_map(|socket| socket.local_addr().ok())
}

/// What others may know of a UDP socket.
pub(crate) fn udp_peer(socket: &UdpSocket, now: Timestamp) -> Peer {
    let addresses = [None, socket.local_addr().ok()];
    let (fd, transport) = (socket.as_raw_fd(), Transport::Udp);
    Peer::new(fd, transport, addresses, State::Listening, now)
}
