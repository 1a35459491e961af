//! TLS, by rustls: who the server is and whom it lets in (credentials.rs), and one connection's records
//! (channel.rs). No sockets.
//!
//! ```text
//! files -> Credentials: a configuration for each way to treat clients' certificates
//!             ^ read again by SIGHUP and refresh_certs; connections keep what they began with
//! socket bytes -> Channel::open -> plain bytes -> Connection -> replies -> Channel::seal -> socket bytes
//! ```

mod channel;
mod ciphers;
mod credentials;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use larder::Timestamp;

use crate::config::{Tls, VerifyMode};

pub(crate) use channel::Channel;
pub(crate) use credentials::Credentials;

/// How a listener treats certificates of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCerts {
    Ignored,
    Requested,
    Required,
}

impl From<VerifyMode> for ClientCerts {
    fn from(mode: VerifyMode) -> Self {
        match mode {
            VerifyMode::None => Self::Ignored,
            VerifyMode::Request => Self::Requested,
            VerifyMode::Require | VerifyMode::Once => Self::Required,
        }
    }
}

/// What TLS connections of a server begin with.
#[derive(Debug)]
pub(crate) struct Endpoint {
    settings: Tls,
    current: RwLock<Arc<Credentials>>,
    /// Milliseconds since 1970.
    loaded_at: AtomicU64,
}

impl Endpoint {
    pub(crate) fn new(settings: &Tls, current: Arc<Credentials>, now: Timestamp) -> Self {
        Self {
            settings: settings.clone(),
            current: RwLock::new(current),
            loaded_at: AtomicU64::new(now.unix_millis()),
        }
    }

    /// The records of a connection that begins.
    pub(crate) fn channel(&self, clients: ClientCerts) -> Result<Channel, rustls::Error> {
        let config = self.current().config(clients);
        Channel::new(config, self.settings.write_bytes)
    }

    /// Reads the files again. After an error everything stays as it was.
    pub(crate) fn reload(&self, now: Timestamp) -> Result<(), String> {
        let renewed = self.current().reload(&self.settings)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
        self.loaded_at.store(now.unix_millis(), Relaxed);
        Ok(())
    }

    pub(crate) fn loaded_at(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.loaded_at.load(Relaxed))
    }

    /// Sessions that clients may resume, as many as there have been.
    pub(crate) fn new_sessions(&self) -> u64 {
        self.current().new_sessions()
    }

    fn current(&self) -> Arc<Credentials> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }
}
