//! What is read of an item: by whoever has its shard's lock, or protects the item (S8).

use super::header::{Header, Lengths};
use super::item::{LINE_BYTES, Place, Times, stored_at};
use super::{Arena, SizeClass, Slab, State};
use crate::op::{ItemMeta, ItemView};
use crate::time::{ExpiresAt, Timestamp};

/// What a page keeps of an item beside its chunk, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    times: Times,
    state: State,
    class: SizeClass,
}

/// What an item was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// Header included.
    pub(crate) item_bytes: usize,
    /// When it was last read or stored.
    pub(crate) accessed_at: Timestamp,
    /// Whether it would have expired.
    pub(crate) mortal: bool,
    /// Whether it was ever read.
    pub(crate) fetched: bool,
}

/// Bytes of a chunk that are asked for before it is used, at the most.
const PREFETCHED_BYTES: usize = 4 * LINE_BYTES;

impl Arena {
    #[inline(always)]
    pub(super) fn header(&self, chunk: usize) -> Header {
        Header::read(&self.array(chunk, 0), |at| {
            u32::from_le_bytes(self.array(chunk, at))
        })
    }

    pub(super) fn key_at(&self, place: Place) -> &[u8] {
        self.key_with(place, self.header(place.chunk))
    }

    /// The key of the item at `place`, whose header is known.
    #[inline(always)]
    pub(super) fn key_with(&self, place: Place, header: Header) -> &[u8] {
        self.bytes(place.chunk, header.bytes, header.lengths.key)
    }

    /// The value of the item at `place`, whose header is known; empty if that is elsewhere.
    #[inline(always)]
    pub(super) fn value_with(&self, place: Place, header: Header) -> &[u8] {
        let Lengths {
            key,
            value,
            elsewhere,
            ..
        } = header.lengths;
        let count = if elsewhere { 0 } else { value };
        self.bytes(place.chunk, header.bytes + key, count)
    }

    #[inline(always)]
    pub(super) fn beside(&self, place: Place) -> Beside {
        Beside {
            times: self.times(place),
            state: self.state_at(place),
            class: place.class,
        }
    }

    pub(super) fn view_at(&self, place: Place) -> ItemView<'_> {
        self.view_beside(place.chunk, self.header(place.chunk), self.beside(place))
    }

    /// The item in `chunk`, whose header is known, and what stands beside it.
    #[inline]
    pub(super) fn view_beside(
        &self,
        chunk: usize,
        header: Header,
        Beside {
            times,
            state,
            class,
        }: Beside,
    ) -> ItemView<'_> {
        let Header {
            stamp,
            token,
            lengths,
            bytes: key_at,
        } = header;
        ItemView {
            key: self.bytes(chunk, key_at, lengths.key),
            value: self.bytes(chunk, key_at + lengths.key, lengths.value),
            meta: ItemMeta {
                cas: token,
                flags: lengths.flags,
                marked: lengths.marked,
                expires_at: times.expires_at().timestamp(),
                stamp,
                accessed_at: times.accessed_at(stored_at(stamp)),
                fetched: state.is_fetched(),
                stale: state.is_stale(),
                renewing: state.is_renewing(),
                elsewhere: lengths.elsewhere,
                class,
            },
        }
    }

    pub(super) fn expires_at_place(&self, place: Place) -> ExpiresAt {
        self.times(place).expires_at()
    }

    /// Notes a read that comes without the lock: in the item's times, and in its state, which were `before`. Writes
    /// only what changes, so that a hot item's line stays clean.
    #[inline(always)]
    pub(super) fn note_read(&self, place: Place, before: Beside, now: Timestamp) {
        let Beside { times, state, .. } = before;
        let accessed = times.accessed(now);
        if accessed.0 != times.0 {
            self.turn_times(place, times, accessed);
        }
        let used = state.fetched().used();
        if used != state && state.is_live() {
            self.turn_state(place, state, used);
        }
    }

    /// Asks the processor for what an operation on an item reads: its times, and its chunk from the
    /// header on, as far as that is short. The rest of a long value comes by itself, line after line.
    pub(super) fn prefetch(&self, place: Place) {
        self.prefetch_at(place.times);
        if let Some(links) = place.links {
            self.prefetch_at(links.get());
        }
        let cut = self.classes.cut(place.class);
        let chunk_bytes = cut.map_or(self.page_bytes / 2, |cut| cut.chunk_bytes);
        let end = place.chunk + chunk_bytes.min(PREFETCHED_BYTES);
        let mut at = place.chunk;
        while at < end {
            self.prefetch_at(at);
            at += LINE_BYTES;
        }
        self.prefetch_at(end - 1);
    }
}

impl Slab {
    /// What there is to say of the live item at `place` when it goes.
    #[inline]
    pub(crate) fn life_at(&self, place: Place) -> Life {
        let (header, times) = (self.arena().header(place.chunk), self.arena().times(place));
        Life {
            item_bytes: header.item_bytes(),
            accessed_at: times.accessed_at(stored_at(header.stamp)),
            mortal: times.expires_at() != ExpiresAt::NEVER,
            fetched: self.state_at(place).is_fetched(),
        }
    }
}
