//! Settings of TLS: memcached's `-Z` and `-o ssl_...`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::value::{self, Refused};
use crate::tls::Credentials;

/// Whether connections are encrypted, and by what. Start from `Tls::default()` and change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tls {
    /// `-Z`: TCP listeners that do not say otherwise speak TLS. Default false.
    pub enabled: bool,
    /// `-o ssl_chain_cert`: the server's certificate and those that vouch for it, in PEM.
    pub chain_cert: Option<PathBuf>,
    /// `-o ssl_key`: its private key. Default: in the file of the certificate.
    pub key: Option<PathBuf>,
    /// `-o ssl_keyformat`. Default PEM.
    pub key_format: KeyFormat,
    /// `-o ssl_verify_mode`. Default none.
    pub verify: VerifyMode,
    /// `-o ssl_ciphers`: cipher suites of TLS 1.2 by OpenSSL's names. Default all that there are.
    pub ciphers: Option<String>,
    /// `-o ssl_ca_cert`: who vouches for clients, in PEM.
    pub ca_cert: Option<PathBuf>,
    /// `-o ssl_wbuf_size`, in bytes: as much of a reply is encrypted before it is sent. Default 16 KiB.
    pub write_bytes: usize,
    /// `-o ssl_session_cache`: clients may resume what they negotiated before. Default false.
    pub session_cache: bool,
    /// `-o ssl_min_version`. Default 1.2.
    pub min_version: TlsVersion,
    loaded: Option<Arc<Credentials>>,
}

/// What a file with a private key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    /// Text.
    Pem,
    /// The bytes themselves.
    Der,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyMode {
    /// None is asked for.
    None,
    /// One is asked for, and if it is shown it has to be good.
    Request,
    /// A good one is asked for, and needed.
    Require,
    /// The same: there is no renegotiation that could ask again.
    Once,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            enabled: false,
            chain_cert: None,
            key: None,
            key_format: KeyFormat::Pem,
            verify: VerifyMode::None,
            ciphers: None,
            ca_cert: None,
            write_bytes: 16 << 10,
            session_cache: false,
            min_version: TlsVersion::V1_2,
            loaded: None,
        }
    }
}

impl Tls {
    /// Reads the files that it names now, if it is enabled, and not when the server starts: before the
    /// process gives up the right to read them, or changes its folder.
    ///
    /// # Errors
    /// The file that cannot be read, or the setting that cannot be had.
    pub fn load(&mut self) -> io::Result<()> {
        if self.enabled {
            self.loaded = Some(self.credentials()?);
        }
        Ok(())
    }

    /// What was read from the files; they are read if they have not been.
    pub(crate) fn credentials(&self) -> io::Result<Arc<Credentials>> {
        match &self.loaded {
            Some(loaded) => Ok(Arc::clone(loaded)),
            None => Credentials::load(self)
                .map(Arc::new)
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why)),
        }
    }

    /// Whether files, verification, ciphers or the session cache were set.
    pub(super) fn is_configured(&self) -> bool {
        let files = [&self.chain_cert, &self.key, &self.ca_cert];
        files.iter().any(|file| file.is_some())
            || self.verify != VerifyMode::None
            || self.ciphers.is_some()
            || self.session_cache
    }
}

pub(super) fn key_format(text: &str) -> Result<KeyFormat, Refused> {
    match text {
        "1" => Ok(KeyFormat::Pem),
        "2" => Ok(KeyFormat::Der),
        _ => Err(format!("takes 1 (PEM) or 2 (DER), not {text:?}")),
    }
}

pub(super) fn verify_mode(text: &str) -> Result<VerifyMode, Refused> {
    Ok(match value::number(text, 0..=3_u32)? {
        0 => VerifyMode::None,
        1 => VerifyMode::Request,
        2 => VerifyMode::Require,
        _ => VerifyMode::Once,
    })
}

pub(super) fn version(text: &str) -> Result<TlsVersion, Refused> {
    match text {
        "2" => Ok(TlsVersion::V1_2),
        "3" => Ok(TlsVersion::V1_3),
        "0" | "1" => Err("cannot be below 2: TLS 1.0 and 1.1 are not spoken here".to_owned()),
        _ => Err(format!("takes 2 (TLS 1.2) or 3 (TLS 1.3), not {text:?}")),
    }
}
