//! What a run is to do: the settings of the flags, understood and checked.

use std::sync::Arc;
use std::time::Duration;

use crate::content::{Content, Lengths, Ttls};
use crate::cpu::Cpus;
use crate::duress::Duress;
use crate::protocol::{Op, Protocol};
use crate::schedule::Arrivals;
use crate::sizes::Sizes;
use crate::source::{Keys, Mix};

/// A run against one server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `--protocol`
    pub protocol: Protocol,
    /// `--mix`
    pub mix: Mix,
    /// `--keys`
    pub keys: Keys,
    /// `--key-count`, or how many the trace has.
    pub key_count: u64,
    /// `--key-prefix`
    pub key_prefix: String,
    /// `--key-bytes`
    pub key_bytes: usize,
    /// `--value-bytes`; none: what the trace says.
    pub sizes: Option<Sizes>,
    /// `--ttl`; none: what the trace says.
    pub ttl_seconds: Option<u32>,
    /// `--multi-get`
    pub multi_get: usize,
    /// `--pipeline`
    pub pipeline: usize,
    /// `--connections`, of all threads.
    pub connections: usize,
    /// `--threads`
    pub threads: usize,
    /// `--rate`, of all threads; none is a closed loop.
    pub rate: Option<Rate>,
    /// `--time`; none: until something else ends the run.
    pub time: Option<Duration>,
    /// `--requests`, of all threads.
    pub requests: Option<u64>,
    /// `--interval`
    pub interval: Option<Duration>,
    /// `--warmup`
    pub warmup: Duration,
    /// `--prefill`
    pub prefills: bool,
    /// `--fill-misses`
    pub fills_misses: bool,
    /// `--verify`
    pub verifies: bool,
    /// `--timeout`
    pub timeout: Duration,
    /// `--seed`
    pub seed: u64,
    /// `--cpus`
    pub cpus: Cpus,
    /// `--spin`
    pub spins: bool,
    /// What the server is asked besides, once.
    pub duress: Option<Duress>,
}

/// An open loop's rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests a second.
    pub per_second: f64,
    /// How they are spread.
    pub arrivals: Arrivals,
}

/// An open loop's rate, as a part of what a server answers in a closed loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Of one: 0.7 for 70 %.
    pub of_one: f64,
    /// How the requests are spread.
    pub arrivals: Arrivals,
}

impl Plan {
    /// The keys and values of the plan.
    #[must_use]
    pub fn content(&self) -> Content {
        let trace = match &self.keys {
            Keys::Trace(trace) => Some(trace),
            _ => None,
        };
        let lengths = match (&self.sizes, trace) {
            (None, Some(trace)) => Lengths::Traced(Arc::clone(trace)),
            (sizes, _) => Lengths::Drawn(sizes.clone().unwrap_or(Sizes::Fixed(0))),
        };
        let ttls = match (self.ttl_seconds, trace) {
            (None, Some(trace)) => Ttls::Traced(Arc::clone(trace)),
            (seconds, _) => Ttls::Fixed(seconds.unwrap_or(0)),
        };
        Content::new(&self.key_prefix, self.key_bytes, lengths, ttls)
    }

    /// The plan in a line, for the head of a report.
    #[must_use]
    pub fn summary(&self) -> String {
        let plural = |count: usize, word: &str| {
            let s = if count == 1 { "" } else { "s" };
            format!("{count} {word}{s}")
        };
        let mut parts = vec![
            self.protocol.name().to_owned(),
            self.mix_text(),
            self.rate.map_or_else(
                || "closed loop".to_owned(),
                |rate| format!("open loop at {} requests/s", rate.per_second),
            ),
            plural(self.connections, "connection"),
            format!("{} in flight each", self.pipeline),
            plural(self.threads, "thread"),
            format!("{} keys", self.key_count),
        ];
        if self.multi_get > 1 {
            parts.push(format!("{} keys a get", self.multi_get));
        }
        parts.join(", ")
    }

    /// The mix as the flag has it.
    #[must_use]
    pub fn mix_text(&self) -> String {
        if matches!(self.keys, Keys::Trace(_)) {
            return "operations of the trace".to_owned();
        }
        let parts = Op::ALL.iter().zip(self.mix.weights);
        let parts: Vec<String> = parts
            .filter(|&(_, weight)| weight > 0)
            .map(|(op, weight)| format!("{}={weight}", op.name()))
            .collect();
        parts.join(",")
    }
}
