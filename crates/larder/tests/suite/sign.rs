//! Checksums for saved caches that were changed, so that mistakes get past them.

/// Gives every block the checksum that it should have, if the file begins as it should.
pub(crate) fn sign(file: &mut [u8]) {
    let mut at = 12;
    for number in 0_u64.. {
        let Some(head) = file.get(at..at + 12) else {
            return;
        };
        let length: [u8; 4] = head[4..8].try_into().unwrap();
        let end = (at + 12).saturating_add(u32::from_le_bytes(length) as usize);
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
