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
    assert_eq!(report(&cache)?, b"expensive report"); // finds it
    clock.advance(Duration::from_secs(60));

    // Expired memory comes back when it is needed; this brings it back earlier.
    println!("expired: {}", cache.maintain(10_000).expired_count);
    assert!(cache.get(b"report").is_none(), "its minute is over");
    Ok(())
}

fn report(cache: &Cache) -> Result<Vec<u8>, larder::Error> {
    if let Some(item) = cache.get(b"report") {
        return Ok(item.to_vec());
    }
    let report = b"expensive report";
    if let StoreOutcome::Stored(_) = cache.add(b"report:lock", b"", Ttl::seconds(5))? {
        cache.set(b"report", report, Ttl::seconds(60))?;
        cache.remove(b"report:lock");
    }
    Ok(report.to_vec())
}
