//! Two servers under the same loads, in turn: what drifts on a machine meets both.
//!
//! In every round each server has its turn, and who begins changes from round to round. What is
//! shown are medians over the rounds, and their ratios, turned so that above 1 the first server is
//! the better one.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::error::Error;
use crate::plan::{Plan, Rate, Share};
use crate::progress::Ticker;
use crate::report::table::{Columns, warnings};
use crate::report::{grouped, json, micros, short};
use crate::run::{Outcome, fill, measure};
use crate::server::Server;
use crate::tally::{Tally, histogram};
use crate::workload::Workload;

/// A server of the two.
#[derive(Debug)]
pub struct Side {
    /// The server.
    pub server: Server,
    /// What it says its version is.
    pub version: String,
}

/// A load with a name.
#[derive(Debug)]
pub struct Load {
    /// For reports.
    pub name: String,
    /// In words.
    pub about: String,
    /// What is done.
    pub plan: Plan,
    /// The rate that the plan still needs, as a part of what the second server answers.
    pub share: Option<Share>,
}

/// Runs in a closed loop before an open one at a part of their rate; the median counts.
const RATE_ROUNDS: usize = 3;

/// What both servers did under one load, by rounds.
#[derive(Debug)]
pub struct Comparison {
    /// The load.
    pub load: Load,
    /// Of each server, the rounds.
    pub rounds: [Vec<Outcome>; 2],
    /// Rounds that are not among them, because something else had the cpus.
    pub left_out: usize,
}

/// One figure of a run, and whether more of it is better.
#[derive(Clone, Copy)]
struct Figure {
    name: &'static str,
    is_better_high: bool,
    of: fn(&Outcome) -> Option<f64>,
    /// How it reads.
    text: fn(f64) -> String,
}

const FIGURES: [Figure; 8] = [
    Figure {
        name: "requests/s",
        is_better_high: true,
        of: |outcome| Some(outcome.requests_per_second()),
        text: grouped,
    },
    Figure {
        name: "server cpu, us/request",
        is_better_high: false,
        of: |outcome| {
            let cpu = outcome.server_cpu?;
            Some(outcome.per_request_micros(cpu.seconds()))
        },
        text: short,
    },
    Figure {
        name: "p50, us",
        is_better_high: false,
        of: |outcome| micros(&outcome.tally.total().latency, 0.5),
        text: short,
    },
    Figure {
        name: "p99, us",
        is_better_high: false,
        of: |outcome| micros(&outcome.tally.total().latency, 0.99),
        text: short,
    },
    Figure {
        name: "p99.9, us",
        is_better_high: false,
        of: |outcome| micros(&outcome.tally.total().latency, 0.999),
        text: short,
    },
    Figure {
        name: "p99.99, us",
        is_better_high: false,
        of: |outcome| micros(&outcome.tally.total().latency, 0.9999),
        text: short,
    },
    Figure {
        name: "longest, us",
        is_better_high: false,
        of: |outcome| micros(&outcome.tally.total().latency, 1.0),
        text: short,
    },
    Figure {
        name: "what happens besides, s",
        is_better_high: false,
        of: |outcome| outcome.duress_seconds,
        text: short,
    },
];

/// The loads of the names, or `plan` itself if there are none, at a part of the second server's rate if
/// that is wanted.
#[must_use]
pub fn loads(plan: &Plan, suite: &[Workload], share: Option<Share>) -> Vec<Load> {
    if suite.is_empty() {
        return vec![Load {
            name: "load".to_owned(),
            about: plan.summary(),
            plan: plan.clone(),
            share,
        }];
    }
    let load = |workload: &Workload| Load {
        name: workload.name.to_owned(),
        about: workload.about.to_owned(),
        plan: workload.of(plan),
        share,
    };
    suite.iter().map(load).collect()
}

/// Runs the loads against both, one after the other, `rounds` times each, and gives every comparison
/// to `each` when it is complete. Ends early, without an error, when the user interrupts.
///
/// # Errors
/// A server fails.
pub fn compare(
    sides: &[Side; 2],
    loads: Vec<Load>,
    rounds: usize,
    ticker: &Ticker,
    mut each: impl FnMut(&Comparison),
) -> Result<Vec<Comparison>, Error> {
    let mut filled: Vec<(String, u64)> = Vec::new();
    let mut comparisons = Vec::new();
    for load in loads {
        let content = (load.plan.key_prefix.clone(), load.plan.key_count);
        if load.plan.prefills && !filled.contains(&content) {
            for side in sides {
                fill(&side.server, &load.plan, ticker)?;
            }
            filled.push(content);
        }
        let load = paced(&sides[1].server, load, ticker)?;
        let Some(comparison) = compare_under(sides, load, rounds, ticker)? else {
            return Ok(comparisons);
        };
        each(&comparison);
        comparisons.push(comparison);
    }
    Ok(comparisons)
}

/// The load with its rate, which is measured if it is a part of what `server` answers.
fn paced(server: &Server, mut load: Load, ticker: &Ticker) -> Result<Load, Error> {
    let Some(share) = load.share else {
        return Ok(load);
    };
    let mut rates = Vec::new();
    for number in 1..=RATE_ROUNDS {
        let label = format!("{} B in a closed loop {number}/{RATE_ROUNDS}, ", load.name);
        let outcome = measure(server, &load.plan, &ticker.labelled(label))?;
        rates.push(outcome.requests_per_second());
    }
    let per_second = median(rates).unwrap_or_default() * share.of_one;
    load.plan.rate = Some(Rate {
        per_second: per_second.max(1.0),
        arrivals: share.arrivals,
    });
    load.about = format!(
        "{}, {}/s: {:.0} % of what B answers",
        load.about,
        grouped(per_second),
        share.of_one * 100.0
    );
    Ok(load)
}

/// The rounds under one load; none if the user interrupts.
///
/// A round in which something else had the cpus is done again, within [`TRIES`], and left out if there
/// are enough others: it would measure the machine's other work.
fn compare_under(
    sides: &[Side; 2],
    load: Load,
    rounds: usize,
    ticker: &Ticker,
) -> Result<Option<Comparison>, Error> {
    let mut pairs: Vec<[Outcome; 2]> = Vec::new();
    let is_calm = |pair: &[Outcome; 2]| !pair.iter().any(Outcome::was_disturbed);
    while pairs.len() < rounds * TRIES && pairs.iter().filter(|pair| is_calm(pair)).count() < rounds
    {
        let first = pairs.len() % 2;
        let turn = |turn: usize| {
            let number = pairs.len() + 1;
            let label = format!("{} {number}/{rounds} {}, ", load.name, LETTERS[turn]);
            measure(&sides[turn].server, &load.plan, &ticker.labelled(label))
        };
        let one = turn(first)?;
        let other = turn(1 - first)?;
        if one.was_interrupted || other.was_interrupted {
            return Ok(None);
        }
        pairs.push(if first == 0 {
            [one, other]
        } else {
            [other, one]
        });
    }
    let calm = pairs.iter().filter(|pair| is_calm(pair)).count();
    let all = pairs.len();
    if calm * 2 >= rounds {
        pairs.retain(is_calm);
    }
    let left_out = all - pairs.len();
    let (a, b) = pairs.into_iter().map(|[a, b]| (a, b)).unzip();
    Ok(Some(Comparison {
        load,
        rounds: [a, b],
        left_out,
    }))
}

/// How many times the rounds that were asked for there may be in all.
const TRIES: usize = 3;

const LETTERS: [&str; 2] = ["A", "B"];

/// Who is A and who is B.
#[must_use]
pub fn legend(sides: &[Side; 2]) -> String {
    let mut text = String::new();
    for (letter, side) in LETTERS.iter().zip(sides) {
        let _ = writeln!(
            text,
            "{letter}  {} (version {})",
            side.server.name(),
            side.version
        );
    }
    text
}

/// One comparison as a table.
#[must_use]
pub fn table(comparison: &Comparison) -> String {
    let mut columns = Columns::default();
    columns.row(["", "A", "B", "A is better by", "from round to round"]);
    for figure in FIGURES {
        let [a, b] = [0, 1].map(|side| median_of(&comparison.rounds[side], figure));
        let (Some(a), Some(b)) = (a, b) else {
            continue;
        };
        let ratios = round_ratios(comparison, figure);
        let range = match (ratios.first(), ratios.last()) {
            (Some(least), Some(most)) => format!("{least:.2} to {most:.2}"),
            _ => String::new(),
        };
        columns.row([
            figure.name.to_owned(),
            (figure.text)(a),
            (figure.text)(b),
            format!("{:.2}", advantage(figure, a, b)),
            range,
        ]);
    }
    let mut text = format!("\n{}: {}\n", comparison.load.name, comparison.load.about);
    text.push_str(&columns.text());
    if comparison.left_out > 0 {
        let all = comparison.left_out + comparison.rounds[0].len();
        let _ = writeln!(
            text,
            "{} of {all} rounds are left out, because something else used the cpus in them",
            comparison.left_out
        );
    }
    for (letter, rounds) in LETTERS.iter().zip(&comparison.rounds) {
        let mut seen = Vec::new();
        for warning in rounds
            .iter()
            .flat_map(|o| warnings(o, &comparison.load.plan))
        {
            // One of a kind is enough: the figures in it differ from round to round.
            let kind: String = warning.chars().filter(|c| c.is_alphabetic()).collect();
            if !seen.contains(&kind) {
                let _ = writeln!(text, "{letter}: {warning}");
                seen.push(kind);
            }
        }
    }
    text
}

/// The ratios of all comparisons, as a table of a document.
#[must_use]
pub fn summary(comparisons: &[Comparison]) -> String {
    let mut text = String::from(
        "\n| load | requests/s, A / B | server cpu a request, B / A | p99, B / A | p99.9, B / A |\n\
         | --- | ---: | ---: | ---: | ---: |\n",
    );
    for comparison in comparisons {
        let ratio = |index: usize| {
            let figure = FIGURES[index];
            let [a, b] = [0, 1].map(|side| median_of(&comparison.rounds[side], figure));
            match (a, b) {
                (Some(a), Some(b)) => format!("{:.2}", advantage(figure, a, b)),
                _ => "-".to_owned(),
            }
        };
        let cells = [0, 1, 3, 4].map(ratio).join(" | ");
        let _ = writeln!(text, "| {} | {cells} |", comparison.load.about);
    }
    text
}

/// Everything as JSON.
#[must_use]
pub fn document(sides: &[Side; 2], comparisons: &[Comparison]) -> Value {
    let all: Vec<Value> = comparisons
        .iter()
        .map(|comparison| {
            let rounds = [0, 1].map(|side| {
                let Side { server, version } = &sides[side];
                let rounds = comparison.rounds[side].iter();
                let rounds = rounds.map(|outcome| json::run(outcome, server.name(), version));
                rounds.collect::<Vec<_>>()
            });
            let figures = FIGURES.iter().filter_map(|&figure| {
                let a = median_of(&comparison.rounds[0], figure)?;
                let b = median_of(&comparison.rounds[1], figure)?;
                Some(json!({
                    "figure": figure.name,
                    "a_median": a,
                    "b_median": b,
                    "a_is_better_by": advantage(figure, a, b),
                    "a_is_better_by_in_rounds": round_ratios(comparison, figure),
                }))
            });
            json!({
                "load": comparison.load.name,
                "about": comparison.load.about,
                "rounds_left_out": comparison.left_out,
                "settings": json::plan(&comparison.load.plan),
                "figures": figures.collect::<Vec<_>>(),
                "a_rounds": rounds[0],
                "b_rounds": rounds[1],
            })
        })
        .collect();
    json!({ "comparisons": all })
}

/// Latencies of one server over all rounds.
///
/// # Panics
/// Never: all histograms have the same bounds.
#[must_use]
pub fn latencies(rounds: &[Outcome]) -> hdrhistogram::Histogram<u64> {
    let mut sum = histogram();
    for outcome in rounds {
        let Tally { ops, .. } = &outcome.tally;
        for op in ops {
            sum.add(&op.latency).expect("bounds are the same");
        }
    }
    sum
}

fn median_of(rounds: &[Outcome], figure: Figure) -> Option<f64> {
    median(rounds.iter().filter_map(figure.of).collect())
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = *figures.get(middle)?;
    Some(if figures.len().is_multiple_of(2) {
        f64::midpoint(figures[middle - 1], upper)
    } else {
        upper
    })
}

fn advantage(figure: Figure, a: f64, b: f64) -> f64 {
    if figure.is_better_high { a / b } else { b / a }
}

/// The ratio of every round, sorted.
fn round_ratios(comparison: &Comparison, figure: Figure) -> Vec<f64> {
    let [a, b] = &comparison.rounds;
    let pairs = a.iter().zip(b);
    let ratio = |(a, b)| Some(advantage(figure, (figure.of)(a)?, (figure.of)(b)?));
    let mut ratios: Vec<f64> = pairs.filter_map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_point_the_right_way() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
        assert_eq!(advantage(FIGURES[0], 200.0, 100.0), 2.0, "more requests");
        assert_eq!(advantage(FIGURES[1], 2.0, 1.0), 0.5, "more cpu");
    }
}
