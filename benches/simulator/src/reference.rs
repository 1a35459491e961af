//! How closely the policies here agree with `reference-miss-ratios.csv`, which two other simulators made.

use std::io;
use std::path::Path;

use crate::bar::{Mode, space};
use crate::policy;
use crate::replay::{Expiry, Reading, replay};
use crate::trace::Trace;

/// The reference's name for a policy, and ours.
const NAMES: [(&str, &str); 10] = [
    ("LRU", "lru"),
    ("MC-SLRU", "segmented"),
    ("SIEVE", "sieve"),
    ("S3-FIFO", "s3-fifo"),
    ("ARC", "arc"),
    ("W-TinyLFU", "tiny-lfu"),
    ("W-TinyLFU-adaptive", "tiny-lfu-adaptive"),
    ("GDSF", "gdsf"),
    ("Belady", "belady"),
    ("BeladySize", "belady"),
];

/// Our result beside one reference row.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The policy as the reference calls it.
    pub policy: String,
    /// How the trace was read: `plain`, `kv-lazy` or `kv-eager`.
    pub semantics: String,
    /// Which of the two simulators made the row.
    pub simulator: String,
    /// Trace, mode and fraction.
    pub cell: String,
    /// The reference's miss ratio.
    pub reference: f64,
    /// Ours.
    pub ours: f64,
}

/// Runs every policy that the reference and this simulator share, each row read as the reference read it.
///
/// # Errors
/// When a file cannot be read or is not in the format.
pub fn compare(folder: &Path) -> Result<Vec<Comparison>, String> {
    let text = read(folder).map_err(|error| error.to_string())?;
    let mut comparisons: Vec<Comparison> = Vec::new();
    let mut loaded: Option<(&str, Trace)> = None;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [
            trace_name,
            mode,
            semantics,
            fraction,
            capacity,
            name,
            simulator,
            miss,
            ..,
        ] = fields[..]
        else {
            continue;
        };
        let reading = match semantics {
            "plain" => Reading::Plain,
            "kv-lazy" => Reading::LookAside(Expiry::Lazy),
            "kv-eager" => Reading::LookAside(Expiry::Eager),
            _ => return Err(format!("no such semantics: {line}")),
        };
        let Some(&(_, spec)) = NAMES.iter().find(|(theirs, _)| *theirs == name) else {
            continue;
        };
        // In bytes the exact order of distances is no optimum, and ours is not that order.
        if name == "Belady" && mode == "byte" {
            continue;
        }
        if loaded
            .as_ref()
            .is_none_or(|(loaded, _)| *loaded != trace_name)
        {
            let trace = Trace::open(folder, trace_name).map_err(|error| error.to_string())?;
            loaded = Some((trace_name, trace));
        }
        let Some((_, trace)) = &loaded else { continue };
        let number = |text: &str| {
            text.parse::<f64>()
                .map_err(|_| format!("not a number: {line}"))
        };
        let cell = format!("{trace_name},{mode},{fraction}");
        let known = comparisons.iter().find(|known| {
            known.policy == name && known.cell == cell && known.semantics == semantics
        });
        let ours = match known {
            Some(known) => known.ours,
            None => {
                let mode = if mode == "byte" {
                    Mode::Bytes
                } else {
                    Mode::Objects
                };
                let space = space(trace, mode, number(capacity)? as u64);
                let mut policy = policy::build(spec, space, trace)?;
                replay(trace, reading, policy.as_mut()).miss_ratio()
            }
        };
        comparisons.push(Comparison {
            policy: name.to_owned(),
            semantics: semantics.to_owned(),
            simulator: simulator.to_owned(),
            cell,
            reference: number(miss)?,
            ours,
        });
    }
    Ok(comparisons)
}

fn read(folder: &Path) -> io::Result<String> {
    std::fs::read_to_string(folder.join("reference-miss-ratios.csv"))
}
