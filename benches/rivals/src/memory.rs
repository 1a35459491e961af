//! Resident bytes of an item besides its key and its value, each cache in a process of its own.

use std::error::Error;
use std::io::Write as _;
use std::process::Command;

use crate::Flags;
use crate::load::{Case, KEY_BYTES, Mix};
use crate::report::{Cell, Table};

/// Bytes an item beyond its own; how many times ours theirs are.
pub(crate) fn compare(flags: &Flags) -> Result<Table, Box<dyn Error>> {
    let mut table = Table::new(
        "resident bytes of an item beyond key and value; it / larder",
        "memory",
    );
    for &items in &flags.items {
        for &value_bytes in &flags.value_bytes {
            let mut cells: Vec<Cell> = Vec::new();
            for (cache, _) in flags.chosen() {
                let figure = in_process(cache, items, value_bytes)?;
                let ratio = figure / cells.first().map_or(figure, |first| first.figure);
                cells.push(Cell {
                    cache,
                    figure,
                    ratio,
                });
            }
            table.row(format!("{items} of 20+{value_bytes} B"), cells);
        }
    }
    Ok(table)
}

fn in_process(cache: &str, items: u64, value_bytes: usize) -> Result<f64, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--alone", "--caches", cache])
        .args(["--items", &items.to_string()])
        .args(["--value-bytes", &value_bytes.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(format!("{cache}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// What a process for one cache does: fills it, and prints what an item took.
pub(crate) fn alone(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let case = Case {
        mix: Mix::Sets(0),
        zipf: 0.0,
        items: flags.items[0],
        value_bytes: flags.value_bytes[0],
        threads: 1,
    };
    let chosen = flags.chosen();
    let (_, fill) = chosen.first().ok_or("no such cache")?;
    let before = resident_bytes()?;
    let mut bench = fill(&case);
    let after = resident_bytes()?;
    let every = (0..case.items)
        .map(u32::try_from)
        .collect::<Result<_, _>>()?;
    let (_, misses) = bench.round(&case, &[every]);
    let each = (after - before) as f64 / (case.items - misses) as f64;
    let own = (KEY_BYTES + case.value_bytes) as f64;
    writeln!(std::io::stdout(), "{}", each - own)?;
    Ok(())
}

fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.ok_or("no VmRSS")?.trim().trim_end_matches("kB").trim();
    Ok(kib.parse::<usize>()? << 10)
}
