//! Pinned guards: what they show stays, whatever becomes of the item, the cache or the thread; what they hold
//! has a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::ends::Ends;
use crate::readers::filler;
use larder::{Cache, Edit, Error, PINNED_VALUE_BYTES_MIN, PinnedGuard, Policy, Ttl};

/// Values of a page's chunk, of a wide page's, and of a run.
const LENGTHS: [usize; 3] = [5000, 20_000, 100_000];

fn cache(policy: Policy) -> Cache {
    Cache::builder()
        .limit_bytes(8 << 20)
        // From which on there are wide pages.
        .limit_bytes_max(64 << 20)
        .policy(policy)
        .shards(1)
        .build()
        .unwrap()
}

/// More than fits, of several sizes.
fn turn_over(cache: &Cache) {
    for (round, bytes) in [100, 5000, 20_000, 100_000].into_iter().enumerate() {
        let count = cache.stats().limit_bytes * 5 / 4 / (bytes + 100);
        for number in 0..count {
            let key = filler(round << 32 | number);
            let stored = cache.set(&key, &vec![3; bytes], Ttl::NEVER);
            // Without eviction there is no room at some point.
            assert!(stored.is_ok() || cache.policy() == Policy::NoEviction);
        }
    }
}

#[test]
fn a_pinned_guard_shows_what_was_read_whatever_becomes_of_the_item() {
    let changes: [&dyn Fn(&Cache); 8] = [
        &|cache| _ = cache.set(b"key", &[2; 100], Ttl::NEVER).unwrap(),
        &|cache| _ = cache.set(b"key", &[2; 5000], Ttl::NEVER).unwrap(),
        &|cache| _ = cache.append(b"key", &[2; 8]).unwrap(),
        &|cache| {
            let edit = |_: larder::ItemView<'_>| Edit::Value(vec![2; 90].into());
            _ = cache.update(b"key", edit).unwrap();
        },
        &|cache| assert!(cache.remove(b"key")),
        &|cache| cache.clear(),
        &|cache| cache.clear_before(cache.now().after(Duration::from_secs(1))),
        &|cache| assert!(cache.evict(1) == 1 || cache.remove(b"key")),
    ];
    for policy in [Policy::Adaptive, Policy::Lru, Policy::NoEviction] {
        for (change, length) in changes
            .into_iter()
            .flat_map(|change| LENGTHS.map(|length| (change, length)))
        {
            let cache = cache(policy);
            let token = cache.set(b"key", &vec![1; length], Ttl::NEVER).unwrap();
            let first = cache.get_pinned(b"key").unwrap();
            let guards = vec![first.clone(), cache.pin(cache.peek(b"key").unwrap()), first];
            assert!(guards.iter().all(PinnedGuard::is_pinned));
            assert!(cache.stats().pinned_bytes >= length);
            change(&cache);
            cache.validate();
            turn_over(&cache);
            cache.validate();
            for guard in &guards {
                let view = guard.view();
                assert_eq!(
                    (view.key(), view.value()),
                    (&b"key"[..], &vec![1; length][..])
                );
                assert_eq!(guard.cas(), token);
            }
            drop(guards);
            assert_eq!(cache.stats().pinned_bytes, 0);
            cache.validate();
            cache.clear();
            cache.validate();
            let stats = cache.stats();
            assert_eq!((stats.item_count, stats.large_bytes), (0, 0));
        }
    }
}

#[test]
fn a_pinned_guard_outlives_its_cache() {
    for length in LENGTHS {
        for is_removed in [false, true] {
            let cache = cache(Policy::Adaptive);
            cache.set(b"key", &vec![1; length], Ttl::NEVER).unwrap();
            turn_over(&cache);
            cache.set(b"key", &vec![1; length], Ttl::NEVER).unwrap();
            let guard = cache.get_pinned(b"key").unwrap();
            if is_removed {
                cache.remove(b"key");
            }
            drop(cache);
            assert!(guard.is_pinned() && *guard == vec![1; length]);
            let clone = guard.clone();
            drop(guard);
            assert_eq!(*clone, vec![1; length]);
        }
    }
}

#[test]
fn beyond_the_bound_guards_are_copies_and_stores_find_room() {
    for policy in [Policy::Adaptive, Policy::Lru] {
        for bytes_max in [0, 2 << 20, 8 << 20] {
            let cache = Cache::builder()
                .limit_bytes(16 << 20)
                .policy(policy)
                .shards(1)
                .pinned_bytes_max(bytes_max)
                .build()
                .unwrap();
            assert_eq!(cache.pinned_bytes_max(), bytes_max);
            let mut guards = Vec::new();
            for number in 0..2000 {
                let length = LENGTHS[number % 3] + number;
                cache
                    .set(&filler(number), &vec![number as u8; length], Ttl::NEVER)
                    .unwrap();
                guards.push((number, cache.get_pinned(&filler(number)).unwrap()));
                let held = cache.stats().pinned_bytes;
                assert!(held <= bytes_max, "{held} of {bytes_max}");
                if number >= 600 {
                    // From then on some go, so that what is held moves through all pages.
                    guards.swap_remove(number * 7919 % guards.len());
                }
            }
            let pinned = guards.iter().filter(|(_, guard)| guard.is_pinned()).count();
            assert_eq!(pinned > 0, bytes_max > 0);
            assert!(pinned < guards.len());
            cache.validate();
            turn_over(&cache);
            cache.validate();
            for (number, guard) in &guards {
                assert_eq!(**guard, vec![*number as u8; LENGTHS[number % 3] + number]);
            }
            drop(guards);
            cache.clear();
            cache.validate();
            assert_eq!(cache.stats().pinned_bytes, 0);
        }
    }
}

#[test]
fn a_lower_limit_goes_around_what_is_pinned_or_says_that_it_cannot() {
    let cache = cache(Policy::Adaptive);
    let mut guards = Vec::new();
    for number in 0..400 {
        let length = LENGTHS[number % 3];
        cache
            .set(&filler(number), &vec![1; length], Ttl::NEVER)
            .unwrap();
        guards.push(cache.get_pinned(&filler(number)).unwrap());
    }
    let held = cache.stats().pinned_bytes;
    assert!(held > 1 << 20, "{held}");
    turn_over(&cache);
    cache.set_limit(6 << 20).unwrap();
    assert_eq!(cache.pinned_bytes_max(), (6 << 20) / 4);
    cache.validate();
    let refused = cache.set_limit(1 << 20).unwrap_err();
    assert!(matches!(refused, Error::LimitBelowUse { used_bytes, .. } if used_bytes >= held));
    assert_eq!(cache.stats().limit_bytes, 6 << 20);
    turn_over(&cache);
    cache.validate();
    assert!(
        guards
            .iter()
            .all(|guard| guard.iter().all(|&byte| byte == 1))
    );
    drop(guards);
    cache.set_limit(1 << 20).unwrap();
    assert!(cache.stats().used_bytes <= 1 << 20);
    cache.validate();
}

#[test]
fn what_is_forgotten_stays_and_nothing_else() {
    for length in LENGTHS {
        let cache = cache(Policy::Adaptive);
        for round in 0..100 {
            cache.set(b"key", &vec![round; length], Ttl::NEVER).unwrap();
            std::mem::forget(cache.get_pinned(b"key").unwrap());
            if length < 50_000 {
                // A large value's guard, which is no copy, has no bound.
                std::mem::forget(cache.get(b"key").unwrap());
            }
        }
        cache.validate();
        assert!(cache.stats().pinned_bytes <= cache.pinned_bytes_max());
        turn_over(&cache);
        cache.clear();
        turn_over(&cache);
        cache.validate();
    }
}

#[test]
fn short_values_and_items_of_other_caches_are_copied() {
    let (own, other) = (cache(Policy::Adaptive), cache(Policy::Adaptive));
    for length in [
        0,
        PINNED_VALUE_BYTES_MIN - 1,
        PINNED_VALUE_BYTES_MIN,
        50_000,
    ] {
        own.set(b"key", &vec![1; length], Ttl::NEVER).unwrap();
        let guard = own.get_pinned(b"key").unwrap();
        assert_eq!(guard.is_pinned(), length >= PINNED_VALUE_BYTES_MIN);
        let foreign = other.pin(own.get(b"key").unwrap());
        assert!(!foreign.is_pinned());
        assert_eq!(other.stats().pinned_bytes, 0);
        for guard in [guard, foreign] {
            assert_eq!(*guard, vec![1; length]);
            assert_eq!(guard.view().key(), b"key");
        }
    }
    let taken = own.take(b"key").unwrap();
    assert!(!own.pin(taken).is_pinned(), "it has left the cache");
}

/// Whether it can be given to an executor that moves tasks between threads.
fn is_task<F: Future + Send + 'static>(future: F) -> F {
    future
}

#[test]
fn a_pinned_guard_is_kept_across_awaits_in_any_thread() {
    let cache = Arc::new(cache(Policy::Adaptive));
    cache.set(b"key", &[1; 9000], Ttl::NEVER).unwrap();
    let of_task = Arc::clone(&cache);
    let mut is_ready = false;
    let mut task = Box::pin(is_task(async move {
        let guard = of_task.get_pinned(b"key").unwrap();
        std::future::poll_fn(|_| {
            let poll = if is_ready {
                Poll::Ready(())
            } else {
                Poll::Pending
            };
            is_ready = true;
            poll
        })
        .await;
        guard.iter().filter(|&&byte| byte == 1).count()
    }));
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(task.as_mut().poll(&mut context), Poll::Pending);
    cache.set(b"key", &[2; 9000], Ttl::NEVER).unwrap();
    turn_over(&cache);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(task.as_mut().poll(&mut context), Poll::Ready(9000));
        });
    });
    cache.validate();
}

#[test]
fn what_is_pinned_by_many_threads_is_never_torn() {
    let cache = Cache::builder()
        .limit_bytes(16 << 20)
        .shards(4)
        .build()
        .unwrap();
    let is_over = AtomicBool::new(false);
    let (pass, passed) = channel::<PinnedGuard>();
    let key = |number: usize| filler(number % 40);
    thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for reader in 0..2 {
            let (cache, is_over, pass) = (&cache, &is_over, pass.clone());
            scope.spawn(move || {
                let mut mine = Vec::new();
                for step in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let Some(guard) = cache.get_pinned(&key(step * 7 + reader)) else {
                        continue;
                    };
                    if step % 3 == 0 {
                        pass.send(guard.clone()).unwrap();
                    }
                    mine.push(guard);
                    if mine.len() > 50 {
                        let guard = mine.swap_remove(step % mine.len());
                        assert!(guard.windows(2).all(|pair| pair[0] == pair[1]));
                    }
                }
            });
        }
        drop(pass);
        scope.spawn(move || {
            for guard in passed {
                assert!(guard.windows(2).all(|pair| pair[0] == pair[1]));
            }
        });
        for step in 0..4000_usize {
            let length = LENGTHS[step % 3] / 2 + 1700 + step;
            let stored = cache.set(&key(step), &vec![step as u8; length], Ttl::NEVER);
            stored.unwrap();
            match step % 500 {
                0 => cache.clear(),
                100 => _ = cache.set_limit([12 << 20, 16 << 20][step / 500 % 2]),
                200 => cache.validate(),
                _ => {}
            }
        }
    });
    cache.validate();
    cache.clear();
    cache.validate();
    assert_eq!(cache.stats().pinned_bytes, 0);
}
