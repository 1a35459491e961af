//! From options to output: opens the servers, runs, writes what was asked for.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::json;

use crate::error::Error;
use crate::options::{Options, PidChoice};
use crate::progress::Ticker;
use crate::protocol::Op;
use crate::report::json as documents;
use crate::report::plot::{Curve, svg};
use crate::report::table;
use crate::run::{Outcome, fill, measure};
use crate::server::Server;
use crate::versus::{self, Comparison, Load, Side};

/// What standard output is asked for by.
const STANDARD_OUTPUT: &str = "-";
const EXIT_WRONG_VALUES: u8 = 1;
/// What shells give to a program that an interrupt has ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Does what the options say; the exit code. `interrupted` ends it early.
///
/// # Errors
/// There is no result.
pub fn run_with(options: Options, interrupted: Arc<AtomicBool>) -> Result<u8, Error> {
    let ticker = Ticker::new(options.is_quiet, interrupted);
    let mut sides = Vec::new();
    for target in &options.targets {
        sides.push(open(target, &options)?);
    }
    match <[Side; 2]>::try_from(sides) {
        Ok(sides) => compare(&sides, options, &ticker),
        Err(sides) => match sides.first() {
            Some(side) => one(side, &options, &ticker),
            None => Err(Error::Usage("SERVER: there is none".to_owned())),
        },
    }
}

fn open(target: &crate::server::Target, options: &Options) -> Result<Side, Error> {
    let plan = &options.plan;
    let mut server = Server::open(target, &options.server_cpus)?;
    let version = server.version(plan.protocol, plan.timeout)?;
    match options.pid {
        Some(PidChoice::Given(pid)) => server.pid = Some(pid),
        Some(PidChoice::Auto) if server.pid.is_none() => {
            server.pid = Some(server.ask_pid(plan.timeout)?);
        }
        _ => {}
    }
    Ok(Side { server, version })
}

fn one(side: &Side, options: &Options, ticker: &Ticker) -> Result<u8, Error> {
    let plan = &options.plan;
    if plan.prefills {
        let tally = fill(&side.server, plan, ticker)?;
        if let Some(refusal) = &tally.refusal {
            let refused = tally.of(Op::Set).refused;
            warn(&format!(
                "the server refused {refused} of {} keys (--prefill), the first with: {refusal}",
                plan.key_count
            ));
        }
    }
    let outcome = measure(&side.server, plan, ticker)?;
    let name = side.server.name();
    let text = format!(
        "{name} (version {}): {}\n{}",
        side.version,
        plan.summary(),
        table::table(&outcome, plan)
    );
    let document = || {
        json!({
            "settings": documents::plan(plan),
            "result": documents::run(&outcome, name, &side.version),
        })
    };
    write_result(options.json.as_deref(), &text, document)?;
    for warning in table::warnings(&outcome, plan) {
        warn(&warning);
    }
    if let Some(path) = &options.plot {
        let total = outcome.tally.total();
        let used = Op::ALL
            .into_iter()
            .map(|op| (op.name(), outcome.tally.of(op)));
        let mut curves: Vec<Curve<'_>> = used
            .filter(|(_, op)| op.requests > 0)
            .map(|(label, op)| Curve {
                label: label.to_owned(),
                latency: &op.latency,
            })
            .collect();
        if curves.len() > 1 {
            let label = "all".to_owned();
            let latency = &total.latency;
            curves.push(Curve { label, latency });
        }
        write_file(
            "--plot",
            path,
            &svg(&format!("{name}: {}", plan.summary()), &curves),
        )?;
    }
    Ok(exit_code([&outcome], ticker))
}

fn compare(sides: &[Side; 2], options: Options, ticker: &Ticker) -> Result<u8, Error> {
    let shows_table = !is_standard_output(options.json.as_deref());
    let show = |text: &str| {
        if shows_table { print(text) } else { Ok(()) }
    };
    let loads: Vec<Load> = versus::loads(&options.plan, &options.suite, options.share);
    show(&versus::legend(sides))?;
    let mut shown = Ok(());
    let comparisons = versus::compare(sides, loads, options.rounds, ticker, |comparison| {
        if shown.is_ok() {
            shown = show(&versus::table(comparison));
        }
    })?;
    shown?;
    show(&versus::summary(&comparisons))?;
    if let Some(path) = &options.json {
        let document = versus::document(sides, &comparisons);
        write_json(path, &document)?;
    }
    if let Some(path) = &options.plot {
        draw(path, sides, &comparisons)?;
    }
    let outcomes = comparisons.iter().flat_map(|c| c.rounds.iter().flatten());
    Ok(exit_code(outcomes, ticker))
}

/// A picture of each load: with several, the name goes before the file's.
fn draw(path: &Path, sides: &[Side; 2], comparisons: &[Comparison]) -> Result<(), Error> {
    for comparison in comparisons {
        let latencies = [0, 1].map(|side| versus::latencies(&comparison.rounds[side]));
        let curves: Vec<Curve<'_>> = sides
            .iter()
            .zip(&latencies)
            .map(|(side, latency)| Curve {
                label: side.server.name().to_owned(),
                latency,
            })
            .collect();
        let picture = svg(&comparison.load.about, &curves);
        if comparisons.len() == 1 {
            write_file("--plot", path, &picture)?;
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let file = path.with_file_name(format!("{}-{name}", comparison.load.name));
            write_file("--plot", &file, &picture)?;
        }
    }
    Ok(())
}

fn exit_code<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, ticker: &Ticker) -> u8 {
    if ticker.is_interrupted() {
        EXIT_INTERRUPTED
    } else if outcomes
        .into_iter()
        .any(|outcome| outcome.wrong_values() > 0)
    {
        EXIT_WRONG_VALUES
    } else {
        0
    }
}

fn is_standard_output(path: Option<&Path>) -> bool {
    path.is_some_and(|path| path == Path::new(STANDARD_OUTPUT))
}

fn write_result(
    path: Option<&Path>,
    text: &str,
    document: impl FnOnce() -> serde_json::Value,
) -> Result<(), Error> {
    if !is_standard_output(path) {
        print(text)?;
    }
    path.map_or(Ok(()), |path| write_json(path, &document()))
}

fn write_json(path: &Path, document: &serde_json::Value) -> Result<(), Error> {
    let text = format!("{document:#}\n");
    if is_standard_output(Some(path)) {
        print(&text)
    } else {
        write_file("--json", path, &text)
    }
}

fn write_file(flag: &str, path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text)
        .map_err(|error| Error::system(format!("write {} ({flag})", path.display()), error))
}

fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    let write = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    write.map_err(|error| Error::system("write to standard output", error))
}

fn warn(message: &str) {
    eprintln!("larder-bench: {message}");
}
