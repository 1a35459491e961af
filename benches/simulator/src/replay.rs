//! Runs a trace through a policy and counts what it misses.
//!
//! Two readings of a trace. `Plain`: gets and sets are both plain accesses, deletes and lifetimes are left out; the
//! reference miss ratios are made that way. `LookAside`: as a client of a server sees it, a get that misses is followed
//! by a store, sets store, deletes remove, and only gets are counted; lifetimes are honoured or not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::policy::{Access, Policy};
use crate::trace::{Key, Op, Trace};

/// How the requests of a trace are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Gets and sets are plain accesses; deletes and lifetimes are left out.
    Plain,
    /// Gets that miss store; sets store; deletes remove; expiry as given.
    LookAside(Expiry),
}

/// When an expired item leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Lifetimes are left out.
    Never,
    /// When it is asked for, or evicted.
    Lazy,
    /// At once.
    Eager,
}

/// What a replay counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Accesses counted: all of them in a plain reading, gets in a look-aside one.
    pub accesses: u64,
    /// Those that missed.
    pub misses: u64,
    /// Bytes asked for by the counted accesses.
    pub bytes: u64,
    /// Bytes of those that missed.
    pub bytes_missed: u64,
}

impl Outcome {
    /// Misses over accesses.
    pub fn miss_ratio(&self) -> f64 {
        self.misses as f64 / self.accesses.max(1) as f64
    }

    /// Bytes missed over bytes asked for.
    pub fn byte_miss_ratio(&self) -> f64 {
        self.bytes_missed as f64 / self.bytes.max(1) as f64
    }

    fn count(&mut self, access: Access, size: u32) {
        self.accesses += 1;
        self.bytes += u64::from(size);
        if access == Access::Miss {
            self.misses += 1;
            self.bytes_missed += u64::from(size);
        }
    }
}

/// Runs the whole trace through `policy`.
pub fn replay(trace: &Trace, reading: Reading, policy: &mut dyn Policy) -> Outcome {
    match reading {
        Reading::Plain => replay_plain(trace, policy),
        Reading::LookAside(expiry) => replay_look_aside(trace, expiry, policy),
    }
}

fn replay_plain(trace: &Trace, policy: &mut dyn Policy) -> Outcome {
    let mut outcome = Outcome::default();
    for request in trace.requests().filter(|request| request.op != Op::Delete) {
        let access = policy.access(request.key);
        outcome.count(access, trace.sizes[request.key as usize]);
    }
    outcome
}

fn replay_look_aside(trace: &Trace, expiry: Expiry, policy: &mut dyn Policy) -> Outcome {
    let mut outcome = Outcome::default();
    let mut clock = Lifetimes::new(trace, expiry);
    for request in trace.requests() {
        let key = request.key;
        clock.advance(request.seconds, key, policy);
        match request.op {
            Op::Get => {
                let access = policy.access(key);
                outcome.count(access, trace.sizes[key as usize]);
                if access == Access::Miss {
                    clock.stored(key);
                }
            }
            Op::Set => {
                policy.access(key);
                clock.stored(key);
            }
            Op::Delete => policy.remove(key),
        }
    }
    outcome
}

/// The misses of a cache without limit: what first use, deletes and lifetimes cost whatever the policy.
pub fn ceiling(trace: &Trace, reading: Reading) -> Outcome {
    replay(
        trace,
        reading,
        &mut Infinite {
            held: vec![false; trace.key_count()],
            count: 0,
        },
    )
}

/// Keeps everything.
struct Infinite {
    held: Vec<bool>,
    count: u64,
}

impl Policy for Infinite {
    fn access(&mut self, key: Key) -> Access {
        if std::mem::replace(&mut self.held[key as usize], true) {
            return Access::Hit;
        }
        self.count += 1;
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        if std::mem::replace(&mut self.held[key as usize], false) {
            self.count -= 1;
        }
    }

    fn used(&self) -> u64 {
        self.count
    }
}

/// Who expires when. A key's instant is 0 while it has none.
struct Lifetimes<'a> {
    trace: &'a Trace,
    expiry: Expiry,
    now: u32,
    expires_at: Vec<u32>,
    due: BinaryHeap<Reverse<(u32, Key)>>,
}

impl<'a> Lifetimes<'a> {
    fn new(trace: &'a Trace, expiry: Expiry) -> Self {
        let expires_at = vec![0; trace.key_count()];
        Self {
            trace,
            expiry,
            now: 0,
            expires_at,
            due: BinaryHeap::new(),
        }
    }

    fn stored(&mut self, key: Key) {
        let ttl = self.trace.ttls[key as usize];
        if ttl == 0 || self.expiry == Expiry::Never {
            return;
        }
        let expires_at = self.now + ttl;
        self.expires_at[key as usize] = expires_at;
        if self.expiry == Expiry::Eager {
            self.due.push(Reverse((expires_at, key)));
        }
    }

    /// Removes what is past its time: everything due, or the key about to be asked for.
    fn advance(&mut self, now: u32, key: Key, policy: &mut dyn Policy) {
        self.now = now;
        while let Some(&Reverse((expires_at, due))) = self.due.peek() {
            if expires_at > now {
                break;
            }
            self.due.pop();
            self.expire(due, now, policy);
        }
        if self.expiry != Expiry::Never {
            self.expire(key, now, policy);
        }
    }

    fn expire(&mut self, key: Key, now: u32, policy: &mut dyn Policy) {
        let expires_at = &mut self.expires_at[key as usize];
        if *expires_at != 0 && *expires_at <= now {
            *expires_at = 0;
            policy.remove(key);
        }
    }
}
