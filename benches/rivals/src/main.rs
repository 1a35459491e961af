//! Embedded caches in one run: speed, memory for an item, tail of evicting sets; as ratios.
//!
//! All caches of a case stand filled beside each other and take turns, round by round (A, B, C, A, B,
//! C ...), who begins changing. Figures are medians of rounds; ratios are medians of the ratios
//! within a round. Memory is measured in a process for each cache.

mod load;
mod memory;
mod report;
mod speed;
mod subject;

use clap::Parser;

/// Embedded caches in one run. Lists are separated by commas.
#[derive(Clone, Debug, Parser)]
#[command(name = "larder-rivals")]
struct Flags {
    /// What is measured: speed, tail, memory
    #[arg(long, value_delimiter = ',', default_values = ["speed", "tail", "memory"])]
    what: Vec<String>,
    /// Caches, by a part of their names; all without
    #[arg(long, value_delimiter = ',')]
    caches: Vec<String>,
    /// Sets of a hundred operations, or `evict`
    #[arg(long, value_delimiter = ',', default_values = ["0", "10", "evict"])]
    mixes: Vec<String>,
    /// Exponents of Zipf's law; 0 is uniform
    #[arg(long, value_delimiter = ',', default_values = ["0", "0.99"])]
    zipf: Vec<f64>,
    /// Items
    #[arg(long, value_delimiter = ',', default_values = ["1000000"])]
    items: Vec<u64>,
    /// Bytes of a value
    #[arg(long, value_delimiter = ',', default_values = ["100"])]
    value_bytes: Vec<usize>,
    /// Threads
    #[arg(long, value_delimiter = ',', default_values = ["1"])]
    threads: Vec<usize>,
    /// Rounds of a case
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Operations of each thread in a round
    #[arg(long, default_value_t = 1_000_000)]
    operations: usize,
    /// Cases whose caches would take more than this many MiB together are left out, and told
    #[arg(long, default_value_t = 8192)]
    memory_mib: usize,
    /// Every figure, as JSON
    #[arg(long)]
    json: Option<std::path::PathBuf>,
    /// Bars of the ratios, as SVG
    #[arg(long)]
    plot: Option<std::path::PathBuf>,
    /// (for itself) The memory of one cache, in this process
    #[arg(long, hide = true)]
    alone: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::parse();
    if flags.alone {
        return memory::alone(&flags);
    }
    let mut tables = Vec::new();
    if flags.what.iter().any(|what| what == "speed") {
        tables.push(speed::speed(&flags)?);
    }
    if flags.what.iter().any(|what| what == "tail") {
        tables.push(speed::tail(&flags)?);
    }
    if flags.what.iter().any(|what| what == "memory") {
        tables.push(memory::compare(&flags)?);
    }
    if let Some(path) = &flags.json {
        std::fs::write(path, report::json(&tables))?;
    }
    if let Some(path) = &flags.plot {
        std::fs::write(path, report::svg(&tables))?;
    }
    Ok(())
}
