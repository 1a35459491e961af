//! The loads that servers are compared with, by name: changes of a plan.

use crate::duress::Duress;
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

/// Gets while the server is asked for something that may keep them waiting, and the same without it.
/// Meant for an open loop (`--rate`); there are as many keys as the plan says, but the other loads' at
/// least.
pub const DURESS: [Workload; 9] = [
    Workload {
        name: "steady",
        about: "gets, 50 connections, and nothing else",
        apply: |plan| shape(plan, [1, 0], 50, 1),
    },
    Workload {
        name: "metadump",
        about: "gets while all keys are dumped (lru_crawler metadump all)",
        apply: |plan| under(plan, Duress::Metadump),
    },
    Workload {
        name: "stats-items",
        about: "gets at a stats items",
        apply: |plan| under(plan, Duress::StatsItems),
    },
    Workload {
        name: "stats-sizes",
        about: "gets at a stats sizes",
        apply: |plan| under(plan, Duress::StatsSizes),
    },
    Workload {
        name: "large-set",
        about: "gets while a value as large as may be is set",
        apply: |plan| under(plan, Duress::LargeSet),
    },
    Workload {
        name: "growth",
        about: "gets while a million new keys are set",
        apply: |plan| under(plan, Duress::Growth),
    },
    Workload {
        name: "expiry",
        about: "gets while a million keys expire in one second, and others are set",
        apply: |plan| under(plan, Duress::Expiry),
    },
    Workload {
        name: "memlimit",
        about: "gets while half of the memory is taken and given back (cache_memlimit)",
        apply: |plan| under(plan, Duress::Memlimit),
    },
    Workload {
        name: "flush",
        about: "gets at a flush_all",
        apply: |plan| under(plan, Duress::Flush),
    },
];

impl Workload {
    /// The workload with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = ALL.into_iter().chain(DURESS);
        all.find(|workload| workload.name == name)
    }

    /// The plan with this load.
    #[must_use]
    pub fn of(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        let is_duress = DURESS.iter().any(|duress| duress.name == self.name);
        plan.key_count = if is_duress {
            plan.key_count.max(KEYS)
        } else {
            KEYS
        };
        (self.apply)(&mut plan);
        plan
    }
}

fn under(plan: &mut Plan, duress: Duress) {
    shape(plan, [1, 0], 50, 1);
    plan.duress = Some(duress);
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
