//! The words of [`revise`](crate::Cache::revise): what a caller makes of an item that it was shown.
//!
//! An item is *stale* once it has been invalidated: it is still served, and asks to be renewed. Of
//! those who see it, one *wins* the right to renew it; the others go on with what there is. A store
//! ends both. The same right can be won for an item that is about to expire, or for one that was
//! created empty because it was missing.

use std::borrow::Cow;

use crate::arena::SizeClass;
use crate::guard::ItemGuard;
use crate::op::{CasToken, ItemMeta, ItemView};
use crate::time::{Timestamp, Ttl};

/// What is done to an item besides looking at it. Nothing, unless told.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Adjust {
    pub(crate) read: bool,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) win: bool,
    pub(crate) release: bool,
    pub(crate) invalidate: bool,
}

impl Adjust {
    /// Nothing.
    pub const fn nothing() -> Self {
        Self {
            read: false,
            ttl: None,
            win: false,
            release: false,
            invalidate: false,
        }
    }

    /// It counts as a read.
    pub const fn read() -> Self {
        Self {
            read: true,
            ..Self::nothing()
        }
    }

    /// The item gets a new lifetime.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// The caller wins the right to renew the item: later readers see that somebody has it.
    pub const fn win(mut self) -> Self {
        self.win = true;
        self
    }

    /// The caller gives up the right to renew the item: the next reader can win it.
    pub const fn release(mut self) -> Self {
        self.release = true;
        self
    }

    /// The item becomes stale and gets a new token, and nobody has the right to renew it: the next
    /// reader can win that.
    pub const fn invalidate(mut self) -> Self {
        self.invalidate = true;
        self
    }
}

/// An item to be put under a key, whatever was there.
#[derive(Clone, Debug)]
#[must_use]
pub struct Put<'v> {
    pub(crate) value: Cow<'v, [u8]>,
    pub(crate) flags: u32,
    pub(crate) ttl: Ttl,
    pub(crate) token: Option<CasToken>,
    pub(crate) marked: bool,
    pub(crate) fetched: bool,
    pub(crate) stale: bool,
    pub(crate) renewing: bool,
    /// What it would replace is not given up for its memory.
    pub(crate) or_keep: bool,
}

impl<'v> Put<'v> {
    /// A new item: flags 0, [`Ttl::NEVER`], a new token.
    pub fn new(value: impl Into<Cow<'v, [u8]>>) -> Self {
        Self {
            value: value.into(),
            flags: 0,
            ttl: Ttl::NEVER,
            token: None,
            marked: false,
            fetched: false,
            stale: false,
            renewing: false,
            or_keep: false,
        }
    }

    /// Another value for the item in `view`, with its flags, expiry and mark.
    pub fn instead_of(view: &ItemView<'_>, value: impl Into<Cow<'v, [u8]>>) -> Self {
        Self {
            flags: view.flags(),
            ttl: view.expires_at().map_or(Ttl::NEVER, Ttl::at),
            marked: view.is_marked(),
            ..Self::new(value)
        }
    }

    /// If there is no memory for it, what it would replace stays, where else that is given up in a last attempt.
    pub const fn or_keep(mut self) -> Self {
        self.or_keep = true;
        self
    }

    /// The same, with the value borrowed.
    pub(crate) fn by_ref(&self) -> Put<'_> {
        Put {
            value: Cow::Borrowed(&self.value),
            ..*self
        }
    }

    /// What is stored of this under `key` at `now`, in a chunk of `class`.
    pub(crate) fn item<'c>(
        &self,
        key: &[u8],
        token: CasToken,
        now: Timestamp,
        class: SizeClass,
    ) -> ItemGuard<'c> {
        let meta = ItemMeta {
            cas: token,
            flags: self.flags,
            expires_at: self.ttl.expires_at(now).timestamp(),
            stamp: CasToken::at(now),
            accessed_at: now,
            fetched: self.fetched,
            stale: self.stale,
            renewing: self.renewing,
            elsewhere: false,
            marked: self.marked,
            class,
        };
        let value = &*self.value;
        ItemGuard::copy_of(&ItemView { key, value, meta })
    }

    /// Keeps what is known of the item in `view`: whether it was fetched, is stale, is being renewed.
    pub const fn keep_state(mut self, view: &ItemView<'_>) -> Self {
        self.fetched = view.was_fetched();
        self.stale = view.is_stale();
        self.renewing = view.is_renewing();
        self
    }

    /// Sets the client's flags.
    pub const fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the lifetime.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Sets the token, in the place of a new one: see [`Store::token`](crate::Store::token).
    pub const fn token(mut self, token: CasToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Marks the key: see [`Store::marked`](crate::Store::marked).
    pub const fn marked(mut self, marked: bool) -> Self {
        self.marked = marked;
        self
    }

    /// The item counts as fetched from the start.
    pub const fn fetched(mut self, fetched: bool) -> Self {
        self.fetched = fetched;
        self
    }

    /// The item is stale from the start.
    pub const fn stale(mut self, stale: bool) -> Self {
        self.stale = stale;
        self
    }

    /// Whether somebody, say the caller, has the right to renew the item.
    pub const fn renewing(mut self, renewing: bool) -> Self {
        self.renewing = renewing;
        self
    }
}

/// What a caller makes of the item, or of the lack of one, that it was shown.
#[derive(Clone, Debug)]
pub enum Revision<'v> {
    /// Nothing.
    Keep,
    /// The item, if any, is removed.
    Remove,
    /// The item, if any, stays and changes in this.
    Adjust(Adjust),
    /// This takes its place, or comes to be.
    Put(Put<'v>),
}

/// What [`get_to_renew`](crate::Cache::get_to_renew) says of an item's age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The value is current.
    Fresh,
    /// The value is stale, and the caller has won the right to renew it: nobody else will.
    Won,
    /// The value is stale, and somebody else is renewing it.
    Stale,
}
