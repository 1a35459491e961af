//! Memory under control: a limit that moves, a thread that expires, and numbers about all of it.

use std::sync::Arc;
use std::time::Duration;

use larder::{Cache, Maintainer, Ttl};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder()
        .limit_bytes(8 << 20)
        .limit_bytes_max(32 << 20)
        .build()?;
    let cache = Arc::new(cache);
    let maintainer = Maintainer::start(Arc::clone(&cache), Duration::from_millis(5))?;
    for number in 0..10_000_u32 {
        cache.set(&number.to_le_bytes(), &[0; 500], Duration::from_millis(10))?;
    }
    cache.set(b"stays", b"", Ttl::NEVER)?;
    while cache.stats().item_count > 1 {
        std::thread::sleep(Duration::from_millis(1)); // nobody asks for the dead keys
    }
    drop(maintainer); // stops the thread

    cache.set_limit(16 << 20)?;
    let stats = cache.stats();
    println!(
        "{} of {} bytes used, {} expired",
        stats.used_bytes, stats.limit_bytes, stats.expirations
    );
    assert_eq!((stats.limit_bytes, stats.item_count), (16 << 20, 1));
    Ok(())
}
