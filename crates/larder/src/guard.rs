//! An item that was read: [`ItemGuard`].

use std::fmt;
use std::ops::Deref;

use crate::arena::{Pinned, Shown};
use crate::op::{CasToken, ItemMeta, ItemView, Locator};
use crate::time::Timestamp;

/// An item that was read: dereferences to its value.
///
/// It keeps nobody waiting, and what it shows does not change, whatever becomes of the item meanwhile.
/// As a rule it is the item itself, in the cache's memory, which is not used for anything else before
/// the guard is dropped. A thread has seven such guards at most; further ones, and clones, are copies.
/// So guards are for use, not for keeping: for that, copy the value.
pub struct ItemGuard<'c> {
    bytes: Bytes<'c>,
    meta: ItemMeta,
}

/// Where key and value are.
enum Bytes<'c> {
    Shown(Shown<'c>),
    /// Of a long value.
    Pinned(Pinned),
    /// Key and value, one after the other, and the length of the key.
    Copied(Box<[u8]>, usize),
}

impl<'c> ItemGuard<'c> {
    pub(crate) fn copy_of(view: &ItemView<'_>) -> Self {
        let bytes = [view.key, view.value].concat().into_boxed_slice();
        Self {
            bytes: Bytes::Copied(bytes, view.key.len()),
            meta: view.meta,
        }
    }

    pub(crate) fn shown(shown: Shown<'c>) -> Self {
        Self {
            meta: shown.view().meta,
            bytes: Bytes::Shown(shown),
        }
    }

    pub(crate) fn pinned(pinned: Pinned) -> Self {
        Self {
            meta: pinned.view().meta,
            bytes: Bytes::Pinned(pinned),
        }
    }

    /// The locator in the place of the value, if that is [elsewhere](crate::Cache::move_value).
    #[must_use]
    pub fn locator(&self) -> Option<Locator> {
        self.view().locator()
    }

    /// The value, in a box that may begin with other bytes, and how many those are.
    #[cfg(feature = "bytes")]
    pub(crate) fn into_parts(self) -> (Box<[u8]>, usize) {
        match self.bytes {
            Bytes::Copied(bytes, key_bytes) if !self.meta.elsewhere => (bytes, key_bytes),
            _ => (Box::from(&*self), 0),
        }
    }

    /// The item as a view: key, value, flags, token and times.
    #[must_use]
    pub fn view(&self) -> ItemView<'_> {
        match &self.bytes {
            Bytes::Shown(shown) => shown.view(),
            Bytes::Pinned(pinned) => pinned.view(),
            Bytes::Copied(bytes, key_bytes) => {
                let (key, value) = bytes.split_at(*key_bytes);
                ItemView {
                    key,
                    value,
                    meta: self.meta,
                }
            }
        }
    }

    /// The client's flags.
    #[must_use]
    pub const fn flags(&self) -> u32 {
        self.meta.flags
    }

    /// The token of this value.
    #[must_use]
    pub const fn cas(&self) -> CasToken {
        self.meta.cas
    }

    /// When the item expires; `None` for never.
    #[must_use]
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.meta.expires_at
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

    fn deref(&self) -> &[u8] {
        self.view().value()
    }
}

impl fmt::Debug for ItemGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.view(), f)
    }
}
