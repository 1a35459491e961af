//! An item about to be written, and how long it is going to be.

use std::ops::Deref;

use super::header::{Header, Lengths};
use super::run::Filled;
use crate::op::{CasToken, Store};
use crate::time::{ExpiresAt, Timestamp};

/// An item about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewItem<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) flags: u32,
    pub(crate) expires_at: ExpiresAt,
    pub(crate) cas: CasToken,
    /// The token that the caller chose in the place of `cas`.
    pub(crate) chosen: Option<CasToken>,
    pub(crate) marked: bool,
    pub(crate) now: Timestamp,
    /// The value, where it stands in a run already; `value` is empty then.
    pub(crate) filled: Option<&'a Filled>,
    /// `value` is a locator.
    pub(crate) elsewhere: bool,
}

impl<'a> NewItem<'a> {
    /// The same, and how long it is: that is asked for in many places.
    #[inline(always)]
    pub(crate) fn measured(self) -> Measured<'a> {
        let lengths = Lengths {
            key: self.key.len(),
            value: self
                .filled
                .map_or(self.value.len(), |filled| filled.value_bytes),
            flags: self.flags,
            marked: self.marked,
            has_token: self.chosen.is_some(),
            elsewhere: self.elsewhere,
        };
        Measured {
            header: Header::new(self.cas, self.chosen.unwrap_or(self.cas), lengths),
            item: self,
        }
    }
}

/// An item about to be written, with its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<'a> {
    item: NewItem<'a>,
    pub(super) header: Header,
}

impl Measured<'_> {
    /// Bytes of the item, header included.
    #[inline(always)]
    pub(crate) fn item_bytes(&self) -> usize {
        self.header.item_bytes()
    }
}

impl<'a> Deref for Measured<'a> {
    type Target = NewItem<'a>;

    #[inline(always)]
    fn deref(&self) -> &NewItem<'a> {
        &self.item
    }
}

/// What decides how long the item is that `store` makes of a value of `value_bytes`.
pub(crate) fn item_lengths(store: &Store<'_>, value_bytes: usize) -> Lengths {
    Lengths {
        key: store.key.len(),
        value: value_bytes,
        flags: store.flags,
        marked: store.options.marked,
        has_token: store.options.token.is_some(),
        elsewhere: false,
    }
}
