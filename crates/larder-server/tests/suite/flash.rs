//! Values on flash: several times the memory, damaged files, full devices, and the order of replies.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use larder_server::FlashFile;

use crate::encrypted::Files;
use crate::flashed::{Client, Flashed, at_once, value};
use crate::packet::Packet;

#[test]
fn several_times_the_memory_is_read_back_whole() {
    let flashed = Flashed::start(100, |_| ());
    let mut client = flashed.client();
    let count = 1600_u32;
    // 4 KiB to 100 KiB, 80 MiB together: large values among them, for which there is no chunk.
    let length = |key: u32| 4096 + (key as usize * 7919) % 98_000;
    let mut versions = HashMap::new();
    for key in 0..count {
        client.set(&format!("k{key}"), &value(key, 0, length(key)));
        versions.insert(key, 0);
        if key % 5 == 4 {
            let old = key / 2;
            client.set(&format!("k{old}"), &value(old, key, length(old)));
            versions.insert(old, key);
        }
        if key % 7 == 6 {
            let old = key / 3;
            let deleted = client.ask(&format!("delete k{old}"));
            assert!(["DELETED", "NOT_FOUND"].contains(&&*deleted));
            versions.remove(&old);
        }
    }
    let mut found = 0;
    for key in 0..count {
        let seen = client.get(&format!("k{key}"));
        match versions.get(&key) {
            Some(&version) => {
                let expected = value(key, version, length(key));
                assert!(seen.as_ref().is_none_or(|seen| *seen == expected), "k{key}");
                found += u64::from(seen.is_some());
            }
            None => assert_eq!(seen, None, "k{key} was deleted"),
        }
    }
    let stats = client.stats();
    assert!(stats["get_extstore"] > 0, "{stats:?}");
    assert_eq!(
        (stats["badcrc_from_extstore"], stats["miss_from_extstore"]),
        (0, 0)
    );
    assert_eq!(stats["extstore_page_evictions"], 0);
    // What was faster than the device went as ever, and is counted.
    assert!(found + stats["evictions"] >= versions.len() as u64);
    // Many at a time.
    for keys in (0..count).collect::<Vec<_>>().chunks(40) {
        let names: Vec<String> = keys.iter().map(|key| format!("k{key}")).collect();
        client.send(format!("get {}\r\n", names.join(" ")).as_bytes());
        let items = client.items();
        let mut rest = names.iter();
        for (name, seen) in items {
            assert!(rest.any(|asked| *asked == name), "in the order asked");
            let key: u32 = name[1..].parse().unwrap();
            assert_eq!(seen, value(key, versions[&key], length(key)));
        }
    }
    assert_eq!(client.ask("flush_all"), "OK");
    let stats = client.stats();
    assert_eq!(
        (stats["curr_items"], stats["extstore_objects_used"]),
        (0, 0)
    );
    assert!(
        stats["extstore_pages_used"] <= 3,
        "only those that are written to"
    );
}

#[test]
fn pages_are_given_up_or_emptied_and_nothing_stale_is_found() {
    for drops in [false, true] {
        let flashed = Flashed::start(12, |config| {
            config.knobs.ext_drop_unread = drops;
            config.knobs.ext_compact_under = 3;
            config.knobs.ext_drop_under = 2;
        });
        let mut client = flashed.client();
        for version in 0..4_u32 {
            for key in 0..1600_u32 {
                // Half of the keys are stored once, the others again and again.
                if version == 0 || key % 2 == 1 {
                    let seen = value(key, version, 30_000 + key as usize);
                    client.set(&format!("k{key}"), &seen);
                }
            }
            for key in (0..1600_u32).step_by(3) {
                let current = if key % 2 == 1 { version } else { 0 };
                let seen = client.get(&format!("k{key}"));
                let expected = value(key, current, 30_000 + key as usize);
                assert!(seen.is_none_or(|seen| seen == expected), "k{key}");
            }
        }
        let stats = client.stats();
        assert_eq!(stats["badcrc_from_extstore"], 0);
        let emptied = stats["extstore_page_evictions"] + stats["extstore_page_reclaims"];
        assert!(emptied > 10, "{stats:?}");
        assert!(stats["extstore_compact_rescues"] > 0 || drops, "{stats:?}");
        let limit = stats["extstore_pages_used"] + stats["extstore_pages_free"];
        assert_eq!(limit, 12);
    }
}

#[test]
fn what_needs_no_value_does_not_read_it() {
    let flashed = Flashed::start(8, at_once);
    let mut client = flashed.client();
    let stored = value(1, 1, 2000);
    client.set("k", &stored);
    client.wait_until_away("k");
    let cas = |client: &mut Client| {
        let line = client.ask("mg k s f c t");
        let cas = line.split(" c").nth(1).unwrap();
        assert!(line.starts_with("HD s2000 f7 c"), "{line}");
        cas.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let token = cas(&mut client);
    assert_eq!(client.ask("touch k 1000"), "TOUCHED");
    assert_eq!(cas(&mut client), token, "nothing has changed it");
    assert_eq!(
        client.ask("incr k 1"),
        "CLIENT_ERROR cannot increment or decrement non-numeric value"
    );
    assert_eq!(client.ask("append k 0 0 1\r\nx"), "NOT_STORED");
    assert_eq!(client.ask("prepend k 0 0 1\r\nx"), "NOT_STORED");
    assert_eq!(client.ask("ms k 1 MA\r\nx"), "NS");
    assert_eq!(client.ask("add k 0 0 1\r\nx"), "NOT_STORED");
    assert_eq!(
        client.ask(&format!("cas k 0 0 1 {}\r\nx", token + 1)),
        "EXISTS"
    );
    assert!(client.ask("me k").contains(" size=20"));
    assert_eq!(client.stat("get_extstore"), 0);
    assert_eq!(client.get("k").as_ref(), Some(&stored));
    client.send(b"gat 500 k\r\n");
    assert_eq!(client.items(), [("k".to_owned(), stored.clone())]);
    assert_eq!(client.stat("get_extstore"), 2);
    assert_eq!(
        client.ask(&format!(
            "cas k 7 0 2000 {token}\r\n{}",
            String::from_utf8(stored.clone()).unwrap()
        )),
        "STORED"
    );
    client.wait_until_away("k");
    assert_eq!(client.ask("replace k 7 0 3\r\nnew"), "STORED");
    assert_eq!(client.get("k").as_deref(), Some(&b"new"[..]));
    client.set("k", &stored);
    client.wait_until_away("k");
    assert_eq!(client.ask("delete k"), "DELETED");
    assert_eq!(client.get("k"), None);
    assert_eq!(client.stat("extstore_objects_used"), 0);
}

#[test]
fn replies_keep_their_order_in_every_protocol() {
    let flashed = Flashed::start(16, at_once);
    let mut client = flashed.client();
    let stored = value(5, 5, 3000);
    for key in ["a", "b", "c"] {
        client.set(key, &stored);
    }
    for key in ["a", "b", "c"] {
        client.wait_until_away(key);
    }
    let text = String::from_utf8(stored.clone()).unwrap();
    // One packet: what is on flash, what is not there, what is small, and changes in between.
    let requests = "get a\r\nset small 1 0 2\r\nhi\r\nget a small no b\r\nmg b v k s Oq\r\nmg no v q\r\n\
         gets small\r\ndelete a\r\nget a\r\nmg c k v q\r\nmn\r\nversion\r\n";
    client.send(requests.as_bytes());
    let gets = client.items();
    assert_eq!(gets, [("a".to_owned(), stored.clone())]);
    assert_eq!(client.line(), "STORED");
    assert_eq!(client.line(), "VALUE a 7 3000");
    assert_eq!(client.line(), text);
    assert_eq!([client.line(), client.line()], ["VALUE small 1 2", "hi"]);
    assert_eq!([client.line(), client.line()], ["VALUE b 7 3000", &text]);
    assert_eq!(client.line(), "END");
    assert_eq!(
        [client.line(), client.line()],
        ["VA 3000 kb s3000 Oq", &text]
    );
    assert!(client.line().starts_with("VALUE small 1 2 "));
    assert_eq!([client.line(), client.line()], ["hi", "END"]);
    assert_eq!([client.line(), client.line()], ["DELETED", "END"]);
    assert_eq!([client.line(), client.line()], ["VA 3000 kc", &text]);
    assert_eq!([client.line(), client.line()], ["MN", "VERSION 1.6.45"]);

    let mut binary = flashed.client();
    let get = |opcode, key| {
        Packet {
            opcode,
            key,
            ..Packet::default()
        }
        .bytes()
    };
    // GetQ of a value on flash and of none, GetK, and a no-op behind.
    binary.send(
        &[
            get(0x09, "b"),
            get(0x09, "no"),
            get(0x0c, "c"),
            get(0x0a, ""),
        ]
        .concat(),
    );
    let header = |opcode: u8, key: u16, body: u32| {
        let mut start = vec![0x81, opcode];
        start.extend(key.to_be_bytes());
        start.extend([4, 0, 0, 0]);
        start.extend(body.to_be_bytes());
        start
    };
    let first = binary.bytes(24 + 4 + 3000);
    assert!(first.starts_with(&header(0x09, 0, 3004)) && first.ends_with(&stored));
    let second = binary.bytes(24 + 4 + 1 + 3000);
    assert!(second.starts_with(&header(0x0c, 1, 3005)) && second.ends_with(&stored));
    assert_eq!(binary.bytes(24)[..2], [0x81, 0x0a]);
}

#[test]
fn damage_is_a_miss_and_nobody_else_suffers() {
    let flashed = Flashed::start(8, at_once);
    let mut client = flashed.client();
    for key in 0..20_u32 {
        client.set(&format!("k{key}"), &value(key, 0, 5000));
    }
    (0..20).for_each(|key| client.wait_until_away(&format!("k{key}")));
    // A byte of one value, wherever it is.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(flashed.file())
        .unwrap();
    let bytes = std::fs::read(flashed.file()).unwrap();
    let wanted = value(3, 0, 100);
    let at = bytes
        .windows(100)
        .position(|window| window == wanted)
        .unwrap();
    file.write_all_at(b"X", at as u64 + 50).unwrap();
    for key in 0..20_u32 {
        let seen = client.get(&format!("k{key}"));
        assert_eq!(seen, (key != 3).then(|| value(key, 0, 5000)));
    }
    let stats = client.stats();
    assert_eq!(
        (stats["badcrc_from_extstore"], stats["miss_from_extstore"]),
        (1, 1)
    );
    assert_eq!((stats["get_hits"], stats["get_misses"]), (19, 1));
    assert_eq!(stats["curr_items"], 19, "the item has gone");
    assert_eq!(client.ask("stats reset"), "RESET");
    let stats = client.stats();
    assert_eq!(
        (stats["get_extstore"], stats["badcrc_from_extstore"]),
        (0, 0)
    );
    // The file is emptied under the server: nothing is there, and that is all.
    file.set_len(0).unwrap();
    client.send(b"get k1 k2\r\nmg k4 v k\r\nmg k5 v q\r\nmn\r\n");
    assert_eq!(client.items(), []);
    assert_eq!([client.line(), client.line()], ["EN kk4", "MN"]);
    client.set("k1", b"new");
    assert_eq!(client.get("k1").as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_full_device_leaves_a_cache_in_memory() {
    let flashed = Flashed::start(0, |config| {
        config.flash.files = vec![FlashFile::new("/dev/full", 64 << 20)];
    });
    let mut client = flashed.client();
    for key in 0..2000_u32 {
        client.set(&format!("k{key}"), &value(key, 0, 20_000));
    }
    let last = client.get("k1999");
    assert_eq!(last, Some(value(1999, 0, 20_000)));
    let stats = client.stats();
    assert!(stats["evictions"] > 500);
    assert_eq!(
        (stats["extstore_objects_used"], stats["get_extstore"]),
        (0, 0)
    );
}

#[test]
fn what_is_read_again_and_again_comes_back_to_memory() {
    let flashed = Flashed::start(8, |config| {
        config.knobs.ext_item_age = 2;
        config.knobs.ext_recache_rate = 1;
    });
    let mut client = flashed.client();
    let stored = value(1, 1, 2000);
    client.set("k", &stored);
    client.wait_until_away("k");
    assert_eq!(client.get("k").as_ref(), Some(&stored));
    assert!(client.is_away("k"), "once is not enough");
    assert_eq!(client.get("k").as_ref(), Some(&stored));
    assert_eq!(client.get("k").as_ref(), Some(&stored));
    let stats = client.stats();
    assert_eq!(
        (stats["recache_from_extstore"], stats["get_extstore"]),
        (1, 2)
    );
    assert_eq!(stats["extstore_objects_used"], 0);
}

#[test]
fn clients_that_go_while_values_are_read_harm_nobody() {
    let flashed = Flashed::start(16, at_once);
    let mut client = flashed.client();
    let names: Vec<String> = (0..100).map(|key| format!("k{key}")).collect();
    for name in &names {
        client.set(name, &value(1, 2, 50_000));
    }
    client.wait_until_away("k0");
    for _ in 0..50 {
        let mut other = flashed.client();
        other.send(format!("get {}\r\n", names.join(" ")).as_bytes());
        drop(other);
    }
    client.send(format!("get {}\r\n", names.join(" ")).as_bytes());
    assert_eq!(client.items().len(), 100);
    let began = Instant::now();
    while client.stat("curr_connections") > 1 || client.stat("read_buf_bytes") > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "what they held is given back"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_asked_for_is_answered_before_the_server_ends_and_another_may_follow() {
    let flashed = Flashed::start(16, at_once);
    let mut client = flashed.client();
    client.set("k", &value(1, 2, 50_000));
    client.wait_until_away("k");
    client.send(b"get k\r\n");
    let Flashed {
        server,
        folder,
        cache,
        config,
    } = flashed;
    let stopping = std::thread::spawn(move || server.stop());
    assert_eq!(client.items().len(), 1);
    drop(client);
    stopping.join().unwrap();
    assert!(!cache.contains(b"k"), "its value is nowhere any more");
    // Twice at a time is refused, one after the other is not.
    let flashed = Flashed::serve(folder, cache, config.clone()).unwrap();
    let taken = larder_server::serve(flashed.cache.clone(), config);
    assert!(taken.unwrap_err().to_string().starts_with("ext_path "));
    let mut client = flashed.client();
    client.set("k", &value(1, 3, 50_000));
    client.wait_until_away("k");
    assert_eq!(client.get("k"), Some(value(1, 3, 50_000)));
}

#[test]
fn encrypted_connections_wait_for_values_too() {
    use std::io::{Read, Write};
    let files = Files::new();
    let flashed = Flashed::start(16, |config| {
        at_once(config);
        files.apply(config);
        config.listen = vec!["127.0.0.1".to_owned(), "notls:127.0.0.1:0".to_owned()];
    });
    let stored = value(3, 3, 200_000);
    let mut encrypted = files.connect(flashed.server.addresses()[0]);
    let header = b"set k 7 0 200000\r\n";
    encrypted
        .write_all(&[&header[..], &stored, b"\r\n"].concat())
        .unwrap();
    let mut answer = [0; 8];
    encrypted.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"STORED\r\n");
    let began = Instant::now();
    loop {
        encrypted
            .write_all(b"me k\r\nlru_crawler metadump all\r\n")
            .unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"END\r\n") {
            let mut byte = [0];
            encrypted.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        if seen.windows(10).any(|window| window == b" ext_page=") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    encrypted.write_all(b"get k no k\r\nversion\r\n").unwrap();
    let item = [&b"VALUE k 7 200000\r\n"[..], &stored, b"\r\n"].concat();
    let expected = [&item[..], &item, b"END\r\nVERSION 1.6.45\r\n"].concat();
    let mut answer = vec![0; expected.len()];
    encrypted.read_exact(&mut answer).unwrap();
    assert!(answer == expected);
}

#[test]
fn knobs_and_pages_are_shown_and_can_be_turned() {
    let flashed = Flashed::start(3, |_| ());
    let mut client = flashed.client();
    assert_eq!(client.ask("extstore item_age 0"), "OK");
    assert_eq!(client.ask("extstore item_size 1000"), "OK");
    client.set("small", &[b's'; 500]);
    client.set("k", &value(1, 1, 2000));
    client.wait_until_away("k");
    assert!(!client.is_away("small"));
    client.send(b"stats extstore\r\n");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "END") {
        lines.push(client.line());
    }
    assert_eq!(lines[..2], ["STAT 0:version 1", "STAT 0:bytes 2017"]);
    assert_eq!(
        lines[2..5],
        [
            "STAT 0:bucket 0",
            "STAT 0:free_bucket 0",
            "STAT 1:version 0"
        ]
    );
    assert_eq!(lines.len(), 13);
}
