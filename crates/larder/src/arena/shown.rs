//! Items that are read without the lock of their shard: found, protected, shown.
//!
//! A reader finds an item as it stood in the index at one moment of the call, or does not find it; then the
//! answer is under the lock. It may have met an item on its way from one bucket to another, or one that
//! is being written where it stands.

use super::header::Header;
use super::item::stored_at;
use super::look::Beside;
use super::{Arena, Buckets, ItemId, Place, SizeClass};
use crate::op::ItemView;
use crate::readers::{self, Protection, Reading};
use crate::time::{ExpiresAt, Timestamp};

/// An item that stays as it is until this is dropped (S8).
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    arena: &'a Arena,
    chunk: usize,
    value: &'a [u8],
    beside: Beside,
    _protection: Protection,
}

/// An item that was found, and is not shown yet.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    arena: &'a Arena,
    place: Place,
    header: Header,
    thread: usize,
    protection: Protection,
}

impl Shown<'_> {
    #[inline(always)]
    pub(crate) fn value(&self) -> &[u8] {
        self.value
    }

    /// All of it: most callers want the value alone.
    #[inline]
    pub(crate) fn view(&self) -> ItemView<'_> {
        let header = self.arena.header(self.chunk);
        self.arena.view_beside(self.chunk, header, self.beside)
    }

    /// The item, if it is one of `arena`.
    pub(super) fn id_in(&self, arena: &Arena) -> Option<ItemId> {
        std::ptr::eq(self.arena, arena).then(|| arena.id_at(self.chunk))
    }
}

impl<'a> Found<'a> {
    /// What `reading` protects.
    #[inline(always)]
    pub(super) fn protected(
        arena: &'a Arena,
        place: Place,
        header: Header,
        reading: Reading,
    ) -> Self {
        Self {
            arena,
            place,
            header,
            thread: reading.thread(),
            protection: reading.leave(),
        }
    }

    /// A live item of a page, as whoever has the lock of its shard found it; `None` if this thread reads as
    /// many items as it can.
    pub(super) fn locked(arena: &'a Arena, id: ItemId) -> Option<Self> {
        let place = arena.place(id);
        let (protection, thread) = Protection::locked(arena.address(id))?;
        Some(Self {
            arena,
            place,
            header: arena.header(place.chunk),
            thread,
            protection,
        })
    }

    #[inline(always)]
    pub(crate) fn expires_at(&self) -> ExpiresAt {
        self.arena.expires_at_place(self.place)
    }

    /// The class whose chunk it has, and the bytes that an item takes there.
    #[inline(always)]
    pub(crate) fn class(&self) -> (SizeClass, usize) {
        let class = self.place.class;
        (class, self.arena.cut(class).each_bytes)
    }

    /// A number of this thread that no other has meanwhile.
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    /// The item as it is before this read.
    #[inline(always)]
    pub(crate) fn show(self) -> Shown<'a> {
        let Self {
            arena,
            place,
            header,
            protection,
            ..
        } = self;
        Shown {
            arena,
            chunk: place.chunk,
            value: arena.value_with(place, header),
            beside: arena.beside(place),
            _protection: protection,
        }
    }

    /// As `show`, and notes the read.
    #[inline(always)]
    pub(crate) fn show_read(self, now: Timestamp) -> Shown<'a> {
        let (arena, place) = (self.arena, self.place);
        // `now` may be a little behind the store.
        let now = now.max(stored_at(self.header.stamp));
        let shown = self.show();
        arena.note_read(place, shown.beside, now);
        shown
    }
}

impl Buckets {
    /// The item under `key`, if it is found without the lock. O(1).
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<Found<'_>> {
        let reading = Reading::begin()?;
        let arena: &Arena = self.arena();
        let pair = self.pair(hash, reading.section())?;
        for slot in pair.slots() {
            let link = pair.link(slot);
            let Some(id) = link.id() else {
                continue;
            };
            let (page, place) = arena.place_if_any(id)?;
            // What is read next comes while the barrier is passed.
            arena.prefetch_at(place.chunk);
            arena.prefetch_at(place.times);
            reading.protect(arena.address(id));
            // The page is its slab's as long as the item stands in it, and the class the page's.
            if pair.link(slot) != link || arena.class_of_page(page) != place.class {
                return None;
            }
            let header = arena.header(place.chunk);
            if arena.key_with(place, header) == key {
                return Some(Found::protected(arena, place, header, reading));
            }
        }
        None
    }
}

impl Arena {
    /// Items of pages that somebody has in a slot at the moment, after a full barrier.
    pub(super) fn ids_in_slots(&self) -> impl Iterator<Item = ItemId> {
        let own = self.address(ItemId(0));
        let last = self.address(ItemId(u32::MAX));
        readers::all_read()
            .filter(move |address| (own..=last).contains(address))
            .map(move |address| ItemId(u32::try_from(address - own).expect("an id")))
    }

    /// Those, and items of pages that somebody keeps.
    pub(super) fn ids_read(&self) -> Vec<ItemId> {
        let mut ids: Vec<ItemId> = self.ids_in_slots().collect();
        // Afterwards: who keeps an item enters it before giving its slot up.
        ids.extend(self.ids_kept().into_iter().filter(|&id| !self.is_run(id)));
        ids
    }

    /// What readers protect an item by: the number of the arena, and the id. No two items of the process have
    /// it in common, and none has 0.
    pub(super) fn address(&self, id: ItemId) -> usize {
        self.number << u32::BITS | id.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Links;
    use crate::sync::Ordering;

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic with a million ids, an hour there")]
    fn an_id_of_an_earlier_use_of_its_page_is_no_more_than_no_hint() {
        for links in [Links::Large, Links::Everywhere] {
            let arena = Arena::new(64 << 20, 64 << 20, links).unwrap();
            let granules = arena.id_at(arena.page_bytes).number();
            for class in SizeClass::first(arena.classes.large().index()) {
                arena.page_classes[0].store(class.0, Ordering::Relaxed);
                let places = (0..granules).filter_map(|id| arena.place_if_any(ItemId(id)));
                let mut count = 0;
                for (_, place) in places {
                    let end = place.chunk + arena.cut(class).chunk_bytes;
                    assert!(place.times < place.chunk && end <= arena.cut(class).page_bytes);
                    let read = Place::of_read(place.times, place.chunk, class);
                    assert_eq!(
                        read,
                        Place {
                            links: None,
                            ..place
                        }
                    );
                    arena.prefetch(place);
                    count += 1;
                }
                assert!(count > 0);
            }
        }
    }
}
