//! What operators and exporters see: statistics, dumps, log streams, the memory limit, ending.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use larder::Ttl;
use larder_server::{Config, Server, Session, Shutdown};

use crate::exchange::Exchange;
use crate::sockets::{connect, exchange, start, stat, wait_for};

/// The lines that answer `request`, up to END.
pub(crate) fn lines(stream: &mut TcpStream, request: &str) -> Vec<String> {
    stream.write_all(request.as_bytes()).unwrap();
    let mut all = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if line == "END" {
            break;
        }
        all.push(line);
    }
    all
}

pub(crate) fn stats(stream: &mut TcpStream, topic: &str) -> Vec<(String, String)> {
    let lines = lines(stream, &format!("stats {topic}\r\n"));
    let each = lines.iter().map(|line| {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        assert_eq!(words[0], "STAT", "{line}");
        (words[1].to_owned(), words[2].to_owned())
    });
    each.collect()
}

pub(crate) fn start_and_fill(change: impl FnOnce(&mut Config)) -> (Arc<larder::Cache>, Server) {
    let (cache, server) = start(change);
    let mut client = connect(&server);
    for _ in 0..3 {
        exchange(
            &mut client,
            b"set a 0 0 1\r\n1\r\nget a b\r\nincr a 1\r\ntouch a 0\r\ndelete b\r\ncas a 0 0 1 9\r\nx\r\n",
            b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n2\r\nTOUCHED\r\nNOT_FOUND\r\nEXISTS\r\n",
        );
    }
    (cache, server)
}

/// What memcached_exporter asks for before it calls a server up, and the numbers it must parse.
#[test]
fn the_conditions_of_exporters_hold() {
    let (_, server) = start_and_fill(|_| ());
    let mut client = connect(&server);
    let general: BTreeMap<_, _> = stats(&mut client, "").into_iter().collect();
    for name in [
        "cmd_set",
        "cas_misses",
        "cas_hits",
        "cas_badval",
        "uptime",
        "bytes",
    ] {
        assert!(general[name].parse::<u64>().is_ok(), "{name}");
    }
    for name in ["rusage_user", "rusage_system"] {
        let (seconds, micros) = general[name].split_once('.').unwrap();
        assert!(seconds.parse::<u64>().is_ok() && micros.parse::<u64>().is_ok());
        assert_eq!(micros.len(), 6);
    }
    let slabs: BTreeMap<_, _> = stats(&mut client, "slabs").into_iter().collect();
    // Every class that has a row has these.
    for (row, _) in slabs.iter().filter(|(row, _)| row.ends_with(":chunk_size")) {
        let class = row.strip_suffix(":chunk_size").unwrap();
        for name in [
            "cmd_set",
            "cas_hits",
            "cas_badval",
            "get_hits",
            "used_chunks",
        ] {
            let value = &slabs[&format!("{class}:{name}")];
            assert!(value.parse::<u64>().is_ok(), "{class}:{name}");
        }
    }
    let (chunk_bytes, a_page): (u64, u64) = (
        slabs["1:chunk_size"].parse().unwrap(),
        slabs["1:chunks_per_page"].parse().unwrap(),
    );
    assert!(chunk_bytes * a_page <= 1 << 20);
    assert_eq!(slabs["active_slabs"], "1");
    let items: BTreeMap<_, _> = stats(&mut client, "items").into_iter().collect();
    assert_eq!(items["items:1:number"], "1");
    let settings: BTreeMap<_, _> = stats(&mut client, "settings").into_iter().collect();
    assert_eq!(settings["lru_crawler"], "yes");
    for name in [
        "hot_lru_pct",
        "lru_crawler_sleep",
        "maxconns",
        "item_size_max",
    ] {
        assert!(settings[name].parse::<u64>().is_ok(), "{name}");
    }
}

#[test]
fn a_reset_begins_counters_again_and_leaves_gauges() {
    let (_, server) = start_and_fill(|_| ());
    let mut client = connect(&server);
    assert_eq!(stat(&mut client, "cmd_set"), 6);
    exchange(&mut client, b"stats reset\r\n", b"RESET\r\n");
    for name in [
        "cmd_set",
        "cmd_get",
        "total_items",
        "cas_badval",
        "total_connections",
    ] {
        assert_eq!(stat(&mut client, name), 0, "{name}");
    }
    assert_eq!(stat(&mut client, "curr_items"), 1);
    exchange(&mut client, b"set b 0 0 1\r\n1\r\n", b"STORED\r\n");
    assert_eq!(stat(&mut client, "cmd_set"), 1);
    assert_eq!(stat(&mut client, "total_items"), 1);
}

#[test]
fn settings_show_what_was_changed() {
    let (_, server) = start(|config| config.verbosity = 1);
    let mut client = connect(&server);
    exchange(
        &mut client,
        b"slabs automove 2\r\nlru tune 10 25 0.1 3\r\nverbosity 9\r\ncache_memlimit 32\r\n",
        b"OK\r\nOK\r\nOK\r\nOK\r\n",
    );
    let settings: BTreeMap<_, _> = stats(&mut client, "settings").into_iter().collect();
    for (name, value) in [
        ("slab_automove", "2"),
        ("hot_lru_pct", "10"),
        ("warm_max_factor", "3.00"),
        ("verbosity", "2"),
        ("maxbytes", "33554432"),
        ("inter", "127.0.0.1"),
        ("binding_protocol", "auto-negotiate"),
        ("growth_factor", "1.25"),
        ("num_threads", "2"),
    ] {
        assert_eq!(settings[name], value, "{name}");
    }
}

#[test]
fn the_memory_limit_moves_both_ways() {
    let (cache, server) = start(|_| ());
    let mut client = connect(&server);
    for number in 0..50_000 {
        cache
            .set(format!("{number}").as_bytes(), &[0; 1000], Ttl::NEVER)
            .unwrap();
    }
    let before = stat(&mut client, "curr_items");
    exchange(&mut client, b"cache_memlimit 16\r\n", b"OK\r\n");
    assert_eq!(stat(&mut client, "limit_maxbytes"), 16 << 20);
    let ours: BTreeMap<_, _> = stats(&mut client, "larder").into_iter().collect();
    assert!(ours["larder_used_bytes"].parse::<usize>().unwrap() <= 16 << 20);
    assert!(stat(&mut client, "curr_items") < before);
    exchange(&mut client, b"cache_memlimit 128\r\n", b"OK\r\n");
    assert_eq!(stat(&mut client, "limit_maxbytes"), 128 << 20);
}

#[test]
fn a_dump_of_many_items_leaves_others_their_turns() {
    const ITEMS: usize = 200_000;
    let (cache, server) = start(|config| config.threads = 1);
    for number in 0..ITEMS {
        cache
            .set(format!("key {number}").as_bytes(), b"", Ttl::NEVER)
            .unwrap();
    }
    // It does not read, so that the dump is still under way when the other one asks.
    let mut dumping = connect(&server);
    dumping
        .write_all(b"lru_crawler metadump all\r\nversion\r\n")
        .unwrap();
    let mut other = connect(&server);
    assert_eq!(stat(&mut other, "lru_crawler_running"), 1);
    for _ in 0..100 {
        exchange(&mut other, b"get absent\r\n", b"END\r\n");
    }
    let mut reader = BufReader::new(dumping).lines();
    assert_eq!(reader.next().unwrap().unwrap(), "OK");
    let mut keys = 0;
    for line in reader.by_ref() {
        let line = line.unwrap();
        if line == "END" {
            break;
        }
        assert!(line.starts_with("key=key%20"), "{line}");
        keys += 1;
    }
    assert_eq!(keys, ITEMS);
    assert_eq!(reader.next().unwrap().unwrap(), "VERSION 1.6.45");
    assert_eq!(stat(&mut other, "lru_crawler_running"), 0);
    // Dropped in the middle, it ends as well.
    let mut dropped = connect(&server);
    dropped.write_all(b"lru_crawler mgdump all\r\n").unwrap();
    dropped.read_exact(&mut [0; 100]).unwrap();
    drop(dropped);
    wait_for(&mut other, "lru_crawler_running", |now| now == 0);
}

#[test]
fn sizes_are_counted_if_asked_for() {
    let (cache, server) = start(|config| config.tracks_sizes = true);
    for (key, value_bytes) in [("a", 3), ("b", 4), ("c", 5), ("d", 100)] {
        cache
            .set(key.as_bytes(), &vec![0; value_bytes], Ttl::NEVER)
            .unwrap();
    }
    let mut client = connect(&server);
    let sizes = stats(&mut client, "sizes");
    let pairs: Vec<_> = sizes
        .iter()
        .map(|(s, c)| (s.as_str(), c.as_str()))
        .collect();
    assert_eq!(pairs, [("64", "2"), ("96", "1"), ("160", "1")]);
}

#[test]
fn evictions_are_described() {
    let (cache, server) = start(|_| ());
    for number in 0..100_000 {
        let ttl = Ttl::seconds(1000 * (number % 2));
        let ttl = if number % 2 == 0 { Ttl::NEVER } else { ttl };
        cache
            .set(format!("{number}").as_bytes(), &[0; 1000], ttl)
            .unwrap();
    }
    let mut client = connect(&server);
    let items: BTreeMap<_, _> = stats(&mut client, "items").into_iter().collect();
    let number = |name: &str| {
        let of_all = items.iter().filter(|(key, _)| key.ends_with(name));
        of_all
            .map(|(_, value)| value.parse::<u64>().unwrap())
            .collect::<Vec<_>>()
    };
    let sum = |name: &str| number(name).iter().sum::<u64>();
    let (evicted, mortal) = (sum(":evicted"), sum(":evicted_nonzero"));
    assert!(evicted > 10_000);
    assert_eq!(evicted, stat(&mut client, "evictions"));
    assert!(
        (evicted / 3..evicted / 3 * 2).contains(&mortal),
        "{mortal} of {evicted}"
    );
    for seconds in [number(":evicted_time"), number(":age")].concat() {
        assert!(seconds < 60);
    }
}

#[test]
fn connections_are_listed() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    let address = client.local_addr().unwrap();
    let conns = stats(&mut client, "conns");
    let has = |name: &str, value: &str| {
        let found = conns.iter().any(|(n, v)| n.ends_with(name) && v == value);
        assert!(found, "{name} {value} in {conns:?}");
    };
    has(":addr", &format!("tcp:{}", server.addresses()[0]));
    has(":state", "conn_listening");
    has(":addr", &format!("tcp:{address}"));
    has(":listen_addr", &format!("tcp:{}", server.addresses()[0]));
    has(":state", "conn_parse_cmd");
}

#[test]
fn idle_connections_are_closed_if_so_configured() {
    let (_, server) = start(|config| config.idle_timeout = Duration::from_millis(300));
    let mut busy = connect(&server);
    let mut unfinished = connect(&server);
    unfinished.write_all(b"set k 0 0 5\r\nva").unwrap();
    let mut idle = connect(&server);
    exchange(&mut idle, b"version\r\n", b"VERSION 1.6.45\r\n");
    let ends = Instant::now() + Duration::from_secs(2);
    while Instant::now() < ends {
        exchange(&mut busy, b"version\r\n", b"VERSION 1.6.45\r\n");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0, "closed");
    exchange(&mut unfinished, b"lue\r\n", b"STORED\r\n");
    assert_eq!(stat(&mut busy, "idle_kicks"), 1);
}

#[test]
fn what_is_forbidden_is_refused() {
    let (_, server) = start(|config| {
        config.allows_flush = false;
        config.allows_dump = false;
        config.allows_watch = false;
        config.cas = false;
    });
    let mut client = connect(&server);
    exchange(
        &mut client,
        b"flush_all x\r\nwatch\r\nstats detail on\r\nstats cachedump\r\nlru_crawler metadump all\r\n\
          lru_crawler mgdump all\r\n",
        b"CLIENT_ERROR flush_all not allowed\r\nCLIENT_ERROR watch commands not allowed\r\n\
          CLIENT_ERROR stats detail not allowed\r\nCLIENT_ERROR stats cachedump not allowed\r\n\
          ERROR metadump not allowed\r\nERROR key dump not allowed\r\n",
    );
    // Without cas uniques they read 0, and none matches.
    exchange(
        &mut client,
        b"set k 0 0 1\r\nx\r\ngets k\r\ncas k 0 0 1 0\r\ny\r\ncas absent 0 0 1 0\r\ny\r\n",
        b"STORED\r\nVALUE k 0 1 0\r\nx\r\nEND\r\nEXISTS\r\nNOT_FOUND\r\n",
    );
}

#[test]
fn a_cache_that_evicts_nothing_refuses_when_it_is_full() {
    let (_, server) = start(|config| config.evicts = false);
    let mut client = connect(&server);
    let value = "v".repeat(500_000);
    let mut stored = 0;
    loop {
        write!(client, "set k{stored} 0 0 500000\r\n{value}\r\n").unwrap();
        let mut answer = [0; 8];
        client.read_exact(&mut answer).unwrap();
        if &answer != b"STORED\r\n" {
            break;
        }
        stored += 1;
    }
    exchange(&mut client, b"", b"RROR out of memory storing object\r\n");
    assert!(stored > 100, "{stored} values of half a MB in 64 MiB");
    assert_eq!(stat(&mut client, "evictions"), 0);
    assert_eq!(stat(&mut client, "curr_items"), stored);
}

/// Counters in a cache that is full and evicts nothing: what needs another chunk is refused, the old value
/// stays, and each command has its own words for it.
#[test]
fn counters_that_find_no_memory_say_so() {
    let mut client = Exchange::with(|config| config.evicts = false);
    client.send(b"set n 0 0 1\r\n9\r\nset long 0 0 1\r\n9\r\n");
    client.answer();
    let sizes = [500_000, 50_000, 5000, 500, 100, 20, 1];
    for (step, bytes) in sizes.into_iter().enumerate() {
        for number in 0.. {
            let value = "v".repeat(bytes);
            client.send(format!("set {step}-{number} 0 0 {bytes}\r\n{value}\r\n").as_bytes());
            if client.answer().0 != b"STORED\r\n" {
                break;
            }
        }
    }
    let key = "k".repeat(200);
    for (request, reply) in [
        (
            "incr n 18446744073709551606\r\n",
            "SERVER_ERROR out of memory\r\n",
        ),
        (
            "ma n D18446744073709551606\r\n",
            "SERVER_ERROR out of memory\r\n",
        ),
        ("get n\r\n", "VALUE n 0 1\r\n9\r\nEND\r\n"),
        (
            &format!("ma {key} N0\r\n"),
            "SERVER_ERROR Out of memory allocating new item\r\n",
        ),
        (
            &format!("set {key} 0 0 1\r\n1\r\n"),
            "SERVER_ERROR out of memory storing object\r\n",
        ),
        (
            &format!("ms {key} 1\r\n1\r\n"),
            "SERVER_ERROR out of memory storing object\r\n",
        ),
        (&format!("append n 0 0 200\r\n{key}\r\n"), "NOT_STORED\r\n"),
        (&format!("mg {key} N0\r\n"), "EN\r\n"),
    ] {
        client.send(request.as_bytes());
        let answer = client.answer().0;
        assert_eq!(String::from_utf8(answer).unwrap(), reply, "{request}");
    }
}

#[test]
fn the_page_mover_can_be_switched_off() {
    let mut client = Exchange::with(|config| config.knobs.slab_reassign = false);
    client.send(b"slabs reassign 1 2\r\nslabs reassign 1 2 noreply\r\nslabs reassign x 2\r\n");
    let refused = "CLIENT_ERROR slab reassignment disabled\r\n".repeat(2);
    assert_eq!(String::from_utf8(client.answer().0).unwrap(), refused);
}

#[test]
fn shutdown_asks_whoever_runs_the_server() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let (_, server) = start(|config| {
        config.on_shutdown = Some(|how| {
            let weight = if how == Shutdown::Graceful { 10 } else { 1 };
            ASKED.fetch_add(weight, Ordering::Relaxed);
        });
    });
    for (request, reply) in [
        (
            "shutdown now\r\nversion\r\n",
            "CLIENT_ERROR invalid shutdown mode\r\nVERSION 1.6.45\r\n",
        ),
        ("version\r\nshutdown\r\nversion\r\n", "VERSION 1.6.45\r\n"),
        ("shutdown graceful\r\n", ""),
    ] {
        let mut client = connect(&server);
        client.write_all(request.as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, reply);
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 11);
}

#[test]
fn the_clock_moves_only_where_that_is_allowed() {
    let mut closed = Exchange::new();
    closed.send(b"debugtime p\r\ndebugtime 5\r\n");
    assert_eq!(closed.answer().0, b"ERROR\r\nERROR\r\n");
    let mut config = Config::default();
    config.test_clock = Some(larder::ShiftedClock::system());
    let cache = larder_server::cache_builder(8 << 20, &config).build();
    let mut session = Session::new(Arc::new(cache.unwrap()), config);
    let mut output = Vec::new();
    let mut said = |request: &[u8]| {
        output.clear();
        session.receive(request, &mut output);
        String::from_utf8(output.clone()).unwrap()
    };
    for (request, reply) in [
        (&b"debugtime\r\n"[..], "ERROR\r\n"),
        (b"debugtime x\r\n", "ERROR\r\n"),
        (b"debugtime p\r\n", "OK\r\n"),
        (b"set k 0 10 1\r\nv\r\n", "STORED\r\n"),
        (b"debugtime 9\r\n", "OK\r\n"),
        (b"mg k t\r\n", "HD t1\r\n"),
        (b"debugtime -5\r\n", "OK\r\n"),
        (b"mg k t\r\n", "HD t6\r\n"),
        (b"debugtime 6\r\n", "OK\r\n"),
        (b"mg k t\r\n", "EN\r\n"),
        (b"debugtime r\r\n", "OK\r\n"),
    ] {
        assert_eq!(said(request), reply, "{}", request.escape_ascii());
    }
}
