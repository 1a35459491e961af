//! What a run has counted: requests, keys, mistakes, and latencies by operation.

use hdrhistogram::Histogram;

use crate::intervals::Intervals;
use crate::protocol::Op;
use crate::reader::{Pending, Reply};

/// Latencies are kept from a nanosecond to an hour, to three digits; what is longer counts as an hour.
const LATENCY_NANOS_MAX: u64 = 3_600_000_000_000;
const LATENCY_DIGITS: u8 = 3;

/// An empty histogram of nanoseconds.
///
/// # Panics
/// Never: the bounds are constants that the histogram takes.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, LATENCY_DIGITS)
        .expect("bounds that a histogram takes")
}

/// What was counted of one operation.
#[derive(Clone, Debug)]
pub struct OpTally {
    /// Requests that were answered.
    pub requests: u64,
    /// Keys that they asked for.
    pub keys: u64,
    /// Keys that were there (of a set: stored).
    pub hits: u64,
    /// Keys that were not there.
    pub misses: u64,
    /// Requests that the server refused with an error of its own.
    pub refused: u64,
    /// Values that were not the ones stored.
    pub wrong: u64,
    /// From the intended time of a request to its answer.
    pub latency: Histogram<u64>,
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Tally {
    /// By the order of [`Op::ALL`].
    pub ops: [OpTally; 4],
    /// In an open loop: how late requests were sent although a connection was free. It is the load
    /// generator's own share in the latencies.
    pub lateness: Histogram<u64>,
    /// The same latencies by the time of the requests, if they are asked for.
    pub intervals: Option<Intervals>,
    /// The first refusal of the server, in its words.
    pub refusal: Option<String>,
    /// Bytes sent and received.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let op = OpTally {
            requests: 0,
            keys: 0,
            hits: 0,
            misses: 0,
            refused: 0,
            wrong: 0,
            latency: histogram(),
        };
        Self {
            ops: [op.clone(), op.clone(), op.clone(), op],
            lateness: histogram(),
            intervals: None,
            refusal: None,
            sent_bytes: 0,
            received_bytes: 0,
        }
    }
}

impl Tally {
    /// Counts an answered request.
    pub fn count(&mut self, pending: Pending, reply: Reply, now_nanos: u64) {
        let op = &mut self.ops[pending.question.op as usize];
        let keys = u64::from(pending.question.key_count);
        let hits = u64::from(reply.hits);
        op.requests += 1;
        op.keys += keys;
        op.hits += hits;
        op.wrong += u64::from(reply.wrong);
        if let Some(message) = reply.refusal {
            op.refused += 1;
            self.refusal.get_or_insert(message);
        } else {
            op.misses += keys - hits;
        }
        op.latency
            .saturating_record(now_nanos.saturating_sub(pending.intended_nanos));
    }

    /// Adds what another thread counted.
    ///
    /// # Panics
    /// Never: all histograms have the same bounds.
    pub fn add(&mut self, other: &Self) {
        for (op, more) in self.ops.iter_mut().zip(&other.ops) {
            op.requests += more.requests;
            op.keys += more.keys;
            op.hits += more.hits;
            op.misses += more.misses;
            op.refused += more.refused;
            op.wrong += more.wrong;
            op.latency.add(&more.latency).expect("bounds are the same");
        }
        self.lateness
            .add(&other.lateness)
            .expect("bounds are the same");
        match (&mut self.intervals, &other.intervals) {
            (Some(intervals), Some(more)) => intervals.add(more),
            (None, Some(more)) => self.intervals = Some(more.clone()),
            (_, None) => {}
        }
        self.refusal = self.refusal.take().or_else(|| other.refusal.clone());
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }

    /// All operations together.
    ///
    /// # Panics
    /// Never: all histograms have the same bounds.
    #[must_use]
    pub fn total(&self) -> OpTally {
        let mut total = Self::default().ops[0].clone();
        for op in &self.ops {
            total.requests += op.requests;
            total.keys += op.keys;
            total.hits += op.hits;
            total.misses += op.misses;
            total.refused += op.refused;
            total.wrong += op.wrong;
            total.latency.add(&op.latency).expect("bounds are the same");
        }
        total
    }

    /// What was counted of one operation.
    #[must_use]
    pub const fn of(&self, op: Op) -> &OpTally {
        &self.ops[op as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Question;
    use crate::schedule::{Arrivals, Schedule};

    fn get(key_count: u32, intended_nanos: u64) -> Pending {
        Pending {
            question: Question {
                op: Op::Get,
                key_count,
            },
            intended_nanos,
        }
    }

    fn reply(hits: u32, refusal: Option<&str>) -> Reply {
        Reply {
            key: 0,
            hits,
            wrong: 0,
            refusal: refusal.map(str::to_owned),
        }
    }

    #[test]
    fn misses_are_keys_not_given_by_a_server_that_answered() {
        let mut tally = Tally::default();
        tally.count(get(5, 0), reply(3, None), 10);
        tally.count(get(5, 0), reply(1, Some("SERVER_ERROR one")), 10);
        tally.count(get(5, 0), reply(0, Some("SERVER_ERROR two")), 10);
        let op = tally.of(Op::Get);
        assert_eq!((op.requests, op.keys, op.hits), (3, 15, 4));
        assert_eq!((op.misses, op.refused), (2, 2));
        assert_eq!(tally.refusal.as_deref(), Some("SERVER_ERROR one"));
        let mut sum = Tally::default();
        sum.add(&tally);
        sum.add(&tally);
        assert_eq!(sum.total().requests, 6);
        assert_eq!(sum.total().latency.len(), 6);
        assert_eq!(sum.refusal.as_deref(), Some("SERVER_ERROR one"));
    }

    /// A server that answers in 1 ms, but nothing for one second in the middle of ten.
    #[test]
    fn a_stall_counts_for_every_request_that_was_due_in_it() {
        const MILLI: u64 = 1_000_000;
        let mut schedule = Schedule::new(1000.0, Arrivals::Even, 0, 0.0, 0);
        let mut open = Tally::default();
        let mut closed = Tally::default();
        let answer_at = |sent: u64| {
            let is_stalled = (5000 * MILLI..6000 * MILLI).contains(&sent);
            if is_stalled {
                6000 * MILLI + MILLI
            } else {
                sent + MILLI
            }
        };
        for _ in 0..10_000 {
            let intended = schedule.next_nanos();
            open.count(get(1, intended), reply(1, None), answer_at(intended));
            schedule.advance();
        }
        let mut now = 0;
        while now < 10_000 * MILLI {
            let answered = answer_at(now);
            closed.count(get(1, now), reply(1, None), answered);
            now = answered;
        }
        let millis = |tally: &Tally, quantile| {
            tally.of(Op::Get).latency.value_at_quantile(quantile) as f64 / MILLI as f64
        };
        // One request in ten was due while the server stood still, evenly over the second.
        assert!((499.0..502.0).contains(&millis(&open, 0.95)));
        assert!((899.0..903.0).contains(&millis(&open, 0.99)));
        assert!(millis(&open, 0.89) < 1.1);
        // Who waits for the answer before the next request sees one slow request in nine thousand.
        assert!(millis(&closed, 0.999) < 1.1);
        assert!(millis(&closed, 1.0) > 1000.0);
    }

    #[test]
    fn what_takes_longer_than_the_histogram_knows_counts_as_its_longest() {
        let mut tally = Tally::default();
        tally.count(get(1, 0), reply(1, None), u64::MAX);
        assert!(tally.of(Op::Get).latency.max() >= LATENCY_NANOS_MAX);
    }
}
