//! What a suite measures: lists of values whose every combination is a case.

use crate::Flags;
use crate::caches::{Rival, chosen};
use crate::load::{Case, Keys, Mix};

/// Combinations.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) caches: Vec<Rival>,
    pub(crate) mixes: Vec<Mix>,
    pub(crate) keys: Vec<Keys>,
    pub(crate) items: Vec<u64>,
    pub(crate) value_bytes: Vec<usize>,
    pub(crate) threads: Vec<usize>,
    /// Whether caches that ask for huge pages by themselves do not.
    pub(crate) small_pages: bool,
    /// Rounds of a case.
    pub(crate) rounds: usize,
    /// Operations of a thread in a round.
    pub(crate) operations: usize,
    /// What filled caches may take together.
    pub(crate) memory_bytes: usize,
    /// What labels of cases must have in them.
    pub(crate) only: String,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// Millions of operations a second
    Speed,
    /// Two threads beside one, one hot key beside all
    Scaling,
    /// Gets of many keys at a time
    Batch,
    /// p99.99 of sets that evict
    Tail,
    /// Resident bytes of an item
    Memory,
    /// Hit ratio on traces at equal resident memory
    Hits,
    /// Instructions of an operation, by callgrind
    Instructions,
}

impl What {
    pub(crate) const ALL: [Self; 7] = [
        Self::Memory,
        Self::Instructions,
        Self::Batch,
        Self::Scaling,
        Self::Tail,
        Self::Speed,
        Self::Hits,
    ];

    /// As it is called in the file of results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Scaling => "scaling",
            Self::Batch => "batch",
            Self::Tail => "tail",
            Self::Memory => "memory",
            Self::Hits => "hits",
            Self::Instructions => "instructions",
        }
    }
}

/// Plans that are known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Everything, tiny: does it run?
    Smoke,
    /// What the tables and plots in README.md and docs/bench show
    Readme,
    /// The whole matrix, which takes hours
    Full,
}

impl Plan {
    /// As the flags say.
    pub(crate) fn custom(flags: &Flags) -> Self {
        Self {
            caches: chosen(&flags.caches),
            mixes: flags.mixes.clone(),
            keys: flags.keys.clone(),
            items: flags.items.clone(),
            value_bytes: flags.value_bytes.clone(),
            threads: flags.threads.clone(),
            small_pages: flags.small_pages,
            rounds: flags.rounds,
            operations: flags.operations,
            memory_bytes: flags.memory_mib << 20,
            only: flags.only.clone().unwrap_or_default(),
        }
    }

    /// Those of a suite for one part.
    pub(crate) fn suite(flags: &Flags, suite: Suite, what: What) -> Vec<Self> {
        let base = Self {
            mixes: [0, 10, 50, 100].map(Mix::Sets).into(),
            keys: vec![Keys::Uniform, Keys::Zipf(0.99), Keys::Zipf(1.2)],
            threads: threads(),
            ..Self::custom(flags)
        };
        match suite {
            Suite::Smoke => vec![base.smoke(what)],
            Suite::Readme => base.readme(what),
            Suite::Full => base.full(what),
        }
    }

    fn smoke(self, what: What) -> Self {
        let mut mixes = vec![Mix::Sets(10), Mix::Evict];
        mixes.truncate(if what == What::Instructions { 1 } else { 2 });
        Self {
            mixes,
            keys: vec![Keys::Zipf(0.99)],
            items: vec![1000],
            value_bytes: vec![100],
            threads: vec![1, 2],
            rounds: 1,
            operations: 1000,
            ..self
        }
    }

    fn readme(self, what: What) -> Vec<Self> {
        let wide = Self {
            items: vec![1_000_000],
            value_bytes: vec![100],
            rounds: 9,
            operations: 200_000,
            ..self
        };
        match what {
            What::Speed => wide.readme_speed(),
            What::Scaling => vec![Self { rounds: 15, ..wide }],
            What::Batch => vec![Self { rounds: 15, ..wide }],
            What::Tail => vec![Self {
                value_bytes: vec![100, 1024],
                rounds: 15,
                ..wide
            }],
            What::Memory => vec![
                Self {
                    mixes: vec![Mix::Sets(0), Mix::Evict],
                    value_bytes: vec![8, 100, 1024],
                    ..wide.clone()
                },
                Self {
                    items: vec![10_000],
                    value_bytes: vec![16_384],
                    ..wide.clone()
                },
                Self {
                    items: vec![10_000_000],
                    ..wide.clone()
                },
            ],
            What::Hits => vec![wide],
            What::Instructions => vec![Self {
                mixes: vec![Mix::Sets(0), Mix::Sets(100), Mix::Evict],
                keys: vec![Keys::Uniform],
                items: vec![10_000],
                operations: 20_000,
                ..wide
            }],
        }
    }

    fn readme_speed(self) -> Vec<Self> {
        let many = Self {
            rounds: 5,
            operations: 200_000,
            ..self
        };
        let few = Self {
            items: vec![10_000],
            operations: 50_000,
            ..many.clone()
        };
        vec![
            Self {
                value_bytes: vec![8, 100, 1024, 16_384],
                ..few.clone()
            },
            Self {
                value_bytes: vec![8, 100, 1024],
                ..many.clone()
            },
            Self {
                mixes: vec![Mix::Sets(0), Mix::Sets(10)],
                keys: vec![Keys::Uniform, Keys::Zipf(0.99)],
                items: vec![10_000_000],
                value_bytes: vec![8],
                ..many.clone()
            },
            Self {
                mixes: vec![Mix::Evict],
                ..many.clone()
            },
            Self {
                mixes: vec![Mix::Sets(0), Mix::Sets(100), Mix::Evict],
                keys: vec![Keys::Uniform, Keys::Zipf(0.99)],
                small_pages: true,
                ..many
            },
            Self {
                mixes: vec![Mix::Evict],
                value_bytes: vec![16_384],
                ..few
            },
        ]
    }

    fn full(self, what: What) -> Vec<Self> {
        let readme = self.clone().readme(what);
        if what != What::Speed {
            return readme;
        }
        let base = Self {
            rounds: 9,
            operations: 1_000_000,
            mixes: [self.mixes.clone(), vec![Mix::Evict]].concat(),
            ..self
        };
        let sized = |items, value_bytes: &[usize]| Self {
            items: vec![items],
            value_bytes: value_bytes.to_vec(),
            ..base.clone()
        };
        vec![
            sized(10_000, &[8, 100, 1024, 16_384]),
            sized(1_000_000, &[8, 100, 1024]),
            sized(10_000_000, &[8, 100]),
        ]
    }

    /// The cases, those that can share filled caches in a row.
    pub(crate) fn cases(&self) -> Vec<Vec<Case>> {
        let mut rows = Vec::new();
        for &items in &self.items {
            for &value_bytes in &self.value_bytes {
                let (mut filled, mut full) = (Vec::new(), Vec::new());
                for &mix in &self.mixes {
                    for (at, &keys) in self.keys.iter().enumerate() {
                        // New keys follow no law.
                        if mix == Mix::Evict && at > 0 {
                            continue;
                        }
                        let row = if mix == Mix::Evict {
                            &mut full
                        } else {
                            &mut filled
                        };
                        row.extend(self.threads.iter().map(|&threads| Case {
                            mix,
                            keys,
                            items,
                            value_bytes,
                            threads,
                            small_pages: self.small_pages,
                        }));
                    }
                }
                let asked = |case: &Case| case.label().contains(&self.only);
                filled.retain(asked);
                full.retain(asked);
                rows.extend([filled, full].into_iter().filter(|row| !row.is_empty()));
            }
        }
        rows
    }
}

/// One, two, and as many as the machine has.
fn threads() -> Vec<usize> {
    let machine = std::thread::available_parallelism().map_or(2, usize::from);
    let mut threads = vec![1, 2, machine];
    threads.sort_unstable();
    threads.dedup();
    threads
}
