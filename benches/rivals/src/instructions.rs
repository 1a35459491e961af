//! Instructions of an operation, counted by callgrind: the same on a busy machine and on an idle one.
//!
//! A process does so many operations, another twice as many; the difference is theirs alone. Nothing is told of
//! waiting for memory, which is most of the time where there are many items.

use std::error::Error;
use std::process::Command;

use crate::Flags;
use crate::caches::Rival;
use crate::load::{Case, Keys, Mix};
use crate::plan::Plan;
use crate::process::output;
use crate::results::{Part, Row};
use crate::table::{Keep, Table};

/// Whether valgrind is there.
pub(crate) fn possible() -> bool {
    output(Command::new("valgrind").arg("--version")).is_ok()
}

/// Instructions; how many times ours theirs are.
pub(crate) fn compare<'k>(plans: &[Plan], keep: &'k mut Keep<'k>) -> Result<Part, Box<dyn Error>> {
    let mut table = Table::new("instructions of an operation (it / larder)", keep);
    for plan in plans {
        for case in plan
            .cases()
            .into_iter()
            .flatten()
            .filter(|case| case.threads == 1)
        {
            let figure = |rival: &Rival| {
                let count = |times| collected(rival, &case, plan.operations * times);
                // Side by side: nothing is timed.
                let (once, twice) = std::thread::scope(|scope| {
                    let once = scope.spawn(|| count(1).map_err(|error| error.to_string()));
                    let twice = count(2);
                    (once.join().expect("no panic"), twice)
                });
                Ok::<_, Box<dyn Error>>((twice? - once?) / plan.operations as f64)
            };
            table.row(Row::of_costs(case.label(), &plan.caches, figure)?);
        }
    }
    Ok(table.done())
}

fn collected(rival: &Rival, case: &Case, operations: usize) -> Result<f64, Box<dyn Error>> {
    let mix = match case.mix {
        Mix::Evict => "evict".to_owned(),
        Mix::Sets(sets) => sets.to_string(),
        Mix::Arithmetic => unreachable!("no cache's"),
    };
    let keys = match case.keys {
        Keys::Uniform => "uniform".to_owned(),
        Keys::Hot => "hot".to_owned(),
        Keys::Zipf(exponent) => exponent.to_string(),
    };
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--child=work", "--caches", rival.name])
        .args(["--mixes", &mix, "--keys", &keys])
        .args(["--items", &case.items.to_string()])
        .args(["--value-bytes", &case.value_bytes.to_string()])
        .args(["--operations", &operations.to_string()]);
    if case.small_pages {
        command.arg("--small-pages");
    }
    let (_, said) = output(&mut command)?;
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.ok_or_else(|| format!("callgrind counted nothing: {said}"))?;
    Ok(count.trim().parse()?)
}

/// What a process whose instructions are counted does. It draws the same keys however many it then uses.
pub(crate) fn alone(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let plan = Plan::custom(flags);
    let case = Case {
        mix: plan.mixes[0],
        keys: plan.keys[0],
        items: plan.items[0],
        value_bytes: plan.value_bytes[0],
        threads: 1,
        small_pages: plan.small_pages,
    };
    let rival = plan.caches.first().ok_or("no such cache")?;
    let mut numbers = case.draw(DRAWN, 0);
    if plan.operations > DRAWN {
        return Err(format!("--operations: {DRAWN} at most").into());
    }
    numbers[0].truncate(plan.operations);
    (rival.bench)(&case).round(&case, &numbers);
    Ok(())
}

/// Keys drawn, whatever is used of them.
const DRAWN: usize = 100_000;
