//! Records in pages: written many at a time, read one by one, moved out of pages that are to be emptied.
//!
//! Whoever reads asks the table before and after: a page that has been given to other records meanwhile has
//! another version by then. What is read is believed only if the checksum holds and the key is the one that
//! was asked for.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder::{CasToken, Locator};

use super::files::Files;
use super::pages::{Moving, Pages, Space};
use super::place::Place;
use super::record::{Flaw, Record};
use crate::config::{Bucket, FlashFile};

/// All records.
#[derive(Debug)]
pub(super) struct Store {
    files: Files,
    pages: Mutex<Pages>,
    pub(super) objects_read: AtomicU64,
    pub(super) bytes_read: AtomicU64,
}

/// Why there is no value.
#[derive(Debug)]
pub(super) enum Missed {
    /// Its page has other records by now.
    Gone,
    /// It is not what was written.
    Damaged,
    /// It could not be read.
    Failed(io::Error),
}

impl Store {
    pub(super) fn open(files: &[FlashFile], page_bytes: u64) -> io::Result<Self> {
        let too_large = |_| io::Error::other("ext_page_size: below 4096");
        let table_bytes = u32::try_from(page_bytes).map_err(too_large)?;
        let (files, buckets) = Files::open(files, page_bytes)?;
        Ok(Self {
            files,
            pages: Mutex::new(Pages::new(&buckets, table_bytes)),
            objects_read: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
        })
    }

    /// The table. Held for a moment only: whoever has a shard of the cache locked may want it.
    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn page_bytes(&self) -> u64 {
        self.files.page_bytes()
    }

    /// Whether what was written at the place is there.
    pub(super) fn is_current(&self, place: Place) -> bool {
        self.pages().is_current(place.page, place.version)
    }

    /// Reads the record of `key` at `place` into `buffer`, in the place of what is there: its value is the end
    /// of that.
    pub(super) fn read(
        &self,
        place: Place,
        key: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), Missed> {
        if !self.is_current(place) {
            return Err(Missed::Gone);
        }
        buffer.clear();
        buffer.resize(place.record_bytes(), 0);
        let read = self.files.read(place.page, place.offset, buffer);
        if !self.is_current(place) {
            return Err(Missed::Gone);
        }
        read.map_err(Missed::Failed)?;
        // Relaxed: counts.
        self.objects_read.fetch_add(1, Ordering::Relaxed);
        self.bytes_read
            .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        let record = Record::read(buffer).map_err(|_| Missed::Damaged)?;
        if record.key != key || record.value.len() != place.value_bytes as usize {
            return Err(Missed::Damaged);
        }
        Ok(())
    }

    /// Nothing refers to what is at this place any more.
    pub(super) fn leave(&self, locator: Locator) {
        self.pages().leave(Place::of(locator));
    }

    /// Reads records of a page that is being emptied, from `at` on: whole ones, about as many as `bytes_max`
    /// has room for, each shown with its place. Returns where the next one is; `None` behind the last.
    pub(super) fn read_page(
        &self,
        moving: Moving,
        at: u32,
        bytes_max: usize,
        mut show: impl FnMut(Record<'_>, Place),
    ) -> Result<Option<u32>, Missed> {
        let left = (moving.written_bytes - at) as usize;
        let mut buffer = vec![0; left.min(bytes_max)];
        self.files
            .read(moving.page, at, &mut buffer)
            .map_err(Missed::Failed)?;
        self.bytes_read
            .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        let mut rest = &buffer[..];
        let mut offset = at;
        while !rest.is_empty() {
            let record = match Record::read(rest) {
                Ok(record) => record,
                // Its end is behind what was read; the next call begins with it.
                Err(Flaw::Short) if offset > at && rest.len() < left => break,
                Err(_) => return Err(Missed::Damaged),
            };
            let bytes = record.bytes();
            if let Some(place) = place_of(&record, moving.page, moving.version, offset) {
                show(record, place);
            }
            rest = rest.get(bytes..).unwrap_or_default();
            offset += u32::try_from(bytes).unwrap_or(0);
        }
        Ok((offset < moving.written_bytes).then_some(offset))
    }
}

fn place_of(record: &Record<'_>, page: u16, version: u32, offset: u32) -> Option<Place> {
    Some(Place {
        version,
        page,
        offset,
        value_bytes: u32::try_from(record.value.len()).ok()?,
        key_bytes: u8::try_from(record.key.len()).ok()?,
    })
}

/// Records of one bucket on their way to a page.
#[derive(Debug)]
pub(super) struct Batch {
    bucket: Bucket,
    /// Bytes of one write, at the most.
    bytes_max: usize,
    space: Option<Space>,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
}

/// A record of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// In the buffer.
    at: usize,
    /// What the item's value is, and where it was before.
    pub(super) stamp: CasToken,
    pub(super) from: Option<Locator>,
}

/// What became of a record that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Yes,
    /// What is in the batch has to be written first.
    Full,
    /// There is no page for it.
    NoPage,
}

impl Batch {
    pub(super) const fn new(bucket: Bucket, bytes_max: usize) -> Self {
        Self {
            bucket,
            bytes_max,
            space: None,
            buffer: Vec::new(),
            entries: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn add(
        &mut self,
        store: &Store,
        record: &Record<'_>,
        stamp: CasToken,
        from: Option<Locator>,
    ) -> Added {
        let bytes = record.bytes();
        if self.is_empty() {
            self.space = store.pages().space(self.bucket, bytes);
        }
        let Some(space) = self.space else {
            return Added::NoPage;
        };
        let bytes_max = space.left.min(self.bytes_max.max(bytes));
        if self.buffer.len() + bytes > bytes_max {
            return Added::Full;
        }
        let at = self.buffer.len();
        record.write(&mut self.buffer);
        self.entries.push(Entry { at, stamp, from });
        Added::Yes
    }

    /// Writes what was added, and then has `refer` make something refer to each record where it is now; what
    /// it says false of is dead at once. If it cannot be written, nothing refers to it.
    pub(super) fn flush(
        &mut self,
        store: &Store,
        mut refer: impl FnMut(&Record<'_>, Entry, Place) -> bool,
    ) -> io::Result<()> {
        let Some(space) = self.space.take().filter(|_| !self.is_empty()) else {
            return Ok(());
        };
        let entries = std::mem::take(&mut self.entries);
        let buffer = std::mem::take(&mut self.buffer);
        store.files.write(space.page, space.offset, &buffer)?;
        let bytes = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        store.pages().note_written(space, bytes, count);
        for entry in &entries {
            let written = buffer.get(entry.at..).unwrap_or_default();
            let offset = space.offset + u32::try_from(entry.at).unwrap_or(0);
            let Some((record, place)) = Record::split(written).ok().and_then(|record| {
                place_of(&record, space.page, space.version, offset).map(|place| (record, place))
            }) else {
                continue;
            };
            if !refer(&record, *entry, place) {
                store.pages().leave(place);
            }
        }
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }
}
