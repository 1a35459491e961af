//! What the system knows of this process; and processes for one measurement each.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

/// How long this thread was ready to run and had no cpu, since it began; zero where the system does not tell.
pub(crate) fn waited() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Resident bytes of this process that are no file's: what it has allocated and touched. The kernel sums the
/// pages for this, where VmRSS may lag by some hundred kilobytes.
pub(crate) fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kib = line.ok_or("no Anonymous")?.trim().trim_end_matches("kB");
    Ok(kib.trim().parse::<usize>()? << 10)
}

/// This program again, for one thing; what it printed.
pub(crate) fn child(arguments: &[String]) -> Result<String, Box<dyn Error>> {
    output(Command::new(std::env::current_exe()?).args(arguments)).map(|(out, _)| out)
}

/// What a command printed, to its output and to its errors.
pub(crate) fn output(command: &mut Command) -> Result<(String, String), Box<dyn Error>> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{command:?}: {} {errors}", output.status).into());
    }
    Ok((String::from_utf8(output.stdout)?, errors))
}
