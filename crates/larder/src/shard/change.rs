//! Changing a live item: where it stands, if nobody reads it there, else in a chunk of its own.

use super::Shard;
use crate::arena::{ItemId, Place, Side, Slab, Standing};
use crate::error::Error;
use crate::index::Position;
use crate::op::{CasToken, StoreOutcome};
use crate::time::Timestamp;

impl Shard {
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
        self.change(hash, id, now, value.len(), |slab, id, standing| {
            slab.replace(id, value, standing, cas, now)
        })?;
        Ok(StoreOutcome::Stored(cas))
    }

    /// Joins `extra` to the live item `id`. On an error the item stays as it was.
    pub(super) fn join(
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
        self.change(hash, id, now, value_bytes, |slab, id, standing| {
            slab.joined(id, extra, side, standing, cas, now)
        })?;
        Ok(StoreOutcome::Stored(cas))
    }

    /// Gives the live item `id` a value of `value_bytes` by `write`, which works where the item stands or
    /// makes a new one (and is called again after room was made). The item stays as it was if no room
    /// can be made.
    fn change(
        &mut self,
        hash: u64,
        id: ItemId,
        now: Timestamp,
        value_bytes: usize,
        mut write: impl FnMut(&mut Slab, ItemId, Standing) -> Option<ItemId>,
    ) -> Result<(), Error> {
        let item_bytes = self.slab.item_bytes_with(id, value_bytes);
        let old_bytes = self.slab.item_bytes(id);
        let before = self.before_change(id);
        let changed = self.slab.can_change(id, value_bytes)
            && self.exclusively(hash, id, |slab| {
                write(slab, id, Standing::Stays);
            });
        let written = if changed {
            Some(id)
        } else {
            self.with_memory(item_bytes, Some(id), now, |slab| {
                write(slab, id, Standing::Moves)
            })
        };
        let new = written.ok_or_else(|| self.out_of_memory(item_bytes))?;
        self.note_replaced(before);
        let [old, new] = [id, new].map(|id| self.slab.placed(id));
        self.note_change(hash, old, new, old_bytes, now);
        self.counters.stores += 1;
        Ok(())
    }

    /// Has `write` change the live item `id` where it stands, unless somebody is reading it: false then.
    /// Readers without the lock do not find it meanwhile, and ask for the lock.
    pub(super) fn exclusively(
        &mut self,
        hash: u64,
        id: ItemId,
        write: impl FnOnce(&mut Slab),
    ) -> bool {
        self.exclusively_at(self.index.position(hash, id), write)
    }

    /// As `exclusively`, for an item of which it is known where the index has it.
    #[inline]
    pub(super) fn exclusively_at(
        &mut self,
        position: Position,
        write: impl FnOnce(&mut Slab),
    ) -> bool {
        if self.slab.is_large(position.id()) {
            write(&mut self.slab);
            return true;
        }
        self.index.hide(position);
        let alone = !self.slab.is_read(position.id());
        if alone {
            write(&mut self.slab);
        }
        self.index.show(position);
        alone
    }

    /// `new` has taken the place of `old`, which had `old_bytes`; they are one item if it was changed
    /// where it stands.
    #[inline]
    pub(super) fn note_change(
        &mut self,
        hash: u64,
        old: (ItemId, Place),
        (new, to): (ItemId, Place),
        old_bytes: usize,
        now: Timestamp,
    ) {
        self.supplant(hash, old, (new, to), old_bytes);
        self.note_written(new, to, now);
        self.order.note_store(&self.slab, hash, new, true);
    }

    /// As `note_change`, where that is no use of the item.
    #[inline(always)]
    pub(super) fn supplant(
        &mut self,
        hash: u64,
        (old, from): (ItemId, Place),
        (new, to): (ItemId, Place),
        old_bytes: usize,
    ) {
        let new_bytes = self.slab.item_bytes_at(to);
        self.item_bytes = self.item_bytes - old_bytes + new_bytes;
        self.classes.at(from.class()).item_bytes -= old_bytes;
        self.classes.at(to.class()).item_bytes += new_bytes;
        if new != old {
            self.index.swap(hash, old, new);
            self.order.replace(&mut self.slab, old, new, hash);
            self.slab.free(old);
            self.order.tidy(&self.slab, to.class());
        }
    }

    /// Gives a live item a new token, in a chunk of its own if somebody reads it. Where there is no memory for
    /// that the item goes, which its next reader is to replace anyway.
    pub(super) fn renew_token(
        &mut self,
        hash: u64,
        id: ItemId,
        now: Timestamp,
    ) -> Option<CasToken> {
        let token = self.next_token(now);
        if self.exclusively(hash, id, |slab| slab.set_token(id, token)) {
            return Some(token);
        }
        let item_bytes = self.slab.item_bytes(id);
        let copy = |slab: &mut Slab| slab.copy_with(id, token);
        let Some(new) = self.with_memory(item_bytes, Some(id), now, copy) else {
            self.delete(id);
            return None;
        };
        let [old, new] = [id, new].map(|id| self.slab.placed(id));
        self.supplant(hash, old, new, item_bytes);
        Some(token)
    }
}
