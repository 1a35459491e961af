//! A cache that outlives its server, in the file of `-e`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::admin::stats;
use crate::binary::{Process, larderd};

/// A file that no other test uses; with its folder it goes at the end.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("memory")
    }

    fn start(&self, flags: &[&str]) -> Process {
        let path = self.path();
        let flags = [&["-e", path.to_str().unwrap()], flags].concat();
        Process::start_with(&flags)
    }

    fn files(&self) -> usize {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock")).count()
    }
}

/// Sends lines and returns as many that come back.
fn ask(server: &Process, request: &str, replies: usize) -> Vec<String> {
    let stream = server.connect();
    (&stream).write_all(request.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().take(replies);
    lines.map(Result::unwrap).collect()
}

fn stat(server: &Process, topic: &str, name: &str) -> String {
    let all = stats(&mut server.connect(), topic).into_iter();
    let mut found = all.filter(|(known, _)| known == name);
    found.next().unwrap().1
}

const FILL: &str = "set plain 5 0 5\r\nvalue\r\nset short 0 1 1\r\nx\r\nset long 0 1000 1\r\nx\r\n\
    ms meta 4 F7 T0 E77\r\nmeta\r\nms stale 1\r\nx\r\nmd stale I\r\n";
const FILLED: [&str; 6] = ["STORED", "STORED", "STORED", "HD", "HD", "HD"];

#[test]
fn a_graceful_end_keeps_the_items_and_the_next_start_has_them() {
    let place = Place::new();
    let server = place.start(&["-t", "4"]);
    assert!(server.told().contains("a cold start"));
    assert_eq!(
        stat(&server, "settings", "memory_file"),
        place.path().to_str().unwrap()
    );
    assert_eq!(ask(&server, FILL, 6), FILLED);
    let large = format!("set large 0 0 700000\r\n{}\r\n", "v".repeat(700_000));
    assert_eq!(ask(&server, &large, 1), ["STORED"]);
    let before = ask(&server, "gets plain\r\nmg meta v f t c\r\n", 5);
    assert_eq!(place.files(), 0);
    let (code, told) = server.end("-USR1");
    assert_eq!(code, Some(0));
    assert!(told.contains("[restart] 6 items are kept"), "{told}");
    assert_eq!(place.files(), 1);
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Times go on meanwhile.
    std::thread::sleep(Duration::from_millis(1100));
    let server = place.start(&["-t", "1", "-m", "128", "-A"]);
    let told = server.told();
    assert!(
        told.contains("[restart] 5 items are back") && told.contains("1 have expired"),
        "{told}"
    );
    assert_eq!(place.files(), 0);
    assert_eq!(ask(&server, "gets plain\r\nmg meta v f t c\r\n", 5), before);
    assert_eq!(ask(&server, "get short\r\n", 1), ["END"]);
    let ttl = &ask(&server, "mg long t\r\n", 1)[0];
    let ttl: u32 = ttl.strip_prefix("HD t").unwrap().parse().unwrap();
    assert!((900..1000).contains(&ttl), "{ttl}");
    assert_eq!(ask(&server, "mg stale v\r\n", 2), ["VA 1 X W", "x"]);
    assert_eq!(ask(&server, "get large\r\n", 3)[1].len(), 700_000);
    assert_eq!(stat(&server, "", "total_items"), "5");
    // A token of later is above those of before.
    let token = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let new = ask(&server, "set new 0 0 1\r\nx\r\ngets new\r\n", 4);
    assert!(token(&new[1]) > token(&before[0]));

    // And once more, by the command.
    assert_eq!(ask(&server, "shutdown graceful\r\n", 0).len(), 0);
    let mut server = server;
    let (code, told) = (server.wait(), server.rest());
    assert_eq!(code, Some(0));
    assert!(told.contains("[restart] 6 items are kept"), "{told}");
    let server = place.start(&[]);
    assert!(server.told().contains("[restart] 6 items are back"));
}

#[test]
fn other_ends_keep_nothing() {
    for signal in ["-TERM", "-INT", "-KILL"] {
        let place = Place::new();
        let server = place.start(&[]);
        assert_eq!(ask(&server, FILL, 6), FILLED);
        let (code, _) = server.end(signal);
        assert_eq!(code, (signal != "-KILL").then_some(0));
        assert_eq!(place.files(), 0);
        let server = place.start(&[]);
        assert_eq!(ask(&server, "get plain\r\n", 1), ["END"]);
    }
}

#[test]
fn a_server_that_begins_while_another_still_ends_waits_for_what_it_leaves() {
    let place = Place::new();
    let first = place.start(&[]);
    assert_eq!(ask(&first, FILL, 6), FILLED);
    let path = place.path();
    let second = std::thread::spawn(move || Process::start_with(&["-e", path.to_str().unwrap()]));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!second.is_finished());
    assert_eq!(ask(&first, "get plain\r\n", 1), ["VALUE plain 5 5"]);
    let (code, told) = first.end("-USR1");
    assert!(code == Some(0) && told.contains("items are kept"), "{told}");
    let second = second.join().unwrap();
    let told = second.told();
    assert!(
        told.contains("waiting for its end") && told.contains("items are back"),
        "{told}"
    );
    assert_eq!(ask(&second, "get plain\r\n", 1), ["VALUE plain 5 5"]);
}

#[test]
fn what_is_flushed_stays_flushed() {
    let place = Place::new();
    let server = place.start(&[]);
    let request = format!("{FILL}flush_all\r\nset later 0 0 1\r\nx\r\nflush_all 3\r\n");
    assert_eq!(ask(&server, &request, 9)[6..], ["OK", "STORED", "OK"]);
    let (_, told) = server.end("-USR1");
    assert!(told.contains("[restart] 1 items are kept"), "{told}");
    let server = place.start(&[]);
    assert_eq!(ask(&server, "get plain\r\nget later\r\n", 2)[..1], ["END"]);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(ask(&server, "get later\r\n", 1), ["END"]);
}

#[test]
fn a_file_that_is_not_sound_is_told_of_and_gone() {
    let place = Place::new();
    let serves = |word: &str| {
        let server = place.start(&[]);
        assert!(server.told().contains(word), "{word}: {}", server.told());
        assert_eq!(place.files(), 0);
        assert_eq!(ask(&server, FILL, 6), FILLED);
        server.end("-USR1")
    };
    fs::write(place.path(), b"").unwrap();
    serves("not a saved cache");
    // The end is missing, then a byte in the middle is another.
    let bytes = fs::read(place.path()).unwrap();
    fs::write(place.path(), &bytes[..bytes.len() - 10]).unwrap();
    serves("not whole; the 5 items before that are back");
    let mut bytes = fs::read(place.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(place.path(), &bytes).unwrap();
    serves("is damaged; the 0 items");
}

#[test]
fn a_file_that_others_could_have_written_is_not_read() {
    let place = Place::new();
    let server = place.start(&[]);
    assert_eq!(ask(&server, FILL, 6), FILLED);
    server.end("-USR1");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let server = place.start(&[]);
    assert!(
        server.told().contains("others may have written it"),
        "{}",
        server.told()
    );
    assert_eq!(ask(&server, "get plain\r\n", 1), ["END"]);
}

#[test]
fn a_place_where_no_file_can_be_is_told_of_at_the_start() {
    let place = Place::new();
    let folder = place.folder.path().to_str().unwrap().to_owned();
    for path in [&*folder, "/nonexistent/file", "/dev/null"] {
        let output = larderd(&["-p", "-1", "-e", path]).output().unwrap();
        assert_eq!(output.status.code(), Some(71), "{path}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(&format!("-e {path}: ")), "{told}");
    }
}

#[test]
fn a_start_that_fails_keeps_the_file_for_the_next() {
    let place = Place::new();
    let server = place.start(&[]);
    assert_eq!(ask(&server, FILL, 6), FILLED);
    server.end("-USR1");
    let path = place.path();
    let args = ["-e", path.to_str().unwrap(), "-l", "192.0.2.1", "-p", "-1"];
    assert_eq!(larderd(&args).output().unwrap().status.code(), Some(71));
    let server = place.start(&[]);
    assert_eq!(ask(&server, "get plain\r\n", 3)[1], "value");
}

#[test]
fn where_there_is_no_room_for_the_file_the_server_ends_all_the_same() {
    let place = Place::new();
    let server = place.start(&[]);
    assert_eq!(ask(&server, FILL, 6), FILLED);
    // The name that it writes under is taken by what cannot be removed: a folder with something in it.
    let taken = place.folder.path().join("memory.tmp");
    fs::create_dir(&taken).unwrap();
    File::create(taken.join("file")).unwrap();
    let (code, told) = server.end("-USR1");
    assert_eq!(code, Some(0));
    assert!(told.contains("[restart] nothing is kept"), "{told}");
    assert!(!place.path().exists());
}
