//! Embedded caches in one run: speed, memory for an item, hit ratio, tail of evicting sets; as ratios.
//!
//! All caches of a case stand filled beside each other and take turns, round by round (A, B, C, A, B,
//! C ...), who begins changing. Figures are medians of the calmer half of the rounds; ratios are medians of the
//! ratios within a round. Memory, hit ratios and instructions are measured in a process for each cache.

mod caches;
mod docs;
mod hits;
mod instructions;
mod load;
mod memory;
mod plan;
mod plot;
mod process;
mod results;
mod speed;
mod subject;
mod table;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;

use load::{Keys, Mix};
use plan::{Plan, Suite, What};
use results::{Part, Results};
use table::Keep;

/// Embedded caches in one run. Lists are separated by commas.
#[derive(Clone, Debug, Parser)]
#[command(name = "larder-rivals")]
struct Flags {
    /// A set of measurements instead of those of the flags; `readme` writes results, tables and plots
    #[arg(long, value_enum)]
    suite: Option<Suite>,
    /// What is measured; of a suite everything, without a suite speed, tail and memory, if not said
    #[arg(long, value_enum, value_delimiter = ',')]
    what: Vec<What>,
    /// Of speed, memory, instructions and hits only cases that have this in their names; other rows stay as they were
    #[arg(long)]
    only: Option<String>,
    /// Makes tables and plots of the results that are there, and measures nothing
    #[arg(long)]
    render: bool,
    /// Caches, by a part of their names; all without
    #[arg(long, value_delimiter = ',')]
    caches: Vec<String>,
    /// Sets of a hundred operations, or `evict`
    #[arg(long, value_delimiter = ',', default_values = ["0", "10", "evict"])]
    mixes: Vec<Mix>,
    /// Exponents of Zipf's law, `uniform`, or `hot` for one key
    #[arg(long, value_delimiter = ',', default_values = ["uniform", "0.99"])]
    keys: Vec<Keys>,
    /// Items
    #[arg(long, value_delimiter = ',', default_values = ["1000000"])]
    items: Vec<u64>,
    /// Bytes of a value
    #[arg(long, value_delimiter = ',', default_values = ["100"])]
    value_bytes: Vec<usize>,
    /// Threads
    #[arg(long, value_delimiter = ',', default_values = ["1"])]
    threads: Vec<usize>,
    /// Larder asks for no huge pages, which it does by itself where the limit is 64 MiB and more
    #[arg(long)]
    small_pages: bool,
    /// Rounds of a case
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Operations of each thread in a round
    #[arg(long, default_value_t = 1_000_000)]
    operations: usize,
    /// Caches that would take more MiB together are measured in groups, and left out if two are too much
    #[arg(long, default_value_t = 9216)]
    memory_mib: usize,
    /// The folder of traces, for hit ratios
    #[arg(long, default_value = "../shared/traces")]
    traces: PathBuf,
    /// Parts of a trace's keys and bytes that larder gets room for
    #[arg(long, value_delimiter = ',', default_values = ["0.03", "0.1", "0.3"])]
    fractions: Vec<f64>,
    /// Every figure, as JSON; of a part that is there already, new ones
    #[arg(long)]
    json: Option<PathBuf>,
    /// (for itself) One measurement, in this process
    #[arg(long, hide = true, value_enum)]
    child: Option<Child>,
    /// (for itself) Requests to replay
    #[arg(long, hide = true)]
    flat: Option<PathBuf>,
    /// (for itself) Bytes of the items there is room for
    #[arg(long, hide = true, default_value_t = 0)]
    bytes: usize,
    /// (for itself) Bytes of the largest item
    #[arg(long, hide = true, default_value_t = 0)]
    item_bytes_max: usize,
}

/// What a process of its own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Child {
    /// The memory of an item
    Memory,
    /// A trace
    Replay,
    /// Operations whose instructions are counted
    Work,
}

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse();
    match flags.child {
        Some(Child::Memory) => return memory::alone(&flags),
        Some(Child::Replay) => return hits::alone(&flags),
        Some(Child::Work) => return instructions::alone(&flags),
        None => {}
    }
    let readme = flags.suite == Some(Suite::Readme);
    let json = flags.json.clone().or_else(|| readme.then(docs::results));
    let mut results = match &json {
        Some(path) => Results::read(path)?,
        None => Results::default(),
    };
    if flags.render {
        return docs::write(&Results::read(&docs::results())?);
    }
    let begun = Instant::now();
    for what in asked(&flags) {
        let seconds = begun.elapsed().as_secs();
        eprintln!("{} ({seconds} s since the beginning)", what.name());
        if what == What::Instructions && !instructions::possible() {
            eprintln!("left out: valgrind is not installed");
            continue;
        }
        let before = results.parts.get(what.name()).cloned();
        let old = before.clone().unwrap_or_default();
        let mut keep = |part: &Part| {
            let merged = old.clone().merged(part.clone());
            results.parts.insert(what.name().to_owned(), merged);
            if let Some(Err(error)) = json.as_ref().map(|path| results.write(path)) {
                eprintln!("not kept: {error}");
            }
        };
        let part = measure(&flags, what, before.as_ref(), &mut keep)?;
        if flags.only.is_none() {
            // Everything was measured: what is not among it is of old.
            results.parts.insert(what.name().to_owned(), part);
        }
        if let Some(path) = &json {
            results.write(path)?;
        }
    }
    if readme {
        docs::write(&Results::read(&docs::results())?)?;
    }
    Ok(())
}

/// What is to be measured, in the order of the suites.
fn asked(flags: &Flags) -> Vec<What> {
    if !flags.what.is_empty() {
        return flags.what.clone();
    }
    match flags.suite {
        Some(_) => What::ALL.to_vec(),
        None => vec![What::Speed, What::Tail, What::Memory],
    }
}

fn measure<'k>(
    flags: &Flags,
    what: What,
    before: Option<&Part>,
    keep: &'k mut Keep<'k>,
) -> Result<Part, Box<dyn Error>> {
    let plans = match flags.suite {
        Some(suite) => Plan::suite(flags, suite, what),
        None => vec![Plan::custom(flags)],
    };
    if plans.iter().any(|plan| plan.caches.is_empty()) {
        return Err("--caches: there are none of this name".into());
    }
    Ok(match what {
        What::Speed => speed::speed(&plans, keep),
        What::Scaling => speed::scaling(&plans, keep),
        What::Batch => speed::batch(&plans, keep),
        What::Tail => speed::tail(&plans, keep),
        What::Memory => memory::compare(&plans, keep)?,
        What::Instructions => instructions::compare(&plans, keep)?,
        What::Hits => {
            let traces = (flags.suite != Some(Suite::Smoke)).then_some(flags.traces.as_path());
            hits::compare(&plans[0], traces, &flags.fractions, before, keep)?
        }
    })
}
