//! Wrong flags are told by name, before anything is sent.

use std::process::Command;

const SERVER: &str = "127.0.0.1:1";

fn refused(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_larder-bench"))
        .args(arguments)
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    message
}

#[test]
fn a_value_out_of_range_names_its_flag() {
    let cases = [
        ("--connections", "0"),
        ("--threads", "0"),
        ("--pipeline", "x"),
        ("--multi-get", "0"),
        ("--mix", "get=0"),
        ("--mix", "fly=1"),
        ("--rate", "-5"),
        ("--rate", "0%"),
        ("--keys", "zipf:-1"),
        ("--keys", "some"),
        ("--key-count", "5000000000"),
        ("--key-bytes", "251"),
        ("--key-prefix", "a b"),
        ("--value-bytes", "9-3"),
        ("--ttl", "soon"),
        ("--time", "0"),
        ("--timeout", "0"),
        ("--cpus", "1-"),
        ("--server-pid", "me"),
        ("--protocol", "redis"),
        ("--suite", "fast"),
        ("--rounds", "0"),
    ];
    for (flag, value) in cases {
        let message = refused(&[SERVER, &format!("{flag}={value}")]);
        assert!(message.contains(flag), "{flag}={value}: {message}");
    }
}

#[test]
fn flags_that_do_not_go_together_are_named() {
    let cases: [(&[&str], &str); 12] = [
        (&["--value-bytes", "100m"], "--value-bytes"),
        (&["--interval", "0.001", "--time", "60"], "--interval"),
        (&["--threads", "60"], "--threads"),
        (&["--keys", "trace:/no/such/file"], "--keys: /no/such/file"),
        (&["--ttl", "trace"], "--ttl"),
        (&["--multi-get", "2", "--fill-misses"], "--multi-get"),
        (&["--suite", "get"], "--suite"),
        (&["--rate", "70%"], "--rate"),
        (&["--arrivals", "even"], "--rate"),
        (&["--key-bytes", "4"], "--key-bytes"),
        (&["--server-cpus", "0"], "--server-cpus"),
        (&["127.0.0.1:2", "--server-pid", "1"], "--server-pid"),
    ];
    for (flags, name) in cases {
        let message = refused(&[&[SERVER], flags].concat());
        assert!(message.contains(name), "{flags:?}: {message}");
    }
}

#[test]
fn servers_must_be_one_or_two() {
    assert!(refused(&[]).contains("<SERVER>"));
    assert!(refused(&["nowhere"]).contains("neither HOST:PORT"));
    refused(&[SERVER, SERVER, SERVER]);
}

#[test]
fn help_goes_to_standard_output_and_names_every_flag_group() {
    let output = Command::new(env!("CARGO_BIN_EXE_larder-bench"))
        .arg("--help")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for group in ["Load:", "Keys and values:", "Run:", "Output:", "Examples:"] {
        assert!(text.contains(group), "{group}");
    }
}
