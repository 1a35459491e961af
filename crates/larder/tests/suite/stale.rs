//! Items that are served while they are renewed, tokens that the caller chose, and changes in one
//! step.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use larder::{
    Adjust, Cache, CasToken, ManualClock, Policy, Put, Renewal, Revision, Store, StoreMode,
    StoreOutcome, Ttl,
};

fn cache() -> (Cache, ManualClock) {
    let clock = ManualClock::default();
    let builder = Cache::builder().limit_bytes(1 << 20).shards(1);
    (builder.clock(clock.clone()).build().unwrap(), clock)
}

fn stored(outcome: StoreOutcome) -> CasToken {
    match outcome {
        StoreOutcome::Stored(token) => token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_reader_of_a_stale_item_wins_and_a_store_ends_it() {
    let (cache, _) = cache();
    let old = cache.set(b"k", b"v", Ttl::NEVER).unwrap();
    assert_eq!(cache.get_to_renew(b"k").unwrap().1, Renewal::Fresh);
    assert!(cache.invalidate(b"k"));
    assert!(!cache.invalidate(b"absent"));
    let (item, renewal) = cache.get_to_renew(b"k").unwrap();
    assert_eq!((&*item, renewal), (&b"v"[..], Renewal::Won));
    assert!(item.cas() > old, "what was computed before is not current");
    assert_eq!(cache.get_to_renew(b"k").unwrap().1, Renewal::Stale);
    // Invalidated again, the right can be won again.
    cache.invalidate(b"k");
    assert_eq!(cache.get_to_renew(b"k").unwrap().1, Renewal::Won);
    cache.set(b"k", b"new", Ttl::NEVER).unwrap();
    assert_eq!(cache.get_to_renew(b"k").unwrap().1, Renewal::Fresh);
    cache.validate();
}

#[test]
fn of_many_threads_exactly_one_wins() {
    let cache = Cache::with_limit(8 << 20).unwrap();
    for _ in 0..50 {
        cache.set(b"k", b"v", Ttl::NEVER).unwrap();
        cache.invalidate(b"k");
        let wins = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let won = cache.get_to_renew(b"k").unwrap().1 == Renewal::Won;
                    wins.fetch_add(won.into(), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(wins.into_inner(), 1);
    }
}

#[test]
fn a_store_that_comes_too_late_is_stale_and_keeps_the_expiry() {
    let (cache, clock) = cache();
    let old = cache.set(b"k", b"1", Ttl::seconds(10)).unwrap();
    cache.set(b"k", b"2", Ttl::seconds(20)).unwrap();
    cache.invalidate(b"k");
    assert_eq!(cache.get_to_renew(b"k").unwrap().1, Renewal::Won);
    let late = Store::new(b"k", b"late").ttl(Ttl::NEVER);
    let late = late.mode(StoreMode::CompareAndSwap(old));
    assert_eq!(cache.store(&late), Ok(StoreOutcome::CasMismatch));
    stored(cache.store(&late.or_stale()).unwrap());
    cache.peek_with(b"k", |view| {
        assert_eq!(view.value(), b"late");
        assert!(view.is_stale() && view.is_renewing());
    });
    clock.advance(Duration::from_secs(20));
    assert!(!cache.contains(b"k"));
    // A token newer than the item's is no excuse.
    let token = cache.set(b"k", b"3", Ttl::NEVER).unwrap();
    let newer = CasToken::from_u64(token.to_u64() + 1);
    let newer = Store::new(b"k", b"x").mode(StoreMode::CompareAndSwap(newer));
    assert_eq!(
        cache.store(&newer.or_stale()),
        Ok(StoreOutcome::CasMismatch)
    );
}

#[test]
fn a_chosen_token_is_the_items_and_its_times_stay_true() {
    let (cache, clock) = cache();
    for chosen in [0, 7, u64::MAX].map(CasToken::from_u64) {
        let store = Store::new(b"k", b"v").flags(3).token(chosen);
        assert_eq!(cache.store(&store), Ok(StoreOutcome::Stored(chosen)));
        let now = cache.now();
        cache.peek_with(b"k", |view| {
            assert_eq!(
                (view.cas(), view.flags(), view.stored_at()),
                (chosen, 3, now)
            );
        });
        let swap = Store::new(b"k", b"w").mode(StoreMode::CompareAndSwap(chosen));
        let outcome = cache.store(&swap).unwrap();
        assert_eq!(
            matches!(outcome, StoreOutcome::Stored(_)),
            chosen.to_u64() != 0,
            "0 never matches"
        );
        clock.advance(Duration::from_secs(1));
    }
    let appended = Store::new(b"k", b"+").mode(StoreMode::Append);
    let token = CasToken::from_u64(9);
    assert_eq!(stored(cache.store(&appended.token(token)).unwrap()), token);
    assert_eq!(&*cache.get(b"k").unwrap(), b"w+");
    assert!(stored(cache.store(&appended).unwrap()) > token);
    assert_eq!(cache.incr(b"n", 1), Ok(None));
    cache
        .store(&Store::new(b"n", b"99").token(token).marked(true))
        .map(stored)
        .unwrap();
    assert_eq!(cache.incr(b"n", 1), Ok(Some(100)));
    cache.peek_with(b"n", |view| {
        assert!(view.is_marked() && view.cas() != token);
    });
    cache.validate();
}

#[test]
fn joins_can_ask_for_a_token_and_create_what_is_missing() {
    let (cache, clock) = cache();
    let join = |mode| Store::new(b"k", b"ab").mode(mode).ttl(Ttl::seconds(5));
    let append = join(StoreMode::Append).flags(1);
    assert_eq!(cache.store(&append), Ok(StoreOutcome::KeyMissing));
    let token = stored(cache.store(&append.or_create()).unwrap());
    let wrong = CasToken::from_u64(token.to_u64() + 1);
    let prepend = join(StoreMode::Prepend).flags(2);
    assert_eq!(
        cache.store(&prepend.if_token(wrong)),
        Ok(StoreOutcome::CasMismatch)
    );
    let seen = cache.store_with(&prepend.if_token(token).or_create(), |view| {
        (view.value().len(), view.flags())
    });
    assert_eq!(seen.unwrap().1, Some((4, 1)));
    clock.advance(Duration::from_secs(5));
    assert!(!cache.contains(b"k"), "the first store's lifetime");
}

#[test]
fn a_revision_sees_what_is_there_and_does_as_told() {
    let (cache, clock) = cache();
    // Created because it was missing: the creator has the right to fill it.
    let created = cache.revise(b"k", |item| {
        assert!(item.is_none());
        Revision::Put(Put::new(&b""[..]).ttl(Ttl::seconds(9)).renewing(true))
    });
    let token = created.unwrap().unwrap();
    cache.peek_with(b"k", |view| {
        assert!(view.is_renewing() && !view.is_stale() && view.value().is_empty());
        assert_eq!(view.cas(), token);
    });
    // Another value with everything else as it was.
    cache
        .revise(b"k", |item| {
            let view = item.unwrap();
            Revision::Put(Put::instead_of(&view, &b"v"[..]).keep_state(&view))
        })
        .unwrap();
    cache.peek_with(b"k", |view| {
        assert_eq!(
            view.expires_at(),
            Some(cache.now().after(Duration::from_secs(9)))
        );
        assert!(view.is_renewing());
    });
    let adjusted = cache.revise(b"k", |_| {
        Revision::Adjust(Adjust::read().ttl(Ttl::seconds(20)))
    });
    assert_eq!(adjusted, Ok(None));
    clock.advance(Duration::from_secs(10));
    assert!(cache.peek_with(b"k", |view| view.was_fetched()).unwrap());
    assert_eq!(cache.revise(b"k", |_| Revision::Keep), Ok(None));
    assert_eq!(cache.revise(b"k", |_| Revision::Remove), Ok(None));
    assert!(!cache.contains(b"k"));
    // What has expired when it is put removes what was there.
    cache.set(b"k", b"v", Ttl::NEVER).unwrap();
    let expired = Put::new(&b"x"[..]).ttl(Ttl::EXPIRED);
    cache
        .revise(b"k", |_| Revision::Put(expired.clone()))
        .unwrap();
    assert!(!cache.contains(b"k"));
    cache.validate();
}

#[test]
fn a_revision_that_finds_no_memory_is_refused() {
    let builder = Cache::builder().limit_bytes(1 << 20).shards(1);
    let cache = builder.policy(Policy::NoEviction).build().unwrap();
    let filled = (0..u32::MAX).find(|number| {
        cache
            .set(&number.to_be_bytes(), &[b'x'; 1000], Ttl::NEVER)
            .is_err()
    });
    let put = || Revision::Put(Put::new(vec![b'y'; 1000]));
    assert!(filled.is_some() && cache.revise(b"more", |_| put()).is_err());
    assert!(!cache.contains(b"more"));
    // What is replaced is given up in the end, unless that was asked to stay.
    let [kept, given_up] = [0_u32, 1].map(u32::to_be_bytes);
    let larger = || Put::new(vec![b'y'; 30_000]);
    assert!(
        cache
            .revise(&kept, |_| Revision::Put(larger().or_keep()))
            .is_err()
    );
    assert!(
        cache
            .revise(&given_up, |_| Revision::Put(larger()))
            .is_err()
    );
    assert!(cache.contains(&kept) && !cache.contains(&given_up));
    cache.validate();
}
