//! An item in its chunk: header, key, value, without gaps.
//!
//! All reading and writing of chunk memory is here; `Slab` decides which chunk, this file only
//! how its bytes are laid out. It allocates nothing and knows no list.
#![expect(
    unsafe_code,
    reason = "items are laid out by hand in the mapping's bytes"
)]

use std::slice;

use super::slab::Slab;
use super::{ItemId, SizeClass};
use crate::op::{CasToken, ItemMeta, ItemView};
use crate::time::{EPOCH, ExpiresAt, Timestamp};

/// What stands before the key in every chunk. All-zero bytes are a valid header: not live.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Header {
    /// The CAS token, in two halves so that the header needs no padding.
    cas: [u32; 2],
    /// LRU neighbours; `next` links the page's free chunks while the chunk is free.
    previous: Link,
    next: Link,
    value_bytes: u32,
    flags: u32,
    /// Seconds since `EPOCH`.
    accessed_at: u32,
    /// Low 32 of the 40 bits of `ExpiresAt`.
    expires_low: u32,
    /// Low 32 of the 40 bits of milliseconds since `EPOCH`.
    stored_low: u32,
    expires_high: u8,
    stored_high: u8,
    key_bytes: u16,
    class: u8,
    state: u8,
    unused: [u8; 2],
}

/// Bytes of an item besides key and value.
pub(crate) const HEADER_BYTES: usize = size_of::<Header>();

const _: () = assert!(HEADER_BYTES == 44 && align_of::<Header>() == 4);

/// Bits of `Header::state`.
const LIVE: u8 = 1;
const FETCHED: u8 = 2;

/// An optional `ItemId` in four bytes; 0 is none, so that zeroed memory links to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub(crate) struct Link(u32);

impl Link {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn id(self) -> Option<ItemId> {
        match self.0 {
            0 => None,
            bits => Some(ItemId(bits - 1)),
        }
    }
}

impl From<ItemId> for Link {
    fn from(id: ItemId) -> Self {
        Self(id.0 + 1)
    }
}

/// An item about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewItem<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) flags: u32,
    pub(crate) expires_at: ExpiresAt,
    pub(crate) cas: CasToken,
    pub(crate) now: Timestamp,
}

/// Which end of a value something is joined to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Front,
    Back,
}

/// Bytes of an item with this key and value, header included.
pub(super) const fn item_bytes(key_bytes: usize, value_bytes: usize) -> usize {
    HEADER_BYTES + key_bytes + value_bytes
}

impl Header {
    pub(super) fn is_live(&self) -> bool {
        self.state & LIVE != 0
    }

    pub(super) fn class(&self) -> SizeClass {
        SizeClass(self.class)
    }

    pub(super) fn item_bytes(&self) -> usize {
        item_bytes(usize::from(self.key_bytes), self.value_bytes as usize)
    }

    pub(super) fn expires_at(&self) -> ExpiresAt {
        let high = u64::from(self.expires_high) << 32;
        ExpiresAt::from_bits(high | u64::from(self.expires_low))
    }

    pub(super) fn set_expires_at(&mut self, expires_at: ExpiresAt) {
        (self.expires_low, self.expires_high) = split_40(expires_at.to_bits());
    }

    pub(super) fn links(&self) -> (Link, Link) {
        (self.previous, self.next)
    }

    pub(super) fn set_previous(&mut self, link: Link) {
        self.previous = link;
    }

    pub(super) fn set_next(&mut self, link: Link) {
        self.next = link;
    }

    pub(super) fn set_accessed_at(&mut self, now: Timestamp) {
        self.accessed_at = seconds_since_epoch(now);
    }

    pub(super) fn accessed_seconds(&self) -> u32 {
        self.accessed_at
    }

    pub(super) fn mark_fetched(&mut self) {
        self.state |= FETCHED;
    }

    pub(super) fn is_fetched(&self) -> bool {
        self.state & FETCHED != 0
    }

    /// Turns the header into a link of its page's free list.
    pub(super) fn make_free(&mut self, next: Link) {
        self.state = 0;
        self.next = next;
    }

    fn meta(&self) -> ItemMeta {
        let stored = u64::from(self.stored_high) << 32 | u64::from(self.stored_low);
        let epoch = EPOCH.unix_millis();
        ItemMeta {
            cas: CasToken::from_u64(u64::from(self.cas[1]) << 32 | u64::from(self.cas[0])),
            flags: self.flags,
            expires_at: self.expires_at().timestamp(),
            stored_at: Timestamp::from_unix_millis(epoch + stored),
            accessed_at: Timestamp::from_unix_millis(epoch + u64::from(self.accessed_at) * 1000),
            fetched: self.is_fetched(),
        }
    }

    fn set_cas(&mut self, cas: CasToken) {
        let (low, high) = split_64(cas.to_u64());
        self.cas = [low, high];
    }

    /// A value has just been written: new token, stored and accessed now, not yet fetched.
    fn stamp(&mut self, cas: CasToken, now: Timestamp) {
        self.set_cas(cas);
        let stored = now
            .unix_millis()
            .saturating_sub(EPOCH.unix_millis())
            .min((1 << 40) - 1);
        (self.stored_low, self.stored_high) = split_40(stored);
        self.accessed_at = seconds_since_epoch(now);
        self.state = LIVE;
    }
}

/// Access to the items of a slab. `&Slab` reads, `&mut Slab` writes (S6).
impl Slab {
    pub(super) fn header(&self, id: ItemId) -> &Header {
        let header = self.chunk(id).cast::<Header>();
        // SAFETY: S2: the chunk is inside the mapping and aligned; S1, S6: it belongs to this slab
        // and nobody writes it while `self` is borrowed; all byte patterns are headers.
        unsafe { &*header }
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the borrow is what makes it exclusive"
    )]
    pub(super) fn header_mut(&mut self, id: ItemId) -> &mut Header {
        let header = self.chunk(id).cast::<Header>();
        // SAFETY: as in `header`, and `&mut self` is the only way to it (S6).
        unsafe { &mut *header }
    }

    /// The key of a live item.
    pub(crate) fn key(&self, id: ItemId) -> &[u8] {
        self.view(id).key
    }

    /// A live item.
    pub(crate) fn view(&self, id: ItemId) -> ItemView<'_> {
        let header = self.header(id);
        debug_assert!(header.is_live(), "S5: only live ids are known");
        let key_bytes = usize::from(header.key_bytes);
        // SAFETY: the key starts behind the header, inside the chunk (S4).
        let key = unsafe { self.chunk(id).add(HEADER_BYTES) };
        // SAFETY: the value starts behind the key, inside the chunk (S4).
        let value = unsafe { key.add(key_bytes) };
        ItemView {
            // SAFETY: S3, S4: `key_bytes` initialised bytes; S6: not written while borrowed.
            key: unsafe { slice::from_raw_parts(key, key_bytes) },
            // SAFETY: S3, S4: `value_bytes` initialised bytes; S6: not written while borrowed.
            value: unsafe { slice::from_raw_parts(value, header.value_bytes as usize) },
            meta: header.meta(),
        }
    }

    /// Writes a whole item into a chunk that fits it; its list links are left as they are.
    pub(super) fn write(&mut self, id: ItemId, class: SizeClass, item: &NewItem<'_>) {
        let header = self.header_mut(id);
        header.class = class.0;
        header.key_bytes = u16::try_from(item.key.len()).expect("checked against KEY_BYTES_MAX");
        header.value_bytes = length(item.value.len());
        header.flags = item.flags;
        header.set_expires_at(item.expires_at);
        header.stamp(item.cas, item.now);
        self.put(id, HEADER_BYTES, item.key);
        self.put(id, HEADER_BYTES + item.key.len(), item.value);
    }

    /// Replaces the value of an item whose chunk fits the new one. Key, flags and expiry stay.
    pub(super) fn overwrite_value(
        &mut self,
        id: ItemId,
        value: &[u8],
        cas: CasToken,
        now: Timestamp,
    ) {
        let header = self.header_mut(id);
        header.value_bytes = length(value.len());
        header.stamp(cas, now);
        let key_bytes = usize::from(header.key_bytes);
        self.put(id, HEADER_BYTES + key_bytes, value);
    }

    /// Joins `extra` to the value of an item whose chunk fits both.
    pub(super) fn join(
        &mut self,
        id: ItemId,
        extra: &[u8],
        side: Side,
        cas: CasToken,
        now: Timestamp,
    ) {
        let header = self.header_mut(id);
        let old_bytes = header.value_bytes as usize;
        header.value_bytes = length(old_bytes + extra.len());
        header.stamp(cas, now);
        let value_at = HEADER_BYTES + usize::from(header.key_bytes);
        match side {
            Side::Back => self.put(id, value_at + old_bytes, extra),
            Side::Front => {
                debug_assert!(value_at + old_bytes + extra.len() <= self.chunk_bytes_of(id));
                // SAFETY: the value starts inside the chunk (S4).
                let value = unsafe { self.chunk(id).add(value_at) };
                // SAFETY: the caller's chunk fits both parts, so the moved value ends inside it.
                let moved = unsafe { value.add(extra.len()) };
                // SAFETY: both ranges are inside the chunk, which only `self` reaches (S6).
                unsafe { std::ptr::copy(value, moved, old_bytes) };
                self.put(id, value_at, extra);
            }
        }
    }

    /// Copies key, value, flags and expiry of `from` into the chunk of `to`, which has `class`
    /// and room for `value_extra` bytes more.
    pub(super) fn copy_item(&mut self, from: ItemId, to: ItemId, class: SizeClass) {
        assert_ne!(from, to, "a chunk is not copied onto itself");
        let bytes = self.header(from).item_bytes();
        let (source, target) = (self.chunk(from), self.chunk(to));
        // SAFETY: S3, S4: `bytes` are initialised in `from`, and the chunk of `to` has room for
        // them; two chunks never overlap (S2) and only `self` reaches them (S6).
        unsafe { std::ptr::copy_nonoverlapping(source, target, bytes) };
        self.header_mut(to).class = class.0;
    }

    /// Copies `bytes` into the chunk at `at`.
    fn put(&mut self, id: ItemId, at: usize, bytes: &[u8]) {
        debug_assert!(at + bytes.len() <= self.chunk_bytes_of(id), "S4");
        // SAFETY: `at` is inside the chunk: callers chose the chunk by the item's bytes (S4).
        let target = unsafe { self.chunk(id).add(at) };
        // SAFETY: the chunk has room for them (S4) and only `self` reaches it (S6); `bytes` is a
        // shared borrow, so it is no part of a chunk that `&mut self` could write.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// The first byte of a chunk.
    fn chunk(&self, id: ItemId) -> *mut u8 {
        let offset = self.arena().offset_of(id);
        debug_assert!(offset + HEADER_BYTES <= self.arena().map.len());
        // SAFETY: S2: every id was made from an offset of a chunk inside the mapping.
        unsafe { self.arena().map.base().add(offset) }
    }
}

fn seconds_since_epoch(now: Timestamp) -> u32 {
    let seconds = now.since(EPOCH).as_secs();
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("checked against VALUE_BYTES_MAX")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "splitting a number is the point"
)]
const fn split_40(bits: u64) -> (u32, u8) {
    (bits as u32, (bits >> 32) as u8)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "splitting a number is the point"
)]
const fn split_64(bits: u64) -> (u32, u32) {
    (bits as u32, (bits >> 32) as u32)
}
