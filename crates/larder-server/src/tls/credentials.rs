//! Certificates and keys, read from files, and the rustls configurations made of them.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    NoServerSessionStorage, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};

use super::{ClientCerts, ciphers};
use crate::config::{KeyFormat, Tls, TlsVersion};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Sessions that are kept for each way to treat clients.
const SESSIONS_MAX: usize = 4096;

/// Who the server is, and whom it lets in.
pub(crate) struct Credentials {
    files: Files,
    ignoring: Arc<ServerConfig>,
    requesting: Arc<ServerConfig>,
    requiring: Arc<ServerConfig>,
    new_sessions: Arc<AtomicU64>,
}

/// Where they came from, from the root folder on: the process may change its own.
#[derive(Clone)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
    authorities: Option<PathBuf>,
}

impl Credentials {
    /// Reads the files that the settings name; the error is a line.
    pub(crate) fn load(settings: &Tls) -> Result<Self, String> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let chain = settings.chain_cert.as_ref();
        let chain =
            chain.ok_or("Error loading the certificate chain: -o ssl_chain_cert is not given")?;
        let files = Files {
            key: absolute(settings.key.as_ref().unwrap_or(chain)),
            chain: absolute(chain),
            authorities: settings.ca_cert.as_ref().map(absolute),
        };
        Self::read(settings, files, Arc::default())
    }

    /// The same, from the files as they are now.
    pub(crate) fn reload(&self, settings: &Tls) -> Result<Self, String> {
        Self::read(settings, self.files.clone(), Arc::clone(&self.new_sessions))
    }

    fn read(settings: &Tls, files: Files, new_sessions: Arc<AtomicU64>) -> Result<Self, String> {
        let mut provider = rustls::crypto::ring::default_provider();
        if let Some(list) = &settings.ciphers {
            let suites = std::mem::take(&mut provider.cipher_suites);
            provider.cipher_suites = ciphers::select(list, suites).map_err(|why| {
                format!("Error setting the provided cipher(s): ssl_ciphers {why}")
            })?;
        }
        let provider = Arc::new(provider);
        let certified = Arc::new(SingleCertAndKey::from(certified(
            settings, &files, &provider,
        )?));
        let authorities = match &files.authorities {
            Some(path) => Some(Arc::new(authorities(path).map_err(|why| {
                format!(
                    "Error loading the CA certificate: {} : {why}",
                    path.display()
                )
            })?)),
            None => None,
        };
        let versions: &[&SupportedProtocolVersion] = match settings.min_version {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let build = |clients: ClientCerts| -> Result<Arc<ServerConfig>, String> {
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(versions)
                .map_err(|error| format!("Error setting the protocol versions: {error}"))?;
            let builder = match verifier(clients, authorities.as_ref(), &provider)? {
                Some(verifier) => builder.with_client_cert_verifier(verifier),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(Arc::clone(&certified) as _);
            if settings.session_cache {
                // One for each: a session that was begun without a certificate opens no door that
                // asks for one. And a new one for new files, so that old certificates are looked at again.
                config.session_storage = Arc::new(Sessions {
                    kept: ServerSessionMemoryCache::new(SESSIONS_MAX),
                    new_sessions: Arc::clone(&new_sessions),
                });
            } else {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
            Ok(Arc::new(config))
        };
        Ok(Self {
            ignoring: build(ClientCerts::Ignored)?,
            requesting: build(ClientCerts::Requested)?,
            requiring: build(ClientCerts::Required)?,
            files,
            new_sessions,
        })
    }

    pub(crate) fn config(&self, clients: ClientCerts) -> Arc<ServerConfig> {
        Arc::clone(match clients {
            ClientCerts::Ignored => &self.ignoring,
            ClientCerts::Requested => &self.requesting,
            ClientCerts::Required => &self.requiring,
        })
    }

    pub(crate) fn new_sessions(&self) -> u64 {
        self.new_sessions.load(Relaxed)
    }
}

impl fmt::Debug for Credentials {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.files.chain.display())
    }
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        let message = format!("more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }
    std::fs::read(path)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = bytes_of(path).map_err(|error| error.to_string())?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() {
        return Err("no certificate in PEM".to_owned());
    }
    Ok(all)
}

fn private_key(path: &Path, format: KeyFormat) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = bytes_of(path).map_err(|error| error.to_string())?;
    match format {
        KeyFormat::Pem => PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|error| format!("no private key in PEM without a passphrase: {error}")),
        KeyFormat::Der => PrivateKeyDer::try_from(bytes).map_err(str::to_owned),
    }
}

/// The server's certificate with its key, which must belong together.
fn certified(
    settings: &Tls,
    files: &Files,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let chain = certificates(&files.chain).map_err(|why| {
        let path = files.chain.display();
        format!("Error loading the certificate chain: {path} : {why}")
    })?;
    let path = files.key.display();
    let unusable = |why: String| format!("Error loading the key: {path} : {why}");
    let key = private_key(&files.key, settings.key_format).map_err(unusable)?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| unusable(error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) => Err(format!("Error validating the certificate: {error}")),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// What looks at the certificates of clients; none if nobody is asked.
fn verifier(
    clients: ClientCerts,
    authorities: Option<&Arc<RootCertStore>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if clients == ClientCerts::Ignored {
        return Ok(None);
    }
    let Some(authorities) = authorities else {
        return Ok(Some(Arc::new(NoAuthority {
            needs_certificate: clients == ClientCerts::Required,
            schemes: provider
                .signature_verification_algorithms
                .supported_schemes(),
        })));
    };
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), Arc::clone(provider));
    let builder = match clients {
        ClientCerts::Required => builder,
        _ => builder.allow_unauthenticated(),
    };
    let verifier = builder.build();
    let verifier =
        verifier.map_err(|error| format!("Error loading the CA certificate: {error}"))?;
    Ok(Some(verifier))
}

/// Without `ssl_ca_cert` there is no good certificate of a client, as in memcached.
#[derive(Debug)]
struct NoAuthority {
    needs_certificate: bool,
    schemes: Vec<SignatureScheme>,
}

impl NoAuthority {
    const REFUSAL: Error = Error::InvalidCertificate(CertificateError::UnknownIssuer);
}

impl ClientCertVerifier for NoAuthority {
    fn client_auth_mandatory(&self) -> bool {
        self.needs_certificate
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Err(Self::REFUSAL)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Self::REFUSAL)
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Self::REFUSAL)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Sessions to be resumed, counted as they come.
#[derive(Debug)]
struct Sessions {
    kept: Arc<ServerSessionMemoryCache>,
    new_sessions: Arc<AtomicU64>,
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.new_sessions.fetch_add(1, Relaxed);
        self.kept.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept.take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}
