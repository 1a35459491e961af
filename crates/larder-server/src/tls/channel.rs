//! One connection's records: what arrives is opened, what is answered is sealed. No socket.
//!
//! rustls without buffers of its own: what is read goes into the worker's buffer and is opened there, what is
//! sealed comes from the worker's output. A channel keeps the start of a record that has not come in
//! full, and what the socket has not taken; an idle one keeps neither.

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{Error, ServerConfig};

/// Plain bytes in a record.
const RECORD_BYTES_MAX: usize = 16 << 10;
/// More than a record takes besides: header, nonce, tag.
const OVERHEAD_BYTES: usize = 64;
/// More than announcements of new keys take, which rustls puts before the first record that needs them.
const BESIDE_BYTES: usize = 256;

/// The records of one connection.
pub(crate) struct Channel {
    records: UnbufferedServerConnection,
    /// The start of a record, or records of a message of the handshake, whose rest has not come.
    incoming: Vec<u8>,
    /// Sealed, and not yet taken by the socket but for its first bytes.
    outgoing: Vec<u8>,
    taken_bytes: usize,
    /// Bytes that are sealed in one go.
    write_bytes: usize,
    has_begun: bool,
    is_established: bool,
    is_ended: bool,
    has_ended: bool,
}

/// What became of a part of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    /// Plain bytes that were taken.
    pub(crate) plain_bytes: usize,
    /// Bytes for the socket, at the start of the buffer.
    pub(crate) sealed_bytes: usize,
}

impl Channel {
    pub(super) fn new(config: Arc<ServerConfig>, write_bytes: usize) -> Result<Self, Error> {
        Ok(Self {
            records: UnbufferedServerConnection::new(config)?,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            taken_bytes: 0,
            write_bytes: write_bytes.max(1),
            has_begun: false,
            is_established: false,
            is_ended: false,
            has_ended: false,
        })
    }

    /// The client has sent something.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The handshake is over.
    pub(crate) fn is_established(&self) -> bool {
        self.is_established
    }

    /// The client has said that it will send no more.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Bytes that it keeps.
    pub(crate) fn held_bytes(&self) -> usize {
        self.incoming.capacity() + self.outgoing.capacity()
    }

    /// Puts what is kept of an unfinished record before what is read next; how many bytes that is.
    pub(crate) fn restore(&self, input: &mut [u8]) -> Option<usize> {
        let kept_bytes = self.incoming.len();
        if kept_bytes >= input.len() {
            return None;
        }
        input.get_mut(..kept_bytes)?.copy_from_slice(&self.incoming);
        Some(kept_bytes)
    }

    /// Opens the records in `input`, which begins with what was kept; appends what they say to `plain`.
    /// What is to be answered to a handshake waits to be sent, and so does the alert after an error.
    pub(crate) fn open(&mut self, input: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        self.has_begun = true;
        let mut done_bytes = 0;
        loop {
            let rest = input.get_mut(done_bytes..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.records.process_tls_records(rest);
            let is_starved = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.outgoing);
                    false
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => {
                    transmit.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.is_ended = true;
                    false
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.is_established = true;
                    true
                }
                Ok(_) => true,
                Err(error) => {
                    // What rustls has to say of it comes first. Nothing may be asked of it after that.
                    let rest = input.get_mut(done_bytes + discard..).unwrap_or_default();
                    let UnbufferedStatus { state, .. } = self.records.process_tls_records(rest);
                    if let Ok(ConnectionState::EncodeTlsData(alert)) = state {
                        encode(alert, &mut self.outgoing);
                    }
                    (self.incoming, self.has_ended) = (Vec::new(), true);
                    return Err(error);
                }
            };
            done_bytes += discard;
            if is_starved {
                break;
            }
        }
        self.incoming.clear();
        match input.get(done_bytes..) {
            Some(rest) if !rest.is_empty() => self.incoming.extend_from_slice(rest),
            _ => self.incoming = Vec::new(),
        }
        Ok(())
    }

    /// Seals the start of `plain` into `buffer`, which grows as needed. Nothing may wait to be sent.
    pub(crate) fn seal(&mut self, plain: &[u8], buffer: &mut Vec<u8>) -> Result<Sealed, Error> {
        let part = plain.get(..self.write_bytes).unwrap_or(plain);
        let records = part.len() / RECORD_BYTES_MAX + 1;
        let room_bytes = part.len() + records * OVERHEAD_BYTES + BESIDE_BYTES;
        if buffer.len() < room_bytes {
            buffer.resize(room_bytes, 0);
        }
        let UnbufferedStatus { state, .. } = self.records.process_tls_records(&mut self.incoming);
        let ConnectionState::WriteTraffic(mut traffic) = state? else {
            return Err(Error::HandshakeNotComplete);
        };
        match traffic.encrypt(part, buffer) {
            Ok(sealed_bytes) => Ok(Sealed {
                plain_bytes: part.len(),
                sealed_bytes,
            }),
            Err(error) => Err(Error::General(error.to_string())),
        }
    }

    /// Says that nothing follows.
    pub(crate) fn end(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let UnbufferedStatus { state, .. } = self.records.process_tls_records(&mut self.incoming);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            /// An alert, sealed.
            const ALERT_BYTES: usize = 64;
            let mut alert = [0; ALERT_BYTES];
            if let Ok(bytes) = traffic.queue_close_notify(&mut alert) {
                self.outgoing
                    .extend_from_slice(alert.get(..bytes).unwrap_or_default());
            }
        }
    }

    /// What the socket is to take before anything else.
    pub(crate) fn outgoing(&self) -> &[u8] {
        self.outgoing.get(self.taken_bytes..).unwrap_or_default()
    }

    /// Notes that the socket took so much of it.
    pub(crate) fn note_taken(&mut self, bytes: usize) {
        self.taken_bytes += bytes;
        if self.taken_bytes >= self.outgoing.len() {
            (self.outgoing, self.taken_bytes) = (Vec::new(), 0);
        }
    }

    /// Keeps what the socket did not take.
    pub(crate) fn keep(&mut self, sealed: &[u8]) {
        self.outgoing.extend_from_slice(sealed);
    }

    /// What was agreed on, in words.
    pub(crate) fn agreement(&self) -> String {
        let version = self.records.protocol_version();
        let suite = self.records.negotiated_cipher_suite();
        format!("{version:?} {:?}", suite.map(|suite| suite.suite()))
    }
}

/// Appends a message of the handshake, or an alert.
fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
        data.encode(&mut [])
    {
        outgoing.resize(start + required_size, 0);
        let encoded = data.encode(outgoing.get_mut(start..).unwrap_or_default());
        outgoing.truncate(start + encoded.unwrap_or_default());
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("is_established", &self.is_established)
            .field("incoming", &self.incoming.len())
            .field("outgoing", &self.outgoing.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{
        CipherSuiteCommon, ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite,
        SupportedProtocolVersion, Tls13CipherSuite,
    };
    use std::io::{Cursor, Read, Write};

    use super::*;

    /// What the worker reads at most.
    const INPUT_BYTES: usize = 64 << 10;

    /// Configurations of both sides, which agree on one version.
    fn pair(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        pair_by(rustls::crypto::ring::default_provider(), version)
    }

    fn pair_by(
        provider: CryptoProvider,
        version: &'static SupportedProtocolVersion,
    ) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let provider = Arc::new(provider);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    }

    /// A client that sends `message`, through a wire that gives pieces of `piece_bytes` and may change the
    /// byte with a number. What the channel received, and sent back sealed; an error if it refused.
    fn talk(
        (server, client): &(Arc<ServerConfig>, Arc<ClientConfig>),
        message: &[u8],
        piece_bytes: usize,
        changed: Option<usize>,
    ) -> Result<Vec<u8>, Error> {
        let mut channel = Channel::new(Arc::clone(server), 1000).unwrap();
        let name = "localhost".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
        client.set_buffer_limit(None);
        client.writer().write_all(message).unwrap();
        let (mut plain, mut sent_bytes) = (Vec::new(), 0);
        loop {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            if wire.is_empty() {
                break;
            }
            if let Some(number) = changed
                && let Some(byte) = number
                    .checked_sub(sent_bytes)
                    .and_then(|at| wire.get_mut(at))
            {
                *byte ^= 0x55;
            }
            sent_bytes += wire.len();
            for piece in wire.chunks(piece_bytes) {
                let mut input = vec![0; INPUT_BYTES];
                let kept = channel.restore(&mut input).unwrap();
                input
                    .get_mut(kept..kept + piece.len())
                    .unwrap()
                    .copy_from_slice(piece);
                let records = input.get_mut(..kept + piece.len()).unwrap();
                if let Err(error) = channel.open(records, &mut plain) {
                    // Nothing more is asked of rustls, whatever is done with the channel.
                    channel.end();
                    return Err(error);
                }
            }
            let mut answer = Cursor::new(channel.outgoing().to_vec());
            channel.note_taken(answer.get_ref().len());
            while client.read_tls(&mut answer).unwrap() > 0 {
                if client.process_new_packets().is_err() {
                    break;
                }
            }
        }
        if !channel.is_established() {
            return Err(Error::HandshakeNotComplete);
        }
        if changed.is_none() {
            assert_eq!(channel.held_bytes(), 0, "an idle channel keeps nothing");
        }
        let (mut buffer, mut echo, mut answered) = (Vec::new(), Vec::new(), 0);
        while let Some(left) = plain.get(answered..).filter(|left| !left.is_empty()) {
            let sealed = channel.seal(left, &mut buffer).unwrap();
            answered += sealed.plain_bytes;
            let mut records = Cursor::new(buffer.get(..sealed.sealed_bytes).unwrap());
            while client.read_tls(&mut records).unwrap() > 0 {
                client.process_new_packets().unwrap();
            }
            let mut part = vec![0; sealed.plain_bytes];
            client.reader().read_exact(&mut part).unwrap();
            echo.extend(part);
        }
        assert!(echo == plain);
        Ok(plain)
    }

    #[test]
    fn records_may_be_cut_anywhere() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let pair = pair(version);
            let message: Vec<u8> = (0..=255).cycle().take(50_000).collect();
            for piece_bytes in [1, 2, 3, 5, 100, 1000, 16_384, 40_000] {
                let said = talk(&pair, &message, piece_bytes, None).unwrap();
                assert!(said == message, "{piece_bytes}");
            }
        }
    }

    /// After so many records under one key a cipher wants another.
    #[test]
    fn keys_that_are_used_up_are_replaced() {
        let mut provider = rustls::crypto::ring::default_provider();
        let usual = provider
            .cipher_suites
            .iter()
            .find_map(|suite| suite.tls13());
        let usual = usual.unwrap();
        // A static, as rustls wants it: the memory stays.
        let short = Box::leak(Box::new(Tls13CipherSuite {
            common: CipherSuiteCommon {
                suite: usual.common.suite,
                hash_provider: usual.common.hash_provider,
                confidentiality_limit: 7,
            },
            hkdf_provider: usual.hkdf_provider,
            aead_alg: usual.aead_alg,
            quic: None,
        }));
        provider.cipher_suites = vec![SupportedCipherSuite::Tls13(short)];
        let pair = pair_by(provider, &rustls::version::TLS13);
        let message: Vec<u8> = (0..=255).cycle().take(50_000).collect();
        for piece_bytes in [100, 40_000] {
            let said = talk(&pair, &message, piece_bytes, None).unwrap();
            assert!(said == message);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_wherever_it_is() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let pair = pair(version);
            for number in (0..700).step_by(3) {
                // Some bytes of a handshake say nothing that matters, and a length may promise more.
                for piece_bytes in [7, 2000] {
                    if let Ok(said) = talk(&pair, b"get key\r\n", piece_bytes, Some(number)) {
                        assert!(said.is_empty() || said == b"get key\r\n", "{number}");
                    }
                }
            }
        }
    }
}
