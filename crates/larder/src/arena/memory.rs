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

use super::item::{Link, Place, Times};
use super::slab::Slab;
use super::state::State;
use super::{Arena, ItemId};
use crate::sync::{AtomicU8, AtomicU64, Ordering};

/// What is read of an item: by whoever has the shard's lock, or protects the item (S8).
impl Arena {
    #[inline]
    fn state_cell(&self, place: Place) -> &AtomicU8 {
        let state = self.byte_at(place.state.get()).cast::<AtomicU8>();
        // SAFETY: S2: the state byte lies inside the mapping; as long as the page is the slab's it is only
        // ever used as an atomic.
        unsafe { &*state }
    }

    #[inline]
    fn times_cell(&self, place: Place) -> &AtomicU64 {
        let times = self.byte_at(place.times).cast::<AtomicU64>();
        // SAFETY: as in `state_cell`, and times are aligned.
        unsafe { &*times }
    }

    #[inline]
    pub(super) fn state_at(&self, place: Place) -> State {
        // Relaxed: what depends on it is ordered by the lock, or by the index.
        State::from_bits(self.state_cell(place).load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn times(&self, place: Place) -> Times {
        // Relaxed: as in `state_at`.
        Times(self.times_cell(place).load(Ordering::Relaxed))
    }

    /// Puts `new` in the place of `old`, unless the state has changed meanwhile: then that stands.
    pub(super) fn turn_state(&self, place: Place, old: State, new: State) {
        let (old, new) = (old.to_bits(), new.to_bits());
        let _ =
            self.state_cell(place)
                .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// As `turn_state`.
    pub(super) fn turn_times(&self, place: Place, old: Times, new: Times) {
        let cell = self.times_cell(place);
        let _ = cell.compare_exchange(old.0, new.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn array<const N: usize>(&self, chunk: usize, at: usize) -> [u8; N] {
        let from = self.byte_at(chunk + at).cast::<[u8; N]>();
        // SAFETY: headers, and what they announce, lie inside the chunk (S4), and nobody writes them
        // while they are read (S6, S8); bytes need no alignment.
        unsafe { from.read_unaligned() }
    }

    pub(super) fn bytes(&self, chunk: usize, at: usize, count: usize) -> &[u8] {
        let from = self.byte_at(chunk + at);
        // SAFETY: S3, S4: key and value lie inside the chunk, `count` initialised bytes as the
        // header's lengths say; S6, S8: callers make sure that they are not written while they are borrowed.
        unsafe { slice::from_raw_parts(from, count) }
    }

    /// Asks the processor for the line at an offset that is read soon.
    pub(super) fn prefetch_at(&self, offset: usize) {
        prefetch_line(self.byte_at(offset));
    }
}

/// `&Slab` reads, `&mut Slab` writes (S6).
impl Slab {
    pub(crate) fn state_at(&self, place: Place) -> State {
        self.arena().state_at(place)
    }

    pub(crate) fn set_state_at(&mut self, place: Place, state: State) {
        let cell = self.arena().state_cell(place);
        // Relaxed: as in `state_at`. A use that a reader notes meanwhile may be lost.
        cell.store(state.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn times(&self, place: Place) -> Times {
        self.arena().times(place)
    }

    pub(super) fn set_times(&mut self, place: Place, times: Times) {
        let cell = self.arena().times_cell(place);
        cell.store(times.0, Ordering::Relaxed);
    }

    pub(super) fn links_at(&self, place: Place) -> &[Link; 2] {
        let links = place.links.expect("lists are kept where links are");
        let links = self.at(links.get()).cast::<[Link; 2]>();
        // SAFETY: as in `times`: inside the mapping, aligned, any bytes are links.
        unsafe { &*links }
    }

    pub(super) fn links_mut(&mut self, place: Place) -> &mut [Link; 2] {
        let links = place.links.expect("lists are kept where links are");
        let links = self.at(links.get()).cast::<[Link; 2]>();
        // SAFETY: as in `links_at`, and `&mut self` is the only way to it (S6).
        unsafe { &mut *links }
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

/// Asks the processor for the first line of a value, to be written: another processor may have written it last, and then
/// it is as far away as memory. It is not waited for. Where that cannot be asked, nothing happens.
#[inline]
pub(crate) fn prefetch_to_write<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let at = ptr::from_ref(value);
        // SAFETY: a hint: it changes nothing that anybody could notice, whatever the address. Processors that do not
        // know it pass over it.
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags));
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = value;
}
