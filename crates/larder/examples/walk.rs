//! Looking at every item in steps: others use the cache between two of them.

use larder::{Cache, Cursor, Error, Ttl};

fn main() -> Result<(), Error> {
    let cache = Cache::with_limit(16 << 20)?;
    for number in 0..5000_u32 {
        let key = format!("tenant-{}/{number}", number % 3);
        cache.set(key.as_bytes(), &[0; 100], Ttl::NEVER)?;
    }
    let mut bytes = [0; 3];
    let mut cursor = Cursor::default(); // may be kept, and gone on with later
    loop {
        let more = cache.walk(&mut cursor, 100, |item| {
            let tenant = usize::from(item.key()["tenant-".len()] - b'0');
            bytes[tenant] += item.key().len() + item.value().len();
        });
        if !more {
            break;
        }
    }
    println!("bytes by tenant: {bytes:?}");
    assert!(bytes.iter().all(|&bytes| bytes > 150_000));
    Ok(())
}
