//! The memory limit: who may use how many bytes of it. A leaf lock: nothing is taken under it.
//!
//! ```text
//! limit_bytes = used_bytes (pages in slabs + runs of large items + index + side tables) + free
//! RSS        <= used_bytes + free pages still resident <= limit_bytes
//!
//! mapping:  | page 0 .. page n-1 | wide page 0 .. wide page m-1 | room for runs, several times the limit |
//!             = the limit          = the limit                    a large item is one run of OS pages
//! ```
//!
//! Address space is not memory: the mapping is larger than the limit, so that a large value is one
//! contiguous run however the pages are spread, and bytes are counted when they are handed out.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut, Range};

use crate::sync::{AtomicUsize, CachePadded, Mutex, MutexGuard, Ordering};

/// The pool behind its lock, in lines of its own: what stands beside it in the arena is read by every operation.
#[derive(Debug)]
pub(crate) struct SharedPool {
    pool: CachePadded<Mutex<Pool>>,
    /// What [`Pool::free_bytes`] was when the lock was last given up: whoever needs more need not take it. A shard
    /// that evicts asks for a page time and again, and none is free as a rule.
    free_bytes: AtomicUsize,
}

/// The pool, locked.
#[derive(Debug)]
pub(crate) struct LockedPool<'a> {
    pool: MutexGuard<'a, Pool>,
    free_bytes: &'a AtomicUsize,
}

/// What the pool gives out, and what must be returned to the OS before it is used.
#[derive(Debug)]
pub(crate) struct Pool {
    limit_bytes: usize,
    page_bytes: usize,
    page_count: u32,
    /// Bytes handed out: pages, runs and charges.
    used_bytes: usize,
    /// The part of `used_bytes` that is charges: memory outside the mapping.
    charged_bytes: usize,
    /// The part of `used_bytes` that is runs.
    run_bytes: usize,
    /// Pages returned and still resident; reused first.
    resident: Vec<u32>,
    /// Pages returned and given back to the OS.
    decommitted: Vec<u32>,
    /// Pages from here on have never been handed out.
    fresh: u32,
    wide: WidePages,
    /// Free ranges of the run region: offset in the mapping to length, in bytes, coalesced.
    free_runs: BTreeMap<usize, usize>,
}

/// Pages of several units. Returned ones are never resident: their memory is the OS's until they are
/// taken again.
#[derive(Debug)]
struct WidePages {
    bytes: usize,
    /// Their numbers follow those of the pages.
    numbers: Range<u32>,
    /// Those that were returned.
    free: Vec<u32>,
    /// Those from here on have never been handed out.
    fresh: u32,
}

/// What a pool has address space for.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    pub(crate) page_bytes: usize,
    pub(crate) page_count: u32,
    pub(crate) wide_bytes: usize,
    pub(crate) wide_count: u32,
    /// Where in the mapping runs may stand.
    pub(crate) runs: Range<usize>,
}

impl SharedPool {
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            free_bytes: AtomicUsize::new(pool.free_bytes()),
            pool: CachePadded::new(Mutex::new(pool)),
        }
    }

    pub(crate) fn lock(&self) -> LockedPool<'_> {
        LockedPool {
            pool: self.pool.lock(),
            free_bytes: &self.free_bytes,
        }
    }

    /// Locked, if `bytes` of it are free, or were a moment ago.
    pub(crate) fn lock_if_free(&self, bytes: usize) -> Option<LockedPool<'_>> {
        // Relaxed: under the lock it is looked at again; who has just given something sees that.
        (self.free_bytes.load(Ordering::Relaxed) >= bytes).then(|| self.lock())
    }
}

impl Deref for LockedPool<'_> {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}

impl DerefMut for LockedPool<'_> {
    fn deref_mut(&mut self) -> &mut Pool {
        &mut self.pool
    }
}

impl Drop for LockedPool<'_> {
    fn drop(&mut self) {
        let free_bytes = self.pool.free_bytes();
        // Only what changes: the line stays shared.
        if self.free_bytes.load(Ordering::Relaxed) != free_bytes {
            self.free_bytes.store(free_bytes, Ordering::Relaxed);
        }
    }
}

impl Pool {
    /// A pool of `limit_bytes` with that address space.
    pub(crate) fn new(limit_bytes: usize, space: Space) -> Self {
        let Space {
            page_bytes,
            page_count,
            wide_bytes,
            wide_count,
            runs,
        } = space;
        Self {
            limit_bytes,
            page_bytes,
            page_count,
            wide: WidePages {
                bytes: wide_bytes,
                numbers: page_count..page_count + wide_count,
                free: Vec::new(),
                fresh: page_count,
            },
            used_bytes: 0,
            charged_bytes: 0,
            run_bytes: 0,
            resident: Vec::new(),
            decommitted: Vec::new(),
            fresh: 0,
            free_runs: BTreeMap::from([(runs.start, runs.len())]),
        }
    }

    /// A page, if the limit allows one more.
    pub(crate) fn take_page(&mut self) -> Option<u32> {
        if self.free_bytes() < self.page_bytes {
            return None;
        }
        let page = match self.resident.pop() {
            Some(page) => page,
            None => match self.decommitted.pop() {
                Some(page) => page,
                None if self.fresh < self.page_count => {
                    self.fresh += 1;
                    self.fresh - 1
                }
                None => return None,
            },
        };
        self.used_bytes += self.page_bytes;
        Some(page)
    }

    /// Takes a page back. It stays resident until something else needs its bytes, unless there is no
    /// room for it beside what is used.
    pub(crate) fn give_page(&mut self, page: u32, decommit: impl FnMut(Range<usize>) -> bool) {
        debug_assert!(page < self.fresh);
        self.used_bytes -= self.page_bytes;
        self.resident.push(page);
        self.shed_resident(0, decommit);
    }

    /// A wide page, if the limit allows one more. `decommit` gives a free page's memory back to the OS.
    pub(crate) fn take_wide_page(
        &mut self,
        decommit: impl FnMut(Range<usize>) -> bool,
    ) -> Option<u32> {
        let bytes = self.wide.bytes;
        if self.free_bytes() < bytes || !self.shed_resident(bytes, decommit) {
            return None;
        }
        let page = match self.wide.free.pop() {
            Some(page) => page,
            None if self.wide.fresh < self.wide.numbers.end => {
                self.wide.fresh += 1;
                self.wide.fresh - 1
            }
            None => return None,
        };
        self.used_bytes += bytes;
        Some(page)
    }

    /// Takes a wide page back; the caller has given its memory to the OS.
    pub(crate) fn give_wide_page(&mut self, page: u32) {
        debug_assert!(self.wide.numbers.contains(&page) && page < self.wide.fresh);
        self.used_bytes -= self.wide.bytes;
        self.wide.free.push(page);
    }

    /// Sets another limit. What is used beyond it is for the caller to give back; free pages that do
    /// not fit it go back to the OS here. O(free pages).
    pub(crate) fn set_limit(
        &mut self,
        limit_bytes: usize,
        decommit: impl FnMut(Range<usize>) -> bool,
    ) {
        self.limit_bytes = limit_bytes;
        self.shed_resident(0, decommit);
    }

    /// Counts `bytes` outside the mapping; false if the limit does not allow them.
    #[must_use]
    pub(crate) fn charge(
        &mut self,
        bytes: usize,
        decommit: impl FnMut(Range<usize>) -> bool,
    ) -> bool {
        if self.free_bytes() < bytes || !self.shed_resident(bytes, decommit) {
            return false;
        }
        self.used_bytes += bytes;
        self.charged_bytes += bytes;
        true
    }

    /// Takes a charge, or a part of one, back.
    pub(crate) fn discharge(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.charged_bytes);
        self.used_bytes -= bytes;
        self.charged_bytes -= bytes;
    }

    /// Counts as much of `bytes` as the limit allows, and says how much that is.
    pub(crate) fn charge_up_to(
        &mut self,
        bytes: usize,
        decommit: impl FnMut(Range<usize>) -> bool,
    ) -> usize {
        let bytes = bytes.min(self.free_bytes());
        if self.charge(bytes, decommit) {
            bytes
        } else {
            0
        }
    }

    /// A run in the place of a charge of as many bytes; without one the charge stays.
    pub(crate) fn charge_to_run(
        &mut self,
        bytes: usize,
        decommit: impl FnMut(Range<usize>) -> bool,
    ) -> Option<usize> {
        self.discharge(bytes);
        let run = self.take_run(bytes, decommit);
        if run.is_none() {
            self.used_bytes += bytes;
            self.charged_bytes += bytes;
        }
        run
    }

    /// A run of `bytes` (whole OS pages) for a large item: its offset in the mapping. `decommit`
    /// gives a free page's memory back to the OS. First fit, O(free ranges).
    pub(crate) fn take_run(
        &mut self,
        bytes: usize,
        decommit: impl FnMut(Range<usize>) -> bool,
    ) -> Option<usize> {
        if self.free_bytes() < bytes || !self.shed_resident(bytes, decommit) {
            return None;
        }
        let (&offset, &length) = self
            .free_runs
            .iter()
            .find(|&(_, &length)| length >= bytes)?;
        self.free_runs.remove(&offset);
        if length > bytes {
            self.free_runs.insert(offset + bytes, length - bytes);
        }
        self.used_bytes += bytes;
        self.run_bytes += bytes;
        Some(offset)
    }

    /// Takes a run back; the caller has given its memory to the OS.
    pub(crate) fn give_run(&mut self, run: Range<usize>) {
        self.used_bytes -= run.len();
        self.run_bytes -= run.len();
        let (mut start, mut end) = (run.start, run.end);
        if let Some((&before, &length)) = self.free_runs.range(..start).next_back()
            && before + length == start
        {
            self.free_runs.remove(&before);
            start = before;
        }
        if let Some(length) = self.free_runs.remove(&end) {
            end += length;
        }
        self.free_runs.insert(start, end - start);
    }

    pub(crate) fn free_bytes(&self) -> usize {
        // While a smaller limit is being reached, more is used than allowed.
        self.limit_bytes.saturating_sub(self.used_bytes)
    }

    pub(crate) fn is_over_limit(&self) -> bool {
        self.used_bytes > self.limit_bytes
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    pub(crate) fn charged_bytes(&self) -> usize {
        self.charged_bytes
    }

    pub(crate) fn run_bytes(&self) -> usize {
        self.run_bytes
    }

    /// Gives resident free pages back to the OS until `bytes` more fit beside what is used and what
    /// is resident. False if the OS keeps them.
    fn shed_resident(
        &mut self,
        bytes: usize,
        mut decommit: impl FnMut(Range<usize>) -> bool,
    ) -> bool {
        let used_bytes = self.used_bytes + bytes;
        while used_bytes + self.resident.len() * self.page_bytes > self.limit_bytes {
            let Some(page) = self.resident.pop() else {
                return used_bytes <= self.limit_bytes;
            };
            let start = page as usize * self.page_bytes;
            if !decommit(start..start + self.page_bytes) {
                self.resident.push(page);
                return false;
            }
            self.decommitted.push(page);
        }
        true
    }

    /// Panics unless the pool's own books agree with each other. O(free ranges).
    pub(crate) fn validate(&self) {
        assert!(self.used_bytes <= self.limit_bytes);
        let free_pages = self.resident.len() + self.decommitted.len();
        let held_pages = self.fresh as usize - free_pages;
        let wide = &self.wide;
        let held_wide = (wide.fresh - wide.numbers.start) as usize - wide.free.len();
        let pages_bytes = held_pages * self.page_bytes + held_wide * wide.bytes;
        let counted = pages_bytes + self.run_bytes + self.charged_bytes;
        assert_eq!(counted, self.used_bytes, "pages + runs + charges = used");
        assert!(self.used_bytes + self.resident.len() * self.page_bytes <= self.limit_bytes);
        let mut last_end = 0;
        for (&start, &length) in &self.free_runs {
            assert!(
                length > 0 && start > last_end,
                "free runs are coalesced and apart"
            );
            last_end = start + length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;
    const RUNS: Range<usize> = 8 * PAGE..40 * PAGE;

    fn pool() -> Pool {
        let space = Space {
            page_bytes: PAGE,
            page_count: 8,
            wide_bytes: 4 * PAGE,
            wide_count: 2,
            runs: RUNS,
        };
        Pool::new(8 * PAGE, space)
    }

    #[test]
    fn what_is_free_is_known_without_the_lock_once_it_is_given_up() {
        let shared = SharedPool::new(pool());
        let pages: Vec<u32> =
            std::iter::from_fn(|| shared.lock_if_free(PAGE)?.take_page()).collect();
        assert_eq!(pages.len(), 8);
        assert!(shared.lock_if_free(1).is_none() && shared.lock_if_free(0).is_some());
        shared.lock().give_page(pages[0], |_| true);
        assert!(shared.lock_if_free(PAGE + 1).is_none());
        assert_eq!(
            shared.lock_if_free(PAGE).unwrap().take_page(),
            Some(pages[0])
        );
        shared.lock().set_limit(9 * PAGE, |_| true);
        assert!(shared.lock_if_free(PAGE).is_some());
        shared.lock().set_limit(4 * PAGE, |_| true);
        assert!(shared.lock_if_free(1).is_none());
    }

    #[test]
    fn wide_pages_and_pages_share_the_limit() {
        let mut pool = pool();
        let first = pool.take_page().unwrap();
        pool.give_page(first, |_| unreachable!("there is room for it"));
        let mut shed = 0;
        let wide: Vec<u32> = std::iter::from_fn(|| {
            pool.take_wide_page(|_| {
                shed += 1;
                true
            })
        })
        .collect();
        assert_eq!((wide.as_slice(), shed), ([8, 9].as_slice(), 1));
        assert_eq!(pool.take_page(), None);
        pool.validate();
        pool.give_wide_page(8);
        assert_eq!(std::iter::from_fn(|| pool.take_page()).count(), 4);
        assert_eq!(pool.take_wide_page(|_| true), None);
        pool.give_wide_page(9);
        assert_eq!(pool.take_wide_page(|_| true), Some(9));
        pool.validate();
    }

    #[test]
    fn pages_stop_at_the_limit_and_come_back() {
        let mut pool = pool();
        let pages: Vec<u32> = std::iter::from_fn(|| pool.take_page()).collect();
        assert_eq!(pages, (0..8).collect::<Vec<_>>());
        pool.give_page(3, |_| unreachable!("there is room for it"));
        assert_eq!(pool.take_page(), Some(3));
        pool.validate();
    }

    #[test]
    fn a_charge_sheds_free_pages_that_are_still_resident() {
        let mut pool = pool();
        let pages: Vec<u32> = std::iter::from_fn(|| pool.take_page()).collect();
        for page in pages {
            pool.give_page(page, |_| true);
        }
        let mut shed = Vec::new();
        assert!(pool.charge(PAGE + 1, |range| {
            shed.push(range.len());
            true
        }));
        assert_eq!(shed, [PAGE, PAGE]);
        assert!(!pool.charge(7 * PAGE, |_| unreachable!("there is no room")));
        pool.validate();
    }

    #[test]
    fn what_the_system_keeps_resident_is_not_handed_out_again() {
        let mut pool = pool();
        let pages: Vec<u32> = std::iter::from_fn(|| pool.take_page()).collect();
        pages
            .iter()
            .for_each(|&page| pool.give_page(page, |_| true));
        assert!(!pool.charge(PAGE, |_| false));
        assert_eq!(pool.take_run(PAGE, |_| false), None);
        pool.validate();
        assert_eq!(
            std::iter::from_fn(|| pool.take_page()).count(),
            8,
            "as pages they serve"
        );
    }

    #[test]
    fn a_smaller_limit_sheds_free_pages_now_and_used_ones_as_they_come() {
        let mut pool = pool();
        let pages: Vec<u32> = std::iter::from_fn(|| pool.take_page()).collect();
        pages
            .iter()
            .take(2)
            .for_each(|&page| pool.give_page(page, |_| true));
        let mut shed = 0;
        pool.set_limit(4 * PAGE, |_| {
            shed += 1;
            true
        });
        assert_eq!((shed, pool.free_bytes(), pool.take_page()), (2, 0, None));
        pages.iter().skip(2).take(3).for_each(|&page| {
            pool.give_page(page, |_| {
                shed += 1;
                true
            });
        });
        // Six were in use: two go back to the OS, one has a place within the limit.
        assert_eq!((shed, pool.free_bytes()), (4, PAGE));
        pool.validate();
        pool.set_limit(8 * PAGE, |_| true);
        assert_eq!(std::iter::from_fn(|| pool.take_page()).count(), 5);
        pool.validate();
    }

    #[test]
    fn runs_coalesce_when_they_come_back() {
        let mut pool = pool();
        let taken: Vec<usize> = (0..3)
            .map(|_| pool.take_run(2 * PAGE, |_| true).unwrap())
            .collect();
        for &start in [&taken[0], &taken[2], &taken[1]] {
            pool.give_run(start..start + 2 * PAGE);
            pool.validate();
        }
        assert_eq!(pool.free_runs, BTreeMap::from([(RUNS.start, RUNS.len())]));
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn a_run_beyond_the_limit_is_refused_though_address_space_is_left() {
        let mut pool = pool();
        assert_eq!(pool.take_run(9 * PAGE, |_| true), None);
        assert!(pool.take_run(8 * PAGE, |_| true).is_some());
        assert_eq!(pool.take_page(), None);
        pool.validate();
    }
}
