//! `stats detail`: commands by the prefix of their key, while that is switched on.
//!
//! One lock for all workers, taken by every counted command: it is for looking at a server, not for
//! leaving on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Prefixes beyond this many are not counted.
const PREFIXES_MAX: usize = 65_536;

/// The counters of all prefixes.
#[derive(Debug)]
pub(crate) struct Prefixes {
    delimiter: u8,
    counts: AtomicBool,
    table: Mutex<BTreeMap<Box<[u8]>, Counts>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// What a retrieval came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retrieval {
    Hit,
    Miss,
}

impl Prefixes {
    pub(crate) fn new(delimiter: u8, counts: bool) -> Self {
        Self {
            delimiter,
            counts: AtomicBool::new(counts),
            table: Mutex::default(),
        }
    }

    pub(crate) fn are_counted(&self) -> bool {
        self.counts.load(Ordering::Relaxed)
    }

    /// `stats detail on` and `off`. What was counted stays.
    pub(crate) fn count(&self, counts: bool) {
        self.counts.store(counts, Ordering::Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn note_get(&self, key: &[u8], retrieval: Retrieval) {
        self.note(key, |counts| {
            counts.gets += 1;
            counts.hits += u64::from(retrieval == Retrieval::Hit);
        });
    }

    pub(crate) fn note_set(&self, key: &[u8]) {
        self.note(key, |counts| counts.sets += 1);
    }

    pub(crate) fn note_delete(&self, key: &[u8]) {
        self.note(key, |counts| counts.deletes += 1);
    }

    /// Shows every prefix with its gets, hits, sets and deletes.
    pub(crate) fn each(&self, mut show: impl FnMut(&[u8], [u64; 4])) {
        for (prefix, counts) in self.lock().iter() {
            show(
                prefix,
                [counts.gets, counts.hits, counts.sets, counts.deletes],
            );
        }
    }

    #[inline]
    fn note(&self, key: &[u8], change: impl FnOnce(&mut Counts)) {
        if self.are_counted() {
            self.note_counted(key, change);
        }
    }

    #[cold]
    fn note_counted(&self, key: &[u8], change: impl FnOnce(&mut Counts)) {
        let Some(end) = memchr::memchr(self.delimiter, key) else {
            return;
        };
        let prefix = key.get(..end).unwrap_or_default();
        let mut table = self.lock();
        if let Some(counts) = table.get_mut(prefix) {
            change(counts);
        } else if table.len() < PREFIXES_MAX {
            change(table.entry(prefix.into()).or_default());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Box<[u8]>, Counts>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(prefixes: &Prefixes) -> Vec<(Vec<u8>, [u64; 4])> {
        let mut shown = Vec::new();
        prefixes.each(|prefix, counts| shown.push((prefix.to_vec(), counts)));
        shown
    }

    #[test]
    fn commands_count_by_the_part_before_the_first_delimiter() {
        let prefixes = Prefixes::new(b':', true);
        prefixes.note_get(b"a:b:c", Retrieval::Hit);
        prefixes.note_get(b"a:x", Retrieval::Miss);
        prefixes.note_set(b"b:x");
        prefixes.note_delete(b":");
        prefixes.note_set(b"without");
        assert_eq!(
            shown(&prefixes),
            [
                (b"".to_vec(), [0, 0, 0, 1]),
                (b"a".to_vec(), [2, 1, 0, 0]),
                (b"b".to_vec(), [0, 0, 1, 0]),
            ]
        );
        prefixes.count(false);
        prefixes.note_set(b"c:x");
        assert_eq!(shown(&prefixes).len(), 3);
        prefixes.clear();
        assert!(shown(&prefixes).is_empty());
    }

    #[test]
    fn the_number_of_prefixes_is_bounded() {
        let prefixes = Prefixes::new(b'-', true);
        for number in 0..=PREFIXES_MAX {
            prefixes.note_set(format!("{number}-").as_bytes());
        }
        assert_eq!(shown(&prefixes).len(), PREFIXES_MAX);
        prefixes.note_set(b"7-x");
        assert!(shown(&prefixes).contains(&(b"7".to_vec(), [0, 0, 2, 0])));
    }
}
