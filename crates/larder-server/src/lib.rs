//! A memcached server over the Larder engine, as a library; `larderd` is its binary.
//!
//! ```text
//! accepting thread --> worker 0 .. worker n-1          one event loop each
//!                        |  Connection  bytes in, bytes out
//!                        |  text::parse  one line to one Command
//!                        |  execute      Command on the Cache to reply bytes
//!                        '--> larder::Cache, shared with whoever else holds the Arc
//! ```
//!
//! The server owns no cache: [`serve`] takes one in an [`Arc`], so that a service can embed a cache
//! and expose the same one to every memcached client.
#![forbid(unsafe_code)]

mod auth;
mod config;
mod connection;
mod counters;
mod execute;
mod flash;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod listener;
mod memory_file;
mod protocol;
mod server;
mod service;
mod session;
mod slices;
mod stats;
mod tls;
mod watch;
mod worker;

use std::io;
use std::sync::Arc;

use larder::Cache;

pub use config::{
    Bucket, Config, Flash, FlashFile, HashAlgorithm, Identity, Invocation, KeyFormat, Knobs,
    Launch, Process, Protocol, Shutdown, THREADS_MAX, Tls, TlsVersion, UsageError, VerifyMode,
};
pub use connection::Next;
pub use memory_file::MemoryFile;
pub use server::Server;
pub use session::Session;

/// Serves `cache` as `config` says, on threads of its own, until the [`Server`] is stopped.
///
/// # Errors
/// The address or socket that cannot be listened on, by name, or that the system has no more
/// threads or descriptors.
pub fn serve(cache: Arc<Cache>, config: Config) -> io::Result<Server> {
    Server::start(cache, config)
}

/// A builder for the cache that a server with `config` needs to take the same values as memcached,
/// within `memory_bytes`.
pub fn cache_builder(memory_bytes: usize, config: &Config) -> larder::Builder {
    let value_bytes_max = execute::value_bytes_max(config);
    let policy = if config.evicts {
        larder::Policy::default()
    } else {
        larder::Policy::NoEviction
    };
    let builder = Cache::builder()
        .limit_bytes(memory_bytes)
        .limit_bytes_max(memory_bytes_max(memory_bytes))
        .value_bytes_max(value_bytes_max)
        .policy(policy);
    let builder = match config.huge_pages {
        Some(asked) => builder.huge_pages(asked),
        None => builder,
    };
    // Locks that nobody competes for only stand between lookups that could be under way together.
    let builder = if config.threads == 1 {
        builder.shards(1)
    } else {
        builder
    };
    match &config.test_clock {
        Some(clock) => builder.clock(clock.clone()),
        None => builder,
    }
}

/// How far `cache_memlimit` may raise the limit. Room for it costs address space and the tables of
/// its pages, which count towards the limit: 50 bytes for each 64 KiB.
const fn memory_bytes_max(memory_bytes: usize) -> usize {
    const GIB: usize = 1 << 30;
    const LEAST: usize = 64 << 20;
    // Beyond this, chunks are multiples of 16 bytes.
    const FINE_BYTES_MAX: usize = 31 * GIB;
    match memory_bytes {
        0..=0xff_ffff => LEAST,
        0x100_0000..=0x1000_0000 => memory_bytes * 4,
        0x1000_0001..=0x3fff_ffff => GIB,
        GIB..=FINE_BYTES_MAX if memory_bytes * 2 <= FINE_BYTES_MAX => memory_bytes * 2,
        GIB..=FINE_BYTES_MAX => FINE_BYTES_MAX,
        _ => memory_bytes,
    }
}

/// Reads the password file of `config`, if it has one, as [`serve`] does: tells a wrong file from an
/// address that cannot be had.
///
/// # Errors
/// The file and line that cannot be read.
pub fn check_passwords(config: &Config) -> io::Result<()> {
    service::Shared::load_auth(config).map(drop)
}

/// The log level for a verbosity: what `-v` and the `verbosity` command count.
#[must_use]
pub const fn log_level(verbosity: u32) -> log::LevelFilter {
    match verbosity {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        2 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    }
}
