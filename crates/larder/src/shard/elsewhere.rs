//! Items whose values are elsewhere: a locator stands in the place of the value, and all else is as ever.
//!
//! Whoever keeps the values asks for items to move, moves them, and is told of each locator that leaves. The
//! shard knows no more of it. Without such a keeper nothing has a locator.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Shard;
use crate::arena::{ItemId, NewItem, SizeClass};
use crate::error::Error;
use crate::op::{Content, ItemView, Locator, Move, Store};
use crate::time::Timestamp;

/// What is called with each locator that leaves.
#[derive(Clone, Default)]
pub(crate) struct Watcher(pub(crate) Option<Arc<Watch>>);

type Watch = dyn Fn(Locator) + Send + Sync;

impl Watcher {
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_there() { "watched" } else { "none" })
    }
}

impl Shard {
    pub(crate) fn watch_locators(&mut self, watcher: Watcher) {
        self.watcher = watcher;
    }

    /// The locator of a live item, if it has one and somebody is told of such.
    #[inline]
    pub(super) fn watched_locator(&self, id: ItemId) -> Option<Locator> {
        if self.watcher.is_there() {
            self.slab.locator(id)
        } else {
            None
        }
    }

    /// A locator has left. A panic is kept until the lock is free.
    #[inline]
    pub(super) fn note_left(&mut self, locator: Option<Locator>) {
        if let (Some(locator), Watcher(Some(watch))) = (locator, &self.watcher)
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| watch(locator)))
        {
            self.panic.get_or_insert(panic);
        }
    }

    /// Whether `store`, which joins, cannot be joined to the item: its value is elsewhere. That the item
    /// carries another token than was asked for is said first.
    pub(super) fn is_out_of_reach(&self, id: ItemId, store: &Store<'_>) -> bool {
        let asked = store.options.if_token;
        self.slab.locator(id).is_some() && asked.is_none_or(|token| self.carries(id, token))
    }

    /// Has the item under `key` hold what `moved` says in the place of the value, or of the locator, that it is
    /// said to have; false if that is not so any more. Token, flags, times and state stay. On an error the
    /// item is as it was. O(1).
    pub(crate) fn move_value(
        &mut self,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        moved: &Move<'_>,
    ) -> Result<bool, Error> {
        let Some(old) = self.find_live(hash, key, now) else {
            return Ok(false);
        };
        let (stamp, chosen) = self.slab.tokens(old);
        let view = self.slab.view(old);
        if stamp != moved.stamp || view.locator() != moved.from {
            return Ok(false);
        }
        let (value, elsewhere) = match &moved.to {
            Content::Here(value) => (*value, false),
            Content::Elsewhere(Locator(bytes)) => (&bytes[..], true),
        };
        let item = NewItem {
            key,
            value,
            flags: view.flags(),
            expires_at: self.slab.expires_at(old),
            cas: stamp,
            chosen,
            marked: view.is_marked(),
            now,
            filled: None,
            elsewhere,
        }
        .measured();
        let (old_bytes, item_bytes) = (self.slab.item_bytes(old), item.item_bytes());
        let write = |slab: &mut crate::arena::Slab| slab.store_beside(old, &item);
        let (new, place) = self
            .with_memory(item_bytes, Some(old), now, write)
            .ok_or_else(|| self.out_of_memory(item_bytes))?;
        self.slab.copy_standing(old, new);
        self.supplant(hash, self.slab.placed(old), (new, place), old_bytes);
        // The class is in use: it is not to be taken for one that nobody wants any more.
        self.order.bump(&mut self.slab, new, place);
        self.note_left(moved.from);
        Ok(true)
    }

    /// Shows items of `class` to `look`, whose values are here: those that would be evicted next, of up to
    /// `items_max`. Each is spared a turn, and so is not shown again soon, or evicted before it has moved.
    /// Returns how many were met.
    pub(crate) fn show_coldest(
        &mut self,
        class: SizeClass,
        items_max: usize,
        now: Timestamp,
        mut look: impl FnMut(ItemView<'_>),
    ) -> usize {
        // No more than there are: they would come round again.
        let items_max = items_max.min(self.slab.used_count(class));
        for met in 0..items_max {
            let Some(id) = self.order.next_to_move(&mut self.slab, &self.hasher, class) else {
                return met;
            };
            let view = self.slab.view(id);
            if view.locator().is_none() && !self.slab.expires_at(id).is_past(now) {
                look(view);
            }
        }
        items_max
    }
}
