//! How keys are hashed: keyed and randomly seeded, unless the builder was given something else.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The hash of keys, the same for every shard of a cache.
#[derive(Clone)]
pub(crate) struct KeyHasher(Source);

type Hash = dyn Fn(&[u8]) -> u64 + Send + Sync;

#[derive(Clone)]
enum Source {
    Keyed(ahash::RandomState),
    Custom(Arc<Hash>),
}

impl KeyHasher {
    /// A keyed hash with a new random seed.
    pub(crate) fn random() -> Self {
        Self(Source::Keyed(ahash::RandomState::new()))
    }

    pub(crate) fn custom(build: impl BuildHasher + Send + Sync + 'static) -> Self {
        Self(Source::Custom(Arc::new(move |key| build.hash_one(key))))
    }

    #[inline]
    pub(crate) fn hash_one(&self, key: &[u8]) -> u64 {
        match &self.0 {
            Source::Keyed(state) => state.hash_one(key),
            Source::Custom(hash) => mixed(hash(key)),
        }
    }
}

/// Spreads what a hash says over all 64 bits: shards, buckets and tags are parts of it.
fn mixed(hash: u64) -> u64 {
    let wide = (u128::from(hash) ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93_u128;
    let folded = wide ^ (wide >> 64);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both halves are in the lower"
    )]
    let folded = folded as u64;
    folded.wrapping_mul(0x9FB2_1C65_1E98_DF25) ^ (folded >> 32)
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the seed: who knows it can make keys collide.
        f.write_str(match self.0 {
            Source::Keyed(_) => "keyed",
            Source::Custom(_) => "custom",
        })
    }
}
