//! Chooses probation's share by experiment: a few miniature caches, each with its own share, over a sample of the keys.
//!
//! After C. Waldspurger and others, "Cache Modeling and Optimization using Miniature Simulations", USENIX ATC 2017. A
//! key is sampled by its hash, so a miniature sees every access of the keys it sees, and its capacity is scaled down as
//! the keys are. The share whose miniature misses least, older misses counting less, is the one to use. Misses over
//! shares have more than one valley on loops, which a climber or a pair of ghosts cannot cross.

use super::settings::Choice;
use super::{Parameters, Settings, Small};
use crate::policy::{Access, Policy, Space};
use crate::sketch::mix;
use crate::trace::Key;

/// What competes: a share and the hits that promote.
const RIVALS: [(f64, u8); 6] = [
    (0.02, 2),
    (0.05, 2),
    (0.1, 2),
    (0.25, 2),
    (0.6, 2),
    (0.1, 1),
];

#[derive(Debug)]
pub(super) struct Duel {
    miniatures: Vec<Miniature>,
    /// Keys whose mixed value is at most this are sampled.
    sample_max: u64,
    accesses: f64,
    /// Accesses between two choices.
    period: f64,
    /// What misses and accesses are multiplied by at a choice.
    decay: f64,
}

#[derive(Debug)]
struct Miniature {
    choice: Choice,
    cache: Small,
    misses: f64,
}

impl Duel {
    pub(super) fn new(space: &Space, settings: Settings, parameters: &mut Parameters) -> Self {
        let entries = space.entries() as f64;
        let rate = (parameters.take("entries", 512.0) / entries).min(1.0);
        let capacity = ((space.capacity as f64 * rate) as u64).max(1);
        // The window rule compares with the whole cache's capacity, not the miniature's.
        let settings = Settings {
            window: settings.window / rate,
            ..settings
        };
        let miniature = |(share, promote_at)| Miniature {
            choice: Choice { share, promote_at },
            cache: Small::new(
                Space::new(capacity, space.sizes.clone()),
                Settings {
                    share,
                    promote_at,
                    ..settings
                },
            ),
            misses: 0.0,
        };
        Self {
            miniatures: RIVALS.into_iter().map(miniature).collect(),
            sample_max: (rate * u64::MAX as f64) as u64,
            accesses: 0.0,
            period: parameters.take("period", 10.0) * entries * rate,
            decay: parameters.take("decay", 0.5),
        }
    }

    /// Shows an access to the miniatures; now and then, the share to use from here on.
    pub(super) fn observe(&mut self, key: Key) -> Option<Choice> {
        if mix(u64::from(key)) > self.sample_max {
            return None;
        }
        for miniature in &mut self.miniatures {
            if miniature.cache.access(key) == Access::Miss {
                miniature.misses += 1.0;
            }
        }
        self.accesses += 1.0;
        if self.accesses < self.period {
            return None;
        }
        self.accesses *= self.decay;
        let best = self
            .miniatures
            .iter()
            .min_by(|a, b| a.misses.total_cmp(&b.misses))?
            .choice;
        for miniature in &mut self.miniatures {
            miniature.misses *= self.decay;
        }
        Some(best)
    }
}
