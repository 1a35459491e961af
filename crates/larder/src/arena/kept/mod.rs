//! Items that are *kept*, for guards that outlive their thread's slots and the cache itself.
//!
//! ```text
//! reader  has the item in a slot -> enters it here -> gives the slot up
//! slab    the item has left the index, and nobody has it in a slot:
//!           nobody has entered it   its chunk is free
//!           somebody has            the chunk is left to the guards; the last one returns it
//! ```
//! Slots are looked at before the entries: whoever finds the slot given up finds the entry. A page's count
//! of entries spares slabs a look for nearly every item.
//!
//! What is kept is counted in whole pages, and in runs: a page cannot serve another class before the last
//! item that is kept in it has gone. That sum has a bound; beyond it nothing is entered, and callers copy.

#[cfg(all(loom, test))]
mod model;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::run::{Pin, Pinned};
use super::shown::Shown;
use super::{Arena, ItemId};
use crate::op::{ItemMeta, ItemView};
use crate::sync::{AtomicU32, AtomicUsize, Mutex, Ordering};

/// The kept items of an arena.
#[derive(Debug)]
pub(super) struct Keeping {
    entries: Mutex<BTreeMap<ItemId, Entry>>,
    /// For each page, its entries. Written under the lock of `entries`, as `bytes` is.
    in_page: Box<[AtomicU32]>,
    /// Bytes of the pages and runs that have entries.
    bytes: AtomicUsize,
}

#[derive(Debug)]
struct Entry {
    guards: u32,
    /// 0 for an item of a page.
    run_bytes: usize,
    /// Where the chunk goes to after the last guard, once its item has left the index.
    gone: Option<Arc<Returned>>,
}

/// What a kept item holds.
#[derive(Clone, Copy, Debug)]
struct KeptIn {
    /// `None` for a run of its own.
    page: Option<u32>,
    bytes: usize,
}

/// Chunks of one slab whose last guards have gone.
#[derive(Debug, Default)]
pub(super) struct Returned {
    ids: Mutex<Vec<ItemId>>,
    count: AtomicUsize,
}

/// A kept item: key and value stay as they are until this is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    arena: Arc<Arena>,
    id: ItemId,
    /// Offsets in the mapping.
    key: Range<usize>,
    value: Range<usize>,
    meta: ItemMeta,
    /// Of a large item. Dropped after the entry has gone, so that no other item has the id meanwhile.
    pin: Option<Pin>,
}

impl Keeping {
    /// Bytes that a page takes besides what is in it.
    pub(super) const PAGE_TABLE_BYTES: usize = size_of::<AtomicU32>();

    pub(super) fn new(pages: usize) -> Self {
        Self {
            entries: Mutex::default(),
            in_page: (0..pages).map(|_| AtomicU32::new(0)).collect(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Enters a guard of an item in `place`; false if that would hold more than `bytes_max`.
    fn enter(&self, id: ItemId, place: KeptIn, bytes_max: usize) -> bool {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&id) {
            entry.guards += 1;
            return true;
        }
        let count = place.page.map(|page| &self.in_page[page as usize]);
        let before = count.map_or(0, |count| count.load(Ordering::Relaxed));
        let held = self.bytes.load(Ordering::Relaxed);
        if before == 0 {
            if held + place.bytes > bytes_max {
                return false;
            }
            self.bytes.store(held + place.bytes, Ordering::Relaxed);
        }
        if let Some(count) = count {
            // Relaxed: a slab that finds the caller's slot given up, which is a Release, finds this.
            count.store(before + 1, Ordering::Relaxed);
        }
        let entry = Entry {
            guards: 1,
            run_bytes: if count.is_some() { 0 } else { place.bytes },
            gone: None,
        };
        entries.insert(id, entry);
        true
    }

    /// One more guard of an item that has one.
    fn enter_again(&self, id: ItemId) {
        let mut entries = self.entries.lock();
        entries.get_mut(&id).expect("it is kept").guards += 1;
    }

    /// A guard goes.
    fn leave(&self, id: ItemId, place: KeptIn) {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&id).expect("it is kept");
        entry.guards -= 1;
        if entry.guards > 0 {
            return;
        }
        let gone = entries.remove(&id).and_then(|entry| entry.gone);
        let count = place.page.map(|page| &self.in_page[page as usize]);
        let after = count.map_or(0, |count| count.load(Ordering::Relaxed) - 1);
        if let Some(count) = count {
            // Release: what was read comes before a slab that finds no entries uses the chunk.
            count.store(after, Ordering::Release);
        }
        if after == 0 {
            let held = self.bytes.load(Ordering::Relaxed);
            self.bytes.store(held - place.bytes, Ordering::Relaxed);
        }
        if let Some(returned) = gone {
            returned.put(id);
        }
    }

    /// Whether the chunk of an item in `page` is left to guards: they return it to `returned`.
    #[inline(always)]
    fn leave_to_guards(&self, id: ItemId, page: u32, returned: &Arc<Returned>) -> bool {
        self.is_any_in(page) && self.leave_kept(id, returned)
    }

    /// As `leave_to_guards`, in a page of which a guard has an item.
    #[cold]
    fn leave_kept(&self, id: ItemId, returned: &Arc<Returned>) -> bool {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&id);
        entry.is_some_and(|entry| {
            entry.gone = Some(Arc::clone(returned));
            true
        })
    }

    /// Whether a guard has an item in `page`.
    fn is_kept(&self, id: ItemId, page: u32) -> bool {
        self.is_any_in(page) && self.entries.lock().contains_key(&id)
    }

    /// Whether a guard has any item of `page`.
    fn is_any_in(&self, page: u32) -> bool {
        // Acquire: what guards did comes before what the caller does if there are none.
        self.in_page[page as usize].load(Ordering::Acquire) != 0
    }
}

impl Returned {
    fn put(&self, id: ItemId) {
        let mut ids = self.ids.lock();
        ids.push(id);
        // Relaxed: a hint; the lock decides.
        self.count.store(ids.len(), Ordering::Relaxed);
    }

    /// What has come back.
    pub(super) fn take(&self) -> Vec<ItemId> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut ids = self.ids.lock();
        self.count.store(0, Ordering::Relaxed);
        std::mem::take(&mut ids)
    }
}

impl Arena {
    /// Keeps an item that is in a slot; `None` if that would hold more than `bytes_max` bytes of pages and
    /// runs, or if it is another arena's. O(log of the kept items).
    pub(crate) fn keep(self: &Arc<Self>, shown: &Shown<'_>, bytes_max: usize) -> Option<Kept> {
        let id = shown.id_in(self)?;
        if !self.keeping.enter(id, self.kept_in(id, 0), bytes_max) {
            return None;
        }
        let view = shown.view();
        let chunk = self.offset_of(id);
        let base = self.byte_at(chunk).addr();
        let range = |bytes: &[u8]| {
            let at = chunk + (bytes.as_ptr().addr() - base);
            at..at + bytes.len()
        };
        Some(Kept {
            arena: Arc::clone(self),
            id,
            key: range(view.key),
            value: range(view.value),
            meta: view.meta,
            pin: None,
        })
    }

    /// As `keep`, of a large item; what was pinned, if it cannot be.
    pub(crate) fn keep_pinned(
        self: &Arc<Self>,
        pinned: Pinned,
        bytes_max: usize,
    ) -> Result<Kept, Pinned> {
        if !pinned.pin.is_of(self) {
            return Err(pinned);
        }
        let run = pinned.pin.run();
        let id = self.id_at(run.start);
        if !self
            .keeping
            .enter(id, self.kept_in(id, run.len()), bytes_max)
        {
            return Err(pinned);
        }
        let Pinned {
            pin,
            key,
            value,
            meta,
        } = pinned;
        Ok(Kept {
            arena: Arc::clone(self),
            id,
            key,
            value,
            meta,
            pin: Some(pin),
        })
    }

    /// Whether guards keep an item of a page.
    pub(super) fn is_kept(&self, id: ItemId) -> bool {
        self.keeping.is_kept(id, self.page_of(id))
    }

    /// Whether guards keep any item of a page.
    pub(super) fn is_any_kept_in(&self, page: u32) -> bool {
        self.keeping.is_any_in(page)
    }

    /// Ids of all kept items. O(kept items).
    pub(super) fn ids_kept(&self) -> Vec<ItemId> {
        self.keeping.entries.lock().keys().copied().collect()
    }

    /// Whether the chunk of an item, which has left the index and is in no slot, is left to guards that
    /// keep it: then they return it to `returned`.
    #[inline(always)]
    pub(super) fn leave_to_guards(&self, id: ItemId, returned: &Arc<Returned>) -> bool {
        let page = self.page_of(id);
        self.keeping.leave_to_guards(id, page, returned)
    }

    /// Bytes of the pages and runs that have kept items.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.keeping.bytes.load(Ordering::Relaxed)
    }

    /// Panics unless the books of what is kept agree. O(pages + kept items).
    pub(super) fn validate_kept(&self) {
        let entries = self.keeping.entries.lock();
        let (mut bytes, mut counts) = (0, BTreeMap::<u32, u32>::new());
        for (&id, entry) in entries.iter() {
            assert!(entry.guards > 0, "an entry goes with its last guard");
            match self.kept_in(id, 0).page {
                Some(page) => *counts.entry(page).or_default() += 1,
                None => bytes += entry.run_bytes,
            }
        }
        for (page, count) in (0..).zip(&self.keeping.in_page) {
            let known = counts.get(&page).copied().unwrap_or(0);
            assert_eq!(count.load(Ordering::Relaxed), known);
        }
        let pages = counts.keys().map(|&page| self.page_range(page).len());
        assert_eq!(self.kept_bytes(), bytes + pages.sum::<usize>());
    }

    fn kept_in(&self, id: ItemId, run_bytes: usize) -> KeptIn {
        if self.is_run(id) {
            return KeptIn {
                page: None,
                bytes: run_bytes,
            };
        }
        let page = self.page_of(id);
        KeptIn {
            page: Some(page),
            bytes: self.page_range(page).len(),
        }
    }
}

impl Kept {
    pub(crate) fn view(&self) -> ItemView<'_> {
        let part = |range: &Range<usize>| self.arena.bytes(range.start, 0, range.len());
        ItemView {
            key: part(&self.key),
            value: part(&self.value),
            meta: self.meta,
        }
    }

    fn run_bytes(&self) -> usize {
        self.pin.as_ref().map_or(0, |pin| pin.run().len())
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        self.arena.keeping.enter_again(self.id);
        Self {
            arena: Arc::clone(&self.arena),
            id: self.id,
            key: self.key.clone(),
            value: self.value.clone(),
            meta: self.meta,
            pin: self.pin.clone(),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let place = self.arena.kept_in(self.id, self.run_bytes());
        self.arena.keeping.leave(self.id, place);
    }
}
