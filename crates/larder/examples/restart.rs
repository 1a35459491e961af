//! A program that starts again with a warm cache: saved when it ends, restored when it begins.
#![expect(
    clippy::disallowed_types,
    reason = "files are the program's, not the engine's"
)]

use std::fs::{self, File};
use std::io::ErrorKind;

use larder::{Cache, Ttl};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("larder-example-{}", std::process::id()));
    for run in 0..2 {
        let cache = Cache::with_limit((16 << 20) * (run + 1))?; // the limit may differ
        match File::open(&path) {
            Ok(mut file) => {
                fs::remove_file(&path)?; // what is restored must not be restored again later
                match cache.restore(&mut file) {
                    Ok(restored) => println!("{} items are back", restored.restored_count),
                    Err(error) => println!("a part of the cache is back: {error}"),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => println!("a cold start"),
            Err(error) => return Err(error.into()),
        }
        if run == 1 {
            assert_eq!(cache.get(b"key").as_deref(), Some(&b"value"[..]));
        }
        cache.set(b"key", b"value", Ttl::seconds(3600))?;
        // Under another name until it is whole: a crash leaves nothing that could be mistaken.
        let unfinished = path.with_extension("tmp");
        cache.save_draining(&mut File::create(&unfinished)?)?;
        fs::rename(&unfinished, &path)?;
    }
    Ok(fs::remove_file(&path)?)
}
