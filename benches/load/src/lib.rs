//! A load generator for memcached servers, as a library; `larder-bench` is its binary.
//!
//! ```text
//! main thread   flags -> Plan -> Server -> run: one Worker a thread -> Outcome -> reports
//! worker        Source, Schedule --> Connection --> socket
//!               Tally <------------- Reader <------ socket
//! ```
//!
//! A [`Plan`](plan::Plan) says everything that is to be done; [`run::measure`] does it against one
//! server, [`versus::compare`] against two in turn. Requests are encoded and replies understood by
//! `protocol/`, which is pure. It shares no code with the server that it measures, so that a mistake
//! in one is not repeated in the other.
#![forbid(unsafe_code)]

mod cli;
mod connection;
pub mod content;
pub mod cpu;
pub mod duress;
pub mod error;
pub mod intervals;
pub mod options;
mod phase;
pub mod plan;
pub mod progress;
pub mod protocol;
pub mod reader;
pub mod report;
pub mod run;
pub mod schedule;
pub mod server;
pub mod sizes;
pub mod source;
pub mod tally;
pub mod versus;
mod worker;
pub mod workload;
pub mod zipf;

pub use cli::run_with;
pub use error::Error;
pub use options::Options;
