//! A server that stops finishes the replies in flight, and does not wait for ever.

use std::io::{Read, Write};
use std::time::Duration;

use crate::sockets::{connect, exchange, start};

#[test]
fn replies_in_flight_are_finished() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    let value = vec![b'v'; 500_000];
    let set = [&b"set big 0 0 500000\r\n"[..], &value, b"\r\n"].concat();
    exchange(&mut client, &set, b"STORED\r\n");
    // More than socket buffers hold, so that the stop comes in the middle of it.
    let rounds = 40;
    client
        .write_all("get big\r\n".repeat(rounds).as_bytes())
        .unwrap();
    let mut first = [0; 5];
    client.read_exact(&mut first).unwrap();
    let stop = std::thread::spawn(move || server.stop());
    std::thread::sleep(Duration::from_millis(50));
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    let reply_bytes = "VALUE big 0 500000\r\n".len() + value.len() + "\r\nEND\r\n".len();
    assert_eq!(first.len() + rest.len(), rounds * reply_bytes);
    stop.join().unwrap();
}

#[test]
fn idle_connections_are_closed_and_the_address_is_free_again() {
    let (_, server) = start(|_| ());
    let address = server.addresses()[0];
    let mut idle: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    exchange(&mut idle[0], b"version\r\n", b"VERSION 1.6.45\r\n");
    server.stop();
    for client in &mut idle {
        assert_eq!(
            client.read(&mut [0; 10]).unwrap_or(0),
            0,
            "closed without a word"
        );
    }
    let (_, again) = start(|config| config.listen = vec![address.to_string()]);
    exchange(&mut connect(&again), b"version\r\n", b"VERSION 1.6.45\r\n");
}

#[test]
fn a_client_that_never_reads_does_not_keep_the_server() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    let set = [&b"set big 0 0 500000\r\n"[..], &[b'v'; 500_000], b"\r\n"].concat();
    exchange(&mut client, &set, b"STORED\r\n");
    client
        .write_all("get big\r\n".repeat(100).as_bytes())
        .unwrap();
    server.stop();
}
