//! A counter updated by many threads by check-and-set: no update is lost.

use larder::{Cache, StoreOutcome, Ttl};

fn main() -> Result<(), larder::Error> {
    let cache = Cache::with_limit(16 << 20)?;
    cache.set(b"visitors", b"0", Ttl::NEVER)?;

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| visit(&cache)));
        }
    });

    let total = cache.get(b"visitors").expect("nothing evicts it here");
    println!("visitors: {}", String::from_utf8_lossy(&total));
    assert_eq!(&*total, b"4000");
    Ok(())
}

/// Reads value and token, stores the next value if the token still holds, else tries again.
fn visit(cache: &Cache) {
    loop {
        let item = cache.get(b"visitors").expect("nothing evicts it here");
        let count: u64 = String::from_utf8_lossy(&item)
            .parse()
            .expect("we stored a number");
        let next = (count + 1).to_string();
        match cache.compare_and_swap(b"visitors", next.as_bytes(), item.cas(), Ttl::NEVER) {
            Ok(StoreOutcome::Stored(_)) => return,
            Ok(_) => continue, // somebody else was faster
            Err(error) => panic!("{error}"),
        }
    }
}
