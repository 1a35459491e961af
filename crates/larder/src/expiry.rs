//! Finds expired items without looking at those that are not due.
//!
//! Every page carries a lower bound of its items' expiry, every class one of its pages'. A sweep
//! opens only pages that are due, expires what has expired and renews the bound; a page whose
//! bound was stale is opened once for it. Large items stand in no page: their class's bound opens a
//! pass over all of them.
//!
//! This file finds; what becomes of an expired item is the shard's decision.

use crate::arena::{ItemId, PageSlot, SizeClass, Slab};
use crate::time::Timestamp;

/// A page of `class` that is due at `now`; sweep it with [`next_expired`] from chunk 0 to the end.
/// O(1) if none is due, else O(pages of the class).
pub(crate) fn take_due_page(slab: &mut Slab, class: SizeClass, now: Timestamp) -> Option<PageSlot> {
    if slab.may_have_expired(class, now) {
        slab.take_due_page(class, now)
    } else {
        None
    }
}

/// The first expired item of the page from chunk `from` on, and the chunk to go on from.
/// The bounds of the live items passed over are noted.
pub(crate) fn next_expired(
    slab: &mut Slab,
    page: PageSlot,
    from: usize,
    now: Timestamp,
) -> Option<(ItemId, usize)> {
    let mut chunk = from;
    while let Some((id, next)) = next_live(slab, page, chunk) {
        let expires_at = slab.expires_at(id);
        if expires_at.is_past(now) {
            return Some((id, next));
        }
        slab.note_expiry(id, expires_at);
        chunk = next;
    }
    None
}

/// The first live item of the page from chunk `from` on, and the chunk to go on from.
pub(crate) fn next_live(slab: &Slab, page: PageSlot, from: usize) -> Option<(ItemId, usize)> {
    let chunks = from..slab.chunks_in(page);
    chunks
        .into_iter()
        .find_map(|chunk| Some((slab.item_in(page, chunk)?, chunk + 1)))
}
