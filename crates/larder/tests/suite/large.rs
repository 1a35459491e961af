//! Large values: reserved, filled and read while no lock is held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::ends::Ends;
use larder::{Cache, Error, Policy, Store, StoreMode, StoreOutcome, Ttl};

const MIB: usize = 1 << 20;

fn cache(limit_bytes: usize) -> Cache {
    Cache::builder()
        .limit_bytes(limit_bytes)
        .shards(2)
        .build()
        .unwrap()
}

fn pattern(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 64 * 31 + seed) as u8).collect()
}

fn stored(outcome: Result<StoreOutcome, Error>) -> bool {
    matches!(outcome, Ok(StoreOutcome::Stored(_)))
}

#[test]
fn a_reservation_becomes_an_item_when_it_is_committed() {
    let cache = cache(32 * MIB);
    for (number, bytes) in [0, 1, 1000, 40_000, 300_000, 5 * MIB]
        .into_iter()
        .enumerate()
    {
        let key = [b'k', number as u8];
        let value = pattern(number, bytes);
        let store = Store::new(&key, b"").flags(7).ttl(Ttl::seconds(60));
        let mut reservation = cache.reserve_for(&store, bytes).unwrap();
        assert_eq!(reservation.len(), bytes);
        reservation.copy_from_slice(&value);
        assert!(!cache.contains(&key), "not before it is committed");
        assert!(stored(reservation.commit()));
        let item = cache.get(&key).unwrap();
        assert_eq!((&*item, item.flags()), (&value[..], 7));
        assert!(item.expires_at().is_some());
    }
    cache.validate();
}

#[test]
fn a_reservation_that_is_dropped_leaves_no_trace() {
    let cache = cache(32 * MIB);
    let before = cache.stats().used_bytes;
    let reservation = cache.reserve(b"key", 8 * MIB).unwrap();
    assert!(cache.stats().used_bytes >= before + 8 * MIB);
    drop(reservation);
    assert_eq!(cache.stats().used_bytes, before);
    assert!(!cache.contains(b"key"));
    cache.validate();
}

#[test]
fn the_mode_is_asked_when_it_is_committed() {
    let cache = cache(32 * MIB);
    let bytes = MIB;
    let add = Store::new(b"key", b"").mode(StoreMode::Add);
    let reservation = cache.reserve_for(&add, bytes).unwrap();
    cache.set(b"key", b"meanwhile", Ttl::NEVER).unwrap();
    assert_eq!(reservation.commit(), Ok(StoreOutcome::KeyExists));
    assert_eq!(&*cache.get(b"key").unwrap(), b"meanwhile");
    let token = cache.get(b"key").unwrap().cas();
    let swap = Store::new(b"key", b"").mode(StoreMode::CompareAndSwap(token));
    let first = cache.reserve_for(&swap, bytes).unwrap();
    let second = cache.reserve_for(&swap, bytes).unwrap();
    assert!(stored(first.commit()));
    assert_eq!(second.commit(), Ok(StoreOutcome::CasMismatch));
    let replace = Store::new(b"absent", b"").mode(StoreMode::Replace);
    let reservation = cache.reserve_for(&replace, bytes).unwrap();
    assert_eq!(reservation.commit(), Ok(StoreOutcome::KeyMissing));
    cache.validate();
}

#[test]
fn a_reservation_may_keep_its_cache() {
    let cache = std::sync::Arc::new(cache(32 * MIB));
    let store = Store::new(b"key", b"").flags(3);
    let mut reservation = cache.reserve_shared(&store, 2 * MIB).unwrap();
    drop(cache.reserve_shared(&store, 2 * MIB).unwrap());
    let filling = move || {
        reservation.fill(9);
        reservation.commit()
    };
    let outcome = thread::scope(|scope| scope.spawn(filling).join().unwrap());
    assert!(stored(outcome));
    let item = cache.get(b"key").unwrap();
    assert!(item.flags() == 3 && item.iter().all(|&byte| byte == 9));
    cache.validate();
}

#[test]
fn what_cannot_be_reserved_is_refused_with_its_reason() {
    let cache = cache(32 * MIB);
    let too_large = cache.reserve(b"key", 16 * MIB + 1).unwrap_err();
    assert!(matches!(too_large, Error::ValueTooLarge { .. }));
    assert!(matches!(cache.reserve(b"", 1), Err(Error::KeyEmpty)));
    let builder = Cache::builder().limit_bytes(32 * MIB).shards(2);
    let full = builder.policy(Policy::NoEviction).build().unwrap();
    full.set(b"first", &vec![1; 15 * MIB], Ttl::NEVER).unwrap();
    let held = full.reserve(b"second", 14 * MIB).unwrap();
    let refused = full.reserve(b"third", 8 * MIB).unwrap_err();
    assert!(matches!(refused, Error::OutOfMemory { .. }), "{refused}");
    assert!(full.contains(b"first"));
    drop(held);
    assert!(full.reserve(b"third", 8 * MIB).is_ok());
    full.validate();
}

#[test]
fn a_failed_set_leaves_no_stale_value_and_one_for_which_its_own_item_makes_room_succeeds() {
    let builder = Cache::builder().limit_bytes(32 * MIB).shards(2);
    let cache = builder.policy(Policy::NoEviction).build().unwrap();
    cache.set(b"a", &vec![1; 15 * MIB], Ttl::NEVER).unwrap();
    cache.set(b"b", &vec![2; 12 * MIB], Ttl::NEVER).unwrap();
    cache.set(b"a", &vec![3; 16 * MIB], Ttl::NEVER).unwrap();
    assert!(cache.get(b"a").unwrap().iter().all(|&byte| byte == 3));
    let failed = cache.set(b"b", &vec![4; 16 * MIB], Ttl::NEVER);
    assert!(matches!(failed, Err(Error::OutOfMemory { .. })));
    assert!(!cache.contains(b"b"), "the old value is not readable");
    cache.validate();
}

fn replace_and_clear(cache: &Cache) {
    let new = pattern(2, 3 * MIB);
    cache.set(b"key", &new, Ttl::NEVER).unwrap();
    assert_eq!(&*cache.get(b"key").unwrap(), &new[..]);
    cache.clear();
    let stats = cache.stats();
    assert_eq!(stats.item_count, 0);
    let parts = stats.item_bytes + stats.rounding_bytes + stats.index_bytes;
    let parts = parts + stats.expiry_bytes + stats.policy_bytes + stats.table_bytes;
    assert_eq!(parts + stats.free_bytes, stats.limit_bytes, "{stats:?}");
    assert!(stats.large_bytes >= 3 * MIB, "still held");
}

#[test]
fn a_reader_of_a_large_value_keeps_what_it_sees_and_nobody_waiting() {
    let cache = cache(32 * MIB);
    let old = pattern(1, 3 * MIB);
    cache.set(b"key", &old, Ttl::NEVER).unwrap();
    let before = cache.stats();
    cache.get_with(b"key", |view| {
        // Another thread, which would wait for ever if a lock were held.
        thread::scope(|scope| scope.spawn(|| replace_and_clear(&cache)).join().unwrap());
        assert_eq!(view.value(), old, "as it was");
    });
    let after = cache.stats();
    assert_eq!(after.large_bytes, 0, "{after:?} {before:?}");
    cache.validate();
}

#[test]
fn values_stay_whole_while_others_replace_and_evict_them() {
    let cache = cache(24 * MIB);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2_usize {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                let _ends = Ends(done);
                for round in 0..150_usize {
                    let key = [(round % 9) as u8];
                    let bytes = 200_000 + (round * 7919 + seed * 104_729) % (3 * MIB);
                    let value = vec![(round + seed * 100) as u8; bytes];
                    cache.set(&key, &value, Ttl::NEVER).unwrap();
                    cache
                        .set(&[b's', round as u8], &value[..100], Ttl::NEVER)
                        .unwrap();
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for key in 0..9_u8 {
                        cache.get_with(&[key], |view| {
                            let value = view.value();
                            assert!(value.iter().all(|&byte| byte == value[0]), "torn");
                        });
                    }
                }
            });
        }
    });
    cache.validate();
    cache.clear();
    assert_eq!(cache.stats().large_bytes, 0);
}
