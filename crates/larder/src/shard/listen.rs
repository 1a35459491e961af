//! What a shard keeps for whoever listens for removals.

use super::Shard;
use crate::arena::ItemId;
use crate::guard::ItemGuard;
use crate::removal::{Cause, Listener, News, Outbox};

impl Shard {
    /// `listener` is told from now on; it takes the place of an earlier one.
    pub(crate) fn listen(&mut self, listener: Listener) {
        self.outbox = Some(Box::new(Outbox::new(listener)));
    }

    /// Whether somebody listens for `cause`.
    pub(crate) fn tells_of(&self, cause: Cause) -> bool {
        self.outbox.as_ref().is_some_and(|told| told.wants(cause))
    }

    /// What there is to tell, once the lock is free.
    #[inline]
    pub(crate) fn take_news(&mut self) -> Option<News> {
        self.outbox.as_mut().and_then(|outbox| outbox.take())
    }

    /// Item `id` is about to go.
    pub(super) fn note_removal(&mut self, id: ItemId, cause: Cause) {
        if let Some(outbox) = &mut self.outbox {
            outbox.note(&self.slab.view(id), cause);
        }
    }

    /// What to note if item `id` is about to be changed, where it stands or by another.
    pub(super) fn before_change(&self, id: ItemId) -> Option<ItemGuard<'static>> {
        let outbox = self.outbox.as_ref()?;
        outbox.before_change(&self.slab.view(id))
    }

    pub(super) fn note_replaced(&mut self, before: Option<ItemGuard<'static>>) {
        if let (Some(outbox), Some(item)) = (&mut self.outbox, before) {
            outbox.note_replaced(item);
        }
    }
}
