//! How a client says who it is: SASL PLAIN in packets, or a `set` whose value is `user password`.

use super::{Connection, Progress, State};
use crate::counters::Counter;
use crate::execute::binary::Request;
use crate::protocol::binary::{Refusal, Reply, Status, Verb};
use crate::protocol::number::strict_u32;
use crate::protocol::reply;
use crate::protocol::text::{BLOCK_END, tokens};
use crate::service::Service;

const MECHANISM: &[u8] = b"PLAIN";
/// A longer name of a mechanism is no name.
const MECHANISM_BYTES_MAX: usize = 32;
/// User and password together, in either protocol.
const CREDENTIALS_BYTES_MAX: usize = 16 << 10;
/// A longer line, whole or not, ends the connection of a client that has not authenticated.
const LINE_BYTES_MAX: usize = 2048;
/// A shorter line cannot be a `set`.
const LINE_BYTES_MIN: usize = 6;
/// Fewer bytes are not looked at, even where a line ends in them: left over by a data block of another
/// length than announced, they wait for what comes next.
const LOOK_BYTES_MIN: usize = 3;

impl Connection {
    /// Executes a request of SASL. `whole` says that its value has arrived.
    pub(super) fn sasl(
        &mut self,
        service: &Service<'_>,
        request: &Request<'_>,
        whole: bool,
        output: &mut Vec<u8>,
    ) -> Progress {
        let header = request.header;
        let Some(auth) = &service.shared.auth else {
            return self.refuse_value(header, Status::UnknownCommand, output);
        };
        if request.verb == Verb::SaslMechanisms {
            return accept(request, MECHANISM, output);
        }
        if header.key_bytes > MECHANISM_BYTES_MAX || header.value_bytes() > CREDENTIALS_BYTES_MAX {
            return self.refuse_value(header, Status::Invalid, output);
        }
        if !whole {
            return self.wait_for(header.packet_bytes());
        }
        let begins = request.verb == Verb::SaslAuth;
        let begun = std::mem::take(&mut self.sasl_begun);
        if begins && request.body.key == MECHANISM && request.body.value.is_empty() {
            self.sasl_begun = true;
            Reply::default().write_continue(header, output);
            return Progress::More(header.packet_bytes());
        }
        service.count(Counter::AuthCmds);
        let named = plain(request.body.value);
        let may_try = request.body.key == MECHANISM && (begins || begun);
        if may_try && named.is_some_and(|(user, password)| auth.accepts(user, password)) {
            self.authenticated = true;
            return accept(request, b"Authenticated", output);
        }
        service.count(Counter::AuthErrors);
        Refusal::of(header, Status::AuthFailure).write(output);
        Progress::More(header.packet_bytes())
    }

    /// Reads the line, and then the block, of a text client that has not authenticated yet.
    pub(super) fn authenticate(
        &mut self,
        service: &Service<'_>,
        rest: &[u8],
        output: &mut Vec<u8>,
    ) -> Progress {
        self.needed_bytes = 0;
        if rest.len() < LOOK_BYTES_MIN {
            return Progress::Starved;
        }
        let found = memchr::memchr(b'\n', rest);
        let line_end = found.unwrap_or(rest.len());
        if line_end > LINE_BYTES_MAX || found.is_some() && line_end < LINE_BYTES_MIN {
            self.state = State::Closed;
            return Progress::Stopped;
        }
        if found.is_none() {
            return Progress::Starved;
        }
        let (line, behind) = rest.split_at(line_end);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let announced = tokens(line).nth(4).and_then(strict_u32);
        let line_bytes = line_end + 1;
        let Some(announced) = announced.filter(|_| line.starts_with(b"set")) else {
            reply::fixed(output, reply::UNAUTHENTICATED);
            return Progress::More(line_bytes);
        };
        let value_bytes = announced as usize;
        if value_bytes > CREDENTIALS_BYTES_MAX {
            reply::fixed(output, reply::AUTH_TOO_LONG);
            return Progress::More(line_bytes);
        }
        let block_bytes = value_bytes + BLOCK_END.len();
        let Some(block) = behind.get(1..=block_bytes) else {
            return self.wait_for(line_bytes + block_bytes);
        };
        reply::fixed(output, self.try_block(service, block));
        Progress::More(line_bytes + block_bytes)
    }

    fn try_block(&mut self, service: &Service<'_>, block: &[u8]) -> &'static str {
        let Some(credentials) = block.strip_suffix(BLOCK_END) else {
            return reply::BAD_TERMINATION;
        };
        let Some(space) = memchr::memchr(b' ', credentials) else {
            return reply::BAD_AUTH_FORMAT;
        };
        let (user, password) = credentials.split_at(space);
        let password = password.strip_prefix(b" ").unwrap_or(password);
        service.count(Counter::AuthCmds);
        let auth = service.shared.auth.as_ref();
        if auth.is_some_and(|auth| auth.accepts(user, password)) {
            self.authenticated = true;
            return reply::STORED;
        }
        service.count(Counter::AuthErrors);
        reply::AUTH_FAILURE
    }
}

fn accept(request: &Request<'_>, value: &[u8], output: &mut Vec<u8>) -> Progress {
    let reply = Reply {
        value,
        ..Reply::default()
    };
    reply.write(request.header, output);
    Progress::More(request.header.packet_bytes())
}

/// User and password of a PLAIN message: `[on behalf of] NUL user NUL password`. Nobody may act on
/// behalf of another.
fn plain(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = message.splitn(3, |&byte| byte == 0);
    let (on_behalf_of, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let is_own = on_behalf_of.is_empty() || on_behalf_of == user;
    (is_own && !user.is_empty()).then_some((user, password))
}
