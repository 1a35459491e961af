//! Cpus: lists of them, pinning threads to them, and the cpu time of other processes.

use std::io;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A list of cpus, as in `0,2-3`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpus(Vec<usize>);

impl Cpus {
    /// Whether any are given.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cpu for a thread: threads take turns.
    #[must_use]
    pub fn of_thread(&self, thread: usize) -> Option<usize> {
        (!self.0.is_empty()).then(|| self.0[thread % self.0.len()])
    }

    /// Keeps the calling thread on these cpus while `work` runs, and so what `work` starts for ever.
    ///
    /// # Errors
    /// There is no such cpu, or it is not to be used.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        if self.0.is_empty() {
            return Ok(work());
        }
        let before = sched_getaffinity(None)?;
        pin(&self.0)?;
        let result = work();
        sched_setaffinity(None, &before)?;
        Ok(result)
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                text.parse::<usize>()
                    .ok()
                    .filter(|&cpu| cpu < CpuSet::MAX_CPU)
                    .ok_or_else(|| format!("`{part}` is not a cpu or a range of cpus"))
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("`{part}` is a range that ends before it begins"));
            }
            cpus.extend(first..=last);
        }
        Ok(Self(cpus))
    }
}

/// Keeps the calling thread on these cpus.
///
/// # Errors
/// There is no such cpu, or it is not to be used.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    sched_setaffinity(None, &set)?;
    Ok(())
}

/// Cpu time that a process has used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuTime {
    /// In its own code.
    pub user_seconds: f64,
    /// In the kernel.
    pub system_seconds: f64,
}

impl CpuTime {
    /// Of a process, all its threads, so far. The kernel counts in hundredths of a second.
    ///
    /// # Errors
    /// There is no such process, or the system has no `/proc`.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&stat, rustix::param::clock_ticks_per_second() as f64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("/proc/{pid}/stat is not as expected"),
            )
        })
    }

    /// The name of a process may hold anything, brackets and spaces too, so fields count from the
    /// last bracket.
    fn parse(stat: &str, ticks_per_second: f64) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / ticks_per_second);
        Some(Self {
            user_seconds: seconds()?,
            system_seconds: seconds()?,
        })
    }

    /// Since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user_seconds: self.user_seconds - earlier.user_seconds,
            system_seconds: self.system_seconds - earlier.system_seconds,
        }
    }

    /// User and system together.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

/// Nanoseconds that the threads of a process have been ready to run while others had their cpus, so
/// far; none if the system does not tell.
#[must_use]
pub fn waited_nanos_of_process(pid: u32) -> Option<u64> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let waited = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        waited_nanos(&stat)
    };
    Some(threads.flatten().filter_map(waited).sum())
}

/// The same of the calling thread.
#[must_use]
pub fn waited_nanos_of_thread() -> Option<u64> {
    waited_nanos(&std::fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

fn waited_nanos(stat: &str) -> Option<u64> {
    stat.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Cpu time that all processes of the machine have used, without interrupts; none if the system does
/// not tell.
#[must_use]
pub fn busy_seconds_of_machine() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    busy_ticks(&stat).map(|ticks| ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// User, nice and system time of all cpus together.
fn busy_ticks(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let mut fields = fields.split_ascii_whitespace();
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some(ticks()? + ticks()? + ticks()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        let cpus: Cpus = "1,4-6".parse().unwrap();
        assert_eq!(cpus, Cpus(vec![1, 4, 5, 6]));
        assert_eq!(cpus.of_thread(5), Some(4));
        assert_eq!(Cpus::default().of_thread(5), None);
        for text in ["", "x", "1-", "3-1", "1,,2", "99999999"] {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
    }

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 7 8 20 0 1";
        let time = CpuTime::parse(stat, 100.0).unwrap();
        assert_eq!(time.user_seconds, 2.5);
        assert_eq!(time.system_seconds, 0.5);
        assert_eq!(CpuTime::parse("42 (a) S 1 2", 100.0), None);
        assert!(CpuTime::of_process(std::process::id()).is_ok());
        assert!(CpuTime::of_process(u32::MAX).is_err());
    }

    #[test]
    fn waiting_for_a_cpu_is_the_second_number() {
        assert_eq!(waited_nanos("1187781 52 2\n"), Some(52));
        assert_eq!(waited_nanos("1187781"), None);
        assert_eq!(waited_nanos_of_process(u32::MAX), None);
    }

    #[test]
    fn a_machine_is_busy_with_user_nice_and_system_time() {
        assert_eq!(busy_ticks("cpu  10 2 30 400 5 6 7\ncpu0 1 1 1"), Some(42.0));
        assert_eq!(busy_ticks("cpu0 1 1 1"), None);
    }

    #[test]
    fn pinning_lasts_as_long_as_the_work() {
        let before = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU)
            .find(|&cpu| before.is_set(cpu))
            .unwrap();
        let inside = Cpus(vec![first])
            .during(|| sched_getaffinity(None).unwrap().count())
            .unwrap();
        assert_eq!(inside, 1);
        assert_eq!(sched_getaffinity(None).unwrap().count(), before.count());
        assert!(Cpus(vec![CpuSet::MAX_CPU - 1]).during(|| ()).is_err());
    }
}
