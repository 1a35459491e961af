//! Random operation sequences against a plain model: a map with exact expiry and exact tokens.
//!
//! The limit is far above what the keys can fill, so that nothing is ever evicted and every
//! answer is determined. Eviction has a model of its own in lru.rs.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use larder::{
    Cache, CasToken, Edit, Error, ManualClock, Store, StoreMode, StoreOutcome, Timestamp, Ttl,
    UpdateOutcome,
};
use proptest::prelude::*;

const VALUE_BYTES_MAX: usize = 50_000;

#[derive(Clone, Debug)]
enum Op {
    Store {
        key: u8,
        value: Value,
        flags: u32,
        ttl: ModelTtl,
        mode: Mode,
    },
    Get(u8),
    Peek(u8),
    Count {
        key: u8,
        delta: u64,
        up: bool,
    },
    Touch(u8, ModelTtl),
    GetAndTouch(u8, ModelTtl),
    Remove(u8),
    Update(u8, Option<Value>),
    Clear,
    ClearBefore(i64),
    Advance(u64),
    Maintain(usize),
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    /// With the token that is there.
    SwapCurrent,
    /// With a token that the key had once, or never.
    SwapOther(usize),
}

#[derive(Clone, Copy, Debug)]
enum ModelTtl {
    Never,
    Millis(u64),
    At(i64),
}

#[derive(Clone, Debug)]
enum Value {
    Bytes { length: usize, fill: u8 },
    Number(u64),
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes { length, fill } => vec![*fill; *length],
            Self::Number(number) => number.to_string().into_bytes(),
        }
    }
}

fn key(number: u8) -> Vec<u8> {
    // Lengths differ, so that keys share classes with some values and not with others.
    format!("key-{number}-{}", "x".repeat(usize::from(number) * 7)).into_bytes()
}

fn a_key() -> impl Strategy<Value = u8> {
    0..12_u8
}

fn a_value() -> impl Strategy<Value = Value> {
    let length = prop_oneof![
        6 => 0..200_usize,
        3 => 200..3000_usize,
        1 => 30_000..VALUE_BYTES_MAX + 100,
    ];
    prop_oneof![
        4 => (length, any::<u8>()).prop_map(|(length, fill)| Value::Bytes { length, fill }),
        2 => prop_oneof![0..20_u64, Just(u64::MAX), any::<u64>()].prop_map(Value::Number),
    ]
}

fn a_ttl() -> impl Strategy<Value = ModelTtl> {
    prop_oneof![
        4 => Just(ModelTtl::Never),
        3 => (0..4000_u64).prop_map(ModelTtl::Millis),
        1 => (-2000..4000_i64).prop_map(ModelTtl::At),
    ]
}

fn a_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        4 => Just(Mode::Set),
        1 => Just(Mode::Add),
        1 => Just(Mode::Replace),
        2 => Just(Mode::Append),
        2 => Just(Mode::Prepend),
        2 => Just(Mode::SwapCurrent),
        1 => (0..100_usize).prop_map(Mode::SwapOther),
    ]
}

fn an_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (a_key(), a_value(), any::<u32>(), a_ttl(), a_mode()).prop_map(
            |(key, value, flags, ttl, mode)| Op::Store { key, value, flags, ttl, mode }
        ),
        4 => a_key().prop_map(Op::Get),
        2 => a_key().prop_map(Op::Peek),
        3 => (a_key(), prop_oneof![0..30_u64, any::<u64>()], any::<bool>())
            .prop_map(|(key, delta, up)| Op::Count { key, delta, up }),
        2 => (a_key(), a_ttl()).prop_map(|(key, ttl)| Op::Touch(key, ttl)),
        2 => (a_key(), a_ttl()).prop_map(|(key, ttl)| Op::GetAndTouch(key, ttl)),
        2 => a_key().prop_map(Op::Remove),
        2 => (a_key(), prop::option::of(a_value())).prop_map(|(key, v)| Op::Update(key, v)),
        1 => prop_oneof![
            Just(Op::Clear),
            (-1500..1500_i64).prop_map(Op::ClearBefore),
        ],
        3 => (1..1500_u64).prop_map(Op::Advance),
        1 => (0..200_usize).prop_map(Op::Maintain),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Item {
    value: Vec<u8>,
    flags: u32,
    cas: CasToken,
    expires_at: Option<u64>,
    stored_at: u64,
}

/// The cache and what it should be, side by side.
struct Pair {
    cache: Cache,
    clock: ManualClock,
    items: HashMap<Vec<u8>, Item>,
    pending_clear: Option<u64>,
    tokens: HashSet<CasToken>,
    history: Vec<CasToken>,
}

impl Pair {
    fn new(shards: usize) -> Self {
        let clock = ManualClock::default();
        let cache = Cache::builder()
            .limit_bytes(16 << 20)
            .shards(shards)
            .value_bytes_max(VALUE_BYTES_MAX)
            .clock(clock.clone())
            .build()
            .unwrap();
        Self {
            cache,
            clock,
            items: HashMap::new(),
            pending_clear: None,
            tokens: HashSet::new(),
            history: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        self.clock.now().unix_millis()
    }

    fn resolve(&self, ttl: ModelTtl) -> (Ttl, Option<u64>) {
        match ttl {
            ModelTtl::Never => (Ttl::NEVER, None),
            ModelTtl::Millis(millis) => (
                Ttl::after(Duration::from_millis(millis)),
                Some(self.now() + millis),
            ),
            ModelTtl::At(offset) => {
                let at = self.now().saturating_add_signed(offset);
                (Ttl::at(Timestamp::from_unix_millis(at)), Some(at))
            }
        }
    }

    /// Applies the model's clock: what has expired or was cleared goes.
    fn settle(&mut self) {
        let now = self.now();
        if self.pending_clear.is_some_and(|at| now >= at) {
            self.items.clear();
            self.pending_clear = None;
        }
        self.items
            .retain(|_, item| item.expires_at.is_none_or(|at| at > now));
    }

    fn issue(&mut self, token: CasToken) {
        assert!(
            self.tokens.insert(token),
            "a token is never issued twice: {token}"
        );
        self.history.push(token);
    }

    fn apply(&mut self, op: &Op) {
        self.settle();
        match op {
            Op::Store {
                key: number,
                value,
                flags,
                ttl,
                mode,
            } => {
                self.store(&key(*number), &value.bytes(), *flags, *ttl, *mode);
            }
            Op::Get(number) => {
                let key = key(*number);
                self.same(&key, self.cache.get(&key).as_deref());
            }
            Op::Peek(number) => {
                let key = key(*number);
                self.same(&key, self.cache.peek(&key).as_deref());
                assert_eq!(self.cache.contains(&key), self.items.contains_key(&key));
            }
            Op::Count {
                key: number,
                delta,
                up,
            } => self.count(&key(*number), *delta, *up),
            Op::Touch(number, ttl) => {
                let key = key(*number);
                let (ttl, expires_at) = self.resolve(*ttl);
                let touched = self.cache.touch(&key, ttl);
                assert_eq!(touched, self.retime(&key, expires_at));
            }
            Op::GetAndTouch(number, ttl) => {
                let key = key(*number);
                let (ttl, expires_at) = self.resolve(*ttl);
                self.same(&key, self.cache.get_and_touch(&key, ttl).as_deref());
                self.retime(&key, expires_at);
            }
            Op::Remove(number) => {
                let key = key(*number);
                assert_eq!(self.cache.remove(&key), self.items.remove(&key).is_some());
            }
            Op::Update(number, value) => self.update(&key(*number), value.as_ref()),
            Op::Clear => {
                self.cache.clear();
                self.items.clear();
                self.pending_clear = None;
            }
            Op::ClearBefore(offset) => self.clear_before(*offset),
            Op::Advance(millis) => self.clock.advance(Duration::from_millis(*millis)),
            Op::Maintain(chunks) => {
                self.cache.maintain(*chunks);
            }
        }
    }

    fn same(&self, key: &[u8], value: Option<&[u8]>) {
        assert_eq!(value, self.items.get(key).map(|item| &item.value[..]));
    }

    fn retime(&mut self, key: &[u8], expires_at: Option<u64>) -> bool {
        let item = self.items.get_mut(key);
        item.map(|item| item.expires_at = expires_at).is_some()
    }

    fn store(&mut self, key: &[u8], value: &[u8], flags: u32, ttl: ModelTtl, mode: Mode) {
        let (ttl, expires_at) = self.resolve(ttl);
        let found = self.items.get(key).cloned();
        let mode = self.store_mode(mode, found.as_ref());
        let request = Store::new(key, value).flags(flags).ttl(ttl).mode(mode);
        let outcome = self.cache.store(&request);
        let joined = match (mode, &found) {
            (StoreMode::Append, Some(item)) => Some([&item.value[..], value].concat()),
            (StoreMode::Prepend, Some(item)) => Some([value, &item.value[..]].concat()),
            _ => None,
        };
        let new_bytes = joined.as_ref().map_or(value.len(), Vec::len);
        if new_bytes > VALUE_BYTES_MAX {
            let refused = Err(Error::ValueTooLarge {
                value_bytes: new_bytes.max(value.len()),
                value_bytes_max: VALUE_BYTES_MAX,
            });
            // What is too large for any item is refused before anything is looked at.
            if value.len() > VALUE_BYTES_MAX {
                assert!(matches!(outcome, Err(Error::ValueTooLarge { .. })));
            } else {
                assert_eq!(outcome, refused);
            }
            if mode == StoreMode::Set {
                self.items.remove(key);
            }
            return;
        }
        let refusal = match (mode, &found) {
            (StoreMode::Add, Some(_)) => Some(StoreOutcome::KeyExists),
            (StoreMode::Set | StoreMode::Add, _) => None,
            (_, None) => Some(StoreOutcome::KeyMissing),
            (StoreMode::CompareAndSwap(token), Some(item)) if item.cas != token => {
                Some(StoreOutcome::CasMismatch)
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            assert_eq!(outcome, Ok(refusal));
            return;
        }
        let Ok(StoreOutcome::Stored(cas)) = outcome else {
            panic!("{outcome:?}")
        };
        self.issue(cas);
        let stored_at = self.now();
        let item = match joined {
            Some(value) => Item {
                value,
                cas,
                stored_at,
                ..found.unwrap()
            },
            None => Item {
                value: value.to_vec(),
                flags,
                cas,
                expires_at,
                stored_at,
            },
        };
        self.items.insert(key.to_vec(), item);
    }

    fn store_mode(&self, mode: Mode, found: Option<&Item>) -> StoreMode {
        let never_issued = CasToken::from_u64(0);
        match mode {
            Mode::Set => StoreMode::Set,
            Mode::Add => StoreMode::Add,
            Mode::Replace => StoreMode::Replace,
            Mode::Append => StoreMode::Append,
            Mode::Prepend => StoreMode::Prepend,
            Mode::SwapCurrent => {
                StoreMode::CompareAndSwap(found.map_or(never_issued, |item| item.cas))
            }
            Mode::SwapOther(pick) => {
                let past = self.history.get(pick % self.history.len().max(1));
                StoreMode::CompareAndSwap(past.copied().unwrap_or(never_issued))
            }
        }
    }

    fn count(&mut self, key: &[u8], delta: u64, up: bool) {
        let outcome = if up {
            self.cache.incr(key, delta)
        } else {
            self.cache.decr(key, delta)
        };
        let Some(item) = self.items.get_mut(key) else {
            assert_eq!(outcome, Ok(None));
            return;
        };
        // Digits, with white space around them; the standard parser would take a plus sign too.
        let text = std::str::from_utf8(item.value.trim_ascii()).ok();
        let digits = text.filter(|text| !text.starts_with('+'));
        let Some(number) = digits.and_then(|digits| digits.parse::<u64>().ok()) else {
            assert_eq!(outcome, Err(Error::NotANumber));
            return;
        };
        let number = if up {
            number.wrapping_add(delta)
        } else {
            number.saturating_sub(delta)
        };
        assert_eq!(outcome, Ok(Some(number)));
        let cas = self.cache.peek(key).unwrap().cas();
        item.value = number.to_string().into_bytes();
        item.cas = cas;
        item.stored_at = self.clock.now().unix_millis();
        self.issue(cas);
    }

    fn update(&mut self, key: &[u8], value: Option<&Value>) {
        let bytes = value.map(Value::bytes);
        let mut seen = None;
        let outcome = self.cache.update(key, |view| {
            seen = Some(view.value().to_vec());
            bytes
                .clone()
                .map_or(Edit::Remove, |bytes| Edit::Value(bytes.into()))
        });
        self.same(key, seen.as_deref());
        match (outcome, bytes) {
            (Ok(UpdateOutcome::Missing), _) => assert!(!self.items.contains_key(key)),
            (Ok(UpdateOutcome::Removed), None) => assert!(self.items.remove(key).is_some()),
            (Ok(UpdateOutcome::Stored(cas)), Some(value)) => {
                let stored_at = self.now();
                let item = self.items.get_mut(key).unwrap();
                *item = Item {
                    value,
                    cas,
                    stored_at,
                    ..item.clone()
                };
                self.issue(cas);
            }
            (Err(Error::ValueTooLarge { .. }), Some(value)) => {
                assert!(value.len() > VALUE_BYTES_MAX);
            }
            (outcome, _) => panic!("{outcome:?}"),
        }
    }

    fn clear_before(&mut self, offset: i64) {
        let at = self.now().saturating_add_signed(offset);
        self.cache.clear_before(Timestamp::from_unix_millis(at));
        if at > self.now() {
            self.pending_clear = Some(at);
        } else {
            self.pending_clear = None;
            self.items.retain(|_, item| item.stored_at >= at);
        }
    }

    fn check_all(&mut self) {
        self.settle();
        for number in 0..12 {
            let key = key(number);
            let item = self.cache.peek(&key).map(|guard| Item {
                value: guard.to_vec(),
                flags: guard.flags(),
                cas: guard.cas(),
                expires_at: guard.expires_at().map(Timestamp::unix_millis),
                stored_at: guard.view().stored_at().unix_millis(),
            });
            assert_eq!(item.as_ref(), self.items.get(&key), "key {number}");
        }
        self.cache.validate();
        assert_eq!(self.cache.stats().evictions, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_answer_is_the_models(
        shards in prop_oneof![Just(1_usize), Just(8)],
        ops in prop::collection::vec(an_op(), 1..150),
    ) {
        let mut pair = Pair::new(shards);
        for op in &ops {
            pair.apply(op);
        }
        pair.check_all();
        pair.clock.advance(Duration::from_secs(10));
        pair.cache.maintain(usize::MAX);
        pair.check_all();
        prop_assert_eq!(pair.cache.stats().item_count, pair.items.len());
    }
}
