//! Long values in replies: sent from the cache's memory, whole, whoever is slow and whatever becomes of the item.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use larder::{Cache, Ttl};

use crate::sockets::{connect, exchange, start};

const LENGTHS: [usize; 3] = [64 << 10, 100_000, 1_000_000];
const KEYS: [&str; 3] = ["sixty-four", "hundred", "million"];

fn value(seed: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| b"larder"[(at / 7 + seed) % 6])
        .collect()
}

fn fill(cache: &Cache, seed: usize) {
    for (key, length) in KEYS.iter().zip(LENGTHS) {
        let value = value(seed, length);
        cache.set(key.as_bytes(), &value, Ttl::NEVER).unwrap();
    }
    cache.set(b"short", b"value", Ttl::NEVER).unwrap();
}

/// Reads a reply of so many bytes.
fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut reply = vec![0; bytes];
    stream.read_exact(&mut reply).unwrap();
    reply
}

/// What `get` says of the values of this seed.
fn shown(seed: usize, head: impl Fn(&str, usize) -> String) -> Vec<u8> {
    let mut reply = Vec::new();
    for (key, length) in KEYS.iter().zip(LENGTHS) {
        reply.extend_from_slice(head(key, length).as_bytes());
        reply.extend_from_slice(&value(seed, length));
        reply.extend_from_slice(b"\r\n");
    }
    reply
}

fn classic(key: &str, length: usize) -> String {
    format!("VALUE {key} 0 {length}\r\n")
}

fn wait_until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(Instant::now() < deadline, "it never comes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_kind_of_get_shows_them_between_short_ones() {
    let (cache, server) = start(|_| {});
    fill(&cache, 1);
    let mut client = connect(&server);
    let keys = KEYS.join(" ");
    let all = shown(1, classic);
    let expected = [&all, &b"VALUE short 0 5\r\nvalue\r\nEND\r\n"[..]].concat();
    for command in ["get", "gat 0"] {
        let request = format!("{command} {keys} short\r\n");
        exchange(&mut client, request.as_bytes(), &expected);
    }
    // One after the other, and with what is no get between them.
    let mut request = Vec::new();
    let mut expected = Vec::new();
    for round in 0..20 {
        let key = KEYS[round % 3];
        request
            .extend_from_slice(format!("get {key}\r\nmn\r\nmg {key} s v\r\nget no\r\n").as_bytes());
        let (length, value) = (LENGTHS[round % 3], value(1, LENGTHS[round % 3]));
        expected.extend_from_slice(classic(key, length).as_bytes());
        expected.extend_from_slice(&value);
        expected
            .extend_from_slice(format!("\r\nEND\r\nMN\r\nVA {length} s{length}\r\n").as_bytes());
        expected.extend_from_slice(&value);
        expected.extend_from_slice(b"\r\nEND\r\n");
    }
    let mut sender = client.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| sender.write_all(&request).unwrap());
        assert!(read(&mut client, expected.len()) == expected);
    });
    // The client may have it all before the server lets go.
    wait_until(|| cache.stats().pinned_bytes == 0);
}

#[test]
fn a_stale_long_value_is_shown_once_and_won_once() {
    let (cache, server) = start(|_| {});
    fill(&cache, 1);
    let mut client = connect(&server);
    exchange(&mut client, b"md sixty-four I T60\r\n", b"HD\r\n");
    let value = value(1, LENGTHS[0]);
    for marks in ["X W", "Z X"] {
        let head = format!("VA {} {marks}\r\n", value.len());
        let expected = [head.as_bytes(), &value, b"\r\n"].concat();
        exchange(&mut client, b"mg sixty-four v\r\n", &expected);
    }
}

#[test]
fn who_is_slow_gets_what_stood_there_when_it_asked() {
    let (cache, server) = start(|_| {});
    fill(&cache, 1);
    let mut slow = connect(&server);
    let rounds = 40;
    let request = format!("get {}\r\n", KEYS.join(" ")).repeat(rounds);
    slow.write_all(request.as_bytes()).unwrap();
    // Its socket is full, and what it is owed is the items themselves.
    wait_until(|| cache.stats().pinned_bytes > 0);
    let first = shown(1, classic);
    assert!(read(&mut slow, first.len()) == first);
    wait_until(|| cache.stats().pinned_bytes > 0);
    fill(&cache, 2);
    fill(&cache, 3);
    cache.validate();
    // Each value is of one time or another, and whole; a later one under its key is no older.
    let mut seeds = [1; KEYS.len()];
    assert_eq!(read(&mut slow, 5), b"END\r\n");
    for _ in 1..rounds {
        for ((key, length), seed) in KEYS.iter().zip(LENGTHS).zip(&mut seeds) {
            let head = classic(key, length);
            assert_eq!(read(&mut slow, head.len()), head.as_bytes());
            let got = read(&mut slow, length);
            while got != value(*seed, length) {
                *seed += 1;
                assert!(*seed <= 3, "no value that ever stood there");
            }
            assert_eq!(read(&mut slow, 2), b"\r\n");
        }
        assert_eq!(read(&mut slow, 5), b"END\r\n");
    }
    wait_until(|| cache.stats().pinned_bytes == 0);
    cache.validate();
}

#[test]
fn many_who_never_read_hold_one_value_and_lose_nothing_of_the_limit_when_they_go() {
    let (cache, server) = start(|config| config.threads = 1);
    fill(&cache, 1);
    let clients: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut client = connect(&server);
            client.write_all(&b"get million\r\n".repeat(20)).unwrap();
            client
        })
        .collect();
    let mut other = connect(&server);
    wait_until(|| cache.stats().pinned_bytes > 0);
    exchange(
        &mut other,
        b"get short\r\n",
        b"VALUE short 0 5\r\nvalue\r\nEND\r\n",
    );
    let pinned = cache.stats().pinned_bytes;
    assert!(pinned <= LENGTHS[2] + (128 << 10), "{pinned}");
    drop(clients);
    wait_until(|| cache.stats().pinned_bytes == 0);
    exchange(
        &mut other,
        b"get short\r\n",
        b"VALUE short 0 5\r\nvalue\r\nEND\r\n",
    );
    cache.validate();
}
