//! Finds expired items without looking at those that are not due, some chunks at a time.
//!
//! Every page carries a lower bound of its items' expiry, every class one of its pages'. A pass over
//! a class goes from its last page to its first, opens only pages that are due, and renews the bounds of
//! what it leaves behind. It stops after any chunk and goes on from there later.
//!
//! While a pass is under way the old bounds stand, which are as low as ever; the new ones are gathered
//! beside them, and take their place when the page, or the class, is done. Whatever is stored, touched or
//! moved meanwhile lowers both, so that it makes no difference whether the pass has come by. A page
//! that is added stands behind the pass; one that moves into a gap has been looked at, or is looked at
//! twice.

use super::{ExpiresMin, PageSlot, Slab};
use crate::arena::{ItemId, SizeClass};
use crate::time::{ExpiresAt, Timestamp};

/// How far a pass over a class's pages has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// Positions in `ClassPages::pages` below this are still to be looked at.
    left: usize,
    /// No item of the pages looked at expires before this.
    expires_min: ExpiresMin,
    open: Option<OpenPage>,
}

/// The page that a pass is looking through.
#[derive(Clone, Copy, Debug)]
struct OpenPage {
    slot: u32,
    /// Chunks before this one were looked at.
    chunk: usize,
    /// No item in them expires before this.
    expires_min: ExpiresMin,
}

impl Slab {
    /// Whether some item of the class may have expired.
    pub(crate) fn may_have_expired(&self, class: SizeClass, now: Timestamp) -> bool {
        self.classes[class.index()].expires_min.is_past(now)
    }

    /// Whether an item of any class may have expired: one look where `may_have_expired` of every class
    /// would be a hundred.
    pub(crate) fn any_may_have_expired(&self, now: Timestamp) -> bool {
        self.expires_min.is_past(now)
    }

    /// Brings the bound of all classes up to theirs. O(classes).
    pub(crate) fn renew_bound(&mut self) {
        let bounds = self.classes.iter().map(|class| class.expires_min);
        self.expires_min = bounds.fold(ExpiresAt::NEVER, ExpiresAt::earlier);
    }

    /// The next expired item of a class with pages; the caller frees it. `None` if none is due, or
    /// after `left`, the chunks and pages to be looked at, has come to 0. O(`left`).
    pub(crate) fn next_expired(
        &mut self,
        class: SizeClass,
        now: Timestamp,
        left: &mut usize,
    ) -> Option<ItemId> {
        debug_assert_ne!(class, self.large_class());
        while *left > 0 && self.may_have_expired(class, now) {
            let pages = &mut self.classes[class.index()];
            let whole = Pass {
                left: pages.pages.len(),
                expires_min: ExpiresAt::NEVER,
                open: None,
            };
            let mut pass = pages.pass.take().unwrap_or(whole);
            let found = match &mut pass.open {
                Some(open) => self.look_through(open, now, left),
                None => None,
            };
            let is_done = *left > 0 && found.is_none() && self.turn_page(class, &mut pass, now);
            let pages = &mut self.classes[class.index()];
            if is_done {
                pages.expires_min = pass.expires_min;
            } else {
                pages.pass = Some(pass);
            }
            if found.is_some() {
                return found;
            }
            *left = left.saturating_sub(1);
        }
        None
    }

    /// Looks at the chunks of the open page as far as one has expired; the bounds of the others are
    /// noted.
    fn look_through(
        &self,
        open: &mut OpenPage,
        now: Timestamp,
        left: &mut usize,
    ) -> Option<ItemId> {
        let page = PageSlot(open.slot);
        let chunks = self.chunks_in(page);
        while open.chunk < chunks && *left > 0 {
            let item = self.item_in(page, open.chunk);
            open.chunk += 1;
            *left -= 1;
            let Some(id) = item else { continue };
            let expires_at = self.expires_at(id);
            if expires_at.is_past(now) {
                return Some(id);
            }
            open.expires_min = open.expires_min.earlier(expires_at);
        }
        None
    }

    /// Closes the page that has been looked through and turns to the next one; true behind the last.
    fn turn_page(&mut self, class: SizeClass, pass: &mut Pass, now: Timestamp) -> bool {
        if let Some(open) = pass.open.take() {
            self.pages[open.slot as usize].expires_min = open.expires_min;
            pass.expires_min = pass.expires_min.earlier(open.expires_min);
        }
        let pages = &self.classes[class.index()].pages;
        // Pages may have gone since.
        let Some(position) = pass.left.min(pages.len()).checked_sub(1) else {
            return true;
        };
        pass.left = position;
        let slot = pages[position];
        let expires_min = self.pages[slot as usize].expires_min;
        if expires_min.is_past(now) {
            pass.open = Some(OpenPage {
                slot,
                chunk: 0,
                expires_min: ExpiresAt::NEVER,
            });
        } else {
            pass.expires_min = pass.expires_min.earlier(expires_min);
        }
        false
    }

    /// Lowers the bounds of a live item's page and class, and of all, to its expiry.
    pub(crate) fn note_expiry(&mut self, id: ItemId, expires_at: ExpiresAt) {
        if expires_at == ExpiresAt::NEVER {
            return;
        }
        let slot = (!self.arena.is_run(id)).then(|| self.slot_of(id));
        if let Some(slot) = slot {
            let bound = &mut self.pages[slot as usize].expires_min;
            *bound = bound.earlier(expires_at);
        }
        self.expires_min = self.expires_min.earlier(expires_at);
        let class = self.class_of(id).index();
        let pages = &mut self.classes[class];
        pages.expires_min = pages.expires_min.earlier(expires_at);
        if let Some(pass) = &mut pages.pass {
            pass.expires_min = pass.expires_min.earlier(expires_at);
            if let Some(open) = pass.open.as_mut().filter(|open| Some(open.slot) == slot) {
                open.expires_min = open.expires_min.earlier(expires_at);
            }
        }
    }

    /// The page goes back to the pool: a pass that looks through it turns to the next.
    pub(super) fn close_page(&mut self, slot: u32) {
        let class = self.pages[slot as usize].class.index();
        if let Some(pass) = &mut self.classes[class].pass {
            pass.open = pass.open.filter(|open| open.slot != slot);
        }
    }

    /// Sets the bound of the large class after all its items were looked at.
    pub(crate) fn set_large_bound(&mut self, bound: ExpiresAt) {
        let large = self.large_class();
        self.classes[large.index()].expires_min = bound;
    }
}
