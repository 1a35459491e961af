//! Exchange rates: who finds them old fetches new ones, everybody else is served at once.

use std::time::Duration;

use larder::{Cache, Error, ManualClock, Put, Ttl};

fn main() -> Result<(), Error> {
    let clock = ManualClock::default();
    let cache = Cache::builder().clock(clock.clone()).build()?;
    let rates = |fetched: &'static str| {
        // Kept for an hour; from 50 minutes on, one of those who ask renews them.
        let fetch = || Put::new(fetched.as_bytes()).ttl(Ttl::seconds(3600));
        cache.get_or_renew_with(b"rates", Duration::from_secs(600), fetch)
    };

    assert_eq!(&*rates("at nine")?, b"at nine"); // missing: everybody waits for one fetch
    clock.advance(Duration::from_secs(49 * 60));
    assert_eq!(&*rates("not fetched")?, b"at nine");
    clock.advance(Duration::from_secs(60));
    assert_eq!(&*rates("at ten")?, b"at ten"); // old: this caller fetches

    // Something happened: what there is is served on, but the next who asks fetches.
    cache.invalidate(b"rates");
    assert_eq!(&*rates("after the crash")?, b"after the crash");
    Ok(())
}
