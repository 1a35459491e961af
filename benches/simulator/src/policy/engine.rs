//! Larder's engine itself, its capacity set in objects or in payload bytes.
//!
//! Every miss stores a value of the object's weight in a [`Cache`] of one shard whose memory limit is far
//! away, then [`Cache::evict`] takes items out until the capacity holds. So the engine's own queues,
//! clocks, ghost and miniatures decide; only its pages never have to move.

use std::fmt;

use larder::{Cache, ManualClock, Ttl};

use super::{Access, Parameters, Policy, Space};
use crate::trace::Key;

/// The engine with its default policy, or strict LRU with `lru=1`.
pub(super) struct Engine {
    cache: Cache,
    space: Space,
    /// What the held objects weigh in payload bytes, or their number.
    weighed: Weighed,
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weighed {
    Objects,
    Bytes,
}

/// Bytes of a key, and of the header that the engine counts with an item.
const KEY_BYTES: usize = 4;
const HEADER_BYTES: u64 = 12;

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("weighed", &self.weighed)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// # Errors
    /// When the engine refuses the limit that the capacity asks for.
    pub(super) fn new(space: Space, parameters: &mut Parameters) -> Result<Self, String> {
        let objects = space.sizes.iter().all(|&size| size == 1);
        let weighed = if objects {
            Weighed::Objects
        } else {
            Weighed::Bytes
        };
        let most = space.sizes.iter().copied().max().unwrap_or(1) as usize;
        // Each object takes under 64 bytes besides, and each class a page that is not full.
        let items = space.capacity.min(space.sizes.len() as u64) as usize;
        let payload = if objects {
            items * 8
        } else {
            space.capacity as usize
        };
        let limit_bytes = payload + payload / 4 + items * 100 + 4 * most + (64 << 20);
        let policy = if parameters.take("lru", 0.0) == 0.0 {
            larder::Policy::Adaptive
        } else {
            larder::Policy::Lru
        };
        let cache = Cache::builder()
            .limit_bytes(limit_bytes)
            .shards(1)
            .policy(policy)
            .clock(ManualClock::default())
            .build();
        Ok(Self {
            cache: cache.map_err(|error| error.to_string())?,
            space,
            weighed,
            value: vec![0; most],
        })
    }
}

impl Policy for Engine {
    fn access(&mut self, key: Key) -> Access {
        let name = key.to_le_bytes();
        if self.cache.get_with(&name, |_| ()).is_some() {
            return Access::Hit;
        }
        let value_bytes = match self.weighed {
            Weighed::Objects => 0,
            Weighed::Bytes => (self.space.size(key) as usize).saturating_sub(KEY_BYTES),
        };
        let stored = self
            .cache
            .set(&name, &self.value[..value_bytes], Ttl::NEVER);
        debug_assert!(stored.is_ok(), "{stored:?}");
        while self.used() > self.space.capacity && self.cache.evict(1) == 1 {}
        Access::Miss
    }

    fn remove(&mut self, key: Key) {
        self.cache.remove(&key.to_le_bytes());
    }

    fn used(&self) -> u64 {
        let stats = self.cache.stats();
        match self.weighed {
            Weighed::Objects => stats.item_count as u64,
            Weighed::Bytes => stats.item_bytes as u64 - HEADER_BYTES * stats.item_count as u64,
        }
    }
}
