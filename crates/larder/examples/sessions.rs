//! Sessions: a sliding lifetime, one-time tokens, and logging a user out everywhere.

use larder::{Cache, Error, Put, Ttl};

fn main() -> Result<(), Error> {
    let cache = Cache::with_limit(16 << 20)?;
    let half_an_hour = Ttl::seconds(1800);
    for session in [&b"session/1"[..], b"session/2"] {
        cache.set(session, b"user 7", half_an_hour)?;
    }
    cache.set(b"session/3", b"user 8", half_an_hour)?;

    // Every request makes the session live longer.
    let user = cache.get_and_touch(b"session/1", half_an_hour);
    assert_eq!(user.as_deref(), Some(&b"user 7"[..]));

    // A token that can be used once: of all who take it, one gets it.
    cache
        .entry(b"reset/abc")
        .or_insert(Put::new(b"user 7").ttl(Ttl::seconds(600)))?;
    assert!(cache.take(b"reset/abc").is_some());
    assert!(cache.take(b"reset/abc").is_none());

    // Out everywhere.
    let gone =
        cache.retain(|item| !(item.key().starts_with(b"session/") && item.value() == b"user 7"));
    assert_eq!(gone, 2);
    assert!(cache.contains(b"session/3"));
    Ok(())
}
