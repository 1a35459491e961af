//! Writing a saved cache: records are gathered under a shard's lock, and written without one.

use std::io::{self, Write};

use super::{
    BLOCK_BYTES_MAX, HAS_PLACES, Head, Kind, LONG_VALUE_BYTES, MAGIC, Record, Saved, VERSION,
    checksum,
};
use crate::arena::Pinned;
use crate::time::Timestamp;

/// Items on their way from a shard to the file.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    /// Payloads of blocks that are full, and of one that is not.
    full: Vec<Vec<u8>>,
    open: Vec<u8>,
    /// Long values, with their records.
    long: Vec<(Vec<u8>, Pinned)>,
    item_count: u64,
    elsewhere_count: u64,
    /// Milliseconds by which times in the file are later than those of the cache's clock.
    ahead: i64,
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Writer<'w, W> {
    to: &'w mut W,
    /// Blocks so far.
    blocks: u64,
    saved: Saved,
}

/// Bytes of the items of a block, before it is closed.
const ITEMS_BYTES: usize = 64 << 10;

impl Sink {
    /// Nothing yet. `ahead` is what the cache's clock is behind the wall's, see `Clock::behind_wall`.
    pub(crate) fn new(ahead: i64) -> Self {
        Self {
            ahead,
            ..Self::default()
        }
    }

    /// A time of the cache's clock by the wall's.
    pub(crate) fn by_wall(&self, instant: Timestamp) -> Timestamp {
        instant.shifted(self.ahead)
    }

    /// Takes an item whose value is in the record.
    pub(crate) fn add(&mut self, record: &Record<'_>) {
        debug_assert_eq!(record.value.len(), record.value_bytes);
        if self.open.len() + record.bytes() > ITEMS_BYTES && !self.open.is_empty() {
            self.full.push(std::mem::take(&mut self.open));
        }
        record.write(&mut self.open);
        self.open.extend_from_slice(record.value);
        self.item_count += 1;
    }

    /// Takes an item whose long value is pinned; the record's own is empty.
    pub(crate) fn add_long(&mut self, record: &Record<'_>, pinned: Pinned) {
        let mut head = Vec::with_capacity(record.bytes());
        record.write(&mut head);
        self.long.push((head, pinned));
        self.item_count += 1;
    }

    /// Takes note of an item whose value is elsewhere.
    pub(crate) fn leave_out(&mut self) {
        self.elsewhere_count += 1;
    }

    /// Whether a value of so many bytes is a long one.
    pub(crate) const fn is_long(value_bytes: usize) -> bool {
        value_bytes >= LONG_VALUE_BYTES
    }
}

impl Record<'_> {
    /// Bytes that it takes in a block, with the value that is in it.
    fn bytes(&self) -> usize {
        super::RECORD_HEAD_BYTES_MAX + self.key.len() + self.value.len()
    }

    /// Writes everything but the value.
    fn write(&self, to: &mut Vec<u8>) {
        let bits = [
            self.expires_at.is_some(),
            self.token.is_some(),
            self.flags != 0,
            self.marked,
            self.fetched,
            self.stale,
            self.renewing,
            self.main,
        ];
        let mark = |marks: u8, (bit, &is): (usize, &bool)| marks | u8::from(is) << bit;
        to.push(bits.iter().enumerate().fold(0, mark));
        to.push(self.uses);
        let key_bytes = u16::try_from(self.key.len()).expect("KEY_BYTES_MAX");
        to.extend_from_slice(&key_bytes.to_le_bytes());
        let value_bytes = u32::try_from(self.value_bytes).expect("VALUE_BYTES_MAX");
        to.extend_from_slice(&value_bytes.to_le_bytes());
        to.extend_from_slice(&self.stamp.to_le_bytes());
        let accessed = u32::try_from(self.accessed_at.unix_seconds()).unwrap_or(u32::MAX);
        to.extend_from_slice(&accessed.to_le_bytes());
        if let Some(expires_at) = self.expires_at {
            to.extend_from_slice(&expires_at.unix_millis().to_le_bytes());
        }
        if let Some(token) = self.token {
            to.extend_from_slice(&token.to_le_bytes());
        }
        if self.flags != 0 {
            to.extend_from_slice(&self.flags.to_le_bytes());
        }
        to.extend_from_slice(self.key);
    }
}

impl<'w, W: Write> Writer<'w, W> {
    /// Begins a file.
    pub(crate) fn begin(to: &'w mut W, head: &Head) -> io::Result<Self> {
        let mut writer = Self {
            to,
            blocks: 0,
            saved: Saved::default(),
        };
        writer.put(&MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        let words = [
            head.saved_at.unix_millis(),
            head.last_token,
            head.clear_before.map_or(0, Timestamp::unix_millis),
            if head.has_places { HAS_PLACES } else { 0 },
            head.item_count,
            head.used_bytes,
        ];
        writer.block(Kind::Head, &words.map(u64::to_le_bytes).concat())?;
        Ok(writer)
    }

    /// Writes what `sink` holds, and leaves it empty.
    pub(crate) fn write(&mut self, sink: &mut Sink) -> io::Result<()> {
        for payload in sink.full.drain(..) {
            self.block(Kind::Items, &payload)?;
        }
        // A block that is not full may wait for more, unless a long item comes next.
        for (head, pinned) in sink.long.drain(..) {
            self.block(Kind::Long, &head)?;
            for part in pinned.view().value().chunks(BLOCK_BYTES_MAX) {
                self.block(Kind::Value, part)?;
            }
        }
        self.saved.item_count += std::mem::take(&mut sink.item_count);
        self.saved.elsewhere_count += std::mem::take(&mut sink.elsewhere_count);
        Ok(())
    }

    /// Writes what is left in `sink` and the end of the file.
    pub(crate) fn end(mut self, mut sink: Sink, last_token: u64) -> io::Result<Saved> {
        self.write(&mut sink)?;
        if !sink.open.is_empty() {
            self.block(Kind::Items, &sink.open)?;
        }
        let words = [self.saved.item_count, last_token];
        self.block(Kind::End, &words.map(u64::to_le_bytes).concat())?;
        self.to.flush()?;
        Ok(self.saved)
    }

    fn block(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("BLOCK_BYTES_MAX");
        let sum = checksum(self.blocks, kind as u32, payload);
        self.blocks += 1;
        self.put(&[kind as u32, length, sum].map(u32::to_le_bytes).concat())?;
        self.put(payload)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.saved.file_bytes += bytes.len() as u64;
        Ok(())
    }
}
