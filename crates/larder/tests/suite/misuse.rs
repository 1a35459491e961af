//! What callers must not do is told them: no deadlock, no damage.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use larder::{
    Adjust, Cache, Cursor, Edit, ItemView, Policy, Put, Revision, Store, Ttl, UpdateOutcome,
};

fn cache() -> Cache {
    let cache = Cache::builder()
        .limit_bytes(4 << 20)
        .shards(2)
        .build()
        .unwrap();
    cache.set(b"key", b"value", Ttl::NEVER).unwrap();
    cache
}

/// The message that `call` panics with.
fn panics(call: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("it should panic");
    match panic.downcast::<&str>() {
        Ok(message) => message.to_string(),
        Err(panic) => *panic.downcast::<String>().unwrap(),
    }
}

#[test]
fn a_closure_that_calls_its_cache_is_told_so() {
    let cache = cache();
    // Whether it would have to wait or not.
    let call = || {
        let found = catch_unwind(AssertUnwindSafe(|| cache.contains(b"key")));
        assert!(!cache.contains(b"another key, in whatever shard"));
        assert!(found.is_err(), "a key that is there");
    };
    let calls: [&dyn Fn(); 8] = [
        &|| _ = cache.get_and_adjust_with(b"key", |_| (Adjust::read(), call())),
        &|| _ = cache.store_with(&Store::new(b"key", b""), |_| call()),
        &|| {
            _ = cache.update(b"key", |_| {
                call();
                Edit::Keep
            });
        },
        &|| {
            _ = cache.revise(b"key", |_| {
                call();
                Revision::Remove
            });
        },
        &|| _ = cache.walk(&mut Cursor::default(), 100, |_| call()),
        &|| {
            cache.remove_if(b"key", |_| {
                call();
                true
            });
        },
        &|| {
            cache.retain(|_| {
                call();
                false
            });
        },
        &|| {
            _ = cache.entry(b"key").upsert_with(|_| {
                call();
                Put::new(b"")
            });
        },
    ];
    for (number, call) in calls.into_iter().enumerate() {
        // A walk shows only what is in the shard that it has come to.
        if catch_unwind(AssertUnwindSafe(call)).is_ok() {
            assert_eq!(number, 4);
            continue;
        }
        assert!(panics(call).contains("must not call that cache"));
        cache.validate();
    }
    assert!(cache.contains(b"key"));
}

/// Reads run what they are given without a lock, however deep they nest.
#[test]
fn a_closure_of_a_read_may_call_its_cache() {
    for policy in [Policy::Adaptive, Policy::Lru, Policy::NoEviction] {
        let cache = Cache::builder()
            .limit_bytes(4 << 20)
            .policy(policy)
            .build()
            .unwrap();
        cache.set(b"key", b"value", Ttl::NEVER).unwrap();
        let batch = cache.batch().prepare(b"key");
        let call = |view: ItemView<'_>| {
            cache.set(b"key", b"other", Ttl::NEVER).unwrap();
            assert_eq!(view.value(), b"value", "what is shown stays as it is");
            assert_eq!(cache.get(b"key").as_deref(), Some(&b"other"[..]));
            assert!(cache.remove(b"key"));
            assert_eq!(view.value(), b"value");
            cache.validate();
            cache.clear();
            cache.validate();
            cache.set(b"key", b"value", Ttl::NEVER).unwrap();
            assert_eq!((view.key(), view.value()), (&b"key"[..], &b"value"[..]));
        };
        cache.get_with(b"key", call).unwrap();
        cache.peek_with(b"key", call).unwrap();
        cache.get_and_touch_with(b"key", Ttl::NEVER, call).unwrap();
        batch.get_with(call).unwrap();
        batch.peek_with(call).unwrap();
        cache.get_many(&[b"key"], |_, item| {
            call(item.unwrap());
            ControlFlow::Continue(())
        });
        cache.validate();
        assert_eq!(nested(&cache, 20), 20);
        cache.validate();
    }
}

fn nested(cache: &Cache, depth: u32) -> u32 {
    let deeper = |_: ItemView<'_>| match depth {
        0 => 0,
        _ => 1 + nested(cache, depth - 1),
    };
    cache.get_with(b"key", deeper).unwrap()
}

#[test]
fn closures_may_call_other_caches_but_not_back() {
    let (first, second) = (cache(), cache());
    let inner = first.update(b"key", |_| {
        assert!(second.contains(b"key"));
        Edit::Keep
    });
    assert_eq!(inner, Ok(UpdateOutcome::Kept));
    let back = || {
        _ = first.update(b"key", |_| {
            _ = second.update(b"key", |_| {
                first.remove(b"");
                Edit::Keep
            });
            Edit::Keep
        });
    };
    assert!(panics(back).contains("must not call that cache"));
    first.set(b"key", b"afterwards", Ttl::NEVER).unwrap();
    second.set(b"key", b"afterwards", Ttl::NEVER).unwrap();
}

#[test]
fn an_observer_that_calls_its_cache_is_told_so() {
    let cache = Arc::new(cache());
    let weak = Arc::downgrade(&cache);
    cache.observe_evictions(move |_| {
        weak.upgrade().unwrap().remove(b"key");
    });
    assert!(panics(|| _ = cache.evict(1)).contains("must not call that cache"));
    cache.validate();
    assert!(!cache.contains(b"key"), "it is evicted all the same");
}

#[test]
fn closures_that_panic_while_removing_leave_what_they_did_not_decide_on() {
    let cache = Cache::builder()
        .limit_bytes(4 << 20)
        .shards(1)
        .build()
        .unwrap();
    for number in 0..1000_u32 {
        cache
            .set(&number.to_le_bytes(), b"value", Ttl::NEVER)
            .unwrap();
    }
    let mut shown = 0;
    let retain = || {
        cache.retain(|_| {
            shown += 1;
            assert!(shown <= 100, "in retain");
            false
        });
    };
    assert!(panics(retain).contains("in retain"));
    cache.validate();
    assert_eq!(cache.stats().item_count, 900);
    cache.set(b"last", b"", Ttl::NEVER).unwrap();
    let remove_if = || _ = cache.remove_if(b"last", |_| panic!("in remove_if"));
    panics(remove_if);
    let upsert = || {
        _ = cache
            .entry(b"new")
            .upsert_with(|_| panic!("in upsert_with"));
    };
    panics(upsert);
    cache.validate();
    assert_eq!(cache.stats().item_count, 901);
}

/// The slots of their thread are used up for good; what is read then is read under the lock, and copied.
#[test]
fn guards_that_are_forgotten_cost_their_slots_and_their_memory() {
    for policy in [Policy::Adaptive, Policy::Lru] {
        let cache = Cache::builder()
            .limit_bytes(2 << 20)
            .policy(policy)
            .shards(1)
            .build()
            .unwrap();
        // A thread of its own: its slots are lost with it.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..20_u8 {
                    cache.set(b"key", &[round; 100], Ttl::NEVER).unwrap();
                    std::mem::forget(cache.get(b"key").unwrap());
                    assert_eq!(cache.get(b"key").as_deref(), Some(&[round; 100][..]));
                    assert!(
                        cache
                            .get_with(b"key", |item| item.value()[0] == round)
                            .unwrap()
                    );
                }
                for number in 0..50_000_u32 {
                    let value = vec![0; number as usize % 2000];
                    cache
                        .set(&number.to_le_bytes(), &value, Ttl::NEVER)
                        .unwrap();
                }
            });
        });
        cache.validate();
        cache.clear();
        cache.validate();
        cache.set(b"key", b"afterwards", Ttl::NEVER).unwrap();
        assert_eq!(cache.get(b"key").as_deref(), Some(&b"afterwards"[..]));
    }
}
