//! Resident bytes of an item besides its key and its value, each cache in a process of its own.

use std::error::Error;

use crate::Flags;
use crate::caches::Rival;
use crate::load::{Case, KEY_BYTES, Keys, Mix};
use crate::plan::Plan;
use crate::process::{child, resident_bytes};
use crate::results::{Part, Row};
use crate::table::{Keep, Table};

/// Bytes an item beyond its own; how many times ours theirs are.
pub(crate) fn compare<'k>(plans: &[Plan], keep: &'k mut Keep<'k>) -> Result<Part, Box<dyn Error>> {
    let mut table = Table::new(
        "resident bytes of an item beyond key and value (it / larder)",
        keep,
    );
    for plan in plans {
        for cases in plan.cases() {
            let case = cases[0];
            let figure = |rival: &Rival| in_process(rival.name, &case);
            table.row(Row::of_costs(label(&case), &plan.caches, figure)?);
        }
    }
    Ok(table.done())
}

fn label(case: &Case) -> String {
    match case.mix {
        Mix::Evict => format!("{}, full", case.population()),
        Mix::Sets(_) | Mix::Arithmetic => case.population(),
    }
}

fn in_process(cache: &str, case: &Case) -> Result<f64, Box<dyn Error>> {
    let mix = if case.mix == Mix::Evict { "evict" } else { "0" };
    let mut arguments = vec![
        "--child=memory".to_owned(),
        format!("--caches={cache}"),
        format!("--mixes={mix}"),
        format!("--items={}", case.items),
        format!("--value-bytes={}", case.value_bytes),
    ];
    arguments.extend(case.small_pages.then(|| "--small-pages".to_owned()));
    Ok(child(&arguments)?.trim().parse()?)
}

/// What a process for one cache does: fills it, and prints what an item took.
pub(crate) fn alone(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let plan = Plan::custom(flags);
    let case = Case {
        mix: plan.mixes[0],
        keys: Keys::Uniform,
        items: plan.items[0],
        value_bytes: plan.value_bytes[0],
        threads: 1,
        small_pages: plan.small_pages,
    };
    let rival = plan.caches.first().ok_or("no such cache")?;
    let before = resident_bytes()?;
    let mut bench = (rival.bench)(&case);
    let after = resident_bytes()?;
    // Twice as many were stored if it was to evict.
    let stored = case.items * if case.mix == Mix::Evict { 2 } else { 1 };
    let gets = Case {
        mix: Mix::Sets(0),
        items: stored,
        ..case
    };
    let misses = bench.round(&gets, &gets.draw(SAMPLES, 0)).misses;
    let held = stored as f64 * (1.0 - misses as f64 / SAMPLES as f64);
    let each = after.saturating_sub(before) as f64 / held;
    println!("{}", each - (KEY_BYTES + case.value_bytes) as f64);
    Ok(())
}

/// Keys that are asked for to find how many items are held.
const SAMPLES: usize = 300_000;
