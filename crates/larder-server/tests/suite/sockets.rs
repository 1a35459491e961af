//! Over real sockets: what clients do every day, and sharing one cache with the embedding service.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::{Cache, StoreOutcome, Ttl};
use larder_server::{Config, Server, serve};

pub(crate) fn start(change: impl FnOnce(&mut Config)) -> (Arc<Cache>, Server) {
    let mut config = Config::default();
    config.port = 0;
    config.threads = 2;
    change(&mut config);
    let cache = Arc::new(
        larder_server::cache_builder(64 << 20, &config)
            .build()
            .unwrap(),
    );
    let server = serve(Arc::clone(&cache), config).unwrap();
    (cache, server)
}

pub(crate) fn serve_over(cache: &Arc<Cache>, mut config: Config) -> Server {
    config.port = 0;
    serve(Arc::clone(cache), config).unwrap()
}

pub(crate) fn connect(server: &Server) -> TcpStream {
    tcp(server.addresses()[0])
}

pub(crate) fn tcp(address: impl ToSocketAddrs) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    // A bound on hanging, not on speed.
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
}

/// Sends `request` and reads as many bytes as `reply` has, which must be those.
pub(crate) fn exchange(stream: &mut (impl Read + Write), request: &[u8], reply: &[u8]) {
    stream.write_all(request).unwrap();
    let mut answer = vec![0; reply.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(
        answer.escape_ascii().to_string(),
        reply.escape_ascii().to_string()
    );
}

pub(crate) fn stat(stream: &mut TcpStream, name: &str) -> u64 {
    stream.write_all(b"stats\r\n").unwrap();
    let mut found = None;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let line = lines.next().unwrap().unwrap();
        if line == "END" {
            return found.unwrap_or_else(|| panic!("no stat {name}"));
        }
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("STAT"), "{line}");
        if words.next() == Some(name) {
            found = Some(words.next().unwrap().parse().unwrap());
        }
    }
}

/// Asks for a stat until it is as it should be.
pub(crate) fn wait_for(stream: &mut TcpStream, name: &str, is_right: impl Fn(u64) -> bool) {
    let begin = Instant::now();
    loop {
        let now = stat(stream, name);
        if is_right(now) {
            return;
        }
        // Not a measure of speed: so that what never comes has a name instead of hanging.
        assert!(
            begin.elapsed() < Duration::from_secs(300),
            "{name} is {now} and stays so"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_client_sets_and_gets() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    exchange(&mut client, b"set key 5 0 5\r\nvalue\r\n", b"STORED\r\n");
    exchange(
        &mut client,
        b"get key absent\r\n",
        b"VALUE key 5 5\r\nvalue\r\nEND\r\n",
    );
    exchange(
        &mut client,
        b"delete key\r\nget key\r\n",
        b"DELETED\r\nEND\r\n",
    );
}

#[test]
fn remote_and_embedded_share_one_cache() {
    let (cache, server) = start(|_| ());
    let mut client = connect(&server);
    cache.set(b"from-inside", b"1", Ttl::NEVER).unwrap();
    exchange(&mut client, b"incr from-inside 41\r\n", b"42\r\n");
    assert_eq!(cache.get(b"from-inside").as_deref(), Some(&b"42"[..]));
    // Tokens are the same on both sides.
    let token = cache.get(b"from-inside").unwrap().cas();
    let swap = format!("cas from-inside 0 0 3 {token}\r\nnew\r\n");
    exchange(&mut client, swap.as_bytes(), b"STORED\r\n");
    let late = cache
        .compare_and_swap(b"from-inside", b"late", token, Ttl::NEVER)
        .unwrap();
    assert_eq!(late, StoreOutcome::CasMismatch);
}

#[test]
fn a_long_pipeline_is_answered_in_order() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    let mut reader = client.try_clone().unwrap();
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for number in 0..50_000 {
        requests.extend(format!("set k{number} 0 0 5\r\n{number:05}\r\nget k{number}\r\n").bytes());
        let reply = format!("STORED\r\nVALUE k{number} 0 5\r\n{number:05}\r\nEND\r\n");
        expected.extend(reply.bytes());
    }
    let writer = std::thread::spawn(move || client.write_all(&requests).unwrap());
    let mut answer = vec![0; expected.len()];
    reader.read_exact(&mut answer).unwrap();
    assert!(answer == expected);
    writer.join().unwrap();
}

#[test]
fn replies_come_after_the_client_has_stopped_sending() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    client
        .write_all(b"set key 0 0 1\r\nx\r\nget key\r\nversion\r\nget unfinished")
        .unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(
        answer,
        "STORED\r\nVALUE key 0 1\r\nx\r\nEND\r\nVERSION 1.6.45\r\n"
    );
}

#[test]
fn quit_closes_and_later_input_is_unread() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    client.write_all(b"version\r\nquit\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "VERSION 1.6.45\r\n");
}

#[test]
fn values_of_every_size_pass_through() {
    let (_, server) = start(|config| config.item_bytes_max = 20 << 20);
    let mut client = connect(&server);
    for size in [0, 1, 100, 65_535, 65_536, 300_000, 1 << 20, 16 << 20] {
        let value: Vec<u8> = (0..=250_u8).cycle().take(size).collect();
        let request = [
            format!("set key 0 0 {size}\r\n").as_bytes(),
            &value,
            b"\r\n",
        ]
        .concat();
        exchange(&mut client, &request, b"STORED\r\n");
        let reply = [
            format!("VALUE key 0 {size}\r\n").as_bytes(),
            &value,
            b"\r\nEND\r\n",
        ]
        .concat();
        exchange(&mut client, b"get key\r\n", &reply);
    }
}

#[test]
fn a_unix_socket_serves_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    for _ in 0..2 {
        // The second server finds the socket that the first left behind.
        let (_, server) = start(|config| config.unix_socket = Some(path.clone()));
        assert!(server.addresses().is_empty());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let mut client = UnixStream::connect(&path).unwrap();
        exchange(&mut client, b"version\r\n", b"VERSION 1.6.45\r\n");
    }
}

#[test]
fn a_file_of_ports_that_cannot_be_written_is_no_reason_not_to_serve() {
    let (_, server) = start(|config| config.ports_file = Some("/nonexistent/ports".into()));
    exchange(&mut connect(&server), b"version\r\n", b"VERSION 1.6.45\r\n");
}

#[test]
fn stats_count_what_was_done() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    exchange(
        &mut client,
        b"set a 0 0 1\r\n1\r\nget a b\r\nincr a 1\r\ntouch a 0\r\ndelete b\r\ncas a 0 0 1 99\r\nx\r\n",
        b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n2\r\nTOUCHED\r\nNOT_FOUND\r\nEXISTS\r\n",
    );
    for (name, count) in [
        ("cmd_get", 2),
        ("get_hits", 1),
        ("get_misses", 1),
        ("cmd_set", 2),
        ("cas_badval", 1),
        ("incr_hits", 1),
        ("cmd_touch", 1),
        ("touch_hits", 1),
        ("delete_misses", 1),
        ("curr_items", 1),
        ("curr_connections", 1),
        ("limit_maxbytes", 64 << 20),
    ] {
        assert_eq!(stat(&mut client, name), count, "{name}");
    }
}

/// As many keys as a retrieval looks up in one go: nothing is left, and nothing else is looked up.
#[test]
fn a_retrieval_that_ends_with_its_turn_counts_its_keys() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    let request = format!("get{}\r\n", " k".repeat(4096));
    exchange(&mut client, request.as_bytes(), b"END\r\n");
    assert_eq!(stat(&mut client, "cmd_get"), 4096);
}
