//! Resident memory of `larderd -m 1024` beside its limit, driven over a connection through the same steps
//! as the embedded cache.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder_benches::key;

const LIMIT_MIB: u64 = 1024;
const ITEMS: u64 = 10_000_000;
/// Requests sent between two looks at the resident memory.
const LOOK_EVERY: u64 = 2000;
/// Seconds in which the items that expire are all stored.
const STORE_SECONDS: u64 = 120;

/// The server, a connection to it, and the largest resident memory since the last report.
struct Server {
    child: Child,
    stream: TcpStream,
    limit_mib: u64,
    most: usize,
}

impl Server {
    fn start() -> Self {
        let path = larderd();
        let flags = ["-p", "-1", "-v", "-m", &LIMIT_MIB.to_string()].map(str::to_owned);
        let mut command = Command::new(&path);
        command.args(flags).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            let path = path.display();
            panic!("{path}: {error}")
        });
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()))
            .expect("it says where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            stream: TcpStream::connect(address).expect("it listens"),
            limit_mib: LIMIT_MIB,
            most: 0,
        }
    }

    fn look(&mut self) {
        let pid = self.child.id().to_string();
        self.most = self.most.max(super::rss::resident_bytes_of(&pid));
    }

    /// Stores `count` items, and looks at the server while it does.
    fn store(&mut self, first: u64, count: u64, value_bytes: usize, expires_at: u64) {
        let value = "v".repeat(value_bytes);
        let mut requests = Vec::new();
        for number in first..first + count {
            requests.extend(b"set ");
            requests.extend(key(number));
            let rest = format!(" 0 {expires_at} {value_bytes} noreply\r\n{value}\r\n");
            requests.extend(rest.as_bytes());
            if number % LOOK_EVERY == 0 || number + 1 == first + count {
                requests.extend(b"mn\r\n");
                self.exchange(&requests, "MN");
                requests.clear();
                self.look();
            }
        }
    }

    /// Sends requests and waits for the one reply to them.
    fn exchange(&mut self, requests: &[u8], expected: &str) {
        self.stream.write_all(requests).expect("it reads");
        assert_eq!(self.line(), expected);
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') {
            self.stream.read_exact(&mut byte).expect("it answers");
            line.push(byte[0]);
        }
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    fn items(&mut self) -> String {
        self.stream.write_all(b"stats\r\n").expect("it reads");
        let mut items = String::new();
        loop {
            let line = self.line();
            if let Some(count) = line.strip_prefix("STAT curr_items ") {
                count.clone_into(&mut items);
            }
            if line == "END" {
                return items;
            }
        }
    }

    fn report(&mut self, step: &str) {
        self.look();
        let beyond = self.most as f64 / f64::from(1 << 20) - self.limit_mib as f64;
        let (limit, items) = (self.limit_mib, self.items());
        println!(
            "{step:<30} limit {limit:>5} MiB, RSS at most limit {beyond:+.2} MiB, {items} items"
        );
        self.most = 0;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run() {
    let mut server = Server::start();
    let turnover = |value_bytes: u64| 2 * (LIMIT_MIB << 20) / (value_bytes + 60);
    for (step, value_bytes) in [
        ("fill with 200 bytes", 200),
        ("shift to 4 KiB", 4096),
        ("shift back to 200 bytes", 200),
    ] {
        server.store(0, turnover(value_bytes as u64), value_bytes, 0);
        server.report(step);
    }
    let expires_at = now_seconds() + STORE_SECONDS;
    server.store(0, ITEMS, 20, expires_at);
    server.report("10 M items that expire");
    std::thread::sleep(Duration::from_secs(
        expires_at.saturating_sub(now_seconds()) + 1,
    ));
    server.store(ITEMS, ITEMS, 20, 0);
    server.report("10 M items in their place");
    server.exchange(b"flush_all\r\n", "OK");
    server.report("flush_all");
    server.store(0, turnover(200), 200, 0);
    server.report("filled again");
    for (step, limit_mib) in [("halved", LIMIT_MIB / 2), ("doubled", LIMIT_MIB)] {
        let request = format!("cache_memlimit {limit_mib}\r\n");
        server.exchange(request.as_bytes(), "OK");
        server.limit_mib = limit_mib;
        server.most = 0;
        server.report(step);
        server.store(0, turnover(200), 200, 0);
        server.report("filled again");
    }
}

/// The binary beside the folder of this one, built now: an older one would be measured in its place.
fn larderd() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    let built = build
        .args(["build", "--release", "-p", "larder-server"])
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "larderd is built"
    );
    let own = std::env::current_exe().expect("it has a path");
    let folder = own.ancestors().nth(2).expect("target/release/deps");
    folder.join("larderd")
}

fn now_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}
