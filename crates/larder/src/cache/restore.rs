//! Reading a saved cache back: plain stores, in the order of the file.

use std::io::Read;

use super::Cache;
use crate::arena::Pair;
use crate::error::Error;
use crate::op::{CasToken, Store};
use crate::readers::Section;
use crate::saved::{Flaw, Head, Kind, Reader, Record, RestoreError, Restored, end};
use crate::shard::{Restoring, Returned};
use crate::time::Timestamp;
use crate::trace;

/// A restore under way.
struct Restore<'c> {
    cache: &'c Cache,
    head: Head,
    /// Milliseconds by which the clock was later when the file was written.
    went_back: i64,
    /// Every token to come is above this one.
    followed: u64,
    /// Records so far.
    records: u64,
    restored: Restored,
}

/// Records for which the index is asked before their turn comes.
const RECORDS_AHEAD: usize = 8;
/// No item takes less of the limit, with what the cache keeps of it.
const ITEM_BYTES_MIN: u64 = 40;

impl Cache {
    /// Stores every item of a saved cache as it was: token, lifetime, flags, age, and whether it is stale. Its
    /// time went on meanwhile, by the wall clock: what has expired stays out. New tokens are above all of the
    /// saved ones. Limit, shards, policy and page size may be others than those of the cache that was saved; where
    /// less fits, what comes last in the file stays. A key that is here already keeps the value that was
    /// stored later. A clear that was still to come when the cache was saved comes here, in the
    /// place of another. O(items); others may use the cache meanwhile.
    ///
    /// Nothing that `from` can yield makes this panic, or use more than the limit and some hundred KiB.
    ///
    /// # Errors
    /// If `from` is no saved cache, is not whole, or cannot be read. What came before the flaw is sound, and
    /// is in the cache: [`clear`](Self::clear) it if a part is not wanted.
    pub fn restore(&self, from: &mut impl Read) -> Result<Restored, RestoreError> {
        let mut reader = Reader::new(from);
        let mut restored = Restored::default();
        let result = self.restore_from(&mut reader, &mut restored);
        restored.file_bytes = reader.file_bytes();
        match result {
            Ok(()) => {
                trace::restored(restored);
                Ok(restored)
            }
            Err(flaw) => Err(RestoreError { restored, flaw }),
        }
    }

    fn restore_from(
        &self,
        reader: &mut Reader<'_, impl Read>,
        restored: &mut Restored,
    ) -> Result<(), Flaw> {
        let mut head = reader.head()?;
        // A clock that went back since then must not lengthen lives.
        let went_back = head.saved_at.since(self.clock.now());
        let went_back = i64::try_from(went_back.as_millis()).unwrap_or(i64::MAX);
        head.clear_before = head.clear_before.map(|instant| instant.shifted(-went_back));
        let mut restore = Restore {
            cache: self,
            head,
            went_back,
            followed: 0,
            records: 0,
            restored: Restored::default(),
        };
        restore.follow(head.last_token);
        self.expect_items(&head);
        if let Some(instant) = head.clear_before
            && instant > self.clock.now()
        {
            self.clear_before(instant);
        }
        let result = restore.blocks(reader);
        *restored = restore.restored;
        result
    }

    /// Makes the index large enough for what is to come, if it is empty: of as many items as fit here, if they
    /// are like those of the cache that was saved. What the file says is a hint: it may say anything.
    fn expect_items(&self, head: &Head) {
        let limit_bytes = self.arena.limit_bytes() as u64;
        let part = (limit_bytes as f64 / head.used_bytes.max(1) as f64).min(1.0);
        let items = (head.item_count as f64 * part).min((limit_bytes / ITEM_BYTES_MIN) as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and at most a part of the limit"
        )]
        let each = items as usize / self.shards.len();
        for number in 0..self.shards.len() {
            self.lock(number).expect_items(each);
        }
    }

    /// Asks for the lines of the index that a store under this hash will read.
    fn prefetch_index(&self, hash: u64) {
        let buckets = self.shards[self.shard_of(hash)].front.buckets();
        if let Some(section) = Section::begin() {
            let pair = buckets.pair(hash, &section);
            pair.iter().for_each(Pair::prefetch);
        }
    }

    /// Stores a record as it says.
    fn put_back(
        &self,
        hash: u64,
        restoring: &Restoring<'_>,
        now: Timestamp,
    ) -> Result<Returned, Error> {
        let record = restoring.record;
        let bytes = record.key.len() + record.value_bytes;
        self.with_room(hash, now, bytes, |shard, _| {
            shard.restore(hash, now, restoring)
        })
    }
}

impl Restore<'_> {
    fn blocks(&mut self, reader: &mut Reader<'_, impl Read>) -> Result<(), Flaw> {
        let mut payload = Vec::new();
        loop {
            match reader.block(&mut payload)? {
                Kind::Items => self.items(&payload).ok_or_else(|| reader.damage())?,
                Kind::Long => {
                    let record = Record::of_long(&payload).ok_or_else(|| reader.damage())?;
                    self.long(&record, reader)?;
                }
                Kind::Head | Kind::Value => return Err(reader.damage()),
                Kind::End => {
                    let sound = end(&payload).filter(|&(items, _)| items == self.records);
                    let (_, last_token) = sound.ok_or_else(|| reader.damage())?;
                    self.follow(last_token);
                    return Ok(());
                }
            }
        }
    }

    /// Stores the items of a block; `None` if it is not sound.
    fn items(&mut self, payload: &[u8]) -> Option<()> {
        let mut left = payload;
        let mut records = Vec::new();
        while !left.is_empty() {
            let record = self.by_own_clock(Record::take(&mut left)?);
            records.push((self.cache.hash(record.key), record));
        }
        let last_token = records.iter().map(|(_, record)| record.stamp).max();
        self.follow(last_token.unwrap_or(0));
        let now = self.cache.clock.now();
        for (at, (hash, record)) in records.iter().enumerate() {
            if let Some((ahead, _)) = records.get(at + RECORDS_AHEAD) {
                self.cache.prefetch_index(*ahead);
            }
            self.put(*hash, &self.restoring(record), now);
        }
        Some(())
    }

    /// Stores an item whose value is read into its place.
    fn long(
        &mut self,
        record: &Record<'_>,
        reader: &mut Reader<'_, impl Read>,
    ) -> Result<(), Flaw> {
        let record = &self.by_own_clock(*record);
        self.follow(record.stamp);
        let mut store = Store::new(record.key, b"")
            .flags(record.flags)
            .marked(record.marked);
        if let Some(token) = record.token {
            store = store.token(CasToken::from_u64(token));
        }
        let reserved = if self.is_wanted(record, self.cache.clock.now()) {
            self.cache.reserve_for(&store, record.value_bytes).map(Some)
        } else {
            Ok(None)
        };
        let Ok(Some(mut reservation)) = reserved else {
            reader.skip_value(record.value_bytes)?;
            self.records += 1;
            match reserved {
                Ok(_) => self.restored.expired_count += 1,
                Err(_) => self.restored.refused_count += 1,
            }
            return Ok(());
        };
        reader.value(&mut reservation)?;
        let (value, filled) = reservation.into_memory();
        let record = Record {
            value: &value,
            ..*record
        };
        let restoring = Restoring {
            filled: filled.as_ref(),
            ..self.restoring(&record)
        };
        let hash = self.cache.hash(record.key);
        self.put(hash, &restoring, self.cache.clock.now());
        Ok(())
    }

    fn by_own_clock<'a>(&self, record: Record<'a>) -> Record<'a> {
        let shift = |instant: Timestamp| instant.shifted(-self.went_back);
        Record {
            expires_at: record.expires_at.map(shift),
            ..record
        }
    }

    fn restoring<'a>(&self, record: &'a Record<'a>) -> Restoring<'a> {
        Restoring {
            record,
            filled: None,
            has_place: self.head.has_places,
        }
    }

    fn put(&mut self, hash: u64, restoring: &Restoring<'_>, now: Timestamp) {
        self.records += 1;
        let returned = if self.is_wanted(restoring.record, now) {
            self.cache.put_back(hash, restoring, now)
        } else {
            Ok(Returned::Expired)
        };
        let restored = &mut self.restored;
        *match returned {
            Ok(Returned::Restored) => &mut restored.restored_count,
            Ok(Returned::Outdated) => &mut restored.outdated_count,
            Ok(Returned::Expired) => &mut restored.expired_count,
            Err(_) => &mut restored.refused_count,
        } += 1;
    }

    /// Whether the item's time has not passed, nor the instant at which it was to be cleared.
    fn is_wanted(&self, record: &Record<'_>, now: Timestamp) -> bool {
        let lives = record.expires_at.is_none_or(|instant| instant > now);
        let stored_at = crate::arena::stored_at(CasToken::from_u64(record.stamp));
        let cleared = |instant: Timestamp| instant <= now && stored_at < instant;
        lives && !self.head.clear_before.is_some_and(cleared)
    }

    /// Makes sure that every token to come is above `token`.
    fn follow(&mut self, token: u64) {
        if token > self.followed || self.followed == 0 {
            self.followed = token.max(1);
            for number in 0..self.cache.shards.len() {
                self.cache.lock(number).follow_token(token);
            }
        }
    }
}
