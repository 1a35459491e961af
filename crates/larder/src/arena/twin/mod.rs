//! Any sequence of steps on an arena, beside a twin that keeps the same in vectors: what was stored is
//! read, every byte that is used has an owner, and no invariant breaks. For tests and fuzz targets.
//!
//! ```text
//! bytes --choices--> steps --> arena, two slabs, buckets, claims   real
//!                          '-> vectors of what they should hold    twin
//! ```
//! The callers of an arena are played as they are: a drained item moves or goes, an item that was replaced is
//! freed, whoever is over a smaller limit gives back until he is not.

mod books;
mod hold;
mod steps;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use super::run::{Claim, Pinned, Run};
use super::{Arena, Array, Buckets, ItemId, Kept, Link, Links, NewItem, Segment, Slab, fault};
use crate::op::{CasToken, ItemView};
use crate::time::{EPOCH, ExpiresAt, Timestamp, Ttl};

/// Runs the steps that `bytes` choose, and panics if anything is wrong.
pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut pair = Pair::new(&mut choices);
    while !choices.0.is_empty() {
        pair.step(&mut choices);
    }
    pair.check();
    pair.end();
}

/// What is to be done, from bytes; when those are used up, everything is 0.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn is_set(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// True once in `count` times.
    fn once_in(&mut self, count: u8) -> bool {
        self.byte().is_multiple_of(count)
    }

    /// A position below `count`, if there is one.
    fn position(&mut self, count: usize) -> Option<usize> {
        let chosen = usize::from(self.word());
        chosen.checked_rem(count)
    }

    /// Bytes of a value: small, of a few to a page, or of a run of its own.
    fn value_bytes(&mut self) -> usize {
        let kind = self.byte();
        let chosen = usize::from(self.word());
        match kind % 8 {
            0..3 => chosen % 200,
            3..5 => chosen % 5000,
            5 => chosen,
            6 => 20_000 + chosen % 20_000,
            _ => chosen * 10,
        }
    }
}

/// An item as the twin knows it.
#[derive(Clone, Debug)]
struct Item {
    id: ItemId,
    key: Vec<u8>,
    value: Vec<u8>,
    flags: u32,
    marked: bool,
    expires_at: ExpiresAt,
    cas: CasToken,
    /// As they were set since the item came into its chunk.
    links: Option<[Link; 2]>,
}

impl Item {
    fn check(&self, view: &ItemView<'_>) {
        assert_eq!(view.key, self.key);
        assert_eq!(view.value, self.value);
        let meta = view.meta;
        let known = (self.flags, self.marked, self.cas);
        assert_eq!((meta.flags, meta.marked, meta.cas), known);
    }
}

/// A reader's hold on an item's run, and the item as it was.
struct Reader {
    hold: Hold,
    item: Item,
    run: Range<usize>,
}

enum Hold {
    Pinned(Pinned),
    Kept(Kept),
}

impl Reader {
    fn check(&self) {
        match &self.hold {
            Hold::Pinned(pinned) => self.item.check(&pinned.view()),
            Hold::Kept(kept) => self.item.check(&kept.view()),
        }
    }
}

/// Memory for a large item to be.
enum Gathered {
    Claim(Claim, Draft),
    Run(Run, Draft),
}

/// The item that memory is gathered for.
struct Draft {
    item: Item,
    item_bytes: usize,
    value_at: usize,
}

/// The arena and its twin.
struct Pair {
    arena: Arc<Arena>,
    slabs: [Slab; 2],
    items: [Vec<Item>; 2],
    buckets: Buckets,
    /// What is written in the buckets of each page.
    marks: Vec<u8>,
    segments: Array<Segment>,
    /// What is written in the segments of each page.
    owners: Vec<u32>,
    charges: Vec<usize>,
    gathered: Vec<Gathered>,
    readers: Vec<Reader>,
    /// Kept items of pages, and as they were.
    keepers: Vec<(Kept, Item)>,
    /// Used before anything was stored.
    tables_bytes: usize,
    linked: bool,
    now: Timestamp,
    tokens: u64,
}

const LIMIT_BYTES: usize = 3 << 20;
const KEPT_BYTES_MAX: usize = 1 << 20;
const LIMIT_BYTES_MIN: usize = 1 << 20;
const LIMIT_BYTES_MAX: usize = 6 << 20;
/// The smallest limit whose pages have wide ones beside them.
const WIDE_LIMIT_BYTES: usize = 64 << 20;

impl Pair {
    fn new(choices: &mut Choices<'_>) -> Self {
        let kind = choices.byte();
        let linked = kind & 1 != 0;
        let (links, limit_max) = (
            if linked {
                Links::Everywhere
            } else {
                Links::Large
            },
            if kind & 2 != 0 {
                WIDE_LIMIT_BYTES
            } else {
                LIMIT_BYTES_MAX
            },
        );
        let arena = Arena::new(LIMIT_BYTES, limit_max, links).expect("address space");
        let arena = Arc::new(arena);
        Self {
            slabs: [(); 2].map(|()| Slab::new(Arc::clone(&arena))),
            items: [Vec::new(), Vec::new()],
            buckets: Buckets::new(Arc::clone(&arena)),
            marks: Vec::new(),
            segments: Array::new(&arena),
            owners: Vec::new(),
            charges: Vec::new(),
            gathered: Vec::new(),
            readers: Vec::new(),
            keepers: Vec::new(),
            tables_bytes: arena.pool_use().used_bytes,
            linked,
            now: EPOCH.after(std::time::Duration::from_secs(1000)),
            tokens: 0,
            arena,
        }
    }

    /// A token of this moment that no item has.
    fn token(&mut self) -> CasToken {
        self.tokens += 1;
        let millis = u64::try_from(self.now.since(EPOCH).as_millis()).expect("40 bits");
        CasToken::from_u64((millis << CasToken::TIME_SHIFT) + self.tokens)
    }

    /// An item to be stored, without an id.
    fn draft(&mut self, choices: &mut Choices<'_>, value_bytes: usize) -> Item {
        let marks = choices.byte();
        let key_bytes = match choices.byte() {
            255 => 60_000,
            bytes => 1 + usize::from(bytes),
        };
        let cas = self.token();
        let seconds = choices.byte();
        let expires_at = match marks & 4 {
            0 => ExpiresAt::NEVER,
            _ => Ttl::seconds(seconds.into()).expires_at(self.now),
        };
        Item {
            id: ItemId(0),
            key: filling(cas, key_bytes),
            value: filling(cas, value_bytes),
            flags: u32::from(marks & 1) * 7,
            marked: marks & 2 != 0,
            expires_at,
            cas,
            links: None,
        }
    }

    /// What the arena is told of a draft.
    fn new_item<'a>(&self, item: &'a Item, is_chosen: bool) -> NewItem<'a> {
        NewItem {
            key: &item.key,
            value: &item.value,
            flags: item.flags,
            expires_at: item.expires_at,
            cas: item.cas,
            chosen: is_chosen.then_some(item.cas),
            marked: item.marked,
            now: self.now,
            filled: None,
            elsewhere: false,
        }
    }

    /// Gives back, as shards do, until no more is used than the limit allows.
    fn give_back(&mut self) {
        while self.arena.is_over_limit() {
            self.take_returned();
            if self.arena.empty_trash() || self.readers.pop().is_some() {
                continue;
            }
            if self.keepers.pop().is_some() {
                continue;
            }
            if let Some(bytes) = self.charges.pop() {
                self.arena.discharge(bytes);
            } else if self.gathered.pop().is_none() {
                let slab = usize::from(self.items[0].is_empty());
                match self.items[slab].len() {
                    0 if self.owners.pop().is_some() => self.segments.give_last_page(),
                    0 => {
                        assert!(self.marks.pop().is_some(), "what is used has an owner");
                        self.give_all_buckets_behind(self.marks.len());
                    }
                    count => self.free(slab, count - 1),
                }
            }
        }
    }

    fn take_returned(&mut self) {
        for slab in &mut self.slabs {
            slab.retry_limbo();
        }
    }

    /// Gives buckets back, once the threads of other tests are not among theirs.
    fn give_all_buckets_behind(&self, pages: usize) {
        while !self.buckets.give_back(pages * self.buckets.page_buckets()) {
            std::hint::spin_loop();
        }
    }

    /// Everybody leaves: what remains is what was used at first.
    fn end(mut self) {
        fault::disarm();
        self.slabs[0].clear();
        self.items[0].clear();
        while let Some(count) = self.items[1].len().checked_sub(1) {
            self.free(1, count);
        }
        self.gathered.clear();
        self.readers.clear();
        self.keepers.clear();
        self.take_returned();
        for bytes in std::mem::take(&mut self.charges) {
            self.arena.discharge(bytes);
        }
        self.give_all_buckets_behind(0);
        self.marks.clear();
        self.segments.clear();
        self.owners.clear();
        self.check();
        let left = self.arena.pool_use();
        let tables_bytes = self.tables_bytes;
        assert_eq!(
            (left.used_bytes, left.charged_bytes),
            (tables_bytes, tables_bytes)
        );
    }
}

/// Bytes that tell one value from another, and its parts from each other.
fn filling(cas: CasToken, bytes: usize) -> Vec<u8> {
    let [first, second, ..] = cas.to_u64().to_le_bytes();
    let mut part = [first; 251];
    for (at, byte) in (0..).zip(&mut part) {
        *byte = first.wrapping_add(second | 1).wrapping_mul(at);
    }
    let mut filling = part.repeat(bytes.div_ceil(part.len()));
    filling.truncate(bytes);
    filling
}
