//! How long operations take: distributions of wall time and of the thread's own.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// Times of many operations of one kind, in nanoseconds.
pub(crate) struct Times {
    name: &'static str,
    wall: Histogram<u64>,
    own: Histogram<u64>,
}

/// A minute: nothing here takes longer.
const NANOS_MAX: u64 = 60_000_000_000;

impl Times {
    pub(crate) fn new(name: &'static str) -> Self {
        let empty = || Histogram::new_with_max(NANOS_MAX, 3).expect("three digits are few");
        Self {
            name,
            wall: empty(),
            own: empty(),
        }
    }

    pub(crate) fn measure<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        let (began, own_began) = (Instant::now(), own_time());
        let result = operation();
        let (own, wall) = (own_time().saturating_sub(own_began), began.elapsed());
        self.wall.saturating_record(nanos(wall));
        self.own.saturating_record(nanos(own));
        result
    }

    /// One line: what the operations took, in microseconds.
    pub(crate) fn print(&self) {
        let line = |times: &Histogram<u64>| {
            let micros = |nanos: u64| nanos as f64 / 1000.0;
            format!(
                "p50 {:.2}, p99.9 {:.1}, p99.99 {:.1}, max {:.1}",
                micros(times.value_at_quantile(0.5)),
                micros(times.value_at_quantile(0.999)),
                micros(times.value_at_quantile(0.9999)),
                micros(times.max())
            )
        };
        println!(
            "{:<34} {:>9} x | own us: {} | wall us: {}",
            self.name,
            self.own.len(),
            line(&self.own),
            line(&self.wall)
        );
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What this thread has had of the processor.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
