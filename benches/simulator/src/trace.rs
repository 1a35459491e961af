//! Reads a trace once and keeps it in memory in 5 bytes a request.
//!
//! The format is one request a line, `key_id,size_bytes,op,ttl_s,time_s`, behind a header, compressed with zstd. Keys
//! are dense, so everything that is known of a key (size, lifetime) sits in an array indexed by key and a request is
//! its key and its operation. Times are kept only where the trace has a clock. Nothing here knows of caches.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// A key of the trace: dense, numbered from 0 in order of first appearance.
pub type Key = u32;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Look the key up; on a miss the client stores it.
    Get,
    /// Store the key.
    Set,
    /// Remove the key.
    Delete,
}

impl Op {
    const fn from_stored(op: u8) -> Self {
        match op {
            0 => Self::Get,
            1 => Self::Set,
            _ => Self::Delete,
        }
    }
}

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which key.
    pub key: Key,
    /// What is asked.
    pub op: Op,
    /// Seconds since the trace's start; 0 where the source has no clock.
    pub seconds: u32,
}

/// A whole trace.
#[derive(Debug, Default)]
pub struct Trace {
    keys: Vec<Key>,
    ops: Vec<u8>,
    /// Parallel to `keys`, or empty where every time is 0.
    seconds: Vec<u32>,
    /// Key plus value in bytes, by key.
    pub sizes: Vec<u32>,
    /// Lifetime of a set in seconds, by key; 0 is no expiry.
    pub ttls: Vec<u32>,
}

/// The longest window a trace may be compressed with, as a power of two.
const WINDOW_LOG_MAX: u32 = 27;

/// How far a key may be beyond what the number of requests before it allows.
const KEY_GAP_MAX: usize = 1 << 20;

impl Trace {
    /// Reads `NAME.csv.zst` from `folder`.
    ///
    /// # Errors
    /// When the file cannot be read or a line is not in the format.
    pub fn open(folder: &Path, name: &str) -> io::Result<Self> {
        Self::open_file(&folder.join(format!("{name}.csv.zst")))
    }

    /// Reads a trace from a file, compressed if its name ends with `.zst`.
    ///
    /// # Errors
    /// When the file cannot be read or a line is not in the format.
    pub fn open_file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if path.extension().is_none_or(|extension| extension != "zst") {
            return Self::parse(BufReader::with_capacity(1 << 20, file));
        }
        let mut decoder = zstd::Decoder::new(file)?;
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        Self::parse(BufReader::with_capacity(1 << 20, decoder))
    }

    /// Reads a trace in text form, header first.
    ///
    /// # Errors
    /// When reading fails or a line is not in the format.
    pub fn parse(mut text: impl BufRead) -> io::Result<Self> {
        let mut trace = Self::default();
        let mut line = Vec::with_capacity(64);
        text.read_until(b'\n', &mut line)?;
        loop {
            line.clear();
            if text.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let request = parse_line(&line).ok_or_else(|| malformed(&line))?;
            // Keys count up by first appearance, more or less: a line must not say how much memory
            // it gets.
            if request.0 as usize > trace.keys.len() + KEY_GAP_MAX {
                return Err(malformed(&line));
            }
            trace.push(request);
        }
        if trace.seconds.iter().all(|&seconds| seconds == 0) {
            trace.seconds = Vec::new();
        }
        Ok(trace)
    }

    fn push(&mut self, (key, size, op, ttl, seconds): (Key, u32, Op, u32, u32)) {
        let index = key as usize;
        if index >= self.sizes.len() {
            self.sizes.resize(index + 1, 0);
            self.ttls.resize(index + 1, 0);
        }
        self.sizes[index] = size;
        self.ttls[index] = ttl;
        self.keys.push(key);
        self.ops.push(op as u8);
        self.seconds.push(seconds);
    }

    /// The requests in order.
    pub fn requests(&self) -> impl Iterator<Item = Request> + '_ {
        let seconds = self.seconds.iter().copied().chain(std::iter::repeat(0));
        self.keys
            .iter()
            .zip(&self.ops)
            .zip(seconds)
            .map(|((&key, &op), seconds)| Request {
                key,
                op: Op::from_stored(op),
                seconds,
            })
    }

    /// The request at a place, counted from 0; none behind the end.
    #[must_use]
    pub fn request(&self, index: usize) -> Option<Request> {
        Some(Request {
            key: *self.keys.get(index)?,
            op: Op::from_stored(self.ops[index]),
            seconds: self.seconds.get(index).copied().unwrap_or(0),
        })
    }

    /// How many requests there are.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.keys.len()
    }

    /// How many distinct keys there are.
    pub fn key_count(&self) -> usize {
        self.sizes.len()
    }
}

fn malformed(line: &[u8]) -> io::Error {
    let line = String::from_utf8_lossy(line);
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a trace line: {}", line.trim_end()),
    )
}

fn parse_line(line: &[u8]) -> Option<(Key, u32, Op, u32, u32)> {
    let mut fields = line.trim_ascii_end().split(|&byte| byte == b',');
    let key = parse_number(fields.next()?)?;
    let size = parse_number(fields.next()?)?;
    let op = match fields.next()? {
        b"g" => Op::Get,
        b"s" => Op::Set,
        b"d" => Op::Delete,
        _ => return None,
    };
    Some((
        key,
        size,
        op,
        parse_number(fields.next()?)?,
        parse_number(fields.next()?)?,
    ))
}

fn parse_number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, &digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_written() {
        let text = b"key_id,size_bytes,op,ttl_s,time_s\n0,737,g,60,0\n1,5,s,0,3\n0,737,d,60,4\n";
        let trace = Trace::parse(&text[..]).unwrap();
        assert_eq!(trace.sizes, [737, 5]);
        assert_eq!(trace.ttls, [60, 0]);
        assert_eq!(trace.request_count(), 3);
        assert!(
            (0..4)
                .map(|index| trace.request(index))
                .eq(trace.requests().map(Some).chain([None]))
        );
        let requests: Vec<_> = trace.requests().collect();
        assert_eq!(
            requests[0],
            Request {
                key: 0,
                op: Op::Get,
                seconds: 0
            }
        );
        assert_eq!(
            requests[1],
            Request {
                key: 1,
                op: Op::Set,
                seconds: 3
            }
        );
        assert_eq!(
            requests[2],
            Request {
                key: 0,
                op: Op::Delete,
                seconds: 4
            }
        );
    }

    #[test]
    fn refuses_a_broken_line() {
        assert!(Trace::parse(&b"header\n0,12,x,0,0\n"[..]).is_err());
        assert!(Trace::parse(&b"header\n0,12\n"[..]).is_err());
        assert!(Trace::parse(&b"header\n4000000000,12,g,0,0\n"[..]).is_err());
    }
}
