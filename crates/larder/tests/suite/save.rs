//! Saving and restoring: a round trip beside what was there, order, and others who go on meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ends::Ends;
use larder::{
    Adjust, Builder, Cache, CasToken, Cause, Content, Cursor, Locator, ManualClock, Move, Policy,
    Put, Revision, Store, StoreOutcome, Timestamp, Ttl,
};
use proptest::prelude::*;

/// What can be seen of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) value: Vec<u8>,
    pub(crate) flags: u32,
    pub(crate) cas: CasToken,
    pub(crate) expires_at: Option<Timestamp>,
    stored_at: Timestamp,
    accessed_at: Timestamp,
    /// Fetched, stale, renewing, marked.
    pub(crate) marks: [bool; 4],
}

pub(crate) fn contents(cache: &Cache) -> BTreeMap<Vec<u8>, Seen> {
    let mut contents = BTreeMap::new();
    let mut cursor = Cursor::default();
    while cache.walk(&mut cursor, 1000, |view| {
        let seen = Seen {
            value: view.value().to_vec(),
            flags: view.flags(),
            cas: view.cas(),
            expires_at: view.expires_at(),
            stored_at: view.stored_at(),
            accessed_at: view.accessed_at(),
            marks: [
                view.was_fetched(),
                view.is_stale(),
                view.is_renewing(),
                view.is_marked(),
            ],
        };
        contents.insert(view.key().to_vec(), seen);
    }) {}
    contents
}

fn restored(cache: &Cache, file: &[u8]) -> u64 {
    cache.restore(&mut &file[..]).unwrap().restored_count
}

#[derive(Clone, Debug)]
enum Op {
    Set(u8, usize, u32, Option<u64>),
    Chosen(u8, u64, bool),
    Read(u8),
    Invalidate(u8, bool),
    Empty(u8),
    Remove(u8),
    ClearBefore(i64),
    Advance(u64),
}

fn an_op() -> impl Strategy<Value = Op> {
    let key = || 0..40_u8;
    let length = prop_oneof![8 => 0..300_usize, 2 => 3000..9000_usize, 1 => 120_000..300_000_usize];
    let flags = prop_oneof![Just(0), any::<u32>()];
    let ttl = prop::option::of(1..9000_u64);
    prop_oneof![
        12 => (key(), length, flags, ttl).prop_map(|(k, l, f, t)| Op::Set(k, l, f, t)),
        2 => (key(), any::<u64>(), any::<bool>()).prop_map(|(k, t, m)| Op::Chosen(k, t, m)),
        4 => key().prop_map(Op::Read),
        2 => (key(), any::<bool>()).prop_map(|(k, win)| Op::Invalidate(k, win)),
        1 => key().prop_map(Op::Empty),
        1 => key().prop_map(Op::Remove),
        1 => (-3000..3000_i64).prop_map(Op::ClearBefore),
        4 => (1..2500_u64).prop_map(Op::Advance),
    ]
}

pub(crate) fn key(number: u8) -> Vec<u8> {
    format!("key-{number}-{}", "x".repeat(usize::from(number) * 8)).into_bytes()
}

fn apply(cache: &Cache, clock: &ManualClock, op: &Op) {
    match *op {
        Op::Set(number, length, flags, ttl) => {
            let value = vec![number ^ length as u8; length];
            let ttl = ttl.map_or(Ttl::NEVER, |millis| {
                Ttl::after(Duration::from_millis(millis))
            });
            let key = key(number);
            let stored = cache.store(&Store::new(&key, &value).flags(flags).ttl(ttl));
            assert!(matches!(stored, Ok(StoreOutcome::Stored(_))));
        }
        Op::Chosen(number, token, marked) => {
            let key = key(number);
            let token = CasToken::from_u64(token);
            let store = Store::new(&key, b"chosen").token(token).marked(marked);
            assert_eq!(cache.store(&store), Ok(StoreOutcome::Stored(token)));
        }
        Op::Read(number) => {
            let _ = cache.get(&key(number));
        }
        Op::Invalidate(number, win) => {
            let mut adjust = Adjust::nothing().invalidate();
            if win {
                adjust = adjust.win();
            }
            let _ = cache.get_and_adjust_with(&key(number), |_| (adjust, ()));
        }
        Op::Empty(number) => {
            let put = || Revision::Put(Put::new(&b""[..]).renewing(true));
            cache.revise(&key(number), |_| put()).unwrap();
        }
        Op::Remove(number) => {
            cache.remove(&key(number));
        }
        Op::ClearBefore(offset) => {
            let at = clock.now().unix_millis().saturating_add_signed(offset);
            cache.clear_before(Timestamp::from_unix_millis(at));
        }
        Op::Advance(millis) => clock.advance(Duration::from_millis(millis)),
    }
}

fn a_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Adaptive),
        Just(Policy::Lru),
        Just(Policy::NoEviction)
    ]
}

/// A configuration that holds all that the operations store.
fn a_builder() -> impl Strategy<Value = Builder> {
    (0..4_u32, 16..64_usize, a_policy()).prop_map(|(shards, mib, policy)| {
        let builder = Cache::builder().shards(1 << shards);
        builder.limit_bytes(mib << 20).policy(policy)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 60 } else { 400 }))]

    #[test]
    fn what_is_restored_is_what_was_there(
        ops in prop::collection::vec(an_op(), 1..120),
        (first, second) in (a_builder(), a_builder()),
        drains in any::<bool>(),
        downtime in 0..4000_u64,
    ) {
        let clock = ManualClock::default();
        let cache = first.clock(clock.clone()).build().unwrap();
        for op in &ops {
            apply(&cache, &clock, op);
        }
        let mut expected = contents(&cache);
        let last = cache.set(b"last", b"token", Ttl::EXPIRED).unwrap();
        let mut file = Vec::new();
        let saved = if drains {
            let saved = cache.save_draining(&mut file).unwrap();
            prop_assert_eq!(cache.stats().item_count, 0);
            saved
        } else {
            let saved = cache.save(&mut file).unwrap();
            prop_assert_eq!(&contents(&cache), &expected);
            saved
        };
        cache.validate();
        prop_assert_eq!(saved.item_count, expected.len() as u64);
        prop_assert_eq!(saved.file_bytes, file.len() as u64);

        // The cache that was saved goes on as the other, but for what was saved.
        let other = second.clock(clock.clone()).build().unwrap();
        clock.advance(Duration::from_millis(downtime));
        let restored = other.restore(&mut &file[..]).unwrap();
        other.validate();
        let now = clock.now();
        expected.retain(|_, seen| seen.expires_at.is_none_or(|at| at > now));
        let pending = ops.iter().enumerate().rev().find_map(|(at, op)| match op {
            Op::ClearBefore(offset) => Some((at, *offset)),
            _ => None,
        });
        if let Some((at, offset)) = pending {
            // When it comes, or came, it takes everything that was stored before.
            let advanced = ops[at..].iter().map(|op| match op {
                Op::Advance(millis) => *millis,
                _ => 0,
            });
            let passed = advanced.sum::<u64>().cast_signed();
            let instant = now.unix_millis().saturating_add_signed(offset - passed - downtime.cast_signed());
            if offset > passed && instant <= now.unix_millis() {
                expected.retain(|_, seen| seen.stored_at.unix_millis() >= instant);
            }
            prop_assert_eq!(&contents(&other), &expected);
            if offset > 0 && instant > now.unix_millis() {
                clock.advance(Duration::from_millis(instant - now.unix_millis()));
                prop_assert_eq!(contents(&other).len(), 0);
            }
        } else {
            prop_assert_eq!(&contents(&other), &expected);
        }
        prop_assert_eq!(restored.restored_count, expected.len() as u64);
        prop_assert_eq!(restored.restored_count + restored.expired_count, saved.item_count);
        prop_assert_eq!(restored.file_bytes, saved.file_bytes);
        let next = other.set(b"next", b"token", Ttl::NEVER).unwrap();
        prop_assert!(next > last);
    }
}

fn numbered(number: u32) -> [u8; 8] {
    let mut key = *b"key-....";
    key[4..].copy_from_slice(&number.to_be_bytes());
    key
}

#[test]
fn under_lru_the_last_used_survive_in_a_smaller_cache() {
    let build = |mib: usize| {
        let builder = Cache::builder().limit_bytes(mib << 20).shards(1);
        builder.policy(Policy::Lru).build().unwrap()
    };
    let cache = build(8);
    for number in 0..10_000 {
        cache.set(&numbered(number), &[1; 500], Ttl::NEVER).unwrap();
    }
    for number in (0..10_000).step_by(5) {
        assert!(cache.get(&numbered(number)).is_some());
    }
    let mut file = Vec::new();
    cache.save_draining(&mut file).unwrap();
    let smaller = build(2);
    smaller.restore(&mut &file[..]).unwrap();
    smaller.validate();
    let has = |number: &u32| smaller.contains(&numbered(*number));
    let kept = smaller.stats().item_count;
    assert!(kept > 2000, "{kept} fit");
    assert!((0..10_000).step_by(5).all(|number| has(&number)));
    // The others are the last that were stored.
    let others: Vec<u32> = (0..10_000).filter(|number| number % 5 != 0).collect();
    let gone = others.iter().filter(|number| !has(number)).count();
    assert!(others[gone..].iter().all(has));
}

#[test]
fn what_is_used_survives_in_a_smaller_cache() {
    let build = |mib: usize| Cache::builder().limit_bytes(mib << 20).shards(2);
    let cache = build(8).build().unwrap();
    let hot = || (0..13_000).filter(|number| number % 9 == 3);
    for number in 0..13_000 {
        cache.set(&numbered(number), &[1; 500], Ttl::NEVER).unwrap();
    }
    for _ in 0..3 {
        for number in hot() {
            let _ = cache.get(&numbered(number));
        }
    }
    let kept = |cache: &Cache| {
        cache.validate();
        hot()
            .filter(|number| cache.contains(&numbered(*number)))
            .count()
    };
    let (mut copy, mut file) = (Vec::new(), Vec::new());
    cache.save(&mut copy).unwrap();
    cache.save_draining(&mut file).unwrap();
    let again = build(8).build().unwrap();
    again.restore(&mut &copy[..]).unwrap();
    assert_eq!(kept(&again), hot().count());
    let least = hot().count() * 9 / 10;
    for policy in [Policy::Adaptive, Policy::Lru] {
        let smaller = build(3).policy(policy).build().unwrap();
        smaller.restore(&mut &file[..]).unwrap();
        let kept = kept(&smaller);
        println!("{policy:?}: {kept} kept, {least} at least");
        assert!(kept >= least, "{policy:?}: {kept} of {least}");
    }
}

#[test]
fn where_less_fits_and_nothing_is_evicted_the_rest_is_refused() {
    let cache = Cache::with_limit(8 << 20).unwrap();
    for number in 0..10_000 {
        cache.set(&numbered(number), &[1; 500], Ttl::NEVER).unwrap();
    }
    cache.set(b"long", &vec![1; 1 << 20], Ttl::NEVER).unwrap();
    let mut file = Vec::new();
    cache.save_draining(&mut file).unwrap();
    let builder = Cache::builder().limit_bytes(1 << 20).shards(1);
    let smaller = builder.policy(Policy::NoEviction).build().unwrap();
    let restored = smaller.restore(&mut &file[..]).unwrap();
    smaller.validate();
    assert!(restored.restored_count > 1000);
    assert_eq!(restored.restored_count + restored.refused_count, 10_001);
    assert!(!smaller.contains(b"long"));
}

#[test]
fn what_is_here_and_later_stays() {
    let clock = ManualClock::default();
    let build = || Cache::builder().limit_bytes(4 << 20).clock(clock.clone());
    let (cache, other) = (build().build().unwrap(), build().shards(1).build().unwrap());
    other.set(b"both", b"earlier", Ttl::NEVER).unwrap();
    clock.advance(Duration::from_secs(1));
    for key in [b"both", b"mine", b"last"] {
        cache.set(key, b"saved", Ttl::NEVER).unwrap();
    }
    clock.advance(Duration::from_secs(1));
    other.set(b"last", b"later", Ttl::NEVER).unwrap();
    let mut file = Vec::new();
    cache.save(&mut file).unwrap();
    let restored = other.restore(&mut &file[..]).unwrap();
    assert_eq!((restored.restored_count, restored.outdated_count), (2, 1));
    let value = |key: &[u8]| other.get(key).unwrap().to_vec();
    assert_eq!([value(b"both"), value(b"mine")], [b"saved", b"saved"]);
    assert_eq!(value(b"last"), b"later");
    // And once more: nothing changes.
    let again = other.restore(&mut &file[..]).unwrap();
    assert_eq!((again.restored_count, again.outdated_count), (0, 3));
    other.validate();
}

#[test]
fn a_clear_after_a_restore_takes_what_was_stored_before_the_cache_was_built() {
    let clock = ManualClock::default();
    let build = || {
        Cache::builder()
            .limit_bytes(4 << 20)
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    let cache = build();
    cache.set(b"old", b"1", Ttl::NEVER).unwrap();
    let mut file = Vec::new();
    cache.save(&mut file).unwrap();
    clock.advance(Duration::from_secs(100));
    let other = build();
    assert_eq!(restored(&other, &file), 1);
    other.clear_before(clock.now());
    assert_eq!(other.stats().item_count, 0);
}

#[test]
fn nobody_is_told_of_what_is_saved_and_the_cache_goes_on() {
    let cache = Cache::builder().limit_bytes(4 << 20).build().unwrap();
    let told = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&told);
    cache.listen(
        &[Cause::Evicted, Cause::Deleted, Cause::Cleared],
        move |_| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        },
    );
    for number in 0..1000 {
        cache.set(&numbered(number), &[1; 500], Ttl::NEVER).unwrap();
    }
    let mut file = Vec::new();
    cache.save_draining(&mut file).unwrap();
    assert_eq!(told.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(cache.stats().evictions, 0);
    assert_eq!(restored(&cache, &file), 1000);
    for number in 0..20_000 {
        cache.set(&numbered(number), &[1; 500], Ttl::NEVER).unwrap();
    }
    cache.validate();
}

#[test]
fn others_go_on_while_a_cache_is_saved_or_restored() {
    let cache = Cache::builder()
        .limit_bytes(8 << 20)
        .shards(4)
        .build()
        .unwrap();
    for number in 0..8000 {
        cache
            .set(&numbered(number), &number.to_be_bytes(), Ttl::NEVER)
            .unwrap();
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for thread in 0..2_u32 {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                let mut step = thread;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    step = step.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let number = step >> 8 & 0xFFF;
                    let item = cache.get(&numbered(number));
                    if let Some(item) = item {
                        assert_eq!(*item, number.to_be_bytes());
                    } else if step % 16 == 0 {
                        let value = number.to_be_bytes();
                        cache.set(&numbered(number), &value, Ttl::NEVER).unwrap();
                    }
                }
            });
        }
        for round in 0..10 {
            let mut file = Vec::new();
            let saved = if round % 2 == 0 {
                cache.save_draining(&mut file).unwrap()
            } else {
                cache.save(&mut file).unwrap()
            };
            assert!(saved.item_count > 3000, "{}", saved.item_count);
            cache.restore(&mut &file[..]).unwrap();
        }
    });
    cache.validate();
    for (key, seen) in contents(&cache) {
        assert_eq!(key[4..], seen.value);
    }
}

#[test]
fn values_elsewhere_are_left_out() {
    let cache = Cache::builder().limit_bytes(4 << 20).build().unwrap();
    for number in 0..100 {
        cache.set(&numbered(number), &[1; 500], Ttl::NEVER).unwrap();
    }
    for number in 0..30 {
        let stamp = cache.peek(&numbered(number)).unwrap().view().stamp();
        let to = Content::Elsewhere(Locator([7; 16]));
        let from = None;
        assert_eq!(
            cache.move_value(&numbered(number), &Move { stamp, from, to }),
            Ok(true)
        );
    }
    let left = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&left);
    cache.watch_locators(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let (mut copy, mut file) = (Vec::new(), Vec::new());
    let saved = cache.save(&mut copy).unwrap();
    assert_eq!((saved.item_count, saved.elsewhere_count), (70, 30));
    let saved = cache.save_draining(&mut file).unwrap();
    assert_eq!((saved.item_count, saved.elsewhere_count), (70, 30));
    assert_eq!(left.load(std::sync::atomic::Ordering::Relaxed), 30);
    cache.validate();
    assert_eq!(restored(&cache, &file), 70);
}

#[test]
fn a_clock_that_went_back_lengthens_no_life() {
    let start = Timestamp::from_unix_seconds(2_000_000_000);
    let saving = Cache::builder()
        .limit_bytes(1 << 20)
        .clock(ManualClock::at(start))
        .build()
        .unwrap();
    saving.set(b"minute", b"x", Ttl::seconds(60)).unwrap();
    let mut file = Vec::new();
    saving.save(&mut file).unwrap();

    let clock = ManualClock::at(Timestamp::from_unix_seconds(2_000_000_000 - 3600));
    let restoring = Cache::builder()
        .limit_bytes(1 << 20)
        .clock(clock.clone())
        .build()
        .unwrap();
    restoring.restore(&mut &file[..]).unwrap();
    clock.advance(Duration::from_secs(59));
    assert!(restoring.contains(b"minute"));
    clock.advance(Duration::from_secs(1));
    assert!(!restoring.contains(b"minute"));
}
