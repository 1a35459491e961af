//! Probation and main of every size class, the ghost, and the value of each class's next victim.
//!
//! A hit saturates a counter and does nothing else. All ordering is done by [`Queues::step`], one item at a time.
//! Classes are compared as GreedyDual-Size does: an item that entered when the inflation was `l` is worth
//! `l + weight / size`, the least of all heads goes, and the inflation rises to its value.

use std::collections::VecDeque;

use super::main_region::MainRegion;
use super::settings::{Choice, Settings};
use crate::ghost::GhostRing;
use crate::policy::Space;
use crate::size_class::{CLASS_COUNT, class_of};
use crate::trace::Key;

pub(super) const OUT: u8 = 0;
pub(super) const SMALL: u8 = 1;
pub(super) const MAIN: u8 = 2;

/// What is kept of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// `OUT`, `SMALL` or `MAIN`.
    pub(super) place: u8,
    /// Hits, saturating.
    count: u8,
    class: u8,
    /// What it takes; its own weight unless it lies in a chunk of a larger class.
    size: u32,
    /// Tells the current entry of a queue from stale ones.
    pub(super) token: u32,
    /// Where in its class the item lies; slot order only.
    pub(super) slot: u32,
    /// The inflation when it entered its queue.
    pub(super) stamp: f64,
}

#[derive(Debug)]
struct Class {
    small: VecDeque<(Key, u32)>,
    main: MainRegion,
    small_weight: u64,
    main_weight: u64,
}

/// A head: the next item of a class to be looked at.
#[derive(Clone, Copy, Debug)]
struct Head {
    key: Key,
    stamp: f64,
    from_small: bool,
}

#[derive(Debug)]
pub(super) struct Queues {
    pub(super) settings: Settings,
    pub(super) share: f64,
    pub(super) space: Space,
    classes: Vec<Class>,
    /// Value of each class's head; not a number where it must be found again.
    values: Vec<f64>,
    states: Vec<State>,
    ghost: GhostRing,
    ghost_max: u64,
    inflation: f64,
    token: u32,
    used: u64,
    evicted: bool,
    /// The class of all keys, where there is but one.
    only: Option<usize>,
}

impl Queues {
    pub(super) fn new(space: Space, settings: Settings) -> Self {
        let class = |size| {
            if size > settings.large_above {
                CLASS_COUNT as u8
            } else {
                class_of(size + settings.class_overhead) as u8
            }
        };
        let state = |&size: &u32| State {
            class: class(size),
            size,
            ..State::default()
        };
        let states: Vec<State> = space.sizes.iter().map(state).collect();
        let first = states.first().map(|state| state.class);
        let only = first.filter(|&first| states.iter().all(|state| state.class == first));
        let only = only.map(usize::from);
        let class_count = states
            .iter()
            .map(|state| usize::from(state.class) + 1)
            .max();
        let class = |_| Class {
            small: VecDeque::new(),
            main: MainRegion::new(&settings),
            small_weight: 0,
            main_weight: 0,
        };
        let classes: Vec<Class> = (0..class_count.unwrap_or(1)).map(class).collect();
        Self {
            settings,
            share: settings.share,
            values: vec![f64::NAN; classes.len()],
            classes,
            states,
            ghost: GhostRing::new(&space),
            ghost_max: (space.capacity as f64 * settings.ghost) as u64,
            space,
            inflation: 0.0,
            token: 0,
            used: 0,
            evicted: false,
            only,
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Counts a hit, if `key` is held.
    pub(super) fn hit(&mut self, key: Key) -> bool {
        let state = &mut self.states[key as usize];
        state.count = (state.count + 1).min(self.settings.count_max);
        state.place != OUT
    }

    pub(super) fn class_of(&self, key: Key) -> usize {
        usize::from(self.states[key as usize].class)
    }

    /// What `key` takes.
    pub(super) fn size(&self, key: Key) -> u64 {
        u64::from(self.states[key as usize].size)
    }

    /// Says where a key that is not held is to lie.
    pub(super) fn assign(&mut self, key: Key, class: usize, size: u32) {
        let state = &mut self.states[key as usize];
        (state.class, state.size) = (class as u8, size);
    }

    /// Takes in a key that is not held: to main if the ghost remembers it, else on probation.
    pub(super) fn insert(&mut self, key: Key) {
        let remembered = self.ghost.take(key).is_some();
        let size = self.size(key);
        let class = &mut self.classes[usize::from(self.states[key as usize].class)];
        let total = (class.small_weight + class.main_weight) as f64;
        let filling = !self.evicted && class.small_weight as f64 > self.settings.fill_share * total;
        class.main.store(key, &mut self.states, self.inflation);
        self.used += size;
        self.states[key as usize].count = if remembered {
            self.settings.count_remembered
        } else {
            0
        };
        self.enter(key, if remembered || filling { MAIN } else { SMALL });
    }

    pub(super) fn remove(&mut self, key: Key) {
        if self.states[key as usize].place != OUT {
            self.leave(key);
            self.free(key);
        }
    }

    fn enter(&mut self, key: Key, place: u8) {
        self.token += 1;
        let size = self.size(key);
        let state = &mut self.states[key as usize];
        (state.place, state.token, state.stamp) = (place, self.token, self.inflation);
        let class = &mut self.classes[usize::from(state.class)];
        self.values[usize::from(state.class)] = f64::NAN;
        if place == SMALL {
            class.small.push_back((key, self.token));
            class.small_weight += size;
        } else {
            class.main.enter(key, self.token);
            class.main_weight += size;
        }
    }

    fn leave(&mut self, key: Key) {
        let size = self.size(key);
        let state = &mut self.states[key as usize];
        let place = std::mem::replace(&mut state.place, OUT);
        let class = &mut self.classes[usize::from(state.class)];
        self.values[usize::from(state.class)] = f64::NAN;
        if place == SMALL {
            class.small_weight -= size;
        } else {
            class.main_weight -= size;
        }
    }

    fn free(&mut self, key: Key) {
        let state = self.states[key as usize];
        self.classes[usize::from(state.class)].main.free(state.slot);
        self.used -= self.size(key);
    }

    fn head(&mut self, class: usize) -> Option<Head> {
        let Class {
            small,
            main,
            small_weight,
            main_weight,
        } = &mut self.classes[class];
        while let Some(&(key, token)) = small.front() {
            let state = &self.states[key as usize];
            if state.place == SMALL && state.token == token {
                let total = (*small_weight + *main_weight) as f64;
                if *main_weight > 0 && *small_weight as f64 <= self.share * total {
                    break;
                }
                return Some(Head {
                    key,
                    stamp: state.stamp,
                    from_small: true,
                });
            }
            small.pop_front();
        }
        if *main_weight == 0 {
            return None;
        }
        let (key, stamp) = main.head(&self.states, self.inflation)?;
        Some(Head {
            key,
            stamp,
            from_small: false,
        })
    }

    /// The value of the head of `class`; infinite where the class is empty.
    pub(super) fn value(&mut self, class: usize) -> f64 {
        if self.values[class].is_nan() {
            self.values[class] = self.head(class).map_or(f64::INFINITY, |head| {
                let weight = if head.from_small {
                    1.0
                } else {
                    self.settings.main_weight
                };
                head.stamp + weight / self.size(head.key).max(1) as f64
            });
        }
        self.values[class]
    }

    /// What the head of `class` gains by a turn in its queue: the scale of the class's values.
    pub(super) fn turn(&mut self, class: usize) -> f64 {
        let weight = self.settings.main_weight;
        self.head(class)
            .map_or(0.0, |head| weight / self.size(head.key).max(1) as f64)
    }

    /// How many classes there are.
    pub(super) fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// The class whose head is worth least.
    pub(super) fn cheapest(&mut self) -> usize {
        if let Some(only) = self.only {
            return only;
        }
        let mut least = (f64::INFINITY, 0);
        for class in 0..self.classes.len() {
            let value = self.value(class);
            if value < least.0 {
                least = (value, class);
            }
        }
        least.1
    }

    /// Raises the inflation to `value`, which is the least of all heads.
    pub(super) fn inflate(&mut self, value: f64) {
        if value.is_finite() {
            self.inflation = self.inflation.max(value);
        }
    }

    /// Looks at the head of `class` once: it is promoted, spared, or evicted, and then returned. `force` spares nothing.
    pub(super) fn step(&mut self, class: usize, force: bool) -> Option<Key> {
        let Head {
            key, from_small, ..
        } = self.head(class)?;
        self.evicted = true;
        if from_small {
            self.classes[class].small.pop_front();
        } else {
            self.classes[class].main.step(self.inflation);
        }
        self.leave(key);
        let count = self.states[key as usize].count;
        if from_small && count >= self.settings.promote_at && !force {
            self.states[key as usize].count = self.settings.count_promoted;
            self.enter(key, MAIN);
            return None;
        }
        if !from_small && count > 0 && !force {
            self.states[key as usize].count -= 1;
            self.enter(key, MAIN);
            return None;
        }
        self.free(key);
        if from_small {
            self.ghost.insert(key, self.ghost_max);
        }
        Some(key)
    }

    /// Takes another share and another bar for promotion: every head may be another.
    pub(super) fn adopt(&mut self, choice: Choice) {
        self.share = choice.share;
        self.settings.promote_at = choice.promote_at;
        self.values.fill(f64::NAN);
    }
}
