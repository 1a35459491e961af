//! The loads that servers are compared with, by name: changes of a plan.

use crate::plan::Plan;
use crate::protocol::{Op, Protocol};
use crate::sizes::Sizes;
use crate::source::Mix;

/// A named load.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// For `--suite` and reports.
    pub name: &'static str,
    /// In words.
    pub about: &'static str,
    apply: fn(&mut Plan),
}

/// Keys of the small values, and of the large.
const KEYS: u64 = 1_000_000;
const LARGE_KEYS: u64 = 10_000;
const LARGE_BYTES: usize = 16 << 10;

/// All of them, in the order of reports.
pub const ALL: [Workload; 9] = [
    Workload {
        name: "get",
        about: "gets, 50 connections, 1 in flight each",
        apply: |plan| shape(plan, [1, 0], 50, 1),
    },
    Workload {
        name: "mix10",
        about: "gets and sets 9:1, 50 connections, 1 in flight each",
        apply: |plan| shape(plan, [9, 1], 50, 1),
    },
    Workload {
        name: "get-1k",
        about: "gets, 1,000 connections, 1 in flight each",
        apply: |plan| shape(plan, [1, 0], 1000, 1),
    },
    Workload {
        name: "get-pipe",
        about: "gets, 8 connections, 32 in flight each",
        apply: |plan| shape(plan, [1, 0], 8, 32),
    },
    Workload {
        name: "mix50-pipe",
        about: "gets and sets 1:1, 8 connections, 32 in flight each",
        apply: |plan| shape(plan, [1, 1], 8, 32),
    },
    Workload {
        name: "set-pipe",
        about: "sets, 10 connections, 16 in flight each",
        apply: |plan| shape(plan, [0, 1], 10, 16),
    },
    Workload {
        name: "mget50",
        about: "gets of 50 keys, 10 connections",
        apply: |plan| {
            shape(plan, [1, 0], 10, 1);
            plan.multi_get = 50;
        },
    },
    Workload {
        name: "meta-pipe",
        about: "meta gets (mg KEY k v), 8 connections, 32 in flight each",
        apply: |plan| {
            shape(plan, [1, 0], 8, 32);
            plan.protocol = Protocol::Meta;
        },
    },
    Workload {
        name: "get-16k",
        about: "gets of 16 KiB values, 10,000 keys, 50 connections, 1 in flight each",
        apply: |plan| {
            shape(plan, [1, 0], 50, 1);
            plan.sizes = Some(Sizes::Fixed(LARGE_BYTES));
            plan.key_count = LARGE_KEYS;
            plan.key_prefix = "large-".to_owned();
        },
    },
];

impl Workload {
    /// The workload with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|workload| workload.name == name)
    }

    /// The plan with this load.
    #[must_use]
    pub fn of(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        plan.key_count = KEYS;
        (self.apply)(&mut plan);
        plan
    }
}

fn shape(plan: &mut Plan, get_and_set: [u32; 2], connections: usize, pipeline: usize) {
    plan.mix = Mix {
        weights: Op::ALL.map(|op| match op {
            Op::Get => get_and_set[0],
            Op::Set => get_and_set[1],
            Op::Delete | Op::Touch => 0,
        }),
    };
    plan.connections = connections;
    plan.pipeline = pipeline;
    plan.multi_get = 1;
}
