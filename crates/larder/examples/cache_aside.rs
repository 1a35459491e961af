//! Cache-aside with a lifetime, and one loader for a herd: the caller whose `add` succeeds loads.

use std::time::Duration;

use larder::{Cache, ManualClock, StoreOutcome, Ttl};

fn main() -> Result<(), larder::Error> {
    let clock = ManualClock::default();
    let cache = Cache::builder()
        .limit_bytes(16 << 20)
        .clock(clock.clone())
        .build()?;

    assert_eq!(report(&cache)?, b"expensive report"); // loads
    assert_eq!(report(&cache)?, b"expensive report"); // does not
    clock.advance(Duration::from_secs(60));
    assert!(!cache.contains(b"report"), "its minute is over");

    // Expired memory comes back when it is needed; a call now and then brings it back earlier.
    let done = cache.maintain(10_000);
    println!(
        "expired: {}, items left: {}",
        done.expired_count,
        cache.stats().item_count
    );
    Ok(())
}

fn report(cache: &Cache) -> Result<Vec<u8>, larder::Error> {
    if let Some(item) = cache.get(b"report") {
        return Ok(item.to_vec());
    }
    if let StoreOutcome::Stored(_) = cache.add(b"report:lock", b"", Ttl::seconds(5))? {
        cache.set(b"report", b"expensive report", Ttl::seconds(60))?;
        cache.remove(b"report:lock");
    }
    Ok(cache
        .get(b"report")
        .map(|item| item.to_vec())
        .unwrap_or_default())
}
