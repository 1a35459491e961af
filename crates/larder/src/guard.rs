//! An item that was read: [`ItemGuard`].

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::arena::{Arena, Kept, Pinned, Shown};
use crate::op::{CasToken, ItemMeta, ItemView, Locator};
use crate::pinned::PINNED_VALUE_BYTES_MIN;
use crate::time::Timestamp;

/// An item that was read: dereferences to its value.
///
/// It keeps nobody waiting, and what it shows does not change, whatever becomes of the item meanwhile.
/// As a rule it is the item itself, in the cache's memory, which is not used for anything else before
/// the guard is dropped. A thread has seven such guards at most; further ones, and clones, are copies.
/// So guards are for use, not for keeping: for that, copy the value, or [pin](crate::Cache::pin) the item.
/// A guard that is [forgotten](std::mem::forget) keeps its item's memory from being used again, and one of its
/// thread's seven; nothing else. All methods are O(1).
pub struct ItemGuard<'c>(Kind<'c>);

/// Where key and value are.
enum Kind<'c> {
    Shown(Shown<'c>),
    /// Of a long value.
    Pinned(Pinned),
    Copied(Copied),
}

/// A copy of an item.
#[derive(Clone)]
pub(crate) struct Copied {
    /// Key and value, one after the other.
    bytes: Box<[u8]>,
    key_bytes: usize,
    meta: ItemMeta,
}

impl Copied {
    pub(crate) fn of(view: &ItemView<'_>) -> Self {
        Self {
            bytes: [view.key, view.value].concat().into_boxed_slice(),
            key_bytes: view.key.len(),
            meta: view.meta,
        }
    }

    pub(crate) fn view(&self) -> ItemView<'_> {
        let (key, value) = self.bytes.split_at(self.key_bytes);
        ItemView {
            key,
            value,
            meta: self.meta,
        }
    }
}

impl<'c> ItemGuard<'c> {
    pub(crate) fn copy_of(view: &ItemView<'_>) -> Self {
        Self(Kind::Copied(Copied::of(view)))
    }

    /// The item for longer than `arena`'s cache may be there: in its memory, if that holds no more than `bytes_max`
    /// bytes then, else a copy.
    pub(crate) fn keep_in(self, arena: &Arc<Arena>, bytes_max: usize) -> Result<Kept, Copied> {
        match self.0 {
            Kind::Shown(shown) => {
                let view = shown.view();
                let kept = (view.value.len() >= PINNED_VALUE_BYTES_MIN)
                    .then(|| arena.keep(&shown, bytes_max))
                    .flatten();
                kept.ok_or_else(|| Copied::of(&view))
            }
            Kind::Pinned(pinned) => arena
                .keep_pinned(pinned, bytes_max)
                .map_err(|pinned| Copied::of(&pinned.view())),
            Kind::Copied(copied) => Err(copied),
        }
    }

    pub(crate) const fn shown(shown: Shown<'c>) -> Self {
        Self(Kind::Shown(shown))
    }

    pub(crate) const fn pinned(pinned: Pinned) -> Self {
        Self(Kind::Pinned(pinned))
    }

    /// The locator in the place of the value, if that is [elsewhere](crate::Cache::move_value).
    #[must_use]
    pub fn locator(&self) -> Option<Locator> {
        self.view().locator()
    }

    /// The value, in a box that may begin with other bytes, and how many those are.
    #[cfg(feature = "bytes")]
    pub(crate) fn into_parts(self) -> (Box<[u8]>, usize) {
        match self.0 {
            Kind::Copied(copied) if !copied.meta.elsewhere => (copied.bytes, copied.key_bytes),
            _ => (Box::from(&*self), 0),
        }
    }

    /// The item as a view: key, value, flags, token and times.
    #[must_use]
    pub fn view(&self) -> ItemView<'_> {
        match &self.0 {
            Kind::Shown(shown) => shown.view(),
            Kind::Pinned(pinned) => pinned.view(),
            Kind::Copied(copied) => copied.view(),
        }
    }

    /// The client's flags.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.view().meta.flags
    }

    /// The token of this value.
    #[must_use]
    pub fn cas(&self) -> CasToken {
        self.view().meta.cas
    }

    /// When the item expires; `None` for never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.view().meta.expires_at
    }
}

impl Clone for ItemGuard<'_> {
    /// A copy of the item.
    fn clone(&self) -> Self {
        Self::copy_of(&self.view())
    }
}

impl Deref for ItemGuard<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Shown(shown) => shown.value(),
            _ => self.view().value(),
        }
    }
}

impl fmt::Debug for ItemGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.view(), f)
    }
}
