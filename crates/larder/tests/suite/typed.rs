//! Typed caches, custom hashers, the thread that maintains, and what other crates see of a cache.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;
#[cfg(feature = "async")]
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use larder::{Cache, Cause, Error, Maintainer, ManualClock, Plain, Ttl, TypedCache, TypedError};

#[test]
fn typed_caches_share_a_cache_by_their_prefixes() {
    let cache = Arc::new(Cache::with_limit(4 << 20).unwrap());
    let names = TypedCache::<u64, String, _>::new(Arc::clone(&cache), b"name/", Plain);
    let texts = TypedCache::<String, Vec<u8>, _>::new(Arc::clone(&cache), b"text/", Plain);
    names.set(&1, &"Ada".to_owned(), Ttl::NEVER).unwrap();
    texts
        .set(&"1".to_owned(), &b"bytes".to_vec(), Ttl::NEVER)
        .unwrap();
    assert_eq!(names.get(&1).unwrap().as_deref(), Some("Ada"));
    assert_eq!(
        texts.take(&"1".to_owned()).unwrap().as_deref(),
        Some(&b"bytes"[..])
    );
    assert_eq!(texts.get(&"1".to_owned()).unwrap(), None);
    assert!(names.remove(&1).unwrap() && !names.remove(&1).unwrap());
    assert_eq!(names.cache().stats().item_count, 0);
}

#[test]
fn typed_loads_updates_and_errors() {
    let cache = Arc::new(Cache::with_limit(4 << 20).unwrap());
    let counts = TypedCache::<String, u64, _>::new(Arc::clone(&cache), b"", Plain);
    let key = "hits".to_owned();
    assert!(counts.update(&key, |count| count + 1).unwrap().is_none());
    assert_eq!(
        counts.get_or_insert_with(&key, || (0, Ttl::NEVER)).unwrap(),
        0
    );
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert!(counts.update(&key, |count| count + 1).unwrap().is_some());
                }
            });
        }
    });
    assert_eq!(counts.get(&key).unwrap(), Some(400));
    cache.set(b"hits", b"not eight bytes", Ttl::NEVER).unwrap();
    assert!(matches!(counts.get(&key), Err(TypedError::Codec(_))));
    let fails = counts.try_get_or_insert_with(&"new".to_owned(), || {
        Err::<(u64, Ttl), _>(TypedError::Cache(Error::NotANumber))
    });
    assert!(matches!(fails, Err(TypedError::Cache(Error::NotANumber))));
    let empty = counts.set(&String::new(), &1, Ttl::NEVER).unwrap_err();
    assert_eq!(empty.to_string(), "the key is empty");
}

#[test]
fn typed_values_are_touched_added_and_renewed() {
    let clock = ManualClock::default();
    let cache = Cache::builder()
        .limit_bytes(4 << 20)
        .clock(clock.clone())
        .build()
        .unwrap();
    let counts = TypedCache::<u64, u64, _>::new(Arc::new(cache), b"n", Plain);
    assert!(!counts.contains(&1).unwrap() && !counts.touch(&1, Ttl::NEVER).unwrap());
    assert_eq!(counts.get_and_touch(&1, Ttl::NEVER).unwrap(), None);
    assert!(counts.add(&1, &7, Ttl::seconds(10)).unwrap());
    assert!(!counts.add(&1, &8, Ttl::NEVER).unwrap());
    assert!(counts.contains(&1).unwrap());
    assert!(counts.touch(&1, Ttl::seconds(20)).unwrap());
    clock.advance(Duration::from_secs(15));
    assert_eq!(counts.peek(&1).unwrap(), Some(7));
    assert_eq!(counts.get_and_touch(&1, Ttl::seconds(10)).unwrap(), Some(7));
    clock.advance(Duration::from_secs(8));
    let renewed = |number: u64| move || (number, Ttl::seconds(60));
    let (near, far) = (Duration::from_secs(1), Duration::from_secs(5));
    assert_eq!(counts.get_or_renew_with(&1, near, renewed(8)).unwrap(), 7);
    let failed = counts.try_get_or_renew_with(&1, far, || {
        Err::<(u64, Ttl), _>(TypedError::Cache(Error::NotANumber))
    });
    assert!(matches!(failed, Err(TypedError::Cache(Error::NotANumber))));
    assert_eq!(counts.get_or_renew_with(&1, far, renewed(8)).unwrap(), 8);
    assert!(counts.invalidate(&1).unwrap() && !counts.invalidate(&2).unwrap());
    assert_eq!(counts.get_or_renew_with(&1, near, renewed(9)).unwrap(), 9);
    assert_eq!(counts.get_or_renew_with(&2, near, renewed(1)).unwrap(), 1);
    clock.advance(Duration::from_secs(60));
    assert_eq!(counts.peek(&1).unwrap(), None);
}

#[test]
#[cfg(feature = "async")]
fn typed_loads_that_are_futures() {
    let cache = Arc::new(Cache::with_limit(4 << 20).unwrap());
    let counts = TypedCache::<u64, u64, _>::new(cache, b"n", Plain);
    // None of them ever waits.
    let ready = |number: u64| move || std::future::ready((number, Ttl::seconds(60)));
    let near = Duration::from_secs(1);
    assert_eq!(
        now(counts.get_or_insert_with_async(&1, ready(7))).unwrap(),
        7
    );
    assert_eq!(
        now(counts.get_or_insert_with_async(&1, ready(8))).unwrap(),
        7
    );
    let fails = || std::future::ready(Err::<(u64, Ttl), _>(TypedError::Cache(Error::NotANumber)));
    let failed = now(counts.try_get_or_insert_with_async(&2, fails));
    assert!(matches!(failed, Err(TypedError::Cache(Error::NotANumber))));
    counts.invalidate(&1).unwrap();
    let failed = now(counts.try_get_or_renew_with_async(&1, near, fails));
    assert!(matches!(failed, Err(TypedError::Cache(Error::NotANumber))));
    assert_eq!(
        now(counts.get_or_renew_with_async(&1, near, ready(8))).unwrap(),
        8
    );
    assert_eq!(counts.get(&1).unwrap(), Some(8));
    assert_eq!(counts.get(&2).unwrap(), None);
}

#[cfg(feature = "async")]
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing in it waits"),
    }
}

/// A hash that says next to nothing: keys of equal length and sum collide.
#[derive(Clone, Default)]
struct Sum(u64);

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        self.0 += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for Sum {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        self.clone()
    }
}

#[test]
fn another_hash_will_do() {
    let cache = Cache::builder()
        .limit_bytes(16 << 20)
        .shards(8)
        .hasher(Sum::default())
        .build()
        .unwrap();
    // Twelve bytes with the number of ones in each: thousands of sums, some of them shared by a few.
    let key = |number: u32| [(number % 251) as u8, (number / 251) as u8].repeat(6);
    for number in 0..300 {
        cache
            .set(&key(number), &number.to_le_bytes(), Ttl::NEVER)
            .unwrap();
    }
    for number in 0..300 {
        assert_eq!(
            cache.get(&key(number)).as_deref(),
            Some(&number.to_le_bytes()[..])
        );
    }
    cache.validate();
}

#[test]
fn a_maintainer_expires_survives_its_listener_and_stops() {
    let cache = Arc::new(Cache::with_limit(4 << 20).unwrap());
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    cache.listen(&[Cause::Expired], move |_| {
        let earlier = count.fetch_add(1, Ordering::Relaxed);
        assert!(earlier % 2 == 1, "every other one, as it should");
    });
    let maintainer = Maintainer::start(Arc::clone(&cache), Duration::ZERO).unwrap();
    for round in 1..=3 {
        cache.set(b"key", b"", Duration::from_millis(1)).unwrap();
        while told.load(Ordering::Relaxed) < round {
            thread::yield_now();
        }
    }
    drop(maintainer);
    // The thread has ended: it held the only other handle.
    assert_eq!(Arc::strong_count(&cache), 1);
}

#[cfg(feature = "bytes")]
#[test]
fn values_go_in_and_out_as_bytes() {
    use bytes::Bytes;
    let cache = Cache::with_limit(4 << 20).unwrap();
    let item = cache
        .get_or_insert_with(b"key", || Bytes::from_static(b"value").into())
        .unwrap();
    assert_eq!(Bytes::from(item), b"value"[..]);
    let bytes = cache.get_bytes(b"key").unwrap();
    cache.clear();
    assert_eq!(bytes.slice(1..3), b"al"[..]);
    assert!(cache.get_bytes(b"key").is_none());
}

#[cfg(feature = "serde")]
#[test]
fn what_serde_serializes_can_be_cached() {
    use larder::Postcard;
    let cache = Arc::new(Cache::with_limit(4 << 20).unwrap());
    type Value = (String, Vec<u16>, Option<bool>);
    let typed = TypedCache::<(u8, String), Value, _>::new(Arc::clone(&cache), b"t", Postcard);
    let key = (3, "key".to_owned());
    let value = ("text".to_owned(), vec![1, 500], None);
    typed.set(&key, &value, Ttl::NEVER).unwrap();
    assert_eq!(typed.get(&key).unwrap(), Some(value));
    let other = TypedCache::<(u8, String), u8, _>::new(cache, b"t", Postcard);
    assert!(
        matches!(other.get(&key), Err(TypedError::Codec(_))),
        "bytes are left over"
    );
}

#[cfg(feature = "metrics")]
#[test]
fn statistics_are_recorded_without_a_recorder_as_well() {
    Cache::with_limit(4 << 20).unwrap().stats().record("test");
}
