//! Compare-and-swap, and the store that comes too late but is better than nothing.

use super::{Attempt, Met, Shard};
use crate::arena::{ItemId, NewItem};
use crate::error::Error;
use crate::op::{CasToken, Store, StoreOutcome};
use crate::time::Timestamp;

impl Shard {
    /// Whether a live item carries `token`. 0 is what nobody was given, so it never does.
    pub(super) fn carries(&self, id: ItemId, token: CasToken) -> bool {
        token.to_u64() != 0 && self.slab.view(id).cas() == token
    }

    pub(super) fn set_renewal(&mut self, id: ItemId, stale: bool, renewing: bool) {
        let state = self.slab.state(id).with_renewal(stale, renewing);
        self.slab.set_state(id, state);
    }

    /// What becomes of a compare-and-swap whose `token` is not the item's: if the store wants that
    /// and the token is an older one, the value is stored as stale, with the item's expiry, and the
    /// right to renew it stays with whoever has it.
    pub(super) fn store_stale(
        &mut self,
        hash: u64,
        now: Timestamp,
        met: Met,
        token: CasToken,
        store: &Store<'_>,
        attempt: Attempt,
    ) -> Result<StoreOutcome, Error> {
        let view = self.slab.view(met.id());
        if !store.options.or_stale || token.to_u64() == 0 || token > view.cas() {
            return Ok(StoreOutcome::CasMismatch);
        }
        let renewing = view.is_renewing();
        let cas = self.next_token(now);
        let item = NewItem {
            key: store.key,
            value: store.value,
            flags: store.flags,
            expires_at: self.slab.expires_at(met.id()),
            cas,
            chosen: store.options.token,
            marked: store.options.marked,
            now,
            filled: store.filled,
            elsewhere: false,
        }
        .measured();
        self.put(hash, Some(met), &item, attempt)?;
        self.counters.stores += 1;
        if let Some(id) = self.find(hash, store.key) {
            self.set_renewal(id, true, renewing);
        }
        Ok(StoreOutcome::Stored(item.chosen.unwrap_or(cas)))
    }
}
