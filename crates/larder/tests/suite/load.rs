//! One load a key: herds, failures, panics, circles, and what is stored meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use larder::{Cache, Error, ManualClock, Put, Ttl};

const THREADS: u64 = 8;

fn cache() -> Cache {
    Cache::with_limit(4 << 20).unwrap()
}

/// Returns once that many have missed: they wait, or are about to.
fn after_misses(cache: &Cache, count: u64) {
    while cache.stats().misses < count {
        thread::yield_now();
    }
}

#[test]
fn of_a_herd_one_loads_and_all_get_it() {
    let cache = cache();
    let loads = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let load = || {
                    after_misses(&cache, THREADS);
                    loads.fetch_add(1, Ordering::Relaxed);
                    Put::new(b"loaded").flags(7)
                };
                let item = cache.get_or_insert_with(b"key", load).unwrap();
                assert_eq!((&*item, item.flags()), (&b"loaded"[..], 7));
                assert_eq!(item.view().key(), b"key");
                assert_eq!(item.cas(), cache.peek(b"key").unwrap().cas());
            });
        }
    });
    assert_eq!(loads.into_inner(), 1);
    cache.validate();
}

#[test]
fn a_load_decides_on_the_lifetime() {
    let clock = ManualClock::default();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    let load = |text: &'static [u8]| move || Put::new(text).ttl(Ttl::seconds(1));
    cache.get_or_insert_with(b"key", load(b"first")).unwrap();
    let item = cache.get_or_insert_with(b"key", load(b"unused")).unwrap();
    assert_eq!(&*item, b"first");
    clock.advance(std::time::Duration::from_secs(1));
    let item = cache.get_or_insert_with(b"key", load(b"second")).unwrap();
    assert_eq!(&*item, b"second");
}

#[test]
fn what_expires_at_once_is_handed_out_and_not_kept() {
    let cache = cache();
    let loads = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let load = || {
                    after_misses(&cache, THREADS);
                    loads.fetch_add(1, Ordering::Relaxed);
                    Put::new(b"now only").ttl(Ttl::EXPIRED)
                };
                let item = cache.get_or_insert_with(b"key", load).unwrap();
                assert_eq!(&*item, b"now only");
            });
        }
    });
    // Who had missed, and joined only when it was over, has loaded for itself.
    assert!((1..=8).contains(&loads.into_inner()));
    assert!(!cache.contains(b"key"));
}

#[test]
fn a_load_that_fails_or_panics_hands_over() {
    for panics in [false, true] {
        let cache = cache();
        let attempts = AtomicU32::new(0);
        let failures = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let load = || {
                        after_misses(&cache, THREADS);
                        // All but the last fail.
                        if attempts.fetch_add(1, Ordering::Relaxed) + 1 == THREADS as u32 {
                            return Ok(Put::new(b"at last"));
                        }
                        assert!(!panics, "the load panics, as it should");
                        Err(Failure::Load)
                    };
                    let get = || cache.try_get_or_insert_with(b"key", load);
                    match catch_unwind(AssertUnwindSafe(get)) {
                        Ok(Ok(item)) => assert_eq!(&*item, b"at last"),
                        Ok(Err(failure)) => {
                            assert_eq!(failure, Failure::Load);
                            failures.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => _ = failures.fetch_add(1, Ordering::Relaxed),
                    }
                });
            }
        });
        assert_eq!(attempts.into_inner(), 8);
        assert_eq!(failures.into_inner(), 7);
        cache.validate();
    }
}

#[derive(Debug, PartialEq)]
enum Failure {
    Load,
    Cache(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

#[test]
fn what_cannot_be_stored_is_an_error_for_all_who_wait() {
    let cache = Cache::builder().value_bytes_max(10).build().unwrap();
    let refused = Error::ValueTooLarge {
        value_bytes: 11,
        value_bytes_max: 10,
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let load = || {
                    after_misses(&cache, THREADS);
                    Put::new(vec![0; 11])
                };
                let error = cache.get_or_insert_with(b"key", load).unwrap_err();
                assert_eq!(error, refused);
            });
        }
    });
    assert!(!cache.contains(b"key"));
    let unused = || -> Put<'_> { unreachable!("the key is refused first") };
    assert_eq!(
        cache.get_or_insert_with(b"", unused).unwrap_err(),
        Error::KeyEmpty
    );
}

#[test]
fn what_is_stored_meanwhile_stays() {
    let cache = cache();
    let load = || {
        cache.set(b"key", b"newer", Ttl::NEVER).unwrap();
        Put::new(b"loaded")
    };
    assert_eq!(&*cache.get_or_insert_with(b"key", load).unwrap(), b"newer");
    assert_eq!(&*cache.get(b"key").unwrap(), b"newer");
}

#[test]
fn a_load_may_load_other_keys_and_use_other_caches() {
    let (first, second) = (cache(), cache());
    let item = first.get_or_insert_with(b"a", || {
        let inner = second.get_or_insert_with(b"a", || {
            Put::new(
                first
                    .get_or_insert_with(b"b", || Put::new(b"deep"))
                    .unwrap()
                    .to_vec(),
            )
        });
        Put::new(inner.unwrap().to_vec())
    });
    assert_eq!(&*item.unwrap(), b"deep");
    assert!(first.contains(b"a") && first.contains(b"b") && second.contains(b"a"));
}

#[test]
fn a_load_that_needs_itself_is_refused() {
    let (first, second) = (cache(), cache());
    let itself = first.get_or_insert_with(b"a", || {
        let again = first.get_or_insert_with(b"a", || Put::new(b"unreachable"));
        assert_eq!(again.unwrap_err(), Error::LoadNeedsItself);
        Put::new(b"without itself")
    });
    assert_eq!(&*itself.unwrap(), b"without itself");

    // By way of another key, and of another cache.
    let around = first.try_get_or_insert_with(b"b", || {
        let inner = second.try_get_or_insert_with(b"c", || {
            let item = first.try_get_or_insert_with(b"b", || Ok::<_, Error>(Put::new(b"")))?;
            Ok::<_, Error>(Put::new(item.to_vec()))
        })?;
        Ok::<_, Error>(Put::new(inner.to_vec()))
    });
    assert_eq!(around.unwrap_err(), Error::LoadNeedsItself);
    assert!(!first.contains(b"b") && !second.contains(b"c"));
    // Nothing is left behind.
    let item = first.get_or_insert_with(b"b", || Put::new(b"later"));
    assert_eq!(&*item.unwrap(), b"later");
}

#[test]
fn two_loads_that_need_each_other_do_not_wait_for_ever() {
    let cache = cache();
    let both_lead = Barrier::new(2);
    let load = |own: &'static [u8], other: &'static [u8]| {
        cache.try_get_or_insert_with(own, || {
            both_lead.wait();
            let needed = cache
                .try_get_or_insert_with(other, || Ok::<_, Error>(Put::new(b"without the other")))?;
            Ok::<_, Error>(Put::new(needed.to_vec()))
        })
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| load(b"a", b"b").map(|item| item.to_vec()));
        let second = scope.spawn(|| load(b"b", b"a").map(|item| item.to_vec()));
        let mut results = [first.join().unwrap(), second.join().unwrap()];
        results.sort_by_key(Result::is_ok);
        // Who came last was refused; the other then took over what it had waited for.
        let expected = [
            Err(Error::LoadNeedsItself),
            Ok(b"without the other".to_vec()),
        ];
        assert_eq!(results, expected);
    });
}
