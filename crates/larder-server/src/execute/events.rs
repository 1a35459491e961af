//! What happens to items, as log lines for those who watch. Without a watcher each is one look at a flag.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::{Error, ItemView, Maintained, StoreOutcome};

use crate::flash::value_bytes;
use crate::protocol::admin::Streams;
use crate::protocol::log::{self, Found, Logged, StoreLog};
use crate::protocol::text::{StoreLine, StoreVerb};
use crate::service::Service;
use crate::stats::{self, Peer};
use crate::watch::Watchers;

/// What stands for the class in what is told of all of them.
const ALL_CLASSES: u32 = 0;

/// A lookup found the item.
#[inline]
pub(crate) fn found(service: &Service<'_>, view: &ItemView<'_>) {
    let watchers = &service.shared.watchers;
    if watchers.want(Streams::FETCHERS) {
        let item = logged(view.key(), view.class(), value_bytes(view));
        watchers.publish(Streams::FETCHERS, |line| {
            log::item_get(line, &item, Found::Found, service.fd);
        });
    }
}

/// A lookup found nothing.
#[inline]
pub(crate) fn missing(service: &Service<'_>, key: &[u8]) {
    let watchers = &service.shared.watchers;
    if watchers.want(Streams::FETCHERS) {
        let item = Logged {
            key,
            class: 0,
            bytes: 0,
        };
        watchers.publish(Streams::FETCHERS, |line| {
            log::item_get(line, &item, Found::Missing, service.fd);
        });
    }
}

/// A command looks the item up before it changes it.
#[inline]
pub(crate) fn looked_up(service: &Service<'_>, key: &[u8]) {
    if service.shared.watchers.want(Streams::FETCHERS) {
        look_up(service, key);
    }
}

#[cold]
fn look_up(service: &Service<'_>, key: &[u8]) {
    let seen = service.cache.peek_with(key, |view| found(service, &view));
    if seen.is_none() {
        missing(service, key);
    }
}

/// An item that is told of: its class and the length of its value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) class: usize,
    pub(crate) value_bytes: usize,
}

impl Subject {
    pub(crate) fn of(view: &ItemView<'_>) -> Self {
        Self {
            class: view.class(),
            value_bytes: value_bytes(view),
        }
    }
}

/// A storage line was executed.
#[inline]
pub(crate) fn stored(
    service: &Service<'_>,
    line: &StoreLine<'_>,
    class: usize,
    outcome: &Result<StoreOutcome, Error>,
) {
    if service.shared.watchers.want(Streams::MUTATIONS) {
        let command = match line.verb {
            StoreVerb::Set => "set",
            StoreVerb::Add => "add",
            StoreVerb::Replace => "replace",
            StoreVerb::Append => "append",
            StoreVerb::Prepend => "prepend",
            StoreVerb::Cas(_) => "cas",
        };
        let item = logged(line.key, class, line.value_bytes);
        mutation(service, &item, command, i64::from(line.exptime), outcome);
    }
}

/// A store of a protocol without storage lines was executed. What lifetime it asked for is not told.
#[inline]
pub(crate) fn stored_by(
    service: &Service<'_>,
    key: &[u8],
    subject: Subject,
    command: &'static str,
    outcome: &Result<StoreOutcome, Error>,
) {
    if service.shared.watchers.want(Streams::MUTATIONS) {
        let item = logged(key, subject.class, subject.value_bytes);
        mutation(service, &item, command, 0, outcome);
    }
}

/// A store by `command` came to `outcome`.
pub(crate) fn mutation(
    service: &Service<'_>,
    item: &Logged<'_>,
    command: &'static str,
    ttl: i64,
    outcome: &Result<StoreOutcome, Error>,
) {
    let status = match outcome {
        Ok(StoreOutcome::Stored(_)) => "stored",
        Ok(StoreOutcome::CasMismatch) => "exists",
        Ok(StoreOutcome::KeyMissing) if command == "cas" => "not_found",
        Ok(StoreOutcome::KeyMissing | StoreOutcome::KeyExists) => "not_stored",
        Err(Error::ValueTooLarge { .. }) => "too_large",
        Err(_) => "no_memory",
    };
    let store = StoreLog {
        status,
        command,
        ttl,
    };
    let watchers = &service.shared.watchers;
    watchers.publish(Streams::MUTATIONS, |line| {
        log::item_store(line, item, &store, service.fd);
    });
}

/// `command` deleted an item.
#[inline]
pub(crate) fn deleted(service: &Service<'_>, key: &[u8], command: &str, item: Subject) {
    let watchers = &service.shared.watchers;
    if watchers.want(Streams::DELETIONS) {
        let item = logged(key, item.class, item.value_bytes);
        watchers.publish(Streams::DELETIONS, |line| {
            log::deleted(line, &item, command);
        });
    }
}

/// An item is evicted. Runs under its shard's lock.
#[inline]
pub(crate) fn evicted(watchers: &Watchers, view: &ItemView<'_>) {
    if !watchers.want(Streams::EVICTIONS) {
        return;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.unwrap_or_default().as_secs();
    let ttl = view.expires_at();
    let ttl = ttl.map(|at| at.unix_seconds().saturating_sub(now));
    let age = now.saturating_sub(view.accessed_at().unix_seconds());
    let item = logged(view.key(), view.class(), value_bytes(view));
    watchers.publish(Streams::EVICTIONS, |line| {
        log::eviction(line, &item, view.was_fetched(), ttl, age);
    });
}

/// A connection came.
pub(crate) fn connected(watchers: &Watchers, peer: &Peer) {
    watchers.publish(Streams::CONNEVENTS, |line| {
        log::connection(line, peer.remote(), None, peer.fd());
    });
}

/// A connection went.
pub(crate) fn disconnected(watchers: &Watchers, peer: &Peer, reason: &str) {
    watchers.publish(Streams::CONNEVENTS, |line| {
        log::connection(line, peer.remote(), Some(reason), peer.fd());
    });
}

/// TLS failed on a connection.
pub(crate) fn tls_failed(watchers: &Watchers, peer: &Peer, why: &str) {
    watchers.publish(Streams::CONNEVENTS, |line| {
        log::tls_failed(line, peer.fd(), why);
    });
}

/// Expired items were looked for.
pub(crate) fn maintained(watchers: &Watchers, elapsed: Duration, done: Maintained) {
    watchers.publish(Streams::SYSEVENTS, |line| {
        let (examined, expired) = (done.examined_count, done.expired_count);
        log::crawl(line, ALL_CLASSES, elapsed.as_micros(), examined, expired);
    });
}

/// An item of a size class of the engine.
pub(crate) fn logged(key: &[u8], class: usize, value_bytes: usize) -> Logged<'_> {
    Logged {
        key,
        class: stats::class_number(class),
        bytes: value_bytes,
    }
}
