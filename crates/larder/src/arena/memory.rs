//! Reads and writes of what a slab's pages and runs hold: words, states, bytes.
//!
//! The unsafe part of an item: offsets come from places that `Slab` made of live ids, what the bytes
//! mean is item.rs's business.
#![expect(
    unsafe_code,
    reason = "items are laid out by hand in the mapping's bytes"
)]
#![expect(
    clippy::needless_pass_by_ref_mut,
    reason = "the borrow is what makes writes exclusive"
)]

use std::{ptr, slice};

use super::ItemId;
use super::item::{Link, Place, Times};
use super::slab::Slab;
use super::state::State;

/// `&Slab` reads, `&mut Slab` writes (S6).
impl Slab {
    pub(crate) fn state_at(&self, place: Place) -> State {
        let state = self.at(place.state);
        // SAFETY: S2: the state byte lies inside the mapping; S1, S6: nobody writes it while `self`
        // is borrowed.
        State::from_bits(unsafe { *state })
    }

    pub(super) fn set_state_at(&mut self, place: Place, state: State) {
        let target = self.at(place.state);
        // SAFETY: as in `state_at`, and `&mut self` is the only way to it (S6).
        unsafe { *target = state.to_bits() };
    }

    pub(super) fn times(&self, place: Place) -> Times {
        let times = self.at(place.times).cast::<Times>();
        // SAFETY: S2: the times lie inside the mapping and are aligned; S1, S6: they belong to this
        // slab and nobody writes them while `self` is borrowed; all byte patterns are times.
        unsafe { *times }
    }

    pub(super) fn set_times(&mut self, place: Place, times: Times) {
        let target = self.at(place.times).cast::<Times>();
        // SAFETY: as in `times`, and `&mut self` is the only way to it (S6).
        unsafe { *target = times };
    }

    pub(super) fn links_at(&self, place: Place) -> &[Link; 2] {
        let links = place.links.expect("lists are kept where links are");
        let links = self.at(links).cast::<[Link; 2]>();
        // SAFETY: as in `times`: inside the mapping, aligned, any bytes are links.
        unsafe { &*links }
    }

    pub(super) fn links_mut(&mut self, place: Place) -> &mut [Link; 2] {
        let links = place.links.expect("lists are kept where links are");
        let links = self.at(links).cast::<[Link; 2]>();
        // SAFETY: as in `links_at`, and `&mut self` is the only way to it (S6).
        unsafe { &mut *links }
    }

    pub(super) fn array<const N: usize>(&self, chunk: usize, at: usize) -> [u8; N] {
        let from = self.at(chunk + at).cast::<[u8; N]>();
        // SAFETY: headers, and what they announce, lie inside the chunk (S4), and nobody writes them
        // while `self` is borrowed (S6); bytes need no alignment.
        unsafe { from.read_unaligned() }
    }

    pub(super) fn bytes(&self, chunk: usize, at: usize, count: usize) -> &[u8] {
        let from = self.at(chunk + at);
        // SAFETY: S3, S4: key and value lie inside the chunk, `count` initialised bytes as the
        // header's lengths say; S6: not written while `self` is borrowed.
        unsafe { slice::from_raw_parts(from, count) }
    }

    /// Copies `bytes` into the chunk at `at`.
    pub(super) fn put(&mut self, chunk: usize, at: usize, bytes: &[u8]) {
        let target = self.at(chunk + at);
        // SAFETY: the chunk has room for them, as callers chose it by the item's bytes (S4), and only
        // `self` reaches it (S6); `bytes` is a shared borrow, so it is no part of a chunk that
        // `&mut self` could write.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// Copies `count` bytes from one offset of the mapping to another; the ranges may overlap.
    pub(super) fn copy(&mut self, from: usize, to: usize, count: usize) {
        let (source, target) = (self.at(from), self.at(to));
        // SAFETY: both ranges lie inside chunks that fit them (S4), which only `self` reaches (S6).
        unsafe { ptr::copy(source, target, count) };
    }

    /// The byte at an offset of the mapping that belongs to one of the slab's pages or runs.
    fn at(&self, offset: usize) -> *mut u8 {
        self.arena().byte_at(offset)
    }

    /// Asks the processor for the line at an offset that is read soon.
    pub(super) fn prefetch_at(&self, offset: usize) {
        prefetch_line(self.at(offset));
    }

    pub(super) fn run_word(&self, id: ItemId, at: usize) -> u64 {
        let word = self.at(self.run_offset(id) + at).cast::<u64>();
        // SAFETY: S2: a run begins with a line, whose words are aligned; S6: nobody writes them while
        // `self` is borrowed.
        unsafe { *word }
    }

    pub(super) fn set_run_word(&mut self, id: ItemId, at: usize, word: u64) {
        let target = self.at(self.run_offset(id) + at).cast::<u64>();
        // SAFETY: as in `run_word`, and `&mut self` is the only way to it (S6).
        unsafe { *target = word };
    }
}

/// Asks the processor for a line of memory, and does not wait for it. Where that cannot be asked, nothing
/// happens.
#[inline]
pub(super) fn prefetch_line<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint: it reads nothing that anybody could notice, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
