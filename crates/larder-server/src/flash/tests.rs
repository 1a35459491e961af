//! The store beside a map of what it should hold, through page evictions and emptied pages.

use std::collections::HashMap;

use larder::{CasToken, Locator};
use proptest::prelude::*;

use super::pages::{State, Thresholds};
use super::place::Place;
use super::record::Record;
use super::store::{Added, Batch, Missed, Store};
use crate::config::{Bucket, FlashFile};

const PAGE_BYTES: u64 = 4096;
const WRITE_BYTES: usize = 1024;
const PAGES: u64 = 6;

#[derive(Clone, Debug)]
enum Op {
    Put {
        key: u8,
        length: usize,
        bucket: usize,
    },
    Flush,
    Remove(u8),
    /// Empties a page: the one with most that is dead, or the oldest.
    Empty {
        oldest: bool,
    },
    Damage {
        key: u8,
        at: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..40_u8;
    prop_oneof![
        12 => (key.clone(), 0..900_usize, 0..Bucket::ALL.len())
            .prop_map(|(key, length, bucket)| Op::Put { key, length, bucket }),
        3 => Just(Op::Flush),
        4 => key.clone().prop_map(Op::Remove),
        2 => any::<bool>().prop_map(|oldest| Op::Empty { oldest }),
        1 => (key, 0..2000_usize).prop_map(|(key, at)| Op::Damage { key, at }),
    ]
}

struct Twin {
    store: Store,
    folder: tempfile::TempDir,
    batches: Vec<Batch>,
    /// What a cache would refer to, and what should be there.
    items: HashMap<Vec<u8>, (Locator, Vec<u8>)>,
    /// What a cache would still hold itself.
    here: HashMap<Vec<u8>, (CasToken, Vec<u8>)>,
    damaged: Vec<Locator>,
    puts: u64,
}

impl Twin {
    fn new(dedicated: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = vec![FlashFile::new(folder.path().join("a"), PAGES * PAGE_BYTES)];
        if dedicated {
            let path = folder.path().join("b");
            files.push(FlashFile {
                bucket: Bucket::Compact,
                ..FlashFile::new(path, 2 * PAGE_BYTES)
            });
        }
        let store = Store::open(&files, PAGE_BYTES).unwrap();
        let batches = Bucket::ALL.map(|bucket| Batch::new(bucket, WRITE_BYTES));
        Self {
            store,
            folder,
            batches: batches.into(),
            items: HashMap::new(),
            here: HashMap::new(),
            damaged: Vec::new(),
            puts: 0,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Put {
                key,
                length,
                bucket,
            } => {
                let key = vec![b'k', key];
                self.remove(&key);
                self.puts += 1;
                let value = vec![self.puts.to_le_bytes()[0]; length];
                let stamp = CasToken::from_u64(self.puts);
                self.here.insert(key.clone(), (stamp, value.clone()));
                self.add(bucket, &key, &value, stamp, None);
            }
            Op::Flush => (0..self.batches.len()).for_each(|bucket| self.flush(bucket)),
            Op::Remove(key) => self.remove(&[b'k', key]),
            Op::Empty { oldest } => self.empty(oldest),
            Op::Damage { key, at } => self.damage(&[b'k', key], at),
        }
    }

    fn remove(&mut self, key: &[u8]) {
        self.here.remove(key);
        if let Some((locator, _)) = self.items.remove(key) {
            self.store.leave(locator);
        }
    }

    fn add(
        &mut self,
        bucket: usize,
        key: &[u8],
        value: &[u8],
        stamp: CasToken,
        from: Option<Locator>,
    ) {
        let record = Record {
            key,
            value,
            written: 5,
        };
        match self.batches[bucket].add(&self.store, &record, stamp, from) {
            Added::Yes => {}
            Added::Full => {
                self.flush(bucket);
                let again = self.batches[bucket].add(&self.store, &record, stamp, from);
                assert_ne!(again, Added::Full, "an empty batch takes any record");
            }
            // All others are open, or being emptied.
            Added::NoPage => {
                let pages = self.store.pages();
                assert!(
                    pages.all().iter().all(
                        |page| page.state != State::Free || page.free_bucket != Bucket::Default
                    )
                );
            }
        }
    }

    fn flush(&mut self, bucket: usize) {
        let Self {
            store,
            batches,
            items,
            here,
            ..
        } = self;
        batches[bucket]
            .flush(store, |record, entry, place| {
                let key = record.key;
                let locator = place.to_locator();
                match entry.from {
                    None => match here.get(key) {
                        Some((stamp, value)) if *stamp == entry.stamp => {
                            assert_eq!(record.value, value);
                            items.insert(key.to_vec(), (locator, value.clone()));
                            here.remove(key);
                            true
                        }
                        _ => false,
                    },
                    Some(from) => match items.get_mut(key) {
                        Some(item) if item.0 == from => {
                            assert_eq!(record.value, item.1);
                            item.0 = locator;
                            store.leave(from);
                            true
                        }
                        _ => false,
                    },
                }
            })
            .unwrap();
    }

    fn empty(&mut self, oldest: bool) {
        let when = Thresholds {
            compact_under: if oldest { 0 } else { 8 },
            live_max: 0.9,
            drop_under: 8,
            takes_oldest: oldest,
        };
        let Some(moving) = self.store.pages().take_to_move(&when) else {
            return;
        };
        let mut at = 0;
        while let Some(from) = (at < moving.written_bytes).then_some(at) {
            let mut found = Vec::new();
            let read = self
                .store
                .read_page(moving, from, WRITE_BYTES, |record, place| {
                    found.push((
                        record.key.to_vec(),
                        record.value.to_vec(),
                        place.to_locator(),
                    ));
                });
            for (key, value, locator) in found {
                if self.items.get(&key).is_some_and(|item| item.0 == locator) {
                    let bucket = Bucket::Compact as usize;
                    self.add(bucket, &key, &value, CasToken::from_u64(0), Some(locator));
                }
            }
            match read {
                Ok(Some(next)) => at = next,
                Ok(None) => break,
                Err(Missed::Damaged) if !self.damaged.is_empty() => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        self.flush(Bucket::Compact as usize);
        self.store.pages().release(moving);
    }

    /// Changes a byte of a record in its file.
    fn damage(&mut self, key: &[u8], at: usize) {
        use std::os::unix::fs::FileExt;
        let Some((locator, _)) = self.items.get(key) else {
            return;
        };
        let place = Place::of(*locator);
        // Only where all pages are in one file is it known where.
        if self.store.pages().all().len() as u64 > PAGES || !self.is_current(place) {
            return;
        }
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true);
        let file = options.open(self.folder.path().join("a")).unwrap();
        let at = u64::from(place.page) * PAGE_BYTES
            + u64::from(place.offset)
            + (at % place.record_bytes()) as u64;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        if self.damaged.contains(locator) {
            // It may be whole again; what is in its page beside it is not known to be.
            self.remove(key);
        } else {
            self.damaged.push(*locator);
        }
    }

    fn is_current(&self, place: Place) -> bool {
        self.store.is_current(place)
    }

    fn check(&self) {
        let mut buffer = Vec::new();
        let mut live = HashMap::<u16, (u64, u32)>::new();
        for (key, (locator, value)) in &self.items {
            let place = Place::of(*locator);
            match self.store.read(place, key, &mut buffer) {
                Ok(()) => assert!(buffer.ends_with(value) && !self.damaged.contains(locator)),
                Err(Missed::Gone) => assert!(!self.is_current(place)),
                Err(Missed::Damaged) => assert!(self.damaged.contains(locator)),
                Err(error) => panic!("{error:?}"),
            }
            let other = self.store.read(place, b"other", &mut buffer);
            assert!(other.is_err(), "no key gets another's value");
            if self.is_current(place) {
                let of_page = live.entry(place.page).or_default();
                of_page.0 += place.record_bytes() as u64;
                of_page.1 += 1;
            }
        }
        let pages = self.store.pages();
        let (mut bytes, mut count) = (0, 0);
        for (number, page) in (0_u16..).zip(pages.all()) {
            let expected = live.get(&number).copied().unwrap_or_default();
            assert_eq!(
                (page.live_bytes, page.live_count),
                expected,
                "page {number}"
            );
            assert!(page.live_bytes <= page.written_bytes.into());
            assert_eq!(page.version == 0, page.state == State::Free);
            bytes += page.live_bytes;
            count += u64::from(page.live_count);
        }
        let free = pages.all().iter().filter(|page| page.state == State::Free);
        assert_eq!(free.count(), pages.free_count() as usize);
        assert_eq!(
            (pages.counts.bytes_used, pages.counts.objects_used),
            (bytes, count)
        );
    }
}

proptest! {
    #[test]
    fn the_store_holds_what_the_twin_holds(
        ops in prop::collection::vec(op(), 1..300),
        dedicated in any::<bool>(),
    ) {
        let mut twin = Twin::new(dedicated);
        for op in &ops {
            twin.apply(op);
            twin.check();
        }
    }
}

#[test]
fn what_cannot_be_written_is_nowhere_and_what_cannot_be_read_is_missed() {
    let full = FlashFile::new("/dev/full", 4 * PAGE_BYTES);
    let store = Store::open(&[full], PAGE_BYTES).unwrap();
    let mut batch = Batch::new(Bucket::Default, WRITE_BYTES);
    let record = Record {
        key: b"key",
        value: b"value",
        written: 0,
    };
    let stamp = CasToken::from_u64(1);
    assert_eq!(batch.add(&store, &record, stamp, None), Added::Yes);
    let failed = batch.flush(&store, |_, _, _| panic!("nothing refers to it"));
    assert!(failed.unwrap_err().to_string().starts_with("/dev/full: "));
    assert!(batch.is_empty());
    assert_eq!(store.pages().counts.objects_used, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let store = Store::open(&[FlashFile::new(&path, 4 * PAGE_BYTES)], PAGE_BYTES).unwrap();
    assert_eq!(batch.add(&store, &record, stamp, None), Added::Yes);
    let mut placed = None;
    batch
        .flush(&store, |_, _, place| placed.replace(place).is_none())
        .unwrap();
    let place = placed.unwrap();
    let mut buffer = Vec::new();
    store.read(place, b"key", &mut buffer).unwrap();
    assert!(buffer.ends_with(b"value"));
    // Somebody has emptied the file.
    std::fs::File::create(&path).unwrap();
    let missed = store.read(place, b"key", &mut buffer);
    assert!(matches!(missed, Err(Missed::Failed(_))), "{missed:?}");
}
