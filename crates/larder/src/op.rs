//! The words of the API: what a caller asks for and what comes back.
//!
//! Results are data: an absent item is `None` or `Missing`, a failed precondition is a
//! [`StoreOutcome`]; only what really failed is an [`Error`](crate::Error).

use std::borrow::Cow;
use std::fmt;

use crate::arena::{Filled, SizeClass, stored_at};
use crate::time::{EPOCH, Timestamp, Ttl};

/// Version stamp of a stored value. New on every store, never issued twice by one cache, and
/// unchanged by reads and by `touch`. Tokens grow with the millisecond of the store, and for one key
/// within it; across keys they have no order within a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CasToken(u64);

impl CasToken {
    /// Bits below the millisecond, for shards and for stores of one shard in one millisecond. When
    /// those run out (after 16,384 stores in one of 1024 shards), the next millisecond's are used.
    pub(crate) const TIME_SHIFT: u32 = 24;
    /// The token with this number, as it came over a wire. 0 is never issued, so it never matches.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The least token of a millisecond.
    pub(crate) fn at(instant: Timestamp) -> Self {
        let millis = instant.unix_millis().saturating_sub(EPOCH.unix_millis());
        Self(millis << Self::TIME_SHIFT)
    }

    /// The token's number.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a store takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// Always.
    Set,
    /// Only if the key is absent.
    Add,
    /// Only if the key is present.
    Replace,
    /// Only if present: the value goes behind the one that is there; its flags and expiry stay.
    Append,
    /// Only if present: the value goes before the one that is there; its flags and expiry stay.
    Prepend,
    /// Only if present with this token.
    CompareAndSwap(CasToken),
}

/// A store in full: [`Cache::set`](crate::Cache::set) and its kin are short forms of it.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) flags: u32,
    pub(crate) ttl: Ttl,
    pub(crate) mode: StoreMode,
    pub(crate) options: StoreOptions,
    /// The value, where it was filled in its place; `value` is empty then.
    pub(crate) filled: Option<&'a Filled>,
}

/// What few stores ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreOptions {
    pub(crate) token: Option<CasToken>,
    pub(crate) if_token: Option<CasToken>,
    pub(crate) or_create: bool,
    pub(crate) or_stale: bool,
    pub(crate) marked: bool,
}

impl<'a> Store<'a> {
    /// Bytes of the value, wherever it is.
    pub(crate) fn value_bytes(&self) -> usize {
        self.filled
            .map_or(self.value.len(), |filled| filled.value_bytes)
    }

    /// `key` to `value`, always ([`StoreMode::Set`]), flags 0, [`Ttl::NEVER`].
    #[must_use]
    pub const fn new(key: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            key,
            value,
            flags: 0,
            ttl: Ttl::NEVER,
            mode: StoreMode::Set,
            options: StoreOptions {
                token: None,
                if_token: None,
                or_create: false,
                or_stale: false,
                marked: false,
            },
            filled: None,
        }
    }

    /// Sets the client's flags: opaque to the cache, stored and returned.
    #[must_use]
    pub const fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the lifetime.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Sets when the store takes place.
    #[must_use]
    pub const fn mode(mut self, mode: StoreMode) -> Self {
        self.mode = mode;
        self
    }

    /// Stores under this token in the place of a new one: the version that the value has elsewhere.
    /// That it differs from the item's other tokens is the caller's affair.
    #[must_use]
    pub const fn token(mut self, token: CasToken) -> Self {
        self.options.token = Some(token);
        self
    }

    /// With [`StoreMode::Append`] and [`StoreMode::Prepend`]: only if the item carries this token.
    #[must_use]
    pub const fn if_token(mut self, token: CasToken) -> Self {
        self.options.if_token = Some(token);
        self
    }

    /// With [`StoreMode::Append`] and [`StoreMode::Prepend`]: if the key is absent, the value is
    /// stored as it is, with this store's flags and lifetime.
    #[must_use]
    pub const fn or_create(mut self) -> Self {
        self.options.or_create = true;
        self
    }

    /// With [`StoreMode::CompareAndSwap`]: a token older than the item's stores as well, but what
    /// it stores is stale: the item keeps its expiry, and whoever holds the right to renew it.
    #[must_use]
    pub const fn or_stale(mut self) -> Self {
        self.options.or_stale = true;
        self
    }

    /// Marks the key: one bit that is kept and returned with the item, for callers that tell two
    /// spellings of a key apart.
    #[must_use]
    pub const fn marked(mut self, marked: bool) -> Self {
        self.options.marked = marked;
        self
    }
}

/// What a conditional store came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum StoreOutcome {
    /// Stored, under this token.
    Stored(CasToken),
    /// Not stored: [`StoreMode::Add`] found the key present.
    KeyExists,
    /// Not stored: the mode needs the key, and it is absent.
    KeyMissing,
    /// Not stored: the item carries another token.
    CasMismatch,
}

/// What an [`update`](crate::Cache::update) makes of the item it was shown.
#[derive(Clone, Debug)]
pub enum Edit<'v> {
    /// Leave the item as it is.
    Keep,
    /// Remove the item.
    Remove,
    /// Store this value under the same key, flags and expiry.
    Value(Cow<'v, [u8]>),
}

/// What an [`update`](crate::Cache::update) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum UpdateOutcome {
    /// There was no such item; the closure did not run.
    Missing,
    /// The closure kept the item.
    Kept,
    /// The closure removed the item.
    Removed,
    /// The new value is stored, under this token.
    Stored(CasToken),
}

/// Where a value is that is not in the cache: so many bytes, whose meaning is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Locator(pub [u8; LOCATOR_BYTES]);

/// Bytes of a [`Locator`].
pub const LOCATOR_BYTES: usize = 16;

/// What an item holds: its value, or the word of where that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// The value.
    Here(&'a [u8]),
    /// Where the value is.
    Elsewhere(Locator),
}

/// A value that goes elsewhere, comes back, or is elsewhere in another place: for
/// [`Cache::move_value`](crate::Cache::move_value).
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// The [stamp](ItemView::stamp) of the value.
    pub stamp: CasToken,
    /// Where it is; `None` for here.
    pub from: Option<Locator>,
    /// What the item holds from then on.
    pub to: Content<'a>,
}

/// What one call of [`maintain`](crate::Cache::maintain) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Chunks looked at, and what takes as long; at most the budget.
    pub examined_count: usize,
    /// Expired items whose memory came back.
    pub expired_count: usize,
    /// Whether something that may have expired was left for the next call.
    pub more_due: bool,
}

/// What is known of an item besides key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemMeta {
    pub(crate) cas: CasToken,
    pub(crate) flags: u32,
    pub(crate) expires_at: Option<Timestamp>,
    /// The token that the shard gave this value; its upper bits tell when.
    pub(crate) stamp: CasToken,
    pub(crate) accessed_at: Timestamp,
    pub(crate) fetched: bool,
    pub(crate) stale: bool,
    pub(crate) renewing: bool,
    /// The value is a locator.
    pub(crate) elsewhere: bool,
    pub(crate) marked: bool,
    /// The class whose chunk it has.
    pub(crate) class: SizeClass,
}

/// A borrowed look at an item, valid inside the closure it is handed to.
#[derive(Clone, Copy, Debug)]
pub struct ItemView<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) meta: ItemMeta,
}

impl<'a> ItemView<'a> {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The value, in one piece whatever its length; empty if it is [elsewhere](Self::locator).
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        if self.meta.elsewhere { &[] } else { self.value }
    }

    /// What stands in the place of a value that is elsewhere: see [`Cache::move_value`](crate::Cache::move_value).
    #[must_use]
    pub fn locator(&self) -> Option<Locator> {
        if !self.meta.elsewhere {
            return None;
        }
        self.value.try_into().ok().map(Locator)
    }

    /// The token that the cache gave this value: [`cas`](Self::cas), unless the caller
    /// [chose](Store::token) another. No other value ever has it.
    #[must_use]
    pub const fn stamp(&self) -> CasToken {
        self.meta.stamp
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

    /// When this value was stored, to the millisecond.
    #[must_use]
    pub const fn stored_at(&self) -> Timestamp {
        stored_at(self.meta.stamp)
    }

    /// When the item was last stored, read or touched before this call, to the second.
    #[must_use]
    pub const fn accessed_at(&self) -> Timestamp {
        self.meta.accessed_at
    }

    /// Whether the item was read at least once before this call.
    #[must_use]
    pub const fn was_fetched(&self) -> bool {
        self.meta.fetched
    }

    /// Whether the item has been [invalidated](crate::Cache::invalidate) since its value was stored.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.meta.stale
    }

    /// Whether somebody has won the right to renew the item, and has not stored yet.
    #[must_use]
    pub const fn is_renewing(&self) -> bool {
        self.meta.renewing
    }

    /// Whether its key was [marked](Store::marked).
    #[must_use]
    pub const fn is_marked(&self) -> bool {
        self.meta.marked
    }

    /// The number of the size class that it stands in: its position in [`Cache::class_stats`](crate::Cache::class_stats).
    #[must_use]
    pub const fn class(&self) -> usize {
        self.meta.class.0 as usize
    }
}
