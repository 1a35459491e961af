//! Rounds in turn: speed, how it grows with threads, batches, and the tail of sets that evict.

use std::time::Duration;

use crate::caches::{Rival, groups};
use crate::load::{Bench, Case, Filled, Keys, MANY_MAX, Mix, Ran};
use crate::plan::Plan;
use crate::results::{Cell, Part, Row, median};
use crate::subject::Larder;
use crate::table::{Keep, Table};

/// A figure of every cache in one round, and how long threads had no cpu in it.
struct Round {
    figures: Vec<f64>,
    waited: Duration,
}

/// Does rounds, who begins changing; the first does not count. Keeps the calmer half of them, by how long threads
/// had no cpu: others use the machine too. `measure` is told the round, so that it can ask for other keys than before:
/// the same ones again would be found in nearer memory than all that there are.
fn in_turn(
    rounds: usize,
    count: usize,
    mut measure: impl FnMut(usize, usize) -> (f64, Duration),
) -> Vec<Vec<f64>> {
    let mut ran = Vec::new();
    for round in 0..=rounds {
        let mut this = Round {
            figures: vec![0.0; count],
            waited: Duration::ZERO,
        };
        for turn in 0..count {
            let at = (round + turn) % count;
            let (figure, waited) = measure(round, at);
            this.figures[at] = figure;
            this.waited += waited;
        }
        if round > 0 {
            ran.push(this);
        }
    }
    ran.sort_by_key(|round| round.waited);
    ran.truncate(rounds.div_ceil(2).max(3));
    ran.into_iter().map(|round| round.figures).collect()
}

/// Medians of the figures, and of the ratios within rounds.
fn cells(group: &[Rival], rounds: &[Vec<f64>], ratio: impl Fn(f64, f64) -> f64) -> Vec<Cell> {
    let cell = |(at, rival): (usize, &Rival)| Cell {
        cache: rival.name.to_owned(),
        figure: median(rounds.iter().map(|round| round[at])),
        ratio: median(rounds.iter().map(|round| ratio(round[0], round[at]))),
        scale: None,
    };
    group.iter().enumerate().map(cell).collect()
}

/// Above 1 ours is better: of figures of which more is better.
fn more(ours: f64, theirs: f64) -> f64 {
    ours / theirs
}

/// The same of figures of which less is better.
fn less(ours: f64, theirs: f64) -> f64 {
    theirs / ours
}

/// Rows of the groups of one case in one.
fn joined(label: String, groups: Vec<Vec<Cell>>) -> Row {
    let mut cells: Vec<Cell> = Vec::new();
    for group in groups {
        let skip = usize::from(!cells.is_empty());
        cells.extend(group.into_iter().skip(skip));
    }
    Row { case: label, cells }
}

/// Calls `measure` for the filled caches of each group and each label; the groups of a label are one row.
fn filled<K>(
    plan: &Plan,
    first: &Case,
    labels: &[(String, K)],
    table: &mut Table<'_>,
    mut measure: impl FnMut(&[Rival], &mut [Box<dyn Bench>], &K) -> Vec<Cell>,
) {
    let groups = groups(&plan.caches, first, plan.memory_bytes);
    if groups.is_empty() {
        eprintln!("left out, for want of --memory-mib: {}", first.population());
    }
    let mut found: Vec<Vec<Vec<Cell>>> = vec![Vec::new(); labels.len()];
    for (at, group) in groups.iter().enumerate() {
        let mut benches: Vec<_> = group.iter().map(|rival| (rival.bench)(first)).collect();
        for (found, (label, what)) in found.iter_mut().zip(labels) {
            found.push(measure(group, &mut benches, what));
            if at + 1 == groups.len() {
                table.row(joined(label.clone(), std::mem::take(found)));
            } else {
                eprintln!("{label}: {} of {} groups", at + 1, groups.len());
            }
        }
    }
}

/// The keys of each round of a case, and of one part of the round if it has two: no two draws are the same.
fn drawn(case: &Case, plan: &Plan, part: usize) -> Vec<Vec<Vec<u32>>> {
    let rounds = 0..=plan.rounds;
    rounds
        .map(|round| case.draw(plan.operations, 2 * round + part))
        .collect()
}

/// Millions of operations a second.
pub(crate) fn speed<'k>(plans: &[Plan], keep: &'k mut Keep<'k>) -> Part {
    let mut table = Table::new("millions of operations a second (larder / it)", keep);
    for plan in plans {
        for cases in plan.cases() {
            let labels: Vec<_> = cases.iter().map(|case| (case.label(), *case)).collect();
            filled(
                plan,
                &cases[0],
                &labels,
                &mut table,
                |group, benches, case| {
                    let numbers = drawn(case, plan, 0);
                    let mut told = vec![false; group.len()];
                    let rounds = in_turn(plan.rounds, group.len(), |round, at| {
                        let ran = benches[at].round(case, &numbers[round]);
                        if ran.misses > 0 && !std::mem::replace(&mut told[at], true) {
                            let (name, label) = (benches[at].name(), case.label());
                            eprintln!("{name}: {} misses in {label}", ran.misses);
                        }
                        (1e-6 / ran.seconds, ran.waited)
                    });
                    cells(group, &rounds, more)
                },
            );
        }
    }
    table.done()
}

/// How much more two threads do than one, and with one hot key than with all keys.
pub(crate) fn scaling<'k>(plans: &[Plan], keep: &'k mut Keep<'k>) -> Part {
    let mut table = Table::new("times as fast (larder / it)", keep);
    for plan in plans {
        for &items in &plan.items {
            for &value_bytes in &plan.value_bytes {
                let case_of = |mix, keys, threads| Case {
                    mix,
                    keys,
                    items,
                    value_bytes,
                    threads,
                    small_pages: plan.small_pages,
                };
                let case = |keys, threads| case_of(Mix::Sets(0), keys, threads);
                let arithmetic = |threads| case_of(Mix::Arithmetic, Keys::Uniform, threads);
                let pairs = [
                    ("2 threads / 1, arithmetic", arithmetic(2), arithmetic(1)),
                    (
                        "2 threads / 1, get, zipf 0.99",
                        case(Keys::Zipf(0.99), 2),
                        case(Keys::Zipf(0.99), 1),
                    ),
                    (
                        "2 threads / 1, get, uniform",
                        case(Keys::Uniform, 2),
                        case(Keys::Uniform, 1),
                    ),
                    (
                        "one key / uniform, get, 2 threads",
                        case(Keys::Hot, 2),
                        case(Keys::Uniform, 2),
                    ),
                ];
                let label = |(label, over, under): (&str, Case, Case)| {
                    (format!("{label}, {}", over.population()), (over, under))
                };
                let labels = pairs.map(label);
                filled(
                    plan,
                    &case(Keys::Uniform, 1),
                    &labels,
                    &mut table,
                    |group, benches, (over, under)| {
                        let over_numbers = drawn(over, plan, 0);
                        let under_numbers = drawn(under, plan, 1);
                        let rounds = in_turn(plan.rounds, group.len(), |round, at| {
                            let over = benches[at].round(over, &over_numbers[round]);
                            let under = benches[at].round(under, &under_numbers[round]);
                            (under.seconds / over.seconds, over.waited + under.waited)
                        });
                        cells(group, &rounds, more)
                    },
                );
            }
        }
    }
    table.done()
}

/// How much faster gets of many keys at a time are, of one thread; of larder alone, as the others have none.
pub(crate) fn batch<'k>(plans: &[Plan], keep: &'k mut Keep<'k>) -> Part {
    let mut table = Table::new("times as fast as one get after the other", keep);
    for plan in plans {
        for &items in &plan.items {
            for &value_bytes in &plan.value_bytes {
                let case = Case {
                    mix: Mix::Sets(0),
                    keys: Keys::Uniform,
                    items,
                    value_bytes,
                    threads: 1,
                    small_pages: plan.small_pages,
                };
                let mut bench = Filled::<Larder>::new(&case);
                let [of_single, of_many] = [0, 1].map(|part| drawn(&case, plan, part));
                let rounds = in_turn(plan.rounds, 1, |round, _| {
                    let single: Ran = bench.round(&case, &of_single[round]);
                    let many = bench.round_of_many(&of_many[round][0], MANY_MAX);
                    (single.seconds / many.seconds, single.waited + many.waited)
                });
                let row = Row {
                    case: format!("get of {MANY_MAX}, uniform, {}", case.population()),
                    cells: cells(&plan.caches[..1], &rounds, more),
                };
                table.row(row);
            }
        }
    }
    table.done()
}

/// Microseconds of the slowest of 10,000 sets that evict.
pub(crate) fn tail<'k>(plans: &[Plan], keep: &'k mut Keep<'k>) -> Part {
    let mut table = Table::new(
        "p99.99 of a set that evicts, in microseconds (it / larder)",
        keep,
    );
    for plan in plans {
        for &items in &plan.items {
            for &value_bytes in &plan.value_bytes {
                let case = Case {
                    mix: Mix::Evict,
                    keys: Keys::Uniform,
                    items,
                    value_bytes,
                    threads: 1,
                    small_pages: plan.small_pages,
                };
                filled(
                    plan,
                    &case,
                    &[(case.label(), ())],
                    &mut table,
                    |group, benches, ()| {
                        let rounds = in_turn(plan.rounds, group.len(), |_, at| {
                            let (latencies, waited) = benches[at].latencies(plan.operations);
                            (latencies.value_at_quantile(0.9999) as f64 / 1e3, waited)
                        });
                        cells(group, &rounds, less)
                    },
                );
            }
        }
    }
    table.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_take_turns_and_the_calmer_half_counts() {
        let mut order = Vec::new();
        let mut calls = 0;
        let rounds = in_turn(8, 2, |_, at| {
            order.push(at);
            calls += 1;
            // Later rounds waited longer.
            (
                f64::from(calls),
                Duration::from_nanos(u64::try_from(calls).unwrap()),
            )
        });
        assert_eq!(order[..6], [0, 1, 1, 0, 0, 1]);
        assert_eq!(rounds, [[4.0, 3.0], [5.0, 6.0], [8.0, 7.0], [9.0, 10.0]]);
    }
}
