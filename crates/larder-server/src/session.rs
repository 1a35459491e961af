//! The protocol without sockets: for transports of one's own, tests, fuzzing and benchmarks.

use std::sync::Arc;

use larder::Cache;

use crate::auth::Auth;
use crate::config::Config;
use crate::connection::{Connection, Next};
use crate::service::{Service, Shared};

/// One client's conversation over a cache: bytes in, bytes out.
///
/// ```
/// # use std::sync::Arc;
/// use larder_server::{Config, Next, Session};
///
/// let cache = Arc::new(larder::Cache::with_limit(1 << 20)?);
/// let mut session = Session::new(cache, Config::default());
/// let mut output = Vec::new();
/// assert_eq!(session.receive(b"set k 0 0 5\r\nhello\r\nget k\r\n", &mut output), Next::Input);
/// assert_eq!(output, b"STORED\r\nVALUE k 0 5\r\nhello\r\nEND\r\n");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    shared: Shared,
    connection: Connection,
}

impl Session {
    /// A conversation that begins. If the configuration names a password file that cannot be read,
    /// nobody gets in.
    #[must_use]
    pub fn new(cache: Arc<Cache>, config: Config) -> Self {
        let config = Config {
            threads: 1,
            ..config
        };
        let auth = Shared::load_auth(&config).unwrap_or_else(|error| {
            log::error!("nobody gets in: {error}");
            Some(Auth::closed())
        });
        let connection = Connection::new(config.protocol);
        Self {
            shared: Shared::new(cache, config, auth, None, None),
            connection,
        }
    }

    /// Takes `input` and appends replies to `output`. Output is bounded: once there is enough of
    /// it the answer is [`Next::Drain`], and the rest waits for [`resume`](Self::resume).
    pub fn receive(&mut self, input: &[u8], output: &mut Vec<u8>) -> Next {
        self.connection
            .receive(&Service::new(&self.shared, 0), input, output)
    }

    /// Goes on after [`Next::Drain`], with an `output` that has been drained.
    pub fn resume(&mut self, output: &mut Vec<u8>) -> Next {
        self.connection
            .resume(&Service::new(&self.shared, 0), output)
    }
}
