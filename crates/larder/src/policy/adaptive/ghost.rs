//! A memory of keys that were evicted on probation, by fingerprints of 16 bits.
//!
//! ```text
//! bucket   | fingerprint 0 .. fingerprint 30 | the next to be written over |      one cache line
//! ```
//! Every bucket is a first-in first-out ring. Buckets are added one at a time (linear hashing, as in
//! the index); what belongs to a new bucket is not moved there but forgotten, so that growth costs
//! nothing and half of one bucket. A key that was never here is found once in 2,000 times.

use crate::arena::prefetch_line;

/// The fingerprints, in chunks of buckets.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    chunks: Vec<Box<[Bucket; CHUNK_BUCKETS]>>,
    /// Buckets in use.
    used: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Bucket {
    /// 0 is none.
    fingerprints: [u16; WAYS],
    next: u16,
}

const WAYS: usize = 31;
const CHUNK_BUCKETS: usize = 64;
/// Bytes of a chunk and of the pointer to it.
pub(super) const CHUNK_BYTES: usize = CHUNK_BUCKETS * size_of::<Bucket>() + size_of::<usize>();

const _: () = assert!(size_of::<Bucket>() == 64);

/// What `fit` has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has the buckets that it should have, or one more of them than before.
    Done,
    /// The next bucket needs a chunk.
    NeedsChunk,
    /// A chunk was given back.
    GaveChunk,
}

impl Ghost {
    /// A step towards remembering `keys` keys. O(1).
    pub(super) fn fit(&mut self, keys: usize) -> Fit {
        let wanted = keys.div_ceil(WAYS);
        if wanted > self.used {
            if self.used == self.chunks.len() * CHUNK_BUCKETS {
                return Fit::NeedsChunk;
            }
            self.used += 1;
        } else if self.used > wanted + wanted / 4 + CHUNK_BUCKETS {
            self.used -= 1;
            *self.bucket(self.used) = Bucket::EMPTY;
            if self.used.is_multiple_of(CHUNK_BUCKETS) {
                self.chunks.pop();
                return Fit::GaveChunk;
            }
        }
        Fit::Done
    }

    /// Adds the chunk that `fit` asked for; its `CHUNK_BYTES` are counted by the caller.
    pub(super) fn add_chunk(&mut self) {
        self.chunks.push(Box::new([Bucket::EMPTY; CHUNK_BUCKETS]));
    }

    /// Remembers a key by its hash, and forgets the oldest of its bucket. O(1).
    pub(super) fn insert(&mut self, hash: u64) {
        if self.used == 0 {
            return;
        }
        let fingerprint = fingerprint(hash);
        let bucket = self.bucket(self.address(hash));
        let next = usize::from(bucket.next);
        bucket.fingerprints[next] = fingerprint;
        bucket.next = if next + 1 == WAYS { 0 } else { bucket.next + 1 };
    }

    /// Asks for the line that `insert` or `take` will meet. O(1).
    pub(super) fn prefetch(&self, hash: u64) {
        if self.used > 0 {
            let number = self.address(hash);
            prefetch_line(&self.chunks[number / CHUNK_BUCKETS][number % CHUNK_BUCKETS]);
        }
    }

    /// Forgets a key; whether it was remembered. O(1).
    pub(super) fn take(&mut self, hash: u64) -> bool {
        if self.used == 0 {
            return false;
        }
        let fingerprint = fingerprint(hash);
        let bucket = self.bucket(self.address(hash));
        let found = bucket
            .fingerprints
            .iter()
            .position(|&other| other == fingerprint);
        if let Some(way) = found {
            bucket.fingerprints[way] = 0;
        }
        found.is_some()
    }

    /// Forgets every key.
    pub(super) fn forget(&mut self) {
        for chunk in &mut self.chunks {
            chunk.fill(Bucket::EMPTY);
        }
    }

    /// Bytes of its chunks.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK_BYTES
    }

    fn bucket(&mut self, number: usize) -> &mut Bucket {
        &mut self.chunks[number / CHUNK_BUCKETS][number % CHUNK_BUCKETS]
    }

    fn address(&self, hash: u64) -> usize {
        let bits = usize::try_from(mixed(hash) >> 20).expect("usize has 64 bits");
        let level = self.used.ilog2();
        let wide = bits & ((2 << level) - 1);
        if wide < self.used {
            wide
        } else {
            bits & ((1 << level) - 1)
        }
    }
}

impl Bucket {
    const EMPTY: Self = Self {
        fingerprints: [0; WAYS],
        next: 0,
    };
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

    fn hash(number: u64) -> u64 {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 32)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    fn ghost_for(keys: usize) -> Ghost {
        let mut ghost = Ghost::default();
        while ghost.used < keys.div_ceil(WAYS) {
            if ghost.fit(keys) == Fit::NeedsChunk {
                ghost.add_chunk();
            }
        }
        ghost
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
        while ghost.used < 25_000_usize.div_ceil(WAYS) {
            if ghost.fit(25_000) == Fit::NeedsChunk {
                ghost.add_chunk();
            }
        }
        let kept = (0..10_000)
            .filter(|&number| ghost.take(hash(number)))
            .count();
        assert!(kept > 7000, "{kept} of 10,000");
        let mut given = 0;
        for _ in 0..2000 {
            given += usize::from(ghost.fit(100) == Fit::GaveChunk);
        }
        assert!(given > 8 && ghost.bytes() <= 2 * CHUNK_BYTES, "{given}");
    }
}
