//! Reads: of live items without a lock, where the policy does not have to be told in order. What is not found
//! that way is asked for under the lock, which knows what is there, and counts misses.

use super::Cache;
use crate::arena::{Candidate, Found, Shown};
use crate::guard::ItemGuard;
use crate::op::ItemView;
use crate::policy::Policy;
use crate::shard::{Access, Front};
use crate::time::Moment;

impl Cache {
    /// The item under `key`, kept for the caller.
    pub(super) fn access(&self, key: &[u8], access: Access) -> Option<ItemGuard<'_>> {
        self.access_at(key, self.hash(key), self.clock.moment(), access)
    }

    /// As `access`, in a moment that the caller knows.
    pub(super) fn access_at(
        &self,
        key: &[u8],
        hash: u64,
        now: Moment<'_>,
        access: Access,
    ) -> Option<ItemGuard<'_>> {
        match self.read_unlocked(key, hash, now, access) {
            Some(shown) => Some(ItemGuard::shown(shown)),
            None => self.read_locked(key, hash, now, access),
        }
    }

    /// As `access_at`, for as long as `look` takes, which is told as well if there is none.
    #[inline]
    pub(super) fn access_with<R>(
        &self,
        key: &[u8],
        hash: u64,
        now: Moment<'_>,
        access: Access,
        look: impl FnOnce(Option<ItemView<'_>>) -> R,
    ) -> R {
        match self.read_unlocked(key, hash, now, access) {
            Some(shown) => look(Some(shown.view())),
            None => {
                let item = self.read_locked(key, hash, now, access);
                look(item.as_ref().map(ItemGuard::view))
            }
        }
    }

    /// As `access_with` for a read of a key that somebody has looked ahead for.
    #[inline(always)]
    pub(super) fn read_ahead<R>(
        &self,
        key: &[u8],
        hash: u64,
        now: Moment<'_>,
        candidate: Option<&Candidate<'_>>,
        look: impl FnOnce(Option<ItemView<'_>>) -> R,
    ) -> R {
        self.check_entry();
        let front = &self.shards[self.shard_of(hash)].front;
        // As in `read_unlocked`.
        if self.policy != Policy::Lru
            && let Some(candidate) = candidate
            && let Some(found) = front.find_ahead(candidate, key, now)
        {
            return look(Some(self.show_read(front, found, hash, now).view()));
        }
        self.access_with(key, hash, now, Access::Read, look)
    }

    /// As `access`, for as long as `look` takes.
    #[inline]
    pub(super) fn look_at<R>(
        &self,
        key: &[u8],
        access: Access,
        look: impl FnOnce(ItemView<'_>) -> R,
    ) -> Option<R> {
        let (hash, now) = (self.hash(key), self.clock.moment());
        self.access_with(key, hash, now, access, |item| item.map(look))
    }

    /// The answer where there was none without the lock.
    fn read_locked(
        &self,
        key: &[u8],
        hash: u64,
        now: Moment<'_>,
        access: Access,
    ) -> Option<ItemGuard<'_>> {
        let now = now.now();
        self.shard(hash, now)
            .read(&self.arena, hash, key, now, access)
    }

    /// The item under `key`, if it can be read without the lock.
    #[inline(always)]
    fn read_unlocked(
        &self,
        key: &[u8],
        hash: u64,
        now: Moment<'_>,
        access: Access,
    ) -> Option<Shown<'_>> {
        // Strict order takes a lock to keep; so does another lifetime.
        if self.policy == Policy::Lru || matches!(access, Access::Touch(_)) {
            return None;
        }
        self.check_entry();
        let front = &self.shards[self.shard_of(hash)].front;
        let found = front.find_live(hash, key, now)?;
        if matches!(access, Access::Peek) {
            return Some(found.show());
        }
        Some(self.show_read(front, found, hash, now))
    }

    /// Shows what was found to whoever reads it, and notes that.
    #[inline(always)]
    fn show_read<'a>(
        &self,
        front: &Front,
        found: Found<'a>,
        hash: u64,
        now: Moment<'_>,
    ) -> Shown<'a> {
        front.note_hit(found.thread());
        if self.policy == Policy::Adaptive {
            let (class, bytes) = found.class();
            front.uses().note(class);
            self.tuning.note_hit(hash, class, bytes);
        }
        found.show_read(now.at())
    }
}

#[cfg(all(test, target_os = "linux", not(any(miri, larder_asan))))]
mod tests {
    use std::time::Duration;

    use crate::{Cache, ManualClock, Policy, Ttl};

    /// The arena turns read-only: a stray write would end the process.
    #[test]
    fn a_read_of_a_key_in_use_writes_nothing_to_the_cache() {
        for policy in [Policy::Adaptive, Policy::NoEviction] {
            let cache = Cache::builder()
                .limit_bytes(4 << 20)
                .policy(policy)
                .clock(ManualClock::default())
                .build()
                .unwrap();
            let keys: Vec<_> = (0..1000_u32).map(u32::to_be_bytes).collect();
            for key in &keys {
                let ttl = Ttl::after(Duration::from_secs(60));
                cache.set(key, b"value", ttl).unwrap();
            }
            let read_all = || {
                for key in &keys {
                    assert_eq!(cache.get(key).as_deref(), Some(&b"value"[..]));
                    assert!(cache.peek(key).is_some());
                }
                let slices: Vec<_> = keys.iter().map(<[u8; 4]>::as_slice).collect();
                let mut found = 0;
                cache.get_many(&slices, |_, item| {
                    found += usize::from(item.is_some());
                    std::ops::ControlFlow::Continue(())
                });
                assert_eq!(found, keys.len());
            };
            // Uses are counted up to a small number.
            (0..8).for_each(|_| read_all());
            cache.arena.freeze(true);
            (0..8).for_each(|_| read_all());
            cache.arena.freeze(false);
            cache.set(&keys[0], b"other", Ttl::NEVER).unwrap();
        }
    }
}
