//! One command on the cache, to reply bytes: the only place that speaks both languages. One file a
//! protocol; here is what they have in common: lifetimes, sizes and counters.

pub(crate) mod text;

use larder::{Cache, Edit, Ttl, UpdateOutcome};

use crate::protocol::number;
use crate::protocol::text::Direction;
use crate::service::Service;

/// What the connection does after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Goes on.
    Done,
    /// Goes on with the keys from this position of the line on, once its output has drained.
    KeysLeft { position: usize },
    /// Closes, after its output has drained.
    Quit,
}

/// A relative exptime above this is an absolute Unix time.
pub(crate) const RELATIVE_EXPTIME_MAX: i32 = 30 * 24 * 60 * 60;
/// What memcached adds to key, flags and value when it compares with `-I`: a 48-byte header, 8
/// bytes of cas unique, the key's NUL and the value's CR LF. Kept so that the same values fit.
pub(crate) const WIRE_OVERHEAD_BYTES: usize = 48 + 8 + 1 + 2;
pub(crate) const WIRE_FLAGS_BYTES: usize = 4;

/// The longest value that an item limit of `item_bytes_max` lets through, under any key.
pub(crate) fn value_bytes_max(item_bytes_max: usize) -> usize {
    item_bytes_max.saturating_sub(WIRE_OVERHEAD_BYTES + 1)
}

/// What one step of a counter came to.
pub(crate) enum Step {
    Counted(u64),
    Missing,
    NonNumeric,
    NoMemory,
}

/// One step of a counter, as one update of its item. A number that became shorter is padded with
/// spaces to the old length, as memcached's clients have come to expect.
pub(crate) fn step(cache: &Cache, key: &[u8], delta: u64, direction: Direction) -> Step {
    let mut counted = None;
    let outcome = cache.update(key, |view| {
        let Some(number) = number::counter(view.value()) else {
            return Edit::Keep;
        };
        let next = match direction {
            Direction::Up => number.wrapping_add(delta),
            Direction::Down => number.saturating_sub(delta),
        };
        counted = Some(next);
        let mut text = itoa::Buffer::new().format(next).as_bytes().to_vec();
        text.resize(text.len().max(view.value().len()), b' ');
        Edit::Value(text.into())
    });
    match (outcome, counted) {
        (Ok(UpdateOutcome::Missing), _) => Step::Missing,
        (Ok(_), Some(number)) => Step::Counted(number),
        (Ok(_), None) => Step::NonNumeric,
        (Err(_), _) => Step::NoMemory,
    }
}

/// The lifetime that an exptime asks for: 0 never, negative expired, up to 30 days relative, else
/// absolute, and expired if that was before the server started.
pub(crate) fn ttl(service: &Service<'_>, exptime: i32) -> Ttl {
    match u64::try_from(exptime) {
        Err(_) => Ttl::EXPIRED,
        Ok(0) => Ttl::NEVER,
        Ok(seconds) if exptime <= RELATIVE_EXPTIME_MAX => Ttl::seconds(seconds),
        Ok(unix) if unix <= service.started.unix_seconds() => Ttl::EXPIRED,
        Ok(unix) => Ttl::at(larder::Timestamp::from_unix_seconds(unix)),
    }
}
