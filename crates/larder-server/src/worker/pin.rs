//! A worker that stays on one processor.

use std::io;

/// Keeps the calling thread on the processor with this number among those that it may use, counted around.
#[cfg(target_os = "linux")]
pub(super) fn pin(number: usize) -> io::Result<()> {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let processors = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
    let processors: Vec<usize> = processors.collect();
    let Some(&processor) = number
        .checked_rem(processors.len())
        .and_then(|number| processors.get(number))
    else {
        return Ok(());
    };
    let mut one = CpuSet::new();
    one.set(processor)?;
    sched_setaffinity(this, &one)?;
    Ok(())
}

/// There is no such thing here.
#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_number: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
