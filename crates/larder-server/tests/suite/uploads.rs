//! Large values, which go into the cache's memory as they come.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::{Cache, Ttl};
use larder_server::{Config, Session};

use crate::sockets::{connect, exchange, serve_over};

const MIB: usize = 1 << 20;
const VALUE_BYTES: usize = 3 * MIB + 17;

/// Takes large values, and may gather next to nothing.
fn config() -> Config {
    let mut config = Config::default();
    config.item_bytes_max = 32 * MIB;
    config.buffer_bytes_max = MIB;
    config.threads = 1;
    config
}

fn cache(config: &Config) -> Arc<Cache> {
    let builder = larder_server::cache_builder(64 * MIB, config);
    Arc::new(builder.build().unwrap())
}

fn value(bytes: usize) -> Vec<u8> {
    (0..251).cycle().take(bytes).collect()
}

/// What is answered to `request`, cut into pieces of these lengths, the last one again and again.
fn answer(session: &mut Session, request: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut output = Vec::new();
    let (mut rest, mut number) = (request, 0);
    while !rest.is_empty() {
        let bytes = pieces[number.min(pieces.len() - 1)].min(rest.len());
        session.receive(&rest[..bytes], &mut output);
        (rest, number) = (&rest[bytes..], number + 1);
    }
    output
}

/// Waits until it holds; a bound on hanging, not on speed.
fn eventually(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never holds");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_value_arrives_whole_however_it_was_cut() {
    let config = config();
    let cache = cache(&config);
    let mut session = Session::new(Arc::clone(&cache), config);
    let value = value(VALUE_BYTES);
    let line = format!("set k 7 0 {VALUE_BYTES}\r\n");
    let request = [line.as_bytes(), &value, b"\r\n", b"mn\r\n"].concat();
    let whole = line.len() + VALUE_BYTES;
    for pieces in [
        &[request.len()][..],
        &[65_536],
        &[4096],
        &[whole, 1],
        &[whole - 1, 1],
        &[whole + 1, 1],
        &[line.len(), 200_000, 1, 1_000_000],
    ] {
        cache.remove(b"k");
        let answered = answer(&mut session, &request, pieces);
        assert_eq!(answered, b"STORED\r\nMN\r\n", "{pieces:?}");
        let stored = cache.get(b"k").unwrap();
        assert!(
            stored.flags() == 7 && &*stored == value.as_slice(),
            "{pieces:?}"
        );
    }
    cache.validate();
}

#[test]
fn every_storage_command_answers_as_for_small_values() {
    let config = config();
    let cache = cache(&config);
    let mut session = Session::new(Arc::clone(&cache), config);
    let value = value(VALUE_BYTES);
    let mut ask = |line: &str, end: &[u8]| {
        let request = [line.as_bytes(), b"\r\n", &value, end].concat();
        let answered = answer(&mut session, &request, &[65_536]);
        String::from_utf8(answered).unwrap()
    };
    let n = VALUE_BYTES;
    assert_eq!(ask(&format!("add k 0 0 {n}"), b"\r\n"), "STORED\r\n");
    assert_eq!(ask(&format!("add k 0 0 {n}"), b"\r\n"), "NOT_STORED\r\n");
    assert_eq!(ask(&format!("set k 0 0 {n} noreply"), b"\r\n"), "");
    assert_eq!(
        ask(&format!("ms k {n} T60 F5 s"), b"\r\n"),
        format!("HD s{n}\r\n")
    );
    assert_eq!(cache.get(b"k").unwrap().flags(), 5);
    assert_eq!(ask(&format!("ms k {n} ME"), b"\r\n"), "NS\r\n");
    let bad = "CLIENT_ERROR bad data chunk\r\n";
    assert_eq!(ask(&format!("set k 0 0 {n}"), b"xx"), bad);
    assert_eq!(
        ask(&format!("set k 0 0 {n} noreply"), b"xxmn\r\n"),
        "MN\r\n"
    );
    assert_eq!(&*cache.get(b"k").unwrap(), value.as_slice());
    cache.validate();
}

#[test]
fn a_value_larger_than_all_buffers_is_stored_and_read() {
    let config = config();
    let cache = cache(&config);
    let server = serve_over(&cache, config);
    let value = value(30 * MIB);
    let mut client = connect(&server);
    write!(client, "set k 0 0 {}\r\n", value.len()).unwrap();
    client.write_all(&value).unwrap();
    exchange(&mut client, b"\r\n", b"STORED\r\n");
    let reply = [
        format!("VALUE k 0 {}\r\n", value.len()).as_bytes(),
        &value,
        b"\r\nEND\r\n",
    ]
    .concat();
    exchange(&mut client, b"get k\r\n", &reply);
}

#[test]
fn announcing_evicts_nothing_and_who_goes_leaves_nothing() {
    let config = config();
    let cache = cache(&config);
    for key in 0..1000_u32 {
        cache
            .set(&key.to_le_bytes(), &[0; 1000], Ttl::NEVER)
            .unwrap();
    }
    let used_bytes = cache.stats().used_bytes;
    let server = serve_over(&cache, config);
    let announced: Vec<_> = (0..20)
        .map(|number| {
            let mut client = connect(&server);
            write!(client, "set k{number} 0 0 {}\r\nonly this", 30 * MIB).unwrap();
            client
        })
        .collect();
    let mut other = connect(&server);
    exchange(&mut other, b"mn\r\n", b"MN\r\n");
    assert_eq!(cache.stats().used_bytes, used_bytes);
    // Two that have begun in earnest: one at a time may have half of the memory.
    let begun: Vec<_> = (0..2)
        .map(|number| {
            let mut client = connect(&server);
            write!(client, "set b{number} 0 0 {}\r\n", 30 * MIB).unwrap();
            client.write_all(&vec![0; MIB / 2 * 3]).unwrap();
            client
        })
        .collect();
    eventually(|| cache.stats().used_bytes >= used_bytes + 30 * MIB);
    exchange(&mut other, b"mn\r\n", b"MN\r\n");
    assert!(cache.stats().used_bytes < used_bytes + 32 * MIB);
    assert_eq!(cache.stats().item_count, 1000);
    drop((announced, begun));
    eventually(|| cache.stats().used_bytes <= used_bytes);
    cache.validate();
}
