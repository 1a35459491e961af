//! Chooses probation's share, and main's weight, by experiment: a few miniature caches, each with its own, over a
//! sample of the keys.
//!
//! After C. Waldspurger and others, "Cache Modeling and Optimization using Miniature Simulations",
//! USENIX ATC 2017. A key is sampled by its hash, so a miniature sees every access to the keys that it
//! sees, and its capacity is scaled down as the keys are. The share whose miniature misses least, older
//! misses counting less, is the one in force. Misses over shares have more than one valley on
//! loops, which a climber or a pair of ghosts cannot cross.

use super::miniature::{Miniature, Weight};
use super::tuning::{Choice, Scale};

/// What competes. At a weight of 16 a class gives memory up by what leaves probation, nearly alone; at 3 also because its
/// main region has gone stale, which is better where values are large and worse where they are small.
pub(super) const RIVALS: [Choice; 7] = [
    rival(0.02, 2, 16.0),
    rival(0.05, 2, 16.0),
    rival(0.1, 2, 16.0),
    rival(0.25, 2, 16.0),
    rival(0.6, 2, 16.0),
    rival(0.1, 1, 16.0),
    rival(0.1, 2, 3.0),
];

const fn rival(share: f64, promote_uses: u8, main_weight: f64) -> Choice {
    Choice {
        share,
        promote_uses,
        main_weight,
    }
}

/// The miniatures and their score.
#[derive(Debug)]
pub(super) struct Duel {
    miniatures: Vec<Miniature>,
    misses: [u32; RIVALS.len()],
    /// Items that each miniature is made for.
    entries: usize,
    /// Items of the cache and their bytes, by what its shards said lately: they differ where few items are in each.
    items: f64,
    bytes: f64,
    /// Items of the cache for each that is sampled.
    ratio: f64,
    /// Sampled reads since the last choice, older ones counting half.
    reads: usize,
    /// Sampled reads between two choices.
    period: usize,
}

/// Reads between two choices, for each sampled item.
const READS_AN_ITEM: usize = 10;
/// The mean is about that of so many stores.
const SCALES: f64 = 64.0;
/// The cache may hold so many times more items before the sample is made anew,
const GROWN: f64 = 1.5;
/// and so many times fewer.
const SHRUNK: f64 = 3.0;

impl Duel {
    /// Without entries there are no miniatures: nothing is ever observed.
    pub(super) fn new(entries: usize, class_count: usize) -> Self {
        let rivals = if entries == 0 { &[] } else { &RIVALS[..] };
        let miniature = |&choice| Miniature::new(choice, entries, class_count);
        Self {
            miniatures: rivals.iter().map(miniature).collect(),
            misses: [0; RIVALS.len()],
            entries,
            items: 0.0,
            bytes: 0.0,
            ratio: 1.0,
            reads: 0,
            period: entries * READS_AN_ITEM,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.miniatures.iter().map(Miniature::bytes).sum()
    }

    /// Begins anew for a cache of this scale. Returns the end of the sample: keys whose mixed hash is
    /// below it are in it.
    pub(super) fn restart(&mut self, scale: Scale) -> u64 {
        (self.items, self.bytes) = (scale.items as f64, scale.bytes as f64);
        self.begin()
    }

    /// Takes what a shard holds, if all hold as much, into account. Returns the end of the sample if it is made
    /// anew, because it does not suit the cache any more.
    pub(super) fn note_scale(&mut self, scale: Scale) -> Option<u64> {
        self.items += (scale.items as f64 - self.items) / SCALES;
        self.bytes += (scale.bytes as f64 - self.bytes) / SCALES;
        let sampled = self.items / self.ratio;
        let entries = self.entries as f64;
        let grown = sampled > entries * GROWN;
        let shrunk = self.ratio > 1.0 && sampled < entries / SHRUNK;
        if grown || shrunk {
            return Some(self.begin());
        }
        self.set_capacity();
        None
    }

    fn begin(&mut self) -> u64 {
        self.ratio = (self.items / self.entries as f64).max(1.0);
        self.misses = [0; RIVALS.len()];
        self.reads = 0;
        let sampled = (self.items / self.ratio).max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 1 and at most `entries`; at most 2^64, which saturates"
        )]
        let (sampled, end) = (sampled as usize, (u64::MAX as f64 / self.ratio) as u64);
        self.period = sampled * READS_AN_ITEM;
        for miniature in &mut self.miniatures {
            miniature.clear();
        }
        self.set_capacity();
        end
    }

    fn set_capacity(&mut self) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a number of bytes"
        )]
        let bytes = (self.bytes / self.ratio) as u64;
        for miniature in &mut self.miniatures {
            miniature.set_capacity(bytes);
        }
    }

    /// Shows a read to the miniatures; now and then, the rival to be in force from here on.
    pub(super) fn read(&mut self, hash: u64, weight: Option<Weight>) -> Option<u32> {
        for (miniature, misses) in self.miniatures.iter_mut().zip(&mut self.misses) {
            if !miniature.hit(hash) {
                *misses += 1;
                if let Some(weight) = weight {
                    miniature.insert(hash, weight);
                }
            }
        }
        self.reads += 1;
        if self.reads < self.period {
            return None;
        }
        self.reads /= 2;
        let best = (0..RIVALS.len()).min_by_key(|&rival| self.misses[rival]);
        for misses in &mut self.misses {
            *misses /= 2;
        }
        best.and_then(|best| u32::try_from(best).ok())
    }

    /// Shows a store to the miniatures; `existed` says whether it replaced an item.
    pub(super) fn store(&mut self, hash: u64, weight: Weight, existed: bool) {
        for miniature in &mut self.miniatures {
            let held = if existed {
                miniature.hit(hash)
            } else {
                miniature.holds(hash)
            };
            if !held {
                miniature.insert(hash, weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> u64 {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    const WEIGHT: Weight = Weight {
        class: 3,
        bytes: 100,
    };

    /// The rival in force after reads of these numbers, with a store after each miss.
    fn choice(numbers: impl Iterator<Item = u64>, items: usize) -> Choice {
        let mut duel = Duel::new(512, 8);
        let scale = Scale {
            items,
            bytes: items * 100,
        };
        let end = duel.restart(scale);
        let mut rival = 2;
        for hash in numbers.map(hash).filter(|&hash| hash < end) {
            rival = duel.read(hash, Some(WEIGHT)).unwrap_or(rival);
        }
        RIVALS[rival as usize]
    }

    #[test]
    fn a_scan_between_reads_of_a_hot_set_asks_for_a_short_probation() {
        // 400 hot keys, each read every 800 accesses, and a new key after each of them.
        let accesses = (0..400_000_u64).map(|n| if n % 2 == 0 { n / 2 % 400 } else { 1000 + n });
        assert!(choice(accesses, 512).share < 0.2);
    }

    #[test]
    fn shards_that_differ_leave_the_sample_as_it_is_and_a_cache_that_grows_does_not() {
        let mut duel = Duel::new(512, 8);
        let scale = |items| Scale {
            items,
            bytes: items * 100,
        };
        duel.restart(scale(10_000));
        let (few, many) = (scale(7000), scale(14_000));
        assert!((0..10_000).all(|n| duel.note_scale([few, many][n % 2]).is_none()));
        assert!((0..10_000).any(|_| duel.note_scale(scale(20_000)).is_some()));
        assert!((0..10_000).all(|_| duel.note_scale(scale(20_000)).is_none()));
        assert!((0..10_000).any(|_| duel.note_scale(scale(5000)).is_some()));
    }

    #[test]
    fn keys_that_are_read_a_few_times_within_a_while_ask_for_a_long_one() {
        // Each key is read three times, 250 keys apart, and never again.
        let accesses = (0..600_000_u64).map(|n| n / 3 + 1000 - n % 3 * 250);
        assert!(choice(accesses, 1000).share > 0.2);
    }
}
