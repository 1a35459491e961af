//! Strict least-recently-used order, a list for each size class.

use super::list::List;
use crate::arena::{ItemId, SizeClass, Slab};
use crate::time::{EPOCH, Timestamp};

/// The lists of one shard, by size class.
#[derive(Debug)]
pub(crate) struct Lru(Box<[List]>);

/// A class gives a page up when its oldest item was idle for longer than the other's, by one part in
/// this many.
const IDLE_PART: u32 = 16;
/// And by this many seconds: the times are whole ones.
const IDLE_SECONDS: u32 = 1;

impl Lru {
    pub(super) fn new(class_count: usize) -> Self {
        Self((0..class_count).map(|_| List::default()).collect())
    }

    pub(super) fn insert(&mut self, slab: &mut Slab, id: ItemId) {
        self.list(slab, id).push(slab, id);
    }

    /// Makes an item the most recently used of its class.
    pub(crate) fn bump(&mut self, slab: &mut Slab, id: ItemId) {
        self.list(slab, id).bump(slab, id);
    }

    pub(super) fn remove(&mut self, slab: &mut Slab, id: ItemId) {
        self.list(slab, id).remove(slab, id);
    }

    pub(super) fn relocate(&mut self, slab: &mut Slab, old: ItemId, new: ItemId) {
        self.list(slab, old).replace(slab, old, new);
    }

    pub(super) fn next_victim(
        &self,
        slab: &Slab,
        class: SizeClass,
        keep: Option<ItemId>,
    ) -> Option<ItemId> {
        let oldest = self.0[class.index()].oldest()?;
        if keep == Some(oldest) {
            return slab.links(oldest).0.id();
        }
        Some(oldest)
    }

    pub(super) fn oldest(&self, class: SizeClass) -> Option<ItemId> {
        self.0[class.index()].oldest()
    }

    pub(super) fn cheapest(&self, slab: &Slab) -> Option<SizeClass> {
        let used = |class| Some((self.oldest_seconds(slab, class)?, class));
        let classes = SizeClass::first(self.0.len());
        let least = classes.filter_map(used).min_by_key(|&(seconds, _)| seconds);
        least.map(|(_, class)| class)
    }

    pub(super) fn giver(&self, slab: &Slab, class: SizeClass, now: Timestamp) -> Option<SizeClass> {
        let giver = self.cheapest(slab).filter(|&giver| giver != class)?;
        let now_seconds = u32::try_from(now.since(EPOCH).as_secs()).unwrap_or(u32::MAX);
        let idle = |class| Some(now_seconds.saturating_sub(self.oldest_seconds(slab, class)?));
        let (own, other) = (idle(class)?, idle(giver)?);
        (other > own.saturating_add(own / IDLE_PART + IDLE_SECONDS)).then_some(giver)
    }

    pub(super) fn clear(&mut self) {
        for list in &mut self.0 {
            *list = List::default();
        }
    }

    pub(super) fn validate(&self, slab: &Slab, live: &[ItemId]) {
        let mut listed = 0;
        for class in SizeClass::first(self.0.len()) {
            for id in self.0[class.index()].validate(slab) {
                assert_eq!(slab.class_of(id), class);
                assert!(slab.state(id).is_live(), "a listed item is live");
                listed += 1;
            }
        }
        assert_eq!(listed, live.len(), "a live item is listed");
    }

    /// When the oldest item of the class was used, in seconds since the epoch of times.
    fn oldest_seconds(&self, slab: &Slab, class: SizeClass) -> Option<u32> {
        let oldest = self.0[class.index()].oldest()?;
        Some(slab.accessed_seconds(oldest))
    }

    fn list(&mut self, slab: &Slab, id: ItemId) -> &mut List {
        &mut self.0[slab.class_of(id).index()]
    }
}
