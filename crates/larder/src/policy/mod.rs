//! Who is evicted next. One file, or folder, a policy.
//!
//! An [`Order`] knows the items of one shard by their ids, is told what becomes of them, and names
//! victims: within a size class, and which class should give one up. It removes nothing by itself.

mod adaptive;
mod list;
mod lru;
mod uses;

pub(crate) use adaptive::{Adaptive, AdaptiveParts, Tuning};
pub(crate) use uses::Uses;

use crate::arena::{ItemId, Links, Place, SizeClass, Slab};
use crate::hasher::KeyHasher;
use crate::time::Timestamp;
use lru::Lru;

/// What happens when memory is needed and the limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Evict what is likely to be missed least for the memory that it takes. New items are on
    /// probation (as in S3-FIFO: Yang et al., "FIFO queues are all you need for cache eviction",
    /// SOSP 2023), size classes are compared by uses for each byte (as in GreedyDual-Size: Cao and
    /// Irani, USITS 1997), and the length of probation is chosen by miniature caches (Waldspurger et
    /// al., USENIX ATC 2017). Scans do not wash the cache out. Cheapest in memory.
    #[default]
    Adaptive,
    /// Evict the item that was read, stored or touched longest ago, among the shard's items of
    /// the same size class; exact order. A page of the class whose oldest item is oldest makes room
    /// where that was idle much longer. Eight bytes an item more.
    Lru,
    /// Evict nothing: a store that finds no memory fails with
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and everything stored stays.
    NoEviction,
}

impl Policy {
    /// The links that it needs.
    pub(crate) fn links(self) -> Links {
        match self {
            Self::Lru => Links::Everywhere,
            Self::Adaptive | Self::NoEviction => Links::Large,
        }
    }
}

/// Where a new item is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Where the policy has new ones.
    New,
    /// Where its state says: it comes from another cache's policy.
    Placed,
}

/// An item that is to be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) id: ItemId,
    pub(crate) place: Place,
    /// The hash of its key.
    pub(crate) hash: u64,
    /// Its time on probation ends with it: [`Order::remember`] wants to know once it has gone.
    pub(crate) on_probation: bool,
}

impl Victim {
    fn of(slab: &Slab, hasher: &KeyHasher, id: ItemId) -> Self {
        let place = slab.place(id);
        Self {
            id,
            place,
            hash: hasher.hash_one(slab.key_at(place)),
            on_probation: false,
        }
    }
}

/// The items of one shard in the order of their eviction.
#[derive(Debug)]
pub(crate) enum Order {
    Adaptive(Box<Adaptive>),
    Lru(Lru),
    /// No order: nothing is ever evicted.
    None,
}

impl Order {
    pub(crate) fn new(policy: Policy, slab: &Slab, adaptive: impl FnOnce() -> Adaptive) -> Self {
        match policy {
            Policy::Adaptive => Self::Adaptive(Box::new(adaptive())),
            Policy::Lru => Self::Lru(Lru::new(slab.class_count())),
            Policy::NoEviction => Self::None,
        }
    }

    /// A new item, at `place`, stored under a key with this hash. O(1).
    pub(crate) fn insert(
        &mut self,
        slab: &mut Slab,
        id: ItemId,
        place: Place,
        hash: u64,
        standing: Standing,
    ) {
        match self {
            Self::Adaptive(adaptive) => adaptive.insert(slab, id, place, hash, standing),
            Self::Lru(lru) => lru.insert(slab, id),
            Self::None => {}
        }
    }

    /// `new` has `old`'s key and standing and another value; `old` is about to be freed. O(1).
    pub(crate) fn replace(&mut self, slab: &mut Slab, old: ItemId, new: ItemId, hash: u64) {
        match self {
            Self::Adaptive(adaptive) => {
                adaptive.remove(slab, old, slab.place(old));
                adaptive.enter(slab, new, hash);
            }
            Self::Lru(lru) => {
                lru.remove(slab, old);
                lru.insert(slab, new);
            }
            Self::None => {}
        }
    }

    /// A replaced item has been freed, and another of `class` is in its place: drops some of what such
    /// items leave behind. O(1).
    pub(crate) fn tidy(&mut self, slab: &Slab, class: SizeClass) {
        if let Self::Adaptive(adaptive) = self {
            adaptive.tidy(slab, class);
        }
    }

    /// `new` is `old` in another chunk of its class; `old` is about to be freed. O(1).
    pub(crate) fn relocate(&mut self, slab: &mut Slab, old: ItemId, new: ItemId, hash: u64) {
        match self {
            Self::Adaptive(adaptive) => adaptive.relocate(slab, old, new, hash),
            Self::Lru(lru) => lru.relocate(slab, old, new),
            Self::None => {}
        }
    }

    /// An item, at `place`, was used. O(1).
    pub(crate) fn bump(&mut self, slab: &mut Slab, id: ItemId, place: Place) {
        match self {
            Self::Adaptive(adaptive) => adaptive.note_use(place.class()),
            Self::Lru(lru) => lru.bump(slab, id),
            Self::None => {}
        }
    }

    /// A read of a key with this hash, which found `found`.
    pub(crate) fn note_read(&self, slab: &Slab, hash: u64, found: Option<ItemId>) {
        if let Self::Adaptive(adaptive) = self {
            adaptive.note_read(slab, hash, found);
        }
    }

    /// A store of the item `id` under a key with this hash; `existed` if it replaced one.
    pub(crate) fn note_store(&self, slab: &Slab, hash: u64, id: ItemId, existed: bool) {
        if let Self::Adaptive(adaptive) = self {
            adaptive.note_store(slab, hash, id, existed);
        }
    }

    /// An item, at `place`, that is about to be freed. O(1).
    pub(crate) fn remove(&mut self, slab: &mut Slab, id: ItemId, place: Place) {
        match self {
            Self::Adaptive(adaptive) => adaptive.remove(slab, id, place),
            Self::Lru(lru) => lru.remove(slab, id),
            Self::None => {}
        }
    }

    /// The next item of the class to be evicted, and not `keep`. O(1), with a bounded number of steps.
    pub(crate) fn next_victim(
        &mut self,
        slab: &mut Slab,
        hasher: &KeyHasher,
        class: SizeClass,
        keep: Option<ItemId>,
    ) -> Option<Victim> {
        match self {
            Self::Adaptive(adaptive) => adaptive.next_victim(slab, class, keep),
            Self::Lru(lru) => {
                let id = lru.next_victim(slab, class, keep)?;
                Some(Victim::of(slab, hasher, id))
            }
            Self::None => None,
        }
    }

    /// A victim has gone. O(1).
    pub(crate) fn remember(&mut self, victim: &Victim) {
        match self {
            Self::Adaptive(adaptive) if victim.on_probation => adaptive.remember(victim.hash),
            Self::Adaptive(_) | Self::Lru(_) | Self::None => {}
        }
    }

    /// The next item of the class to be evicted, which is spared this once: it is to be made smaller. O(1), with a
    /// bounded number of steps.
    pub(crate) fn next_to_move(
        &mut self,
        slab: &mut Slab,
        hasher: &KeyHasher,
        class: SizeClass,
    ) -> Option<ItemId> {
        let Victim { id, .. } = self.next_victim(slab, hasher, class, None)?;
        match self {
            Self::Adaptive(adaptive) => adaptive.spare(slab, id),
            Self::Lru(lru) => lru.bump(slab, id),
            Self::None => {}
        }
        Some(id)
    }

    /// The whole shard is going to be saved and emptied, by `next_to_save`.
    pub(crate) fn begin_save(&mut self) {
        if let Self::Adaptive(adaptive) = self {
            adaptive.begin_save();
        }
    }

    /// The item of the class that is to go next, coldest first: as `next_victim`, but what is known of the
    /// items' uses stays. `None` if there is no order, or no such item was found in a bounded number of steps.
    pub(crate) fn next_to_save(&mut self, slab: &mut Slab, class: SizeClass) -> Option<ItemId> {
        match self {
            Self::Adaptive(adaptive) => adaptive.next_to_save(slab, class),
            Self::Lru(lru) => lru.next_victim(slab, class, None),
            Self::None => None,
        }
    }

    /// Items of the class that are likely to be among the next `count` victims, as far as that can be told
    /// without a search. Their ids may be stale. O(1).
    pub(crate) fn upcoming(
        &self,
        class: SizeClass,
        count: usize,
    ) -> impl Iterator<Item = ItemId> + '_ {
        let entries = match self {
            Self::Adaptive(adaptive) => adaptive.upcoming(class, count),
            Self::Lru(_) | Self::None => &[],
        };
        entries.iter().map(|entry| entry.id)
    }

    /// Asks for the memory that an insert or an eviction of a key with this hash will read. O(1).
    pub(crate) fn prefetch(&self, hash: u64) {
        match self {
            Self::Adaptive(adaptive) => adaptive.prefetch(hash),
            Self::Lru(_) | Self::None => {}
        }
    }

    /// Asks for the books of a class. O(1).
    pub(crate) fn prefetch_books(&self, class: SizeClass) {
        match self {
            Self::Adaptive(adaptive) => adaptive.prefetch_books(class),
            Self::Lru(_) | Self::None => {}
        }
    }

    /// The class whose next victim is missed least. O(classes).
    pub(crate) fn cheapest(&mut self, slab: &Slab) -> Option<SizeClass> {
        match self {
            Self::Adaptive(adaptive) => adaptive.cheapest(slab),
            Self::Lru(lru) => lru.cheapest(slab),
            Self::None => None,
        }
    }

    /// The class that should give a page up for `class`, which would have to evict otherwise.
    /// O(classes).
    pub(crate) fn giver(
        &mut self,
        slab: &Slab,
        class: SizeClass,
        now: Timestamp,
    ) -> Option<SizeClass> {
        match self {
            Self::Adaptive(adaptive) => adaptive.giver(slab, class),
            Self::Lru(lru) => lru.giver(slab, class, now),
            Self::None => None,
        }
    }

    /// The item of the class that was used longest ago, if the policy knows. O(1).
    pub(crate) fn oldest(&self, class: SizeClass) -> Option<ItemId> {
        match self {
            Self::Lru(lru) => lru.oldest(class),
            Self::Adaptive(_) | Self::None => None,
        }
    }

    /// The position of the page of the class from which victims are taken next.
    pub(crate) fn page_position(&self, class: SizeClass) -> usize {
        match self {
            Self::Adaptive(adaptive) => adaptive.page_position(class),
            Self::Lru(_) | Self::None => 0,
        }
    }

    /// Whether an item leaves with the page that it stands in, if no free chunk is left for it. O(1).
    pub(crate) fn ends_with_page(&mut self, slab: &mut Slab, id: ItemId) -> bool {
        match self {
            Self::Adaptive(adaptive) => adaptive.ends_with_page(slab, id),
            // Strictly the oldest goes, wherever it stands.
            Self::Lru(_) | Self::None => false,
        }
    }

    /// Makes sure that an insert into `class` finds the memory that the policy needs for it; false if
    /// the limit does not allow it, and then the insert is taken in with less care.
    pub(crate) fn reserve(&mut self, slab: &Slab, class: SizeClass) -> bool {
        match self {
            Self::Adaptive(adaptive) => adaptive.reserve(slab, class),
            Self::Lru(_) | Self::None => true,
        }
    }

    /// Lets go of what is kept of items that are gone. O(what is kept).
    pub(crate) fn trim(&mut self, slab: &Slab) {
        if let Self::Adaptive(adaptive) = self {
            adaptive.trim(slab);
        }
    }

    /// Forgets every item.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Adaptive(adaptive) => adaptive.clear(),
            Self::Lru(lru) => lru.clear(),
            Self::None => {}
        }
    }

    /// Bytes of the limit that the policy has charged for this shard.
    pub(crate) fn charged_bytes(&self) -> usize {
        match self {
            Self::Adaptive(adaptive) => adaptive.charged_bytes(),
            Self::Lru(_) | Self::None => 0,
        }
    }

    /// Panics unless the order knows exactly the items of `live`. O(items).
    pub(crate) fn validate(&self, slab: &Slab, live: &[ItemId]) {
        match self {
            Self::Adaptive(adaptive) => adaptive.validate(slab, live),
            Self::Lru(lru) => lru.validate(slab, live),
            Self::None => {}
        }
    }
}
