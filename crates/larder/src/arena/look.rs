//! What is read of an item: by whoever has its shard's lock, or protects the item (S8).

use super::Arena;
use super::header::Header;
use super::item::{LINE_BYTES, Place, stored_at};
use crate::op::{ItemMeta, ItemView};
use crate::time::{EPOCH, ExpiresAt, Timestamp};

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

    pub(super) fn view_at(&self, place: Place) -> ItemView<'_> {
        self.view_with(place, self.header(place.chunk))
    }

    /// The item at `place`, whose header is known.
    #[inline(always)]
    pub(super) fn view_with(&self, place: Place, header: Header) -> ItemView<'_> {
        let Header {
            stamp,
            token,
            lengths,
            bytes: key_at,
        } = header;
        let stored_at = stored_at(stamp);
        let (state, times) = (self.state_at(place), self.times(place));
        ItemView {
            key: self.bytes(place.chunk, key_at, lengths.key),
            value: self.bytes(place.chunk, key_at + lengths.key, lengths.value),
            meta: ItemMeta {
                cas: token,
                flags: lengths.flags,
                marked: lengths.marked,
                expires_at: times.expires_at().timestamp(),
                stamp,
                accessed_at: Timestamp::from_unix_seconds(
                    EPOCH.unix_seconds() + times.accessed_seconds(stored_at),
                ),
                fetched: state.is_fetched(),
                stale: state.is_stale(),
                renewing: state.is_renewing(),
                elsewhere: lengths.elsewhere,
                class: place.class,
            },
        }
    }

    pub(super) fn expires_at_place(&self, place: Place) -> ExpiresAt {
        self.times(place).expires_at()
    }

    /// Notes a read that comes without the lock: in the item's times, and in its state. Writes only what
    /// changes, so that a hot item's line stays clean.
    #[inline(always)]
    pub(super) fn note_read(&self, place: Place, now: Timestamp) {
        let times = self.times(place);
        let accessed = times.accessed(now);
        if accessed.0 != times.0 {
            self.turn_times(place, times, accessed);
        }
        let state = self.state_at(place);
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
            self.prefetch_at(links);
        }
        let cut = self.classes.cut(place.class);
        let chunk_bytes = cut.map_or(self.page_bytes / 2, |cut| cut.chunk_bytes);
        let bytes = chunk_bytes.min(PREFETCHED_BYTES);
        for at in (0..bytes).step_by(LINE_BYTES) {
            self.prefetch_at(place.chunk + at);
        }
        self.prefetch_at(place.chunk + bytes - 1);
    }
}
