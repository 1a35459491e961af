//! Any bytes as a saved cache: an error or items, and a cache whose books agree.
#![no_main]

use larder::{Cache, ManualClock};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    sign(&mut file);
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

/// Gives the file a sound beginning, and every block the checksum that it should have.
fn sign(file: &mut [u8]) {
    const BEGIN: &[u8] = b"\x89Larder\n\x01\0\0\0";
    if file.len() < BEGIN.len() {
        return;
    }
    file[..BEGIN.len()].copy_from_slice(BEGIN);
    let mut at = BEGIN.len();
    for number in 0_u64.. {
        let Some(head) = file.get(at..at + 12) else {
            return;
        };
        let length = u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize;
        let end = (at + 12).saturating_add(length);
        let Some(payload) = file.get(at + 12..end) else {
            return;
        };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&number.to_le_bytes());
        hasher.update(&head[..8]);
        hasher.update(payload);
        let sum = hasher.finalize().to_le_bytes();
        file[at + 8..at + 12].copy_from_slice(&sum);
        at = end;
    }
}
