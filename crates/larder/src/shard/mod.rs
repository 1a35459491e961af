//! Everything behind one lock: every decision of store, read, touch, delete, expire and evict.
//!
//! `Shard` alone combines index, policy, expiry and slab; they never see each other. All methods
//! take `&mut self`: holding the lock is a type, not a comment. Time and hashes come from outside.
//!
//! What makes room is in room.rs. When nothing does, the answer is [`Error::OutOfMemory`], and the
//! cache asks the other shards to give something up.

mod change;
mod classes;
mod clear;
mod cursor;
mod elsewhere;
mod front;
mod listen;
mod maintain;
mod observe;
mod prefetch;
mod remove;
mod revise;
mod room;
mod save;
mod stale;
mod validate;

pub(crate) use elsewhere::Watcher;
pub(crate) use front::Front;
pub(crate) use observe::Observer;
pub(crate) use remove::Sweep;
pub(crate) use save::{Restoring, Returned};

use std::any::Any;
use std::mem::offset_of;
use std::sync::Arc;

use crate::arena::{Arena, ItemId, Measured, NewItem, Place, Side, SizeClass, Slab, State};
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::hasher::KeyHasher;
use crate::index::{Index, Position};
use crate::op::{CasToken, Edit, ItemView, Store, StoreMode, StoreOutcome};
use crate::policy::{Adaptive, AdaptiveParts, Order, Policy, Standing, Tuning};
use crate::removal::{Cause, Outbox};
use crate::shard::classes::Classes;
use crate::shard::maintain::LargeSweep;
use crate::stats::{Counters, Memory};
use crate::time::{EPOCH, ExpiresAt, Timestamp};

/// One part of the cache's keys, with the memory that their items are in.
///
/// Threads that store pass a shard's lines from processor to processor. So what every store writes is in two of them:
/// that of the lock, and the one that begins with the last fields of `slab`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shard {
    index: Index,
    /// The last token issued. Tokens step by the number of shards, so that those of shards never
    /// meet.
    last_cas: u64,
    slab: Slab,
    /// Bytes of the live items, headers included.
    item_bytes: usize,
    counters: Counters,
    order: Order,
    classes: Classes,
    arena: Arc<Arena>,
    front: Arc<Front>,
    hasher: KeyHasher,
    policy: Policy,
    value_bytes_max: usize,
    /// The shard's number: the remainder of its tokens by `cas_step`.
    number: u64,
    cas_step: u64,
    /// Nothing was stored before this.
    created_at: Timestamp,
    /// Everything stored before this instant goes when it comes.
    pending_clear: Option<Timestamp>,
    /// The bucket that a clear in steps goes on with.
    clear_from: usize,
    /// The class that the next call of `maintain` begins with.
    next_class: usize,
    large_sweep: LargeSweep,
    observer: Observer,
    /// Who is told of values elsewhere that nothing refers to any more.
    watcher: Watcher,
    /// What is kept for a listener, if there is one.
    outbox: Option<Box<Outbox>>,
    /// What an observer panicked with.
    panic: Option<Box<dyn Any + Send>>,
}

/// The lock stands before a shard in a line, with the alignment of a word.
const LOCK_BYTES: usize = 8;
const _: () = assert!(
    (LOCK_BYTES + offset_of!(Shard, item_bytes)) % 64 == 40,
    "the last 40 bytes of the slab, and the first three words behind it, are a line"
);

/// A live item as it was met. Where the index has it is true as long as nothing is stored or removed.
#[derive(Clone, Copy, Debug)]
struct Met {
    place: Place,
    position: Position,
}

impl Met {
    fn id(self) -> ItemId {
        self.position.id()
    }
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
    pub(crate) hasher: KeyHasher,
    pub(crate) policy: Policy,
    pub(crate) tuning: Arc<Tuning>,
    pub(crate) value_bytes_max: usize,
    pub(crate) shard_count: usize,
    pub(crate) created_at: Timestamp,
}

impl Shard {
    /// Shard number `number` of `common.shard_count`.
    pub(crate) fn new(common: &Common, number: usize, front: &Arc<Front>) -> Self {
        let slab = Slab::new(Arc::clone(&common.arena));
        let order = Order::new(common.policy, &slab, || {
            let parts = AdaptiveParts {
                arena: &common.arena,
                hasher: &common.hasher,
                tuning: &common.tuning,
                uses: front.uses(),
                shard_count: common.shard_count,
            };
            Adaptive::new(&parts, &slab)
        });
        Self {
            order,
            slab,
            arena: Arc::clone(&common.arena),
            front: Arc::clone(front),
            index: Index::new(Arc::clone(front.buckets())),
            hasher: common.hasher.clone(),
            policy: common.policy,
            value_bytes_max: common.value_bytes_max,
            number: number as u64,
            last_cas: number as u64,
            cas_step: common.shard_count as u64,
            created_at: common.created_at,
            pending_clear: None,
            clear_from: 0,
            next_class: 0,
            large_sweep: LargeSweep::default(),
            item_bytes: 0,
            counters: Counters::default(),
            classes: Classes::new(common.arena.class_count(), common.created_at),
            observer: Observer::default(),
            watcher: Watcher::default(),
            outbox: None,
            panic: None,
        }
    }

    /// What was counted under the lock and in front of it.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            hits: self.counters.hits + self.front.hits(),
            ..self.counters
        }
    }

    pub(crate) fn item_count(&self) -> usize {
        self.index.len()
    }

    /// Bytes that the policy has outside of pages.
    pub(crate) fn order_bytes(&self) -> usize {
        self.order.charged_bytes()
    }

    /// What the shard's memory holds.
    pub(crate) fn memory(&self) -> Memory {
        let mut memory = self.slab.memory(self.item_bytes);
        memory.index_bytes = self.index.bytes();
        memory.policy_bytes += self.order.charged_bytes();
        memory
    }

    /// A live item, to be shown once the lock is free; does what `access` says. O(1), and a copy of the item
    /// if this thread reads as many as it can.
    pub(crate) fn read<'c>(
        &mut self,
        arena: &'c Arena,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        access: Access,
    ) -> Option<ItemGuard<'c>> {
        debug_assert!(std::ptr::eq(arena, &raw const *self.arena));
        let counted = !matches!(access, Access::Peek);
        let Some(met) = self.meet(hash, key) else {
            self.note_miss(hash, counted);
            return None;
        };
        let (id, place) = (met.id(), met.place);
        if self.slab.expires_at_place(place).is_past(now) {
            self.counters.misses_expired += u64::from(counted);
            self.note_miss(hash, counted);
            self.expire(id);
            return None;
        }
        let guard = if let Some(pinned) = self.slab.pin_if_large(id) {
            ItemGuard::pinned(pinned)
        } else if let Some(found) = self.slab.found(arena, id) {
            ItemGuard::shown(found.show())
        } else {
            ItemGuard::copy_of(&self.slab.view_at(place))
        };
        if counted {
            self.note_hit(hash, id, place, now);
        }
        if let Access::Touch(expires_at) = access {
            self.slab.set_expires_at(id, expires_at);
        }
        Some(guard)
    }

    fn note_miss(&mut self, hash: u64, counted: bool) {
        if counted {
            self.counters.misses += 1;
            self.order.note_read(&self.slab, hash, None);
        }
    }

    fn note_hit(&mut self, hash: u64, id: ItemId, place: Place, now: Timestamp) {
        self.counters.hits += 1;
        let state = self.slab.state_at(place).fetched().used();
        self.slab.note_use(place, now, state);
        self.order.bump(&mut self.slab, id, place);
        self.order.note_read(&self.slab, hash, Some(id));
    }

    /// Stores as the mode says. O(1) but for evictions, one item or one page at a time.
    pub(crate) fn store(
        &mut self,
        hash: u64,
        now: Timestamp,
        store: &Store<'_>,
        attempt: Attempt,
    ) -> Result<StoreOutcome, Error> {
        self.order.prefetch(hash);
        self.prefetch_books(self.slab.class_for(store.item_bytes()));
        let found = self.meet_live(hash, store.key, now);
        match (store.mode, found) {
            (StoreMode::Set, _) | (StoreMode::Add, None) => {}
            (StoreMode::Add, Some(met)) => {
                self.note_written(met.id(), met.place, now);
                return Ok(StoreOutcome::KeyExists);
            }
            (StoreMode::Append | StoreMode::Prepend, None) if store.options.or_create => {}
            (StoreMode::Append | StoreMode::Prepend, Some(met))
                if self.is_out_of_reach(met.id(), store) =>
            {
                return Ok(StoreOutcome::KeyMissing);
            }
            (_, None) => return Ok(StoreOutcome::KeyMissing),
            (StoreMode::Replace, _) => {}
            (StoreMode::CompareAndSwap(token), Some(met)) => {
                if !self.carries(met.id(), token) {
                    return self.store_stale(hash, now, met, token, store, attempt);
                }
            }
            (StoreMode::Append, Some(met)) => {
                return self.join_as_told(hash, now, met, store, Side::Back);
            }
            (StoreMode::Prepend, Some(met)) => {
                return self.join_as_told(hash, now, met, store, Side::Front);
            }
        }
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
            if let Some(met) = found {
                self.delete(met.id());
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
                filled: store.filled,
                elsewhere: false,
            }
            .measured();
            self.put(hash, found, &item, attempt)?;
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

    fn find(&self, hash: u64, key: &[u8]) -> Option<ItemId> {
        self.meet(hash, key).map(Met::id)
    }

    fn meet(&self, hash: u64, key: &[u8]) -> Option<Met> {
        let (place, position) = self.index.find(hash, |id| {
            let place = self.slab.place(id);
            // All of it at once: what comes after the key would be waited for when it is written.
            self.slab.prefetch(place);
            (self.slab.key_at(place) == key).then_some(place)
        })?;
        Some(Met { place, position })
    }

    /// The item under `key`, unless its time has passed: then it is expired here.
    fn find_live(&mut self, hash: u64, key: &[u8], now: Timestamp) -> Option<ItemId> {
        self.meet_live(hash, key, now).map(Met::id)
    }

    /// As `find_live`, and where it is.
    fn meet_live(&mut self, hash: u64, key: &[u8], now: Timestamp) -> Option<Met> {
        let met = self.meet(hash, key)?;
        if self.slab.expires_at_place(met.place).is_past(now) {
            self.expire(met.id());
            return None;
        }
        Some(met)
    }

    /// A store met the item, at `place`, or has just written it: that is a use, but no read.
    fn note_written(&mut self, id: ItemId, place: Place, now: Timestamp) {
        let state = self.slab.state_at(place).used();
        self.slab.note_use(place, now, state);
        self.order.bump(&mut self.slab, id, place);
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

    /// Stores `item` in the place of `existing`, if any. On an error `existing` is as it was, but
    /// gone after the last attempt.
    fn put(
        &mut self,
        hash: u64,
        existing: Option<Met>,
        item: &Measured<'_>,
        attempt: Attempt,
    ) -> Result<(), Error> {
        let item_bytes = item.item_bytes();
        if let Some(Met { place, position }) = existing {
            let old = position.id();
            let old_bytes = self.slab.item_bytes_at(place);
            let before = self.before_change(old);
            let over = self.slab.can_store_over(old, place, item)
                && self.exclusively_at(position, |slab| slab.store_over(old, place, item));
            let written = if over {
                Some((old, place))
            } else {
                self.with_memory(item_bytes, Some(old), item.now, |slab| {
                    slab.store_beside(old, item)
                })
            };
            if let Some(new) = written {
                self.note_replaced(before);
                self.note_change(hash, (old, place), new, old_bytes, item.now);
                return Ok(());
            }
            if attempt == Attempt::Retryable {
                return Err(self.out_of_memory(item_bytes));
            }
            // Nothing but the old item is left to make room: its value is not wanted any more.
            self.delete_for(old, Cause::Replaced);
        }
        self.put_new(hash, item, item.now, State::NEW, Standing::New)
    }

    /// Stores `item` in the state `state`, under a key that is not there.
    fn put_new(
        &mut self,
        hash: u64,
        item: &Measured<'_>,
        now: Timestamp,
        state: State,
        standing: Standing,
    ) -> Result<(), Error> {
        let item_bytes = item.item_bytes();
        let Some(vacancy) = self.reserve_index(hash, now) else {
            return Err(self.out_of_memory(item_bytes));
        };
        self.reserve_order(item_bytes, now);
        let write = |slab: &mut Slab| slab.store(item, state);
        let stored = self.with_memory(item_bytes, None, now, write);
        let (id, place) = stored.ok_or_else(|| self.out_of_memory(item_bytes))?;
        self.index.insert(vacancy, id);
        self.item_bytes += item_bytes;
        self.classes.at(place.class()).item_bytes += item_bytes;
        self.order.insert(&mut self.slab, id, place, hash, standing);
        self.order.note_store(&self.slab, hash, id, false);
        Ok(())
    }

    fn all_classes(&self) -> impl Iterator<Item = SizeClass> + use<> {
        SizeClass::first(self.slab.class_count())
    }

    fn check_value(&self, value_bytes: usize) -> Result<(), Error> {
        let value_bytes_max = self.value_bytes_max.min(self.arena.limit_bytes() / 2);
        Error::unless_value_fits(value_bytes, value_bytes_max)
    }

    pub(crate) fn out_of_memory(&mut self, item_bytes: usize) -> Error {
        self.counters.out_of_memory += 1;
        let class = self.slab.class_for(item_bytes);
        self.classes.at(class).out_of_memory += 1;
        Error::OutOfMemory {
            item_bytes,
            limit_bytes: self.arena.limit_bytes(),
        }
    }
}
