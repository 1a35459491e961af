//! Rounds in turn, and the tail of sets that evict.

use std::error::Error;

use crate::Flags;
use crate::load::{Bench, Case, Filled, KEY_BYTES, Mix};
use crate::report::{Cell, Table, median};
use crate::subject::{Foyer, Larder, Moka, QuickCache, Segcache, ShardedLru, Subject};

type Fill = fn(&Case) -> Box<dyn Bench>;

/// Every cache, ours first.
pub(crate) const CACHES: [(&str, Fill); 6] = [
    (Larder::NAME, Filled::<Larder>::bench),
    (QuickCache::NAME, Filled::<QuickCache>::bench),
    (Moka::NAME, Filled::<Moka>::bench),
    (Foyer::NAME, Filled::<Foyer>::bench),
    (Segcache::NAME, Filled::<Segcache>::bench),
    (ShardedLru::NAME, Filled::<ShardedLru>::bench),
];

/// Bytes that an item takes besides its own in the greediest of them, for the estimate of a case.
const ITEM_BYTES: u64 = 400;

impl Flags {
    /// The caches asked for.
    pub(crate) fn chosen(&self) -> Vec<(&'static str, Fill)> {
        let asked = |name: &str| self.caches.iter().any(|part| name.contains(part.as_str()));
        let mut chosen = CACHES.to_vec();
        chosen.retain(|(name, _)| self.caches.is_empty() || asked(name));
        chosen
    }

    /// The cases, those that can share filled caches in a row.
    fn cases(&self) -> Result<Vec<Vec<Case>>, Box<dyn Error>> {
        let mut groups = Vec::new();
        for &items in &self.items {
            for &value_bytes in &self.value_bytes {
                let bytes = items * (value_bytes + KEY_BYTES) as u64 + items * ITEM_BYTES;
                let (mut filled, mut full) = (Vec::new(), Vec::new());
                for mix in &self.mixes {
                    for (at, &zipf) in self.zipf.iter().enumerate() {
                        for &threads in &self.threads {
                            let case = |mix| Case {
                                mix,
                                zipf,
                                items,
                                value_bytes,
                                threads,
                            };
                            match mix.as_str() {
                                // New keys follow no law.
                                "evict" if at > 0 => {}
                                "evict" => full.push(case(Mix::Evict)),
                                sets => filled.push(case(Mix::Sets(sets.parse()?))),
                            }
                        }
                    }
                }
                if (bytes * self.chosen().len() as u64) >> 20 > self.memory_mib as u64 {
                    eprintln!(
                        "left out, for want of --memory-mib: {items} items of {value_bytes} bytes"
                    );
                    continue;
                }
                groups.extend([filled, full].into_iter().filter(|group| !group.is_empty()));
            }
        }
        Ok(groups)
    }
}

/// Millions of operations a second, and how many times ours are theirs.
pub(crate) fn speed(flags: &Flags) -> Result<Table, Box<dyn Error>> {
    let mut table = Table::new("millions of operations a second; larder / it", "speed");
    for group in flags.cases()? {
        let mut benches: Vec<_> = flags
            .chosen()
            .iter()
            .map(|(_, fill)| fill(&group[0]))
            .collect();
        for case in group {
            let rounds = rounds(flags, &case, &mut benches);
            let cell = |at: usize| {
                let rate = |round: &Vec<f64>| 1e-6 / round[at];
                let ratio = |round: &Vec<f64>| round[at] / round[0];
                Cell {
                    cache: benches[at].name(),
                    figure: median(rounds.iter().map(rate)),
                    ratio: median(rounds.iter().map(ratio)),
                }
            };
            table.row(case.label(), (0..benches.len()).map(cell).collect());
        }
    }
    Ok(table)
}

/// Seconds an operation, by round and cache; the first round of each is not counted.
fn rounds(flags: &Flags, case: &Case, benches: &mut [Box<dyn Bench>]) -> Vec<Vec<f64>> {
    let numbers = case.draw(flags.operations);
    let count = benches.len();
    let mut rounds = Vec::new();
    for round in 0..=flags.rounds {
        let mut took = vec![0.0; count];
        for turn in 0..count {
            let at = (round + turn) % count;
            let (seconds, misses) = benches[at].round(case, &numbers);
            took[at] = seconds;
            if round == 0 && misses > 0 {
                eprintln!(
                    "{}: {misses} misses in {}",
                    benches[at].name(),
                    case.label()
                );
            }
        }
        rounds.push(took);
    }
    rounds.split_off(1)
}

/// Microseconds of the slowest of 10,000 sets that evict.
pub(crate) fn tail(flags: &Flags) -> Result<Table, Box<dyn Error>> {
    let mut table = Table::new(
        "p99.99 of a set that evicts, in microseconds; it / larder",
        "tail",
    );
    for group in flags.cases()? {
        let Some(&case) = group.iter().find(|case| case.mix == Mix::Evict) else {
            continue;
        };
        let mut benches: Vec<_> = flags.chosen().iter().map(|(_, fill)| fill(&case)).collect();
        let mut rounds = Vec::new();
        for _ in 0..flags.rounds {
            let micros = |bench: &mut Box<dyn Bench>| {
                let latencies = bench.latencies(&case, flags.operations);
                latencies.value_at_quantile(0.9999) as f64 / 1e3
            };
            rounds.push(benches.iter_mut().map(micros).collect::<Vec<f64>>());
        }
        let cell = |at: usize| Cell {
            cache: benches[at].name(),
            figure: median(rounds.iter().map(|round| round[at])),
            ratio: median(rounds.iter().map(|round| round[at] / round[0])),
        };
        table.row(
            Case { threads: 1, ..case }.label(),
            (0..benches.len()).map(cell).collect(),
        );
    }
    Ok(table)
}
