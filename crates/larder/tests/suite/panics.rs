//! A closure that panics, under the lock or without, leaves the cache as it was, and usable.

use std::panic::{AssertUnwindSafe, catch_unwind};

use larder::{Cache, Edit, Ttl};

#[test]
fn a_panicking_closure_changes_nothing_and_blocks_nobody() {
    let cache = Cache::builder()
        .limit_bytes(1 << 20)
        .shards(1)
        .build()
        .unwrap();
    let token = cache.set(b"key", b"value", Ttl::NEVER).unwrap();
    let panics: [&dyn Fn(); 4] = [
        &|| {
            cache.get_with(b"key", |_| panic!("in get_with"));
        },
        &|| {
            cache.peek_with(b"key", |_| panic!("in peek_with"));
        },
        &|| {
            cache.get_and_touch_with(b"key", Ttl::NEVER, |_| panic!("in get_and_touch_with"));
        },
        &|| {
            let _ = cache.update(b"key", |_| -> Edit<'_> { panic!("in update") });
        },
    ];
    for panic in panics {
        assert!(catch_unwind(AssertUnwindSafe(panic)).is_err());
        cache.validate();
        let item = cache.peek(b"key").expect("still there");
        assert_eq!((&*item, item.cas()), (&b"value"[..], token));
    }
    cache.set(b"key", b"newer", Ttl::NEVER).unwrap();
    assert_eq!(cache.get(b"key").as_deref(), Some(&b"newer"[..]));
}
