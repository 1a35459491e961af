//! At most five requests a minute for each client: a counter that expires.

use std::time::Duration;

use larder::{Cache, Error, ManualClock, Ttl};

fn main() -> Result<(), Error> {
    let clock = ManualClock::default();
    let cache = Cache::builder().clock(clock.clone()).build()?;
    for request in 1..=7 {
        assert_eq!(is_allowed(&cache, b"10.0.0.1")?, request <= 5);
    }
    assert!(is_allowed(&cache, b"10.0.0.2")?);
    clock.advance(Duration::from_secs(60));
    assert!(is_allowed(&cache, b"10.0.0.1")?);
    Ok(())
}

fn is_allowed(cache: &Cache, client: &[u8]) -> Result<bool, Error> {
    // The first request of a minute makes the counter; all count, and none makes it live longer.
    let _ = cache.add(client, b"0", Ttl::seconds(60))?;
    Ok(cache.incr(client, 1)?.is_none_or(|count| count <= 5))
}
