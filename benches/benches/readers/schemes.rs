//! A table of links to chunks, read without a lock while others replace what is in it: by hazard slots, as the
//! engine does it, by epochs, and by variants of both. Small, so that the schemes' own cost shows.
//!
//! ```text
//! links   id | id | id | ...        read: link -> chunk, protected meanwhile
//! chunks  128 bytes each            replace: another chunk into the link; the old one, once unread, is free
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence};

use parking_lot::Mutex;
use rustix::thread::{MembarrierCommand, membarrier};

const WORDS: usize = 16;
pub(crate) const CHUNK_BYTES: usize = WORDS * 8;
const SLOTS: usize = 7;
/// Frees that share one look at the slots, in the schemes that gather them.
pub(crate) const BATCH: usize = 64;
const RECORDS_MAX: usize = 512;

/// The table. It is leaked: what epochs defer has no borrow.
pub(crate) struct Table {
    links: Vec<AtomicUsize>,
    chunks: Vec<[AtomicU64; WORDS]>,
    free: Mutex<Vec<usize>>,
    /// Gone and not free yet.
    waiting: Mutex<Vec<usize>>,
    locks: Vec<Mutex<()>>,
}

impl Table {
    /// `items` links, and `spare` chunks beyond theirs.
    pub(crate) fn new(items: usize, spare: usize) -> &'static Self {
        let chunks = (0..items + spare).map(|_| Default::default()).collect();
        Box::leak(Box::new(Self {
            links: (0..items).map(AtomicUsize::new).collect(),
            chunks,
            free: Mutex::new((items..items + spare).collect()),
            waiting: Mutex::default(),
            locks: (0..64).map(|_| Mutex::new(())).collect(),
        }))
    }

    pub(crate) fn items(&self) -> usize {
        self.links.len()
    }

    /// Bytes of chunks that are in no link and not free.
    pub(crate) fn retired_bytes(&self) -> usize {
        let free = self.free.lock().len();
        (self.chunks.len() - self.links.len() - free) * CHUNK_BYTES
    }

    /// Puts another chunk into a link.
    #[inline]
    pub(crate) fn replace<S: Scheme>(&'static self, at: usize) {
        // A statement of its own: what epochs defer may run below.
        let new = self.free.lock().pop();
        let new = new.expect("chunks are spare");
        for word in &self.chunks[new] {
            word.store(at as u64, Ordering::Relaxed);
        }
        let old = self.links[at].swap(new, Ordering::AcqRel);
        S::retire(self, old);
    }

    #[inline]
    fn sum(&self, id: usize) -> u64 {
        let words = self.chunks[id].iter();
        words.fold(0, |sum, word| {
            sum.wrapping_add(word.load(Ordering::Relaxed))
        })
    }

    fn give(&self, id: usize) {
        self.free.lock().push(id);
    }

    /// Frees what waits and is in no slot.
    fn free_waiting(&self, waiting: &mut Vec<usize>) {
        let read: Vec<usize> = records()
            .flat_map(|record| &record.slots)
            .map(|slot| slot.load(Ordering::Acquire))
            .filter(|&address| address != 0)
            .collect();
        let mut free = self.free.lock();
        waiting.retain(|&id| {
            let is_read = read.contains(&(id + 1));
            if !is_read {
                free.push(id);
            }
            is_read
        });
    }

    fn gather(&self, id: usize, barrier: impl FnOnce()) {
        let mut waiting = self.waiting.lock();
        waiting.push(id);
        if waiting.len() >= BATCH {
            barrier();
            self.free_waiting(&mut waiting);
        }
    }
}

/// A way to read a chunk that may be replaced, and to know when it may be used again.
pub(crate) trait Scheme {
    const NAME: &'static str;
    fn read(table: &'static Table, at: usize) -> u64;
    #[inline]
    fn retire(table: &'static Table, id: usize) {
        table.give(id);
    }
    /// Reads, and runs `meanwhile` before it is done, if readers can be waited for.
    fn stall(_table: &'static Table, _at: usize, meanwhile: impl FnOnce()) {
        meanwhile();
    }
}

#[repr(align(128))]
struct Record {
    section: AtomicUsize,
    slots: [AtomicUsize; SLOTS],
    is_taken: AtomicBool,
}

static RECORDS: [Record; RECORDS_MAX] = [const {
    Record {
        section: AtomicUsize::new(0),
        slots: [const { AtomicUsize::new(0) }; SLOTS],
        is_taken: AtomicBool::new(false),
    }
}; RECORDS_MAX];
/// Records that any thread ever had.
static RECORDS_COUNT: AtomicUsize = AtomicUsize::new(0);

struct Seat(&'static Record);

impl Seat {
    fn take() -> Self {
        let mut records = RECORDS.iter().enumerate();
        let (number, record) = records
            .find(|(_, record)| !record.is_taken.swap(true, Ordering::AcqRel))
            .expect("fewer threads");
        RECORDS_COUNT.fetch_max(number + 1, Ordering::SeqCst);
        Self(record)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Ordering::Release);
    }
}

thread_local! {
    static SEAT: Seat = Seat::take();
}

fn records() -> impl Iterator<Item = &'static Record> {
    RECORDS[..RECORDS_COUNT.load(Ordering::Acquire)].iter()
}

fn is_read(id: usize) -> bool {
    records().any(|record| {
        let mut slots = record.slots.iter();
        slots.any(|slot| slot.load(Ordering::Acquire) == id + 1)
    })
}

/// As `sync.rs` of the engine does it.
#[inline]
fn store_and_fence(slot: &AtomicUsize, value: usize) {
    if cfg!(target_arch = "x86_64") {
        slot.swap(value, Ordering::SeqCst);
        compiler_fence(Ordering::SeqCst);
    } else {
        slot.store(value, Ordering::Release);
        fence(Ordering::SeqCst);
    }
}

#[inline]
fn store_and_nothing(slot: &AtomicUsize, value: usize) {
    slot.store(value, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
}

/// A read by a slot, which `protect` writes.
#[inline]
fn read_in_slot<R>(
    table: &'static Table,
    at: usize,
    protect: impl Fn(&AtomicUsize, usize),
    look: impl FnOnce(usize) -> R,
) -> R {
    SEAT.with(|seat| {
        let record = seat.0;
        let mut slots = record.slots.iter();
        let slot = slots.find(|slot| slot.load(Ordering::Acquire) == 0);
        let slot = slot.expect("reads do not nest here");
        let section = record.section.load(Ordering::Relaxed);
        record.section.store(section + 1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let id = loop {
            let id = table.links[at].load(Ordering::Acquire);
            protect(slot, id + 1);
            if table.links[at].load(Ordering::Acquire) == id {
                break id;
            }
        };
        record.section.store(section + 2, Ordering::Release);
        let seen = look(id);
        slot.store(0, Ordering::Release);
        seen
    })
}

/// Nothing: what a read and a replacement take by themselves. Wrong as soon as two threads are at it.
pub(crate) struct Unprotected;

impl Scheme for Unprotected {
    const NAME: &'static str = "unprotected";

    #[inline]
    fn read(table: &'static Table, at: usize) -> u64 {
        table.sum(table.links[at].load(Ordering::Acquire))
    }
}

/// One of 64 locks.
pub(crate) struct Locked;

impl Scheme for Locked {
    const NAME: &'static str = "lock";

    #[inline]
    fn read(table: &'static Table, at: usize) -> u64 {
        let _lock = table.locks[at % 64].lock();
        Unprotected::read(table, at)
    }
}

/// A slot for each item being read; a writer looks at all slots for each item that it frees.
pub(crate) struct Slots;

impl Scheme for Slots {
    const NAME: &'static str = "slots";

    #[inline]
    fn read(table: &'static Table, at: usize) -> u64 {
        read_in_slot(table, at, store_and_fence, |id| table.sum(id))
    }

    #[inline]
    fn retire(table: &'static Table, id: usize) {
        fence(Ordering::SeqCst);
        if is_read(id) {
            table.waiting.lock().push(id);
        } else {
            table.give(id);
        }
    }

    fn stall(table: &'static Table, at: usize, meanwhile: impl FnOnce()) {
        read_in_slot(table, at, store_and_fence, |_| meanwhile());
    }
}

/// As `Slots`, with one look for every `BATCH` items.
pub(crate) struct GatheredSlots;

impl Scheme for GatheredSlots {
    const NAME: &'static str = "slots, frees gathered";

    #[inline]
    fn read(table: &'static Table, at: usize) -> u64 {
        Slots::read(table, at)
    }

    #[inline]
    fn retire(table: &'static Table, id: usize) {
        table.gather(id, || fence(Ordering::SeqCst));
    }

    fn stall(table: &'static Table, at: usize, meanwhile: impl FnOnce()) {
        Slots::stall(table, at, meanwhile);
    }
}

/// As `GatheredSlots`, but readers pass no barrier: the system has all threads pass one for each batch.
pub(crate) struct AsymmetricSlots;

impl Scheme for AsymmetricSlots {
    const NAME: &'static str = "slots, barriers by membarrier";

    #[inline]
    fn read(table: &'static Table, at: usize) -> u64 {
        read_in_slot(table, at, store_and_nothing, |id| table.sum(id))
    }

    #[inline]
    fn retire(table: &'static Table, id: usize) {
        table.gather(id, barrier_for_all);
    }

    fn stall(table: &'static Table, at: usize, meanwhile: impl FnOnce()) {
        read_in_slot(table, at, store_and_nothing, |_| meanwhile());
    }
}

/// Crossbeam's epochs.
pub(crate) struct Epochs;

impl Scheme for Epochs {
    const NAME: &'static str = "epochs";

    #[inline]
    fn read(table: &'static Table, at: usize) -> u64 {
        let _guard = crossbeam_epoch::pin();
        Unprotected::read(table, at)
    }

    #[inline]
    fn retire(table: &'static Table, id: usize) {
        crossbeam_epoch::pin().defer(move || table.give(id));
    }

    fn stall(table: &'static Table, at: usize, meanwhile: impl FnOnce()) {
        let _guard = crossbeam_epoch::pin();
        Unprotected::read(table, at);
        meanwhile();
    }
}

/// Once, before `barrier_for_all`.
pub(crate) fn register_barrier() -> bool {
    membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
}

pub(crate) fn barrier_for_all() {
    membarrier(MembarrierCommand::PrivateExpedited).expect("it was registered");
}
