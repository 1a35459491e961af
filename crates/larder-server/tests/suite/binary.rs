//! The binary: flags, exit codes, signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use crate::sockets::tcp;

pub(crate) fn larderd(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larderd"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(args: &[&str]) -> Output {
    larderd(args).output().unwrap()
}

/// The binary, serving on a port that the system chose; it ends with the value.
pub(crate) struct Process {
    child: Child,
    address: String,
    /// What it told until it listened, and who reads the rest.
    told: String,
    reader: Option<std::thread::JoinHandle<String>>,
}

impl Process {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these flags besides.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        Self::try_start_with(flags).unwrap()
    }

    /// The same; `None` if it ends instead of serving.
    pub(crate) fn try_start_with(flags: &[&str]) -> Option<Self> {
        let args = [&["-p", "-1", "-v"], flags].concat();
        let mut child = larderd(&args).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = String::new();
        let address = loop {
            let Some(line) = lines.next() else {
                let _ = child.wait();
                return None;
            };
            let line = line.unwrap();
            told += &line;
            told += "\n";
            if let Some((_, address)) = line.split_once("listening on ") {
                break address.to_owned();
            }
        };
        let rest = move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n");
        Some(Self {
            child,
            address,
            told,
            reader: Some(std::thread::spawn(rest)),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines on stderr until it listened.
    pub(crate) fn told(&self) -> &str {
        &self.told
    }

    /// The lines on stderr since it listened, once it has ended.
    pub(crate) fn rest(&mut self) -> String {
        self.reader.take().unwrap().join().unwrap()
    }

    /// Ends it by a signal: its exit code, and the lines on stderr since it listened.
    pub(crate) fn end(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let code = self.wait();
        let rest = self.rest();
        (code, rest)
    }

    /// The socket that it listens on, if that is one of files.
    pub(crate) fn unix_path(&self) -> Option<&str> {
        self.address.starts_with('/').then_some(&self.address)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        tcp(&self.address)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Its exit code, once it has ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = output(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for flag in [
        "--port",
        "--listen",
        "--unix-socket",
        "--memory-limit",
        "--conn-limit",
    ] {
        assert!(text.contains(flag), "{flag}");
    }
    let version = output(&["-V"]);
    assert_eq!(
        version.stdout,
        format!("larderd {}\n", env!("CARGO_PKG_VERSION")).into_bytes()
    );
}

#[test]
fn mistakes_are_told_on_stderr_with_memcacheds_exit_codes() {
    for (args, code, word) in [
        (&["-p", "65536"][..], 64, "-p"),
        (&["-I", "1"], 64, "-I"),
        (&["--nonsense"], 1, "nonsense"),
        (&["-t", "0"], 1, "-t"),
        (&["-l", "192.0.2.1", "-p", "-1"], 71, "192.0.2.1"),
        (&["-s", "/nonexistent/socket"], 71, "/nonexistent/socket"),
        (&["-Y", "/nonexistent/file"], 1, "/nonexistent/file"),
    ] {
        let output = output(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(word), "{args:?}: {text}");
    }
}

#[test]
fn signals_end_it_with_exit_code_zero() {
    for signal in ["-TERM", "-INT", "-USR1"] {
        let mut server = Process::start();
        let mut client = server.connect();
        client.write_all(b"version\r\n").unwrap();
        let mut answer = [0; 16];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"VERSION 1.6.45\r\n");
        server.signal(signal);
        assert_eq!(server.wait(), Some(0));
        assert_eq!(client.read(&mut answer).unwrap_or(0), 0);
    }
}
