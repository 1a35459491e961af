//! Datagrams: frames, numbers over a whole reply, and what is no request.

use std::net::UdpSocket;
use std::time::Duration;

use larder_server::Server;

use crate::sockets::start;

fn client(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.udp_addresses()[0]).unwrap();
    // A bound on hanging, not on speed.
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    socket
}

fn request(id: u16, count: u16, commands: &[u8]) -> Vec<u8> {
    let header = [id, 7, count, 9].map(u16::to_be_bytes).concat();
    [&header, commands].concat()
}

/// The payloads of one reply in order, their headers checked.
fn reply(socket: &UdpSocket, id: u16) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut expected = 0;
    loop {
        let mut datagram = [0; 2000];
        let bytes = socket.recv(&mut datagram).unwrap();
        assert!(bytes <= 1400);
        let field = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
        assert_eq!((field(0), field(2), field(6)), (id, expected, 0));
        payload.extend_from_slice(&datagram[8..bytes]);
        expected += 1;
        if expected == field(4) {
            return payload;
        }
        assert_eq!(bytes, 1400, "all but the last are full");
    }
}

#[test]
fn a_reply_is_numbered_over_all_its_keys() {
    let (_, server) = start(|config| config.udp_port = Some(0));
    let socket = client(&server);
    socket
        .send(&request(1, 1, b"set a 0 0 1\r\n1\r\nset b 5 0 2\r\n22\r\n"))
        .unwrap();
    assert_eq!(reply(&socket, 1), b"STORED\r\nSTORED\r\n");
    socket.send(&request(65535, 1, b"get a x b\r\n")).unwrap();
    assert_eq!(
        reply(&socket, 65535),
        b"VALUE a 0 1\r\n1\r\nVALUE b 5 2\r\n22\r\nEND\r\n"
    );
}

#[test]
fn a_long_reply_takes_several_datagrams() {
    let (cache, server) = start(|config| config.udp_port = Some(0));
    let value = vec![b'v'; 100_000];
    cache.set(b"big", &value, larder::Ttl::NEVER).unwrap();
    let socket = client(&server);
    socket.send(&request(2, 1, b"get big\r\n")).unwrap();
    let expected = [&b"VALUE big 0 100000\r\n"[..], &value, b"\r\nEND\r\n"].concat();
    assert!(reply(&socket, 2) == expected);
}

#[test]
fn what_is_no_request_is_forgotten() {
    let (_, server) = start(|config| config.udp_port = Some(0));
    let socket = client(&server);
    socket.send(b"").unwrap();
    socket.send(&request(1, 1, b"")).unwrap();
    socket.send(&request(1, 2, b"version\r\n")).unwrap();
    socket.send(&request(1, 1, b"get unfinished")).unwrap();
    socket
        .send(&request(1, 1, b"set a 0 0 1 noreply\r\nx\r\n"))
        .unwrap();
    socket
        .send(&request(3, 1, b"get a\r\nversion\r\n"))
        .unwrap();
    assert_eq!(
        reply(&socket, 3),
        b"VALUE a 0 1\r\nx\r\nEND\r\nVERSION 1.6.45\r\n"
    );
}

#[test]
fn a_reply_that_is_too_long_is_refused() {
    let (cache, server) = start(|config| config.udp_port = Some(0));
    let value = vec![b'v'; 500_000];
    cache.set(b"big", &value, larder::Ttl::NEVER).unwrap();
    let socket = client(&server);
    socket
        .send(&request(4, 1, b"get big big big big\r\n"))
        .unwrap();
    assert_eq!(
        reply(&socket, 4),
        b"SERVER_ERROR out of memory writing get response\r\n"
    );
}
