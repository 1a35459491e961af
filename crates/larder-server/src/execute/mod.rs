//! One command on the cache, to reply bytes: the only place that speaks both languages. One file a
//! protocol; here is what they have in common: lifetimes and sizes, and in count.rs counters.

pub(crate) mod admin;
pub(crate) mod binary;
mod count;
mod deferred;
pub(crate) mod events;
pub(crate) mod meta;
pub(crate) mod retrieve;
pub(crate) mod text;
pub(crate) mod walk;

use std::time::Duration;

use larder::{CasToken, Error, Prepared, Reservation, Timestamp, Ttl};

use crate::config::Config;
use crate::protocol::admin::Streams;
use crate::protocol::meta::Request;
use crate::protocol::text::StoreLine;
use crate::service::Service;

/// What the connection does after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Goes on.
    Done,
    /// Goes on with the keys from this position of the line on, once its output has drained.
    KeysLeft { position: usize },
    /// Goes on after a walk over all items.
    Walk(walk::Purpose),
    /// Becomes one that watches these log streams.
    Watch(Streams),
    /// Closes, after its output has drained.
    Quit,
}

/// A storage command whose data block follows its line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Announced<'a> {
    Text(&'a StoreLine<'a>),
    Meta(&'a Request<'a>),
}

/// The value of a storage command.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// As it came.
    Whole(&'a [u8]),
    /// In the cache's memory already.
    Filled(Reservation<'static>),
}

impl Value<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Whole(value) => value.len(),
            Self::Filled(value) => value.len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(value) => value,
            Self::Filled(value) => value,
        }
    }
}

impl Announced<'_> {
    /// Length of the data block, without its end.
    pub(crate) const fn value_bytes(&self) -> usize {
        match self {
            Self::Text(line) => line.value_bytes,
            Self::Meta(request) => request.value_bytes,
        }
    }

    /// Whether refusals go unsaid.
    pub(crate) const fn noreply(&self) -> bool {
        match self {
            Self::Text(line) => line.noreply,
            Self::Meta(_) => false,
        }
    }

    /// Whether the item is within the item limit. If not, what it would have replaced is gone.
    pub(crate) fn admit(&self, service: &Service<'_>) -> bool {
        match self {
            Self::Text(line) => text::admit(service, line),
            Self::Meta(request) => meta::admit(service, request),
        }
    }

    /// Removes what a refused command would have replaced: a stale value never outlives the attempt
    /// to overwrite it.
    pub(crate) fn forget_overwritten(&self, service: &Service<'_>) {
        match self {
            Self::Text(line) => text::forget_overwritten(service, line),
            Self::Meta(request) => {
                service.cache.remove(request.key);
            }
        }
    }

    /// Executes the command with its data block. `item` is its key's, if that was prepared.
    pub(crate) fn store(
        &self,
        service: &Service<'_>,
        item: Option<&Prepared<'_, '_>>,
        value: Value<'_>,
        output: &mut Vec<u8>,
    ) {
        match self {
            Self::Text(line) => {
                let item = prepared(service, item, line.key);
                text::store(service, line, &item, value, output);
            }
            Self::Meta(request) => {
                let item = prepared(service, item, request.key);
                meta::store(service, request, &item, value, output);
            }
        }
    }
}

/// `item` if it is the key's: it is not if the key came in base64, or alone.
pub(crate) fn prepared<'p>(
    service: &Service<'p>,
    item: Option<&Prepared<'p, 'p>>,
    key: &'p [u8],
) -> Prepared<'p, 'p> {
    match item {
        Some(item) if std::ptr::eq(item.key(), key) => *item,
        _ => service.cache.batch().prepare(key),
    }
}

/// A relative exptime above this is an absolute Unix time.
pub(crate) const RELATIVE_SECONDS_MAX: u64 = 30 * 24 * 60 * 60;
/// What memcached adds to key, flags and value when it compares with `-I`: a 48-byte header, the
/// key's NUL, the value's CR LF and the cas unique. Kept so that the same values fit.
const WIRE_OVERHEAD_BYTES: usize = 48 + 1 + 2;
const WIRE_CAS_BYTES: usize = 8;
const WIRE_FLAGS_BYTES: usize = 4;

/// The longest value that the item limit lets through, under any key.
pub(crate) fn value_bytes_max(config: &Config) -> usize {
    let overhead_bytes = wire_overhead_bytes(config) + 1;
    config.item_bytes_max.saturating_sub(overhead_bytes)
}

/// Bytes of an item as memcached counts them, which is what `-I` limits.
pub(crate) fn wire_item_bytes(
    service: &Service<'_>,
    key_bytes: usize,
    flags: u32,
    value_bytes: usize,
) -> usize {
    let flags_bytes = if flags == 0 { 0 } else { WIRE_FLAGS_BYTES };
    wire_overhead_bytes(&service.shared.config) + key_bytes + flags_bytes + value_bytes
}

/// Whether `value`, joined to what is under the key of `item`, stays within the item limit. Of an item with another
/// token than the one compared the store says so. What other connections do in between may exceed the
/// limit by a key's length, never the engine's.
pub(crate) fn admit_joined(
    service: &Service<'_>,
    item: &Prepared<'_, '_>,
    compared: Option<CasToken>,
    value: &[u8],
) -> Result<(), Error> {
    let joined = item.peek_with(|view| {
        let is_asked = compared.is_none_or(|token| token == view.cas());
        is_asked.then(|| (view.flags(), view.value().len() + value.len()))
    });
    let Some((flags, value_bytes)) = joined.flatten() else {
        return Ok(());
    };
    let item_bytes = wire_item_bytes(service, item.key().len(), flags, value_bytes);
    if item_bytes <= service.item_bytes_max {
        return Ok(());
    }
    Err(Error::ValueTooLarge {
        value_bytes,
        value_bytes_max: value_bytes - (item_bytes - service.item_bytes_max),
    })
}

const fn wire_overhead_bytes(config: &Config) -> usize {
    WIRE_OVERHEAD_BYTES + if config.cas { WIRE_CAS_BYTES } else { 0 }
}

/// The lifetime that an exptime asks for: negative expired, else as [`lifetime`] says.
pub(crate) fn ttl(service: &Service<'_>, exptime: i32) -> Ttl {
    match u64::try_from(exptime) {
        Err(_) => Ttl::EXPIRED,
        Ok(seconds) => lifetime(service, seconds),
    }
}

/// The lifetime of so many seconds: 0 never, up to 30 days relative, else absolute, and expired if
/// that was before the server started.
pub(crate) fn lifetime(service: &Service<'_>, seconds: u64) -> Ttl {
    match seconds {
        0 => Ttl::NEVER,
        1..=RELATIVE_SECONDS_MAX => Ttl::seconds(seconds),
        unix if unix <= service.started.unix_seconds() => Ttl::EXPIRED,
        unix => Ttl::at(Timestamp::from_unix_seconds(unix)),
    }
}

/// Removes everything, now or at the instant that so many seconds mean.
pub(crate) fn flush(service: &Service<'_>, seconds: u64) {
    let cache = service.cache;
    match seconds {
        0 => cache.clear(),
        1..=RELATIVE_SECONDS_MAX => {
            cache.clear_before(cache.now().after(Duration::from_secs(seconds)));
        }
        unix => cache.clear_before(Timestamp::from_unix_seconds(unix)),
    }
}
