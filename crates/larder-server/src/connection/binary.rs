//! Packets of the binary protocol in a connection: waiting for their bodies, refusing them.

use super::{Connection, Owed, Progress, State};
use crate::execute::Outcome;
use crate::execute::binary::{self as execute, Request};
use crate::protocol::binary::{Body, HEADER_BYTES, Header, Packet, Refusal, Status, Verb};
use crate::service::Service;

impl Connection {
    /// Looks for a packet at the start of `rest` and executes it.
    pub(super) fn packet(
        &mut self,
        service: &Service<'_>,
        rest: &[u8],
        output: &mut Vec<u8>,
    ) -> Progress {
        self.needed_bytes = 0;
        let packet = Packet::parse(rest);
        if let Some(header) = self.lacks_authentication(service, &packet) {
            return self.end(Refusal::of(header, Status::AuthFailure), output);
        }
        match packet {
            Packet::Incomplete => self.wait_for(HEADER_BYTES),
            Packet::Hangup => {
                self.state = State::Closed;
                Progress::Stopped
            }
            Packet::Broken(header, status) => self.end(Refusal::of(&header, status), output),
            Packet::Unknown(header) => {
                let refusal = Refusal::of(&header, Status::UnknownCommand);
                self.skip(header.body_bytes, Owed::Packet(refusal), output);
                Progress::More(HEADER_BYTES)
            }
            Packet::Request {
                header,
                verb,
                quiet,
            } => {
                // Extras and key are short; the value may be a long time coming.
                if rest.len() < header.value_at() {
                    return self.wait_for(header.value_at());
                }
                let request = Request {
                    header: &header,
                    verb,
                    quiet,
                    body: Body::cut(&header, rest),
                };
                self.request(service, &request, rest, output)
            }
        }
    }

    fn request(
        &mut self,
        service: &Service<'_>,
        request: &Request<'_>,
        rest: &[u8],
        output: &mut Vec<u8>,
    ) -> Progress {
        let header = request.header;
        let whole = rest.len() >= header.packet_bytes();
        match request.verb {
            Verb::SaslMechanisms | Verb::SaslAuth | Verb::SaslStep => {
                return self.sasl(service, request, whole, output);
            }
            verb if verb.stores() => {
                if !execute::admit(service, request) {
                    return self.refuse_value(header, Status::TooLarge, output);
                }
                if !whole && self.gives_up {
                    let status = execute::give_up(service, request);
                    return self.refuse_value(header, status, output);
                }
                if !whole {
                    return self.wait_for(header.packet_bytes());
                }
                execute::execute(service, request, output);
                return Progress::More(header.packet_bytes());
            }
            _ => {}
        }
        if execute::execute(service, request, output) == Outcome::Quit {
            self.has_quit = true;
            self.state = State::Closed;
        } else {
            // What these verbs have no use for is skipped as it comes.
            self.skip(header.value_bytes(), Owed::Nothing, output);
        }
        Progress::More(header.value_at())
    }

    pub(super) fn wait_for(&mut self, bytes: usize) -> Progress {
        self.needed_bytes = bytes;
        Progress::Starved
    }

    /// Replies to a request once its value has been skipped.
    pub(super) fn refuse_value(
        &mut self,
        header: &Header,
        status: Status,
        output: &mut Vec<u8>,
    ) -> Progress {
        let refusal = Refusal::of(header, status);
        self.skip(header.value_bytes(), Owed::Packet(refusal), output);
        Progress::More(header.value_at())
    }

    /// Replies, and ends the conversation: where the next packet begins is unknown.
    fn end(&mut self, refusal: Refusal, output: &mut Vec<u8>) -> Progress {
        refusal.write(output);
        self.state = State::Closed;
        Progress::Stopped
    }

    /// The packet's header, if a client may not send it before it has authenticated.
    fn lacks_authentication<'p>(
        &self,
        service: &Service<'_>,
        packet: &'p Packet,
    ) -> Option<&'p Header> {
        if self.authenticated || service.shared.auth.is_none() {
            return None;
        }
        match packet {
            Packet::Unknown(header) | Packet::Broken(header, Status::Invalid) => Some(header),
            Packet::Request { header, verb, .. } => match verb {
                Verb::SaslMechanisms | Verb::SaslAuth | Verb::SaslStep | Verb::Version => None,
                _ => Some(header),
            },
            Packet::Incomplete | Packet::Hangup | Packet::Broken(..) => None,
        }
    }
}
