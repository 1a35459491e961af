//! The meta protocol's commands, executed: each is one step of the cache, whatever its flags.
//!
//! A reply is a code, the flags that the request wants back, in its order, and perhaps a value. Here
//! is what all replies are made of, and `me`.

mod change;
mod get;
mod store;

use larder::{ItemView, Timestamp, Ttl};

pub(crate) use change::{count, delete};
pub(crate) use get::get;
pub(super) use store::{admit, store};
pub(crate) use store::{may_be_filled, store_asked};

use super::{RELATIVE_SECONDS_MAX, ttl, wire_item_bytes};
use crate::counters::Counter;
use crate::flash::value_bytes;
use crate::protocol::base64;
use crate::protocol::meta::Request;
use crate::protocol::reply;
use crate::protocol::text::tokens;
use crate::service::Service;
use crate::stats;

/// What is left of a lifetime, in whole seconds begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Never,
    Seconds(u64),
}

impl Left {
    fn until(expires_at: Option<Timestamp>, now: Timestamp) -> Self {
        expires_at.map_or(Self::Never, |at| {
            Self::Seconds(
                at.since(now)
                    .as_millis()
                    .div_ceil(1000)
                    .try_into()
                    .unwrap_or(u64::MAX),
            )
        })
    }

    /// Of a lifetime that begins now.
    fn of(exptime: i32, now: Timestamp) -> Self {
        match u64::try_from(exptime) {
            Err(_) => Self::Seconds(0),
            Ok(0) => Self::Never,
            Ok(seconds @ 1..=RELATIVE_SECONDS_MAX) => Self::Seconds(seconds),
            Ok(unix) => Self::Seconds(unix.saturating_sub(now.unix_seconds())),
        }
    }

    /// After the item was given another lifetime, if it was.
    fn renewed(self, exptime: Option<i32>, now: Timestamp) -> Self {
        exptime.map_or(self, |exptime| Self::of(exptime, now))
    }

    fn write(self, output: &mut Vec<u8>) {
        match self {
            Self::Never => output.extend_from_slice(b"-1"),
            Self::Seconds(seconds) => reply::number(output, seconds),
        }
    }
}

/// What `mg` shows of an item.
struct Shown<'v> {
    key: &'v [u8],
    key_is_binary: bool,
    /// The item itself, unless it was made for this request.
    view: Option<ItemView<'v>>,
    /// Of the value, wherever it is.
    value_bytes: usize,
    client_flags: u32,
    cas: u64,
    left: Left,
    idle_seconds: u64,
    fetched: bool,
    stale: bool,
    renewing: bool,
    /// It was missing, and created for this request.
    created: bool,
}

impl<'v> Shown<'v> {
    fn of(service: &Service<'_>, view: &ItemView<'v>, now: Timestamp) -> Self {
        Self {
            key: view.key(),
            key_is_binary: view.is_marked(),
            view: Some(*view),
            value_bytes: value_bytes(view),
            client_flags: view.flags(),
            cas: service.shown(view.cas()),
            left: Left::until(view.expires_at(), now),
            idle_seconds: now
                .unix_seconds()
                .saturating_sub(view.accessed_at().unix_seconds()),
            fetched: view.was_fetched(),
            stale: view.is_stale(),
            renewing: view.is_renewing(),
            created: false,
        }
    }
}

/// The lifetime of what `N` creates: of `N` and `T` the later one in the line decides.
fn created_ttl(service: &Service<'_>, request: &Request<'_>) -> Ttl {
    let decides = |token: &&[u8]| matches!(token.first(), Some(b'N' | b'T'));
    let last = tokens(request.flags).filter(decides).last();
    let exptime = match last.and_then(<[u8]>::first) {
        Some(b'T') => request.exptime,
        _ => request.vivify,
    };
    exptime.map_or(Ttl::NEVER, |exptime| ttl(service, exptime))
}

/// `VA <bytes>`, or the code of a reply without a value.
fn write_code(output: &mut Vec<u8>, value_bytes: Option<usize>, code: &[u8; 2]) {
    match value_bytes {
        Some(bytes) => {
            output.reserve(bytes + 64);
            output.extend_from_slice(b"VA ");
            reply::number(output, bytes as u64);
        }
        None => output.extend_from_slice(code),
    }
}

fn write_key(key: &[u8], is_binary: bool, output: &mut Vec<u8>) {
    output.extend_from_slice(b" k");
    if is_binary {
        base64::encode(output, key);
        output.extend_from_slice(b" b");
    } else {
        output.extend_from_slice(key);
    }
}

/// The flags that every reply repeats: the opaque and the key.
fn write_request_flag(request: &Request<'_>, token: &[u8], output: &mut Vec<u8>) {
    match token.first() {
        Some(b'O') => {
            output.push(b' ');
            output.extend_from_slice(token);
        }
        Some(b'k') => write_key(request.key, request.key_is_binary, output),
        _ => {}
    }
}

fn write_request_flags(request: &Request<'_>, output: &mut Vec<u8>) {
    for token in tokens(request.flags) {
        write_request_flag(request, token, output);
    }
}

/// `me`
pub(crate) fn inspect(service: &Service<'_>, request: &Request<'_>, output: &mut Vec<u8>) {
    service.count(Counter::CmdMeta);
    let now = service.cache.now();
    let seen = service.cache.peek_with(request.key, |view| {
        let shown = Shown::of(service, &view, now);
        let item_bytes = wire_item_bytes(
            service,
            shown.key.len(),
            shown.client_flags,
            shown.value_bytes,
        );
        output.extend_from_slice(b"ME ");
        if shown.key_is_binary {
            base64::encode(output, shown.key);
        } else {
            output.extend_from_slice(shown.key);
        }
        output.extend_from_slice(b" exp=");
        shown.left.write(output);
        output.extend_from_slice(b" la=");
        reply::number(output, shown.idle_seconds);
        output.extend_from_slice(b" cas=");
        reply::number(output, shown.cas);
        reply::fixed(
            output,
            if shown.fetched {
                " fetch=yes"
            } else {
                " fetch=no"
            },
        );
        output.extend_from_slice(b" cls=");
        reply::number(output, u64::from(stats::class_number(view.class())));
        output.extend_from_slice(b" size=");
        reply::number(output, item_bytes as u64);
        output.extend_from_slice(b"\r\n");
    });
    if seen.is_none() {
        reply::fixed(output, reply::META_MISS);
    }
}
