//! Reading a saved cache, of which nothing is believed before its checksum has been looked at.

use std::io::{self, ErrorKind, Read};

use super::{
    BLOCK_BYTES_MAX, Flaw, HAS_PLACES, Head, Kind, LONG_VALUE_BYTES, MAGIC, Record, TOKEN_MAX,
    VERSION, checksum,
};
use crate::arena::USES_MAX;
use crate::config::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::time::Timestamp;

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Reader<'r, R> {
    from: &'r mut R,
    /// Blocks so far.
    blocks: u64,
    file_bytes: u64,
}

impl<'r, R: Read> Reader<'r, R> {
    pub(crate) fn new(from: &'r mut R) -> Self {
        Self {
            from,
            blocks: 0,
            file_bytes: 0,
        }
    }

    /// Bytes that were read so far.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// What comes before the items.
    pub(crate) fn head(&mut self) -> Result<Head, Flaw> {
        let mut magic = [0; MAGIC.len()];
        match self.fill(&mut magic) {
            Ok(()) if magic == MAGIC => {}
            Ok(()) | Err(Flaw::Truncated) => return Err(Flaw::Foreign),
            Err(flaw) => return Err(flaw),
        }
        let mut version = [0; 4];
        self.fill(&mut version)?;
        let version = u32::from_le_bytes(version);
        if version != VERSION {
            return Err(Flaw::Version(version));
        }
        let mut payload = Vec::new();
        let kind = self.block(&mut payload)?;
        let head = if kind == Kind::Head {
            head(&payload)
        } else {
            None
        };
        head.ok_or_else(|| self.damage())
    }

    /// Reads the next block; its payload is in `payload` then.
    pub(crate) fn block(&mut self, payload: &mut Vec<u8>) -> Result<Kind, Flaw> {
        let (kind, length, sum) = self.block_head()?;
        payload.resize(length, 0);
        self.payload(kind, sum, payload)?;
        Ok(kind)
    }

    /// Reads a value from the blocks that it stands in.
    pub(crate) fn value(&mut self, value: &mut [u8]) -> Result<(), Flaw> {
        for part in value.chunks_mut(BLOCK_BYTES_MAX) {
            self.value_part(part)?;
        }
        Ok(())
    }

    /// Reads over a value of `value_bytes`.
    pub(crate) fn skip_value(&mut self, value_bytes: usize) -> Result<(), Flaw> {
        let mut part = vec![0; value_bytes.min(BLOCK_BYTES_MAX)];
        let mut left = value_bytes;
        while left > 0 {
            part.truncate(left);
            self.value_part(&mut part)?;
            left -= part.len();
        }
        Ok(())
    }

    /// The last block that was read is not what was written.
    pub(crate) fn damage(&self) -> Flaw {
        Flaw::Damaged {
            block: self.blocks.saturating_sub(1),
        }
    }

    fn value_part(&mut self, part: &mut [u8]) -> Result<(), Flaw> {
        let (kind, length, sum) = self.block_head()?;
        if kind != Kind::Value || length != part.len() {
            return Err(self.damage());
        }
        self.payload(kind, sum, part)
    }

    fn block_head(&mut self) -> Result<(Kind, usize, u32), Flaw> {
        let mut head = [0; 12];
        self.fill(&mut head)?;
        self.blocks += 1;
        let mut words = head.chunks_exact(4).map(u32_of);
        let mut word = || words.next().expect("three of them");
        let (kind, length, sum) = (word(), word() as usize, word());
        match Kind::from_u32(kind) {
            Some(kind) if length <= BLOCK_BYTES_MAX => Ok((kind, length, sum)),
            _ => Err(self.damage()),
        }
    }

    fn payload(&mut self, kind: Kind, sum: u32, payload: &mut [u8]) -> Result<(), Flaw> {
        self.fill(payload)?;
        if checksum(self.blocks - 1, kind as u32, payload) != sum {
            return Err(self.damage());
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Flaw> {
        self.from.read_exact(bytes).map_err(flaw_of)?;
        self.file_bytes += bytes.len() as u64;
        Ok(())
    }
}

fn flaw_of(error: io::Error) -> Flaw {
    match error.kind() {
        ErrorKind::UnexpectedEof => Flaw::Truncated,
        _ => Flaw::Unreadable(error),
    }
}

impl Kind {
    fn from_u32(number: u32) -> Option<Self> {
        let kinds = [Self::Head, Self::Items, Self::Long, Self::Value, Self::End];
        kinds.into_iter().find(|&kind| kind as u32 == number)
    }
}

fn head(mut payload: &[u8]) -> Option<Head> {
    let saved_at = Timestamp::from_unix_millis(u64_of(&mut payload)?);
    let last_token = u64_of(&mut payload)?;
    let clear_before = u64_of(&mut payload)?;
    let marks = u64_of(&mut payload)?;
    let item_count = u64_of(&mut payload)?;
    let used_bytes = u64_of(&mut payload)?;
    let sound = payload.is_empty() && last_token <= TOKEN_MAX && marks & !HAS_PLACES == 0;
    sound.then_some(Head {
        saved_at,
        last_token,
        clear_before: (clear_before > 0).then(|| Timestamp::from_unix_millis(clear_before)),
        has_places: marks & HAS_PLACES != 0,
        item_count,
        used_bytes,
    })
}

/// What the last block says: how many items there are, and the last token that was given.
pub(crate) fn end(mut payload: &[u8]) -> Option<(u64, u64)> {
    let items = u64_of(&mut payload)?;
    let last_token = u64_of(&mut payload)?;
    (payload.is_empty() && last_token <= TOKEN_MAX).then_some((items, last_token))
}

impl<'a> Record<'a> {
    /// Takes the first record, with its value, off `payload`; `None` if there is no sound one.
    pub(crate) fn take(payload: &mut &'a [u8]) -> Option<Self> {
        let record = Self::take_head(payload)?;
        if record.value_bytes >= LONG_VALUE_BYTES {
            return None;
        }
        let value = payload.split_off(..record.value_bytes)?;
        Some(Self { value, ..record })
    }

    /// The record in `payload` whose long value stands elsewhere.
    pub(crate) fn of_long(mut payload: &'a [u8]) -> Option<Self> {
        let record = Self::take_head(&mut payload)?;
        let is_long = (LONG_VALUE_BYTES..=VALUE_BYTES_MAX).contains(&record.value_bytes);
        (is_long && payload.is_empty()).then_some(record)
    }

    /// Takes everything but the value.
    fn take_head(payload: &mut &'a [u8]) -> Option<Self> {
        let marks = *payload.split_off_first()?;
        let uses = *payload.split_off_first()?;
        let is = |bit: u32| marks & 1 << bit != 0;
        let key_bytes = payload.split_off(..2)?;
        let key_bytes = usize::from(u16::from_le_bytes(key_bytes.try_into().ok()?));
        let value_bytes = u32_of(payload.split_off(..4)?) as usize;
        let stamp = u64_of(payload)?;
        let accessed = u32_of(payload.split_off(..4)?);
        let expires_at = optional(is(0), || u64_of(payload))?;
        let token = optional(is(1), || u64_of(payload))?;
        let flags = optional(is(2), || payload.split_off(..4).map(u32_of))?;
        let key = payload.split_off(..key_bytes)?;
        let sound = (1..=KEY_BYTES_MAX).contains(&key_bytes)
            && (1..=TOKEN_MAX).contains(&stamp)
            && uses <= USES_MAX;
        sound.then_some(Self {
            key,
            value: &[],
            value_bytes,
            flags: flags.unwrap_or(0),
            expires_at: expires_at.map(Timestamp::from_unix_millis),
            accessed_at: Timestamp::from_unix_seconds(u64::from(accessed)),
            stamp,
            token,
            marked: is(3),
            fetched: is(4),
            stale: is(5),
            renewing: is(6),
            main: is(7),
            uses,
        })
    }
}

/// What `take` takes, if it is there; `None` if it should be and is not.
fn optional<T>(is_there: bool, take: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
    if is_there {
        take().map(Some)
    } else {
        Some(None)
    }
}

fn u64_of(payload: &mut &[u8]) -> Option<u64> {
    let bytes = payload.split_off(..8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}
