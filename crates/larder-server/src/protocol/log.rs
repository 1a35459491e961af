//! Log lines as `watch` shows them, from their type on; their start is written by [`start`].

use std::io::Write;

use super::dump::url_encoded;

/// The longest `skipped=` line, in bytes.
pub(crate) const SKIPPED_BYTES_MAX: usize = 32;

/// What a lookup came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    Found,
}

/// An item as log lines tell of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) class: u32,
    /// Bytes of the value.
    pub(crate) bytes: usize,
}

/// What a store came to, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreLog {
    pub(crate) status: &'static str,
    pub(crate) command: &'static str,
    pub(crate) ttl: i64,
}

/// Appends the start of every line.
pub(crate) fn start(line: &mut Vec<u8>, seconds: u64, micros: u32, gid: u64) {
    // Writing to memory does not fail, here and below.
    let _ = write!(line, "ts={seconds}.{micros} gid={gid} type=");
}

/// Appends a whole line about lines that were lost.
pub(crate) fn skipped(line: &mut Vec<u8>, count: u64) {
    let _ = writeln!(line, "skipped={count}");
}

/// A lookup, by the connection with this descriptor.
pub(crate) fn item_get(line: &mut Vec<u8>, item: &Logged<'_>, found: Found, fd: i32) {
    let status = match found {
        Found::Missing => "not_found",
        Found::Found => "found",
    };
    line.extend_from_slice(b"item_get key=");
    url_encoded(line, item.key);
    let Logged { class, bytes, .. } = item;
    let _ = write!(line, " status={status} clsid={class} cfd={fd} size={bytes}");
}

/// A store.
pub(crate) fn item_store(line: &mut Vec<u8>, item: &Logged<'_>, store: &StoreLog, fd: i32) {
    line.extend_from_slice(b"item_store key=");
    url_encoded(line, item.key);
    let StoreLog {
        status,
        command,
        ttl,
    } = store;
    let Logged { class, bytes, .. } = item;
    let _ = write!(
        line,
        " status={status} cmd={command} ttl={ttl} clsid={class} cfd={fd} size={bytes}"
    );
}

/// A deletion by `command`.
pub(crate) fn deleted(line: &mut Vec<u8>, item: &Logged<'_>, command: &str) {
    line.extend_from_slice(b"deleted key=");
    url_encoded(line, item.key);
    let Logged { class, bytes, .. } = item;
    let _ = write!(line, " cmd={command} clsid={class} size={bytes}");
}

/// An item evicted for room: whether it had been read, seconds left to live and since its last
/// access.
pub(crate) fn eviction(
    line: &mut Vec<u8>,
    item: &Logged<'_>,
    fetched: bool,
    ttl: Option<u64>,
    age: u64,
) {
    line.extend_from_slice(b"eviction key=");
    url_encoded(line, item.key);
    let fetched = if fetched { "yes" } else { "no" };
    let _ = write!(line, " fetch={fetched}");
    let _ = match ttl {
        Some(seconds) => write!(line, " ttl={seconds}"),
        None => write!(line, " ttl=-1"),
    };
    let Logged { class, bytes, .. } = item;
    let _ = write!(line, " la={age} clsid={class} size={bytes}");
}

/// A connection that came (with no reason) or went.
pub(crate) fn connection(
    line: &mut Vec<u8>,
    remote: Option<std::net::SocketAddr>,
    reason: Option<&str>,
    fd: i32,
) {
    let name = if reason.is_some() {
        "conn_close"
    } else {
        "conn_new"
    };
    let _ = match remote {
        Some(remote) => write!(
            line,
            "{name} rip={} rport={} transport=tcp",
            remote.ip(),
            remote.port()
        ),
        None => write!(line, "{name} rip=unix rport=0 transport=local"),
    };
    if let Some(reason) = reason {
        let _ = write!(line, " reason={reason}");
    }
    let _ = write!(line, " cfd={fd}");
}

/// TLS failed on a connection.
pub(crate) fn tls_failed(line: &mut Vec<u8>, fd: i32, why: &str) {
    let _ = write!(line, "conntlserr fd={fd} msg={why}");
}

/// A round of looking for expired items, which took so many microseconds.
pub(crate) fn crawl(
    line: &mut Vec<u8>,
    class: u32,
    elapsed: u128,
    examined: usize,
    expired: usize,
) {
    let _ = write!(
        line,
        "lru_crawler crawler={class} lru=cold low_mark=0 next_reclaims=0 since_run=0 next_run=0 \
         elapsed={elapsed} examined={examined} reclaimed={expired}"
    );
}
