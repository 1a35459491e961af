//! Runs as JSON for programs. Names end with their unit; latencies are in microseconds.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::plan::Plan;
use crate::protocol::Op;
use crate::report::{QUANTILES, micros};
use crate::run::Outcome;
use crate::schedule::Arrivals;
use crate::source::Keys;
use crate::tally::OpTally;

/// A run.
#[must_use]
pub fn run(outcome: &Outcome, server: &str, version: &str) -> Value {
    let mut ops = Map::new();
    for op in Op::ALL {
        let tally = outcome.tally.of(op);
        if tally.requests > 0 {
            ops.insert(op.name().to_owned(), of_op(tally, outcome.seconds));
        }
    }
    let mut value = json!({
        "server": server,
        "server_version": version,
        "seconds": outcome.seconds,
        "all": of_op(&outcome.tally.total(), outcome.seconds),
        "by_operation": ops,
        "sent_bytes": outcome.tally.sent_bytes,
        "received_bytes": outcome.tally.received_bytes,
        "first_refusal": outcome.tally.refusal,
        "client_cpu_us_per_request": outcome.client_cpu_micros(),
        "client_cpu_seconds": outcome.client_cpu_seconds,
        "waited_for_cpu_seconds": outcome.waited_seconds,
        "other_processes_cpu_seconds": outcome.foreign_seconds,
        "was_disturbed": outcome.was_disturbed(),
        "requests_due_but_unsent": outcome.unsent,
        "was_interrupted": outcome.was_interrupted,
    });
    if let Some(cpu) = outcome.server_cpu {
        value["server_cpu_us_per_request"] = json!({
            "all": outcome.per_request_micros(cpu.seconds()),
            "user": outcome.per_request_micros(cpu.user_seconds),
            "system": outcome.per_request_micros(cpu.system_seconds),
        });
    }
    if let Some(intervals) = &outcome.tally.intervals {
        let slice = |(start, latency): (f64, &Histogram<u32>)| {
            let of = |quantile| micros(latency, quantile);
            let (p50, p99, p999, max) = (of(0.5), of(0.99), of(0.999), of(1.0));
            json!({
                "from_seconds": start,
                "requests": latency.len(),
                "latency_us": { "p50": p50, "p99": p99, "p99.9": p999, "max": max },
            })
        };
        value["intervals"] = intervals.slices().map(slice).collect();
    }
    let lateness = &outcome.tally.lateness;
    if !lateness.is_empty() {
        let of = |quantile| micros(lateness, quantile);
        value["sent_late_us"] = json!({ "p50": of(0.5), "p99": of(0.99), "max": of(1.0) });
    }
    value
}

fn of_op(op: &OpTally, seconds: f64) -> Value {
    let mut latency = Map::new();
    for (name, quantile) in QUANTILES {
        latency.insert(name.to_owned(), json!(micros(&op.latency, quantile)));
    }
    latency.insert("max".to_owned(), json!(micros(&op.latency, 1.0)));
    latency.insert("mean".to_owned(), json!(op.latency.mean() / 1e3));
    json!({
        "requests": op.requests,
        "requests_per_second": op.requests as f64 / seconds.max(1e-9),
        "keys": op.keys,
        "hits": op.hits,
        "misses": op.misses,
        "refused": op.refused,
        "wrong_values": op.wrong,
        "latency_us": latency,
    })
}

/// The settings of a run.
#[must_use]
pub fn plan(plan: &Plan) -> Value {
    let keys = match &plan.keys {
        Keys::Uniform => "uniform".to_owned(),
        Keys::Zipf(exponent) => format!("zipf:{exponent}"),
        Keys::Sequential => "sequential".to_owned(),
        Keys::Trace(_) => "trace".to_owned(),
    };
    json!({
        "protocol": plan.protocol.name(),
        "mix": plan.mix_text(),
        "keys": keys,
        "key_count": plan.key_count,
        "key_bytes": plan.key_bytes,
        "value_bytes": plan.sizes.as_ref().map(ToString::to_string),
        "ttl_seconds": plan.ttl_seconds,
        "multi_get": plan.multi_get,
        "pipeline": plan.pipeline,
        "connections": plan.connections,
        "threads": plan.threads,
        "rate_per_second": plan.rate.map(|rate| rate.per_second),
        "arrivals": plan.rate.map(|rate| match rate.arrivals {
            Arrivals::Poisson => "poisson",
            Arrivals::Even => "even",
        }),
        "time_seconds": plan.time.map(|time| time.as_secs_f64()),
        "requests": plan.requests,
        "interval_seconds": plan.interval.map(|interval| interval.as_secs_f64()),
        "warmup_seconds": plan.warmup.as_secs_f64(),
        "prefill": plan.prefills,
        "fill_misses": plan.fills_misses,
        "verify": plan.verifies,
        "spin": plan.spins,
        "seed": plan.seed,
    })
}
