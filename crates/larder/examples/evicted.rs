//! A listener that keeps what is evicted in a second, larger tier.

use std::sync::Arc;

use larder::{Cache, Cause, Error, Ttl};

fn main() -> Result<(), Error> {
    let second = Arc::new(Cache::with_limit(8 << 20)?);
    let first = Cache::builder().limit_bytes(1 << 20).shards(1).build()?;
    let tier = Arc::clone(&second);
    // Called once for each item, after the first cache's lock is free again.
    first.listen(&[Cause::Evicted], move |removal| {
        let kept = tier.set(removal.key(), removal.value(), Ttl::NEVER);
        kept.expect("what fitted the first fits the second");
    });

    for number in 0..4000_u32 {
        first.set(&number.to_le_bytes(), &[7; 500], Ttl::NEVER)?;
    }
    let held = [&first, &second].map(|cache| cache.stats().item_count);
    println!(
        "{} items in the first tier, {} in the second",
        held[0], held[1]
    );
    assert_eq!(held[0] + held[1], 4000);
    Ok(())
}
