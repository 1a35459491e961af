//! The engine's tests: operation sequences against plain models, threads, limits, panics.
//!
//! They use the public API only, so that they hold for any inside that the engine may get.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "test data made from numbers"
)]

mod adaptive;
mod batch;
mod classes;
mod coldest;
mod elsewhere;
mod ends;
mod large;
mod limits;
mod listen;
mod load;
#[cfg(feature = "async")]
mod load_async;
mod lru;
mod memory;
mod misuse;
mod model;
mod panics;
mod pinned;
mod readers;
mod remove;
mod save;
mod saved_file;
mod sign;
mod stale;
mod sweeps;
mod threads;
mod tidy;
mod ttl;
mod typed;
mod walk;
