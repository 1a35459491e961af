//! What loom checks of readers and a writer: in every order that they can meet in, what is read is a cell that
//! the writer writes once it takes it for its own; loom reports when both are at it.
//!
//! Run by `RUSTFLAGS="--cfg loom" cargo test --release -p larder --lib readers::model`. Each weakened
//! variant leaves one thing out, and loom finds the order in which that goes wrong.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use loom::thread;

const ITEM: usize = 1;

/// What a variant leaves out of the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    ReadersFence,
    WritersFence,
    /// The look at the index after the slot is set.
    SecondLook,
    ReleaseOfSlot,
    AcquireOfSlot,
    /// Of the item that is shown again after a change.
    ReleaseOfLink,
    /// The look at the count of returns, where a bucket is looked at again that was found in an earlier section.
    LookAtReturns,
    /// Of that count: with a later one goes a later shape.
    ReleaseOfReturns,
    AcquireOfReturns,
    /// That it is counted before the barrier.
    ReturnBeforeFence,
}

struct Shared {
    without: Without,
    link: AtomicUsize,
    slot: AtomicUsize,
    item: UnsafeCell<u8>,
}

impl Shared {
    fn new(without: Without) -> Arc<Self> {
        Arc::new(Self {
            without,
            link: AtomicUsize::new(ITEM),
            slot: AtomicUsize::new(0),
            item: UnsafeCell::new(0),
        })
    }

    fn unless(&self, without: Without, order: Ordering) -> Ordering {
        if self.without == without {
            Ordering::Relaxed
        } else {
            order
        }
    }

    fn fence_unless(&self, without: Without) {
        if self.without != without {
            fence(Ordering::SeqCst);
        }
    }

    fn read(&self) {
        if self.link.load(Ordering::Acquire) != ITEM {
            return;
        }
        self.slot.store(ITEM, Ordering::Release);
        self.fence_unless(Without::ReadersFence);
        let still = self.link.load(Ordering::Acquire) == ITEM;
        if still || self.without == Without::SecondLook {
            self.item.with(|_| ());
        }
        let order = self.unless(Without::ReleaseOfSlot, Ordering::Release);
        self.slot.store(0, order);
    }

    fn is_read(&self) -> bool {
        self.fence_unless(Without::WritersFence);
        let order = self.unless(Without::AcquireOfSlot, Ordering::Acquire);
        self.slot.load(order) == ITEM
    }

    /// The item leaves the index, and its memory is used for another.
    fn remove(&self) {
        self.link.store(0, Ordering::Release);
        if !self.is_read() {
            self.item.with_mut(|_| ());
        }
    }

    /// The item is changed where it stands.
    fn change(&self) {
        self.link.store(0, Ordering::Release);
        if !self.is_read() {
            self.item.with_mut(|_| ());
        }
        let order = self.unless(Without::ReleaseOfLink, Ordering::Release);
        self.link.store(ITEM, order);
    }
}

fn check(without: Without, write: fn(&Shared)) {
    loom::model(move || {
        let shared = Shared::new(without);
        let reader = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            reader.read();
            reader.read();
        });
        write(&shared);
        reader.join().expect("it does not panic by itself");
    });
}

#[test]
fn an_item_is_freed_after_its_reader() {
    check(Without::Nothing, Shared::remove);
}

#[test]
fn an_item_is_changed_while_nobody_reads_it() {
    check(Without::Nothing, Shared::change);
}

#[test]
#[should_panic(expected = "")]
fn without_the_readers_fence_it_would_be_freed_under_it() {
    check(Without::ReadersFence, Shared::remove);
}

#[test]
#[should_panic(expected = "")]
fn without_the_writers_fence_it_would_be_freed_under_a_reader() {
    check(Without::WritersFence, Shared::remove);
}

#[test]
#[should_panic(expected = "")]
fn without_a_second_look_it_would_be_read_when_freed() {
    check(Without::SecondLook, Shared::remove);
}

#[test]
#[should_panic(expected = "")]
fn without_release_of_the_slot_it_would_be_freed_under_a_reader() {
    check(Without::ReleaseOfSlot, Shared::remove);
}

#[test]
#[should_panic(expected = "")]
fn without_acquire_of_the_slot_it_would_be_freed_under_a_reader() {
    check(Without::AcquireOfSlot, Shared::remove);
}

#[test]
#[should_panic(expected = "")]
fn without_release_of_the_link_a_change_would_be_read_half() {
    check(Without::ReleaseOfLink, Shared::change);
}

/// Two items leave the index before one fence and one look at the slots of both; or the fence comes before
/// the second has left.
fn gathered(fenced_last: bool) {
    loom::model(move || {
        let items = [(); 2].map(|()| Shared::new(Without::WritersFence));
        let read = items.clone();
        let reader = thread::spawn(move || read.iter().rev().for_each(|item| item.read()));
        let [first, second] = &items;
        first.link.store(0, Ordering::Release);
        if fenced_last {
            second.link.store(0, Ordering::Release);
            fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
            second.link.store(0, Ordering::Release);
        }
        for item in items.iter().filter(|item| !item.is_read()) {
            item.item.with_mut(|_| ());
        }
        reader.join().expect("it does not panic by itself");
    });
}

#[test]
fn items_are_freed_together_after_their_readers() {
    gathered(true);
}

#[test]
#[should_panic(expected = "")]
fn with_the_fence_too_early_an_item_would_be_freed_under_a_reader() {
    gathered(false);
}

/// A guard is dropped by another thread, and its slot used again by its own thread; the writer sees only
/// the second use.
fn slot_passed_on(acquire: Ordering) {
    loom::model(move || {
        let shared = Shared::new(Without::Nothing);
        shared.slot.store(ITEM, Ordering::Relaxed);
        let guard = Arc::clone(&shared);
        let guard = thread::spawn(move || {
            guard.item.with(|_| ());
            guard.slot.store(0, Ordering::Release);
        });
        let owner = Arc::clone(&shared);
        let owner = thread::spawn(move || {
            if owner.slot.load(acquire) == 0 {
                owner.slot.store(ITEM + 1, Ordering::Release);
            }
        });
        shared.remove();
        guard.join().expect("it does not panic by itself");
        owner.join().expect("it does not panic by itself");
    });
}

#[test]
fn a_slot_that_is_used_again_stands_for_its_earlier_reader_too() {
    slot_passed_on(Ordering::Acquire);
}

#[test]
#[should_panic(expected = "")]
fn without_acquire_a_slot_used_again_would_hide_its_earlier_reader() {
    slot_passed_on(Ordering::Relaxed);
}

/// Buckets are given back: the reader's fence is the one that the kernel has it pass.
fn buckets(fenced: bool) {
    loom::model(move || {
        let shared = Shared::new(Without::Nothing);
        let reader = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            // The link is the shape, the slot the section.
            reader.slot.store(ITEM, Ordering::Relaxed);
            if fenced {
                fence(Ordering::SeqCst);
            }
            if reader.link.load(Ordering::Acquire) == ITEM {
                reader.item.with(|_| ());
            }
            reader.slot.store(0, Ordering::Release);
        });
        shared.remove();
        reader.join().expect("it does not panic by itself");
    });
}

#[test]
fn buckets_are_given_back_after_their_reader() {
    buckets(true);
}

#[test]
#[should_panic(expected = "")]
fn without_the_barrier_buckets_would_be_given_back_under_a_reader() {
    buckets(false);
}

/// A reader finds a bucket in one section and looks at it again in another; the writer gives it back.
fn looked_at_again(without: Without) {
    loom::model(move || {
        let shared = Shared::new(without);
        let returns = Arc::new(AtomicUsize::new(0));
        let reader = (Arc::clone(&shared), Arc::clone(&returns));
        let reader = thread::spawn(move || {
            let (shared, returns) = reader;
            // The link is the shape, the slot the section; fences are those that the kernel has the thread pass.
            let section = |look: &dyn Fn()| {
                shared.slot.store(ITEM, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                look();
                shared.slot.store(0, Ordering::Release);
            };
            let found = std::cell::Cell::new(None);
            section(&|| {
                let order = shared.unless(Without::AcquireOfReturns, Ordering::Acquire);
                let before = returns.load(order);
                let is_there = shared.link.load(Ordering::Acquire) == ITEM;
                found.set(is_there.then_some(before));
            });
            section(&|| {
                let is_still = |before| returns.load(Ordering::Acquire) == before;
                if found
                    .get()
                    .is_some_and(|before| without == Without::LookAtReturns || is_still(before))
                {
                    shared.item.with(|_| ());
                }
            });
        });
        shared.link.store(0, Ordering::Release);
        let order = shared.unless(Without::ReleaseOfReturns, Ordering::Release);
        let count = || returns.store(1, order);
        let is_late = without == Without::ReturnBeforeFence;
        if !is_late {
            count();
        }
        let is_read = shared.is_read();
        if is_late {
            count();
        }
        if !is_read {
            shared.item.with_mut(|_| ());
        }
        reader.join().expect("it does not panic by itself");
    });
}

#[test]
fn a_bucket_that_was_given_back_is_not_looked_at_again() {
    looked_at_again(Without::Nothing);
}

#[test]
#[should_panic(expected = "")]
fn without_the_count_of_returns_a_bucket_that_was_given_back_would_be_read() {
    looked_at_again(Without::LookAtReturns);
}

#[test]
#[should_panic(expected = "")]
fn without_release_of_the_count_an_earlier_bucket_would_pass_for_a_later_one() {
    looked_at_again(Without::ReleaseOfReturns);
}

#[test]
#[should_panic(expected = "")]
fn without_acquire_of_the_count_an_earlier_bucket_would_pass_for_a_later_one() {
    looked_at_again(Without::AcquireOfReturns);
}

#[test]
#[should_panic(expected = "")]
fn with_the_count_behind_the_barrier_a_bucket_would_be_given_back_under_a_reader() {
    looked_at_again(Without::ReturnBeforeFence);
}
