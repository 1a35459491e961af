//! Why a run ended early, in words for whoever started it.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::reader::WrongReply;

/// Why there is no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Flags that cannot be obeyed; the message names them.
    Usage(String),
    /// The system refused something.
    System {
        /// What was tried.
        tried: String,
        /// What it said.
        source: io::Error,
    },
    /// The server failed.
    Server {
        /// Which.
        server: String,
        /// How.
        fault: Fault,
    },
}

/// How a server failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// It cannot be reached.
    Unreachable(io::Error),
    /// It closed a connection.
    Closed {
        /// How many requests were in flight on it.
        unanswered: usize,
        /// The error of the socket, if it was not a plain close.
        error: Option<io::Error>,
    },
    /// It sent what is no answer.
    WrongReply(Box<WrongReply>),
    /// It did not send anything for too long.
    Silent {
        /// `--timeout`.
        waited: Duration,
        /// Connections that wait.
        connections: usize,
        /// What the first of them asked.
        request: String,
    },
    /// It does not answer the request for its version as this protocol does.
    NoVersion {
        /// The protocol.
        protocol: &'static str,
        /// The start of what it sent.
        reply: String,
    },
    /// The system cannot wait for its replies.
    NoEvents(io::Error),
    /// A command that was to start a server ended.
    Ended(String),
}

impl Error {
    /// The exit code for it: 2 for flags, 1 for the rest.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::System { .. } | Self::Server { .. } => 1,
        }
    }

    pub(crate) fn system(tried: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System {
            tried: tried.into(),
            source: source.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::System { tried, source } => write!(f, "cannot {tried}: {source}"),
            Self::Server { server, fault } => write!(f, "{server}: {fault}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "cannot connect: {error}"),
            Self::Closed { unanswered, error } => {
                f.write_str("the server closed a connection")?;
                if let Some(error) = error {
                    write!(f, " ({error})")?;
                }
                write!(f, "; requests unanswered on it: {unanswered}")
            }
            Self::WrongReply(wrong) => {
                let WrongReply {
                    request,
                    reply,
                    reason,
                } = &**wrong;
                write!(f, "wrong reply to {request}: \"{reply}\" ({reason})")?;
                if reply.starts_with("ERROR") {
                    f.write_str(": does it speak this protocol (--protocol)?")?;
                }
                Ok(())
            }
            Self::Silent {
                waited,
                connections,
                request,
            } => write!(
                f,
                "no reply for {} s (--timeout) on {connections} connections, the first of which \
                 asked {request}",
                waited.as_secs_f64()
            ),
            Self::NoVersion { protocol, reply } => write!(
                f,
                "it does not tell its version in the {protocol} protocol (--protocol), but \
                 answers \"{reply}\""
            ),
            Self::NoEvents(error) => {
                write!(
                    f,
                    "cannot wait for replies (needs Linux 5.11 or newer): {error}"
                )
            }
            Self::Ended(how) => write!(f, "the command ended before it listened: {how}"),
        }
    }
}

impl std::error::Error for Error {}
