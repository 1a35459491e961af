//! What is asked next: operations by the mix, keys by their distribution, both from a seed.
//!
//! Every thread has a source of its own with a seed of its own, so that the sequence of a thread's
//! requests is the same in every run. Requests of a trace come in the trace's order, whichever
//! thread or connection takes them: the cursor is shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_simulator::Trace;
use larder_simulator::trace::Op as TraceOp;

use crate::content::hash;
use crate::protocol::Op;
use crate::zipf::Zipf;

/// How many keys there may be.
pub const KEY_COUNT_MAX: u64 = u32::MAX as u64;

/// How often each operation comes, relative to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// By the order of [`Op::ALL`]; at least one is not 0.
    pub weights: [u32; 4],
}

impl Mix {
    /// Nothing but `op`.
    #[must_use]
    pub fn only(op: Op) -> Self {
        Self {
            weights: Op::ALL.map(|other| u32::from(other == op)),
        }
    }
}

/// Which keys are asked for.
#[derive(Clone, Debug)]
pub enum Keys {
    /// All alike.
    Uniform,
    /// By Zipf's law with this exponent, the popular ones scattered.
    Zipf(f64),
    /// One after the other.
    Sequential,
    /// What a trace asks for, operations too.
    Trace(Arc<Trace>),
}

/// One request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// What is asked.
    pub op: Op,
    /// Of which key.
    pub key: u64,
}

/// Which of the threads a source is for.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Its number, from 0.
    pub thread: u64,
    /// Of how many.
    pub threads: u64,
}

/// Draws requests.
#[derive(Debug)]
pub struct Source {
    random: fastrand::Rng,
    ops: Ops,
    keys: Draws,
}

#[derive(Debug)]
enum Ops {
    Always(Op),
    /// Upper ends of the operations' parts of `0..last`.
    Ends([u32; 4]),
}

#[derive(Debug)]
enum Draws {
    Uniform {
        count: u64,
    },
    Zipf {
        zipf: Zipf,
        count: u64,
        /// Has no divisor in common with `count`: ranks times it are every key once.
        scatter: u64,
    },
    Sequential {
        next: u64,
        step: u64,
        count: u64,
    },
    /// Every key of the share once, then nothing.
    Once {
        next: u64,
        step: u64,
        count: u64,
    },
    Trace {
        trace: Arc<Trace>,
        cursor: Arc<AtomicU64>,
    },
}

impl Source {
    /// A thread's source; `cursor` is where all threads are in a trace.
    ///
    /// # Panics
    /// If there are no keys or the mix is empty: the flags are checked before.
    #[must_use]
    pub fn new(
        mix: Mix,
        keys: &Keys,
        key_count: u64,
        seed: u64,
        share: Share,
        cursor: &Arc<AtomicU64>,
    ) -> Self {
        assert!((1..=KEY_COUNT_MAX).contains(&key_count));
        let keys = match keys {
            Keys::Uniform => Draws::Uniform { count: key_count },
            Keys::Zipf(exponent) => Draws::Zipf {
                zipf: Zipf::new(key_count, *exponent),
                count: key_count,
                scatter: scatter(key_count),
            },
            Keys::Sequential => Draws::Sequential {
                next: share.thread % key_count,
                step: share.threads,
                count: key_count,
            },
            Keys::Trace(trace) => Draws::Trace {
                trace: Arc::clone(trace),
                cursor: Arc::clone(cursor),
            },
        };
        Self {
            random: fastrand::Rng::with_seed(hash(seed.wrapping_add(hash(share.thread)))),
            ops: Ops::new(mix),
            keys,
        }
    }

    /// A set of every key of the thread's share, once.
    #[must_use]
    pub fn of_every_key(key_count: u64, share: Share) -> Self {
        Self {
            random: fastrand::Rng::with_seed(0),
            ops: Ops::Always(Op::Set),
            keys: Draws::Once {
                next: share.thread,
                step: share.threads,
                count: key_count,
            },
        }
    }

    /// The next request; none when there are no more.
    pub fn draw(&mut self) -> Option<Draw> {
        if let Draws::Trace { trace, cursor } = &self.keys {
            return drawn_from_trace(trace, cursor);
        }
        let op = self.ops.draw(&mut self.random);
        self.draw_key().map(|key| Draw { op, key })
    }

    /// One more key for a request for several.
    pub fn draw_key(&mut self) -> Option<u64> {
        Some(match &mut self.keys {
            Draws::Uniform { count } => self.random.u64(..*count),
            Draws::Zipf {
                zipf,
                count,
                scatter,
            } => (zipf.rank(&mut self.random) - 1) * *scatter % *count,
            Draws::Sequential { next, step, count } => {
                let key = *next;
                *next = (*next + *step) % *count;
                key
            }
            Draws::Once { next, step, count } => {
                let key = *next;
                if key >= *count {
                    return None;
                }
                *next += *step;
                key
            }
            Draws::Trace { trace, cursor } => {
                return drawn_from_trace(trace, cursor).map(|d| d.key);
            }
        })
    }
}

fn drawn_from_trace(trace: &Trace, cursor: &AtomicU64) -> Option<Draw> {
    let index = usize::try_from(cursor.fetch_add(1, Ordering::Relaxed)).ok()?;
    let request = trace.request(index)?;
    Some(Draw {
        op: match request.op {
            TraceOp::Get => Op::Get,
            TraceOp::Set => Op::Set,
            TraceOp::Delete => Op::Delete,
        },
        key: u64::from(request.key),
    })
}

/// A number near the golden section of `count` that has no divisor in common with it.
fn scatter(count: u64) -> u64 {
    let start = (count / 1000 * 618 + 1).max(1);
    (start..)
        .find(|&number| greatest_common_divisor(number, count) == 1)
        .unwrap_or(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Ops {
    fn new(mix: Mix) -> Self {
        let mut end = 0;
        let ends = mix.weights.map(|weight| {
            end += weight;
            end
        });
        assert!(end > 0, "a mix has at least one operation");
        let only = Op::ALL
            .into_iter()
            .zip(mix.weights)
            .find(|&(_, weight)| weight == end);
        only.map_or(Self::Ends(ends), |(op, _)| Self::Always(op))
    }

    fn draw(&self, random: &mut fastrand::Rng) -> Op {
        match self {
            Self::Always(op) => *op,
            Self::Ends(ends) => {
                let at = random.u32(..ends[3]);
                let place = ends.iter().position(|&end| at < end);
                Op::ALL[place.unwrap_or(0)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Share = Share {
        thread: 0,
        threads: 1,
    };

    fn source(mix: Mix, keys: &Keys, count: u64, seed: u64, share: Share) -> Source {
        Source::new(mix, keys, count, seed, share, &Arc::default())
    }

    fn keys(source: &mut Source, count: usize) -> Vec<u64> {
        (0..count).map(|_| source.draw().unwrap().key).collect()
    }

    #[test]
    fn a_seed_fixes_the_requests_and_threads_differ() {
        let mix = Mix {
            weights: [5, 3, 1, 1],
        };
        let draws = |seed, thread| {
            let share = Share { thread, threads: 2 };
            let mut source = source(mix, &Keys::Zipf(0.99), 1000, seed, share);
            (0..100).map(|_| source.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draws(1, 0), draws(1, 0));
        assert_ne!(draws(1, 0), draws(2, 0));
        assert_ne!(draws(1, 0), draws(1, 1));
    }

    #[test]
    fn operations_come_by_their_weights() {
        let mix = Mix {
            weights: [70, 20, 9, 1],
        };
        let mut source = source(mix, &Keys::Uniform, 10, 3, ALONE);
        let mut counts = [0u32; 4];
        for _ in 0..100_000 {
            counts[source.draw().unwrap().op as usize] += 1;
        }
        for (count, share) in counts.iter().zip([70_000f64, 20_000.0, 9_000.0, 1_000.0]) {
            let slack = 5.0 * share.sqrt();
            assert!((f64::from(*count) - share).abs() < slack, "{counts:?}");
        }
        assert_eq!(
            Ops::new(Mix::only(Op::Touch)).draw(&mut source.random),
            Op::Touch
        );
    }

    #[test]
    fn uniform_keys_are_all_there() {
        let mut source = source(Mix::only(Op::Get), &Keys::Uniform, 7, 1, ALONE);
        let mut counts = [0u32; 7];
        for key in keys(&mut source, 70_000) {
            counts[usize::try_from(key).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn scattering_keeps_every_key() {
        for count in [1, 2, 6, 10, 997, 1000, 1 << 12] {
            let scatter = scatter(count);
            let mut seen: Vec<u64> = (0..count).map(|rank| rank * scatter % count).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..count).collect::<Vec<_>>(), "{count}");
        }
        assert!(scatter(KEY_COUNT_MAX).checked_mul(KEY_COUNT_MAX).is_some());
    }

    #[test]
    fn sequential_keys_of_all_threads_are_every_key() {
        let mut seen = Vec::new();
        for thread in 0..3 {
            let share = Share { thread, threads: 3 };
            let mut once = Source::of_every_key(10, share);
            seen.extend(std::iter::from_fn(|| once.draw()).map(|draw| draw.key));
            let mut endless = source(Mix::only(Op::Get), &Keys::Sequential, 9, 0, share);
            let first = keys(&mut endless, 4);
            assert_eq!(first, [thread, thread + 3, thread + 6, thread]);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_trace_is_followed_to_its_end_by_all_threads_together() {
        let text = "key_id,size_bytes,op,ttl_s,time_s\n0,100,g,60,0\n1,50,s,0,0\n0,100,d,60,0\n";
        let trace = Keys::Trace(Arc::new(Trace::parse(text.as_bytes()).unwrap()));
        let cursor = Arc::default();
        let mut sources = [0, 1].map(|thread| {
            let share = Share { thread, threads: 2 };
            Source::new(Mix::only(Op::Get), &trace, 2, 0, share, &cursor)
        });
        let mut draw = |thread: usize| sources[thread].draw();
        let expected = |op, key| Some(Draw { op, key });
        assert_eq!(draw(0), expected(Op::Get, 0));
        assert_eq!(draw(1), expected(Op::Set, 1));
        assert_eq!(draw(0), expected(Op::Delete, 0));
        assert_eq!((draw(0), draw(1)), (None, None));
    }
}
