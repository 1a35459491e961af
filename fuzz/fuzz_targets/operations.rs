//! Any sequence of operations on a small, full cache: what is found is what was stored last, the
//! limit holds, and every invariant with it. The twin is a map of what was stored.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use larder::{
    Cache, CasToken, ManualClock, Put, Renewal, Revision, Store, StoreMode, StoreOutcome, Ttl,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Op {
    Set {
        key: u16,
        value_bytes: u32,
        ttl: Option<u8>,
    },
    Add {
        key: u16,
        value_bytes: u16,
    },
    Append {
        key: u16,
        value_bytes: u16,
    },
    Prepend {
        key: u16,
        value_bytes: u16,
    },
    Swap {
        key: u16,
        value_bytes: u16,
    },
    Get(u16),
    Touch {
        key: u16,
        ttl: Option<u8>,
    },
    Remove(u16),
    Advance(u16),
    Maintain(u16),
    Clear,
    Invalidate(u16),
    Renew(u16),
    /// A store, or a join, under a token of the caller's.
    Chosen {
        key: u16,
        value_bytes: u16,
        token: u64,
        joins: bool,
    },
    Revise {
        key: u16,
        value_bytes: u16,
        renewing: bool,
    },
    Many {
        first: u16,
        count: u8,
        value_bytes: u16,
    },
}

const LIMIT_BYTES: usize = 1 << 20;

fn ttl(seconds: Option<u8>) -> Ttl {
    seconds.map_or(Ttl::NEVER, |seconds| Ttl::seconds(seconds.into()))
}

fn value(key: u16, bytes: usize) -> Vec<u8> {
    key.to_be_bytes().into_iter().cycle().take(bytes).collect()
}

fuzz_target!(|ops: Vec<Op>| {
    let clock = ManualClock::default();
    let cache = Cache::builder()
        .limit_bytes(LIMIT_BYTES)
        .shards(1)
        .clock(clock.clone())
        .build()
        .expect("a legal configuration");
    let mut twin: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for op in ops {
        match op {
            Op::Set {
                key,
                value_bytes,
                ttl: seconds,
            } => {
                // Mostly small, now and then above half a page: large values are slow to fuzz.
                let bytes_max = if value_bytes % 32 == 0 { 600_000 } else { 3000 };
                let value = value(key, value_bytes as usize % bytes_max);
                match cache.set(&key.to_be_bytes(), &value, ttl(seconds)) {
                    Ok(_) => twin.insert(key, value),
                    Err(_) => twin.remove(&key),
                };
            }
            Op::Add { key, value_bytes } => {
                let value = value(key, value_bytes.into());
                if let Ok(StoreOutcome::Stored(_)) =
                    cache.add(&key.to_be_bytes(), &value, Ttl::NEVER)
                {
                    twin.insert(key, value);
                }
            }
            Op::Append { key, value_bytes } => {
                let extra = value(key, value_bytes.into());
                if let Ok(StoreOutcome::Stored(_)) = cache.append(&key.to_be_bytes(), &extra) {
                    twin.get_mut(&key).expect("was there").extend(extra);
                }
            }
            Op::Prepend { key, value_bytes } => {
                let extra = value(key, value_bytes.into());
                if let Ok(StoreOutcome::Stored(_)) = cache.prepend(&key.to_be_bytes(), &extra) {
                    let old = twin.get_mut(&key).expect("was there");
                    *old = [extra, std::mem::take(old)].concat();
                }
            }
            Op::Swap { key, value_bytes } => {
                let value = value(key, value_bytes.into());
                let key_bytes = key.to_be_bytes();
                if let Some(item) = cache.peek(&key_bytes) {
                    let outcome =
                        cache.compare_and_swap(&key_bytes, &value, item.cas(), Ttl::NEVER);
                    if let Ok(StoreOutcome::Stored(_)) = outcome {
                        twin.insert(key, value);
                    }
                }
            }
            Op::Get(key) => {
                cache.get_with(&key.to_be_bytes(), |view| {
                    assert_eq!(Some(view.value()), twin.get(&key).map(|value| &value[..]));
                });
            }
            Op::Touch { key, ttl: seconds } => {
                cache.touch(&key.to_be_bytes(), ttl(seconds));
            }
            Op::Remove(key) => {
                cache.remove(&key.to_be_bytes());
                twin.remove(&key);
            }
            Op::Advance(millis) => clock.advance(Duration::from_millis(millis.into())),
            Op::Maintain(chunks) => {
                cache.maintain(chunks.into());
            }
            Op::Invalidate(key) => {
                if cache.invalidate(&key.to_be_bytes()) {
                    assert!(
                        cache
                            .peek_with(&key.to_be_bytes(), |view| view.is_stale())
                            .unwrap()
                    );
                }
            }
            Op::Renew(key) => {
                if let Some((item, renewal)) = cache.get_to_renew(&key.to_be_bytes()) {
                    assert_eq!(Some(&*item), twin.get(&key).map(|value| &value[..]));
                    let again = cache.get_to_renew(&key.to_be_bytes()).unwrap().1;
                    assert!(again != Renewal::Won);
                    assert_eq!(again == Renewal::Fresh, renewal == Renewal::Fresh);
                }
            }
            Op::Chosen {
                key,
                value_bytes,
                token,
                joins,
            } => {
                let extra = value(key, value_bytes.into());
                let key_bytes = key.to_be_bytes();
                let chosen = CasToken::from_u64(token);
                let mode = if joins {
                    StoreMode::Append
                } else {
                    StoreMode::Set
                };
                let store = Store::new(&key_bytes, &extra).mode(mode).token(chosen);
                match cache.store(&store) {
                    Ok(StoreOutcome::Stored(token)) => {
                        assert_eq!(token, chosen);
                        let old = twin.remove(&key).filter(|_| joins).unwrap_or_default();
                        twin.insert(key, [old, extra].concat());
                    }
                    Ok(_) => {}
                    Err(_) if joins => {}
                    Err(_) => {
                        twin.remove(&key);
                    }
                }
            }
            Op::Revise {
                key,
                value_bytes,
                renewing,
            } => {
                let new = value(key, value_bytes.into());
                let revised = cache.revise(&key.to_be_bytes(), |item| {
                    let put = match &item {
                        Some(view) => Put::instead_of(view, new.clone()).keep_state(view),
                        None => Put::new(new.clone()),
                    };
                    Revision::Put(put.renewing(renewing))
                });
                match revised {
                    Ok(_) => twin.insert(key, new),
                    Err(_) => twin.remove(&key),
                };
            }
            Op::Clear => {
                cache.clear();
                twin.clear();
            }
            Op::Many {
                first,
                count,
                value_bytes,
            } => {
                for key in first..first.saturating_add(count.into()) {
                    let value = value(key, value_bytes.into());
                    if cache.set(&key.to_be_bytes(), &value, Ttl::NEVER).is_ok() {
                        twin.insert(key, value);
                    } else {
                        twin.remove(&key);
                    }
                }
            }
        }
        assert!(cache.stats().used_bytes <= LIMIT_BYTES);
    }
    for (key, value) in &twin {
        if let Some(item) = cache.peek(&key.to_be_bytes()) {
            assert_eq!(&*item, &value[..]);
        }
    }
    cache.validate();
});
