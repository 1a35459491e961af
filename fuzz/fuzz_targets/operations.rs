//! Any sequence of operations on a small, full cache: what is found is what was stored last, the
//! limit holds, and every invariant with it. The twin is a map of what was stored.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use larder::{Cache, ManualClock, StoreOutcome, Ttl};
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
