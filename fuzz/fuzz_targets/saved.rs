//! Any bytes as a saved cache: an error or items, and a cache whose books agree.
#![no_main]

use larder::{Cache, ManualClock};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/larder/tests/suite/sign.rs"]
mod sign;

const BEGIN: [u8; 12] = *b"\x89Larder\n\x01\0\0\0";

fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    if let Some(begin) = file.first_chunk_mut() {
        *begin = BEGIN;
        sign::sign(&mut file);
    }
    let builder = Cache::builder().limit_bytes(2 << 20).shards(2);
    let cache = builder.clock(ManualClock::default()).build().unwrap();
    let _ = cache.restore(&mut &file[..]);
    cache.validate();
    let mut again = Vec::new();
    let saved = cache.save_draining(&mut again).unwrap();
    cache.validate();
    let restored = cache.restore(&mut &again[..]).unwrap();
    assert_eq!(restored.restored_count, saved.item_count);
});
