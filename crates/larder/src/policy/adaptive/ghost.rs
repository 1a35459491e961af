//! A memory of keys that were evicted on probation, by fingerprints of 16 bits.
//!
//! ```text
//! bucket   | fingerprint 0 .. fingerprint 30 | the next to be written over |      one cache line
//! ```
//! Every bucket is a first-in first-out ring. Buckets are added one at a time (linear hashing, as in
//! the index); what belongs to a new bucket is not moved there but forgotten, so that growth costs
//! nothing and half of one bucket. A key that was never here is found once in 2,000 times.

use std::sync::Arc;

use crate::arena::{Arena, Array, Fingerprints, LINE_WAYS};

/// The fingerprints of one shard, in pages of the arena.
#[derive(Debug)]
pub(super) struct Ghost {
    buckets: Array<Fingerprints>,
    /// Buckets in use.
    used: usize,
}

/// A ghost for a number of keys that stays.
#[derive(Debug)]
pub(super) struct FixedGhost(Box<[Fingerprints]>);

/// Buckets beyond those that it should have, at least, before it gives one up.
const EXCESS_MIN: usize = 64;

impl Ghost {
    pub(super) fn new(arena: &Arc<Arena>) -> Self {
        Self {
            buckets: Array::new(arena),
            used: 0,
        }
    }

    /// A step towards remembering `keys` keys; false if that takes memory that the limit does not allow.
    /// O(1).
    pub(super) fn fit(&mut self, keys: usize) -> bool {
        let wanted = buckets_for(keys);
        if wanted > self.used {
            if self.used == self.buckets.count() && !self.buckets.grow() {
                return false;
            }
            self.used += 1;
        } else if self.used > wanted + wanted / 4 + EXCESS_MIN {
            self.drop_bucket();
        }
        true
    }

    /// Gives up what `keys` keys do not need. O(buckets).
    pub(super) fn shrink(&mut self, keys: usize) {
        while self.used > buckets_for(keys) {
            self.drop_bucket();
        }
    }

    /// Remembers a key by its hash, and forgets the oldest of its bucket. O(1).
    pub(super) fn insert(&mut self, hash: u64) {
        if self.used > 0 {
            let bucket = self.buckets.get_mut(address(hash, self.used));
            bucket.insert(fingerprint(hash));
        }
    }

    /// Asks for the line that `insert` or `take` will meet. O(1).
    pub(super) fn prefetch(&self, hash: u64) {
        if self.used > 0 {
            self.buckets.prefetch(address(hash, self.used));
        }
    }

    /// Forgets a key; whether it was remembered. O(1).
    pub(super) fn take(&mut self, hash: u64) -> bool {
        self.used > 0 && {
            let bucket = self.buckets.get_mut(address(hash, self.used));
            bucket.take(fingerprint(hash))
        }
    }

    /// Forgets every key, and gives the memory back.
    pub(super) fn clear(&mut self) {
        self.buckets.clear();
        self.used = 0;
    }

    /// What it takes of the limit.
    pub(super) fn bytes(&self) -> usize {
        self.buckets.bytes()
    }

    fn drop_bucket(&mut self) {
        self.used -= 1;
        *self.buckets.get_mut(number(self.used)) = Fingerprints::NONE;
        if self.used + self.buckets.page_values() <= self.buckets.count() {
            self.buckets.give_last_page();
        }
    }
}

impl FixedGhost {
    pub(super) fn new(keys: usize) -> Self {
        Self(vec![Fingerprints::NONE; buckets_for(keys)].into_boxed_slice())
    }

    /// As [`Ghost::insert`].
    pub(super) fn insert(&mut self, hash: u64) {
        self.bucket(hash).insert(fingerprint(hash));
    }

    /// As [`Ghost::take`].
    pub(super) fn take(&mut self, hash: u64) -> bool {
        self.bucket(hash).take(fingerprint(hash))
    }

    /// Forgets every key.
    pub(super) fn forget(&mut self) {
        self.0.fill(Fingerprints::NONE);
    }

    /// Bytes of its buckets.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    fn bucket(&mut self, hash: u64) -> &mut Fingerprints {
        &mut self.0[address(hash, self.0.len()) as usize]
    }
}

impl Fingerprints {
    const NONE: Self = Self {
        ways: [0; LINE_WAYS],
        next: 0,
    };

    fn insert(&mut self, fingerprint: u16) {
        let next = usize::from(self.next);
        self.ways[next] = fingerprint;
        self.next = if next + 1 == LINE_WAYS {
            0
        } else {
            self.next + 1
        };
    }

    fn take(&mut self, fingerprint: u16) -> bool {
        // Of all at once: rarely one is there.
        let ways = self.ways.iter();
        let found = ways.fold(false, |found, &other| found | (other == fingerprint));
        if found && let Some(way) = self.ways.iter_mut().find(|way| **way == fingerprint) {
            *way = 0;
        }
        found
    }
}

fn buckets_for(keys: usize) -> usize {
    keys.div_ceil(LINE_WAYS)
}

fn number(bucket: usize) -> u32 {
    u32::try_from(bucket).expect("LIMIT_BYTES_MAX bounds them")
}

/// The bucket of a hash, if `used` of them are in use.
fn address(hash: u64, used: usize) -> u32 {
    let bits = usize::try_from(mixed(hash) >> 20).expect("usize has 64 bits");
    let level = used.ilog2();
    let wide = bits & ((2 << level) - 1);
    number(if wide < used {
        wide
    } else {
        bits & ((1 << level) - 1)
    })
}

/// Index and shards use the hash as it is; here both parts come from a product of the whole.
fn mixed(hash: u64) -> u64 {
    (hash ^ (hash >> 31)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

fn fingerprint(hash: u64) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fingerprint is 16 bits of it"
    )]
    let bits = (mixed(hash) >> 4) as u16;
    bits.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Links;

    fn hash(number: u64) -> u64 {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 32)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    fn ghost_for(keys: usize) -> Ghost {
        let arena = Arena::new(1 << 20, 1 << 20, Links::Large).unwrap();
        let mut ghost = Ghost::new(&Arc::new(arena));
        fit(&mut ghost, keys);
        ghost
    }

    fn fit(ghost: &mut Ghost, keys: usize) {
        while ghost.used < buckets_for(keys) {
            assert!(ghost.fit(keys));
        }
    }

    #[test]
    fn about_as_many_keys_are_remembered_as_it_was_fitted_for() {
        let mut ghost = ghost_for(10_000);
        (0..50_000).for_each(|number| ghost.insert(hash(number)));
        let recent = (45_000..50_000).filter(|&number| ghost.take(hash(number)));
        assert!(recent.count() > 4500, "the newest half is mostly there");
        let old = (0..30_000)
            .filter(|&number| ghost.take(hash(number)))
            .count();
        assert!(old < 300, "what is long gone is forgotten, not {old}");
    }

    #[test]
    fn a_key_is_remembered_once_and_rarely_without_having_been_here() {
        let mut ghost = ghost_for(10_000);
        ghost.insert(hash(7));
        assert!(ghost.take(hash(7)) && !ghost.take(hash(7)));
        (0..20_000).for_each(|number| ghost.insert(hash(number)));
        let strangers = (100_000..200_000).filter(|&number| ghost.take(hash(number)));
        let strangers = strangers.count();
        assert!(strangers < 200, "{strangers} of 100,000");
    }

    #[test]
    fn growing_keeps_most_of_what_is_remembered_and_shrinking_gives_chunks_back() {
        let mut ghost = ghost_for(20_000);
        (0..10_000).for_each(|number| ghost.insert(hash(number)));
        fit(&mut ghost, 25_000);
        let kept = (0..10_000)
            .filter(|&number| ghost.take(hash(number)))
            .count();
        assert!(kept > 7000, "{kept} of 10,000");
        let page_bytes = ghost_for(1).bytes();
        let most = ghost.bytes();
        for _ in 0..2000 {
            assert!(ghost.fit(100));
        }
        assert!(ghost.bytes() <= 2 * page_bytes && most > 8 * page_bytes);
        ghost.shrink(100);
        assert_eq!((ghost.used, ghost.bytes()), (buckets_for(100), page_bytes));
    }

    #[test]
    fn where_there_is_no_memory_it_stays_as_it_is() {
        let mut ghost = ghost_for(100);
        let mut fitted = 0;
        while ghost.fit(10_000_000) {
            fitted += 1;
        }
        assert!(fitted > 100);
        ghost.insert(hash(7));
        assert!(!ghost.fit(10_000_000) && ghost.take(hash(7)));
        ghost.clear();
        assert!(!ghost.take(hash(7)) && ghost.bytes() == 0);
    }

    #[test]
    fn one_of_fixed_size_remembers_the_same() {
        let (mut ghost, mut fixed) = (ghost_for(1024), FixedGhost::new(1024));
        for number in 0..20_000 {
            assert_eq!(ghost.take(hash(number / 3)), fixed.take(hash(number / 3)));
            ghost.insert(hash(number));
            fixed.insert(hash(number));
        }
        fixed.forget();
        assert!(!fixed.take(hash(19_999)));
    }
}
