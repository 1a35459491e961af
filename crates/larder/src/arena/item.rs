//! An item in its chunk, and what the page keeps for the chunk beside it.
//!
//! ```text
//! chunk    | header 12 | key | value | rounding |                              (header.rs)
//! line     | times 0 .. times 6, 8 bytes each | state 0 .. state 6 | unused |  for seven chunks
//! times    | expires 40 bits | accessed 24 bits |    while the chunk is free: the next free one
//! links    | previous 4 | next 4 |                   only where a policy has lists
//! ```
//! The chunk's bytes say what was stored, and when: the upper 40 bits of the token are its
//! millisecond. What changes while an item lives is in the line, and a read touches one line of it.
//!
//! `Slab` decides which chunk, this file only how its bytes are laid out; memory.rs reads and writes
//! them. It allocates nothing and knows no list.

use std::num::NonZero;

use super::header::{HEADER_BYTES, Header};
use super::new_item::Measured;
use super::slab::{RUN_POSITION_AT, RUN_STAMP_AT, Slab};
use super::state::State;
use super::{ItemId, SizeClass};
use crate::op::{CasToken, ItemView, Locator};
use crate::time::{EPOCH, ExpiresAt, Timestamp};

/// Bytes of a line: one cache line, so that a chunk's times and state are met together.
pub(super) const LINE_BYTES: usize = 64;
/// Chunks that share a line.
pub(super) const LINE_SLOTS: usize = 7;
/// Bytes of the two links of a chunk.
pub(super) const LINKS_BYTES: usize = 8;
/// Bytes of a chunk's times in its line.
pub(super) const TIMES_BYTES: usize = 8;

const _: () = assert!(LINE_SLOTS * (TIMES_BYTES + 1) <= LINE_BYTES);

/// When an item expires and when it was used last.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Times(pub(super) u64);

const ACCESSED_BITS: u32 = 24;
const ACCESSED_MASK: u64 = (1 << ACCESSED_BITS) - 1;
/// How much earlier than the store an access may seem to be.
const BEFORE_SECONDS_MAX: u64 = 3600;

/// Where the parts of an item are: offsets in the mapping, of a chunk that the slab owns. Optional places are as long
/// as places: otherwise each is shifted as it is passed on, by reading what was only just written in other pieces,
/// which has to wait for every store before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) times: usize,
    pub(super) state: NonZero<usize>,
    /// The links, where the policy or the item's size asks for them: never at the beginning of the mapping.
    pub(super) links: Option<NonZero<usize>>,
    pub(super) chunk: usize,
    /// The class that the chunk was cut for.
    pub(super) class: SizeClass,
}

const _: () = assert!(size_of::<Option<(ItemId, Place)>>() == size_of::<(ItemId, Place)>());

impl Place {
    /// The class of the chunk.
    pub(crate) fn class(self) -> SizeClass {
        self.class
    }
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

    pub(super) const fn to_bits(self) -> u32 {
        self.0
    }

    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl From<ItemId> for Link {
    fn from(id: ItemId) -> Self {
        Self(id.0 + 1)
    }
}

/// Which end of a value something is joined to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Front,
    Back,
}

impl Times {
    pub(super) fn expires_at(self) -> ExpiresAt {
        ExpiresAt::from_bits(self.0 >> ACCESSED_BITS)
    }

    fn expiring(self, expires_at: ExpiresAt) -> Self {
        Self(self.0 & ACCESSED_MASK | expires_at.to_bits() << ACCESSED_BITS)
    }

    pub(super) fn accessed(self, now: Timestamp) -> Self {
        Self(self.0 & !ACCESSED_MASK | now.since(EPOCH).as_secs() & ACCESSED_MASK)
    }

    /// The last access to an item stored at `stored_at`.
    pub(super) fn accessed_at(self, stored_at: Timestamp) -> Timestamp {
        Timestamp::from_unix_seconds(EPOCH.unix_seconds() + self.accessed_seconds(stored_at))
    }

    /// Seconds since `EPOCH` of the last access to an item stored at `stored_at`.
    pub(super) fn accessed_seconds(self, stored_at: Timestamp) -> u64 {
        let stored = stored_at.since(EPOCH).as_secs();
        let after = (self.0 & ACCESSED_MASK).wrapping_sub(stored) & ACCESSED_MASK;
        // A reader that had to wait may have looked at the clock before the store.
        if after > ACCESSED_MASK - BEFORE_SECONDS_MAX {
            stored
        } else {
            stored + after
        }
    }
}

/// Access to the items of a slab. `&Slab` reads, `&mut Slab` writes (S6).
impl Slab {
    /// The key of a live item.
    pub(crate) fn key(&self, id: ItemId) -> &[u8] {
        self.arena().key_at(self.place(id))
    }

    /// The key of the live item at `place`.
    pub(crate) fn key_at(&self, place: Place) -> &[u8] {
        self.arena().key_at(place)
    }

    /// Asks the processor for what an operation on the live item at `place` reads and writes.
    pub(crate) fn prefetch(&self, place: Place) {
        self.arena().prefetch(place);
    }

    /// A live item.
    pub(crate) fn view(&self, id: ItemId) -> ItemView<'_> {
        self.view_at(self.place(id))
    }

    /// The live item at `place`.
    pub(crate) fn view_at(&self, place: Place) -> ItemView<'_> {
        debug_assert!(
            self.state_at(place).is_live(),
            "S5: only live ids are known"
        );
        self.arena().view_at(place)
    }

    /// Bytes of a live item, header included.
    pub(crate) fn item_bytes(&self, id: ItemId) -> usize {
        self.header(self.chunk_offset(id)).item_bytes()
    }

    /// Whether the header of a live item stays as long as it is with a value of `value_bytes`.
    pub(super) fn keeps_header(&self, id: ItemId, value_bytes: usize) -> bool {
        let lengths = self.header(self.chunk_offset(id)).lengths;
        lengths.with_value(value_bytes).header_bytes() == lengths.header_bytes()
    }

    /// Bytes of the live item at `place`, header included.
    pub(crate) fn item_bytes_at(&self, place: Place) -> usize {
        self.header(place.chunk).item_bytes()
    }

    /// Bytes of a live item once its value has `value_bytes`.
    pub(crate) fn item_bytes_with(&self, id: ItemId, value_bytes: usize) -> usize {
        let lengths = self.header(self.chunk_offset(id)).lengths;
        lengths.with_value(value_bytes).item_bytes()
    }

    pub(crate) fn expires_at(&self, id: ItemId) -> ExpiresAt {
        self.expires_at_place(self.place(id))
    }

    pub(crate) fn expires_at_place(&self, place: Place) -> ExpiresAt {
        self.arena().expires_at_place(place)
    }

    /// When a live item was last stored or read, in seconds since `EPOCH`. Right for an item that
    /// was used within 194 days of its store; after that, 194 days too early or more.
    pub(crate) fn accessed_seconds(&self, id: ItemId) -> u32 {
        let place = self.place(id);
        let stored_at = stored_at(self.header(place.chunk).stamp);
        u32::try_from(self.times(place).accessed_seconds(stored_at)).unwrap_or(u32::MAX)
    }

    pub(super) fn set_expiry(&mut self, id: ItemId, expires_at: ExpiresAt) {
        let place = self.place(id);
        self.set_times(place, self.times(place).expiring(expires_at));
    }

    /// Notes that the live item at `place` was used: in its times, and in `state`. Writes only what
    /// changes, so that a hot item's line stays clean.
    pub(crate) fn note_use(&mut self, place: Place, now: Timestamp, state: State) {
        let times = self.times(place);
        let accessed = times.accessed(now);
        if accessed.0 != times.0 {
            self.set_times(place, accessed);
        }
        if self.state_at(place) != state {
            self.set_state_at(place, state);
        }
    }

    /// The policy's links of an item: towards the head, towards the tail.
    pub(crate) fn links(&self, id: ItemId) -> (Link, Link) {
        let [previous, next] = *self.links_at(self.place(id));
        (previous, next)
    }

    pub(crate) fn set_previous(&mut self, id: ItemId, link: Link) {
        let place = self.place(id);
        self.links_mut(place)[0] = link;
    }

    pub(crate) fn set_next(&mut self, id: ItemId, link: Link) {
        let place = self.place(id);
        self.links_mut(place)[1] = link;
    }

    /// The policy's note on a large item.
    pub(crate) fn large_stamp(&self, id: ItemId) -> f64 {
        f64::from_bits(self.run_word(id, RUN_STAMP_AT))
    }

    pub(crate) fn set_large_stamp(&mut self, id: ItemId, stamp: f64) {
        self.set_run_word(id, RUN_STAMP_AT, stamp.to_bits());
    }

    /// A large item's position among those of its slab.
    pub(super) fn large_position(&self, id: ItemId) -> u32 {
        u32::try_from(self.run_word(id, RUN_POSITION_AT)).expect("written from a u32")
    }

    pub(super) fn set_large_position(&mut self, id: ItemId, position: u32) {
        self.set_run_word(id, RUN_POSITION_AT, u64::from(position));
    }

    /// The next chunk of a page's free list.
    pub(super) fn next_free(&self, place: Place) -> Link {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a link is four bytes of it"
        )]
        let bits = self.times(place).0 as u32;
        Link(bits)
    }

    /// The stamp of a live item, and the token if the caller chose it.
    pub(crate) fn tokens(&self, id: ItemId) -> (CasToken, Option<CasToken>) {
        let header = self.header(self.chunk_offset(id));
        (
            header.stamp,
            header.lengths.has_token.then_some(header.token),
        )
    }

    /// Gives a live item a new token; its value stays. The last access is kept as time since the store that
    /// the token tells of, so it is not before that.
    pub(crate) fn set_token(&mut self, id: ItemId, cas: CasToken) {
        let place = self.place(id);
        let lengths = self.header(place.chunk).lengths;
        self.put_header(place.chunk, Header::stamped(cas, lengths));
        self.set_times(place, self.times(place).accessed(stored_at(cas)));
    }

    /// Makes the chunk a link of its page's free list.
    pub(super) fn make_free(&mut self, place: Place, next: Link) {
        self.set_state_at(place, State::FREE);
        self.set_times(place, Times(u64::from(next.0)));
    }

    /// Writes a whole item into the chunk at `place`, which fits it, in the state `state`; links are left as
    /// they are.
    #[inline(always)]
    pub(super) fn write(&mut self, place: Place, item: &Measured<'_>, state: State) {
        let header = item.header;
        self.put_header(place.chunk, header);
        self.put(place.chunk, header.bytes, item.key);
        if item.filled.is_none() {
            let value_at = header.bytes + item.key.len();
            self.put(place.chunk, value_at, item.value);
        }
        let times = Times(0).expiring(item.expires_at).accessed(item.now);
        self.set_times(place, times);
        self.set_state_at(place, state);
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
        let lengths = self.header(place.chunk).lengths.with_value(value.len());
        self.put_header(place.chunk, Header::stamped(cas, lengths));
        self.put(place.chunk, lengths.header_bytes() + lengths.key, value);
        self.note_use(place, now, self.state_at(place).renewed());
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
        let old = self.header(place.chunk).lengths;
        debug_assert!(!old.elsewhere, "nothing is joined to a locator");
        let lengths = old.with_value(old.value + extra.len());
        debug_assert_eq!(lengths.header_bytes(), old.header_bytes());
        self.put_header(place.chunk, Header::stamped(cas, lengths));
        let value_at = lengths.header_bytes() + lengths.key;
        match side {
            Side::Back => self.put(place.chunk, value_at + old.value, extra),
            Side::Front => {
                let value = place.chunk + value_at;
                self.copy(value, value + extra.len(), old.value);
                self.put(place.chunk, value_at, extra);
            }
        }
        self.note_use(place, now, self.state_at(place).renewed());
    }

    /// Writes into `to`, whose chunk fits it, an item with `from`'s key, flags, expiry and standing
    /// and a value of two parts; a part that is `None` is `from`'s value. `from` stays.
    pub(super) fn write_changed(
        &mut self,
        to: ItemId,
        from: ItemId,
        parts: [Option<&[u8]>; 2],
        cas: CasToken,
        now: Timestamp,
    ) {
        assert_ne!(from, to, "two live chunks are two");
        let (source, target) = (self.place(from), self.place(to));
        let old = self.header(source.chunk).lengths;
        let value_bytes = parts
            .iter()
            .map(|part| part.map_or(old.value, <[u8]>::len))
            .sum();
        let lengths = old.with_value(value_bytes);
        self.put_header(target.chunk, Header::stamped(cas, lengths));
        let mut at = lengths.header_bytes();
        self.copy(
            source.chunk + old.header_bytes(),
            target.chunk + at,
            old.key,
        );
        at += old.key;
        let old_value = source.chunk + old.header_bytes() + old.key;
        for part in parts {
            match part {
                Some(bytes) => self.put(target.chunk, at, bytes),
                None => self.copy(old_value, target.chunk + at, old.value),
            }
            at += part.map_or(old.value, <[u8]>::len);
        }
        self.set_times(target, self.times(source).accessed(now));
        self.set_state_at(target, self.state_at(source).renewed());
    }

    /// The locator in the place of a live item's value, if that is elsewhere.
    pub(crate) fn locator(&self, id: ItemId) -> Option<Locator> {
        let chunk = self.chunk_offset(id);
        let is_elsewhere = self.header(chunk).lengths.elsewhere;
        is_elsewhere.then(|| self.view(id).locator()).flatten()
    }

    /// Gives the live item `to` the times and the state of `from`.
    pub(crate) fn copy_standing(&mut self, from: ItemId, to: ItemId) {
        let (source, target) = (self.place(from), self.place(to));
        self.set_times(target, self.times(source));
        self.set_state_at(target, self.state_at(source));
    }

    /// Copies the live item `from`, with its times and its state, into `to`, whose chunk fits it.
    pub(super) fn copy_item(&mut self, from: ItemId, to: ItemId) {
        assert_ne!(from, to, "two live chunks are two");
        let (source, target) = (self.place(from), self.place(to));
        let item_bytes = self.header(source.chunk).item_bytes();
        self.copy(source.chunk, target.chunk, item_bytes);
        self.copy_standing(from, to);
    }

    fn header(&self, chunk: usize) -> Header {
        self.arena().header(chunk)
    }

    #[inline(always)]
    fn put_header(&mut self, chunk: usize, header: Header) {
        // Of a length that is known, and so without a call.
        self.put(chunk, 0, &header.fixed_bytes());
        if header.bytes > HEADER_BYTES {
            let (bytes, count) = header.further_bytes();
            self.put(chunk, HEADER_BYTES, &bytes[..count]);
        }
    }

    /// What became of the chunk.
    pub(crate) fn state(&self, id: ItemId) -> State {
        self.state_at(self.place(id))
    }

    pub(crate) fn set_state(&mut self, id: ItemId, state: State) {
        self.set_state_at(self.place(id), state);
    }
}

/// When the value with this token was stored: tokens carry their millisecond.
pub(crate) const fn stored_at(cas: CasToken) -> Timestamp {
    Timestamp::from_unix_millis(EPOCH.unix_millis() + (cas.to_u64() >> CasToken::TIME_SHIFT))
}
