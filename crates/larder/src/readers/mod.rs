//! Who reads what without a lock: one hazard slot for each item that is being read.
//!
//! ```text
//! reader   slot := item's address; fence; is the item still in the index? read; slot := 0
//! writer   item leaves the index;  fence; is its address in a slot? no: its memory is free
//! ```
//! Of the two fences one comes first: either the reader meets the index without the item and turns
//! away, or the writer meets the reader's slot and keeps the memory until later. A reader that stalls holds back
//! one item and nothing else, and whoever writes finds out at once what is free. (Michael, "Hazard
//! pointers: safe memory reclamation for lock-free objects", 2004.)
//!
//! What leads to an item, the buckets of an index, is never freed but in rare moments; readers say with a
//! plain store when they are among them, and whoever gives buckets back has the kernel fence all
//! threads ([`quiesce`]).
//!
//! Slots belong to threads, not to caches: a thread takes a record of them when it reads for the first time,
//! and leaves it to another thread at its end. Records are never freed.

#[cfg(all(loom, test))]
mod model;

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence, fence};

use crate::sync::store_and_fence;

/// Items that one thread can read at a time. With the word before them they fill a cache line.
const SLOTS: usize = 7;
/// How often `quiesce` looks at a thread that is among the buckets before it leaves it to a later call.
const LOOKS_MAX: u32 = 1000;

/// What one thread reads.
#[repr(C, align(128))]
struct Record {
    /// Odd while the thread is among the buckets of an index.
    section: AtomicUsize,
    /// Addresses of items; 0 is none.
    slots: [AtomicUsize; SLOTS],
    is_taken: AtomicBool,
    number: usize,
    next: OnceLock<&'static Record>,
}

/// The records of the process, one after the other.
static FIRST: Record = Record::new(0);

impl Record {
    const fn new(number: usize) -> Self {
        Self {
            section: AtomicUsize::new(0),
            slots: [const { AtomicUsize::new(0) }; SLOTS],
            is_taken: AtomicBool::new(false),
            number,
            next: OnceLock::new(),
        }
    }

    /// A record that no other thread has, nor a guard of one that has ended: it may have been forgotten, and
    /// who has fewer slots takes locks sooner.
    fn take() -> &'static Self {
        let mut record = &FIRST;
        loop {
            // Acquire: slots as the thread before left them.
            if !record.is_taken.swap(true, Ordering::Acquire) {
                if record.is_vacant() {
                    return record;
                }
                record.is_taken.store(false, Ordering::Release);
            }
            let number = record.number + 1;
            record = record
                .next
                .get_or_init(|| Box::leak(Box::new(Self::new(number))));
        }
    }

    fn is_vacant(&self) -> bool {
        let mut slots = self.slots.iter();
        slots.all(|slot| slot.load(Ordering::Acquire) == 0)
    }
}

fn records() -> impl Iterator<Item = &'static Record> {
    std::iter::successors(Some(&FIRST), |record| record.next.get().copied())
}

/// The record of a thread, while it runs.
struct Seat(Cell<Option<&'static Record>>);

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(record) = self.0.take() {
            // Release: with it goes what this thread wrote to the slots. Those of guards that outlive it stay in
            // use.
            record.is_taken.store(false, Ordering::Release);
        }
    }
}

thread_local! {
    static SEAT: Seat = const { Seat(Cell::new(None)) };
}

/// The record of this thread; `None` once the thread is about to end.
#[inline]
fn record() -> Option<&'static Record> {
    SEAT.try_with(|seat| seat.0.get().unwrap_or_else(|| first_seat(seat)))
        .ok()
}

#[cold]
fn first_seat(seat: &Seat) -> &'static Record {
    let record = Record::take();
    seat.0.set(Some(record));
    record
}

/// A thread among the buckets of an index, with a slot for the item that it finds.
#[derive(Debug)]
pub(crate) struct Reading {
    section: Section,
    protection: Protection,
    thread: usize,
}

/// A thread among the buckets of an index: they are not given back as long as this is.
#[derive(Debug)]
pub(crate) struct Section(&'static AtomicUsize);

/// A slot. Memory at the address in it is not reused before it is dropped.
#[derive(Debug)]
pub(crate) struct Protection(&'static AtomicUsize);

impl Reading {
    /// `None` if this thread reads as many items as it can.
    #[inline]
    pub(crate) fn begin() -> Option<Self> {
        let record = record()?;
        let protection = Protection::of(record)?;
        Some(Self {
            section: Section::enter(record),
            protection,
            thread: record.number,
        })
    }

    #[inline]
    pub(crate) fn section(&self) -> &Section {
        &self.section
    }

    /// A number of this thread, which no other has while it runs.
    #[inline]
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    /// Protects what begins at `address`, if it is still in the index after this. The slot's earlier address
    /// is protected no more.
    #[inline]
    pub(crate) fn protect(&self, address: usize) {
        store_and_fence(self.protection.0, address);
    }

    /// Leaves the buckets with the item that was found.
    #[inline]
    pub(crate) fn leave(self) -> Protection {
        self.protection
    }
}

impl Section {
    /// `None` once the thread is about to end.
    #[inline]
    pub(crate) fn begin() -> Option<Self> {
        Some(Self::enter(record()?))
    }

    #[inline]
    fn enter(record: &'static Record) -> Self {
        let section = &record.section;
        // Relaxed: `quiesce` has the kernel order it. Sections do not nest: callers' code runs in none.
        section.store(section.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        Self(section)
    }
}

impl Drop for Section {
    #[inline]
    fn drop(&mut self) {
        // Release: what was read comes before.
        let number = self.0.load(Ordering::Relaxed);
        self.0.store(number + 1, Ordering::Release);
    }
}

impl Protection {
    #[inline]
    fn of(record: &'static Record) -> Option<Self> {
        // Acquire: another thread may have dropped a protection of this record.
        let mut slots = record.slots.iter();
        slots
            .find(|slot| slot.load(Ordering::Acquire) == 0)
            .map(Self)
    }

    /// Protects what begins at `address` of an index whose lock the caller holds, and tells the number of this
    /// thread; `None` if it reads as many items as it can.
    #[inline]
    pub(crate) fn locked(address: usize) -> Option<(Self, usize)> {
        let record = record()?;
        let protection = Self::of(record)?;
        // Release: as for every slot; whoever removes the item has the lock after this caller.
        protection.0.store(address, Ordering::Release);
        Some((protection, record.number))
    }
}

impl Drop for Protection {
    #[inline]
    fn drop(&mut self) {
        // Release: what was read comes before the memory is used again.
        self.0.store(0, Ordering::Release);
    }
}

/// Whether anybody may be reading what begins at `address`, which has left the index by `withdraw`.
/// O(threads).
pub(crate) fn is_read(address: usize) -> bool {
    // Acquire: what a reader did comes before what the caller does if there is none.
    records().any(|record| {
        let mut slots = record.slots.iter();
        slots.any(|slot| slot.load(Ordering::Acquire) == address)
    })
}

/// The addresses of all items that anybody may be reading, after a full barrier. O(threads).
pub(crate) fn all_read() -> impl Iterator<Item = usize> {
    fence(Ordering::SeqCst);
    // Acquire: as in `is_read`.
    records()
        .flat_map(|record| &record.slots)
        .map(|slot| slot.load(Ordering::Acquire))
        .filter(|&address| address != 0)
}

/// Waits a little until no thread is among buckets that went out of use before the call; false if one
/// still is, or if the system cannot tell: then the buckets have to stay. O(threads).
pub(crate) fn quiesce() -> bool {
    fence_all_threads()
        && records().all(|record| {
            // Acquire: what the thread read comes before what the caller does.
            let before = record.section.load(Ordering::Acquire);
            before % 2 == 0
                || (0..LOOKS_MAX).any(|_| {
                    std::hint::spin_loop();
                    record.section.load(Ordering::Acquire) != before
                })
        })
}

/// Has every thread of the process pass a full barrier; false if the system does not know how.
#[cfg(all(target_os = "linux", not(miri)))]
fn fence_all_threads() -> bool {
    use rustix::thread::{MembarrierCommand as Command, membarrier};
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered =
        REGISTERED.get_or_init(|| membarrier(Command::RegisterPrivateExpedited).is_ok());
    *registered && membarrier(Command::PrivateExpedited).is_ok()
}

/// Miri knows no such call; what it runs has one thread among buckets at a time.
#[cfg(miri)]
fn fence_all_threads() -> bool {
    fence(Ordering::SeqCst);
    true
}

#[cfg(not(any(target_os = "linux", miri)))]
fn fence_all_threads() -> bool {
    false
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "the engine spawns no thread; its tests do"
    )]

    use super::*;

    #[test]
    fn a_slot_protects_until_it_is_dropped_wherever_that_is() {
        let item = Box::new(0_u64);
        let address = std::ptr::from_ref(&*item).addr();
        assert!(!is_read(address));
        let reading = Reading::begin().unwrap();
        reading.protect(address);
        assert!(is_read(address));
        let protection = reading.leave();
        assert!(is_read(address) && !is_read(address + 8));
        std::thread::spawn(move || {
            assert!(is_read(address));
            drop(protection);
        })
        .join()
        .unwrap();
        assert!(!is_read(address));
    }

    #[test]
    fn a_thread_has_seven_slots_and_no_more() {
        let item = Box::new(0_u64);
        let address = std::ptr::from_ref(&*item).addr();
        let held: Vec<_> = (0..SLOTS)
            .map(|_| Protection::locked(address).unwrap().0)
            .collect();
        assert!(Protection::locked(address).is_none() && Reading::begin().is_none());
        drop(held);
        assert!(Reading::begin().is_some());
    }

    #[test]
    fn a_protection_outlives_its_thread() {
        let item = Box::new(0_u64);
        let address = std::ptr::from_ref(&*item).addr();
        let taken = std::thread::spawn(move || Protection::locked(address).unwrap().0);
        let protection = taken.join().unwrap();
        assert!(is_read(address));
        // Whoever comes next has seven slots all the same.
        let all_slots = || (0..SLOTS).map(|_| Protection::locked(1).unwrap());
        let others: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || drop(all_slots().collect::<Vec<_>>())))
            .collect();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(is_read(address));
        drop(protection);
        assert!(!is_read(address));
    }

    #[test]
    #[cfg_attr(miri, ignore = "there is no barrier for all threads")]
    fn nothing_is_quiet_while_a_thread_is_in_a_section() {
        let section = Section::begin().unwrap();
        let other = std::thread::spawn(quiesce);
        assert!(!other.join().unwrap());
        drop(section);
    }
}
