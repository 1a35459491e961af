//! What a shard keeps for each of its size classes: bytes of their items, and counters of what became of
//! those that left on their own.

use super::Shard;
use crate::arena::{ItemId, Life, SizeClass, prefetch_to_write};
use crate::policy::Policy;
use crate::stats::{ClassCounters, ClassStats, ShardStats};
use crate::time::Timestamp;

/// Items of one class that are looked at for how long they have not been used.
const IDLE_ITEMS_MAX: usize = 64;

/// The numbers of every class, by its index.
#[derive(Debug)]
pub(super) struct Classes {
    each: Box<[ClassCounters]>,
    /// When the operation began that may evict: evictions are told no time of their own.
    now: Timestamp,
}

impl Classes {
    pub(super) fn new(count: usize, now: Timestamp) -> Self {
        Self {
            each: vec![ClassCounters::default(); count].into(),
            now,
        }
    }

    /// Asks for the numbers of a class. O(1).
    pub(super) fn prefetch_books(&self, class: SizeClass) {
        prefetch_to_write(&self.each[class.index()]);
    }

    pub(super) fn at(&mut self, class: SizeClass) -> &mut ClassCounters {
        &mut self.each[class.index()]
    }

    /// An operation begins that may evict.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Every item is gone.
    pub(super) fn clear(&mut self) {
        for class in &mut self.each {
            class.item_bytes = 0;
        }
    }
}

impl Shard {
    /// An item in a chunk of `class`, which the policy evicts.
    pub(super) fn note_evicted(&mut self, class: SizeClass, life: Life) {
        let now = self.classes.now;
        let unfetched = u64::from(!life.fetched);
        let class = self.classes.at(class);
        class.evictions += 1;
        class.evicted_unfetched += unfetched;
        class.evicted_mortal += u64::from(life.mortal);
        class.last_eviction = Some((now, now.since(life.accessed_at)));
        self.counters.evictions += 1;
        self.counters.evicted_unfetched += unfetched;
    }

    /// An item whose time has passed, before it goes.
    pub(super) fn note_expired(&mut self, id: ItemId) {
        let place = self.slab.place(id);
        let unfetched = u64::from(!self.slab.state_at(place).is_fetched());
        let class = self.classes.at(place.class());
        class.expirations += 1;
        class.expired_unfetched += unfetched;
        self.counters.expirations += 1;
        self.counters.expired_unfetched += unfetched;
    }

    /// Adds what the shard has of each class to `sums`, which has one entry for each. O(classes).
    pub(crate) fn add_classes(&self, sums: &mut [ClassStats], now: Timestamp) {
        let classes = self.all_classes().zip(&self.classes.each);
        for ((class, counters), sum) in classes.zip(sums) {
            sum.add(counters);
            self.slab.add_class(class, sum);
            sum.longest_idle = sum.longest_idle.max(self.longest_idle(class, now));
        }
    }

    /// For how long the longest unused of some items of the class has not been used: of those that the
    /// policy is going to look at next.
    fn longest_idle(&self, class: SizeClass, now: Timestamp) -> std::time::Duration {
        let idle = |id: ItemId| now.since(self.slab.view(id).accessed_at());
        if self.slab.used_count(class) == 0 {
            return std::time::Duration::ZERO;
        }
        if self.policy == Policy::Lru
            && let Some(oldest) = self.order.oldest(class)
        {
            return idle(oldest);
        }
        if class == self.slab.large_class() {
            let items = self.slab.large_items().iter().take(IDLE_ITEMS_MAX);
            return items.map(|&id| idle(id)).max().unwrap_or_default();
        }
        let first = self.order.page_position(class);
        let pages = self.slab.page_count(class);
        let pages = (0..pages).map(|step| self.slab.page_at(class, (first + step) % pages));
        let items = pages.flat_map(|page| {
            (0..self.slab.chunks_in(page)).filter_map(move |chunk| self.slab.item_in(page, chunk))
        });
        let items = items.take(IDLE_ITEMS_MAX);
        items.map(idle).max().unwrap_or_default()
    }

    /// Panics unless the bytes of every class are those of its items. O(items).
    pub(super) fn validate_classes(&self, live: &[ItemId]) {
        let mut bytes = vec![0; self.slab.class_count()];
        for &id in live {
            bytes[self.slab.class_of(id).index()] += self.slab.item_bytes(id);
        }
        let counted = self.classes.each.iter().map(|class| class.item_bytes);
        assert!(counted.eq(bytes), "bytes of each class");
    }

    /// The shard by itself.
    pub(crate) fn stats(&self) -> ShardStats {
        let memory = self.memory();
        let counters = self.counters();
        ShardStats {
            item_count: memory.item_count,
            item_bytes: memory.item_bytes,
            held_bytes: self.slab.pages_bytes() + memory.index_bytes + self.order_bytes(),
            hits: counters.hits,
            misses: counters.misses,
            stores: counters.stores,
            deletes: counters.deletes,
            evictions: counters.evictions,
            expirations: counters.expirations,
            out_of_memory: counters.out_of_memory,
        }
    }
}
