//! One step of look, decide and change that no other caller comes between.

use super::{Attempt, Met, Shard};
use crate::arena::{ItemId, NewItem, Side};
use crate::error::Error;
use crate::op::{CasToken, ItemView, Store, StoreOutcome};
use crate::revision::{Adjust, Put, Revision};
use crate::time::Timestamp;

impl Shard {
    /// Shows a live item to `look` and does what it answers. O(1).
    pub(crate) fn adjust<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        look: impl FnOnce(ItemView<'_>) -> (Adjust, R),
    ) -> Option<R> {
        let Some(id) = self.find_live(hash, key, now) else {
            self.note_miss(hash, true);
            return None;
        };
        let (adjust, seen) = look(self.slab.view(id));
        self.apply(hash, id, now, adjust);
        Some(seen)
    }

    /// Shows what stands under `key`, if anything, to `decide` and does what it answers; returns the
    /// item's new token, if it got one. On an error the item is as it was, but gone after the last
    /// attempt for want of memory.
    pub(crate) fn revise<'v>(
        &mut self,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        attempt: Attempt,
        decide: &mut impl FnMut(Option<ItemView<'_>>) -> Revision<'v>,
    ) -> Result<Option<CasToken>, Error> {
        let found = self.meet_live(hash, key, now);
        match (decide(found.map(|met| self.slab.view_at(met.place))), found) {
            (Revision::Remove, Some(met)) => {
                self.delete(met.id());
            }
            (Revision::Adjust(adjust), Some(met)) => {
                return Ok(self.apply(hash, met.id(), now, adjust));
            }
            (Revision::Keep | Revision::Remove | Revision::Adjust(_), _) => {}
            (Revision::Put(put), found) => {
                return self
                    .put_as_told(hash, key, now, found, &put, attempt)
                    .map(Some);
            }
        }
        Ok(None)
    }

    /// Puts `put` under `key` unless there is a live item, and shows what is there then to `look`, if
    /// it has not expired at once. Returns its token. On an error the key is absent.
    pub(crate) fn put_if_absent(
        &mut self,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        attempt: Attempt,
        put: &Put<'_>,
        look: &mut dyn FnMut(ItemView<'_>),
    ) -> Result<CasToken, Error> {
        let token = match self.find_live(hash, key, now) {
            Some(id) => self.slab.view(id).cas(),
            None => self.put_as_told(hash, key, now, None, put, attempt)?,
        };
        self.see(hash, key, look);
        Ok(token)
    }

    fn apply(&mut self, hash: u64, id: ItemId, now: Timestamp, adjust: Adjust) -> Option<CasToken> {
        if adjust.read {
            let place = self.slab.place(id);
            self.note_hit(hash, id, place, now);
        }
        if let Some(ttl) = adjust.ttl {
            self.slab.set_expires_at(id, ttl.expires_at(now));
        }
        if adjust.invalidate {
            self.set_renewal(id, true, adjust.win);
            return self.renew_token(hash, id, now);
        }
        if adjust.win || adjust.release {
            let stale = self.slab.state(id).is_stale();
            self.set_renewal(id, stale, adjust.win);
        }
        None
    }

    fn put_as_told(
        &mut self,
        hash: u64,
        key: &[u8],
        now: Timestamp,
        existing: Option<Met>,
        put: &Put<'_>,
        attempt: Attempt,
    ) -> Result<CasToken, Error> {
        self.check_value(put.value.len())?;
        let cas = self.next_token(now);
        let item = NewItem {
            key,
            value: &put.value,
            flags: put.flags,
            expires_at: put.ttl.expires_at(now),
            cas,
            chosen: put.token,
            marked: put.marked,
            now,
            filled: None,
            elsewhere: false,
        }
        .measured();
        self.counters.stores += 1;
        if item.expires_at.is_past(now) {
            if let Some(met) = existing {
                self.delete(met.id());
            }
            return Ok(put.token.unwrap_or(cas));
        }
        let attempt = if put.or_keep {
            Attempt::Retryable
        } else {
            attempt
        };
        self.put(hash, existing, &item, attempt)?;
        if (put.fetched || put.stale || put.renewing)
            && let Some(id) = self.find(hash, key)
        {
            self.set_renewal(id, put.stale, put.renewing);
            if put.fetched {
                let state = self.slab.state(id).fetched();
                self.slab.set_state(id, state);
            }
        }
        Ok(put.token.unwrap_or(cas))
    }

    /// Shows the live item under `key` to `look`, as it has just been stored.
    pub(crate) fn see(&self, hash: u64, key: &[u8], look: &mut dyn FnMut(ItemView<'_>)) {
        if let Some(id) = self.find(hash, key) {
            look(self.slab.view(id));
        }
    }

    /// Joins a store's value to a live item, if the store's conditions hold.
    pub(super) fn join_as_told(
        &mut self,
        hash: u64,
        now: Timestamp,
        met: Met,
        store: &Store<'_>,
        side: Side,
    ) -> Result<StoreOutcome, Error> {
        let id = met.id();
        let refused = store
            .options
            .if_token
            .is_some_and(|token| !self.carries(id, token));
        if refused {
            return Ok(StoreOutcome::CasMismatch);
        }
        let Some(token) = store.options.token else {
            return self.join(hash, id, store.value, side, now);
        };
        // A token of the caller's needs another header: the item is written anew. It is never the
        // last attempt: a join that finds no memory leaves the item as it was.
        let view = self.slab.view(id);
        let value = match side {
            Side::Front => [store.value, view.value()].concat(),
            Side::Back => [view.value(), store.value].concat(),
        };
        let put = Put::instead_of(&view, value).token(token);
        let stored = self.put_as_told(hash, store.key, now, Some(met), &put, Attempt::Retryable)?;
        Ok(StoreOutcome::Stored(stored))
    }
}
