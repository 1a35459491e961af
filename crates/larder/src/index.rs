//! Key hash to `ItemId`: buckets of one cache line, two choices for every item, grown one bucket
//! at a time.
//!
//! An item stands in one of two buckets that its hash names, the emptier one when it came. A look
//! reads one or two lines and compares 8-bit tags before it touches an item. The number of buckets
//! grows by linear hashing: bucket `n - 2^level` is split into itself and bucket `n`, so that one
//! insert moves twelve items at the most, whatever the size of the index. (Litwin, "Linear hashing:
//! a new tool for file and table addressing", 1980; Azar et al., "Balanced allocations", 1994.)
//!
//! What is not yet split has twice the share of hashes of what is, so that a bound on the mean load
//! would leave some buckets full and others half empty. Growth follows pressure instead: an insert
//! that finds little room in both of its buckets splits one bucket.
//!
//! It stores no keys: the caller tells by an id whether it is the item that it looks for, and what
//! an item's hash is. Pages come from the arena and stay until `clear`.

use std::sync::Arc;

use crate::arena::{Bucket, Buckets, ItemId, Link, PairSlot, Places, SLOTS, Shape};

/// The items of one shard, by the hash of their key. The writer's side: readers without the lock go to
/// the buckets themselves.
#[derive(Debug)]
pub(crate) struct Index {
    buckets: Arc<Buckets>,
    shape: Shape,
    len: usize,
    /// How often items were moved to a bucket that was there before.
    moves: usize,
    /// The buckets that the last of these moves went to, in turns.
    moved_to: Box<[usize; MOVES_KEPT]>,
}

/// An empty slot for an item to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vacancy {
    bucket: usize,
    slot: usize,
    tag: u8,
}

/// Where an item stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    bucket: usize,
    slot: usize,
    id: ItemId,
}

impl Position {
    fn of(places: Places, at: PairSlot, id: ItemId) -> Self {
        Self {
            bucket: places.buckets[at.bucket],
            slot: at.slot,
            id,
        }
    }

    pub(crate) fn id(self) -> ItemId {
        self.id
    }
}

/// An insert that finds its buckets full does not split a bucket while there are fewer items than
/// this for every ten: chance alone fills some.
const ITEMS_PER_TEN_BUCKETS_MIN: usize = SLOTS * 6;
/// Above this mean load every insert splits a bucket. Pressure alone lets the load rise so far at the
/// beginning of a round, when no bucket has been split yet, that nothing can be displaced.
const LOAD_PERCENT_MAX: usize = 85;
/// The mean load that an index is made for, where it is known what is to come.
const EXPECTED_PERCENT: usize = 75;
/// Moves whose buckets are known still: more than there are between two steps of a walk, as a rule.
const MOVES_KEPT: usize = 32;
/// Splits in one insert, at the most. More can help no hash but one that more keys have than two buckets
/// hold.
const SPLITS_FOR_ROOM_MAX: usize = 64;

/// What a call of `shrink` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shrunk {
    /// One bucket went.
    One,
    /// Nothing: the index has no more buckets than it needs, or the next one to go is too full.
    Enough,
}

impl Index {
    pub(crate) fn new(buckets: Arc<Buckets>) -> Self {
        Self {
            buckets,
            shape: Shape::EMPTY,
            len: 0,
            moves: 0,
            moved_to: Box::new([0; MOVES_KEPT]),
        }
    }

    /// What `look` says of the first item under `hash` of which it says anything, and where that stands. O(1).
    #[inline]
    pub(crate) fn find<T>(
        &self,
        hash: u64,
        look: impl Fn(ItemId) -> Option<T>,
    ) -> Option<(T, Position)> {
        if self.shape.used == 0 {
            return None;
        }
        let places = self.places(hash);
        let pair = self.buckets.pair_at(places);
        pair.slots().find_map(|at| {
            let id = pair.link(at).id()?;
            look(id).map(|seen| (seen, Position::of(places, at, id)))
        })
    }

    /// Asks the processor for the lines that `find` will read. O(1).
    pub(crate) fn prefetch(&self, hash: u64) {
        self.buckets.prefetch(hash);
    }

    /// A slot for the next insert under `hash`, in the emptier of its two buckets. It is empty as long as nothing
    /// but removals and `swap` come in between. `None` if that takes a page and the pool has none, or if more keys
    /// have this very hash than two buckets hold. O(1): one bucket is split and one item displaced, very rarely
    /// some more.
    #[inline]
    pub(crate) fn reserve(
        &mut self,
        hash: u64,
        hash_of: impl Fn(ItemId) -> u64,
    ) -> Option<Vacancy> {
        if !self.is_loaded()
            && let Some(vacancy) = self.vacancy(hash)
        {
            return Some(vacancy);
        }
        self.make_room(hash, hash_of)
    }

    /// A slot for an item with this hash, in the emptier of its two buckets, if one has any.
    #[inline]
    fn vacancy(&self, hash: u64) -> Option<Vacancy> {
        if self.shape.used == 0 {
            return None;
        }
        let Places { buckets, tag } = self.places(hash);
        let vacant = buckets.map(|number| self.bucket(number).vacant());
        let emptier = usize::from(vacant[0].count_ones() <= vacant[1].count_ones());
        (vacant[emptier] != 0).then(|| Vacancy {
            bucket: buckets[emptier],
            slot: vacant[emptier].trailing_zeros() as usize,
            tag,
        })
    }

    #[cold]
    fn make_room(&mut self, hash: u64, hash_of: impl Fn(ItemId) -> u64) -> Option<Vacancy> {
        if self.shape.used > 0 && (self.is_tight(hash) || self.is_loaded()) {
            self.split(&hash_of);
        }
        for _ in 0..SPLITS_FOR_ROOM_MAX {
            // The places change with every split.
            let vacancy = self.vacancy(hash);
            if vacancy.is_some() {
                return vacancy;
            }
            if self.shape.used > 0 && self.displace(self.places(hash), &hash_of) {
                return self.vacancy(hash);
            }
            if !self.split(&hash_of) {
                break;
            }
        }
        None
    }

    /// Grows an empty index for so many items, as far as the pool has pages: growing with the items takes
    /// a look at every one of them, again and again. O(items).
    pub(crate) fn expect(&mut self, items: usize) {
        let grown = |index: &Self| index.shape.used * SLOTS * EXPECTED_PERCENT >= items * 100;
        while self.len == 0 && !grown(self) {
            if !self.split(|_| unreachable!("it is empty")) {
                break;
            }
        }
    }

    /// Adds an id that is not there in the slot that `reserve` found for its hash. O(1).
    pub(crate) fn insert(&mut self, Vacancy { bucket, slot, tag }: Vacancy, id: ItemId) {
        let bucket = self.bucket(bucket);
        assert!(
            bucket.link(slot) == Link::NONE,
            "nothing has come in between"
        );
        bucket.put(slot, id, tag);
        self.len += 1;
    }

    /// Where `id` stands, which is there under `hash`. O(1).
    #[inline]
    pub(crate) fn position(&self, hash: u64, id: ItemId) -> Position {
        let found = self.search(hash, id);
        found.expect("a live item is in the index")
    }

    /// Puts `new` in the place of `old`, which is there under `hash`. Who reads `old` is to be looked for behind a
    /// full barrier. O(1).
    pub(crate) fn swap(&self, hash: u64, old: ItemId, new: ItemId) {
        let Position { bucket, slot, .. } = self.position(hash, old);
        self.bucket(bucket).set(slot, Link::from(new));
    }

    /// Takes an item out of readers' sight; until `show` the index has it no more. O(1).
    pub(crate) fn hide(&self, Position { bucket, slot, id }: Position) {
        let bucket = self.bucket(bucket);
        debug_assert_eq!(bucket.link(slot).id(), Some(id));
        bucket.withdraw(slot);
    }

    /// Puts a hidden item back. O(1).
    pub(crate) fn show(&self, hidden: Position) {
        let bucket = self.buckets.get(hidden.bucket);
        bucket.set(hidden.slot, Link::from(hidden.id));
    }

    /// Removes `id`, which is there under `hash`. Who reads it is to be looked for behind a full barrier. O(1).
    pub(crate) fn remove(&mut self, hash: u64, id: ItemId) {
        let Position { bucket, slot, .. } = self.position(hash, id);
        self.bucket(bucket).set(slot, Link::NONE);
        self.len -= 1;
    }

    /// Takes one bucket back into the one that it was split from, if the index is much larger than
    /// its items need; pages that become empty go back to the pool. O(1).
    pub(crate) fn shrink(&mut self, hash_of: impl Fn(ItemId) -> u64) -> Shrunk {
        let page_buckets = self.buckets.page_buckets();
        let Shape { used, .. } = self.shape;
        // What a reader was in the way of before.
        let spare = self.buckets.count() > used.next_multiple_of(page_buckets);
        if spare && self.buckets.give_back(used) {
            return Shrunk::One;
        }
        // Half of the load below which it does not grow, so that the two never take turns.
        let loaded = self.len * 20 >= used * ITEMS_PER_TEN_BUCKETS_MIN;
        if loaded || used <= page_buckets {
            return Shrunk::Enough;
        }
        let last = used - 1;
        let level = last.ilog2();
        let into = last - (1 << level);
        if self.free_slots(into) + self.free_slots(last) < SLOTS {
            return Shrunk::Enough;
        }
        self.note_move(into);
        self.set_shape(Shape { used: last, level });
        for slot in 0..SLOTS {
            if let Some(id) = self.take(last, slot).id() {
                self.put(into, self.places(hash_of(id)).tag, id);
            }
        }
        if last.is_multiple_of(page_buckets) {
            // Where a reader is in the way the page goes with the next one.
            self.buckets.give_back(last);
        }
        Shrunk::One
    }

    /// Removes everything and gives the memory back, unless a reader is in the way: then the index keeps it
    /// until it shrinks. O(pages).
    pub(crate) fn clear(&mut self) {
        self.set_shape(Shape::EMPTY);
        self.len = 0;
        if !self.buckets.give_back(0) {
            self.buckets.wipe(0);
        }
    }

    fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
        self.buckets.set_shape(shape);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A number that grows when an item moves to a bucket that was there before: a walk over the
    /// buckets, in order, may miss it then, unless it looks at [`moved_since`](Self::moved_since).
    pub(crate) fn moves(&self) -> usize {
        self.moves
    }

    /// The buckets that items have moved to since there were so many moves; `None` if these were too many.
    pub(crate) fn moved_since(&self, moves: usize) -> Option<Vec<usize>> {
        let bucket = |number: usize| self.moved_to[number % MOVES_KEPT];
        (self.moves - moves <= MOVES_KEPT).then(|| (moves..self.moves).map(bucket).collect())
    }

    fn note_move(&mut self, to: usize) {
        self.moved_to[self.moves % MOVES_KEPT] = to;
        self.moves += 1;
    }

    /// Buckets in use.
    pub(crate) fn bucket_count(&self) -> usize {
        self.shape.used
    }

    /// The items of one bucket that is in use.
    pub(crate) fn items_in(&self, number: usize) -> impl Iterator<Item = ItemId> {
        self.bucket(number).items().map(|(_, id)| id)
    }

    /// Bytes of the limit that the index has.
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.bytes()
    }

    #[cfg(test)]
    fn contains(&self, hash: u64, id: ItemId) -> bool {
        self.shape.used > 0 && self.search(hash, id).is_some()
    }

    /// Panics unless every item stands where its hash says. Returns the number of items. O(n).
    pub(crate) fn validate(&self, hash_of: impl Fn(ItemId) -> u64) -> usize {
        let mut count = 0;
        for number in 0..self.shape.used {
            for (slot, id) in self.bucket(number).items() {
                let places = self.places(hash_of(id));
                assert!(
                    places.buckets.contains(&number),
                    "an item stands in one of its buckets"
                );
                assert_eq!(self.bucket(number).tag(slot), places.tag);
                count += 1;
            }
        }
        assert_eq!(count, self.len);
        count
    }

    #[inline]
    fn places(&self, hash: u64) -> Places {
        self.shape.places(hash)
    }

    #[inline]
    fn bucket(&self, number: usize) -> &Bucket {
        self.buckets.get(number)
    }

    #[inline]
    fn search(&self, hash: u64, id: ItemId) -> Option<Position> {
        let places = self.places(hash);
        let pair = self.buckets.pair_at(places);
        let found = pair.slots().find(|&slot| pair.link(slot) == Link::from(id));
        found.map(|at| Position::of(places, at, id))
    }

    #[inline]
    fn free_slots(&self, number: usize) -> usize {
        self.bucket(number).free_slots()
    }

    /// Whether an insert under `hash` should let the index grow.
    fn is_tight(&self, hash: u64) -> bool {
        self.len * 10 >= self.shape.used * ITEMS_PER_TEN_BUCKETS_MIN && self.vacancy(hash).is_none()
    }

    fn is_loaded(&self) -> bool {
        self.len * 100 >= self.shape.used * SLOTS * LOAD_PERCENT_MAX
    }

    fn put(&self, number: usize, tag: u8, id: ItemId) {
        let bucket = self.bucket(number);
        let slot = bucket.vacant().trailing_zeros() as usize;
        assert!(slot < SLOTS, "room was made for it");
        bucket.put(slot, id, tag);
    }

    fn take(&self, number: usize, slot: usize) -> Link {
        let bucket = self.buckets.get(number);
        let link = bucket.link(slot);
        bucket.set(slot, Link::NONE);
        link
    }

    /// Adds one bucket, and moves there what belongs there of the bucket that it was split from.
    /// False if that takes a page and the pool has none.
    fn split(&mut self, hash_of: impl Fn(ItemId) -> u64) -> bool {
        let Shape { used, mut level } = self.shape;
        if used == self.buckets.count() && !self.buckets.grow() {
            return false;
        }
        if used == 0 {
            // The first page is used whole: splitting it bucket by bucket would save nothing.
            let used = self.buckets.page_buckets();
            self.set_shape(Shape {
                used,
                level: used.ilog2(),
            });
            return true;
        }
        let (from, to) = (used - (1 << level), used);
        if used + 1 == 2 << level {
            level += 1;
        }
        self.set_shape(Shape {
            used: used + 1,
            level,
        });
        for slot in 0..SLOTS {
            let Some(id) = self.bucket(from).link(slot).id() else {
                continue;
            };
            let places = self.places(hash_of(id));
            if places.buckets.contains(&to) && !places.buckets.contains(&from) {
                self.take(from, slot);
                self.put(to, places.tag, id);
            }
        }
        true
    }

    /// Moves one item out of the full buckets of `places` into its other bucket, where need be after one of
    /// that has been moved to its own other; false if all those are full as well.
    fn displace(&mut self, places: Places, hash_of: &impl Fn(ItemId) -> u64) -> bool {
        for number in places.buckets {
            if self.displace_from(number, hash_of) {
                return true;
            }
        }
        for (number, slot) in places
            .buckets
            .into_iter()
            .flat_map(|number| (0..SLOTS).map(move |slot| (number, slot)))
        {
            if let Some((other, tag)) = self.other_of(number, slot, hash_of)
                && self.displace_from(other, hash_of)
            {
                self.relocate(number, slot, other, tag);
                return true;
            }
        }
        false
    }

    /// Moves one item of the full bucket into its other bucket; false if all of those are full.
    fn displace_from(&mut self, number: usize, hash_of: &impl Fn(ItemId) -> u64) -> bool {
        for slot in 0..SLOTS {
            let Some((other, tag)) = self.other_of(number, slot, hash_of) else {
                continue;
            };
            if self.free_slots(other) > 0 {
                self.relocate(number, slot, other, tag);
                return true;
            }
        }
        false
    }

    /// The other bucket of the item in a slot, if it has two, and its tag.
    fn other_of(
        &self,
        number: usize,
        slot: usize,
        hash_of: impl Fn(ItemId) -> u64,
    ) -> Option<(usize, u8)> {
        let id = self.bucket(number).link(slot).id()?;
        let Places { buckets, tag } = self.places(hash_of(id));
        let other = buckets.into_iter().find(|&other| other != number)?;
        Some((other, tag))
    }

    fn relocate(&mut self, from: usize, slot: usize, to: usize, tag: u8) {
        if let Some(id) = self.take(from, slot).id() {
            self.put(to, tag, id);
            self.note_move(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Arena, Links};

    /// A hash of a number: the tests' ids stand for numbers, and so does `hash_of`.
    fn hash(number: u32) -> u64 {
        let mixed = (u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    fn hash_of(id: ItemId) -> u64 {
        hash(id.number())
    }

    /// As good as random (Steele et al., "Fast splittable pseudorandom number generators", 2014).
    fn mixed(number: u64) -> u64 {
        let mut bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn index() -> Index {
        let arena = Arena::new(64 << 20, 64 << 20, Links::Large).unwrap();
        Index::new(Arc::new(Buckets::new(Arc::new(arena))))
    }

    fn add(index: &mut Index, number: u32) {
        let vacancy = index.reserve(hash(number), hash_of).unwrap();
        index.insert(vacancy, ItemId::of_test(number));
    }

    fn has(index: &Index, number: u32) -> bool {
        index
            .find(hash(number), |id| {
                (id == ItemId::of_test(number)).then_some(())
            })
            .is_some()
    }

    #[test]
    fn every_item_is_found_while_the_index_grows() {
        let mut index = index();
        for number in 0..200_000 {
            add(&mut index, number);
            assert!(has(&index, number) && has(&index, number / 2));
            assert!(!has(&index, number + 1));
        }
        assert_eq!(index.validate(hash_of), 200_000);
        assert!((0..200_000).all(|number| has(&index, number)));
    }

    #[test]
    fn an_index_that_finds_pages_refuses_no_insert() {
        let mut worst = 0;
        // With items displaced by one step only, the last of these got stuck before its end.
        for (seed, count) in [(1, 100_000), (2, 200_000), (3, 300_000), (19, 400_000)] {
            let seeded = |number: u32| mixed(u64::from(number) + (seed << 32));
            let seeded_of = |id: ItemId| seeded(id.number());
            let mut index = index();
            for number in 0..count {
                let before = index.shape.used;
                let reserved = index.reserve(seeded(number), seeded_of);
                let vacancy = reserved.unwrap_or_else(|| panic!("{number} of seed {seed}"));
                index.insert(vacancy, ItemId::of_test(number));
                if before > 0 {
                    worst = worst.max(index.shape.used - before);
                }
            }
            assert_eq!(index.validate(seeded_of), count as usize);
        }
        println!("buckets split by one insert, at the most: {worst}");
    }

    #[test]
    fn a_walk_that_looks_at_what_moved_meets_every_item() {
        const FIRST: u32 = 20_000;
        let mut index = index();
        (0..FIRST).for_each(|number| add(&mut index, number));
        let (mut met, mut missed) = ([false; FIRST as usize], [true; FIRST as usize]);
        let (mut number, mut moves, first_moves) = (FIRST, index.moves(), index.moves());
        let mut bucket = 0;
        while bucket < index.bucket_count() {
            for id in index.items_in(bucket).filter(|id| id.number() < FIRST) {
                met[id.number() as usize] = true;
                missed[id.number() as usize] = false;
            }
            for moved_to in index.moved_since(moves).expect("few at a time") {
                for id in index.items_in(moved_to).filter(|id| id.number() < FIRST) {
                    met[id.number() as usize] = true;
                }
            }
            moves = index.moves();
            bucket += 1;
            (0..5).for_each(|more| add(&mut index, number + more));
            number += 5;
        }
        assert!(met.iter().all(|&met| met));
        assert!(
            missed.iter().any(|&missed| missed),
            "the walk alone misses some"
        );
        assert!(moves - first_moves > MOVES_KEPT);
        assert_eq!(index.moved_since(first_moves), None);
    }

    #[test]
    fn an_insert_splits_one_bucket_once_the_index_grows() {
        let mut index = index();
        for number in 0..200_000 {
            let before = index.shape.used;
            add(&mut index, number);
            assert!(before == 0 || index.shape.used - before <= 2, "at {number}");
        }
    }

    #[test]
    fn bytes_an_item_stay_near_those_of_a_slot() {
        let mut index = index();
        let mut worst: f64 = 0.0;
        for number in 0..500_000 {
            add(&mut index, number);
            if number > 50_000 {
                worst = worst.max(index.shape.used as f64 * 64.0 / f64::from(number));
            }
        }
        println!("index bytes an item, at worst: {worst:.2}");
        assert!(worst < 8.5, "{worst}");
    }

    #[test]
    fn without_a_page_the_index_fills_up_and_then_refuses() {
        let arena = Arc::new(Arena::new(1 << 20, 1 << 20, Links::Large).unwrap());
        let mut index = Index::new(Arc::new(Buckets::new(Arc::clone(&arena))));
        let mut number = 0;
        while let Some(vacancy) = index.reserve(hash(number), hash_of) {
            index.insert(vacancy, ItemId::of_test(number));
            number += 1;
        }
        let slots = index.shape.used * SLOTS;
        assert!(index.len() * 100 > slots * 90, "{} of {slots}", index.len());
        assert_eq!(index.validate(hash_of), number as usize);
        // A removal makes room again.
        for gone in 0..100 {
            index.remove(hash(gone), ItemId::of_test(gone));
        }
        assert!((0..50).all(|back| index.reserve(hash(back), hash_of).is_some()));
        index.clear();
        assert_eq!((index.len(), index.bytes()), (0, 0));
    }

    #[test]
    fn an_index_that_lost_its_items_gives_its_pages_back() {
        let mut index = index();
        for number in 0..300_000 {
            add(&mut index, number);
        }
        for number in 3000..300_000 {
            index.remove(hash(number), ItemId::of_test(number));
            if number % 1000 == 0 {
                index.shrink(hash_of);
                index.validate(hash_of);
            }
        }
        while index.shrink(hash_of) == Shrunk::One {}
        assert_eq!(index.validate(hash_of), 3000);
        assert!((0..3000).all(|number| has(&index, number)));
        assert_eq!(index.bytes(), 64 << 10, "one page is left");
        for number in 3000..100_000 {
            add(&mut index, number);
        }
        assert_eq!(index.validate(hash_of), 100_000);
    }

    #[test]
    fn ids_swap_and_leave() {
        let mut index = index();
        for number in 0..10_000 {
            add(&mut index, number);
        }
        // The new id has the old one's hash, as a new value of the same key has.
        index.swap(hash(5), ItemId::of_test(5), ItemId::of_test(70_000));
        assert!(!index.contains(hash(5), ItemId::of_test(5)));
        assert!(index.contains(hash(5), ItemId::of_test(70_000)));
        index.swap(hash(5), ItemId::of_test(70_000), ItemId::of_test(5));
        for number in (0..10_000).step_by(2) {
            index.remove(hash(number), ItemId::of_test(number));
        }
        assert!((0..10_000).all(|number| has(&index, number) == (number % 2 == 1)));
        assert_eq!(index.validate(hash_of), 5000);
    }

    /// What growth alone takes of an insert, printed: the time of the thread, so that others do not count, and
    /// beside it how often the machine itself stops a thread that long, which the thread's time does not leave out
    /// where the machine is a guest. Run it optimised, with `--nocapture`.
    #[test]
    #[cfg(all(target_os = "linux", not(any(miri, larder_asan))))]
    fn what_growth_takes_of_an_insert() {
        use rustix::time::{ClockId, clock_gettime};
        let count: u32 = if cfg!(debug_assertions) {
            200_000
        } else {
            20_000_000
        };
        let thread_nanos = || {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            time.tv_sec * 1_000_000_000 + time.tv_nsec
        };
        // Hashes are read from memory, as those of keys are.
        let hashes: Vec<[u64; 2]> = (0..count).map(|number| [hash(number), 0]).collect();
        let hash_of = |id: ItemId| hashes[id.number() as usize][0];
        let arena = Arc::new(Arena::new(1 << 30, 1 << 30, Links::Large).unwrap());
        // Once to have the pages, so that no fault of a page counts.
        let mut taken: Vec<i64> = Vec::new();
        for measured in [false, true] {
            let mut index = Index::new(Arc::new(Buckets::new(Arc::clone(&arena))));
            for number in 0..count {
                let id = ItemId::of_test(number);
                let used = index.shape.used;
                let start = if measured { thread_nanos() } else { 0 };
                let vacancy = index.reserve(hash_of(id), hash_of).unwrap();
                if measured && index.shape.used > used {
                    taken.push(thread_nanos() - start);
                }
                index.insert(vacancy, id);
            }
            while index.bytes() > 0 {
                index.clear();
            }
        }
        taken.sort_unstable();
        let whole: i64 = taken.iter().sum();
        let per_second = |stops: usize| stops as f64 * 1e9 / whole as f64;
        let part = |per_mille: usize| taken[(taken.len() - 1) * per_mille / 1000] as f64 / 1000.0;
        let long = taken.iter().filter(|&&nanos| nanos > 100_000).count();
        println!(
            "growth to {count} items: {} inserts that split, {long} of them above 100 microseconds, {:.1} in a \
             second of them; median {:.2}, p99.9 {:.2}, max {:.2}",
            taken.len(),
            per_second(long),
            part(500),
            part(999),
            part(1000)
        );
        // As many looks at the clock, with nothing between them, for as long.
        let (mut stops, mut longest) = (0, 0);
        let begin = thread_nanos();
        let mut before = begin;
        while before - begin < whole {
            let now = thread_nanos();
            longest = longest.max(now - before);
            stops += usize::from(now - before > 100_000);
            before = now;
        }
        println!(
            "a loop that does nothing: {:.1} stops above 100 microseconds in a second, max {:.2}",
            per_second(stops),
            longest as f64 / 1000.0
        );
    }
}
