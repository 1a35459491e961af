//! W-TinyLFU: an LRU window before a segmented LRU main area, with admission by sketched frequency.
//!
//! After G. Einziger, R. Friedman and B. Manes, "TinyLFU", ACM TOS 2017; the adaptive window climbs the hit ratio as in
//! G. Einziger and others, "Adaptive Software Cache Management", Middleware 2018. With weights, a candidate must be
//! more frequent than all victims it displaces together, and an object larger than the window is not admitted.

use super::{Access, Parameters, Policy, Space};
use crate::list::Lists;
use crate::sketch::Sketch;
use crate::trace::Key;

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;
const PROTECTED_SHARE: f64 = 0.8;

#[derive(Debug)]
pub(super) struct TinyLfu {
    lists: Lists,
    sketch: Sketch,
    space: Space,
    window_max: u64,
    climber: Option<Climber>,
}

impl TinyLfu {
    /// A fixed window of `window` of the capacity (0.01).
    pub(super) fn fixed(space: Space, parameters: &mut Parameters) -> Self {
        let window = parameters.take("window", 0.01);
        Self::new(space, window, None)
    }

    /// A window that starts at 1 % and is moved by hill climbing.
    pub(super) fn adaptive(space: Space) -> Self {
        let climber = Climber::new(&space);
        Self::new(space, 0.01, Some(climber))
    }

    fn new(space: Space, window: f64, climber: Option<Climber>) -> Self {
        Self {
            lists: Lists::new(&space, 3),
            sketch: Sketch::new(space.entries()),
            window_max: ((space.capacity as f64 * window) as u64).max(1),
            space,
            climber,
        }
    }

    fn main_max(&self) -> u64 {
        self.space.capacity - self.window_max
    }

    fn main_weight(&self) -> u64 {
        self.lists.weight(PROBATION) + self.lists.weight(PROTECTED)
    }

    fn protect(&mut self, key: Key) {
        self.lists.move_to_front(PROTECTED, key);
        self.demote();
    }

    fn demote(&mut self) {
        let protected_max = (self.main_max() as f64 * PROTECTED_SHARE) as u64;
        while self.lists.weight(PROTECTED) > protected_max {
            let Some(key) = self.lists.pop_back(PROTECTED) else {
                break;
            };
            self.lists.push_front(PROBATION, key);
        }
    }

    /// Empties the window down to its size; what falls out is admitted to main or evicted.
    fn shrink_window(&mut self) {
        while self.lists.weight(WINDOW) > self.window_max {
            let Some(candidate) = self.lists.pop_back(WINDOW) else {
                break;
            };
            self.admit(candidate);
        }
        while self.main_weight() > self.main_max() {
            self.evict_main();
        }
    }

    fn evict_main(&mut self) {
        if self.lists.pop_back(PROBATION).is_none() {
            self.lists.pop_back(PROTECTED);
        }
    }

    fn admit(&mut self, candidate: Key) {
        let size = self.space.size(candidate);
        if size > self.main_max() {
            return;
        }
        let mut needed = (self.main_weight() + size).saturating_sub(self.main_max());
        let mut frequency = 0;
        let mut victim = self
            .lists
            .back(PROBATION)
            .or_else(|| self.lists.back(PROTECTED));
        while needed > 0 {
            let Some(key) = victim else { break };
            frequency += u32::from(self.sketch.estimate(key));
            needed = needed.saturating_sub(self.space.size(key));
            victim = self.lists.newer(key);
            if victim.is_none() && self.lists.place(key) == Some(PROBATION) {
                victim = self.lists.back(PROTECTED);
            }
        }
        if frequency > 0 && u32::from(self.sketch.estimate(candidate)) <= frequency {
            return;
        }
        while self.main_weight() + size > self.main_max() {
            self.evict_main();
        }
        self.lists.push_front(PROBATION, candidate);
    }

    fn climb(&mut self, access: Access) {
        let Some(climber) = &mut self.climber else {
            return;
        };
        let Some(change) = climber.observe(access) else {
            return;
        };
        let capacity = self.space.capacity as f64;
        let window =
            (self.window_max as f64 + change * capacity).clamp(1.0, (0.8 * capacity).max(1.0));
        self.window_max = window as u64;
        // A wider window is filled by demoting what main has no longer room for.
        while self.main_weight() > self.main_max() {
            let from = if self.lists.count(PROBATION) > 0 {
                PROBATION
            } else {
                PROTECTED
            };
            let Some(key) = self.lists.pop_back(from) else {
                break;
            };
            self.lists.push_back(WINDOW, key);
        }
        self.demote();
        self.shrink_window();
    }
}

impl Policy for TinyLfu {
    fn access(&mut self, key: Key) -> Access {
        self.sketch.increment(key);
        let access = match self.lists.place(key) {
            Some(WINDOW) => {
                self.lists.move_to_front(WINDOW, key);
                Access::Hit
            }
            Some(_) => {
                self.protect(key);
                Access::Hit
            }
            None => Access::Miss,
        };
        if access == Access::Miss && self.space.size(key) <= self.window_max {
            self.lists.push_front(WINDOW, key);
            self.shrink_window();
        }
        self.climb(access);
        access
    }

    fn remove(&mut self, key: Key) {
        self.lists.remove(key);
    }

    fn used(&self) -> u64 {
        self.lists.weight(WINDOW) + self.main_weight()
    }
}

/// Moves a share by the change of the hit ratio from one sample of accesses to the next.
#[derive(Debug)]
struct Climber {
    sample_max: u64,
    accesses: u64,
    hits: u64,
    previous: f64,
    step: f64,
}

const STEP_START: f64 = 0.0625;
const STEP_DECAY: f64 = 0.98;
const RESTART_AT: f64 = 0.05;

impl Climber {
    fn new(space: &Space) -> Self {
        let sample_max = space.entries() * 10;
        Self {
            sample_max,
            accesses: 0,
            hits: 0,
            previous: 0.0,
            step: STEP_START,
        }
    }

    /// Counts an access; at the end of a sample, the share to add to the window.
    fn observe(&mut self, access: Access) -> Option<f64> {
        self.accesses += 1;
        self.hits += u64::from(access == Access::Hit);
        if self.accesses < self.sample_max {
            return None;
        }
        let ratio = self.hits as f64 / self.accesses as f64;
        let change = ratio - self.previous;
        let step = if change >= 0.0 { self.step } else { -self.step };
        self.step = if change.abs() >= RESTART_AT {
            STEP_START.copysign(step)
        } else {
            STEP_DECAY * step
        };
        self.previous = ratio;
        (self.accesses, self.hits) = (0, 0);
        Some(step)
    }
}
