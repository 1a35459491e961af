//! The caches under test, behind one small trait.
//!
//! The generic ones get `Bytes` as keys and values. What is stored is copied, once, into memory that
//! the cache owns, as larder and segcache do too: the buffer that a key came in is not given away.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

/// What a cache is made for. Caches count differently; this is what all of them are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Items that it should hold.
    pub(crate) items: usize,
    /// Bytes of their keys and values.
    pub(crate) bytes: usize,
    /// Bytes of the largest key and value.
    pub(crate) item_bytes_max: usize,
    /// Whether a cache that asks for huge pages by itself does not.
    pub(crate) small_pages: bool,
}

/// A cache of bytes.
pub(crate) trait Subject: Send + Sync + Sized + 'static {
    /// As it is called in tables.
    const NAME: &'static str;

    /// An empty cache with its defaults, but for what the room says.
    fn new(room: Room) -> Self;

    /// Looks a key up and shows its value.
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R>;

    /// Stores a copy of a value, or refuses it.
    fn set(&self, key: &[u8], value: &[u8]);

    /// Removes what stands under a key, if anything.
    fn remove(&self, key: &[u8]);
}

/// What the weighers of the generic caches add for an item: about what they need for it.
const WEIGHT_BYTES: usize = 64;

impl Room {
    fn weight(self) -> usize {
        self.bytes + self.items * WEIGHT_BYTES
    }
}

fn weight(key: &Bytes, value: &Bytes) -> usize {
    key.len() + value.len() + WEIGHT_BYTES
}

/// This project.
pub(crate) struct Larder(larder::Cache);

impl Subject for Larder {
    const NAME: &'static str = "larder";

    fn new(room: Room) -> Self {
        // What an item takes besides its bytes, rounding included, and the smallest legal limit.
        let limit = room.bytes + room.items * 36 + (1 << 20);
        let builder = larder::Cache::builder().limit_bytes(limit);
        let builder = if room.small_pages {
            builder.huge_pages(false)
        } else {
            builder
        };
        Self(builder.build().expect("a legal limit"))
    }

    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get_with(key, |item| look(item.value()))
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        // A refusal is a miss later on.
        let _ = self.0.set(key, value, larder::Ttl::NEVER);
    }

    fn remove(&self, key: &[u8]) {
        self.0.remove(key);
    }
}

impl Larder {
    /// Looks at the first byte of each value; how many were missed.
    pub(crate) fn get_many(&self, keys: &[&[u8]]) -> u64 {
        let mut misses = 0;
        self.0.get_many(keys, |_, item| {
            let first = item.map(|item| item.value().first().copied());
            misses += u64::from(black_box(first).is_none());
            ControlFlow::Continue(())
        });
        misses
    }
}

#[derive(Clone)]
struct Weigher;

impl quick_cache::Weighter<Bytes, Bytes> for Weigher {
    fn weight(&self, key: &Bytes, value: &Bytes) -> u64 {
        weight(key, value) as u64
    }
}

/// `quick_cache`: modified CLOCK-PRO, shards with a lock each.
pub(crate) struct QuickCache(quick_cache::sync::Cache<Bytes, Bytes, Weigher>);

impl Subject for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn new(room: Room) -> Self {
        let weight = room.weight() as u64;
        Self(quick_cache::sync::Cache::with_weighter(
            room.items, weight, Weigher,
        ))
    }

    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(|value| look(&value))
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        self.0
            .insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn remove(&self, key: &[u8]) {
        self.0.remove(key);
    }
}

/// `moka`: W-TinyLFU.
pub(crate) struct Moka(moka::sync::Cache<Bytes, Bytes>);

impl Subject for Moka {
    const NAME: &'static str = "moka";

    fn new(room: Room) -> Self {
        let builder = moka::sync::Cache::builder()
            .max_capacity(room.weight() as u64)
            .weigher(|key, value| u32::try_from(weight(key, value)).unwrap_or(u32::MAX));
        Self(builder.build())
    }

    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(|value| look(&value))
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        self.0
            .insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn remove(&self, key: &[u8]) {
        self.0.invalidate(key);
    }
}

/// `foyer-memory`, the part of foyer without disks: LRU of two priorities.
pub(crate) struct Foyer(foyer_memory::Cache<Bytes, Bytes>);

impl Subject for Foyer {
    const NAME: &'static str = "foyer";

    fn new(room: Room) -> Self {
        let builder = foyer_memory::CacheBuilder::new(room.weight())
            .with_weighter(|key: &Bytes, value: &Bytes| weight(key, value));
        Self(builder.build())
    }

    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(|entry| look(entry.value()))
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        self.0
            .insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn remove(&self, key: &[u8]) {
        self.0.remove(key);
    }
}

/// `segcache`: a log of segments, with the merge eviction of its paper.
pub(crate) struct Segcache(segcache::Segcache);

/// What a segment's item takes besides its bytes: a header, and rounding.
const SEGCACHE_ITEM_BYTES: usize = 20;
const SEGMENT_BYTES_MIN: usize = 64 << 10;
/// Its default.
const SEGMENT_BYTES_MAX: usize = 1 << 20;
/// Its policy merges a few segments into one: a small heap is cut into smaller ones than by default.
const SEGMENTS_MIN: usize = 64;

impl Subject for Segcache {
    const NAME: &'static str = "segcache";

    fn new(room: Room) -> Self {
        // Its index does not grow: seven of eight slots are for items, and it wants some of them free.
        let slots = (room.items * 5 / 4).max(1 << 10).next_power_of_two();
        let power = u8::try_from(slots.trailing_zeros()).expect("below 64");
        let bytes = room.bytes + room.items * SEGCACHE_ITEM_BYTES;
        let segment = (bytes / SEGMENTS_MIN).next_power_of_two();
        let segment = segment.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let segment = segment.max((room.item_bytes_max + 64).next_power_of_two());
        let merge = segcache::Policy::Merge {
            max: 8,
            merge: 4,
            compact: 2,
        };
        let builder = segcache::Segcache::builder()
            .heap_size((bytes / segment + 4) * segment)
            .segment_size(i32::try_from(segment).expect("items are below a gigabyte"))
            .hash_power(power)
            .eviction(merge);
        Self(builder.build().expect("memory"))
    }

    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let item = self.0.get(key)?;
        let value: &[u8] = match item.value() {
            segcache::Value::Bytes(bytes) => bytes,
            segcache::Value::U64(_) => &[],
        };
        Some(look(value))
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        // A refusal is a miss later on.
        let _ = self.0.insert(key, value, None, Duration::ZERO);
    }

    fn remove(&self, key: &[u8]) {
        self.0.delete(key);
    }
}

/// A plain LRU behind a lock, many times: what one writes without a cache crate.
pub(crate) struct ShardedLru {
    shards: Vec<Mutex<LruShard>>,
    hasher: RandomState,
    weight_max: usize,
}

struct LruShard {
    items: lru::LruCache<Bytes, Bytes>,
    weight: usize,
}

const LRU_SHARDS: usize = 16;

impl ShardedLru {
    fn shard(&self, key: &[u8]) -> &Mutex<LruShard> {
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::try_from(hash >> 60).expect("four bits")]
    }
}

impl Subject for ShardedLru {
    const NAME: &'static str = "sharded lru";

    fn new(room: Room) -> Self {
        let shard = |_| {
            Mutex::new(LruShard {
                items: lru::LruCache::unbounded(),
                weight: 0,
            })
        };
        Self {
            shards: (0..LRU_SHARDS).map(shard).collect(),
            hasher: RandomState::new(),
            weight_max: room.weight() / LRU_SHARDS,
        }
    }

    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let value = {
            let mut shard = self.shard(key).lock().expect("nobody panics under it");
            shard.items.get(key)?.clone()
        };
        Some(look(&value))
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        let mut shard = self.shard(&key).lock().expect("nobody panics under it");
        shard.weight += weight(&key, &value);
        if let Some((key, old)) = shard.items.push(key, value) {
            shard.weight -= weight(&key, &old);
        }
        while shard.weight > self.weight_max {
            let Some((key, value)) = shard.items.pop_lru() else {
                break;
            };
            shard.weight -= weight(&key, &value);
        }
    }

    fn remove(&self, key: &[u8]) {
        let mut shard = self.shard(key).lock().expect("nobody panics under it");
        if let Some((key, value)) = shard.items.pop_entry(key) {
            shard.weight -= weight(&key, &value);
        }
    }
}
