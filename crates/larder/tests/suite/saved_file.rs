//! Saved caches that are damaged, cut short or foreign, and files that cannot be written or read.

use std::io::{self, ErrorKind, Read, Write};

use larder::{Cache, Flaw, ManualClock, Policy, Store, Ttl};
use proptest::prelude::*;

use crate::save::{contents, key};
use crate::sign::sign;

proptest! {
    #[test]
    fn a_file_with_any_mistake_is_an_error_or_items_and_nothing_worse(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        signed in any::<bool>(),
    ) {
        let mut file = a_file();
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if signed {
            sign(&mut file);
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let cache = Cache::builder().limit_bytes(4 << 20).shards(2).build().unwrap();
        let result = cache.restore(&mut &file[..]);
        cache.validate();
        if let Ok(restored) = result
            && !signed
        {
            prop_assert_eq!(restored.restored_count, 200);
        }
        cache.set(b"key", b"value", Ttl::NEVER).unwrap();
        prop_assert!(cache.get(b"key").is_some_and(|item| *item == b"value"[..]));
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), begun in any::<bool>()) {
        let mut file = if begun { a_file()[..12].to_vec() } else { Vec::new() };
        file.extend_from_slice(&bytes);
        let cache = Cache::with_limit(1 << 20).unwrap();
        prop_assert!(cache.restore(&mut &file[..]).is_err());
        prop_assert_eq!(cache.stats().item_count, 0);
    }
}

/// A saved cache of 200 items, one of them long.
fn a_file() -> Vec<u8> {
    let clock = ManualClock::default();
    let cache = Cache::builder().clock(clock).shards(1).limit_bytes(4 << 20);
    let cache = cache.build().unwrap();
    for number in 0..199_u8 {
        let key = key(number % 30 + 1);
        let key = [&key[..], &[number]].concat();
        let value = [number; 100];
        let store = Store::new(&key, &value).flags(u32::from(number % 3));
        let ttl = [Ttl::NEVER, Ttl::seconds(10_000_000_000)][usize::from(number % 2)];
        let _ = cache.store(&store.ttl(ttl)).unwrap();
    }
    cache.set(b"long", &[7; 400_000], Ttl::NEVER).unwrap();
    let mut file = Vec::new();
    let saved = cache.save(&mut file).unwrap();
    assert_eq!(saved.item_count, 200);
    file
}

#[test]
fn what_is_wrong_is_told_and_what_comes_before_it_stays() {
    let file = a_file();
    let restore = |bytes: &[u8]| {
        let cache = Cache::with_limit(4 << 20).unwrap();
        let result = cache.restore(&mut &bytes[..]);
        let count = cache.stats().item_count as u64;
        match result {
            Ok(restored) => {
                assert_eq!(restored.restored_count, count);
                (count, None)
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(error.restored.restored_count, count);
                (count, Some(error.flaw))
            }
        }
    };
    let (count, flaw) = restore(&file);
    assert!(count == 200 && flaw.is_none());
    assert!(matches!(restore(b""), (0, Some(Flaw::Foreign))));
    assert!(matches!(restore(b"# a text"), (0, Some(Flaw::Foreign))));
    let mut other = file.clone();
    other[8] = 9;
    assert!(matches!(restore(&other), (0, Some(Flaw::Version(9)))));
    for cut in (12..file.len()).step_by(997).chain([file.len() - 1]) {
        assert!(matches!(restore(&file[..cut]), (_, Some(Flaw::Truncated))));
    }
    let mut damaged = file.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (count, flaw) = restore(&damaged);
    assert!(count == 200 && matches!(flaw, Some(Flaw::Damaged { .. })));
    // A block that is there twice, with a checksum of its own.
    let head_bytes = 12 + 48;
    let twice = [&file[..12 + head_bytes], &file[12..]].concat();
    assert!(matches!(
        restore(&twice),
        (0, Some(Flaw::Damaged { block: 1 }))
    ));
}

/// Takes so many bytes, and then fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Now and then a short write, which is none.
        let taken = bytes.len().min(self.0).min(100_000);
        if taken == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn where_nothing_more_can_be_written_saving_fails_and_the_cache_is_sound() {
    for policy in [Policy::Adaptive, Policy::Lru, Policy::NoEviction] {
        for room in [0, 10, 50, 5000, 150_000, 1 << 20] {
            let builder = Cache::builder().limit_bytes(8 << 20).shards(2);
            let cache = builder.policy(policy).build().unwrap();
            for number in 0..3000_u32 {
                let key = number.to_be_bytes();
                cache.set(&key, &[1; 500], Ttl::NEVER).unwrap();
            }
            cache.set(b"long", &[7; 400_000], Ttl::NEVER).unwrap();
            let before = contents(&cache);
            let error = cache.save(&mut Full(room)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert_eq!(contents(&cache), before);
            let limit_bytes = cache.stats().limit_bytes;
            let error = cache.save_draining(&mut Full(room)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            cache.validate();
            assert_eq!(cache.stats().limit_bytes, limit_bytes);
            let left = contents(&cache);
            assert!(left.iter().all(|(key, seen)| before[key] == *seen));
            // Another try has the rest.
            let mut file = Vec::new();
            let saved = cache.save_draining(&mut file).unwrap();
            assert_eq!(saved.item_count, left.len() as u64);
            let restored = cache.restore(&mut &file[..]).unwrap();
            assert_eq!(restored.restored_count, saved.item_count);
            assert_eq!(contents(&cache), left);
        }
    }
}

/// Yields so many bytes of a file, and then fails.
struct Torn<'a>(&'a [u8], usize);

impl Read for Torn<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1 == 0 {
            return Err(ErrorKind::InvalidData.into());
        }
        let taken = buffer.len().min(self.0.len()).min(self.1).min(1000);
        let (head, rest) = self.0.split_at(taken);
        buffer[..taken].copy_from_slice(head);
        self.0 = rest;
        self.1 -= taken;
        Ok(taken)
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_of() {
    let file = a_file();
    for room in [0, 11, 60, 30_000, file.len() - 1] {
        let cache = Cache::with_limit(4 << 20).unwrap();
        let error = cache.restore(&mut Torn(&file, room)).unwrap_err();
        assert!(matches!(error.flaw, Flaw::Unreadable(_)), "{room}: {error}");
        cache.validate();
    }
}

#[test]
fn a_file_of_the_first_version_is_read_for_ever() {
    let clock = ManualClock::default();
    let cache = Cache::builder().limit_bytes(1 << 20).clock(clock.clone());
    let cache = cache.build().unwrap();
    let file = include_bytes!("../saved/version-1");
    assert_eq!(cache.restore(&mut &file[..]).unwrap().restored_count, 3);
    let contents = contents(&cache);
    let [plain, full, stale] = [&b"plain"[..], b"full", b"stale"].map(|key| &contents[key]);
    assert_eq!(
        (&*plain.value, plain.flags, plain.marks),
        (&b"value"[..], 0, [false; 4])
    );
    assert_eq!((&*full.value, full.flags), (&[b'f'; 300][..], 0xDEAD_BEEF));
    assert_eq!(full.cas.to_u64(), 12_345);
    assert_eq!(full.expires_at.unwrap().since(clock.now()).as_secs(), 3600);
    assert_eq!(full.marks, [true, false, false, true]);
    assert_eq!(stale.marks, [false, true, false, false]);
    assert!(cache.set(b"new", b"", Ttl::NEVER).unwrap() > stale.cas.max(plain.cas));
}
