//! Items whose values are elsewhere, against a plain model. Every locator is told of once when it leaves.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use larder::{
    Adjust, Cache, CasToken, Content, Error, Locator, ManualClock, Move, Policy, Revision, Store,
    StoreMode, StoreOutcome, Ttl,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Set {
        key: u8,
        length: usize,
        flags: u32,
        seconds: u64,
        chosen: bool,
    },
    Swap {
        key: u8,
        length: usize,
    },
    Join {
        key: u8,
        front: bool,
    },
    Count(u8),
    Update(u8, usize),
    Get(u8),
    Touch(u8),
    Invalidate(u8),
    Remove(u8),
    /// Here to elsewhere, elsewhere to here, or from one place to another, whatever the item's is.
    MoveAway(u8),
    MoveBack(u8),
    /// With an old stamp, or from a place where it is not.
    MoveLate(u8, bool),
    Clear,
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let length = prop_oneof![0..40_usize, 0..3000_usize, 30_000..60_000_usize];
    let key = 0..6_u8;
    prop_oneof![
        4 => (key.clone(), length.clone(), 0..2_u32, 0..20_u64, any::<bool>())
            .prop_map(|(key, length, flags, seconds, chosen)| Op::Set { key, length, flags, seconds, chosen }),
        1 => (key.clone(), length.clone()).prop_map(|(key, length)| Op::Swap { key, length }),
        1 => (key.clone(), any::<bool>()).prop_map(|(key, front)| Op::Join { key, front }),
        1 => key.clone().prop_map(Op::Count),
        1 => (key.clone(), length).prop_map(|(key, length)| Op::Update(key, length)),
        4 => key.clone().prop_map(Op::Get),
        1 => key.clone().prop_map(Op::Touch),
        1 => key.clone().prop_map(Op::Invalidate),
        1 => key.clone().prop_map(Op::Remove),
        6 => key.clone().prop_map(Op::MoveAway),
        3 => key.clone().prop_map(Op::MoveBack),
        2 => (key, any::<bool>()).prop_map(|(key, stamp)| Op::MoveLate(key, stamp)),
        1 => Just(Op::Clear),
        1 => (1..8_u64).prop_map(Op::Advance),
    ]
}

/// What an item should be.
#[derive(Clone, Debug)]
struct Twin {
    value: Vec<u8>,
    flags: u32,
    cas: CasToken,
    stamp: CasToken,
    locator: Option<Locator>,
    /// Seconds of the model's time; `None` for never.
    expires: Option<u64>,
    fetched: bool,
    stale: bool,
}

struct Model {
    cache: Cache,
    clock: ManualClock,
    items: HashMap<Vec<u8>, Twin>,
    now: u64,
    moves: u64,
    told: Receiver<Locator>,
    /// Locators of items, those that have expired unnoticed included.
    placed: HashSet<Locator>,
}

fn key_of(number: u8) -> Vec<u8> {
    format!("key-{number}-{}", "x".repeat(usize::from(number) * 50)).into_bytes()
}

impl Model {
    fn new(policy: Policy) -> Self {
        let clock = ManualClock::default();
        let cache = Cache::builder()
            .limit_bytes(8 << 20)
            .shards(2)
            .policy(policy)
            .clock(clock.clone())
            .build()
            .unwrap();
        let (tell, told) = channel();
        cache.watch_locators(move |locator| tell.send(locator).unwrap());
        Self {
            cache,
            clock,
            items: HashMap::new(),
            now: 0,
            moves: 0,
            told,
            placed: HashSet::new(),
        }
    }

    fn value(&mut self, length: usize) -> Vec<u8> {
        self.moves += 1;
        vec![self.moves.to_le_bytes()[0] | 0x80; length]
    }

    fn locator(&mut self) -> Locator {
        self.moves += 1;
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&self.moves.to_le_bytes());
        Locator(bytes)
    }

    fn twin(&mut self, key: &[u8]) -> Option<&mut Twin> {
        let now = self.now;
        if self
            .items
            .get(key)
            .is_some_and(|twin| twin.expires.is_some_and(|at| at <= now))
        {
            self.items.remove(key);
        }
        self.items.get_mut(key)
    }

    /// Takes over the stamp of what was just stored.
    fn stored(&mut self, key: &[u8], twin: Twin) {
        let item = self.cache.peek(key);
        match item {
            Some(item) => {
                let stamp = item.view().stamp();
                self.items.insert(key.to_vec(), Twin { stamp, ..twin });
            }
            None => drop(self.items.remove(key)),
        }
    }

    fn set(&mut self, key: &[u8], store: &Store<'_>, twin: Twin) {
        let StoreOutcome::Stored(cas) = self.cache.store(store).unwrap() else {
            panic!("stored")
        };
        self.stored(key, Twin { cas, ..twin });
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Set {
                key,
                length,
                flags,
                seconds,
                chosen,
            } => {
                let (key, value) = (key_of(key), self.value(length));
                let mut store = Store::new(&key, &value).flags(flags);
                if seconds > 0 {
                    store = store.ttl(Ttl::seconds(seconds));
                }
                if chosen {
                    // The same for every value: a move must not take one for another.
                    store = store.token(CasToken::from_u64(77));
                }
                let expires = (seconds > 0).then_some(self.now + seconds);
                let twin = Twin::new(value.clone(), flags, expires);
                self.set(&key, &store, twin);
            }
            Op::Swap { key, length } => {
                let (key, value) = (key_of(key), self.value(length));
                let Some(cas) = self.twin(&key).map(|twin| twin.cas) else {
                    return;
                };
                let store = Store::new(&key, &value).mode(StoreMode::CompareAndSwap(cas));
                self.set(&key, &store, Twin::new(value.clone(), 0, None));
            }
            Op::Join { key, front } => self.join(&key_of(key), front),
            Op::Count(key) => {
                let key = key_of(key);
                let is_there = self.twin(&key).is_some();
                // No value here is a number.
                match self.cache.incr(&key, 1) {
                    Ok(None) => assert!(!is_there),
                    Err(Error::NotANumber) => assert!(is_there),
                    other => panic!("{other:?}"),
                }
            }
            Op::Update(key, length) => {
                let (key, value) = (key_of(key), self.value(length));
                let Some(twin) = self.twin(&key).cloned() else {
                    return;
                };
                let edit = |_: larder::ItemView<'_>| larder::Edit::Value(value.clone().into());
                let Ok(larder::UpdateOutcome::Stored(cas)) = self.cache.update(&key, edit) else {
                    panic!("updated");
                };
                self.stored(
                    &key,
                    Twin {
                        cas,
                        value: value.clone(),
                        locator: None,
                        stale: false,
                        fetched: false,
                        ..twin
                    },
                );
            }
            Op::Get(key) => {
                let key = key_of(key);
                assert_eq!(self.cache.get(&key).is_some(), self.twin(&key).is_some());
                if let Some(twin) = self.twin(&key) {
                    twin.fetched = true;
                }
            }
            Op::Touch(key) => {
                let key = key_of(key);
                let at = self.now + 5;
                let touched = self.cache.touch(&key, Ttl::seconds(5));
                let twin = self.twin(&key);
                assert_eq!(touched, twin.is_some());
                if let Some(twin) = twin {
                    twin.expires = Some(at);
                    twin.fetched = true;
                }
            }
            Op::Invalidate(key) => {
                let key = key_of(key);
                let Some(twin) = self.twin(&key).cloned() else {
                    return;
                };
                let revision = |_: Option<larder::ItemView<'_>>| {
                    Revision::Adjust(Adjust::nothing().invalidate())
                };
                let token = self.cache.revise(&key, revision).unwrap();
                self.stored(
                    &key,
                    Twin {
                        cas: token.unwrap(),
                        stale: true,
                        ..twin
                    },
                );
            }
            Op::Remove(key) => {
                let key = key_of(key);
                let is_there = self.twin(&key).is_some();
                assert_eq!(self.cache.remove(&key), is_there);
                self.items.remove(&key);
            }
            Op::MoveAway(key) => self.move_to(&key_of(key), true),
            Op::MoveBack(key) => self.move_to(&key_of(key), false),
            Op::MoveLate(key, stamp) => {
                let (key, other) = (key_of(key), self.locator());
                let Some(twin) = self.twin(&key).cloned() else {
                    return;
                };
                let late = if stamp {
                    Move {
                        stamp: CasToken::from_u64(77),
                        from: twin.locator,
                        to: Content::Elsewhere(other),
                    }
                } else {
                    let from = if twin.locator.is_some() {
                        None
                    } else {
                        Some(other)
                    };
                    Move {
                        stamp: twin.stamp,
                        from,
                        to: Content::Here(b"late"),
                    }
                };
                assert_eq!(self.cache.move_value(&key, &late), Ok(false));
            }
            Op::Clear => {
                self.cache.clear();
                self.items.clear();
            }
            Op::Advance(seconds) => {
                self.now += seconds;
                self.clock.advance(Duration::from_secs(seconds));
            }
        }
    }

    fn join(&mut self, key: &[u8], front: bool) {
        let mode = if front {
            StoreMode::Prepend
        } else {
            StoreMode::Append
        };
        let store = Store::new(key, b"more").mode(mode);
        let outcome = self.cache.store(&store).unwrap();
        let Some(twin) = self.twin(key).cloned() else {
            assert_eq!(outcome, StoreOutcome::KeyMissing);
            return;
        };
        if twin.locator.is_some() {
            assert_eq!(outcome, StoreOutcome::KeyMissing);
            return;
        }
        let StoreOutcome::Stored(cas) = outcome else {
            panic!("{outcome:?}")
        };
        let value = if front {
            [&b"more"[..], &twin.value].concat()
        } else {
            [&twin.value[..], b"more"].concat()
        };
        self.stored(
            key,
            Twin {
                cas,
                value,
                stale: false,
                fetched: false,
                ..twin
            },
        );
    }

    fn move_to(&mut self, key: &[u8], away: bool) {
        let place = self.locator();
        let Some(twin) = self.twin(key).cloned() else {
            let stamp = CasToken::from_u64(9);
            let nothing = Move {
                stamp,
                from: None,
                to: Content::Here(b""),
            };
            assert_eq!(self.cache.move_value(key, &nothing), Ok(false));
            return;
        };
        let to = if away {
            Content::Elsewhere(place)
        } else {
            Content::Here(&twin.value)
        };
        let moved = Move {
            stamp: twin.stamp,
            from: twin.locator,
            to,
        };
        assert_eq!(self.cache.move_value(key, &moved), Ok(true));
        if away {
            self.placed.insert(place);
        }
        if let Some(twin) = self.twin(key) {
            twin.locator = away.then_some(place);
        }
    }

    fn check(&mut self) {
        for left in self.told.try_iter() {
            assert!(
                self.placed.remove(&left),
                "told of once, after it was there"
            );
        }
        let now = self.now;
        self.items
            .retain(|_, twin| twin.expires.is_none_or(|at| at > now));
        for (key, twin) in &self.items {
            let item = self.cache.peek(key).expect("it is there");
            let view = item.view();
            let expected: &[u8] = if twin.locator.is_some() {
                b""
            } else {
                &twin.value
            };
            assert_eq!(view.value(), expected);
            assert_eq!(
                (view.locator(), item.locator()),
                (twin.locator, twin.locator)
            );
            assert_eq!((view.cas(), view.stamp()), (twin.cas, twin.stamp));
            assert_eq!((view.flags(), view.key()), (twin.flags, &key[..]));
            assert_eq!(
                (view.was_fetched(), view.is_stale()),
                (twin.fetched, twin.stale)
            );
            assert_eq!(&item[..], expected);
            assert_eq!(item.clone().locator(), twin.locator);
            assert!(
                twin.locator
                    .is_none_or(|locator| self.placed.contains(&locator))
            );
        }
    }

    /// At the end nothing has a locator that was not told of.
    fn finish(mut self) {
        self.cache.validate();
        self.clock.advance(Duration::from_secs(100));
        while self.cache.maintain(10_000).more_due {}
        self.cache.clear();
        self.items.clear();
        self.check();
        assert!(self.placed.is_empty(), "all were told of");
    }
}

impl Twin {
    fn new(value: Vec<u8>, flags: u32, expires: Option<u64>) -> Self {
        let token = CasToken::from_u64(0);
        Self {
            value,
            flags,
            cas: token,
            stamp: token,
            locator: None,
            expires,
            fetched: false,
            stale: false,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 200 }))]

    #[test]
    fn values_elsewhere_behave_like_the_model(
        ops in prop::collection::vec(op(), 1..if cfg!(miri) { 20 } else { 200 }),
        strict in any::<bool>(),
    ) {
        let policy = if strict { Policy::Lru } else { Policy::Adaptive };
        let mut model = Model::new(policy);
        for op in &ops {
            model.apply(op);
            model.check();
        }
        model.finish();
    }
}
