//! A cache of a few hundred keys without values: the order of `mod.rs` with a share of its own.
//!
//! It differs where that costs nothing: its main regions are queues, not clocks over chunks, and every
//! entry has its own stamp. A key is 32 bits of its hash. All memory is taken when it is made.

use super::ghost::FixedGhost;
use super::large::{DOUBLINGS, doubling_of};
use super::tuning::Choice;
use super::{FILL_SHARE, STEPS_MAX};
use crate::arena::SizeClass;

/// What a key weighs, and with whom it competes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Its size class.
    pub(crate) class: u8,
    /// Bytes that it takes.
    pub(crate) bytes: u32,
}

impl Weight {
    /// Of an item that takes `bytes` in a class.
    pub(super) fn of(class: SizeClass, bytes: usize) -> Self {
        Self {
            class: class.0,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        }
    }
}

/// One miniature.
#[derive(Debug)]
pub(super) struct Miniature {
    choice: Choice,
    capacity_bytes: u64,
    used_bytes: u64,
    len: usize,
    inflation: f64,
    evicted: bool,
    entries: Box<[Entry]>,
    /// The first of the entries that hold nothing, linked by `next`.
    free: u16,
    /// By a part of the hash: the first entry of a chain.
    heads: Box<[u16]>,
    /// By size class; the large one, which is the last of them, has as many as there are doublings.
    classes: Box<[Queues]>,
    ghost: FixedGhost,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    stamp: f64,
    key: u32,
    bytes: u32,
    /// The entry behind this one in its queue.
    next: u16,
    /// The next entry of the chain of `heads`.
    chained: u16,
    class: u8,
    uses: u8,
}

/// The queues of one class.
#[derive(Clone, Copy, Debug)]
struct Queues {
    probation: Queue,
    main: Queue,
    /// What the head is worth; infinite where there is none.
    value: f64,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    oldest: u16,
    newest: u16,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Region {
    Probation,
    Main,
}

const NONE: u16 = u16::MAX;
/// Entries for each item that it is made for: small ones come in greater number.
const ENTRIES_TENTHS: usize = 15;
const USES_MAX: u8 = crate::arena::USES_MAX;

impl Miniature {
    /// For about `items` items of so many classes.
    pub(super) fn new(choice: Choice, items: usize, class_count: usize) -> Self {
        let entries = items * ENTRIES_TENTHS / 10;
        let mut miniature = Self {
            choice,
            capacity_bytes: 0,
            used_bytes: 0,
            len: 0,
            inflation: 0.0,
            evicted: false,
            entries: vec![Entry::EMPTY; entries].into_boxed_slice(),
            free: NONE,
            heads: vec![NONE; (items * 2).next_power_of_two()].into_boxed_slice(),
            classes: vec![Queues::EMPTY; class_count - 1 + DOUBLINGS].into_boxed_slice(),
            ghost: FixedGhost::new(items),
        };
        miniature.clear();
        miniature
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.entries)
            + size_of_val(&*self.heads)
            + size_of_val(&*self.classes)
            + self.ghost.bytes()
    }

    /// Forgets everything but its choice and its capacity.
    pub(super) fn clear(&mut self) {
        self.heads.fill(NONE);
        self.classes.fill(Queues::EMPTY);
        self.ghost.forget();
        (self.used_bytes, self.len, self.inflation, self.evicted) = (0, 0, 0.0, false);
        for (number, entry) in self.entries.iter_mut().enumerate() {
            *entry = Entry {
                next: position(number + 1),
                ..Entry::EMPTY
            };
        }
        if let Some(last) = self.entries.last_mut() {
            last.next = NONE;
        }
        self.free = 0;
    }

    pub(super) fn set_capacity(&mut self, bytes: u64) {
        self.capacity_bytes = bytes;
    }

    pub(super) fn holds(&self, hash: u64) -> bool {
        self.find(hash) != NONE
    }

    /// Counts a use of the key, if it is held.
    pub(super) fn hit(&mut self, hash: u64) -> bool {
        let found = self.find(hash);
        if let Some(entry) = self.entries.get_mut(usize::from(found)) {
            entry.uses = (entry.uses + 1).min(USES_MAX);
        }
        found != NONE
    }

    /// Takes in a key that is not held, and evicts for it.
    pub(super) fn insert(&mut self, hash: u64, weight: Weight) {
        let bytes = u64::from(weight.bytes);
        if bytes > self.capacity_bytes {
            return;
        }
        while self.used_bytes + bytes > self.capacity_bytes || self.free == NONE {
            self.evict();
        }
        let remembered = self.ghost.take(u64::from(key_of(hash)));
        let class = self.class_of(weight);
        let queues = &self.classes[usize::from(class)];
        let filling = !self.evicted && queues.is_over(FILL_SHARE);
        let number = self.free;
        let head = self.head_of(key_of(hash));
        let entry = &mut self.entries[usize::from(number)];
        self.free = entry.next;
        *entry = Entry {
            stamp: 0.0,
            key: key_of(hash),
            bytes: weight.bytes,
            next: NONE,
            chained: self.heads[head],
            class,
            uses: 0,
        };
        self.heads[head] = number;
        self.used_bytes += bytes;
        self.len += 1;
        let region = if remembered || filling {
            Region::Main
        } else {
            Region::Probation
        };
        self.enter(number, region);
    }

    /// The position of its queues.
    fn class_of(&self, weight: Weight) -> u8 {
        let large = self.classes.len() - DOUBLINGS;
        if usize::from(weight.class) < large {
            return weight.class;
        }
        u8::try_from(large + doubling_of(weight.bytes as usize)).expect("few classes")
    }

    fn evict(&mut self) {
        self.evicted = true;
        for step in 0.. {
            let class = self.cheapest();
            self.inflation = self.inflation.max(self.classes[class].value);
            let region = self.classes[class].head_region(self.choice);
            let number = self.leave_head(class, region);
            let entry = &mut self.entries[usize::from(number)];
            let spared = match region {
                Region::Probation => entry.uses >= self.choice.promote_uses,
                Region::Main => entry.uses > 0,
            };
            if step < STEPS_MAX && spared {
                entry.uses = match region {
                    Region::Probation => 0,
                    Region::Main => entry.uses - 1,
                };
                self.enter(number, Region::Main);
                continue;
            }
            if region == Region::Probation {
                let key = u64::from(entry.key);
                self.ghost.insert(key);
            }
            self.free(number);
            return;
        }
    }

    fn free(&mut self, number: u16) {
        let entry = self.entries[usize::from(number)];
        let head = self.head_of(entry.key);
        if self.heads[head] == number {
            self.heads[head] = entry.chained;
        } else {
            let mut at = self.heads[head];
            while self.entries[usize::from(at)].chained != number {
                at = self.entries[usize::from(at)].chained;
            }
            self.entries[usize::from(at)].chained = entry.chained;
        }
        self.used_bytes -= u64::from(entry.bytes);
        self.len -= 1;
        self.entries[usize::from(number)].next = self.free;
        self.free = number;
    }

    /// Adds an entry as the newest of a region of its class.
    fn enter(&mut self, number: u16, region: Region) {
        let entry = &mut self.entries[usize::from(number)];
        entry.stamp = self.inflation;
        entry.next = NONE;
        let (class, bytes) = (usize::from(entry.class), u64::from(entry.bytes));
        let queue = self.classes[class].queue(region);
        let newest = std::mem::replace(&mut queue.newest, number);
        queue.bytes += bytes;
        if newest == NONE {
            queue.oldest = number;
        } else {
            self.entries[usize::from(newest)].next = number;
        }
        self.value(class);
    }

    /// Takes the oldest entry out of a region, which is not empty.
    fn leave_head(&mut self, class: usize, region: Region) -> u16 {
        let queue = self.classes[class].queue(region);
        let number = queue.oldest;
        let entry = &self.entries[usize::from(number)];
        queue.oldest = entry.next;
        queue.bytes -= u64::from(entry.bytes);
        if queue.oldest == NONE {
            queue.newest = NONE;
        }
        self.value(class);
        number
    }

    /// Finds again what the head of a class is worth.
    fn value(&mut self, class: usize) {
        let queues = &mut self.classes[class];
        let head = |queue: Queue| {
            let entry = self.entries.get(usize::from(queue.oldest))?;
            Some((entry.stamp, f64::from(entry.bytes.max(1))))
        };
        let probation = match queues.head_region(self.choice) {
            Region::Probation => head(queues.probation),
            Region::Main => None,
        };
        queues.value = self.choice.value(head(queues.main), probation);
    }

    /// The class whose head is worth least. Something is held.
    fn cheapest(&self) -> usize {
        let values = self.classes.iter().map(|queues| queues.value).enumerate();
        let least = values.min_by(|a, b| a.1.total_cmp(&b.1));
        least.expect("there are classes").0
    }

    fn find(&self, hash: u64) -> u16 {
        let key = key_of(hash);
        let mut at = self.heads[self.head_of(key)];
        while let Some(entry) = self.entries.get(usize::from(at)) {
            if entry.key == key {
                return at;
            }
            at = entry.chained;
        }
        NONE
    }

    fn head_of(&self, key: u32) -> usize {
        key as usize & (self.heads.len() - 1)
    }
}

impl Entry {
    const EMPTY: Self = Self {
        stamp: 0.0,
        key: 0,
        bytes: 0,
        next: NONE,
        chained: NONE,
        class: 0,
        uses: 0,
    };
}

impl Queues {
    const EMPTY: Self = Self {
        probation: Queue::EMPTY,
        main: Queue::EMPTY,
        value: f64::INFINITY,
    };

    fn is_over(&self, choice: Choice) -> bool {
        let total = self.probation.bytes + self.main.bytes;
        self.probation.bytes as f64 > choice.share * total as f64
    }

    fn head_region(&self, choice: Choice) -> Region {
        let over = self.is_over(choice) || self.main.oldest == NONE;
        if over && self.probation.oldest != NONE {
            Region::Probation
        } else {
            Region::Main
        }
    }

    fn queue(&mut self, region: Region) -> &mut Queue {
        match region {
            Region::Probation => &mut self.probation,
            Region::Main => &mut self.main,
        }
    }
}

impl Queue {
    const EMPTY: Self = Self {
        oldest: NONE,
        newest: NONE,
        bytes: 0,
    };
}

/// The sample takes the low end of the hashes: their lower bits are as good as any.
fn key_of(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a key is 32 bits of it")]
    let key = hash as u32;
    key
}

fn position(number: usize) -> u16 {
    u16::try_from(number).expect("a miniature has fewer than 2^16 entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICE: Choice = Choice {
        share: 0.1,
        promote_uses: 2,
        main_weight: 2.0,
    };

    fn weight(bytes: u32) -> Weight {
        Weight {
            class: u8::try_from(bytes / 100).unwrap(),
            bytes,
        }
    }

    fn key(number: u64) -> u64 {
        (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
    }

    fn check(miniature: &Miniature) {
        let held: Vec<u64> = miniature
            .classes
            .iter()
            .flat_map(|queues| [queues.probation, queues.main])
            .map(|queue| {
                let mut at = queue.oldest;
                let mut bytes = 0;
                while at != NONE {
                    let entry = &miniature.entries[usize::from(at)];
                    bytes += u64::from(entry.bytes);
                    assert!(entry.next != NONE || queue.newest == at);
                    at = entry.next;
                }
                assert_eq!(bytes, queue.bytes);
                bytes
            })
            .collect();
        assert_eq!(held.iter().sum::<u64>(), miniature.used_bytes);
        assert!(miniature.used_bytes <= miniature.capacity_bytes);
    }

    #[test]
    fn it_holds_what_fits_and_its_books_agree() {
        let mut miniature = Miniature::new(CHOICE, 100, 8);
        miniature.set_capacity(30_000);
        for number in 0..20_000 {
            let hash = key(number * 7 % 900);
            if !miniature.hit(hash) {
                miniature.insert(hash, weight(100 + u32::try_from(number % 6).unwrap() * 100));
                assert!(miniature.holds(hash));
            }
            if number % 97 == 0 {
                check(&miniature);
            }
        }
        assert!(miniature.len > 50);
        miniature.clear();
        check(&miniature);
        assert!(!miniature.holds(key(1)));
    }

    #[test]
    fn what_is_used_outlives_a_scan() {
        let mut miniature = Miniature::new(CHOICE, 100, 8);
        miniature.set_capacity(10_000);
        for number in 0..100 {
            miniature.insert(key(number), weight(100));
        }
        for round in 0..20_u64 {
            (0..50).for_each(|number| {
                miniature.hit(key(number));
            });
            (0..100)
                .for_each(|number| miniature.insert(key(1000 + round * 100 + number), weight(100)));
        }
        let kept = (0..50)
            .filter(|&number| miniature.holds(key(number)))
            .count();
        assert!(kept >= 40, "{kept} of 50");
    }

    #[test]
    fn a_small_item_is_worth_more_than_a_large_one_that_is_used_as_much() {
        let mut miniature = Miniature::new(CHOICE, 100, 8);
        miniature.set_capacity(20_000);
        for number in 0..3000 {
            let bytes = if number % 2 == 0 { 100 } else { 700 };
            let hash = key(number % 200);
            if !miniature.hit(hash) {
                miniature.insert(hash, weight(bytes));
            }
        }
        let held = |parity: u64| {
            (0..100)
                .filter(|n| miniature.holds(key(n * 2 + parity)))
                .count()
        };
        assert!(
            held(0) > 60 && held(0) > 3 * held(1),
            "{} {}",
            held(0),
            held(1)
        );
    }
}
