//! What loom checks of a reader that keeps an item, beside a slab that frees or changes it: in every order that
//! they can meet in, what is read is a cell that the slab writes once it takes it for its own; loom reports when both
//! are at it. The slot's own part is in readers/model.rs.
//!
//! Run by `RUSTFLAGS="--cfg loom" cargo test --release -p larder --lib kept::model`. Each weakened variant
//! leaves one thing out, and loom finds the order in which that goes wrong.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use loom::thread;

use crate::sync::modelled::Mutex;

const ITEM: usize = 1;

/// What a variant leaves out of the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Of the slot, which is given up after the entry is made.
    ReleaseOfSlot,
    /// Slots are looked at before entries.
    SlotsFirst,
    ReleaseOfCount,
    AcquireOfCount,
}

/// The entry of the item: its guards, and whether the chunk has been left to them.
#[derive(Debug)]
struct Entry {
    guards: u32,
    is_gone: bool,
}

struct Shared {
    without: Without,
    link: AtomicUsize,
    slot: AtomicUsize,
    count: AtomicUsize,
    entry: Mutex<Entry>,
    item: UnsafeCell<u8>,
}

impl Shared {
    fn unless(&self, without: Without, order: Ordering) -> Ordering {
        if self.without == without {
            Ordering::Relaxed
        } else {
            order
        }
    }

    /// Protects the item, keeps it, reads it, and lets it go.
    fn keep(&self) {
        self.slot.store(ITEM, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.link.load(Ordering::Acquire) != ITEM {
            self.slot.store(0, Ordering::Release);
            return;
        }
        let mut entry = self.entry.lock();
        entry.guards += 1;
        self.count.store(1, Ordering::Relaxed);
        drop(entry);
        let order = self.unless(Without::ReleaseOfSlot, Ordering::Release);
        self.slot.store(0, order);

        self.item.with(|_| ());

        let mut entry = self.entry.lock();
        entry.guards -= 1;
        if entry.guards > 0 {
            return;
        }
        let order = self.unless(Without::ReleaseOfCount, Ordering::Release);
        self.count.store(0, order);
        if entry.is_gone {
            // Returned: the slab's, which has only this to go by.
            self.item.with_mut(|_| ());
        }
    }

    /// Whether guards have the item, and return it.
    fn is_left_to_guards(&self) -> bool {
        let order = self.unless(Without::AcquireOfCount, Ordering::Acquire);
        if self.count.load(order) == 0 {
            return false;
        }
        let mut entry = self.entry.lock();
        entry.is_gone |= entry.guards > 0;
        entry.guards > 0
    }

    fn is_in_slot(&self) -> bool {
        self.slot.load(Ordering::Acquire) == ITEM
    }

    /// The item leaves the index, and its memory is used for another.
    fn remove(&self) {
        self.link.store(0, Ordering::Release);
        fence(Ordering::SeqCst);
        let read = if self.without == Without::SlotsFirst {
            self.is_left_to_guards() || self.is_in_slot()
        } else {
            self.is_in_slot() || self.is_left_to_guards()
        };
        if !read {
            self.item.with_mut(|_| ());
        }
    }
}

fn check(without: Without) {
    loom::model(move || {
        let shared = Arc::new(Shared {
            without,
            link: AtomicUsize::new(ITEM),
            slot: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            entry: Mutex::new(Entry {
                guards: 0,
                is_gone: false,
            }),
            item: UnsafeCell::new(0),
        });
        let reader = Arc::clone(&shared);
        let reader = thread::spawn(move || reader.keep());
        shared.remove();
        reader.join().expect("it does not panic by itself");
    });
}

#[test]
fn a_kept_item_is_freed_after_its_guards() {
    check(Without::Nothing);
}

#[test]
#[should_panic(expected = "")]
fn without_release_of_the_slot_its_entry_would_not_be_met() {
    check(Without::ReleaseOfSlot);
}

#[test]
#[should_panic(expected = "")]
fn with_entries_looked_at_first_it_would_be_met_in_neither() {
    check(Without::SlotsFirst);
}

#[test]
#[should_panic(expected = "")]
fn without_release_of_the_count_it_would_be_freed_under_a_guard() {
    check(Without::ReleaseOfCount);
}

#[test]
#[should_panic(expected = "")]
fn without_acquire_of_the_count_it_would_be_freed_under_a_guard() {
    check(Without::AcquireOfCount);
}
