//! An item in its chunk, and what the page keeps for the chunk beside it.
//!
//! ```text
//! chunk    | header 12 | key | value | rounding |                            (header.rs)
//! slot     | expires 40 bits, accessed 24 bits | previous 4 | next 4 |      and a state byte apart
//! ```
//! The chunk's bytes say what was stored, and when: the upper 40 bits of the token are its
//! millisecond. What changes while an item lives is in the slot.
//!
//! All reading and writing of item memory is here; `Slab` decides which chunk, this file only how
//! its bytes are laid out. It allocates nothing and knows no list.
#![expect(
    unsafe_code,
    reason = "items are laid out by hand in the mapping's bytes"
)]

use std::{ptr, slice};

use super::ItemId;
use super::header::{HEADER_BYTES, Header, Lengths};
use super::slab::Slab;
use crate::op::{CasToken, ItemMeta, ItemView};
use crate::time::{EPOCH, ExpiresAt, Timestamp};

/// What a page keeps for each of its chunks besides the state. All-zero bytes are a valid slot.
#[derive(Debug)]
#[repr(C)]
struct Slot {
    /// Upper 40 bits: `ExpiresAt`. Lower 24: seconds since `EPOCH`, modulo 2^24.
    times: u64,
    /// LRU neighbours; `next` links the page's free chunks while the chunk is free.
    previous: Link,
    next: Link,
}

/// Bytes of a slot, and of the state byte behind the slots.
pub(super) const SLOT_BYTES: usize = size_of::<Slot>();
pub(super) const STATE_BYTES: usize = 1;

const _: () = assert!(SLOT_BYTES == 16 && align_of::<Slot>() == 8);

const ACCESSED_BITS: u32 = 24;
const ACCESSED_MASK: u64 = (1 << ACCESSED_BITS) - 1;

/// Bits of the state byte.
const LIVE: u8 = 1;
const FETCHED: u8 = 2;
const STALE: u8 = 0x40;
const RENEWING: u8 = 0x80;

/// Where the parts of an item are.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: *mut Slot,
    state: *mut u8,
    chunk: *mut u8,
}

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
    /// The token that the caller chose in the place of `cas`.
    pub(crate) chosen: Option<CasToken>,
    pub(crate) marked: bool,
    pub(crate) now: Timestamp,
}

impl NewItem<'_> {
    /// Bytes of the item, header included.
    pub(crate) fn item_bytes(&self) -> usize {
        self.lengths().item_bytes()
    }

    fn lengths(&self) -> Lengths {
        Lengths {
            key: self.key.len(),
            value: self.value.len(),
            flags: self.flags,
            marked: self.marked,
            has_token: self.chosen.is_some(),
        }
    }
}

/// Which end of a value something is joined to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Front,
    Back,
}

impl Slot {
    fn expires_at(&self) -> ExpiresAt {
        ExpiresAt::from_bits(self.times >> ACCESSED_BITS)
    }

    /// Seconds since `EPOCH` of the last access to an item stored at `stored_at`.
    fn accessed_seconds(&self, stored_at: Timestamp) -> u64 {
        let stored = stored_at.since(EPOCH).as_secs();
        stored + ((self.times & ACCESSED_MASK).wrapping_sub(stored) & ACCESSED_MASK)
    }
}

/// Access to the items of a slab. `&Slab` reads, `&mut Slab` writes (S6).
impl Slab {
    /// The key of a live item.
    pub(crate) fn key(&self, id: ItemId) -> &[u8] {
        let place = self.place(id);
        let lengths = self.header(place).lengths;
        self.bytes(place, lengths.header_bytes(), lengths.key)
    }

    /// A live item.
    pub(crate) fn view(&self, id: ItemId) -> ItemView<'_> {
        let place = self.place(id);
        debug_assert!(self.state(place) & LIVE != 0, "S5: only live ids are known");
        let Header {
            stamp,
            token,
            lengths,
        } = self.header(place);
        let key_at = lengths.header_bytes();
        let stored_at = stored_at(stamp);
        let state = self.state(place);
        ItemView {
            key: self.bytes(place, key_at, lengths.key),
            value: self.bytes(place, key_at + lengths.key, lengths.value),
            meta: ItemMeta {
                cas: token,
                flags: lengths.flags,
                marked: lengths.marked,
                expires_at: self.slot(place).expires_at().timestamp(),
                stored_at,
                accessed_at: Timestamp::from_unix_seconds(
                    EPOCH.unix_seconds() + self.slot(place).accessed_seconds(stored_at),
                ),
                fetched: state & FETCHED != 0,
                stale: state & STALE != 0,
                renewing: state & RENEWING != 0,
            },
        }
    }

    pub(super) fn is_live(&self, id: ItemId) -> bool {
        self.state(self.place(id)) & LIVE != 0
    }

    /// Bytes of a live item, header included.
    pub(crate) fn item_bytes(&self, id: ItemId) -> usize {
        self.header(self.place(id)).lengths.item_bytes()
    }

    /// Whether the header of a live item stays as long as it is with a value of `value_bytes`.
    pub(super) fn keeps_header(&self, id: ItemId, value_bytes: usize) -> bool {
        let lengths = self.header(self.place(id)).lengths;
        Lengths {
            value: value_bytes,
            ..lengths
        }
        .header_bytes()
            == lengths.header_bytes()
    }

    /// Bytes of a live item once its value has `value_bytes`.
    pub(crate) fn item_bytes_with(&self, id: ItemId, value_bytes: usize) -> usize {
        let lengths = self.header(self.place(id)).lengths;
        Lengths {
            value: value_bytes,
            ..lengths
        }
        .item_bytes()
    }

    pub(crate) fn expires_at(&self, id: ItemId) -> ExpiresAt {
        self.slot(self.place(id)).expires_at()
    }

    /// When a live item was last stored or read, in seconds since `EPOCH`. Right for an item that
    /// was used within 194 days of its store; after that, 194 days too early or more.
    pub(crate) fn accessed_seconds(&self, id: ItemId) -> u32 {
        let place = self.place(id);
        let stored_at = stored_at(self.header(place).stamp);
        u32::try_from(self.slot(place).accessed_seconds(stored_at)).unwrap_or(u32::MAX)
    }

    pub(super) fn set_expiry(&mut self, id: ItemId, expires_at: ExpiresAt) {
        let slot = self.slot_mut(self.place(id));
        slot.times = slot.times & ACCESSED_MASK | expires_at.to_bits() << ACCESSED_BITS;
    }

    pub(crate) fn set_accessed_at(&mut self, id: ItemId, now: Timestamp) {
        let slot = self.slot_mut(self.place(id));
        slot.times = slot.times & !ACCESSED_MASK | now.since(EPOCH).as_secs() & ACCESSED_MASK;
    }

    /// The policy's links of an item: towards the head, towards the tail.
    pub(crate) fn links(&self, id: ItemId) -> (Link, Link) {
        let slot = self.slot(self.place(id));
        (slot.previous, slot.next)
    }

    pub(crate) fn set_previous(&mut self, id: ItemId, link: Link) {
        self.slot_mut(self.place(id)).previous = link;
    }

    pub(crate) fn set_next(&mut self, id: ItemId, link: Link) {
        self.slot_mut(self.place(id)).next = link;
    }

    pub(crate) fn mark_fetched(&mut self, id: ItemId) {
        let place = self.place(id);
        self.set_state(place, self.state(place) | FETCHED);
    }

    pub(crate) fn is_fetched(&self, id: ItemId) -> bool {
        self.state(self.place(id)) & FETCHED != 0
    }

    /// Sets what is known of the item's renewal.
    pub(crate) fn set_renewal(&mut self, id: ItemId, stale: bool, renewing: bool) {
        let place = self.place(id);
        let stale = if stale { STALE } else { 0 };
        let renewing = if renewing { RENEWING } else { 0 };
        let others = self.state(place) & !(STALE | RENEWING);
        self.set_state(place, others | stale | renewing);
    }

    /// The stamp of a live item, and the token if the caller chose it.
    pub(crate) fn tokens(&self, id: ItemId) -> (CasToken, Option<CasToken>) {
        let header = self.header(self.place(id));
        (
            header.stamp,
            header.lengths.has_token.then_some(header.token),
        )
    }

    /// Gives a live item a new token; its value stays.
    pub(crate) fn set_token(&mut self, id: ItemId, cas: CasToken) {
        let place = self.place(id);
        let lengths = self.header(place).lengths;
        self.put_header(place, Header::stamped(cas, lengths));
    }

    /// Makes the chunk a link of its page's free list.
    pub(super) fn make_free(&mut self, id: ItemId, next: Link) {
        let place = self.place(id);
        self.set_state(place, 0);
        self.slot_mut(place).next = next;
    }

    /// Writes a whole item into a chunk that fits it; its list links are left as they are.
    pub(super) fn write(&mut self, id: ItemId, item: &NewItem<'_>) {
        let lengths = item.lengths();
        let place = self.place(id);
        let header = Header {
            stamp: item.cas,
            token: item.chosen.unwrap_or(item.cas),
            lengths,
        };
        self.put_header(place, header);
        self.put(place, lengths.header_bytes(), item.key);
        self.put(place, lengths.header_bytes() + item.key.len(), item.value);
        self.stamp(id, item.now);
        self.set_expiry(id, item.expires_at);
    }

    /// Replaces the value of an item whose chunk fits the new one and whose header keeps its
    /// length. Key, flags and expiry stay.
    pub(super) fn overwrite_value(
        &mut self,
        id: ItemId,
        value: &[u8],
        cas: CasToken,
        now: Timestamp,
    ) {
        let place = self.place(id);
        let lengths = Lengths {
            value: value.len(),
            ..self.header(place).lengths
        };
        self.put_header(place, Header::stamped(cas, lengths));
        self.put(place, lengths.header_bytes() + lengths.key, value);
        self.stamp(id, now);
    }

    /// Joins `extra` to the value of an item whose chunk fits both and whose header keeps its
    /// length.
    pub(super) fn join(
        &mut self,
        id: ItemId,
        extra: &[u8],
        side: Side,
        cas: CasToken,
        now: Timestamp,
    ) {
        let place = self.place(id);
        let old = self.header(place).lengths;
        let lengths = Lengths {
            value: old.value + extra.len(),
            ..old
        };
        debug_assert_eq!(lengths.header_bytes(), old.header_bytes());
        self.put_header(place, Header::stamped(cas, lengths));
        let value_at = lengths.header_bytes() + lengths.key;
        match side {
            Side::Back => self.put(place, value_at + old.value, extra),
            Side::Front => {
                // SAFETY: the value starts inside the chunk (S4).
                let value = unsafe { place.chunk.add(value_at) };
                // SAFETY: the caller's chunk fits both parts, so the moved value ends inside it.
                let moved = unsafe { value.add(extra.len()) };
                // SAFETY: both ranges are inside the chunk, which only `self` reaches (S6).
                unsafe { ptr::copy(value, moved, old.value) };
                self.put(place, value_at, extra);
            }
        }
        self.stamp(id, now);
    }

    /// Writes into `to`, whose chunk fits it, an item with `from`'s key, flags and expiry and a
    /// value of two parts; a part that is `None` is `from`'s value. `from` stays.
    pub(super) fn write_changed(
        &mut self,
        to: ItemId,
        from: ItemId,
        parts: [Option<&[u8]>; 2],
        cas: CasToken,
        now: Timestamp,
    ) {
        assert_ne!(from, to, "two live chunks are two");
        let expires_at = self.expires_at(from);
        let (source, target) = (self.place(from), self.place(to));
        let old = self.header(source).lengths;
        let value_bytes = parts
            .iter()
            .map(|part| part.map_or(old.value, <[u8]>::len))
            .sum();
        let lengths = Lengths {
            value: value_bytes,
            ..old
        };
        self.put_header(target, Header::stamped(cas, lengths));
        let mut at = lengths.header_bytes();
        self.copy(source, old.header_bytes(), target, at, old.key);
        at += old.key;
        for part in parts {
            match part {
                Some(bytes) => self.put(target, at, bytes),
                None => self.copy(source, old.header_bytes() + old.key, target, at, old.value),
            }
            at += part.map_or(old.value, <[u8]>::len);
        }
        self.stamp(to, now);
        self.set_expiry(to, expires_at);
    }

    /// A value has just been written: accessed now, not yet fetched.
    fn stamp(&mut self, id: ItemId, now: Timestamp) {
        self.set_accessed_at(id, now);
        self.set_state(self.place(id), LIVE);
    }

    /// Where the parts of an item are.
    fn place(&self, id: ItemId) -> Place {
        let located = self.locate(id);
        debug_assert!(located.chunk + HEADER_BYTES <= self.arena().map.len());
        let base = self.arena().map.base();
        // SAFETY: S2: every id was made from the offset of a chunk inside the mapping, and what
        // belongs to the chunk stands in the same page or run.
        let slot = unsafe { base.add(located.slot) };
        // SAFETY: as above.
        let state = unsafe { base.add(located.state) };
        // SAFETY: as above.
        let chunk = unsafe { base.add(located.chunk) };
        Place {
            slot: slot.cast(),
            state,
            chunk,
        }
    }

    fn slot(&self, place: Place) -> &Slot {
        // SAFETY: S2: the slot lies inside the mapping and is aligned; S1, S6: it belongs to this
        // slab and nobody writes it while `self` is borrowed; all byte patterns are slots.
        unsafe { &*place.slot }
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the borrow is what makes it exclusive"
    )]
    fn slot_mut(&mut self, place: Place) -> &mut Slot {
        // SAFETY: as in `slot`, and `&mut self` is the only way to it (S6).
        unsafe { &mut *place.slot }
    }

    fn state(&self, place: Place) -> u8 {
        // SAFETY: S2: the state byte lies inside the mapping; S1, S6: nobody writes it while `self`
        // is borrowed.
        unsafe { *place.state }
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the borrow is what makes it exclusive"
    )]
    fn set_state(&mut self, place: Place, state: u8) {
        // SAFETY: as in `state`, and `&mut self` is the only way to it (S6).
        unsafe { *place.state = state };
    }

    fn header(&self, place: Place) -> Header {
        Header::read(&self.array(place, 0), |at| {
            u32::from_le_bytes(self.array(place, at))
        })
    }

    fn put_header(&mut self, place: Place, header: Header) {
        let (bytes, count) = header.to_bytes();
        self.put(place, 0, &bytes[..count]);
    }

    fn array<const N: usize>(&self, place: Place, at: usize) -> [u8; N] {
        // SAFETY: headers, and what they announce, lie inside the chunk (S4).
        let from = unsafe { place.chunk.add(at) };
        // SAFETY: S4, and nobody writes them while `self` is borrowed (S6); bytes need no alignment.
        unsafe { from.cast::<[u8; N]>().read_unaligned() }
    }

    fn bytes(&self, place: Place, at: usize, count: usize) -> &[u8] {
        // SAFETY: key and value lie inside the chunk, as the header's lengths say (S4).
        let from = unsafe { place.chunk.add(at) };
        // SAFETY: S3, S4: `count` initialised bytes; S6: not written while `self` is borrowed.
        unsafe { slice::from_raw_parts(from, count) }
    }

    /// Copies `bytes` into the chunk at `at`.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the borrow is what makes it exclusive"
    )]
    fn put(&mut self, place: Place, at: usize, bytes: &[u8]) {
        // SAFETY: `at` is inside the chunk: callers chose the chunk by the item's bytes (S4).
        let target = unsafe { place.chunk.add(at) };
        // SAFETY: the chunk has room for them (S4) and only `self` reaches it (S6); `bytes` is a
        // shared borrow, so it is no part of a chunk that `&mut self` could write.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// Copies `count` bytes from one chunk to another.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the borrow is what makes it exclusive"
    )]
    fn copy(&mut self, from: Place, from_at: usize, to: Place, to_at: usize, count: usize) {
        // SAFETY: the range lies inside the item of `from` (S4).
        let source = unsafe { from.chunk.add(from_at) };
        // SAFETY: the chunk of `to` was chosen to fit what is written (S4).
        let target = unsafe { to.chunk.add(to_at) };
        // SAFETY: two chunks never overlap (S2), and only `self` reaches them (S6).
        unsafe { ptr::copy_nonoverlapping(source, target, count) };
    }
}

/// When the value with this token was stored: tokens carry their millisecond.
fn stored_at(cas: CasToken) -> Timestamp {
    Timestamp::from_unix_millis(EPOCH.unix_millis() + (cas.to_u64() >> CasToken::TIME_SHIFT))
}
