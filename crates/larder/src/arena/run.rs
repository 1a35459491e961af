//! The memory of a large item outside of any shard's lock: claimed in steps, filled, read, given back.
//!
//! ```text
//! Claim --grow, grow--> Run --filled--> an item of a slab --pinned--> Pin
//!   bytes of the limit    |               | freed: if nobody has it pinned    | the last one gives
//!   dropped: discharged   dropped: to     v                                   v  a freed run back
//!                         the pool      Trash (large runs: their way back takes long) --> pool
//! ```
//! Whatever takes time by the length of a value is done here, where nobody waits for it: finding its
//! memory, copying, and giving the memory back to the OS.
#![expect(
    unsafe_code,
    reason = "a run is filled before a slab has it, and read while one may free it"
)]

use std::ops::Range;
use std::slice;
use std::sync::Arc;

use super::{Arena, fault};
use crate::op::{ItemMeta, ItemView};
use crate::sync::{AtomicU32, AtomicUsize, Mutex, Ordering};

/// Bytes of the limit that are being gathered for a run.
#[derive(Debug)]
pub(crate) struct Claim {
    arena: Arc<Arena>,
    wanted_bytes: usize,
    held_bytes: usize,
}

/// What a step of a claim came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grown {
    Whole,
    Some,
    Nothing,
}

/// Claimed at a time: the pool's lock is held while so much free memory is given back to the OS.
const CLAIM_STEP_BYTES: usize = 1 << 20;
/// Runs from here on are given back to the OS when no lock is held.
const TRASH_RUN_BYTES: usize = 1 << 20;

impl Claim {
    /// A claim for the run of an item of `item_bytes`; it holds nothing yet.
    pub(crate) fn new(arena: &Arc<Arena>, item_bytes: usize) -> Self {
        Self {
            arena: Arc::clone(arena),
            wanted_bytes: arena.run_bytes_of_item(item_bytes),
            held_bytes: 0,
        }
    }

    /// Takes some of what the limit allows and what is still missing.
    pub(crate) fn grow(&mut self) -> Grown {
        let missing = self.wanted_bytes - self.held_bytes;
        let more = self.arena.charge_up_to(missing.min(CLAIM_STEP_BYTES));
        self.held_bytes += more;
        match more {
            _ if self.held_bytes == self.wanted_bytes => Grown::Whole,
            0 => Grown::Nothing,
            _ => Grown::Some,
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The run, once the claim is whole; `None` if no address space is left for it.
    pub(crate) fn into_run(mut self) -> Option<Run> {
        assert_eq!(self.held_bytes, self.wanted_bytes);
        let start = self.arena.charge_to_run(self.held_bytes)?;
        Some(Run {
            arena: Arc::clone(&self.arena),
            start,
            bytes: std::mem::take(&mut self.held_bytes),
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.held_bytes > 0 {
            self.arena.discharge(self.held_bytes);
        }
    }
}

/// A run that no slab has.
#[derive(Debug)]
pub(crate) struct Run {
    arena: Arc<Arena>,
    start: usize,
    /// 0 once a slab has taken it.
    bytes: usize,
}

impl Run {
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "the borrow is what makes it exclusive"
    )]
    /// `count` of its bytes from `at` on; what was not written is unspecified.
    pub(crate) fn part(&mut self, at: usize, count: usize) -> &mut [u8] {
        assert!(at <= self.bytes && count <= self.bytes - at);
        let first = self.arena.byte_at(self.start + at);
        // SAFETY: S1, S2: these bytes of the mapping are this run's, which nobody else knows, and they
        // are borrowed as long as `self` is; bytes of a mapping are always initialised.
        unsafe { slice::from_raw_parts_mut(first, count) }
    }

    /// As `part`, to be read.
    pub(crate) fn shown(&self, at: usize, count: usize) -> &[u8] {
        assert!(at <= self.bytes && count <= self.bytes - at);
        let first = self.arena.byte_at(self.start + at);
        // SAFETY: as in `part`.
        unsafe { slice::from_raw_parts(first, count) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Leaves it to a slab: where it begins.
    pub(super) fn into_slab(mut self) -> usize {
        self.bytes = 0;
        self.start
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.arena.give_run(self.start..self.start + self.bytes);
        }
    }
}

/// A value that was filled in a run, on its way to its item. Taken once.
#[derive(Debug)]
pub(crate) struct Filled {
    run: Mutex<Option<Run>>,
    pub(crate) value_bytes: usize,
}

impl Filled {
    pub(crate) fn new(run: Run, value_bytes: usize) -> Self {
        Self {
            run: Mutex::new(Some(run)),
            value_bytes,
        }
    }

    pub(super) fn take(&self) -> Run {
        let run = self.run.lock().take();
        run.expect("one store takes it, after which it cannot fail")
    }
}

/// How many readers have a run pinned, and whether its item is gone: a word of the run.
///
/// A pin is taken under the shard's lock, while the item lives; it is dropped without one. Whoever
/// brings the word to [`GONE`] alone gives the run back: exactly one does.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Pins(AtomicU32);

const GONE: u32 = 1 << 31;
/// AcqRel: readers that are done come before the run is given back; those that are not see that its item
/// is gone.
const END: Ordering = Ordering::AcqRel;

impl Pins {
    #[cfg(test)]
    fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(super) fn clear(&self) {
        // Relaxed: nobody else knows the run yet.
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn add(&self) {
        // Relaxed: under the shard's lock, which orders it before the item's end.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn any(&self) -> bool {
        // Acquire: what readers did comes before what the caller writes if there are none.
        self.0.load(Ordering::Acquire) != 0
    }

    /// The item is gone; true if the caller is to give the run back.
    pub(super) fn end(&self) -> bool {
        self.0.fetch_or(GONE, END) == 0
    }

    /// A reader is done; true if the caller is to give the run back.
    fn remove(&self) -> bool {
        self.0.fetch_sub(1, END) == GONE | 1
    }
}

/// A reader's hold on a run: until it is dropped the run's key and value stay as they are.
#[derive(Debug)]
pub(crate) struct Pin {
    arena: Arc<Arena>,
    run: Range<usize>,
}

impl Pin {
    /// Takes hold of the run of a live item, under its shard's lock.
    pub(super) fn new(arena: &Arc<Arena>, run: Range<usize>) -> Self {
        arena.pins(run.start).add();
        Self {
            arena: Arc::clone(arena),
            run,
        }
    }

    pub(super) fn run(&self) -> &Range<usize> {
        &self.run
    }

    pub(super) fn is_of(&self, arena: &Arc<Arena>) -> bool {
        Arc::ptr_eq(&self.arena, arena)
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        let first = self.arena.byte_at(range.start);
        // SAFETY: S7: the range is a part of the pinned run that is not written before the pin goes, and
        // the borrow ends before that.
        unsafe { slice::from_raw_parts(first, range.len()) }
    }
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        // Without the lock, but this pin keeps the run as it is meanwhile.
        Self::new(&self.arena, self.run.clone())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if self.arena.pins(self.run.start).remove() {
            self.arena.give_run(self.run.clone());
        }
    }
}

/// A large item as it was when it was pinned.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(super) pin: Pin,
    /// Offsets in the mapping.
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
    pub(super) meta: ItemMeta,
}

impl Pinned {
    pub(crate) fn view(&self) -> ItemView<'_> {
        ItemView {
            key: self.pin.part(&self.key),
            value: self.pin.part(&self.value),
            meta: self.meta,
        }
    }
}

/// Runs whose items are gone and whose memory is still to be given back.
#[derive(Debug, Default)]
pub(super) struct Trash {
    runs: Mutex<Vec<Range<usize>>>,
    count: AtomicUsize,
}

impl Arena {
    /// Gives back the run of an item that is gone, at once or, if that would take long, in `empty_trash`.
    pub(super) fn discard_run(&self, run: Range<usize>) {
        if !self.pins(run.start).end() {
            return;
        }
        if run.len() < TRASH_RUN_BYTES {
            self.give_run(run);
            return;
        }
        let mut runs = self.trash.runs.lock();
        runs.push(run);
        // Relaxed: a hint; the lock decides.
        self.trash.count.store(runs.len(), Ordering::Relaxed);
    }

    pub(super) fn take_run(&self, bytes: usize) -> Option<usize> {
        if fault::strikes() {
            return None;
        }
        let decommit = |range| self.decommit_free(range);
        let start = self.pool.lock().take_run(bytes, decommit)?;
        self.map.hand_out(start..start + bytes);
        Some(start)
    }

    /// Returns a run; its memory goes back to the OS first. Where the OS keeps it (because memory is
    /// locked), it stays resident beyond the limit until the next run takes its place.
    pub(super) fn give_run(&self, run: Range<usize>) {
        self.map.take_back(run.clone());
        self.decommit_free(run.clone());
        self.pool.lock().give_run(run);
    }

    /// Gives back what waits for it; true if anything did. To be called without a lock, or where the
    /// memory is wanted at once.
    pub(crate) fn empty_trash(&self) -> bool {
        let mut any = false;
        // Relaxed: whoever throws a run away looks here afterwards itself.
        while self.trash.count.load(Ordering::Relaxed) > 0 {
            let mut runs = self.trash.runs.lock();
            let run = runs.pop();
            self.trash.count.store(runs.len(), Ordering::Relaxed);
            drop(runs);
            let Some(run) = run else { break };
            self.give_run(run);
            any = true;
        }
        any
    }

    pub(super) fn byte_at(&self, offset: usize) -> *mut u8 {
        self.map.at(offset)
    }

    pub(super) fn pins(&self, run: usize) -> &Pins {
        let pins = self.byte_at(run + super::slab::RUN_PINS_AT).cast::<Pins>();
        // SAFETY: S2: a run begins with a line, whose words are aligned; this one is only ever used as an
        // atomic, from the moment the run has been handed out.
        unsafe { &*pins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of a reader's and the item's end: exactly one of all gives the run back.
    #[test]
    fn exactly_one_gives_a_run_back() {
        for readers in 0..4_u32 {
            for ends_after in 0..=readers {
                let pins = Pins::new();
                (0..readers).for_each(|_| pins.add());
                let mut given = 0;
                for done in 0..=readers {
                    if done == ends_after {
                        given += u32::from(pins.end());
                    }
                    if done < readers {
                        given += u32::from(pins.remove());
                    }
                }
                assert_eq!(given, 1, "{readers} readers, end after {ends_after}");
            }
        }
    }
}

/// Readers and the item's end in every order that threads can meet in, with what is read in a cell that
/// whoever gives the run back writes.
#[cfg(all(loom, test))]
mod model {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU32;
    use loom::thread;

    use super::{END, GONE};
    use crate::sync::Ordering;

    struct Run {
        pins: AtomicU32,
        bytes: UnsafeCell<u8>,
        given: AtomicU32,
    }

    impl Run {
        fn give_back(&self) {
            self.bytes.with_mut(|_| ());
            self.given.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn readers_and_end(order: Ordering) {
        loom::model(move || {
            let run = Arc::new(Run {
                pins: AtomicU32::new(2),
                bytes: UnsafeCell::new(0),
                given: AtomicU32::new(0),
            });
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let run = Arc::clone(&run);
                    thread::spawn(move || {
                        run.bytes.with(|_| ());
                        if run.pins.fetch_sub(1, order) == GONE | 1 {
                            run.give_back();
                        }
                    })
                })
                .collect();
            if run.pins.fetch_or(GONE, order) == 0 {
                run.give_back();
            }
            for reader in readers {
                reader.join().expect("it does not panic by itself");
            }
            assert_eq!(run.given.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn a_run_is_given_back_once_and_after_its_readers() {
        readers_and_end(END);
    }

    #[test]
    #[should_panic(expected = "")]
    fn without_acquire_it_would_be_given_back_under_a_reader() {
        readers_and_end(Ordering::Release);
    }

    #[test]
    #[should_panic(expected = "")]
    fn without_release_it_would_be_given_back_under_a_reader() {
        readers_and_end(Ordering::Acquire);
    }
}
