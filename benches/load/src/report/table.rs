//! A run as a table for people.

use std::fmt::Write as _;

use crate::intervals::Intervals;
use crate::plan::Plan;
use crate::protocol::Op;
use crate::report::{QUANTILES, grouped, micros, short};
use crate::run::Outcome;
use crate::tally::OpTally;

/// The share of this program's own lateness in the median that is worth a warning.
const LATENESS_SHARE_MAX: f64 = 0.1;

/// Columns, each as wide as its widest cell; the first to the left, the others to the right.
#[derive(Debug, Default)]
pub struct Columns(Vec<Vec<String>>);

impl Columns {
    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.0.push(cells.into_iter().map(Into::into).collect());
    }

    /// The rows as lines.
    #[must_use]
    pub fn text(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(String::len).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.0 {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    let _ = write!(line, "{cell:width$}");
                } else {
                    let _ = write!(line, "  {cell:>width$}");
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The table of a run.
#[must_use]
pub fn table(outcome: &Outcome, plan: &Plan) -> String {
    let mut columns = Columns::default();
    let head = ["", "requests", "per second", "hit %", "refused", "wrong"];
    let latencies = QUANTILES.iter().map(|&(name, _)| name);
    columns.row(head.into_iter().chain(latencies).chain(["max", "mean"]));
    let used: Vec<Op> = Op::ALL
        .into_iter()
        .filter(|&op| outcome.tally.of(op).requests > 0)
        .collect();
    for &op in &used {
        columns.row(row(op.name(), outcome.tally.of(op), outcome, plan));
    }
    if used.len() != 1 {
        columns.row(row("all", &outcome.tally.total(), outcome, plan));
    }
    let mut text = columns.text();
    text.push_str("latencies in microseconds");
    text.push_str(match plan.rate {
        Some(_) => ", from the time at which a request was to be sent\n",
        None => ", from the sending of a request\n",
    });
    for line in lines(outcome, plan) {
        text.push_str(&line);
        text.push('\n');
    }
    if let Some(slices) = &outcome.tally.intervals {
        text.push_str(&intervals(slices));
    }
    text
}

fn row(name: &str, op: &OpTally, outcome: &Outcome, plan: &Plan) -> Vec<String> {
    let mut cells = vec![
        name.to_owned(),
        grouped(op.requests as f64),
        grouped(op.requests as f64 / outcome.seconds.max(1e-9)),
        match op.hits + op.misses {
            0 => "-".to_owned(),
            keys => format!("{:.1}", op.hits as f64 * 100.0 / keys as f64),
        },
        grouped(op.refused as f64),
        if plan.verifies {
            grouped(op.wrong as f64)
        } else {
            "-".to_owned()
        },
    ];
    let latency = |quantile| micros(&op.latency, quantile).map_or_else(|| "-".to_owned(), short);
    cells.extend(QUANTILES.map(|(_, quantile)| latency(quantile)));
    cells.push(latency(1.0));
    cells.push(short(op.latency.mean() / 1e3));
    cells
}

/// A row for every interval.
fn intervals(intervals: &Intervals) -> String {
    let mut columns = Columns::default();
    columns.row(["from s", "requests", "p50", "p99", "p99.9", "max"]);
    for (start, latency) in intervals.slices() {
        let mut cells = vec![format!("{start:.1}"), grouped(latency.len() as f64)];
        for quantile in [0.5, 0.99, 0.999, 1.0] {
            cells.push(micros(latency, quantile).map_or_else(|| "-".to_owned(), short));
        }
        columns.row(cells);
    }
    columns.text()
}

/// What does not belong to an operation.
fn lines(outcome: &Outcome, plan: &Plan) -> Vec<String> {
    let seconds = outcome.seconds.max(1e-9);
    let mut lines = vec![format!(
        "{:.2} s; {:.1} MB/s sent, {:.1} MB/s received",
        outcome.seconds,
        outcome.tally.sent_bytes as f64 / seconds / 1e6,
        outcome.tally.received_bytes as f64 / seconds / 1e6
    )];
    if let Some(cpu) = outcome.server_cpu {
        lines.push(format!(
            "server cpu: {} us a request ({} user, {} system), {:.0} % of a core",
            short(outcome.per_request_micros(cpu.seconds())),
            short(outcome.per_request_micros(cpu.user_seconds)),
            short(outcome.per_request_micros(cpu.system_seconds)),
            cpu.seconds() * 100.0 / seconds
        ));
    }
    lines.push(format!(
        "client cpu: {} us a request, {:.0} % of {} core{}",
        short(outcome.client_cpu_micros()),
        outcome.client_cpu_seconds * 100.0 / seconds / plan.threads as f64,
        plan.threads,
        if plan.threads == 1 { "" } else { "s" }
    ));
    if let Some(rate) = plan.rate {
        let lateness = &outcome.tally.lateness;
        let late = |quantile| micros(lateness, quantile).map_or_else(|| "-".to_owned(), short);
        lines.push(format!(
            "asked for {} requests/s; sent late by {} us (p50), {} (p99), {} (max) of this \
             program's own doing",
            grouped(rate.per_second),
            late(0.5),
            late(0.99),
            late(1.0)
        ));
    }
    lines
}

/// What the user should know before believing the figures.
#[must_use]
pub fn warnings(outcome: &Outcome, plan: &Plan) -> Vec<String> {
    let mut warnings = Vec::new();
    let total = outcome.tally.total();
    if let Some(refusal) = &outcome.tally.refusal {
        warnings.push(format!(
            "the server refused {} of {} requests, the first with: {refusal}",
            grouped(total.refused as f64),
            grouped(total.requests as f64)
        ));
    }
    if outcome.unsent > 0 {
        let due = (total.requests + outcome.unsent).max(1);
        let share = outcome.unsent as f64 * 100.0 / due as f64;
        if share >= 0.1 {
            warnings.push(format!(
                "{} requests ({share:.1} %) were due but not sent before the end, because every \
                 connection was busy: latencies would grow for as long as the run lasts",
                grouped(outcome.unsent as f64)
            ));
        }
    }
    if outcome.was_disturbed() {
        warnings.push(format!(
            "for {:.0} % of the time a thread of this program or the server was ready to run while \
             something else had its cpu: latencies and rates say little",
            outcome.waited_share() * 100.0
        ));
    }
    let busy = outcome.client_cpu_seconds / outcome.seconds.max(1e-9) / plan.threads as f64;
    if busy > 0.95 && !plan.spins && outcome.seconds > 0.1 {
        warnings.push(format!(
            "this program used {:.0} % of its threads' cores and may be what limits the rate: \
             give it more (--threads), and trust the server's cpu a request rather than the rate",
            busy * 100.0
        ));
    }
    let lateness = micros(&outcome.tally.lateness, 0.5).unwrap_or(0.0);
    let latency = micros(&total.latency, 0.5).unwrap_or(0.0);
    if lateness > latency * LATENESS_SHARE_MAX && !plan.spins {
        warnings.push(format!(
            "half of the requests were sent more than {} us late by this program's own doing, \
             which is in their latencies: --spin with --cpus makes it less",
            short(lateness)
        ));
    }
    if total.wrong > 0 {
        warnings.push(format!(
            "{} values were not the ones stored under their keys",
            grouped(total.wrong as f64)
        ));
    }
    if outcome.was_interrupted {
        warnings.push("interrupted: these are the figures until then".to_owned());
    }
    warnings
}
