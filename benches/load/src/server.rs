//! The server under load: where it is, how it is started if it is a command, and what it uses.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, Signal, kill_process};

use crate::cpu::Cpus;
use crate::error::{Error, Fault};
use crate::protocol::Protocol;

/// How long a command may take to listen.
const START_MAX: Duration = Duration::from_secs(30);
/// How long it may take to end before it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long an address of several may take to answer.
const PROBE_MAX: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// What stands for the port in a command.
const PORT: &str = "{port}";

/// A server as it was named on the command line: `HOST:PORT`, the path of a Unix socket, or a
/// command that starts one and has `{port}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// It listens there already.
    Tcp(String),
    /// It listens there already.
    Unix(PathBuf),
    /// It is to be started.
    Command(String),
}

impl Target {
    /// Understands the name of a server.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(PORT) {
            Ok(Self::Command(text.to_owned()))
        } else if text.starts_with('/') || text.starts_with("./") {
            Ok(Self::Unix(PathBuf::from(text)))
        } else if text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        {
            Ok(Self::Tcp(text.to_owned()))
        } else {
            Err(
                "neither HOST:PORT, nor the path of a Unix socket, nor a command with {port} in it"
                    .to_owned(),
            )
        }
    }
}

/// A server that can be connected to. One that was started ends with it.
#[derive(Debug)]
pub struct Server {
    name: String,
    place: Place,
    child: Option<Child>,
    /// The process whose cpu time is read; none if it is not known.
    pub pid: Option<u32>,
}

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Server {
    /// Finds the server, or starts it on `cpus` and waits until it listens.
    ///
    /// # Errors
    /// A name that has no address, or a command that does not come up.
    pub fn open(target: &Target, cpus: &Cpus) -> Result<Self, Error> {
        match target {
            Target::Tcp(name) => {
                let unreachable = |error| Error::Server {
                    server: name.clone(),
                    fault: Fault::Unreachable(error),
                };
                let addresses: Vec<SocketAddr> =
                    name.to_socket_addrs().map_err(unreachable)?.collect();
                // A name may have addresses at which nobody listens, such as localhost's second.
                let listens =
                    |address: &&SocketAddr| TcpStream::connect_timeout(address, PROBE_MAX).is_ok();
                let found = addresses.iter().find(listens).or_else(|| addresses.first());
                let none = || io::Error::new(io::ErrorKind::NotFound, "no address");
                let address = found.ok_or_else(|| unreachable(none()))?;
                Ok(Self::at(name.clone(), Place::Tcp(*address)))
            }
            Target::Unix(path) => Ok(Self::at(
                path.display().to_string(),
                Place::Unix(path.clone()),
            )),
            Target::Command(command) => Self::start(command, cpus),
        }
    }

    const fn at(name: String, place: Place) -> Self {
        Self {
            name,
            place,
            child: None,
            pid: None,
        }
    }

    fn start(command: &str, cpus: &Cpus) -> Result<Self, Error> {
        let address = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| Error::system("find a free port", error))?;
        // `exec`, so that the process id is the server's and not the shell's; a process group of
        // its own, so that an interrupt of this program leaves it to be stopped below.
        let script = format!(
            "exec {}",
            command.replace(PORT, &address.port().to_string())
        );
        let spawn = || {
            Command::new("sh")
                .args(["-c", &script])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .process_group(0)
                .spawn()
        };
        let child = cpus
            .during(spawn)
            .map_err(|error| Error::system("pin the server (--server-cpus)", error))?
            .map_err(|error| Error::system(format!("start `{command}`"), error))?;
        let mut server = Self::at(command.to_owned(), Place::Tcp(address));
        server.pid = Some(child.id());
        server.child = Some(child);
        server.wait_until_it_listens()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + START_MAX;
        loop {
            let Err(error) = self.connect(RETRY_AFTER * 10) else {
                return Ok(());
            };
            let exited = self.child.as_mut().and_then(|child| child.try_wait().ok());
            if let Some(Some(status)) = exited {
                return Err(self.fault(Fault::Ended(status.to_string())));
            }
            if Instant::now() >= deadline {
                return Err(self.fault(Fault::Unreachable(error)));
            }
            std::thread::sleep(RETRY_AFTER);
        }
    }

    /// Its name for reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An error of this server.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> Error {
        Error::Server {
            server: self.name.clone(),
            fault,
        }
    }

    /// A new connection, blocking.
    pub(crate) fn connect(&self, timeout: Duration) -> io::Result<Stream> {
        match &self.place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, timeout)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                Ok(Stream::Tcp(stream))
            }
            Place::Unix(path) => {
                // The timeout comes before the connecting, which waits while the queue of the
                // socket is full.
                let socket = socket_with(
                    AddressFamily::UNIX,
                    SocketType::STREAM,
                    SocketFlags::CLOEXEC,
                    None,
                )?;
                set_socket_timeout(&socket, Timeout::Send, Some(timeout))?;
                set_socket_timeout(&socket, Timeout::Recv, Some(timeout))?;
                connect(&socket, &SocketAddrUnix::new(path)?)?;
                Ok(Stream::Unix(UnixStream::from(socket)))
            }
        }
    }

    /// A new connection for an event loop.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub fn connect_nonblocking(&self, timeout: Duration) -> Result<OwnedFd, Error> {
        let open = || match self.connect(timeout)? {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                Ok(OwnedFd::from(stream))
            }
            Stream::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Ok(OwnedFd::from(stream))
            }
        };
        open().map_err(|error| self.fault(Fault::Unreachable(error)))
    }

    /// Asks for the version: whether there is a server at all that speaks the protocol.
    ///
    /// # Errors
    /// There is none.
    pub fn version(&self, protocol: Protocol, timeout: Duration) -> Result<String, Error> {
        let mut stream = self
            .connect(timeout)
            .map_err(|error| self.fault(Fault::Unreachable(error)))?;
        stream
            .write_all(protocol.version_request())
            .map_err(|error| self.broken(error))?;
        let mut reply = Vec::new();
        let mut piece = [0; 256];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => {
                    let none = Fault::Closed {
                        unanswered: 1,
                        error: None,
                    };
                    return Err(self.fault(none));
                }
                Ok(bytes) => reply.extend_from_slice(&piece[..bytes]),
                Err(error) => {
                    return Err(match error.kind() {
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                            self.fault(Fault::Silent {
                                waited: timeout,
                                connections: 1,
                                request: "for its version".to_owned(),
                            })
                        }
                        _ => self.broken(error),
                    });
                }
            }
            match protocol.version(&reply) {
                Ok(Some(version)) => return Ok(version.to_owned()),
                Ok(None) if reply.len() < 1024 => {}
                _ => {
                    return Err(self.fault(Fault::NoVersion {
                        protocol: protocol.name(),
                        reply: reply.escape_ascii().to_string(),
                    }));
                }
            }
        }
    }

    fn broken(&self, error: io::Error) -> Error {
        self.fault(Fault::Closed {
            unanswered: 1,
            error: Some(error),
        })
    }

    /// What the server says its process id is, in its `stats`.
    ///
    /// # Errors
    /// It does not say.
    pub fn ask_pid(&self, timeout: Duration) -> Result<u32, Error> {
        let unknown = || Error::Usage("--server-pid auto: the server's `stats` have no pid".into());
        let mut stream = self
            .connect(timeout)
            .map_err(|error| self.fault(Fault::Unreachable(error)))?;
        let mut reply = Vec::new();
        let mut piece = [0; 4096];
        stream
            .write_all(b"stats\r\n")
            .map_err(|error| self.broken(error))?;
        while !reply.ends_with(b"END\r\n") && reply.len() < 1 << 16 {
            match stream.read(&mut piece) {
                Ok(bytes) if bytes > 0 => reply.extend_from_slice(&piece[..bytes]),
                _ => return Err(unknown()),
            }
        }
        String::from_utf8_lossy(&reply)
            .lines()
            .find_map(|line| line.strip_prefix("STAT pid ")?.trim().parse().ok())
            .ok_or_else(unknown)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // What fails here fails because the process is gone already.
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(RETRY_AFTER);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A blocking connection.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_servers() {
        let tcp = |text: &str| Ok(Target::Tcp(text.to_owned()));
        assert_eq!(Target::parse("127.0.0.1:11211"), tcp("127.0.0.1:11211"));
        assert_eq!(Target::parse("[::1]:1"), tcp("[::1]:1"));
        assert_eq!(
            Target::parse("/run/larderd.sock"),
            Ok(Target::Unix("/run/larderd.sock".into()))
        );
        let command = "larderd -p {port} -t 1";
        assert_eq!(
            Target::parse(command),
            Ok(Target::Command(command.to_owned()))
        );
        for text in ["", "host", ":1", "host:x", "host:70000"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
