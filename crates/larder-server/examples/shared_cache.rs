//! A service embeds a cache and exposes the same one to every memcached client.
//!
//! `cargo run --example shared_cache` shows both sides and ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use larder::{Cache, Ttl};
use larder_server::{Config, serve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Arc::new(Cache::with_limit(64 << 20)?);

    let mut config = Config::default();
    config.port = 0; // any free one
    let server = serve(Arc::clone(&cache), config)?;

    // In the service: a call, no socket.
    cache.set(b"visitors", b"41", Ttl::seconds(60))?;

    // From anywhere: a memcached client.
    let mut client = TcpStream::connect(server.addresses()[0])?;
    client.write_all(b"incr visitors 1\r\nquit\r\n")?;
    let mut reply = String::new();
    client.read_to_string(&mut reply)?;
    assert_eq!(reply, "42\r\n");

    // Both see one value, under one token.
    assert_eq!(cache.get(b"visitors").as_deref(), Some(&b"42"[..]));
    println!("incremented from outside, read inside: 42");
    server.stop();
    Ok(())
}
