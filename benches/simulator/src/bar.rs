//! Compares policies with the reference miss ratios of `bar-miss-ratios.csv`, cell by cell.
//!
//! A cell is a trace, a mode (objects or payload bytes) and a capacity. Each policy's miss ratio is set against the best
//! of three known policies, the best of all known ones, and strict LRU.

use std::io;
use std::path::Path;

use crate::policy::{self, Space};
use crate::replay::{Outcome, Reading, replay};
use crate::trace::Trace;

/// What capacity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every object weighs 1.
    Objects,
    /// An object weighs its key and value.
    Bytes,
}

/// One line of the bar: a trace at a capacity, and what known policies miss there.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The trace's name.
    pub trace: String,
    /// What the capacity counts.
    pub mode: Mode,
    /// The capacity as a fraction of the footprint, as text.
    pub fraction: String,
    /// The capacity.
    pub capacity: u64,
    /// Miss ratio of strict LRU.
    pub lru: f64,
    /// The best of ARC, S3-FIFO and W-TinyLFU.
    pub best3: f64,
    /// The best of all known policies.
    pub best_any: f64,
    /// Belady's optimum, or an approximation in bytes.
    pub optimum: f64,
    /// Misses of an infinite cache.
    pub floor: f64,
}

/// Reads `bar-miss-ratios.csv` from the folder of traces.
///
/// # Errors
/// When it cannot be read or is not in the format.
pub fn read_cells(folder: &Path) -> io::Result<Vec<Cell>> {
    let text = std::fs::read_to_string(folder.join("bar-miss-ratios.csv"))?;
    let cells = text
        .lines()
        .skip(1)
        .map(parse_cell)
        .collect::<Option<Vec<_>>>();
    cells.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not in the format of the bar"))
}

fn parse_cell(line: &str) -> Option<Cell> {
    let fields: Vec<&str> = line.split(',').collect();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Cell {
        trace: fields.first()?.to_string(),
        mode: if *fields.get(1)? == "byte" {
            Mode::Bytes
        } else {
            Mode::Objects
        },
        fraction: fields.get(2)?.to_string(),
        capacity: fields.get(3)?.parse().ok()?,
        lru: number(4)?,
        best3: number(6)?,
        best_any: number(9)?,
        optimum: number(11)?,
        floor: number(12)?,
    })
}

/// The space of a cell over the keys of its trace.
pub fn space(trace: &Trace, mode: Mode, capacity: u64) -> Space {
    match mode {
        Mode::Objects => Space::new(capacity, vec![1; trace.key_count()]),
        Mode::Bytes => Space::new(capacity, trace.sizes.clone()),
    }
}

/// One policy's outcomes, parallel to the cells.
#[derive(Debug)]
pub struct Row {
    /// The policy as it was named.
    pub spec: String,
    /// What it counted in each cell.
    pub outcomes: Vec<Outcome>,
}

/// Runs every policy through every cell, each trace read once; `keep` chooses the cells.
///
/// # Errors
/// When a trace cannot be read or a policy is unknown.
pub fn run(folder: &Path, cells: &[Cell], specs: &[String]) -> Result<Vec<Row>, String> {
    let row = |spec: &String| Row {
        spec: spec.clone(),
        outcomes: Vec::new(),
    };
    let mut rows: Vec<Row> = specs.iter().map(row).collect();
    let mut loaded: Option<(&str, Trace)> = None;
    for cell in cells {
        if loaded.as_ref().is_none_or(|(name, _)| *name != cell.trace) {
            let trace = Trace::open(folder, &cell.trace);
            let trace = trace.map_err(|error| format!("{}: {error}", cell.trace))?;
            loaded = Some((&cell.trace, trace));
        }
        let Some((_, trace)) = &loaded else { continue };
        for row in &mut rows {
            let space = space(trace, cell.mode, cell.capacity);
            let mut policy = policy::build(&row.spec, space, trace)?;
            row.outcomes
                .push(replay(trace, Reading::Plain, policy.as_mut()));
        }
    }
    Ok(rows)
}

/// The bar's verdict on one policy.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Cells within 1.01, 1.02, 1.05 and 1.20 of the best of three.
    pub within: [usize; 4],
    /// The worst ratio to the best of three.
    pub worst: f64,
    /// Geometric mean of misses over LRU's, objects.
    pub objects: f64,
    /// Geometric mean of misses over LRU's, bytes.
    pub bytes: f64,
    /// Cells in byte mode within 1.02 of the best of all.
    pub bytes_within_any: usize,
}

/// How near is near, for [`Verdict::within`].
pub const NEAR: [f64; 4] = [1.01, 1.02, 1.05, 1.20];

/// Sums a row up.
pub fn verdict(cells: &[Cell], row: &Row) -> Verdict {
    let pairs = || cells.iter().zip(&row.outcomes);
    let ratio = |(cell, outcome): (&Cell, &Outcome)| outcome.miss_ratio() / cell.best3;
    let against_lru = |mode: Mode| {
        geometric_mean(
            pairs()
                .filter(|(cell, _)| cell.mode == mode)
                .map(|(cell, outcome)| outcome.miss_ratio() / cell.lru),
        )
    };
    // References are rounded to four places, so a tie may look worse by half a unit.
    let near = |limit: f64, (cell, outcome): (&Cell, &Outcome)| {
        outcome.miss_ratio() <= limit * cell.best3 + 0.000_05
    };
    Verdict {
        within: NEAR.map(|limit| pairs().filter(|&pair| near(limit, pair)).count()),
        worst: pairs().map(ratio).fold(0.0, f64::max),
        objects: against_lru(Mode::Objects),
        bytes: against_lru(Mode::Bytes),
        bytes_within_any: pairs()
            .filter(|(cell, outcome)| {
                cell.mode == Mode::Bytes && outcome.miss_ratio() <= 1.02 * cell.best_any + 0.000_05
            })
            .count(),
    }
}

/// The geometric mean, 1 for nothing.
pub fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| {
        (sum + value.ln(), count + 1)
    });
    (sum / f64::from(count.max(1))).exp()
}
