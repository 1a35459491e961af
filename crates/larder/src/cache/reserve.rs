//! Large values: memory is found and filled while no lock is held.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Cache, check_key};
use crate::arena::{Arena, Claim, Filled, Grown, Run};
use crate::error::Error;
use crate::op::{Store, StoreMode, StoreOptions, StoreOutcome};
use crate::time::{Timestamp, Ttl};

/// Memory for one value, to be filled and then stored by [`commit`](Self::commit). Dropped before that,
/// it leaves no trace.
///
/// The memory of a large value is the cache's own, so that a value that comes from elsewhere (a socket, a
/// file) is written once, into its place. Nobody waits while it is filled. It dereferences to the value's
/// bytes; those that are not written are unspecified.
#[derive(Debug)]
pub struct Reservation<'c> {
    cache: Whose<'c>,
    key: Box<[u8]>,
    flags: u32,
    ttl: Ttl,
    mode: StoreMode,
    options: StoreOptions,
    memory: Memory,
}

/// The cache that a reservation is for.
#[derive(Debug)]
enum Whose<'c> {
    Borrowed(&'c Cache),
    Shared(Arc<Cache>),
}

impl Deref for Whose<'_> {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        match self {
            Self::Borrowed(cache) => cache,
            Self::Shared(cache) => cache,
        }
    }
}

#[derive(Debug)]
enum Memory {
    Run {
        run: Run,
        value_at: usize,
        value_bytes: usize,
    },
    /// A small value, copied to its chunk in the end.
    Buffer(Vec<u8>),
}

/// Values from here on are copied to their place before the shard is locked.
const UNLOCKED_VALUE_BYTES: usize = 128 << 10;
/// How often others may take what was freed for a reservation, besides once for each page.
const CLAIM_TRIES: usize = 1024;

impl Cache {
    /// Memory for a value of `value_bytes` under `key`: [`reserve_for`](Self::reserve_for) a plain set
    /// that never expires. O(pages given up).
    ///
    /// ```
    /// # let cache = larder::Cache::with_limit(16 << 20)?;
    /// let mut value = cache.reserve(b"report", 2 << 20)?;
    /// value.fill(7);
    /// let outcome = value.commit()?;
    /// # assert!(matches!(outcome, larder::StoreOutcome::Stored(_)));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`reserve_for`](Self::reserve_for).
    pub fn reserve(&self, key: &[u8], value_bytes: usize) -> Result<Reservation<'_>, Error> {
        self.reserve_for(&Store::new(key, b""), value_bytes)
    }

    /// Memory for a value of `value_bytes` that `store`, whose own value must be empty, will store. Room is
    /// made a page at a time, with one shard locked at a time. Whether the store takes place is
    /// decided by `commit`; an item that it needs may be evicted to make room. O(pages given up).
    ///
    /// # Errors
    /// As [`store`](Self::store); what stands under the key stays.
    ///
    /// # Panics
    /// If `store` has a value, or is an append or a prepend, which have no memory of their own.
    pub fn reserve_for(
        &self,
        store: &Store<'_>,
        value_bytes: usize,
    ) -> Result<Reservation<'_>, Error> {
        self.reserve_in(Whose::Borrowed(self), store, value_bytes)
    }

    /// As [`reserve_for`](Self::reserve_for), for whoever fills it later and elsewhere: the reservation keeps
    /// the cache. O(pages given up).
    ///
    /// # Errors
    /// As [`store`](Self::store); what stands under the key stays.
    ///
    /// # Panics
    /// As [`reserve_for`](Self::reserve_for).
    pub fn reserve_shared(
        self: &Arc<Self>,
        store: &Store<'_>,
        value_bytes: usize,
    ) -> Result<Reservation<'static>, Error> {
        self.reserve_in(Whose::Shared(Arc::clone(self)), store, value_bytes)
    }

    fn reserve_in<'c>(
        &self,
        cache: Whose<'c>,
        store: &Store<'_>,
        value_bytes: usize,
    ) -> Result<Reservation<'c>, Error> {
        assert!(store.value.is_empty(), "the value comes later");
        assert!(
            !matches!(store.mode, StoreMode::Append | StoreMode::Prepend),
            "a value that is joined to another has no place of its own"
        );
        check_key(store.key)?;
        self.check_value(value_bytes)?;
        let lengths = crate::arena::item_lengths(store, value_bytes);
        let memory = if self.arena.is_large(lengths.item_bytes()) {
            let now = self.clock.now();
            let run = self.claim(lengths.item_bytes(), now)?;
            Memory::Run {
                run,
                value_at: Arena::run_key_at(lengths.header_bytes()) + store.key.len(),
                value_bytes,
            }
        } else {
            Memory::Buffer(vec![0; value_bytes])
        };
        Ok(Reservation {
            cache,
            key: store.key.into(),
            flags: store.flags,
            ttl: store.ttl,
            mode: store.mode,
            options: store.options,
            memory,
        })
    }

    /// Whether a store of this value does better to find and fill its memory first. One that needs its
    /// key does not: what makes room might take that very item.
    pub(super) fn fills_first(&self, store: &Store<'_>) -> bool {
        let long = store.value.len() >= UNLOCKED_VALUE_BYTES && store.filled.is_none();
        long && match store.mode {
            StoreMode::Set => true,
            StoreMode::Add => !self.contains(store.key),
            _ => false,
        }
    }

    /// As `store`, by way of a reservation. After a failed set the key is absent.
    pub(super) fn store_filled(&self, store: &Store<'_>) -> Result<StoreOutcome, Error> {
        let empty = Store {
            value: b"",
            ..*store
        };
        let bytes = store.value.len();
        let reserved = match self.reserve_for(&empty, bytes) {
            // The old value goes for the new one, where there is no room for both.
            Err(Error::OutOfMemory { .. }) if store.mode == StoreMode::Set => {
                self.remove(store.key);
                self.reserve_for(&empty, bytes)
            }
            reserved => reserved,
        };
        let mut reservation = reserved?;
        reservation.copy_from_slice(store.value);
        reservation.commit()
    }

    /// A run for an item of `item_bytes`.
    fn claim(&self, item_bytes: usize, now: Timestamp) -> Result<Run, Error> {
        let mut claim = Claim::new(&self.arena, item_bytes);
        let page_bytes = self.arena.page_bytes();
        let mut tries = CLAIM_TRIES + 4 * item_bytes / page_bytes;
        let mut number = 0;
        let mut in_vain = 0;
        loop {
            match claim.grow() {
                Grown::Whole => break,
                Grown::Some => in_vain = 0,
                Grown::Nothing if self.arena.empty_trash() => {}
                Grown::Nothing if in_vain == self.shards.len() || tries == 0 => {
                    return Err(self.no_room_for(item_bytes));
                }
                Grown::Nothing => {
                    let gave = self.lock(number).give_up_memory(now);
                    in_vain = if gave { 0 } else { in_vain + 1 };
                    number = (number + 1) % self.shards.len();
                    tries -= 1;
                }
            }
        }
        claim.into_run().ok_or_else(|| self.no_room_for(item_bytes))
    }

    fn no_room_for(&self, item_bytes: usize) -> Error {
        self.lock(0).out_of_memory(item_bytes)
    }
}

impl Reservation<'_> {
    /// Stores the value, if the mode of the store allows it then. O(1) for a large value, else as
    /// [`Cache::store`].
    ///
    /// # Errors
    /// As [`Cache::store`].
    pub fn commit(self) -> Result<StoreOutcome, Error> {
        let store = |value| Store {
            key: &self.key,
            value,
            flags: self.flags,
            ttl: self.ttl,
            mode: self.mode,
            options: self.options,
            filled: None,
        };
        match self.memory {
            Memory::Buffer(ref value) => self.cache.store(&store(value)),
            Memory::Run {
                run, value_bytes, ..
            } => {
                let filled = Filled::new(run, value_bytes);
                self.cache.store(&Store {
                    filled: Some(&filled),
                    ..store(b"")
                })
            }
        }
    }

    /// Leaves the memory to whoever stores it otherwise: the value, or the run that it was filled in.
    pub(super) fn into_memory(self) -> (Vec<u8>, Option<Filled>) {
        match self.memory {
            Memory::Buffer(value) => (value, None),
            Memory::Run {
                run, value_bytes, ..
            } => (Vec::new(), Some(Filled::new(run, value_bytes))),
        }
    }
}

impl Deref for Reservation<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Buffer(value) => value,
            Memory::Run {
                run,
                value_at,
                value_bytes,
            } => run.shown(*value_at, *value_bytes),
        }
    }
}

impl DerefMut for Reservation<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Buffer(value) => value,
            Memory::Run {
                run,
                value_at,
                value_bytes,
            } => run.part(*value_at, *value_bytes),
        }
    }
}
