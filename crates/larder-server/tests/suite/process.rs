//! What the process does to itself and to files, and what it takes the name memcached for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::binary::{Process, larderd};
use crate::sockets::{connect, exchange, start, stat};

/// Waits until a file is there that another process writes in one step, and returns its text.
fn text_of(path: &Path) -> String {
    loop {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_daemon_has_a_pid_file_and_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (pid_file, ports) = (folder.path().join("pid"), folder.path().join("ports"));
    let status = larderd(&[
        "-d",
        "-p",
        "-1",
        "-U",
        "-1",
        "-P",
        pid_file.to_str().unwrap(),
    ])
    .env("MEMCACHED_PORT_FILENAME", &ports)
    .status()
    .unwrap();
    assert_eq!(status.code(), Some(0), "the first process ends at once");
    let pid = text_of(&pid_file);
    let ports = text_of(&ports);
    let line = |start: &str| {
        let line = ports.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap().parse::<u16>().unwrap()
    };
    assert!(line("UDP INET: ") > 0);
    let mut client = TcpStream::connect(("127.0.0.1", line("TCP INET: "))).unwrap();
    exchange(&mut client, b"version\r\n", b"VERSION 1.6.45\r\n");
    let killed = Command::new("kill").arg(pid.trim()).status().unwrap();
    assert!(killed.success());
    while pid_file.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processors that the threads of a name may use, one after the other.
#[cfg(target_os = "linux")]
fn processors(pid: u32, name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let named = tasks.filter_map(|task| {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |start: &str| status.lines().find_map(|line| line.strip_prefix(start));
        let this = field("Name:").unwrap().trim().to_owned();
        let allowed = field("Cpus_allowed_list:").unwrap().trim().to_owned();
        this.starts_with(name).then_some((this, allowed))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    named.into_iter().map(|(_, allowed)| allowed).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn workers_stay_on_one_processor_each_if_they_are_to() {
    let server = Process::start_with(&["-t", "3", "-o", "pin_workers"]);
    let mut client = server.connect();
    // Every worker has begun when the server says where it listens, or is about to.
    let is_one = |allowed: &String| allowed.parse::<usize>().is_ok();
    let pinned = loop {
        exchange(&mut client, b"mn\r\n", b"MN\r\n");
        let allowed = processors(server.id(), "worker-");
        if allowed.len() == 3 && allowed.iter().all(is_one) {
            break allowed;
        }
    };
    let count = std::thread::available_parallelism().unwrap().get();
    let different: std::collections::BTreeSet<_> = pinned.iter().collect();
    assert_eq!(different.len(), count.min(3), "{pinned:?}");
    let unpinned = Process::start_with(&["-t", "1"]);
    // Its worker may be about to begin as well.
    exchange(&mut unpinned.connect(), b"mn\r\n", b"MN\r\n");
    let allowed = processors(unpinned.id(), "worker-");
    assert_eq!(allowed, processors(unpinned.id(), "acceptor"));
}

#[test]
#[cfg(target_os = "linux")]
fn huge_pages_are_asked_for_where_they_pay_or_as_told() {
    if !Path::new("/sys/kernel/mm/transparent_hugepage/enabled").exists() {
        eprintln!("SKIPPED: this system has no huge pages to ask for");
        return;
    }
    let asks = |arguments: &[&str]| {
        let server = Process::start_with(arguments);
        let maps = std::fs::read_to_string(format!("/proc/{}/smaps", server.id())).unwrap();
        let mut flags = maps.lines().filter(|line| line.starts_with("VmFlags:"));
        flags.any(|flags| flags.contains(" hg"))
    };
    assert!(asks(&[]) && asks(&["-m", "16", "-L"]));
    assert!(!asks(&["-m", "16"]) && !asks(&["-o", "no_largepages"]));
}

#[test]
fn under_the_name_memcached_it_has_memcacheds_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("memcached");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_larderd"), &link).unwrap();
    let version = Command::new(&link).arg("-V").output().unwrap();
    assert_eq!(version.stdout, b"memcached 1.6.45\n");
    let ports = folder.path().join("ports");
    let mut child = Command::new(&link)
        .args(["-p", "-1", "-u", "root"])
        .env("MEMCACHED_PORT_FILENAME", &ports)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ports = text_of(&ports);
    let port = ports
        .lines()
        .find_map(|line| line.strip_prefix("TCP INET: "));
    let port: u16 = port.unwrap().parse().unwrap();
    // Any address of the machine will do, and so 127.0.0.2 as well.
    let mut client = TcpStream::connect(("127.0.0.2", port)).unwrap();
    exchange(&mut client, b"version\r\n", b"VERSION 1.6.45\r\n");
    child.kill().unwrap();
    child.wait().unwrap();
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "no warning under this name");
}

#[test]
fn a_hangup_signal_does_not_end_it() {
    let mut server = Process::start();
    server.signal("-HUP");
    exchange(&mut server.connect(), b"version\r\n", b"VERSION 1.6.45\r\n");
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_hangup_signal_has_the_passwords_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwords");
    std::fs::write(&path, "user:first\n").unwrap();
    let server = Process::start_with(&["-Y", path.to_str().unwrap()]);
    let answer = |password: &str| {
        let mut client = server.connect();
        let payload = format!("user {password}");
        write!(client, "set auth 0 0 {}\r\n{payload}\r\n", payload.len()).unwrap();
        let mut answer = String::new();
        BufReader::new(client).read_line(&mut answer).unwrap();
        answer
    };
    assert_eq!(answer("first"), "STORED\r\n");
    std::fs::write(&path, "user:second\n").unwrap();
    server.signal("-HUP");
    while answer("second") != "STORED\r\n" {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(answer("first"), "CLIENT_ERROR authentication failure\r\n");
}

#[test]
fn a_wide_address_is_warned_of_once() {
    let mut server = larderd(&["-p", "-1", "-l", "0.0.0.0,127.0.0.2"])
        .spawn()
        .unwrap();
    let pid = server.id().to_string();
    let mut stderr = server.stderr.take().unwrap();
    let mut said = vec![0; 1000];
    let bytes = stderr.read(&mut said).unwrap();
    let first = String::from_utf8(said[..bytes].to_vec()).unwrap();
    assert!(first.contains("without authentication"), "{first}");
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(server.wait().unwrap().success());
}

#[test]
fn an_unknown_user_has_its_own_exit_code() {
    // Only root looks the name up; everybody else stays who he is, and would serve.
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        return;
    }
    let output = larderd(&["-u", "nobody-of-that-name"]).output().unwrap();
    assert_eq!(output.status.code(), Some(67));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("nobody-of-that-name"), "{said}");
}

#[test]
fn several_listeners_have_protocols_and_tags_of_their_own() {
    let (_, server) = start(|config| {
        config.listen = vec![
            "tag[one]:127.0.0.1".to_owned(),
            "proto[ascii]:tag_two_:127.0.0.2".to_owned(),
        ];
        if has_ipv6() {
            config.listen.push("[::1]".to_owned());
        }
    });
    assert_eq!(server.addresses().len(), 2 + usize::from(has_ipv6()));
    for &address in server.addresses() {
        let mut client = TcpStream::connect(address).unwrap();
        exchange(&mut client, b"version\r\n", b"VERSION 1.6.45\r\n");
    }
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn connections_beyond_the_limit_can_wait() {
    let (_, server) = start(|config| {
        config.connections_max = 2;
        config.refuses_connections = false;
    });
    let mut first = connect(&server);
    let mut second = connect(&server);
    exchange(&mut first, b"version\r\n", b"VERSION 1.6.45\r\n");
    exchange(&mut second, b"version\r\n", b"VERSION 1.6.45\r\n");
    let mut third = connect(&server);
    third.write_all(b"version\r\n").unwrap();
    drop(second);
    exchange(&mut third, b"", b"VERSION 1.6.45\r\n");
    assert!(stat(&mut first, "listen_disabled_num") > 0);
}
