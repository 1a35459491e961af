//! A count-min sketch of 4-bit counters with periodic halving, as W-TinyLFU keeps frequencies.
//!
//! After G. Einziger, R. Friedman and B. Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017.
//! Counters are stored one a byte: the simulator does not count the memory.

use crate::trace::Key;

const ROWS: usize = 4;
const COUNT_MAX: u8 = 15;

/// Approximate access counts of keys, halved every `sample_max` increments.
#[derive(Debug)]
pub struct Sketch {
    counters: Vec<u8>,
    mask: usize,
    additions: u64,
    sample_max: u64,
}

impl Sketch {
    /// A sketch fit for about `entries` resident keys.
    pub fn new(entries: u64) -> Self {
        let width = (entries.max(16) as usize).next_power_of_two();
        Self {
            counters: vec![0; width * ROWS],
            mask: width - 1,
            additions: 0,
            sample_max: entries.max(16) * 10,
        }
    }

    fn slots(&self, key: Key) -> [usize; ROWS] {
        let hash = mix(u64::from(key));
        let (low, high) = (hash as usize, (hash >> 32) as usize | 1);
        std::array::from_fn(|row| {
            row * (self.mask + 1) + (low.wrapping_add(high.wrapping_mul(row + 1)) & self.mask)
        })
    }

    /// The estimated count of `key`, 0..=15.
    pub fn estimate(&self, key: Key) -> u8 {
        self.slots(key)
            .iter()
            .map(|&slot| self.counters[slot])
            .min()
            .unwrap_or(0)
    }

    /// Counts one access of `key`.
    pub fn increment(&mut self, key: Key) {
        let slots = self.slots(key);
        let mut added = false;
        for slot in slots {
            if self.counters[slot] < COUNT_MAX {
                self.counters[slot] += 1;
                added = true;
            }
        }
        self.additions += u64::from(added);
        if self.additions >= self.sample_max {
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
            self.additions /= 2;
        }
    }
}

/// Spreads a key over 64 bits (the finaliser of splitmix64).
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
