//! Removing by key, by condition and from all there is; entries; renewing what is old.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use larder::{Cache, Edit, Error, ManualClock, Put, Renewal, Ttl, UpdateOutcome};

fn key(number: u32) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

#[test]
fn of_all_who_take_one_gets_it() {
    let cache = Cache::with_limit(4 << 20).unwrap();
    let taken = AtomicU32::new(0);
    for number in 0..200 {
        cache.set(&key(number), b"value", Ttl::NEVER).unwrap();
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..200 {
                    if let Some(item) = cache.take(&key(number)) {
                        assert_eq!((&*item, item.view().key()), (&b"value"[..], &*key(number)));
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(taken.into_inner(), 200);
    assert_eq!((cache.stats().hits, cache.stats().deletes), (0, 200));
}

#[test]
fn a_condition_decides_and_the_dead_are_not_shown() {
    let clock = ManualClock::default();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    cache.set(b"key", b"value", Ttl::seconds(1)).unwrap();
    assert!(!cache.remove_if(b"key", |item| item.flags() == 1));
    assert!(!cache.remove_if(b"other", |_| unreachable!("there is none")));
    assert!(cache.contains(b"key"));
    clock.advance(Duration::from_secs(1));
    assert!(!cache.remove_if(b"key", |_| unreachable!("it has expired")));
    assert!(cache.take(b"key").is_none());
}

#[test]
fn retain_shows_what_stays_while_others_come_and_the_index_grows() {
    let cache = Cache::builder()
        .limit_bytes(64 << 20)
        .shards(2)
        .build()
        .unwrap();
    for number in 0..20_000 {
        cache
            .set(&key(number), &[(number % 2) as u8], Ttl::NEVER)
            .unwrap();
    }
    let done = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            // No more than there is room for, however long the other one takes.
            let mut numbers = (1_000_000..1_400_000).cycle();
            while done.load(Ordering::Relaxed) == 0 {
                let number = numbers.next().expect("it has no end");
                cache.set(&key(number), &[1], Ttl::NEVER).unwrap();
            }
        });
        let removed = cache.retain(|item| item.value() == [1]);
        done.store(1, Ordering::Relaxed);
        assert_eq!(removed, 10_000);
    });
    let there = |number| cache.contains(&key(number));
    assert!((0..20_000).all(|number| there(number) == (number % 2 == 1)));
    cache.validate();
    assert_eq!(
        cache.retain(|_| false),
        cache.stats().deletes as usize - 10_000
    );
    assert_eq!(cache.stats().item_count, 0);
    cache.validate();
}

#[test]
fn an_entry_inserts_updates_and_upserts() {
    let cache = Cache::with_limit(4 << 20).unwrap();
    let entry = cache.entry(b"key");
    assert_eq!(entry.key(), b"key");
    let edit = |view: larder::ItemView<'_>| Edit::Value([view.value(), b"+"].concat().into());
    assert_eq!(entry.update(edit).unwrap(), UpdateOutcome::Missing);
    assert_eq!(&*entry.or_insert(Put::new(b"a").flags(3)).unwrap(), b"a");
    assert_eq!(&*entry.or_insert(Put::new(b"unused")).unwrap(), b"a");
    assert!(matches!(
        entry.update(edit).unwrap(),
        UpdateOutcome::Stored(_)
    ));
    let item = entry.or_insert_with(|| Put::new(b"unused")).unwrap();
    assert_eq!((&*item, item.flags()), (&b"a+"[..], 3));
    cache.remove(b"key");
    let failed = entry.or_try_insert_with(|| Err(Error::NotANumber));
    assert_eq!(failed.unwrap_err(), Error::NotANumber);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let longer = |found: Option<larder::ItemView<'_>>| {
                        let before = found.map_or(0, |item| item.value().len());
                        Put::new(vec![0; before + 1])
                    };
                    entry.upsert_with(longer).unwrap();
                }
            });
        }
    });
    assert_eq!(cache.get(b"key").unwrap().len(), 400);
    assert_eq!(
        cache.entry(b"").or_insert(Put::new(b"")).unwrap_err(),
        Error::KeyEmpty
    );
}

const AHEAD: Duration = Duration::from_secs(10);

fn no_load() -> Put<'static> {
    unreachable!("what is there will do")
}

#[test]
fn one_renews_what_is_old_and_the_others_are_served_on() {
    let clock = ManualClock::default();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    let get = |load: &dyn Fn() -> Put<'static>| {
        cache
            .get_or_renew_with(b"key", AHEAD, load)
            .unwrap()
            .to_vec()
    };
    let minute = Ttl::seconds(60);
    assert_eq!(get(&|| Put::new(b"1").ttl(minute)), b"1");
    clock.advance(Duration::from_secs(49));
    assert_eq!(get(&no_load), b"1");
    clock.advance(Duration::from_secs(1));
    // It expires within the ten seconds: the first renews, the second, meanwhile, is given the old one.
    let renewed = get(&|| {
        assert_eq!(get(&no_load), b"1");
        Put::new(b"2").ttl(minute)
    });
    assert_eq!((renewed, get(&no_load)), (b"2".to_vec(), b"2".to_vec()));

    cache.invalidate(b"key");
    let renewed = get(&|| {
        assert_eq!(cache.get_to_renew(b"key").unwrap().1, Renewal::Stale);
        assert_eq!(get(&no_load), b"2");
        // Invalidated once more: what is made now is old already.
        cache.invalidate(b"key");
        Put::new(b"3").ttl(minute)
    });
    assert_eq!(renewed, b"3");
    assert!(cache.peek(b"key").unwrap().view().is_stale());
    // Stored by somebody else: that is newer.
    let renewed = get(&|| {
        cache.set(b"key", b"5", minute).unwrap();
        Put::new(b"4").ttl(minute)
    });
    assert_eq!((renewed, get(&no_load)), (b"5".to_vec(), b"5".to_vec()));
    // Removed meanwhile: then it is new.
    cache.invalidate(b"key");
    let renewed = get(&|| {
        cache.remove(b"key");
        Put::new(b"6").ttl(minute)
    });
    assert_eq!((renewed, get(&no_load)), (b"6".to_vec(), b"6".to_vec()));
    cache.validate();
}

#[test]
fn who_fails_to_renew_leaves_the_old_item_and_the_right() {
    let cache = Cache::with_limit(4 << 20).unwrap();
    cache.set(b"key", b"old", Ttl::NEVER).unwrap();
    cache.invalidate(b"key");
    let failed = cache.try_get_or_renew_with(b"key", AHEAD, || Err(Error::NotANumber));
    assert_eq!(failed.unwrap_err(), Error::NotANumber);
    let panics = || cache.get_or_renew_with(b"key", AHEAD, || panic!("the load, as it should"));
    assert!(catch_unwind(AssertUnwindSafe(|| _ = panics())).is_err());
    assert_eq!(cache.peek(b"key").as_deref(), Some(&b"old"[..]));
    let tries = Cell::new(0);
    let load = || {
        tries.set(tries.get() + 1);
        Put::new(b"new")
    };
    let item = cache.get_or_renew_with(b"key", AHEAD, load).unwrap();
    assert_eq!((&*item, tries.get()), (&b"new"[..], 1));
    assert_eq!(cache.get_to_renew(b"key").unwrap().1, Renewal::Fresh);
}
