//! `Cache`: hash the key, read the clock, pick the shard, one call, done.

mod batch;
mod cursor;
mod elsewhere;
mod entry;
#[cfg(test)]
mod faults;
mod held;
mod iter;
mod load;
#[cfg(feature = "async")]
mod load_async;
mod observe;
mod pin;
mod read;
mod remove;
mod renew;
mod reserve;
mod restore;
mod save;
mod stale;
mod upkeep;

pub use batch::{Batch, Prepared};
pub use cursor::Cursor;
pub use entry::Entry;
pub use iter::{Iter, Keys};
pub use reserve::Reservation;

use std::sync::Arc;

use self::held::Held;
use crate::arena::{Arena, HEADER_BYTES};
use crate::config::{Builder, Config, KEY_BYTES_MAX};
use crate::counter::{self, Step};
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::hasher::KeyHasher;
use crate::loader::Flights;
use crate::op::{CasToken, Edit, ItemView, Store, StoreMode, StoreOutcome, UpdateOutcome};
use crate::policy::{Policy, Tuning};
use crate::shard::{Access, Attempt, Common, Front, Shard};
use crate::sync::{AtomicU32, CachePadded, Mutex};
use crate::time::{Clock, Moment, Timestamp, Ttl};
use crate::trace;

/// A cache of byte keys and values within one memory limit. `Sync`: share it by reference or in
/// an [`Arc`].
///
/// Every operation is O(1), but for evictions and where it says otherwise. A read that finds its item takes
/// no lock (unless the policy is [`Policy::Lru`]), others take one shard's lock once. Closures that are shown
/// what was read run without a lock. Those that decide what becomes of an item run under it: they may copy and
/// compute, and must not call the same cache, which panics. A closure that panics leaves the cache as
/// it was.
#[derive(Debug)]
pub struct Cache {
    shards: Box<[ShardCell]>,
    arena: Arc<Arena>,
    tuning: Arc<Tuning>,
    hasher: KeyHasher,
    clock: Clock,
    policy: Policy,
    value_bytes_max: usize,
    /// `None` for a part of the limit.
    pinned_bytes_max: Option<usize>,
    /// The shard that the next call of `maintain` begins with.
    next_shard: AtomicU32,
    /// Bytes of what all shards' policies share.
    tuning_bytes: usize,
    /// The shard that the next call of `evict` takes an item from.
    next_evicted: AtomicU32,
    /// Loads under way; they are outside of the limit.
    flights: Flights<load::Landing>,
}

/// A shard, behind its lock, and what is in front of it.
#[derive(Debug)]
struct ShardCell {
    front: CachePadded<Arc<Front>>,
    shard: CachePadded<Mutex<Shard>>,
}

/// How often a store asks other shards for memory, besides once for each page that it needs.
const ROOM_TRIES: usize = 64;

impl Cache {
    /// A cache that uses at most `bytes` of memory, everything else at its default. O(limit / 64 KiB).
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn with_limit(bytes: usize) -> Result<Self, Error> {
        Self::builder().limit_bytes(bytes).build()
    }

    /// A builder with every setting at its default. O(1).
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn from_config(config: Config) -> Result<Self, Error> {
        let links = config.policy.links();
        let mut arena = Arena::new(config.limit_bytes, config.limit_bytes_max, links)?;
        if config.huge_pages {
            arena.ask_for_huge_pages();
        }
        let arena = Arc::new(arena);
        let tuning = Tuning::new(config.policy, config.limit_bytes, arena.class_count());
        let tuning_bytes = tuning.bytes();
        let charged = arena.charge(tuning_bytes);
        assert!(charged, "a small part of the smallest limit");
        let common = Common {
            arena: Arc::clone(&arena),
            hasher: config.hasher,
            policy: config.policy,
            tuning: Arc::new(tuning),
            value_bytes_max: config.value_bytes_max,
            shard_count: config.shards,
            created_at: config.clock.now(),
        };
        trace::built(config.limit_bytes, config.shards);
        let shard = |number| {
            let front = Arc::new(Front::new(&common.arena));
            let shard = Mutex::new(Shard::new(&common, number, &front));
            ShardCell {
                front: CachePadded::new(front),
                shard: CachePadded::new(shard),
            }
        };
        Ok(Self {
            shards: (0..config.shards).map(shard).collect(),
            tuning: common.tuning,
            arena,
            hasher: common.hasher.clone(),
            clock: config.clock,
            policy: config.policy,
            value_bytes_max: config.value_bytes_max,
            pinned_bytes_max: config.pinned_bytes_max,
            next_shard: AtomicU32::new(0),
            tuning_bytes,
            next_evicted: AtomicU32::new(0),
            flights: Flights::new(),
        })
    }

    /// The item under `key`, without a copy. Counts as a read. O(1).
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<ItemGuard<'_>> {
        self.access(key, Access::Read)
    }

    /// Shows the item under `key` to `look`, in place and without a lock. Counts as a read.
    /// O(1).
    pub fn get_with<R>(&self, key: &[u8], look: impl FnOnce(ItemView<'_>) -> R) -> Option<R> {
        self.look_at(key, Access::Read, look)
    }

    /// Appends the value under `key` to `buffer`; false if there is none. Counts as a read.
    /// O(value).
    pub fn get_into(&self, key: &[u8], buffer: &mut Vec<u8>) -> bool {
        let append = |item: ItemView<'_>| buffer.extend_from_slice(item.value());
        self.look_at(key, Access::Read, append).is_some()
    }

    /// The item under `key`, without counting as a read: neither order nor counters change.
    /// O(1).
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<ItemGuard<'_>> {
        self.access(key, Access::Peek)
    }

    /// Shows the item under `key` to `look` without counting as a read. O(1).
    pub fn peek_with<R>(&self, key: &[u8], look: impl FnOnce(ItemView<'_>) -> R) -> Option<R> {
        self.look_at(key, Access::Peek, look)
    }

    /// Whether there is an item under `key`. Does not count as a read. O(1).
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.look_at(key, Access::Peek, |_| ()).is_some()
    }

    /// Stores `value` under `key`, whatever was there. O(value).
    ///
    /// # Errors
    /// As [`store`](Self::store). After an error the key is absent: a stale value never outlives
    /// the attempt to overwrite it.
    pub fn set(&self, key: &[u8], value: &[u8], ttl: impl Into<Ttl>) -> Result<CasToken, Error> {
        match self.store(&Store::new(key, value).ttl(ttl))? {
            StoreOutcome::Stored(token) => Ok(token),
            refused => unreachable!("a set has no precondition: {refused:?}"),
        }
    }

    /// Stores `value` under `key` if the key is absent. O(value).
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn add(
        &self,
        key: &[u8],
        value: &[u8],
        ttl: impl Into<Ttl>,
    ) -> Result<StoreOutcome, Error> {
        self.store(&Store::new(key, value).ttl(ttl).mode(StoreMode::Add))
    }

    /// Stores `value` under `key` if the key is present. O(value).
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn replace(
        &self,
        key: &[u8],
        value: &[u8],
        ttl: impl Into<Ttl>,
    ) -> Result<StoreOutcome, Error> {
        self.store(&Store::new(key, value).ttl(ttl).mode(StoreMode::Replace))
    }

    /// Puts `value` behind the value under `key`. Flags and expiry stay. O(value), the old one included.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn append(&self, key: &[u8], value: &[u8]) -> Result<StoreOutcome, Error> {
        self.store(&Store::new(key, value).mode(StoreMode::Append))
    }

    /// Puts `value` before the value under `key`. Flags and expiry stay. O(value), the old one included.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn prepend(&self, key: &[u8], value: &[u8]) -> Result<StoreOutcome, Error> {
        self.store(&Store::new(key, value).mode(StoreMode::Prepend))
    }

    /// Stores `value` under `key` if the item there still carries `token`. Of any number of
    /// callers with one token, exactly one stores. O(value).
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn compare_and_swap(
        &self,
        key: &[u8],
        value: &[u8],
        token: CasToken,
        ttl: impl Into<Ttl>,
    ) -> Result<StoreOutcome, Error> {
        self.store(
            &Store::new(key, value)
                .ttl(ttl)
                .mode(StoreMode::CompareAndSwap(token)),
        )
    }

    /// A store in full: mode, flags and lifetime.
    /// O(value), and what it takes to find its memory: an eviction as a rule.
    ///
    /// # Errors
    /// [`Error::KeyEmpty`], [`Error::KeyTooLong`], [`Error::ValueTooLarge`] and
    /// [`Error::OutOfMemory`]. After a failed [`StoreMode::Set`] the key is absent; after a failed
    /// [`StoreMode::Append`] or [`StoreMode::Prepend`] the item stands as it was. Replace and
    /// compare-and-swap leave the item if the value is too large, and may drop it for want of
    /// memory.
    pub fn store(&self, store: &Store<'_>) -> Result<StoreOutcome, Error> {
        let hash = self.hash(store.key);
        // It comes while the clock is read and the lock is taken.
        self.shards[self.shard_of(hash)].front.prefetch(hash);
        self.store_at(store, hash, self.clock.now(), None)
    }

    /// As `store`, at `now` and under the key's hash; what was stored is shown to `look`.
    fn store_at(
        &self,
        store: &Store<'_>,
        hash: u64,
        now: Timestamp,
        mut look: Option<&mut dyn FnMut(ItemView<'_>)>,
    ) -> Result<StoreOutcome, Error> {
        check_key(store.key)?;
        if let Err(too_large) = self.check_value(store.value_bytes()) {
            if store.mode == StoreMode::Set {
                self.remove(store.key);
            }
            return Err(too_large);
        }
        if look.is_none() && self.fills_first(store) {
            return self.store_filled(store);
        }
        let bytes = HEADER_BYTES + store.key.len() + store.value_bytes();
        self.with_room(hash, now, bytes, |shard, attempt| {
            let outcome = shard.store(hash, now, store, attempt)?;
            if let (Some(look), StoreOutcome::Stored(_)) = (&mut look, outcome) {
                shard.see(hash, store.key, look);
            }
            Ok(outcome)
        })
    }

    /// Adds `delta` to the decimal number under `key`, wrapping at 2^64. `None` if it is absent.
    /// Flags and expiry stay. O(1).
    ///
    /// # Errors
    /// [`Error::NotANumber`], and those of [`update`](Self::update).
    pub fn incr(&self, key: &[u8], delta: u64) -> Result<Option<u64>, Error> {
        self.count(key, Step::Up(delta))
    }

    /// Subtracts `delta` from the decimal number under `key`, stopping at 0. `None` if it is
    /// absent. Flags and expiry stay. O(1).
    ///
    /// # Errors
    /// [`Error::NotANumber`], and those of [`update`](Self::update).
    pub fn decr(&self, key: &[u8], delta: u64) -> Result<Option<u64>, Error> {
        self.count(key, Step::Down(delta))
    }

    /// Gives the item under `key` a new lifetime; false if there is none. Counts as a read. The
    /// token stays. O(1).
    pub fn touch(&self, key: &[u8], ttl: impl Into<Ttl>) -> bool {
        self.access_and_touch(key, ttl.into()).is_some()
    }

    /// The item under `key`, which gets a new lifetime. Counts as a read. O(1).
    pub fn get_and_touch(&self, key: &[u8], ttl: impl Into<Ttl>) -> Option<ItemGuard<'_>> {
        self.access_and_touch(key, ttl.into())
    }

    /// Shows the item under `key` to `look`, and gives it a new lifetime. Counts as a read. O(1).
    pub fn get_and_touch_with<R>(
        &self,
        key: &[u8],
        ttl: impl Into<Ttl>,
        look: impl FnOnce(ItemView<'_>) -> R,
    ) -> Option<R> {
        let item = self.access_and_touch(key, ttl.into());
        item.map(|item| look(item.view()))
    }

    /// Shows the item under `key` to `edit` and does what it answers, as one step that no other
    /// caller comes between. Flags and expiry stay; a new value gets a new token.
    /// O(1), and O(value) for a new one.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`] and [`Error::OutOfMemory`]; the item stands as it was.
    pub fn update<'v>(
        &self,
        key: &[u8],
        edit: impl FnOnce(ItemView<'_>) -> Edit<'v>,
    ) -> Result<UpdateOutcome, Error> {
        let now = self.clock.now();
        let hash = self.hash(key);
        let mut shard = self.shard(hash, now);
        let edit = |view: ItemView<'_>| self.under_lock(|| edit(view));
        let Some((stamp, edit)) = shard.plan_edit(hash, key, now, edit) else {
            return Ok(UpdateOutcome::Missing);
        };
        let value = match edit {
            Edit::Keep => return Ok(UpdateOutcome::Kept),
            Edit::Remove => {
                shard.remove(hash, key, now);
                return Ok(UpdateOutcome::Removed);
            }
            Edit::Value(value) => value,
        };
        let refused = match shard.replace_value(hash, key, stamp, &value, now) {
            Ok(StoreOutcome::Stored(token)) => return Ok(UpdateOutcome::Stored(token)),
            Ok(other) => unreachable!("the lock was held throughout: {other:?}"),
            Err(refused @ Error::OutOfMemory { .. }) => refused,
            Err(error) => return Err(error),
        };
        drop(shard);
        // The shard itself had nothing to give. The others may, but the item can change meanwhile:
        // its stamp tells, and then the edit is refused as if no memory had been found.
        let bytes = HEADER_BYTES + key.len() + value.len();
        let retried = self.with_room(hash, now, bytes, |shard, _| {
            shard.replace_value(hash, key, stamp, &value, now)
        });
        match retried {
            Ok(StoreOutcome::Stored(token)) => Ok(UpdateOutcome::Stored(token)),
            Ok(_) => Err(refused),
            Err(error) => Err(error),
        }
    }

    fn check_value(&self, value_bytes: usize) -> Result<(), Error> {
        Error::unless_value_fits(value_bytes, self.value_bytes_max())
    }

    fn count(&self, key: &[u8], step: Step) -> Result<Option<u64>, Error> {
        let mut counted = Err(Error::NotANumber);
        let outcome = self.update(key, |view| match counter::parse(view.value()) {
            None => Edit::Keep,
            Some(number) => {
                let number = step.apply(number);
                counted = Ok(number);
                Edit::Value(number.to_string().into_bytes().into())
            }
        })?;
        match outcome {
            UpdateOutcome::Missing => Ok(None),
            _ => counted.map(Some),
        }
    }

    fn access_and_touch(&self, key: &[u8], ttl: Ttl) -> Option<ItemGuard<'_>> {
        let now = self.clock.now();
        let access = Access::Touch(ttl.expires_at(now));
        self.access_at(key, self.hash(key), Moment::exact(now), access)
    }

    /// Runs `store` on the shard of `hash` until it finds memory: when the shard has nothing left to
    /// give, the others are asked, one at a time and never two locked together. When none can give
    /// anything, `store` runs a last time.
    fn with_room<T>(
        &self,
        hash: u64,
        now: Timestamp,
        item_bytes: usize,
        mut store: impl FnMut(&mut Shard, Attempt) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let own = self.shard_of(hash);
        let mut tries = ROOM_TRIES + item_bytes / crate::arena::PAGE_BYTES_MIN * 2;
        loop {
            // A statement of its own: the lock must be free again when others are asked.
            let result = store(&mut self.shard(hash, now), Attempt::Retryable);
            match result {
                Err(Error::OutOfMemory { .. }) if tries > 0 && self.give_up_elsewhere(own, now) => {
                    // While a smaller limit is being reached, what is given goes to that: it is
                    // progress, but not yet ours, and ends when the limit holds.
                    if !self.arena.is_over_limit() {
                        tries -= 1;
                    }
                }
                Err(Error::OutOfMemory { .. }) => {
                    return store(&mut self.shard(hash, now), Attempt::Last);
                }
                result => return result,
            }
        }
    }

    /// Has one shard other than `own` give memory to the pool; false if none can.
    fn give_up_elsewhere(&self, own: usize, now: Timestamp) -> bool {
        if self.policy == Policy::NoEviction {
            return false;
        }
        let others = (1..self.shards.len()).map(|step| (own + step) % self.shards.len());
        others
            .into_iter()
            .any(|number| self.lock(number).give_up_memory(now))
    }

    fn shard(&self, hash: u64, now: Timestamp) -> Held<'_> {
        self.settled(self.shard_of(hash), now)
    }

    /// Bits 32 and up choose the shard: the index uses the lowest and the seven highest.
    fn shard_of(&self, hash: u64) -> usize {
        usize::try_from(hash >> 32).expect("usize has 64 bits") & (self.shards.len() - 1)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }
}

const _: () = assert!(
    usize::BITS == 64,
    "the arena's address space needs 64-bit offsets"
);

fn check_key(key: &[u8]) -> Result<(), Error> {
    match key.len() {
        0 => Err(Error::KeyEmpty),
        1..=KEY_BYTES_MAX => Ok(()),
        key_bytes => Err(Error::KeyTooLong { key_bytes }),
    }
}
