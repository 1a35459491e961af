//! `simulate`: the simulator's commands. Run without arguments for the list.
#![expect(
    clippy::cast_possible_truncation,
    reason = "keys are dense u32 ids by construction"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use larder_simulator::bar::{self, Cell, Mode, Row, Verdict};
use larder_simulator::policy;
use larder_simulator::reference::{self, Comparison};
use larder_simulator::replay::{self, Expiry, Reading};
use larder_simulator::server::{self, Memory, Prediction};
use larder_simulator::trace::Trace;

const USAGE: &str = "usage:
  simulate bar FOLDER [--cells] [--only TEXT] POLICY...
      the cells of FOLDER/bar-miss-ratios.csv; --cells prints each, --only those whose
      trace,mode,fraction contains TEXT
  simulate server FOLDER [--only TEXT] [--overhead BYTES] [--rounding PCT | --pages] POLICY...
      the configurations of FOLDER/memcached-1.6.45-measured.csv, with a memory model
  simulate run FOLDER --trace NAME (--objects N | --bytes N) [--expiry never|lazy|eager] POLICY...
      one trace at one capacity, look-aside with --expiry and plain without, the ceiling first
  simulate reference FOLDER [--cells]
      how closely the policies agree with FOLDER/reference-miss-ratios.csv

FOLDER holds the traces. POLICY is a name or name:parameter=value,...; the names are:
  ";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("simulate: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &mut Vec<String>) -> Result<(), String> {
    let usage = || format!("{USAGE}{}", policy::NAMES.join(" "));
    if arguments.len() < 2 {
        return Err(usage());
    }
    let command = arguments.remove(0);
    let folder = PathBuf::from(arguments.remove(0));
    match command.as_str() {
        "bar" => run_bar(&folder, arguments),
        "run" => run_one(&folder, arguments),
        "reference" => run_reference(&folder, arguments),
        "server" => run_server(&folder, arguments),
        _ => Err(usage()),
    }
}

/// Takes `--name` out of the arguments.
fn take_flag(arguments: &mut Vec<String>, name: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| argument != name);
    arguments.len() < before
}

/// Takes `--name VALUE` out of the arguments.
fn take_value(arguments: &mut Vec<String>, name: &str) -> Result<Option<String>, String> {
    let Some(index) = arguments.iter().position(|argument| argument == name) else {
        return Ok(None);
    };
    if index + 1 >= arguments.len() {
        return Err(format!("{name} needs a value"));
    }
    arguments.remove(index);
    Ok(Some(arguments.remove(index)))
}

fn run_bar(folder: &Path, arguments: &mut Vec<String>) -> Result<(), String> {
    let show_cells = take_flag(arguments, "--cells");
    let only = take_value(arguments, "--only")?;
    let mut cells = bar::read_cells(folder).map_err(|error| error.to_string())?;
    if let Some(only) = only {
        cells.retain(|cell| label(cell).contains(&only));
    }
    let rows = bar::run(folder, &cells, arguments)?;
    for row in &rows {
        if show_cells {
            print_cells(&cells, row);
        }
    }
    println!("<=1.01 <=1.02 <=1.05 <=1.20  worst  any<=1.02 objects   bytes  policy");
    for row in &rows {
        let Verdict {
            within,
            worst,
            objects,
            bytes,
            bytes_within_any,
        } = bar::verdict(&cells, row);
        println!(
            "{:6} {:6} {:6} {:6} {worst:6.3} {bytes_within_any:10} {:6.1}% {:6.1}%  {}",
            within[0],
            within[1],
            within[2],
            within[3],
            (objects - 1.0) * 100.0,
            (bytes - 1.0) * 100.0,
            row.spec
        );
    }
    Ok(())
}

fn run_server(folder: &Path, arguments: &mut Vec<String>) -> Result<(), String> {
    let only = take_value(arguments, "--only")?;
    let overhead = take_number(arguments, "--overhead", 24.0)? as u32;
    let memory = if take_flag(arguments, "--pages") {
        Memory::Pages { overhead }
    } else {
        Memory::Plain {
            overhead,
            rounding_percent: take_number(arguments, "--rounding", 3.0)?,
        }
    };
    let mut rows = server::read_measured(folder).map_err(|error| error.to_string())?;
    if let Some(only) = only {
        rows.retain(|row| format!("{},{}", row.trace, row.limit_mib).contains(&only));
    }
    println!(
        "trace, MiB, memcached's miss ratio, ceiling; then miss ratio (to memcached's, page moves)"
    );
    let mut logs = vec![Vec::new(); arguments.len()];
    let mut loaded: Option<(&str, Trace)> = None;
    for row in &rows {
        if loaded.as_ref().is_none_or(|(name, _)| *name != row.trace) {
            let trace = Trace::open(folder, &row.trace).map_err(|error| error.to_string())?;
            loaded = Some((&row.trace, trace));
        }
        let Some((_, trace)) = &loaded else { continue };
        print!(
            "{:12} {:5} {:7.4}",
            row.trace, row.limit_mib, row.miss_ratio
        );
        for (spec, log) in arguments.iter().zip(&mut logs) {
            let Prediction { outcome, moves } =
                server::predict(trace, row.limit_mib, memory, spec)?;
            let ratio = outcome.miss_ratio() / row.miss_ratio;
            log.push(ratio);
            let percent = (ratio - 1.0) * 100.0;
            print!(" {:8.4} ({percent:+5.1}%, {moves})", outcome.miss_ratio());
        }
        println!();
    }
    for (spec, log) in arguments.iter().zip(logs) {
        let mean = bar::geometric_mean(log.into_iter());
        println!("{:+6.1}%  {spec}", (mean - 1.0) * 100.0);
    }
    Ok(())
}

fn run_one(folder: &Path, arguments: &mut Vec<String>) -> Result<(), String> {
    let name = take_value(arguments, "--trace")?.ok_or("--trace is needed")?;
    let (mode, capacity) = match take_value(arguments, "--objects")? {
        Some(count) => (Mode::Objects, count),
        None => (
            Mode::Bytes,
            take_value(arguments, "--bytes")?.ok_or("a capacity is needed")?,
        ),
    };
    let capacity = capacity
        .parse()
        .map_err(|error| format!("{capacity}: {error}"))?;
    let reading = match take_value(arguments, "--expiry")?.as_deref() {
        None => Reading::Plain,
        Some("never") => Reading::LookAside(Expiry::Never),
        Some("lazy") => Reading::LookAside(Expiry::Lazy),
        Some("eager") => Reading::LookAside(Expiry::Eager),
        Some(other) => return Err(format!("no expiry {other}")),
    };
    let trace = Trace::open(folder, &name).map_err(|error| error.to_string())?;
    let ceiling = replay::ceiling(&trace, reading).miss_ratio();
    println!("{:>8} {:>8} {:>8}  policy", "miss", "bytes", "ceiling");
    for spec in arguments.iter() {
        let mut policy = policy::build(spec, bar::space(&trace, mode, capacity), &trace)?;
        let outcome = replay::replay(&trace, reading, policy.as_mut());
        let (miss, bytes) = (outcome.miss_ratio(), outcome.byte_miss_ratio());
        println!("{miss:8.4} {bytes:8.4} {ceiling:8.4}  {spec}");
    }
    Ok(())
}

fn run_reference(folder: &Path, arguments: &mut Vec<String>) -> Result<(), String> {
    let show_cells = take_flag(arguments, "--cells");
    let mut comparisons = reference::compare(folder)?;
    let group_of = |row: &Comparison| {
        (
            row.semantics.clone(),
            row.policy.clone(),
            row.simulator.clone(),
        )
    };
    comparisons.sort_by_key(group_of);
    for group in comparisons.chunk_by(|a, b| group_of(a) == group_of(b)) {
        let difference = |row: &Comparison| (row.ours / row.reference - 1.0).abs();
        // Rounded to four places, equal results may differ by half a unit of the last.
        let equal = group
            .iter()
            .filter(|row| (row.ours - row.reference).abs() <= 0.000_051)
            .count();
        let mean = group.iter().map(difference).sum::<f64>() / group.len() as f64;
        let worst = group
            .iter()
            .max_by(|a, b| difference(a).total_cmp(&difference(b)));
        let Some(worst) = worst else { continue };
        println!(
            "{:8} {:20} {:12} {:3} cells {equal:3} equal, mean difference {:6.2}%, worst {:6.2}% ({})",
            worst.semantics,
            worst.policy,
            worst.simulator,
            group.len(),
            mean * 100.0,
            difference(worst) * 100.0,
            worst.cell
        );
        for row in group.iter().filter(|_| show_cells) {
            println!("    {:28} {:8.6} {:8.6}", row.cell, row.reference, row.ours);
        }
    }
    Ok(())
}

fn take_number(arguments: &mut Vec<String>, name: &str, default: f64) -> Result<f64, String> {
    match take_value(arguments, name)? {
        Some(text) => text
            .parse()
            .map_err(|error| format!("{name} {text}: {error}")),
        None => Ok(default),
    }
}

fn label(cell: &Cell) -> String {
    let mode = if cell.mode == Mode::Bytes {
        "byte"
    } else {
        "object"
    };
    format!("{},{mode},{}", cell.trace, cell.fraction)
}

fn print_cells(cells: &[Cell], row: &Row) {
    println!("{}", row.spec);
    println!(
        "{:28} {:>7} {:>7} {:>6} {:>7} {:>6} {:>7} {:>7} {:>7}",
        "cell", "miss", "best3", "ratio", "any", "ratio", "lru", "optimum", "ceiling"
    );
    for (cell, outcome) in cells.iter().zip(&row.outcomes) {
        let miss = outcome.miss_ratio();
        println!(
            "{:28} {miss:7.4} {:7.4} {:6.3} {:7.4} {:6.3} {:7.4} {:7.4} {:7.4}",
            label(cell),
            cell.best3,
            miss / cell.best3,
            cell.best_any,
            miss / cell.best_any,
            cell.lru,
            cell.optimum,
            cell.floor
        );
    }
}
