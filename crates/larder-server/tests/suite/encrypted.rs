//! Clients that speak TLS, and certificates made for a test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use larder_server::Config;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::sockets;

/// The connection of a TLS client.
pub(crate) type Encrypted<S = TcpStream> = StreamOwned<ClientConnection, S>;

/// A certificate and its key, in PEM.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: KeyPair,
}

/// Who vouches for certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    /// A certificate for this name.
    pub(crate) fn certify(&self, name: &str) -> Certified {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certified { certificate, key }
    }
}

/// Files of a server: its certificate and key, and the authority of it and of its clients.
pub(crate) struct Files {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) authority: Authority,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
        };
        files.certify("localhost");
        std::fs::write(files.path("ca"), &files.authority.certificate).unwrap();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another certificate and key for the server.
    pub(crate) fn certify(&self, name: &str) {
        let Certified { certificate, key } = self.authority.certify(name);
        std::fs::write(self.path("cert"), certificate).unwrap();
        std::fs::write(self.path("key"), key.serialize_pem()).unwrap();
        std::fs::write(self.path("key.der"), key.serialize_der()).unwrap();
    }

    /// Lets a server use them.
    pub(crate) fn apply(&self, config: &mut Config) {
        config.tls.enabled = true;
        config.tls.chain_cert = Some(self.path("cert"));
        config.tls.key = Some(self.path("key"));
        config.tls.ca_cert = Some(self.path("ca"));
    }

    /// The value of `-o` for them.
    pub(crate) fn options(&self) -> String {
        let [cert, key, ca] =
            ["cert", "key", "ca"].map(|name| self.path(name).display().to_string());
        format!("ssl_chain_cert={cert},ssl_key={key},ssl_ca_cert={ca}")
    }

    /// What a client believes, and who it is.
    pub(crate) fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        certified: Option<&Certified>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let authority = self.authority.certificate.as_bytes();
        roots
            .add(CertificateDer::from_pem_slice(authority).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match certified {
            None => builder.with_no_client_auth(),
            Some(Certified { certificate, key }) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap(),
        })
    }

    /// A client without a certificate, by any version.
    pub(crate) fn connect(&self, address: SocketAddr) -> Encrypted {
        let config = self.client(rustls::ALL_VERSIONS, None);
        encrypt(config, "localhost", tcp(address))
    }
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = sockets::tcp(address);
    stream.set_nodelay(true).unwrap();
    stream
}

/// A client that expects the server to have a certificate for `name`. Nothing is sent before it writes.
pub(crate) fn encrypt<S: Read + Write>(
    config: Arc<ClientConfig>,
    name: &str,
    stream: S,
) -> Encrypted<S> {
    let name = name.to_owned().try_into().unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}

/// Sends and takes one byte at a time.
pub(crate) struct Dribble(pub(crate) TcpStream);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(1);
        self.0.read(&mut buffer[..count])
    }
}

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
