//! Settings of the server: what they are and what each is by default.
//!
//! A service that embeds a server fills a [`Config`]; the binary makes one of its command line
//! (invocation.rs, with one table of flags and one of `-o` options). Settings of memcached that mean
//! nothing here are kept as well, as [`Knobs`]: `stats settings` shows them. Values on flash have a file of their
//! own (flash.rs).

mod checks;
mod extended;
mod flags;
mod flash;
mod help;
mod invocation;
mod knobs;
mod listen;
#[cfg(test)]
mod tests;
mod tls;
mod value;

use std::path::PathBuf;
use std::time::Duration;

pub use flash::{Bucket, Flash, FlashFile};
pub use invocation::{Identity, Invocation, Launch, Process, UsageError};
pub use knobs::{HashAlgorithm, Knobs};
pub(crate) use listen::{Listen, ListenTls, Tag};
pub use tls::{KeyFormat, Tls, TlsVersion, VerifyMode};

/// Settings of a server. Start from `Config::default()` and change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// TCP port of every address in `listen` that names none. Default 11211; 0 lets the system
    /// choose one.
    pub port: u16,
    /// Listen on TCP at all. Default true.
    pub tcp: bool,
    /// UDP port of every address in `listen`; 0 lets the system choose one. Default none.
    pub udp_port: Option<u16>,
    /// Addresses to listen on: `host`, `host:port`, `[v6]:port` or `*` for all of both families, each
    /// with `proto[ascii]:`, `proto[binary]:` or `proto[negotiating]:` and `tag[name]:` in front if
    /// wanted, and before them, if `tls` is enabled, `notls:` (plain), `btls:` (TLS, no certificates of
    /// clients) or `mtls:` (TLS, and they are needed). Default 127.0.0.1.
    pub listen: Vec<String>,
    /// Listen on this Unix socket, and on no address. Default none.
    pub unix_socket: Option<PathBuf>,
    /// Permissions of the Unix socket. Default 0o700.
    pub unix_mode: u32,
    /// Connections that may wait to be accepted. Default 1024.
    pub backlog: i32,
    /// The mark of listening sockets for packet filters; 0 for none, the default.
    pub socket_mark: u32,
    /// Where the listening ports are written, a line each. Default nowhere.
    pub ports_file: Option<PathBuf>,
    /// What listeners speak that do not name a protocol themselves. Default either.
    pub protocol: Protocol,
    /// Most connections at a time. Default 1024.
    pub connections_max: usize,
    /// A connection beyond `connections_max` is told so and closed; otherwise it waits until another
    /// closes. Default true.
    pub refuses_connections: bool,
    /// TCP connections without a command for so long are closed. Default zero: never.
    pub idle_timeout: Duration,
    /// Worker threads. Default 4; 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// Largest item, in bytes, counted as memcached does: key, value and 59 bytes more, 63 if the
    /// flags are not 0. Default 1 MiB.
    pub item_bytes_max: usize,
    /// Bytes that all connections together may hold of requests that have not arrived in full and
    /// of replies that have not been taken. Default 64 MiB. Beyond it, requests that would hold
    /// more are refused.
    pub buffer_bytes_max: usize,
    /// Live items are evicted for room; otherwise stores fail when memory is full. Default true.
    pub evicts: bool,
    /// Whether the system is asked for huge pages: [`larder::Builder::huge_pages`]. Default `None`: as the cache does
    /// by itself.
    pub huge_pages: Option<bool>,
    /// Clients see and compare cas uniques. Default true.
    pub cas: bool,
    /// `flush_all` is allowed. Default true.
    pub allows_flush: bool,
    /// The commands that list keys are allowed. Default true.
    pub allows_dump: bool,
    /// `watch` is allowed. Default true.
    pub allows_watch: bool,
    /// What divides a key's prefix from the rest, for `stats detail`. Default `:`.
    pub prefix_delimiter: u8,
    /// Commands are counted by prefix from the start on. Default false.
    pub counts_prefixes: bool,
    /// `stats sizes` looks at every item. Default false.
    pub tracks_sizes: bool,
    /// Every worker stays on one processor: on Linux, of those that the process may use when the server starts. Default false.
    pub pins_workers: bool,
    /// Bytes of log lines that wait for one watching connection. Default 256 KiB.
    pub watcher_bytes_max: usize,
    /// `user:password` lines that text connections must authenticate by. Default none.
    pub auth_file: Option<PathBuf>,
    /// Binary connections must authenticate by SASL. Default false.
    pub sasl: bool,
    /// The [`MemoryFile`](crate::MemoryFile) in which the cache outlives the server: only for `stats settings`,
    /// because reading and writing it is the part of whoever begins and ends the server. Default none.
    pub memory_file: Option<PathBuf>,
    /// The clock that the `debugtime` command moves, and that [`cache_builder`](crate::cache_builder)
    /// gives the cache: for tests. Default none, and then the command is an error.
    pub test_clock: Option<larder::ShiftedClock>,
    /// Encryption of TCP connections. Default none.
    pub tls: Tls,
    /// What the `verbosity` command does with its level, 0 to 2. Default nothing: a client does not
    /// change how a service logs.
    pub on_verbosity: Option<fn(u32)>,
    /// What the `shutdown` command does. Default none: it is refused.
    pub on_shutdown: Option<fn(Shutdown)>,
    /// How often `-v` was given: what `stats settings` begins with.
    pub verbosity: u32,
    /// Requests of one connection that are executed before others get their turn, at least 1. Default
    /// 500: memcached's 20 would cut the batches that are looked up together.
    pub requests_per_turn: u32,
    /// Where values go that memory has no room for. Default nowhere.
    pub flash: Flash,
    /// Settings that change nothing but what `stats settings` shows, and those of values on flash that can
    /// be changed while the server runs.
    pub knobs: Knobs,
}

/// The most worker threads.
pub const THREADS_MAX: usize = 256;

/// What a listener's connections speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Text or binary, by the first byte of each connection.
    #[default]
    Auto,
    /// Text only.
    Ascii,
    /// Binary only.
    Binary,
}

/// How the `shutdown` command asks to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// `shutdown`.
    Now,
    /// `shutdown graceful`.
    Graceful,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 11211,
            tcp: true,
            udp_port: None,
            listen: vec!["127.0.0.1".to_owned()],
            unix_socket: None,
            unix_mode: 0o700,
            backlog: 1024,
            socket_mark: 0,
            ports_file: None,
            protocol: Protocol::Auto,
            connections_max: 1024,
            refuses_connections: true,
            idle_timeout: Duration::ZERO,
            threads: 4,
            item_bytes_max: 1 << 20,
            buffer_bytes_max: 64 << 20,
            evicts: true,
            huge_pages: None,
            cas: true,
            allows_flush: true,
            allows_dump: true,
            allows_watch: true,
            prefix_delimiter: b':',
            counts_prefixes: false,
            tracks_sizes: false,
            pins_workers: false,
            watcher_bytes_max: 256 << 10,
            auth_file: None,
            sasl: false,
            memory_file: None,
            test_clock: None,
            tls: Tls::default(),
            on_verbosity: None,
            on_shutdown: None,
            verbosity: 0,
            requests_per_turn: 500,
            flash: Flash::default(),
            knobs: Knobs::default(),
        }
    }
}
