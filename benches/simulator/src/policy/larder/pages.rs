//! The default policy in the engine's memory: pages owned by size classes, and the rule that moves them.
//!
//! An item takes a chunk of its class; above half a page it takes several chunks of one large class. A class that needs
//! a chunk takes a free page, or evicts its own next victim, unless another class's next victim is worth so much less
//! that a whole page is better moved: the difference must exceed `hysteresis` times what a page changes, which is a
//! turn's worth over the number of pages, of giver and taker together. The giver evicts a page's worth in its usual
//! order and copies the survivors of the page it gives into the chunks so freed.

use super::duel::Duel;
use super::queues::Queues;
use super::settings::Settings;
use super::{Access, Parameters, Policy, Space};
use crate::size_class::{CLASS_COUNT, class_bytes, class_of};
use crate::trace::Key;

/// The chunk that items above half a page are made of.
const LARGE_CHUNK_BYTES: u32 = 4096;
/// Below this many chunks a page, classes are cut by chunks per page.
const EVEN_CHUNKS_MAX: u32 = 8;

#[derive(Debug)]
pub(crate) struct Paged {
    queues: Queues,
    duel: Option<Duel>,
    page_bytes: u64,
    pages_free: u64,
    /// Pages owned, by class.
    pages: Vec<u64>,
    /// Bytes of chunks in use, by class.
    used: Vec<u64>,
    window_max: u64,
    hysteresis: f64,
    /// Bytes of items in chunks of a larger class, by their own class.
    borrowed: Vec<u64>,
    borrow_max: u64,
    borrow_reach: usize,
    /// How many pages were moved between classes.
    pub(crate) moves: u64,
}

/// What an item of `bytes`, overhead included, takes in pages of `page_bytes`.
fn charge(bytes: u32, page_bytes: u32) -> u32 {
    if bytes > page_bytes / 2 {
        return bytes.next_multiple_of(LARGE_CHUNK_BYTES);
    }
    let per_page = page_bytes / bytes.max(1);
    if per_page < EVEN_CHUNKS_MAX {
        return page_bytes / per_page;
    }
    class_bytes(class_of(bytes))
}

impl Paged {
    /// A cache of `limit_bytes` for items of `sizes` plus `overhead` bytes.
    pub(crate) fn new(
        limit_bytes: u64,
        sizes: &[u32],
        overhead: u32,
        parameters: &mut Parameters,
    ) -> Self {
        let page_min = parameters.take("page", 64.0) as u64;
        let page_bytes = (limit_bytes / 16384).clamp(page_min << 10, 1 << 20);
        let charged: Vec<u32> = sizes
            .iter()
            .map(|size| charge(size + overhead, page_bytes as u32))
            .collect();
        let space = Space::new(limit_bytes, charged);
        let settings = Settings::take(parameters);
        let duel =
            (parameters.take("adapt", 1.0) != 0.0).then(|| Duel::new(&space, settings, parameters));
        let settings = Settings {
            class_overhead: 0,
            large_above: page_bytes as u32 / 2,
            ..settings
        };
        let queues = Queues::new(space, settings);
        let classes = queues.class_count();
        Self {
            queues,
            duel,
            page_bytes,
            pages_free: limit_bytes / page_bytes,
            pages: vec![0; classes],
            used: vec![0; classes],
            window_max: (limit_bytes as f64 * settings.window) as u64,
            hysteresis: parameters.take("hysteresis", 1.0),
            borrowed: vec![0; CLASS_COUNT + 1],
            borrow_max: (page_bytes as f64 * parameters.take("borrow", 0.5)) as u64,
            borrow_reach: parameters.take("reach", 8.0) as usize,
            moves: 0,
        }
    }

    /// What the pages of `class` hold.
    fn room(&self, class: usize, pages: u64) -> u64 {
        let chunk = match class {
            CLASS_COUNT => LARGE_CHUNK_BYTES,
            _ => self.chunk_bytes(class),
        };
        pages * (self.page_bytes / u64::from(chunk) * u64::from(chunk))
    }

    fn chunk_bytes(&self, class: usize) -> u32 {
        let page_bytes = self.page_bytes as u32;
        let bytes = class_bytes(class).max(1);
        // A class cut by chunks per page has the index of the doubling table's class around its chunk.
        let per_page = page_bytes / bytes;
        if per_page < EVEN_CHUNKS_MAX {
            let even = page_bytes / (per_page + 1);
            return if class_of(even) == class {
                even
            } else {
                page_bytes / per_page.max(1)
            };
        }
        bytes
    }

    /// The class to store `key` in: its own if that has pages or enough items to fill one, else a larger one that has.
    fn choose_class(&mut self, key: Key) -> usize {
        let size = self.queues.space.size(key) as u32;
        if size > self.page_bytes as u32 / 2 {
            return CLASS_COUNT;
        }
        let own = class_of(size);
        let mut class = own;
        if self.pages[own] == 0 && self.borrowed[own] + u64::from(size) <= self.borrow_max {
            let reach = own..self.pages.len().min(own + self.borrow_reach);
            class = reach
                .into_iter()
                .find(|&class| self.pages[class] > 0)
                .unwrap_or(own);
        }
        if class == CLASS_COUNT {
            class = own;
        }
        let chunk = if class == own {
            size
        } else {
            self.chunk_bytes(class)
        };
        self.queues.assign(key, class, chunk);
        if class != own {
            self.borrowed[own] += u64::from(size);
        }
        class
    }

    /// `key` is no longer held.
    fn left(&mut self, key: Key) {
        let class = self.queues.class_of(key);
        self.used[class] -= self.queues.size(key);
        let size = self.queues.space.size(key);
        if self.queues.size(key) != size {
            self.borrowed[class_of(size as u32)] -= size;
        }
    }

    fn make_room(&mut self, class: usize, size: u64) {
        while self.used[class] + size > self.room(class, self.pages[class]) {
            if self.pages_free > 0 {
                self.pages_free -= 1;
                self.pages[class] += 1;
                continue;
            }
            match self.giver(class) {
                Some(giver) => self.move_page(giver, class),
                None => self.evict(class),
            }
        }
    }

    /// The class that should give a page to `class`, if any should.
    fn giver(&mut self, class: usize) -> Option<usize> {
        let mut least = (f64::INFINITY, None);
        for other in 0..self.pages.len() {
            if self.pages[other] == 0 || other == class {
                continue;
            }
            if self.used[other] <= self.room(other, self.pages[other] - 1) {
                return Some(other);
            }
            let value = self.queues.value(other);
            if value < least.0 {
                least = (value, Some(other));
            }
        }
        let (value, other) = least;
        let own = self.queues.value(class);
        self.queues.inflate(value.min(own));
        let other = other?;
        if self.used[class] == 0 {
            return Some(other);
        }
        let loss = self.queues.turn(other) / self.pages[other] as f64;
        (own - value > self.hysteresis * loss).then_some(other)
    }

    fn move_page(&mut self, from: usize, to: usize) {
        while self.used[from] > self.room(from, self.pages[from] - 1) {
            self.evict(from);
        }
        self.pages[from] -= 1;
        self.pages[to] += 1;
        self.moves += 1;
    }

    fn evict(&mut self, class: usize) {
        let mut steps = 0;
        loop {
            steps += 1;
            let force = steps > self.queues.settings.steps_max;
            if let Some(key) = self.queues.step(class, force) {
                self.left(key);
                return;
            }
        }
    }
}

impl Policy for Paged {
    fn access(&mut self, key: Key) -> Access {
        if let Some(choice) = self.duel.as_mut().and_then(|duel| duel.observe(key)) {
            self.queues.adopt(choice);
        }
        if self.queues.hit(key) {
            return Access::Hit;
        }
        let size = self.queues.space.size(key);
        if size <= self.window_max {
            let class = self.choose_class(key);
            let size = self.queues.size(key);
            self.make_room(class, size);
            self.queues.insert(key);
            self.used[class] += size;
        }
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        let before = self.queues.used();
        self.queues.remove(key);
        if self.queues.used() < before {
            self.left(key);
        }
    }

    fn used(&self) -> u64 {
        self.queues.used()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_fills_whole_chunks_of_its_class() {
        let paged = Paged::new(64 << 20, &[1], 0, &mut Parameters::default());
        for bytes in 1..70_000 {
            let charged = charge(bytes, paged.page_bytes as u32);
            assert!(charged >= bytes);
            if charged <= 32 << 10 {
                assert_eq!(paged.chunk_bytes(class_of(charged)), charged, "{bytes}");
            }
        }
    }

    /// Fills the cache with items of one size, then stores `turnovers` limits' worth of another; the share of the
    /// limit that the second size holds.
    fn share_after_shift(first: u32, second: u32, turnovers: f64) -> f64 {
        const LIMIT_BYTES: u64 = 4 << 20;
        let count = |size: u32, turns: f64| (LIMIT_BYTES as f64 * turns) as usize / size as usize;
        let sizes = [
            vec![first; count(first, 2.0)],
            vec![second; count(second, turnovers)],
        ];
        let mut paged = Paged::new(LIMIT_BYTES, &sizes.concat(), 24, &mut Parameters::default());
        for key in 0..(sizes[0].len() + sizes[1].len()) as Key {
            paged.access(key);
            assert!(paged.used() <= LIMIT_BYTES);
            assert!(paged.pages.iter().sum::<u64>() + paged.pages_free == LIMIT_BYTES >> 16);
        }
        let class = class_of(charge(second + 24, paged.page_bytes as u32));
        paged.used[class] as f64 / LIMIT_BYTES as f64
    }

    #[test]
    fn memory_does_not_stay_with_the_sizes_it_was_first_used_for() {
        assert!(share_after_shift(1000, 100, 1.0) > 0.9);
        assert!(share_after_shift(100, 1000, 1.0) > 0.9);
    }
}
