//! A herd asks for a page that is missing: one thread renders it, the others wait for that.

use std::sync::atomic::{AtomicU32, Ordering};

use larder::{Cache, Error, ItemGuard, Put, Ttl};

fn main() -> Result<(), Error> {
    let cache = Cache::with_limit(16 << 20)?;
    let rendered = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let page = page(&cache, &rendered).expect("it fits");
                assert_eq!(&*page, b"<h1>Larder</h1>");
            });
        }
    });
    assert_eq!(rendered.into_inner(), 1);

    // A loader that fails: nothing is stored, and the next who asks tries again.
    let failed = cache.try_get_or_insert_with(b"/missing", || {
        Err(Box::<dyn std::error::Error>::from("404"))
    });
    assert!(failed.is_err() && !cache.contains(b"/missing"));
    Ok(())
}

fn page<'c>(cache: &'c Cache, rendered: &AtomicU32) -> Result<ItemGuard<'c>, Error> {
    cache.get_or_insert_with(b"/index", || {
        rendered.fetch_add(1, Ordering::Relaxed);
        Put::new(b"<h1>Larder</h1>").ttl(Ttl::seconds(60))
    })
}
