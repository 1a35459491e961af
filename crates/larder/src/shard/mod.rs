//! Everything behind one lock: every decision of store, read, touch, delete, expire and evict.
//!
//! `Shard` alone combines index, policy, expiry and slab; they never see each other. All methods
//! take `&mut self`: holding the lock is a type, not a comment. Time and hashes come from outside.
//!
//! What makes room is in room.rs. When nothing does, the answer is [`Error::OutOfMemory`], and the
//! cache asks the other shards to give something up.

mod clear;
mod cursor;
mod maintain;
mod observe;
mod revise;
mod room;
mod stale;
mod validate;

pub(crate) use observe::Observer;

use std::sync::Arc;

use crate::arena::{Arena, Freed, ItemId, NewItem, Side, SizeClass, Slab};
use crate::error::Error;
use crate::index::Index;
use crate::op::{CasToken, Edit, ItemView, Store, StoreMode, StoreOutcome};
use crate::policy::{Lru, Policy};
use crate::shard::maintain::LargeSweep;
use crate::stats::Counters;
use crate::time::{EPOCH, ExpiresAt, Timestamp};

/// One part of the cache's keys, with the memory that their items are in.
#[derive(Debug)]
pub(crate) struct Shard {
    slab: Slab,
    arena: Arc<Arena>,
    index: Index,
    /// By size class.
    lru: Box<[Lru]>,
    hasher: ahash::RandomState,
    policy: Policy,
    value_bytes_max: usize,
    /// The shard's number: the remainder of its tokens by `cas_step`.
    number: u64,
    /// The last token issued. Tokens step by the number of shards, so that those of shards never
    /// meet.
    last_cas: u64,
    cas_step: u64,
    /// Nothing was stored before this.
    created_at: Timestamp,
    /// Everything stored before this instant goes when it comes.
    pending_clear: Option<Timestamp>,
    /// The class that the next call of `maintain` begins with.
    next_class: usize,
    large_sweep: LargeSweep,
    /// Bytes of the live items, headers included.
    item_bytes: usize,
    counters: Counters,
    observer: Observer,
}

/// What a read does to the item besides showing it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    /// Nothing: neither order nor counters change.
    Peek,
    /// It becomes the most recently used of its class.
    Read,
    /// As `Read`, and it expires then.
    Touch(ExpiresAt),
}

/// What a store may do when its own shard has no memory left to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Fail, and leave the item that it would replace: another shard may give memory.
    Retryable,
    /// Give up the item that it would replace, for its memory.
    Last,
}

/// What the shards of one cache have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) arena: Arc<Arena>,
    pub(crate) hasher: ahash::RandomState,
    pub(crate) policy: Policy,
    pub(crate) value_bytes_max: usize,
    pub(crate) shard_count: usize,
    pub(crate) created_at: Timestamp,
}

impl Shard {
    /// Shard number `number` of `common.shard_count`.
    pub(crate) fn new(common: &Common, number: usize) -> Self {
        let slab = Slab::new(Arc::clone(&common.arena));
        Self {
            lru: (0..slab.class_count()).map(|_| Lru::default()).collect(),
            slab,
            arena: Arc::clone(&common.arena),
            index: Index::new(Arc::clone(&common.arena)),
            hasher: common.hasher.clone(),
            policy: common.policy,
            value_bytes_max: common.value_bytes_max,
            number: number as u64,
            last_cas: number as u64,
            cas_step: common.shard_count as u64,
            created_at: common.created_at,
            pending_clear: None,
            next_class: 0,
            large_sweep: LargeSweep::default(),
            item_bytes: 0,
            counters: Counters::default(),
            observer: Observer::default(),
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn item_count(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn item_bytes(&self) -> usize {
        self.item_bytes
    }

    pub(crate) fn index_bytes(&self) -> usize {
        self.index.bytes()
    }

    /// Shows a live item to `look`, then does what `access` says. O(1).
    pub(crate) fn read<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        access: Access,
        look: impl FnOnce(ItemView<'_>) -> R,
    ) -> Option<R> {
        let counted = !matches!(access, Access::Peek);
        let Some(id) = self.find(hash, key) else {
            self.counters.misses += u64::from(counted);
            return None;
        };
        if self.slab.expires_at(id).is_past(now) {
            self.counters.misses += u64::from(counted);
            self.counters.misses_expired += u64::from(counted);
            self.expire(id);
            return None;
        }
        let seen = look(self.slab.view(id));
        match access {
            Access::Peek => {}
            Access::Read => self.bump(id, now),
            Access::Touch(expires_at) => {
                self.bump(id, now);
                self.slab.set_expires_at(id, expires_at);
            }
        }
        self.counters.hits += u64::from(counted);
        Some(seen)
    }

    /// Stores as the mode says. O(1) but for evictions, one item or one page at a time.
    pub(crate) fn store(
        &mut self,
        hash: u64,
        now: Timestamp,
        store: &Store<'_>,
        attempt: Attempt,
    ) -> Result<StoreOutcome, Error> {
        let found = self.find_live(hash, store.key, now);
        let existing = match (store.mode, found) {
            (StoreMode::Set, found) => found,
            (StoreMode::Add, None) => None,
            (StoreMode::Add, Some(id)) => {
                self.bump_unfetched(id, now);
                return Ok(StoreOutcome::KeyExists);
            }
            (StoreMode::Append | StoreMode::Prepend, None) if store.options.or_create => None,
            (_, None) => return Ok(StoreOutcome::KeyMissing),
            (StoreMode::Replace, found) => found,
            (StoreMode::CompareAndSwap(token), Some(id)) => {
                if !self.carries(id, token) {
                    return self.store_stale(hash, now, id, token, store, attempt);
                }
                found
            }
            (StoreMode::Append, Some(id)) => {
                return self.join_as_told(hash, now, id, store, Side::Back);
            }
            (StoreMode::Prepend, Some(id)) => {
                return self.join_as_told(hash, now, id, store, Side::Front);
            }
        };
        let cas = self.next_token(now);
        let expires_at = store.ttl.expires_at(now);
        let Store {
            key,
            value,
            flags,
            options,
            ..
        } = *store;
        if expires_at.is_past(now) {
            if let Some(id) = existing {
                self.delete(id);
            }
        } else {
            let item = NewItem {
                key,
                value,
                flags,
                expires_at,
                cas,
                chosen: options.token,
                marked: options.marked,
                now,
            };
            self.put(hash, existing, &item, attempt)?;
        }
        self.counters.stores += 1;
        Ok(StoreOutcome::Stored(options.token.unwrap_or(cas)))
    }

    /// Shows a live item to `edit` and returns its answer with the stamp of what it saw.
    pub(crate) fn plan_edit<'v>(
        &mut self,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        edit: impl FnOnce(ItemView<'_>) -> Edit<'v>,
    ) -> Option<(CasToken, Edit<'v>)> {
        let id = self.find_live(hash, key, now)?;
        Some((self.slab.tokens(id).0, edit(self.slab.view(id))))
    }

    /// Replaces the value of the item that still has `stamp`; key, flags and expiry stay.
    pub(crate) fn replace_value(
        &mut self,
        hash: u64,
        key: &[u8],
        stamp: CasToken,
        value: &[u8],
        now: Timestamp,
    ) -> Result<StoreOutcome, Error> {
        self.check_value(value.len())?;
        let Some(id) = self.find_live(hash, key, now) else {
            return Ok(StoreOutcome::KeyMissing);
        };
        if self.slab.tokens(id).0 != stamp {
            return Ok(StoreOutcome::CasMismatch);
        }
        let cas = self.next_token(now);
        let item_bytes = self.slab.item_bytes_with(id, value.len());
        self.change(hash, id, now, item_bytes, |slab, id| {
            slab.replace(id, value, cas, now)
        })?;
        Ok(StoreOutcome::Stored(cas))
    }

    /// Removes the live item under `key`; false if there is none. O(1).
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8], now: Timestamp) -> bool {
        let found = self.find_live(hash, key, now);
        if let Some(id) = found {
            self.delete(id);
        }
        found.is_some()
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<ItemId> {
        self.index.find(hash, |id| self.slab.key(id) == key)
    }

    /// The item under `key`, unless its time has passed: then it is expired here.
    fn find_live(&mut self, hash: u64, key: &[u8], now: Timestamp) -> Option<ItemId> {
        let id = self.find(hash, key)?;
        if self.slab.expires_at(id).is_past(now) {
            self.expire(id);
            return None;
        }
        Some(id)
    }

    fn bump(&mut self, id: ItemId, now: Timestamp) {
        self.bump_unfetched(id, now);
        self.slab.mark_fetched(id);
    }

    fn bump_unfetched(&mut self, id: ItemId, now: Timestamp) {
        let class = self.slab.class_of(id);
        self.lru[class.index()].bump(&mut self.slab, id);
        self.slab.set_accessed_at(id, now);
    }

    /// A token never issued before: the millisecond in its upper bits, or the one after the last if
    /// this millisecond has run out of tokens; below it a number that no other shard has.
    fn next_token(&mut self, now: Timestamp) -> CasToken {
        let millis = now.since(EPOCH).as_millis().min((1 << 40) - 1);
        let millis = u64::try_from(millis).expect("40 bits");
        let of_now = (millis << CasToken::TIME_SHIFT) + self.number;
        self.last_cas = of_now.max(self.last_cas + self.cas_step);
        CasToken::from_u64(self.last_cas)
    }

    /// Joins `extra` to the live item `id`. On an error the item stays as it was.
    fn join(
        &mut self,
        hash: u64,
        id: ItemId,
        extra: &[u8],
        side: Side,
        now: Timestamp,
    ) -> Result<StoreOutcome, Error> {
        let value_bytes = self.slab.view(id).value().len() + extra.len();
        self.check_value(value_bytes)?;
        let cas = self.next_token(now);
        let item_bytes = self.slab.item_bytes_with(id, value_bytes);
        self.change(hash, id, now, item_bytes, |slab, id| {
            slab.joined(id, extra, side, cas, now)
        })?;
        Ok(StoreOutcome::Stored(cas))
    }

    /// Changes the live item `id` by `write`, which works in place or makes a new item (and is
    /// called again after room was made). The item stays as it was if no room can be made.
    fn change(
        &mut self,
        hash: u64,
        id: ItemId,
        now: Timestamp,
        item_bytes: usize,
        mut write: impl FnMut(&mut Slab, ItemId) -> Option<ItemId>,
    ) -> Result<(), Error> {
        let old_bytes = self.slab.item_bytes(id);
        let class = self.slab.class_for(item_bytes);
        let new = loop {
            match write(&mut self.slab, id) {
                Some(new) => break new,
                None if self.make_room(class, Some(id), now) => {}
                None => return Err(self.out_of_memory(item_bytes)),
            }
        };
        if new == id {
            let new_bytes = self.slab.item_bytes(id);
            self.item_bytes = self.item_bytes - old_bytes + new_bytes;
            self.bump_unfetched(id, now);
        } else {
            self.swap(hash, id, new);
        }
        self.counters.stores += 1;
        Ok(())
    }

    /// Stores `item` in the place of `existing`, if any. On an error `existing` is as it was, but
    /// gone after the last attempt.
    fn put(
        &mut self,
        hash: u64,
        existing: Option<ItemId>,
        item: &NewItem<'_>,
        attempt: Attempt,
    ) -> Result<(), Error> {
        let item_bytes = item.item_bytes();
        if let Some(old) = existing {
            let old_bytes = self.slab.item_bytes(old);
            if self.slab.store_over(old, item) {
                self.item_bytes = self.item_bytes - old_bytes + item_bytes;
                self.bump_unfetched(old, item.now);
                return Ok(());
            }
            if let Some(new) = self.allocate(item, existing) {
                self.swap(hash, old, new);
                return Ok(());
            }
            if attempt == Attempt::Retryable {
                return Err(self.out_of_memory(item_bytes));
            }
            // Nothing but the old item is left to make room: its value is not wanted any more.
            self.delete(old);
        }
        let slot_reserved = self.reserve_index(hash, item.now);
        let Some(id) = slot_reserved.then(|| self.allocate(item, None)).flatten() else {
            return Err(self.out_of_memory(item_bytes));
        };
        self.index.insert(hash, id);
        self.link(id);
        Ok(())
    }

    /// A chunk with `item` in it, in no list yet; room is made, but not by evicting `keep`.
    fn allocate(&mut self, item: &NewItem<'_>, keep: Option<ItemId>) -> Option<ItemId> {
        let class = self.slab.class_for(item.item_bytes());
        loop {
            match self.slab.store(item) {
                Some(id) => return Some(id),
                None if self.make_room(class, keep, item.now) => {}
                None => return None,
            }
        }
    }

    /// Makes sure that the index has a slot for `hash`; room for its growth is made by evicting.
    fn reserve_index(&mut self, hash: u64, now: Timestamp) -> bool {
        loop {
            let Self {
                index,
                slab,
                hasher,
                ..
            } = self;
            if index.reserve(hash, |id| hasher.hash_one(slab.key(id))) {
                return true;
            }
            let evicts = self.policy != Policy::NoEviction;
            let large = self.slab.large_class();
            if !(self.expire_for_room(large, now) || evicts && self.release_oldest(None)) {
                return false;
            }
        }
    }

    fn link(&mut self, id: ItemId) {
        let class = self.slab.class_of(id);
        self.item_bytes += self.slab.item_bytes(id);
        self.lru[class.index()].push(&mut self.slab, id);
    }

    /// Puts `new` in the place of `old`, which is freed.
    fn swap(&mut self, hash: u64, old: ItemId, new: ItemId) {
        self.index.swap(hash, old, new);
        self.link(new);
        self.free(old);
    }

    /// Takes an item out of index and list and frees it.
    fn unlink(&mut self, id: ItemId) -> Freed {
        let hash = self.hasher.hash_one(self.slab.key(id));
        self.index.remove(hash, id);
        self.free(id)
    }

    /// Takes an item that the index has dropped out of its list and frees it.
    fn free(&mut self, id: ItemId) -> Freed {
        if self.large_sweep.next == Some(id) {
            self.large_sweep.next = Lru::newer(&self.slab, id);
        }
        let class = self.slab.class_of(id);
        self.lru[class.index()].remove(&mut self.slab, id);
        self.item_bytes -= self.slab.item_bytes(id);
        self.slab.free(id)
    }

    fn delete(&mut self, id: ItemId) {
        self.counters.deletes += 1;
        self.unlink(id);
    }

    fn expire(&mut self, id: ItemId) -> Freed {
        self.counters.expirations += 1;
        self.counters.expired_unfetched += u64::from(!self.slab.is_fetched(id));
        self.unlink(id)
    }

    fn evict(&mut self, id: ItemId) -> Freed {
        self.show_evicted(id);
        self.counters.evictions += 1;
        self.counters.evicted_unfetched += u64::from(!self.slab.is_fetched(id));
        self.unlink(id)
    }

    fn all_classes(&self) -> impl Iterator<Item = SizeClass> + use<> {
        SizeClass::first(self.slab.class_count())
    }

    fn check_value(&self, value_bytes: usize) -> Result<(), Error> {
        let value_bytes_max = self.value_bytes_max.min(self.arena.limit_bytes() / 2);
        if value_bytes > value_bytes_max {
            return Err(Error::ValueTooLarge {
                value_bytes,
                value_bytes_max,
            });
        }
        Ok(())
    }

    fn out_of_memory(&mut self, item_bytes: usize) -> Error {
        self.counters.out_of_memory += 1;
        Error::OutOfMemory {
            item_bytes,
            limit_bytes: self.arena.limit_bytes(),
        }
    }
}
