//! The server's tests: wire transcripts, split points, real sockets, the binary.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
#![expect(clippy::indexing_slicing, reason = "in a test, a panic is the report")]

mod admin;
mod authentication;
mod binary;
mod classes;
mod document;
mod encrypted;
mod exchange;
mod faults;
mod flash;
mod flashed;
mod limits;
mod long_values;
mod packet;
mod packets;
mod process;
mod restart;
mod sockets;
mod splits;
mod stopping;
mod tls;
mod tls_faults;
mod transcripts;
mod udp;
mod uploads;
mod watching;
