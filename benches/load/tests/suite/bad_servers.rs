//! Servers that refuse, close, lie or say nothing: a clear error and an exit code, and never a hang.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

/// A server that answers the request for its version, and does with every later piece of input what
/// `answer` says, until that is `false`.
fn fake(answer: impl Fn(&mut TcpStream, &[u8]) -> bool + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = std::sync::Arc::clone(&answer);
            std::thread::spawn(move || serve(stream.unwrap(), &*answer));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&mut TcpStream, &[u8]) -> bool) {
    let mut input = [0; 4096];
    loop {
        let bytes = stream.read(&mut input).unwrap_or(0);
        let piece = &input[..bytes];
        let goes_on = if piece.starts_with(b"version") {
            stream.write_all(b"VERSION 0\r\n").is_ok()
        } else {
            answer(&mut stream, piece)
        };
        if bytes == 0 || !goes_on {
            return;
        }
    }
}

fn bench(server: &str, flags: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_larder-bench"))
        .arg(server)
        .args(flags.split_ascii_whitespace())
        .output()
        .unwrap()
}

fn assert_fails(output: &Output, code: i32, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
}

const FLAGS: &str = "--prefill no --mix get --requests 100000 --connections 3";
/// The flags that end the silence of a server; long enough for a busy machine to answer once.
const IMPATIENT: &str = "--timeout 1";

#[test]
fn nobody_listens() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let output = bench(&address, FLAGS);
    assert_fails(&output, 1, &format!("{address}: cannot connect: "));
    let output = bench("/no/such/socket", FLAGS);
    assert_fails(&output, 1, "/no/such/socket: cannot connect: ");
}

#[test]
fn it_closes_in_the_middle() {
    let address = fake(|stream, _| {
        let _ = stream.write_all(b"VALUE key-");
        false
    });
    let output = bench(&address, FLAGS);
    assert_fails(&output, 1, "the server closed a connection");
    assert_fails(&output, 1, "requests unanswered on it: 1");
}

#[test]
fn it_says_nothing() {
    let address = fake(|_, _| true);
    let silence = "no reply for 1 s (--timeout) on 3 connections";
    for flags in [FLAGS, &format!("{FLAGS} --rate 1000"), "--connections 3"] {
        let output = bench(&address, &format!("{flags} {IMPATIENT}"));
        assert_fails(&output, 1, silence);
    }
}

#[test]
fn it_does_not_even_tell_its_version() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let output = bench(&address, &format!("{FLAGS} {IMPATIENT}"));
    assert_fails(&output, 1, "the first of which asked for its version");
}

#[test]
fn it_answers_something_else() {
    let address = fake(|stream, _| stream.write_all(b"ERROR\r\n").is_ok());
    let output = bench(&address, FLAGS);
    assert_fails(&output, 1, "wrong reply to `get key-");
    assert_fails(&output, 1, "\"ERROR\\r\\n\" (no answer to it)");
    let meta = format!("{FLAGS} --protocol meta");
    assert_fails(&bench(&address, &meta), 1, "\"ERROR\\r\\n\"");
}

#[test]
fn it_does_not_speak_the_protocol() {
    let address = fake(|stream, _| stream.write_all(b"ERROR\r\n").is_ok());
    let binary = format!("{FLAGS} --protocol binary");
    assert_fails(
        &bench(&address, &binary),
        1,
        "in the binary protocol (--protocol)",
    );
    assert_fails(&bench(&address, &binary), 1, "answers \"ERROR\\r\\n\"");
}

#[test]
fn it_gives_wrong_values() {
    let address = fake(|stream, input| {
        let key = &input[4..input.len() - 2];
        let value = [&b"VALUE "[..], key, b" 0 3\r\nabc\r\nEND\r\n"].concat();
        stream.write_all(&value).is_ok()
    });
    let flags = "--prefill no --mix get --requests 30 --connections 3";
    assert_eq!(bench(&address, flags).status.code(), Some(0));
    let output = bench(&address, &format!("{flags} --verify"));
    assert_fails(
        &output,
        1,
        "30 values were not the ones stored under their keys",
    );
}

#[test]
fn a_reply_in_single_bytes_is_read_all_the_same() {
    let address = fake(|stream, _| {
        stream.set_nodelay(true).unwrap();
        b"END\r\n"
            .iter()
            .all(|byte| stream.write_all(&[*byte]).is_ok())
    });
    let output = bench(
        &address,
        "--prefill no --mix get --requests 30 --connections 3 --json -",
    );
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["result"]["all"]["misses"], 30);
}

#[test]
fn a_command_that_does_not_come_up() {
    assert_fails(
        &bench("exit 3 # {port}", FLAGS),
        1,
        "the command ended before it listened",
    );
}

#[test]
fn a_process_that_is_not_there() {
    let address = fake(|stream, _| stream.write_all(b"END\r\n").is_ok());
    let output = bench(&address, &format!("{FLAGS} --server-pid 4294967295"));
    assert_fails(&output, 1, "cannot read the cpu time of process 4294967295");
}
