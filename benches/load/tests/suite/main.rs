//! larder-bench against servers: Larder's own, in process, and servers that misbehave.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod bad_servers;
mod flags;
mod loads;
