//! What a shard keeps for whoever listens for removals.

use super::Shard;
use crate::arena::ItemId;
use crate::guard::ItemGuard;
use crate::op::Locator;
use crate::removal::{Cause, Listener, News, Outbox};

/// What an item was that may be changed.
pub(super) struct Before {
    /// A copy, if somebody listens.
    item: Option<ItemGuard<'static>>,
    /// Where its value is, if somebody is told of such.
    locator: Option<Locator>,
}

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
    #[inline]
    pub(super) fn note_removal(&mut self, id: ItemId, cause: Cause) {
        if let Some(outbox) = &mut self.outbox {
            outbox.note(&self.slab.view(id), cause);
        }
    }

    /// What to note if item `id` is about to be changed, where it stands or by another. `None` if nobody wants to
    /// know.
    #[inline]
    pub(super) fn before_change(&self, id: ItemId) -> Option<Before> {
        let outbox = self.outbox.as_ref();
        let told = outbox.is_some() || self.watcher.is_there();
        told.then(|| Before {
            item: outbox.and_then(|outbox| outbox.before_change(&self.slab.view(id))),
            locator: self.watched_locator(id),
        })
    }

    #[inline]
    pub(super) fn note_replaced(&mut self, before: Option<Before>) {
        let Some(before) = before else {
            return;
        };
        if let (Some(outbox), Some(item)) = (&mut self.outbox, before.item) {
            outbox.note_replaced(item);
        }
        self.note_left(before.locator);
    }
}
