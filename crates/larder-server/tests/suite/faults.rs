//! Hostile and broken clients: bounded memory, a clear error or a close, others unharmed.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use larder_server::{Config, Next, Server, Session};

use crate::binary::Process;
use crate::packet::Packet;
use crate::sockets::{connect, exchange, start, stat, wait_for};

/// What one bad client may cost here: the bound on a line of keys, with room for its growth.
const ONE_CLIENT_BYTES: usize = 40 << 20;

#[test]
fn a_line_without_end_is_cut_off() {
    let server = Process::start();
    let before = server.resident_bytes();
    for (start, reply) in [
        (
            "get ",
            "CLIENT_ERROR line of keys longer than 8388608 bytes\r\n",
        ),
        ("set ", ""),
        ("x", ""),
    ] {
        let mut hostile = server.connect();
        hostile.write_all(start.as_bytes()).unwrap();
        let chunk = vec![b'y'; 1 << 20];
        // 100 MB, or as much as the server lets in before it closes.
        let closed = (0..100).any(|_| hostile.write_all(&chunk).is_err());
        assert!(closed, "{start}: the server goes on reading");
        let mut answer = String::new();
        match hostile.read_to_string(&mut answer) {
            Ok(_) => assert_eq!(answer, reply),
            // Closing with bytes unread resets: the word may be lost on the way.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert!(server.resident_bytes() < before + ONE_CLIENT_BYTES);
        exchange(&mut server.connect(), b"version\r\n", b"VERSION 1.6.45\r\n");
    }
}

#[test]
fn a_value_that_never_comes_costs_nothing() {
    let server = Process::start();
    let before = server.resident_bytes();
    let announced: Vec<_> = (0..500)
        .map(|number| {
            let mut client = server.connect();
            write!(client, "set k{number} 0 0 1000000\r\nonly this").unwrap();
            client
        })
        .collect();
    let mut other = server.connect();
    exchange(&mut other, b"set k 0 0 1\r\nx\r\n", b"STORED\r\n");
    assert!(server.resident_bytes() < before + ONE_CLIENT_BYTES);
    drop(announced);
    exchange(&mut other, b"get k0 k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n");
}

#[test]
fn a_client_that_never_reads_is_held_back_and_loses_nothing() {
    let server = Process::start();
    let mut other = server.connect();
    let value = vec![b'v'; 500_000];
    let request = [&b"set big 0 0 500000\r\n"[..], &value, b"\r\n"].concat();
    exchange(&mut other, &request, b"STORED\r\n");
    let before = server.resident_bytes();
    // Ten times as much asked for, on one line and on many, as the test would let the server hold.
    let rounds = 400;
    let mut greedy = server.connect();
    let line = format!("get{}\r\n", " big".repeat(rounds));
    greedy.write_all(line.as_bytes()).unwrap();
    greedy
        .write_all("get big\r\n".repeat(rounds).as_bytes())
        .unwrap();
    for _ in 0..200 {
        exchange(&mut other, b"touch big 0\r\n", b"TOUCHED\r\n");
    }
    assert!(server.resident_bytes() < before + ONE_CLIENT_BYTES);
    // Now it reads, and everything is there.
    let item = [&b"VALUE big 0 500000\r\n"[..], &value, b"\r\n"].concat();
    let mut answer = vec![0; item.len()];
    let mut end = [0; 5];
    for _ in 0..rounds {
        greedy.read_exact(&mut answer).unwrap();
        assert!(answer == item);
    }
    greedy.read_exact(&mut end).unwrap();
    for _ in 0..rounds {
        greedy.read_exact(&mut answer).unwrap();
        assert!(answer == item);
        greedy.read_exact(&mut end).unwrap();
        assert_eq!(&end, b"END\r\n");
    }
}

#[test]
fn a_connection_dropped_at_any_byte_harms_nobody() {
    let (cache, server) = start(|_| ());
    let request = b"set key 0 0 5\r\nvalue\r\nget key\r\nincr key 1\r\n";
    for end in 0..request.len() {
        connect(&server).write_all(&request[..end]).unwrap();
    }
    let mut client = connect(&server);
    exchange(&mut client, b"version\r\n", b"VERSION 1.6.45\r\n");
    cache.validate();
    wait_for(&mut client, "curr_connections", |now| now <= 1);
}

#[test]
fn one_connection_too_many_is_told_so() {
    let (_, server) = start(|config| config.connections_max = 3);
    let mut clients: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for client in &mut clients {
        exchange(client, b"version\r\n", b"VERSION 1.6.45\r\n");
    }
    let mut answer = String::new();
    connect(&server).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "ERROR Too many open connections\r\n");
    assert_eq!(stat(&mut clients[0], "rejected_connections"), 1);
    // A place that becomes free can be taken.
    drop(clients.pop());
    loop {
        let mut client = connect(&server);
        client.write_all(b"version\r\nquit\r\n").unwrap();
        let mut answer = String::new();
        let read = client.read_to_string(&mut answer);
        if read.is_ok() && answer == "VERSION 1.6.45\r\n" {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn values_that_stop_half_way_are_held_within_a_bound() {
    let (_, server) = start(|config| config.buffer_bytes_max = 4 << 20);
    let mut other = connect(&server);
    exchange(&mut other, b"set k9 0 0 5\r\nstale\r\n", b"STORED\r\n");
    let half = vec![b'v'; 900_000];
    let mut clients: Vec<_> = (0..40)
        .map(|number| {
            let mut client = connect(&server);
            write!(client, "set k{number} 0 0 1000000\r\n").unwrap();
            client.write_all(&half).unwrap();
            client
        })
        .collect();
    // Each connection may exceed the bound by what one read brings, and a buffer by its growth.
    let held = stat(&mut other, "read_buf_bytes");
    assert!(held < 16 << 20, "{held} bytes are held");
    let mut stored = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&[b'v'; 100_000]).unwrap();
        client.write_all(b"\r\n").unwrap();
        let mut answer = [0; 8];
        client.read_exact(&mut answer).unwrap();
        if &answer == b"STORED\r\n" {
            stored += 1;
            continue;
        }
        let mut rest = vec![0; "SERVER_ERROR out of memory storing object\r\n".len() - 8];
        client.read_exact(&mut rest).unwrap();
        let answer = [&answer[..], &rest].concat();
        assert_eq!(answer, b"SERVER_ERROR out of memory storing object\r\n");
        // What a refused set would have replaced is gone, and the connection goes on.
        let get = format!("get k{number}\r\n");
        exchange(client, get.as_bytes(), b"END\r\n");
    }
    assert!((1..40).contains(&stored), "{stored} of 40 were stored");
    wait_for(&mut other, "read_buf_bytes", |now| now == 0);
}

#[test]
fn replies_that_nobody_takes_are_held_within_a_bound() {
    let (_, server) = start(|config| config.buffer_bytes_max = 1 << 20);
    let mut other = connect(&server);
    let value = vec![b'v'; 60_000];
    let request = [&b"set big 0 0 60000\r\n"[..], &value, b"\r\n"].concat();
    exchange(&mut other, &request, b"STORED\r\n");
    // The system takes as much of each, and of several sizes that leaves several parts of a reply.
    let mut greedy = ask_and_read_nothing(&server, &[50_000, 55_000, 60_000, 65_000], 200);
    // Some are given up; those that stay hold no more than the bound and one reply.
    wait_for(&mut other, "curr_connections", |now| now <= 40);
    for _ in 0..50 {
        let held = stat(&mut other, "read_buf_bytes");
        assert!(held < 3 << 20, "{held} bytes are held");
    }
    // Whoever reads is served, however much the others hold.
    let item = [&b"VALUE big 0 60000\r\n"[..], &value, b"\r\nEND\r\n"].concat();
    exchange(&mut other, b"get big\r\n", &item);
    // A byte now and then from all of them changes nothing.
    for client in &mut greedy {
        let _ = client.read(&mut [0]);
    }
    exchange(&mut other, b"get big\r\n", &item);
    drop(greedy);
    wait_for(&mut other, "read_buf_bytes", |now| now == 0);
}

/// Long values are the items themselves: as many who do not take them hold next to nothing, and none is given up.
#[test]
fn long_values_that_nobody_takes_are_not_held_twice() {
    let (cache, server) = start(|config| config.buffer_bytes_max = 4 << 20);
    let mut other = connect(&server);
    let greedy = ask_and_read_nothing(&server, &[500_000, 570_000, 650_000, 740_000], 100);
    wait_for(&mut other, "curr_connections", |now| now == 41);
    for _ in 0..50 {
        let held = stat(&mut other, "read_buf_bytes");
        assert!(held < 1 << 20, "{held} bytes are held");
        exchange(&mut other, b"mn\r\n", b"MN\r\n");
    }
    assert!(cache.stats().pinned_bytes < 4 << 20);
    assert_eq!(stat(&mut other, "curr_connections"), 41);
    drop(greedy);
    wait_for(&mut other, "curr_connections", |now| now == 1);
    assert_eq!(cache.stats().pinned_bytes, 0);
}

/// Forty clients that ask `times` times for values of these sizes, each for one of them, and read nothing.
fn ask_and_read_nothing(server: &Server, sizes: &[usize], times: usize) -> Vec<TcpStream> {
    let mut other = connect(server);
    for (number, &size) in sizes.iter().enumerate() {
        let header = format!("set big{number} 0 0 {size}\r\n");
        let request = [header.as_bytes(), &vec![b'v'; size], b"\r\n"].concat();
        exchange(&mut other, &request, b"STORED\r\n");
    }
    let ask = |number: usize| {
        let mut client = connect(server);
        let asked = format!("get big{}\r\n", number % sizes.len()).repeat(times);
        client.write_all(asked.as_bytes()).unwrap();
        client
    };
    (0..40).map(ask).collect()
}

#[test]
fn a_dump_that_nobody_reads_is_held_within_a_bound() {
    let server = Process::start();
    let mut other = server.connect();
    let mut requests = Vec::new();
    for number in 0..150_000 {
        let key = format!("{}{number}", "k".repeat(200));
        requests.extend(format!("set {key} 0 0 0 noreply\r\n\r\n").bytes());
    }
    requests.extend(b"version\r\n");
    exchange(&mut other, &requests, b"VERSION 1.6.45\r\n");
    let before = server.resident_bytes();
    let mut dumping: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &mut dumping {
        client.write_all(b"lru_crawler metadump all\r\n").unwrap();
    }
    for _ in 0..200 {
        exchange(&mut other, b"get absent\r\n", b"END\r\n");
    }
    // Together they would take 400 MB.
    assert!(server.resident_bytes() < before + ONE_CLIENT_BYTES);
    let mut answer = [0; 100];
    for client in &mut dumping {
        client.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"OK\r\nkey=kkk"));
    }
}

/// A request of the binary protocol that announces `value_bytes` and brings none of them.
fn announcement(key: &str, value_bytes: u32) -> Vec<u8> {
    let mut bytes = Packet {
        opcode: 1,
        extras: &[0; 8],
        key,
        ..Packet::default()
    }
    .bytes();
    let body = u32::try_from(key.len() + 8).unwrap() + value_bytes;
    bytes[8..12].copy_from_slice(&body.to_be_bytes());
    bytes
}

#[test]
fn packets_that_lie_about_their_length_cost_nothing() {
    let server = Process::start();
    let before = server.resident_bytes();
    let mut held: Vec<_> = (0..300)
        .map(|number| {
            let mut client = server.connect();
            let key = format!("k{number}");
            client.write_all(&announcement(&key, 900_000)).unwrap();
            client
        })
        .collect();
    // A value above the item limit is skipped as it comes, however long.
    let mut endless = server.connect();
    endless.write_all(&announcement("k", 1 << 29)).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        endless.write_all(&chunk).unwrap();
    }
    for bytes in [
        announcement("k", u32::MAX - 9),
        announcement(&"k".repeat(60_000), 0),
        [0x80, 0xff].repeat(40),
    ] {
        let mut hostile = server.connect();
        hostile.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let _ = hostile.read_to_end(&mut answer);
        assert!(answer.len() < 100, "a word at most, and the end");
    }
    assert!(server.resident_bytes() < before + ONE_CLIENT_BYTES);
    exchange(&mut server.connect(), b"version\r\n", b"VERSION 1.6.45\r\n");
    held.clear();
}

#[test]
fn a_hundred_thousand_pipelined_commands_are_all_answered() {
    let server = Process::start();
    let before = server.resident_bytes();
    let count = 100_000;
    let version = Packet {
        opcode: 0x0b,
        ..Packet::default()
    };
    let answer = 24 + "1.6.45".len();
    for (request, reply_bytes) in [
        (b"mg k\r\n".to_vec(), b"EN\r\n".len()),
        (version.bytes(), answer),
    ] {
        let mut client = server.connect();
        let mut sender = client.try_clone().unwrap();
        let requests = request.repeat(count);
        let sending = std::thread::spawn(move || sender.write_all(&requests).unwrap());
        let mut replies = vec![0; reply_bytes * count];
        client.read_exact(&mut replies).unwrap();
        sending.join().unwrap();
        let first = &replies[..reply_bytes];
        assert!(replies.chunks(reply_bytes).all(|reply| reply == first));
    }
    assert!(server.resident_bytes() < before + ONE_CLIENT_BYTES);
}

#[test]
fn a_turn_has_as_many_requests_as_it_may() {
    for request in ["get k\r\n", "mn\r\n", "version\r\n", "mg k v\r\n"] {
        let mut config = Config::default();
        config.requests_per_turn = 20;
        let cache = larder_server::cache_builder(8 << 20, &config).build();
        let mut session = Session::new(Arc::new(cache.unwrap()), config);
        let mut output = Vec::new();
        let mut next = session.receive(request.repeat(70).as_bytes(), &mut output);
        let a_turn = output.len();
        let mut turns = 1;
        while next == Next::Drain {
            output.clear();
            next = session.resume(&mut output);
            turns += 1;
        }
        assert_eq!(turns, 4, "{request}");
        assert_eq!(output.len() * 2, a_turn, "{request}: ten are left");
    }
}

#[test]
fn who_sends_much_at_once_is_answered_in_turns() {
    let (_, server) = start(|config| {
        config.threads = 1;
        config.requests_per_turn = 1;
    });
    let mut many = connect(&server);
    let mut other = connect(&server);
    many.write_all(&b"mn\r\n".repeat(10_000)).unwrap();
    for _ in 0..20 {
        exchange(&mut other, b"mn\r\n", b"MN\r\n");
    }
    let mut answers = vec![0; 40_000];
    many.read_exact(&mut answers).unwrap();
    assert!(answers.chunks(4).all(|answer| answer == b"MN\r\n"));
    assert!(stat(&mut other, "conn_yields") >= 9_000);
}
