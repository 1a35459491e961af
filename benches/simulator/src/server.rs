//! Predicts what a server misses at a limit in MiB: density, size classes and pages, against measured memcached.
//!
//! The configurations are the rows of `memcached-1.6.45-measured.csv` with default options at full speed. The replay is
//! look-aside without lifetimes, as the measurement was. Memory is modelled in one of two ways: an overhead per item
//! and a rounding in per cent around any policy, or the default policy in the engine's pages.

use std::io;
use std::path::Path;

use crate::policy::{self, Paged, Parameters, Policy, Space};
use crate::replay::{Expiry, Outcome, Reading, replay};
use crate::trace::Trace;

/// One measured configuration.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The trace's name.
    pub trace: String,
    /// The memory limit in MiB.
    pub limit_mib: u64,
    /// What memcached missed.
    pub miss_ratio: f64,
}

/// How memory is modelled.
#[derive(Clone, Copy, Debug)]
pub enum Memory {
    /// An item takes its size plus `overhead`, and `rounding_percent` of that.
    Plain {
        /// Bytes per item.
        overhead: u32,
        /// Per cent.
        rounding_percent: f64,
    },
    /// An item takes chunks of pages, its size plus `overhead` rounded up.
    Pages {
        /// Bytes per item.
        overhead: u32,
    },
}

/// A prediction for one configuration.
#[derive(Clone, Copy, Debug)]
pub struct Prediction {
    /// What was counted.
    pub outcome: Outcome,
    /// Pages moved between classes.
    pub moves: u64,
}

/// Reads `memcached-1.6.45-measured.csv` from the folder of traces.
///
/// # Errors
/// When it cannot be read or is not in the format.
pub fn read_measured(folder: &Path) -> io::Result<Vec<Measured>> {
    let text = std::fs::read_to_string(folder.join("memcached-1.6.45-measured.csv"))?;
    let lines = text.lines().filter(|line| line.contains(",default,none,"));
    let rows = lines.map(parse_measured).collect::<Option<Vec<_>>>();
    rows.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not in the format"))
}

fn parse_measured(line: &str) -> Option<Measured> {
    let fields: Vec<&str> = line.split(',').collect();
    Some(Measured {
        trace: fields.first()?.to_string(),
        limit_mib: fields.get(1)?.parse().ok()?,
        miss_ratio: fields.get(5)?.parse().ok()?,
    })
}

/// Runs the policy named in `spec` at a limit.
///
/// # Errors
/// When the policy is unknown, or is not the default one where memory is in pages.
pub fn predict(
    trace: &Trace,
    limit_mib: u64,
    memory: Memory,
    spec: &str,
) -> Result<Prediction, String> {
    let limit_bytes = limit_mib << 20;
    let reading = Reading::LookAside(Expiry::Never);
    match memory {
        Memory::Plain {
            overhead,
            rounding_percent,
        } => {
            let factor = 1.0 + rounding_percent / 100.0;
            let charge = |size: &u32| (f64::from(size + overhead) * factor).ceil() as u32;
            let sizes: Vec<u32> = trace.sizes.iter().map(charge).collect();
            let mut policy = policy::build(spec, Space::new(limit_bytes, sizes), trace)?;
            Ok(Prediction {
                outcome: replay(trace, reading, policy.as_mut()),
                moves: 0,
            })
        }
        Memory::Pages { overhead } => {
            let (name, parameters) = spec.split_once(':').unwrap_or((spec, ""));
            if name != "larder" {
                return Err(format!("{name}: only larder runs in pages"));
            }
            let mut parameters = Parameters::parse(parameters)?;
            let mut paged = Paged::new(limit_bytes, &trace.sizes, overhead, &mut parameters);
            parameters.finish()?;
            let outcome = replay(trace, reading, &mut paged as &mut dyn Policy);
            Ok(Prediction {
                outcome,
                moves: paged.moves,
            })
        }
    }
}
