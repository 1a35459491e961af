//! Latencies by the time at which requests were to be sent, in slices of the run: what an average
//! over the whole run hides, such as a stall while a table grows.

use std::time::Duration;

use hdrhistogram::Histogram;

/// From a microsecond to an hour, to two digits: a slice takes some 20 KiB.
const LEAST_NANOS: u64 = 1_000;
const MOST_NANOS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 2;
/// Slices beyond it are counted in the last one.
pub const SLICES_MAX: usize = 10_000;

/// The slices of a run.
#[derive(Clone, Debug)]
pub struct Intervals {
    slice_nanos: u64,
    slices: Vec<Histogram<u32>>,
}

impl Intervals {
    /// Slices of this length.
    #[must_use]
    pub fn new(slice: Duration) -> Self {
        Self {
            slice_nanos: u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX).max(1),
            slices: Vec::new(),
        }
    }

    /// Counts a request that was to be sent at this time since the start.
    pub(crate) fn count(&mut self, since_start_nanos: u64, latency_nanos: u64) {
        let slice = since_start_nanos / self.slice_nanos;
        let slice = usize::try_from(slice)
            .unwrap_or(SLICES_MAX)
            .min(SLICES_MAX - 1);
        if self.slices.len() <= slice {
            self.slices.resize_with(slice + 1, empty);
        }
        self.slices[slice].saturating_record(latency_nanos);
    }

    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.slices.len() < other.slices.len() {
            self.slices.resize_with(other.slices.len(), empty);
        }
        for (slice, more) in self.slices.iter_mut().zip(&other.slices) {
            slice.add(more).expect("bounds are the same");
        }
    }

    /// Every slice: its start in seconds, and its latencies.
    pub fn slices(&self) -> impl Iterator<Item = (f64, &Histogram<u32>)> {
        let start = |place: u64| (place * self.slice_nanos) as f64 / 1e9;
        (0..).map(start).zip(&self.slices)
    }
}

fn empty() -> Histogram<u32> {
    Histogram::new_with_bounds(LEAST_NANOS, MOST_NANOS, DIGITS)
        .expect("bounds that a histogram takes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_in_the_slice_of_their_intended_time() {
        let mut one = Intervals::new(Duration::from_millis(100));
        one.count(0, 5_000);
        one.count(99_999_999, 7_000_000_000);
        one.count(250_000_000, 5_000);
        let mut other = Intervals::new(Duration::from_millis(100));
        other.count(300_000_000, 5_000);
        one.add(&other);
        let seen: Vec<(f64, u64)> = one.slices().map(|(at, slice)| (at, slice.len())).collect();
        assert_eq!(seen, [(0.0, 2), (0.1, 0), (0.2, 1), (0.3, 1)]);
        let longest = one.slices().next().unwrap().1.max();
        assert!(
            (6_900_000_000..7_100_000_000).contains(&longest),
            "{longest}"
        );
    }

    #[test]
    fn a_run_longer_than_the_slices_stays_bounded() {
        let mut intervals = Intervals::new(Duration::from_nanos(1));
        intervals.count(u64::MAX, 1);
        assert_eq!(intervals.slices().count(), SLICES_MAX);
    }
}
