//! Items on their way to a file, copied or moved; and back.

use super::Shard;
use crate::arena::{Freed, ItemId, NewItem, SizeClass, State, USES_MAX};
use crate::error::Error;
use crate::op::CasToken;
use crate::policy::Standing;
use crate::removal::Cause;
use crate::saved::{Record, Sink};
use crate::time::{EPOCH, Timestamp, Ttl};

/// Buckets that the index gives up for each step of a draining save, so that it shrinks with the items.
const MERGES_A_STEP: usize = 64;

/// A record on its way into a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restoring<'a> {
    pub(crate) record: &'a Record<'a>,
    /// The value, where it was filled in its place; the record's is empty then.
    pub(crate) filled: Option<&'a crate::arena::Filled>,
    /// Whether the record tells where the adaptive policy had the item.
    pub(crate) has_place: bool,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    Restored,
    /// There is a later value.
    Outdated,
    /// Its time has passed.
    Expired,
}

impl Shard {
    /// The last token that was given.
    pub(crate) fn last_token(&self) -> u64 {
        self.last_cas
    }

    /// A clear that is still to come.
    pub(crate) fn pending_clear(&self) -> Option<Timestamp> {
        self.pending_clear
    }

    /// Makes sure that every token to come is above `token`, and takes in that there may be items from
    /// before the shard was made.
    pub(crate) fn follow_token(&mut self, token: u64) {
        let of_mine = token - token % self.cas_step + self.number;
        let above = if of_mine < token {
            of_mine + self.cas_step
        } else {
            of_mine
        };
        self.last_cas = self.last_cas.max(above);
        self.created_at = EPOCH;
    }

    /// Grows an empty index for so many items.
    pub(crate) fn expect_items(&mut self, items: usize) {
        self.index.expect(items);
    }

    /// Copies the live items of some buckets to `sink`: as `walk`.
    pub(crate) fn save_buckets(
        &self,
        from: usize,
        items_max: usize,
        now: Timestamp,
        sink: &mut Sink,
    ) -> Option<usize> {
        let mut met = 0;
        for bucket in from..self.index.bucket_count() {
            if met >= items_max {
                return Some(bucket);
            }
            met += 1;
            for id in self.index.items_in(bucket) {
                met += 1;
                if !self.slab.expires_at(id).is_past(now) {
                    self.copy_to(sink, id);
                }
            }
        }
        None
    }

    /// Begins to move everything out, by [`save_some`](Self::save_some).
    pub(crate) fn begin_save(&mut self) {
        self.slab.end_drain();
        self.order.begin_save();
    }

    /// Moves a page's worth of items to `sink`, those first that the policy would give up first, and brings
    /// the others closer together, so that pages go back to the pool. False if there are none any more.
    pub(crate) fn save_some(&mut self, now: Timestamp, sink: &mut Sink) -> bool {
        self.classes.begin(now);
        let used = |class: &SizeClass| self.slab.used_count(*class) > 0;
        let large = self.slab.large_class();
        let any = || {
            let small = self
                .all_classes()
                .filter(|class| *class != large)
                .find(used);
            small.or_else(|| (!self.slab.large_items().is_empty()).then_some(large))
        };
        let any = any();
        let Some(class) = self.order.cheapest(&self.slab).or(any) else {
            self.shrink_index(usize::MAX);
            self.shrink_order();
            return false;
        };
        if class == large {
            let next = self.order.next_to_save(&mut self.slab, class);
            let next = next.or_else(|| self.slab.large_items().last().copied());
            if let Some(id) = next {
                self.move_to(sink, id, now);
            }
        } else {
            self.save_page_of(class, now, sink);
        }
        self.shrink_index(MERGES_A_STEP);
        true
    }

    fn save_page_of(&mut self, class: SizeClass, now: Timestamp, sink: &mut Sink) {
        for _ in 0..self.slab.chunks_a_page(class) {
            match self.order.next_to_save(&mut self.slab, class) {
                Some(id) => self.move_to(sink, id, now),
                None => {
                    // No order, or it has lost count of bounded steps: as they stand.
                    self.sweep_page_of(class, now, sink);
                    break;
                }
            };
        }
        while self.slab.is_spacious(class) {
            let position = self.order.page_position(class);
            if !self.slab.begin_drain(class, position, None) {
                break;
            }
            while let Some((_, id)) = self.slab.next_to_drain() {
                if !self.relocate(id) {
                    break;
                }
            }
            let emptied = self.slab.draining_class().is_none();
            self.slab.end_drain();
            if !emptied {
                break;
            }
        }
    }

    /// Moves the items of the first page of the class that has any.
    fn sweep_page_of(&mut self, class: SizeClass, now: Timestamp, sink: &mut Sink) {
        let pages = (0..self.slab.page_count(class)).map(|at| self.slab.page_at(class, at));
        let mut pages = pages.filter(|&page| self.slab.next_live(page, 0).is_some());
        let Some(page) = pages.next() else {
            return;
        };
        let mut from = 0;
        while let Some((id, next)) = self.slab.next_live(page, from) {
            from = next;
            if self.move_to(sink, id, now) == Freed::Page {
                break;
            }
        }
    }

    /// Moves an item out. Nobody is told: it is not lost.
    fn move_to(&mut self, sink: &mut Sink, id: ItemId, now: Timestamp) -> Freed {
        if self.slab.expires_at(id).is_past(now) {
            return self.expire(id);
        }
        self.copy_to(sink, id);
        self.unlink(id)
    }

    fn copy_to(&self, sink: &mut Sink, id: ItemId) {
        let view = self.slab.view(id);
        if view.locator().is_some() {
            sink.leave_out();
            return;
        }
        let (stamp, token) = self.slab.tokens(id);
        let state = self.slab.state(id);
        let record = Record {
            key: view.key(),
            value: view.value(),
            value_bytes: view.value().len(),
            flags: view.flags(),
            expires_at: view.expires_at().map(|instant| sink.by_wall(instant)),
            accessed_at: sink.by_wall(view.accessed_at()),
            stamp: stamp.to_u64(),
            token: token.map(CasToken::to_u64),
            marked: view.is_marked(),
            fetched: view.was_fetched(),
            stale: view.is_stale(),
            renewing: view.is_renewing(),
            main: state.is_main(),
            uses: state.uses(),
        };
        if Sink::is_long(record.value_bytes) {
            let pinned = self.slab.pin_if_large(id);
            let pinned = pinned.expect("a long value is a large item");
            sink.add_long(
                &Record {
                    value: &[],
                    ..record
                },
                pinned,
            );
        } else {
            sink.add(&record);
        }
    }

    /// Stores an item as it was when it was saved, unless there is a later one. O(1) but for evictions.
    pub(crate) fn restore(
        &mut self,
        hash: u64,
        now: Timestamp,
        restoring: &Restoring<'_>,
    ) -> Result<Returned, Error> {
        let record = restoring.record;
        self.check_value(record.value_bytes)?;
        let expires_at = record
            .expires_at
            .map_or(Ttl::NEVER, Ttl::at)
            .expires_at(now);
        if expires_at.is_past(now) {
            return Ok(Returned::Expired);
        }
        self.order.prefetch(hash);
        let found = self.find_live(hash, record.key, now);
        if found.is_some_and(|id| self.slab.tokens(id).0.to_u64() >= record.stamp) {
            return Ok(Returned::Outdated);
        }
        let cas = CasToken::from_u64(record.stamp);
        let item = NewItem {
            key: record.key,
            value: record.value,
            flags: record.flags,
            expires_at,
            cas,
            chosen: record.token.map(CasToken::from_u64),
            marked: record.marked,
            // An access before the store, or after now, is one by a clock that was wrong.
            now: record
                .accessed_at
                .min(now)
                .max(crate::arena::stored_at(cas)),
            filled: restoring.filled,
            elsewhere: false,
        }
        .measured();
        if let Some(old) = found {
            self.delete_for(old, Cause::Replaced);
        }
        let standing = if restoring.has_place {
            Standing::Placed
        } else {
            Standing::New
        };
        self.put_new(hash, &item, now, state_of(restoring), standing)?;
        self.counters.stores += 1;
        Ok(Returned::Restored)
    }
}

/// The state that the item gets.
fn state_of(
    Restoring {
        record, has_place, ..
    }: &Restoring<'_>,
) -> State {
    let mut state = State::NEW.with_renewal(record.stale, record.renewing);
    if record.fetched {
        state = state.fetched();
    }
    if *has_place {
        if record.main {
            state = state.main();
        }
        state = state.with_uses(record.uses.min(USES_MAX));
    }
    state
}
