//! A large value on its way to a slow client: no copy is made, and nothing waits for it.

use std::io::Write;
use std::sync::mpsc::channel;
use std::thread;

use larder::{Cache, Error, PinnedGuard, Ttl};

fn main() -> Result<(), Error> {
    let cache = Cache::with_limit(64 << 20)?;
    cache.set(b"film", &[b'f'; 1 << 20], Ttl::seconds(3600))?;

    let (queue, sender) = channel::<PinnedGuard>();
    let sender = thread::Builder::new().spawn(move || {
        let mut client = Vec::new(); // in the place of a socket
        for film in sender {
            client.write_all(&film).expect("memory takes it all");
        }
        client.len()
    });
    let sender = sender.expect("a thread");
    for _ in 0..3 {
        let film = cache.get_pinned(b"film").expect("it was stored");
        assert!(
            film.is_pinned(),
            "beyond `pinned_bytes_max` it would be a copy"
        );
        queue.send(film).expect("the other thread listens");
    }
    // It is replaced meanwhile: what is on its way stays as it was.
    cache.set(b"film", b"another", Ttl::seconds(3600))?;
    drop(queue);
    assert_eq!(sender.join().expect("it does not panic"), 3 << 20);
    assert_eq!(cache.stats().pinned_bytes, 0);
    Ok(())
}
