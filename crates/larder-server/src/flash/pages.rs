//! The table of pages: which are free, which are written to, what lives in each.
//!
//! ```text
//! free -> open (one for each bucket) -> closed -> free      nothing lives in it any more, or it is evicted
//!                                          '-> moving -> free    what lives in it is written elsewhere
//! ```
//! A page that is opened gets a version that no page had before, so that a place names one use of a page: what
//! refers to an earlier one finds nothing. The table only counts. It knows neither files nor keys.

use super::place::Place;
use crate::config::Bucket;

/// All pages.
#[derive(Debug)]
pub(super) struct Pages {
    pages: Vec<Page>,
    page_bytes: u32,
    /// Pages of each kind, and those of them that are free.
    all_of: [u32; BUCKETS],
    free_of: [u32; BUCKETS],
    /// The page of each bucket that is written to.
    open: [Option<u16>; BUCKETS],
    last_version: u32,
    pub(super) counts: Counts,
}

const BUCKETS: usize = Bucket::ALL.len();

/// One page.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// 0 while it is free.
    pub(super) version: u32,
    pub(super) state: State,
    /// Whose values it has, and whom it is for while it is free.
    pub(super) bucket: Bucket,
    pub(super) free_bucket: Bucket,
    /// Bytes from its beginning that were written.
    pub(super) written_bytes: u32,
    pub(super) live_bytes: u64,
    pub(super) live_count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Open,
    Closed,
    Moving,
}

/// What happened to pages and to what was in them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) page_allocs: u64,
    pub(crate) page_evictions: u64,
    pub(crate) page_reclaims: u64,
    pub(crate) objects_evicted: u64,
    pub(crate) bytes_evicted: u64,
    pub(crate) objects_written: u64,
    pub(crate) bytes_written: u64,
    pub(crate) objects_used: u64,
    pub(crate) bytes_used: u64,
}

/// Where the next record of a bucket goes, and how many bytes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) page: u16,
    pub(super) version: u32,
    pub(super) offset: u32,
    pub(super) left: usize,
}

/// A page whose living values are to be written elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moving {
    pub(super) page: u16,
    pub(super) version: u32,
    pub(super) written_bytes: u32,
    /// Few of its bytes are dead: it was chosen because it is the oldest.
    pub(super) is_oldest: bool,
}

/// When pages are to be emptied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    /// With so few free pages, one that has less than `live_max` of living bytes.
    pub(super) compact_under: u32,
    pub(super) live_max: f64,
    /// With so few, the oldest, if there is no such page.
    pub(super) drop_under: u32,
    pub(super) takes_oldest: bool,
}

impl Page {
    /// Free, for this bucket.
    const fn free(bucket: Bucket) -> Self {
        Self {
            version: 0,
            state: State::Free,
            bucket,
            free_bucket: bucket,
            written_bytes: 0,
            live_bytes: 0,
            live_count: 0,
        }
    }
}

impl Pages {
    pub(super) fn new(buckets: &[Bucket], page_bytes: u32) -> Self {
        let all_of = Bucket::ALL.map(|kind| {
            let of_kind = buckets.iter().filter(|&&bucket| bucket == kind);
            u32::try_from(of_kind.count()).unwrap_or(u32::MAX)
        });
        Self {
            pages: buckets.iter().map(|&bucket| Page::free(bucket)).collect(),
            page_bytes,
            all_of,
            free_of: all_of,
            open: [None; BUCKETS],
            last_version: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn all(&self) -> &[Page] {
        &self.pages
    }

    pub(super) fn free_count(&self) -> u32 {
        self.free_of.iter().sum()
    }

    /// Whether any page is for this bucket alone. O(1).
    pub(super) fn has(&self, bucket: Bucket) -> bool {
        of(&self.all_of, bucket) > 0
    }

    /// Whether what was written to the page as that version is there.
    pub(super) fn is_current(&self, page: u16, version: u32) -> bool {
        let found = self.pages.get(usize::from(page));
        version != 0 && found.is_some_and(|page| page.version == version)
    }

    /// Space for the next record of a bucket. A page that has less than `bytes` left is closed and another
    /// opened, for which the oldest is evicted if none is free. `None` if there is no page to be had.
    pub(super) fn space(&mut self, bucket: Bucket, bytes: usize) -> Option<Space> {
        if let Some(number) = self.open_page(bucket) {
            let space = self.space_in(number)?;
            if space.left >= bytes {
                return Some(space);
            }
            self.close(bucket);
        }
        let number = self.free_page(bucket)?;
        let kind = self.page_mut(number)?.free_bucket;
        if let Some(free) = self.free_of.get_mut(kind as usize) {
            *free -= 1;
        }
        self.last_version += 1;
        let version = self.last_version;
        let page = self.page_mut(number)?;
        *page = Page {
            version,
            state: State::Open,
            bucket,
            ..Page::free(page.free_bucket)
        };
        self.counts.page_allocs += 1;
        if let Some(open) = self.open.get_mut(bucket as usize) {
            *open = Some(number);
        }
        self.space_in(number).filter(|space| space.left >= bytes)
    }

    /// So many records were written to the open page, and live there.
    pub(super) fn note_written(&mut self, space: Space, bytes: u32, count: u32) {
        self.counts.objects_written += u64::from(count);
        self.counts.bytes_written += u64::from(bytes);
        self.counts.objects_used += u64::from(count);
        self.counts.bytes_used += u64::from(bytes);
        if let Some(page) = self.page_mut(space.page) {
            debug_assert_eq!((page.version, page.state), (space.version, State::Open));
            page.written_bytes += bytes;
            page.live_bytes += u64::from(bytes);
            page.live_count += count;
        }
    }

    /// Nothing refers to the record at `place` any more.
    pub(super) fn leave(&mut self, place: Place) {
        if !self.is_current(place.page, place.version) {
            return;
        }
        let bytes = place.record_bytes() as u64;
        let Some(page) = self.page_mut(place.page) else {
            return;
        };
        page.live_bytes = page.live_bytes.saturating_sub(bytes);
        page.live_count = page.live_count.saturating_sub(1);
        let is_empty = page.live_count == 0 && page.state == State::Closed;
        self.counts.objects_used = self.counts.objects_used.saturating_sub(1);
        self.counts.bytes_used = self.counts.bytes_used.saturating_sub(bytes);
        if is_empty {
            self.free(place.page);
        }
    }

    /// A page to be emptied, if there is need: each kind of page has its own free ones.
    pub(super) fn take_to_move(&mut self, when: &Thresholds) -> Option<Moving> {
        let mut kinds = Bucket::ALL.into_iter();
        let moving = kinds.find_map(|kind| self.page_to_move(kind, when))?;
        self.page_mut(moving.page)?.state = State::Moving;
        Some(moving)
    }

    fn page_to_move(&self, kind: Bucket, when: &Thresholds) -> Option<Moving> {
        let free = of(&self.free_of, kind);
        let drops = when.takes_oldest && free <= when.drop_under;
        // Nearly always there are enough, and then no page has to be looked at.
        if !self.has(kind) || (free > when.compact_under && !drops) {
            return None;
        }
        let closed = || {
            let closed = self.of_kind(kind, State::Closed);
            closed.filter(|(_, page)| page.bucket != Bucket::LowTtl)
        };
        let live_max = f64::from(self.page_bytes) * when.live_max;
        let mut chosen = None;
        if free <= when.compact_under {
            #[expect(clippy::cast_precision_loss, reason = "a page is below 4 GiB")]
            let dead = closed().filter(|(_, page)| (page.live_bytes as f64) < live_max);
            chosen = dead.min_by_key(|(_, page)| page.live_bytes);
        }
        let is_oldest = chosen.is_none();
        let is_last = matches!(kind, Bucket::ColdCompact | Bucket::Old);
        if chosen.is_none() && drops && !is_last {
            chosen = closed().min_by_key(|(_, page)| page.version);
        }
        chosen.map(|(number, page)| Moving {
            page: number,
            version: page.version,
            written_bytes: page.written_bytes,
            is_oldest,
        })
    }

    /// Frees a page that was emptied; returns how many values are lost with it.
    pub(super) fn release(&mut self, moved: Moving) -> u32 {
        if !self.is_current(moved.page, moved.version) {
            return 0;
        }
        self.free(moved.page)
    }

    /// The page that is open for a bucket gets nothing more; it is free if nothing lives in it.
    fn close(&mut self, bucket: Bucket) {
        let open = self.open.get_mut(bucket as usize).and_then(Option::take);
        let Some(number) = open else {
            return;
        };
        if let Some(page) = self.page_mut(number) {
            page.state = State::Closed;
            if page.live_count == 0 {
                self.free(number);
            }
        }
    }

    /// The pages of a kind that are in a state, with their numbers.
    fn of_kind(&self, kind: Bucket, state: State) -> impl Iterator<Item = (u16, &Page)> {
        let pages = (0_u16..).zip(&self.pages);
        pages.filter(move |(_, page)| page.free_bucket == kind && page.state == state)
    }

    /// A free page for a bucket: of its own, else of those that are for all; the oldest if none is free.
    fn free_page(&mut self, bucket: Bucket) -> Option<u16> {
        let free_in = |bucket| {
            let mut free = self.of_kind(bucket, State::Free);
            free.next().map(|(number, _)| number)
        };
        let oldest_in = |bucket| {
            let closed = self.of_kind(bucket, State::Closed);
            let oldest = closed.min_by_key(|(_, page)| page.version);
            oldest.map(|(number, _)| number)
        };
        let free = free_in(bucket).or_else(|| {
            let shared = !self.has(bucket) || bucket == Bucket::LowTtl || bucket == Bucket::Chunked;
            shared.then(|| free_in(Bucket::Default)).flatten()
        });
        if free.is_some() {
            return free;
        }
        let oldest = oldest_in(bucket).or_else(|| oldest_in(Bucket::Default))?;
        let page = self.pages.get(usize::from(oldest))?;
        self.counts.page_evictions += 1;
        self.counts.objects_evicted += u64::from(page.live_count);
        self.counts.bytes_evicted += page.live_bytes;
        self.free(oldest);
        Some(oldest)
    }

    /// Nothing is in the page from now on; returns how many values that costs.
    fn free(&mut self, number: u16) -> u32 {
        let Some(page) = self.page_mut(number) else {
            return 0;
        };
        let (bytes, count) = (page.live_bytes, page.live_count);
        let free_bucket = page.free_bucket;
        *page = Page::free(free_bucket);
        if let Some(free) = self.free_of.get_mut(free_bucket as usize) {
            *free += 1;
        }
        self.counts.page_reclaims += 1;
        self.counts.objects_used = self.counts.objects_used.saturating_sub(u64::from(count));
        self.counts.bytes_used = self.counts.bytes_used.saturating_sub(bytes);
        count
    }

    fn open_page(&self, bucket: Bucket) -> Option<u16> {
        self.open.get(bucket as usize).copied().flatten()
    }

    fn space_in(&self, number: u16) -> Option<Space> {
        let page = self.pages.get(usize::from(number))?;
        Some(Space {
            page: number,
            version: page.version,
            offset: page.written_bytes,
            left: (self.page_bytes - page.written_bytes) as usize,
        })
    }

    fn page_mut(&mut self, number: u16) -> Option<&mut Page> {
        self.pages.get_mut(usize::from(number))
    }
}

fn of(counts: &[u32; BUCKETS], bucket: Bucket) -> u32 {
    counts.get(bucket as usize).copied().unwrap_or_default()
}
