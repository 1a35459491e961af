//! `watch`: every stream, and too many watchers.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use larder::Ttl;

use crate::sockets::{connect, exchange, start, stat, wait_for};

/// Reads lines from a watching connection until one contains `text`.
fn watched(reader: &mut BufReader<TcpStream>, text: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(
            reader.read_line(&mut line).unwrap() > 0,
            "the stream has ended"
        );
        assert!(line.starts_with("ts=") && line.contains(" gid="), "{line}");
        if line.contains(text) {
            return line;
        }
    }
}

#[test]
fn every_stream_can_be_watched() {
    let (cache, server) = start(|_| ());
    let mut watcher = connect(&server);
    let streams = b"watch fetchers mutations evictions connevents sysevents deletions\r\n";
    exchange(&mut watcher, streams, b"OK\r\n");
    let mut client = connect(&server);
    assert_eq!(stat(&mut client, "log_watchers"), 1);
    exchange(
        &mut client,
        b"set k/1 0 5 2\r\nab\r\nadd k/1 0 0 1\r\nx\r\nget k/1 absent\r\ndelete k/1\r\n",
        b"STORED\r\nNOT_STORED\r\nVALUE k/1 0 2\r\nab\r\nEND\r\nDELETED\r\n",
    );
    let mut reader = BufReader::new(watcher.try_clone().unwrap());
    watched(&mut reader, "type=conn_new rip=127.0.0.1 rport=");
    watched(&mut reader, "type=item_get key=k%2F1 status=not_found");
    let stored = watched(&mut reader, "type=item_store");
    assert!(
        stored.contains("key=k%2F1 status=stored cmd=set ttl=5 clsid=1 cfd="),
        "{stored}"
    );
    watched(&mut reader, "status=not_stored cmd=add ttl=0");
    watched(
        &mut reader,
        "type=item_get key=k%2F1 status=found clsid=1 cfd=",
    );
    watched(
        &mut reader,
        "type=item_get key=absent status=not_found clsid=0 cfd=",
    );
    watched(
        &mut reader,
        "type=deleted key=k%2F1 cmd=delete clsid=1 size=2",
    );
    drop(client);
    assert!(watched(&mut reader, "type=conn_close rip=127.0.0.1").contains(" reason=normal "));
    connect(&server).write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert!(watched(&mut reader, "type=conn_close rip=127.0.0.1").contains(" reason=error "));
    cache
        .set(b"short", b"", Ttl::after(Duration::from_millis(1)))
        .unwrap();
    watched(&mut reader, "type=lru_crawler crawler=0");
    let mut number = 0;
    while cache.stats().evictions == 0 {
        cache
            .set(format!("{number}").as_bytes(), &[0; 100_000], Ttl::NEVER)
            .unwrap();
        number += 1;
    }
    watched(&mut reader, "type=eviction key=");
    // What it sends is not looked at, and it ends with its connection.
    watcher.write_all(b"get k\r\n").unwrap();
    drop((watcher, reader));
    let mut client = connect(&server);
    wait_for(&mut client, "log_watchers", |now| now == 0);
}

#[test]
fn the_twenty_first_watcher_is_turned_away() {
    let (_, server) = start(|_| ());
    let mut watching: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
    for watcher in &mut watching {
        exchange(watcher, b"watch\r\n", b"OK\r\n");
    }
    let mut late = connect(&server);
    let refused = b"WATCHER_TOO_MANY log watcher limit reached\r\nVERSION 1.6.45\r\n";
    exchange(&mut late, b"watch\r\nversion\r\n", refused);
    drop(watching.pop());
    wait_for(&mut late, "log_watchers", |now| now <= 19);
    exchange(&mut late, b"watch\r\n", b"OK\r\n");
}
