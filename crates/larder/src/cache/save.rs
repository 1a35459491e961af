//! Saving a cache: a copy while others use it, or everything moved out, so that cache and file together
//! take no more memory than the cache did.

use std::io::{self, Write};

use super::Cache;
use crate::config::LIMIT_BYTES_MIN;
use crate::policy::Policy;
use crate::saved::{Head, Saved, Sink, Writer};
use crate::trace;

/// Buckets and items that a copy looks at with a shard locked.
const ITEMS_A_LOCK: usize = 256;
/// Memory that may be used beyond what is left, for what moving items takes.
const SLACK_BYTES: usize = 1 << 20;

impl Cache {
    /// Saves a copy of every item, with its token, its lifetime, its flags and what else is known of it, for
    /// [`restore`](Self::restore). Others go on meanwhile: as with [`walk`](Self::walk), what they store may be
    /// among it or not, one shard is locked at a time, and an item that is there all the time may be missed in rare
    /// cases. Items whose values are [elsewhere](Self::move_value) are left out. `to` is written in pieces of 64 KiB and more, without a lock. O(items).
    ///
    /// # Errors
    /// Those of `to`. The cache is as it was.
    pub fn save(&self, to: &mut impl Write) -> io::Result<Saved> {
        let now = self.clock.now();
        let ahead = self.clock.behind_wall();
        let mut writer = Writer::begin(to, &self.saved_head(ahead))?;
        let mut sink = Sink::new(ahead);
        for number in 0..self.shards.len() {
            let mut next = Some(0);
            while let Some(bucket) = next {
                let shard = self.settled(number, now);
                next = shard.save_buckets(bucket, ITEMS_A_LOCK, now, &mut sink);
                drop(shard);
                writer.write(&mut sink)?;
            }
        }
        self.end_save(writer, sink)
    }

    /// Moves every item out, for [`restore`](Self::restore): those first that would be evicted first, so that in a
    /// smaller cache the others stay. Memory goes back to the system as the items leave, page by page: if `to` is a
    /// file in memory, cache and file together take hardly more than the cache did (and twice the longest
    /// value). What others store meanwhile may be moved out as well or stay. Listeners are not told of what
    /// is saved; items whose values are [elsewhere](Self::move_value) go unsaved, and their locators are told of. O(items).
    ///
    /// # Errors
    /// Those of `to`. What had left the cache by then is gone.
    pub fn save_draining(&self, to: &mut impl Write) -> io::Result<Saved> {
        let ahead = self.clock.behind_wall();
        let mut writer = Writer::begin(to, &self.saved_head(ahead))?;
        let mut sink = Sink::new(ahead);
        let limit_bytes = self.arena.limit_bytes();
        let drained = self.drain_to(&mut writer, &mut sink);
        self.arena.set_limit(limit_bytes);
        drained?;
        self.end_save(writer, sink)
    }

    fn drain_to(&self, writer: &mut Writer<'_, impl Write>, sink: &mut Sink) -> io::Result<()> {
        for number in 0..self.shards.len() {
            self.settled(number, self.clock.now()).begin_save();
        }
        // Shards take turns, so that what is worth least goes first in all of them.
        let mut full: Vec<usize> = (0..self.shards.len()).collect();
        while !full.is_empty() {
            let now = self.clock.now();
            let mut result = Ok(());
            full.retain(|&number| {
                if result.is_err() {
                    return true;
                }
                let more = self.settled(number, now).save_some(now, sink);
                result = writer.write(sink);
                self.fit_limit();
                more
            });
            result?;
        }
        Ok(())
    }

    /// Has the pool give back to the system what is not used any more.
    fn fit_limit(&self) {
        let limit_bytes = self.arena.pool_use().used_bytes + SLACK_BYTES;
        let limit_bytes = limit_bytes.max(LIMIT_BYTES_MIN);
        if limit_bytes < self.arena.limit_bytes() {
            self.arena.set_limit(limit_bytes);
        }
    }

    /// `ahead` is what the clock is behind the wall's.
    fn saved_head(&self, ahead: i64) -> Head {
        let now = self.clock.now();
        let items = (0..self.shards.len()).map(|number| self.lock(number).item_count() as u64);
        Head {
            item_count: items.sum(),
            used_bytes: self.arena.pool_use().used_bytes as u64,
            saved_at: now.shifted(ahead),
            last_token: self.last_token(),
            clear_before: self
                .settled(0, now)
                .pending_clear()
                .map(|instant| instant.shifted(ahead)),
            has_places: self.policy == Policy::Adaptive,
        }
    }

    fn end_save(&self, writer: Writer<'_, impl Write>, sink: Sink) -> io::Result<Saved> {
        let saved = writer.end(sink, self.last_token())?;
        trace::saved(saved);
        Ok(saved)
    }

    /// No token was given above this one.
    fn last_token(&self) -> u64 {
        let tokens = (0..self.shards.len()).map(|number| self.lock(number).last_token());
        tokens.max().expect("there is a shard")
    }
}
