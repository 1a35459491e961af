//! What a read under the lock leaves to be done without it.

use crate::arena::Pinned;
use crate::op::ItemView;

/// An item as a read met it.
#[derive(Debug)]
pub(crate) enum Glance<R, F> {
    Seen(R),
    /// A long one, still to be shown, once the lock is free.
    Pinned(Pinned, F),
}

impl<R, F: FnOnce(ItemView<'_>) -> R> Glance<R, F> {
    /// Shows what is still to be shown. The caller has let go of the lock.
    pub(crate) fn finish(self) -> R {
        match self {
            Self::Seen(seen) => seen,
            Self::Pinned(pinned, look) => look(pinned.view()),
        }
    }
}
