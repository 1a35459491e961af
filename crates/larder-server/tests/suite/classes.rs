//! Statistics of commands by the size class of their item.

use std::collections::BTreeMap;
use std::net::TcpStream;

use crate::admin::{lines, stats};
use crate::sockets::{connect, exchange, start, stat};

/// What commands did to items of two sizes is told size by size, and adds up to the whole.
#[test]
fn commands_are_counted_for_the_class_of_their_item() {
    let (_, server) = start(|_| ());
    let mut client = connect(&server);
    let long = "v".repeat(1000);
    let request = format!(
        "set n 0 0 1\r\n1\r\nset v 0 0 1000\r\n{long}\r\nms n 1\r\n5\r\nget n v\r\nmg n\r\nincr n 1\r\n\
         ma n\r\ndecr n 1\r\ntouch v 0\r\ngat 0 n\r\nmg v T0\r\ncas n 0 0 1 1\r\n1\r\ndelete n\r\nmd v\r\n\
         set n 0 0 1\r\n1\r\nset v 0 0 1000\r\n{long}\r\nget n\r\nget absent\r\n"
    );
    let reply = format!(
        "STORED\r\nSTORED\r\nHD\r\nVALUE n 0 1\r\n5\r\nVALUE v 0 1000\r\n{long}\r\nEND\r\nHD\r\n6\r\nHD\r\n6\r\n\
         TOUCHED\r\nVALUE n 0 1\r\n6\r\nEND\r\nHD\r\nEXISTS\r\nDELETED\r\nHD\r\nSTORED\r\nSTORED\r\n\
         VALUE n 0 1\r\n1\r\nEND\r\nEND\r\n"
    );
    exchange(&mut client, request.as_bytes(), reply.as_bytes());
    let slabs: BTreeMap<_, _> = stats(&mut client, "slabs").into_iter().collect();
    let classes: Vec<&str> = slabs
        .keys()
        .filter_map(|row| row.strip_suffix(":chunk_size"))
        .collect();
    let [short, long] = classes[..] else {
        panic!("{classes:?}");
    };
    let number =
        |class: &str, name: &str| slabs[&format!("{class}:{name}")].parse::<u64>().unwrap();
    for (name, of_short, of_long) in [
        ("get_hits", 3, 1),
        ("cmd_set", 4, 2),
        ("delete_hits", 1, 1),
        ("incr_hits", 2, 0),
        ("decr_hits", 1, 0),
        ("cas_hits", 0, 0),
        ("cas_badval", 1, 0),
        ("touch_hits", 1, 2),
        ("used_chunks", 1, 1),
    ] {
        assert_eq!(
            (number(short, name), number(long, name)),
            (of_short, of_long),
            "{name}"
        );
        if name != "used_chunks" {
            assert_eq!(stat(&mut client, name), of_short + of_long, "{name}");
        }
    }
    assert_eq!(slabs["active_slabs"], "2");
    // The numbers are those of dumps, and of everything else that names a class.
    let line = |client: &mut TcpStream, request: &str| lines(client, request).join("\n");
    let dump = line(&mut client, &format!("lru_crawler metadump {long}\r\n"));
    assert!(dump.contains("key=v exp=-1 la=") && dump.contains(&format!(" cls={long} ")));
    assert!(!dump.contains("key=n"));
    let dump = line(&mut client, &format!("stats cachedump {short} 0\r\n"));
    assert_eq!(dump, "ITEM n [1 b; 0 s]");
    exchange(&mut client, b"stats reset\r\n", b"RESET\r\n");
    for (name, value) in stats(&mut client, "slabs") {
        if ["get_hits", "cmd_set", "touch_hits"]
            .iter()
            .any(|counter| name.ends_with(counter))
        {
            assert_eq!(value, "0", "{name}");
        }
    }
}
