//! When requests are to be sent in an open loop.
//!
//! The times are fixed before anything is sent and do not wait for the server: a request that is
//! sent late because the server was slow keeps its intended time, and its latency counts from there.
//! That is the whole correction for coordinated omission.

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// At random, independent of each other (a Poisson process), as from many users.
    Poisson,
    /// One every interval.
    Even,
}

/// The intended times of one thread's requests.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    random: fastrand::Rng,
    /// Mean distance of two requests.
    interval_nanos: f64,
    /// The next one; a float, because intervals are not whole nanoseconds.
    next_nanos: f64,
}

impl Schedule {
    /// `rate` requests a second from `start_nanos`. Threads with different `phase`s (in `0.0..1.0`)
    /// take turns when arrivals are even.
    #[must_use]
    pub fn new(rate: f64, arrivals: Arrivals, start_nanos: u64, phase: f64, seed: u64) -> Self {
        let interval_nanos = 1e9 / rate;
        let mut schedule = Self {
            arrivals,
            random: fastrand::Rng::with_seed(seed),
            interval_nanos,
            next_nanos: start_nanos as f64,
        };
        match arrivals {
            Arrivals::Even => schedule.next_nanos += phase * interval_nanos,
            Arrivals::Poisson => schedule.advance(),
        }
        schedule
    }

    /// When the next request is to be sent.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time within the run"
    )]
    pub fn next_nanos(&self) -> u64 {
        self.next_nanos as u64
    }

    /// How many requests there are on the average from the next one to `end_nanos`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of what was asked for, not negative"
    )]
    pub fn due_until(&self, end_nanos: u64) -> u64 {
        let span_nanos = (end_nanos as f64 - self.next_nanos).max(0.0);
        (span_nanos / self.interval_nanos).ceil() as u64
    }

    /// Leaves out what was to be sent before `nanos`.
    pub fn skip_to(&mut self, nanos: u64) {
        while self.next_nanos() < nanos {
            self.advance();
        }
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        self.next_nanos += match self.arrivals {
            Arrivals::Even => self.interval_nanos,
            Arrivals::Poisson => -(1.0 - self.random.f64()).ln() * self.interval_nanos,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        let times = (0..count).map(|_| {
            let next = schedule.next_nanos();
            schedule.advance();
            next
        });
        times.collect()
    }

    #[test]
    fn even_arrivals_do_not_drift_and_threads_take_turns() {
        let mut schedule = Schedule::new(3.0, Arrivals::Even, 1_000, 0.0, 0);
        assert_eq!(
            times(&mut schedule, 4),
            [1_000, 333_334_333, 666_667_666, 1_000_001_000]
        );
        let mut other = Schedule::new(3.0, Arrivals::Even, 1_000, 0.5, 0);
        assert_eq!(times(&mut other, 1), [166_667_666]);
    }

    #[test]
    fn what_is_due_is_counted_and_skipped() {
        let mut schedule = Schedule::new(4.0, Arrivals::Even, 0, 0.0, 0);
        assert_eq!(schedule.due_until(1_000_000_000), 4);
        assert_eq!(schedule.due_until(1_000_000_001), 5);
        schedule.skip_to(600_000_000);
        assert_eq!(schedule.next_nanos(), 750_000_000);
        assert_eq!(schedule.due_until(700_000_000), 0);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread() {
        let mut schedule = Schedule::new(1e6, Arrivals::Poisson, 0, 0.0, 9);
        let times = times(&mut schedule, 100_001);
        let mean = *times.last().unwrap() as f64 / 100_001.0;
        assert!((980.0..1020.0).contains(&mean), "{mean}");
        // Of an exponential distribution, 1/e lies above the mean.
        let longer = times
            .windows(2)
            .filter(|pair| pair[1] - pair[0] > 1000)
            .count();
        assert!((36_000..37_600).contains(&longer), "{longer}");
    }
}
