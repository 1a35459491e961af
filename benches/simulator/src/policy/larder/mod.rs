//! The engine's default policy: S3-FIFO queues per size class, compared by value density, with a probation share that
//! miniature caches choose.
//!
//! [`queues`] holds the items, [`main_region`] the two orders a main region can be walked in, [`duel`] the choice of
//! the share. Here is what runs them in a capacity of objects or payload bytes; `pages` does so in pages of slots.

mod duel;
mod main_region;
mod pages;
mod queues;
mod settings;

pub(crate) use self::pages::Paged;

use self::duel::Duel;
use self::queues::Queues;
use self::settings::Settings;
use super::{Access, Parameters, Policy, Space};
use crate::trace::Key;

/// The policy with a chosen share.
#[derive(Debug)]
pub(super) struct Larder {
    cache: Small,
    duel: Option<Duel>,
}

impl Larder {
    pub(super) fn new(space: Space, parameters: &mut Parameters) -> Self {
        let settings = Settings::take(parameters);
        let duel =
            (parameters.take("adapt", 1.0) != 0.0).then(|| Duel::new(&space, settings, parameters));
        Self {
            cache: Small::new(space, settings),
            duel,
        }
    }
}

impl Policy for Larder {
    fn access(&mut self, key: Key) -> Access {
        if let Some(choice) = self.duel.as_mut().and_then(|duel| duel.observe(key)) {
            self.cache.queues.adopt(choice);
        }
        self.cache.access(key)
    }

    fn remove(&mut self, key: Key) {
        self.cache.remove(key);
    }

    fn used(&self) -> u64 {
        self.cache.used()
    }
}

/// The policy with a fixed share.
#[derive(Debug)]
struct Small {
    queues: Queues,
    window_max: u64,
}

impl Small {
    fn new(space: Space, settings: Settings) -> Self {
        let window = (space.capacity as f64 * settings.window).max(1.0) as u64;
        let window_max = window.min(space.capacity);
        Self {
            queues: Queues::new(space, settings),
            window_max,
        }
    }

    fn evict(&mut self) {
        let mut steps = 0;
        loop {
            let class = self.queues.cheapest();
            let value = self.queues.value(class);
            self.queues.inflate(value);
            steps += 1;
            if self
                .queues
                .step(class, steps > self.queues.settings.steps_max)
                .is_some()
            {
                return;
            }
        }
    }
}

impl Policy for Small {
    fn access(&mut self, key: Key) -> Access {
        if self.queues.hit(key) {
            return Access::Hit;
        }
        let size = self.queues.space.size(key);
        if size <= self.window_max {
            while self.queues.used() + size > self.queues.space.capacity {
                self.evict();
            }
            self.queues.insert(key);
        }
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        self.queues.remove(key);
    }

    fn used(&self) -> u64 {
        self.queues.used()
    }
}
