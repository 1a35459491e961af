//! What a server is asked besides its load, once in a run: things that may keep others waiting. On a
//! connection of its own, a quarter into the time that is measured.

use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::server::Server;

/// One of those things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duress {
    /// `lru_crawler metadump all`
    Metadump,
    /// `stats items`
    StatsItems,
    /// `stats sizes`
    StatsSizes,
    /// `cache_memlimit`, to half and back
    Memlimit,
    /// A value as large as the server takes
    LargeSet,
    /// A million new keys
    Growth,
    /// A million keys that expire in one second, and others in their place
    Expiry,
    /// `flush_all`
    Flush,
}

/// Keys that growth stores, and that expire.
const NEW_KEYS: usize = 1_000_000;
/// For how long those live, in seconds, and how long after that others are stored.
const LIFETIME: u32 = 2;
const AFTER_EXPIRY: Duration = Duration::from_millis(500);
/// Bytes that are sent at a time.
const PIECE_BYTES: usize = 64 << 10;
/// What a value has less than the server's limit on items, for its key and header.
const OVERHEAD_BYTES: usize = 1024;
const MIB: usize = 1 << 20;
const BUSY_TRIES: usize = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

impl Duress {
    /// Does it; for how long it went on.
    ///
    /// # Errors
    /// The server fails.
    pub fn happen(self, server: &Server, timeout: Duration) -> Result<Duration, Error> {
        let failed = |error| Error::system(format!("ask {} for {self:?}", server.name()), error);
        let mut talk = Talk::new(server.connect(timeout).map_err(failed)?);
        match self {
            Self::LargeSet => {
                let bytes = talk.setting("settings", "item_size_max").map_err(failed)?;
                let bytes = bytes.saturating_sub(OVERHEAD_BYTES);
                let began = Instant::now();
                talk.set_large(bytes).map_err(failed)?;
                Ok(began.elapsed())
            }
            Self::Memlimit => {
                let bytes = talk.setting("", "limit_maxbytes").map_err(failed)?;
                let began = Instant::now();
                for megabytes in [bytes / MIB / 2, bytes / MIB] {
                    let line = format!("cache_memlimit {megabytes}\r\n");
                    talk.ask(line.as_bytes()).map_err(failed)?;
                }
                Ok(began.elapsed())
            }
            Self::Growth => {
                let began = Instant::now();
                talk.grow("growth", 0).map_err(failed)?;
                Ok(began.elapsed())
            }
            Self::Expiry => {
                let began = Instant::now();
                talk.grow("expiring", LIFETIME).map_err(failed)?;
                std::thread::sleep(Duration::from_secs(LIFETIME.into()) + AFTER_EXPIRY);
                talk.grow("lasting", 0).map_err(failed)?;
                Ok(began.elapsed())
            }
            Self::Metadump => talk.dump().map_err(failed),
            Self::StatsItems => talk.timed(b"stats items\r\n").map_err(failed),
            Self::StatsSizes => talk.timed(b"stats sizes\r\n").map_err(failed),
            Self::Flush => talk.timed(b"flush_all\r\n").map_err(failed),
        }
    }
}

/// A conversation in whole lines.
struct Talk<S> {
    stream: BufReader<S>,
}

impl<S: std::io::Read + Write> Talk<S> {
    fn new(stream: S) -> Self {
        Self {
            stream: BufReader::with_capacity(PIECE_BYTES, stream),
        }
    }

    /// Sends a command and reads its reply, to the line that ends it; calls `each` for the others.
    fn ask_each(&mut self, command: &[u8], mut each: impl FnMut(&str)) -> std::io::Result<()> {
        self.stream.get_mut().write_all(command)?;
        let mut line = Vec::new();
        loop {
            line.clear();
            if self.stream.read_until(b'\n', &mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            match text.split(' ').next().unwrap_or_default() {
                // Of a dump, of statistics.
                word if word.starts_with("key=") || word == "STAT" => each(text),
                "END" | "OK" | "STORED" | "MN" | "RESET" => return Ok(()),
                _ => return Err(std::io::Error::other(text.to_owned())),
            }
        }
    }

    fn ask(&mut self, command: &[u8]) -> std::io::Result<()> {
        self.ask_each(command, |_| ())
    }

    fn timed(&mut self, command: &[u8]) -> std::io::Result<Duration> {
        let began = Instant::now();
        self.ask(command)?;
        Ok(began.elapsed())
    }

    /// Asks again while the server is walking over its items of its own accord.
    fn dump(&mut self) -> std::io::Result<Duration> {
        for _ in 0..BUSY_TRIES {
            let began = Instant::now();
            let accepted = self.ask(b"lru_crawler metadump all\r\n");
            // The dump follows the word.
            match accepted.and_then(|()| self.ask(b"")) {
                Err(error) if error.to_string().starts_with("BUSY") => {
                    std::thread::sleep(BUSY_PAUSE);
                }
                done => return done.map(|()| began.elapsed()),
            }
        }
        Err(std::io::Error::other("it is busy all the time"))
    }

    /// A number among the statistics of a group.
    fn setting(&mut self, group: &str, name: &str) -> std::io::Result<usize> {
        let mut found = None;
        let command = format!("stats {group}");
        self.ask_each(format!("{}\r\n", command.trim_end()).as_bytes(), |line| {
            let mut words = line.split(' ').skip(1);
            if words.next() == Some(name) {
                found = words.next().and_then(|number| number.parse().ok());
            }
        })?;
        found.ok_or_else(|| std::io::Error::other(format!("it does not tell its {name}")))
    }

    fn set_large(&mut self, value_bytes: usize) -> std::io::Result<()> {
        let stream = self.stream.get_mut();
        write!(stream, "set duress-large 0 0 {value_bytes}\r\n")?;
        let piece = vec![b'v'; PIECE_BYTES];
        let mut left = value_bytes;
        while left > 0 {
            let bytes = left.min(piece.len());
            stream.write_all(&piece[..bytes])?;
            left -= bytes;
        }
        self.ask(b"\r\n")
    }

    /// Stores keys that begin like this, for so many seconds, or for good.
    fn grow(&mut self, prefix: &str, lifetime: u32) -> std::io::Result<()> {
        let mut requests = Vec::with_capacity(2 * PIECE_BYTES);
        for number in 0..NEW_KEYS {
            let line = format!("set duress-{prefix}-{number} 0 {lifetime} 1 noreply\r\nv\r\n");
            requests.extend_from_slice(line.as_bytes());
            if requests.len() >= PIECE_BYTES {
                self.stream.get_mut().write_all(&requests)?;
                requests.clear();
            }
        }
        requests.extend_from_slice(b"mn\r\n");
        self.ask(&requests)
    }
}
