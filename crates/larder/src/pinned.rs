//! An item that is kept for longer than a read: [`PinnedGuard`].

use std::fmt;
use std::ops::Deref;

use crate::arena::Kept;
use crate::guard::Copied;
use crate::op::{CasToken, ItemView, Locator};
use crate::time::Timestamp;

/// Shorter values are copied and not pinned, in bytes: that takes less time, and no page has to stay for them.
pub const PINNED_VALUE_BYTES_MIN: usize = 4 << 10;

/// An item that was read and may be kept: dereferences to its value. From [`Cache::get_pinned`] or
/// [`Cache::pin`].
///
/// It borrows nothing: it is `Send + Sync + 'static`, for tasks, other threads, and across `await`s. What it
/// shows does not change, whatever becomes of the item or of the cache. A thread has any number.
///
/// Values of [`PINNED_VALUE_BYTES_MIN`] and more are not copied: they are *pinned* where they stand. That memory
/// counts in the cache's limit, and nothing else can have it before the last guard has gone: not the chunk, if the item goes
/// meanwhile, and not the rest of its page for another size of items. So what pinned items hold, in whole
/// pages and in large values, is [bounded](crate::Builder::pinned_bytes_max); beyond that, and below
/// [`PINNED_VALUE_BYTES_MIN`], the guard has a copy of the item, outside of the limit.
/// [`is_pinned`](Self::is_pinned) tells which.
///
/// A guard that outlives its cache keeps the cache's address space, and the memory of what is pinned; all
/// other memory goes back to the system when the cache is dropped. One that is [forgotten](std::mem::forget)
/// does so until the process ends.
///
/// Cloning pins the item once more, or copies the copy. Methods are O(1); pinning, cloning and dropping a pinned
/// item are O(log of the pinned items), under a lock of their own that no other operation waits for long.
///
/// [`Cache::get_pinned`]: crate::Cache::get_pinned
/// [`Cache::pin`]: crate::Cache::pin
#[derive(Clone)]
pub struct PinnedGuard(Result<Kept, Copied>);

impl PinnedGuard {
    pub(crate) const fn new(item: Result<Kept, Copied>) -> Self {
        Self(item)
    }

    /// Whether it is the item itself, in the cache's memory, and no copy.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.0.is_ok()
    }

    /// The item as a view: key, value, flags, token and times.
    #[must_use]
    pub fn view(&self) -> ItemView<'_> {
        match &self.0 {
            Ok(kept) => kept.view(),
            Err(copied) => copied.view(),
        }
    }

    /// The locator in the place of the value, if that is [elsewhere](crate::Cache::move_value).
    #[must_use]
    pub fn locator(&self) -> Option<Locator> {
        self.view().locator()
    }

    /// The client's flags.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.view().flags()
    }

    /// The token of this value.
    #[must_use]
    pub fn cas(&self) -> CasToken {
        self.view().cas()
    }

    /// When the item expires; `None` for never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.view().expires_at()
    }
}

impl Deref for PinnedGuard {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.view().value()
    }
}

impl AsRef<[u8]> for PinnedGuard {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PinnedGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.view(), f)
    }
}
