//! What callers must not do is told them: no deadlock, no damage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use larder::{Adjust, Cache, Cursor, Edit, Put, Revision, Store, Ttl};

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
    let call = || assert!(!cache.contains(b"another key, in whatever shard"));
    let batch = cache.batch().prepare(b"key");
    let calls: [&dyn Fn(); 13] = [
        &|| _ = cache.get_with(b"key", |_| call()),
        &|| _ = cache.peek_with(b"key", |_| call()),
        &|| _ = cache.get_and_touch_with(b"key", Ttl::NEVER, |_| call()),
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
        &|| _ = batch.get_with(|_| call()),
        &|| {
            cache.get_many(&[b"key"], |_, _| {
                call();
                std::ops::ControlFlow::Continue(())
            });
        },
    ];
    for (number, call) in calls.into_iter().enumerate() {
        // A walk shows only what is in the shard that it has come to.
        if catch_unwind(AssertUnwindSafe(call)).is_ok() {
            assert_eq!(number, 7);
            continue;
        }
        assert!(panics(call).contains("must not call that cache"));
        cache.validate();
    }
    assert!(cache.contains(b"key"));
}

#[test]
fn closures_may_call_other_caches_but_not_back() {
    let (first, second) = (cache(), cache());
    let inner = first.get_with(b"key", |_| second.get_with(b"key", |_| second.policy()));
    assert_eq!(inner.flatten(), Some(second.policy()));
    let back = || _ = first.get_with(b"key", |_| second.get_with(b"key", |_| first.contains(b"")));
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
