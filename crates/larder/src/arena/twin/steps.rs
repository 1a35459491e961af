//! The steps: each on the arena and on its twin.

use std::time::Duration;

use super::{
    Choices, Claim, Draft, Gathered, Item, LIMIT_BYTES_MAX, LIMIT_BYTES_MIN, Link, Pair, Slab,
    fault, filling,
};
use crate::arena::item::Side;
use crate::arena::run::{Filled, Grown};
use crate::arena::{Arena, ItemId, SLOTS, Standing, State};
use crate::time::ExpiresAt;

/// The most that is stored in one step, about: enough for a few pages.
const BURST_BYTES: usize = 200_000;
/// The most that one step charges.
const CHARGE_BYTES_MAX: usize = 300_000;

impl Pair {
    pub(super) fn step(&mut self, choices: &mut Choices<'_>) {
        let slab = usize::from(choices.is_set());
        match choices.byte() % 32 {
            0..4 => self.store(choices, slab, 1),
            4..7 => {
                let count = usize::from(choices.byte());
                self.store(choices, slab, count);
            }
            7 => self.store_over(choices, slab),
            8 => self.store_beside(choices, slab),
            9 => self.replace(choices, slab),
            10 => self.join(choices, slab),
            11 => self.remove(choices, slab, 1),
            12 => {
                let count = usize::from(choices.byte());
                self.remove(choices, slab, count);
            }
            13 => self.touch(choices, slab),
            14 => self.begin_drain(choices, slab),
            15 | 16 => {
                let count = usize::from(choices.byte()) * 8;
                self.drain(slab, count);
            }
            17 => self.slabs[slab].end_drain(),
            18 => self.expire(choices, slab),
            19 => self.claim(choices, slab),
            20 | 21 => self.gather(choices, slab),
            22 => self.read(choices, slab),
            23 if slab == 0 => self.end_read(choices),
            23 => self.end_keep(choices),
            24 if slab == 0 => self.grow_buckets(choices),
            24 => self.grow_segments(choices),
            25 if slab == 0 => self.shrink_buckets(choices),
            25 => self.shrink_segments(choices),
            26 => self.charge(choices),
            27 => self.set_limit(choices),
            28 => self.link(choices, slab),
            29 => fault::arm(choices.byte().into()),
            30 => self.clear(choices, slab),
            _ => self.check(),
        }
    }

    fn store(&mut self, choices: &mut Choices<'_>, slab: usize, count: usize) {
        let value_bytes = choices.value_bytes();
        let is_chosen = choices.once_in(8);
        let item = self.draft(choices, value_bytes);
        for _ in 0..count.min(1 + BURST_BYTES / (value_bytes + 1)) {
            let mut item = item.clone();
            item.cas = self.token();
            let new = self.new_item(&item, is_chosen);
            let Some((id, _)) = self.slabs[slab].store(&new.measured(), State::NEW) else {
                return;
            };
            item.id = id;
            self.enter(slab, item);
        }
    }

    fn store_over(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let Some(at) = choices.position(self.items[slab].len()) else {
            return;
        };
        let (new, is_chosen) = self.successor(choices, slab, at);
        let id = new.id;
        let item = self.new_item(&new, is_chosen).measured();
        let place = self.slabs[slab].place(id);
        if self.slabs[slab].can_store_over(id, place, &item) && !self.is_read(slab, id) {
            self.slabs[slab].store_over(id, place, &item);
            self.items[slab][at] = new;
        }
        self.check_item(slab, at);
    }

    fn store_beside(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let Some(at) = choices.position(self.items[slab].len()) else {
            return;
        };
        let (new, is_chosen) = self.successor(choices, slab, at);
        let from = new.id;
        let item = self.new_item(&new, is_chosen).measured();
        let stored = self.slabs[slab].store_beside(from, &item);
        let stored = stored.map(|(id, _)| id);
        if let Some(id) = stored {
            self.slabs[slab].free(from);
            self.items[slab][at] = Item {
                id,
                links: None,
                ..new
            };
        }
        self.check_item(slab, at);
    }

    /// Another item under the key and the id of the one that is there.
    fn successor(&mut self, choices: &mut Choices<'_>, slab: usize, at: usize) -> (Item, bool) {
        let old = &self.items[slab][at];
        let (id, key, links) = (old.id, old.key.clone(), old.links);
        // Often of about the same size, so that it fits in place.
        let value_bytes = if choices.is_set() {
            old.value.len() + usize::from(choices.byte() % 8)
        } else {
            choices.value_bytes()
        };
        let draft = self.draft(choices, value_bytes);
        let new = Item {
            id,
            key,
            links,
            ..draft
        };
        (new, choices.once_in(8))
    }

    fn replace(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let Some(at) = choices.position(self.items[slab].len()) else {
            return;
        };
        let (cas, value_bytes) = (self.token(), choices.value_bytes());
        let value = filling(cas, value_bytes);
        let id = self.items[slab][at].id;
        let standing = self.standing(slab, id, value_bytes);
        let new = self.slabs[slab].replace(id, &value, standing, cas, self.now);
        self.changed(slab, at, new, |item| {
            (item.value, item.cas) = (value, cas);
        });
    }

    /// Whether a guard has an item of a page, which is not changed then; the slab looks at a large one's itself.
    fn is_read(&self, slab: usize, id: ItemId) -> bool {
        let slab = &self.slabs[slab];
        !slab.is_large(id) && slab.is_read(id)
    }

    fn standing(&self, slab: usize, id: ItemId, value_bytes: usize) -> Standing {
        if self.slabs[slab].can_change(id, value_bytes) && !self.is_read(slab, id) {
            Standing::Stays
        } else {
            Standing::Moves
        }
    }

    fn join(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let Some(at) = choices.position(self.items[slab].len()) else {
            return;
        };
        let (cas, extra_bytes) = (self.token(), choices.value_bytes());
        let extra = filling(cas, extra_bytes);
        let side = if choices.is_set() {
            Side::Front
        } else {
            Side::Back
        };
        let id = self.items[slab][at].id;
        let joined_bytes = self.items[slab][at].value.len() + extra_bytes;
        let standing = self.standing(slab, id, joined_bytes);
        let new = self.slabs[slab].joined(id, &extra, side, standing, cas, self.now);
        self.changed(slab, at, new, |item| {
            item.cas = cas;
            match side {
                Side::Back => item.value.extend(extra),
                Side::Front => item.value = [extra, std::mem::take(&mut item.value)].concat(),
            }
        });
    }

    /// An item was changed, in place or in another chunk, or was not for want of memory.
    fn changed(
        &mut self,
        slab: usize,
        at: usize,
        new: Option<ItemId>,
        change: impl FnOnce(&mut Item),
    ) {
        if let Some(new) = new {
            let item = &mut self.items[slab][at];
            change(item);
            let old = std::mem::replace(&mut item.id, new);
            if old != new {
                item.links = None;
                self.slabs[slab].free(old);
            }
        }
        self.check_item(slab, at);
    }

    fn remove(&mut self, choices: &mut Choices<'_>, slab: usize, count: usize) {
        let for_others = choices.once_in(3);
        for _ in 0..count {
            let Some(at) = choices.position(self.items[slab].len()) else {
                break;
            };
            if for_others {
                let id = self.forget(slab, at);
                let place = self.slabs[slab].place(id);
                self.slabs[slab].retire(id, place);
            } else {
                self.free(slab, at);
            }
        }
        if for_others {
            self.slabs[slab].keep_spare();
        }
    }

    pub(super) fn free(&mut self, slab: usize, at: usize) {
        let id = self.forget(slab, at);
        self.slabs[slab].free(id);
    }

    fn forget(&mut self, slab: usize, at: usize) -> ItemId {
        self.check_item(slab, at);
        self.items[slab].swap_remove(at).id
    }

    fn touch(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let Some(at) = choices.position(self.items[slab].len()) else {
            return;
        };
        let expires_at = self.draft(choices, 0).expires_at;
        let item = &mut self.items[slab][at];
        item.expires_at = expires_at;
        self.slabs[slab].set_expires_at(item.id, expires_at);
        self.check_item(slab, at);
    }

    fn begin_drain(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let items = &self.items[slab];
        let (of, kept) = (
            choices.position(items.len()),
            choices.position(items.len() * 2),
        );
        let Some(of) = of else { return };
        let slabs = &mut self.slabs[slab];
        slabs.retry_limbo();
        let class = slabs.class_of(items[of].id);
        if slabs.draining_class().is_some() || class == slabs.large_class() {
            return;
        }
        let keep = kept.and_then(|at| items.get(at)).map(|item| item.id);
        let from = usize::from(choices.byte()) % slabs.page_count(class);
        if slabs.begin_drain(class, from, keep) {
            let (_, id) = slabs.next_to_drain().expect("a page has items");
            assert_eq!(slabs.draining_class(), Some(class));
            assert!(keep.is_none_or(|keep| slabs.page_of(keep) != slabs.page_of(id)));
        } else {
            let pages = slabs.page_count(class);
            let in_the_way = |id| slabs.class_of(id) == class;
            let any_kept = self.keepers.iter().any(|(_, item)| in_the_way(item.id));
            assert!(any_kept || pages == 1 && keep.is_some_and(in_the_way));
        }
    }

    /// Moves items out of the page that is being drained, or lets them go where there is no room.
    fn drain(&mut self, slab: usize, count: usize) {
        for _ in 0..count {
            let Some((_, id)) = self.slabs[slab].next_to_drain() else {
                // A page in which an item is kept, since the drain began or until just now, stays.
                self.slabs[slab].end_drain();
                return;
            };
            let at = self.items[slab].iter().position(|item| item.id == id);
            let at = at.expect("what is drained was stored");
            if let Some(new) = self.slabs[slab].relocate(id) {
                self.slabs[slab].free(id);
                let item = &mut self.items[slab][at];
                (item.id, item.links) = (new, None);
                self.check_item(slab, at);
            } else {
                self.free(slab, at);
            }
        }
    }

    /// Time passes; then some of what has expired goes, or all of it.
    fn expire(&mut self, choices: &mut Choices<'_>, slab: usize) {
        self.now = self.now.after(Duration::from_millis(choices.word().into()));
        let mut left = match choices.word() {
            word if word % 2 == 0 => usize::MAX,
            word => usize::from(word),
        };
        let large = self.slabs[slab].large_class();
        for class in crate::arena::SizeClass::first(large.index()) {
            while let Some(id) = self.slabs[slab].next_expired(class, self.now, &mut left) {
                let items = &self.items[slab];
                let at = items.iter().position(|item| item.id == id);
                let at = at.expect("what expires was stored");
                assert!(items[at].expires_at.is_past(self.now));
                self.free(slab, at);
            }
        }
        self.slabs[slab].renew_bound();
        if left > 0 {
            let slab_of = &self.slabs[slab];
            let is_missed = |item: &&Item| {
                item.expires_at.is_past(self.now) && slab_of.class_of(item.id) != large
            };
            let missed = self.items[slab].iter().find(is_missed);
            assert!(missed.is_none(), "{missed:?} has expired");
        }
    }

    fn claim(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let value_bytes = usize::from(choices.word()) * 20;
        let item = self.draft(choices, value_bytes);
        let header = self.new_item(&item, false).measured().header;
        let item_bytes = header.item_bytes();
        if self.slabs[slab].class_for(item_bytes) != self.slabs[slab].large_class() {
            return;
        }
        let value_at = Arena::run_key_at(header.bytes) + item.key.len();
        let draft = Draft {
            item,
            item_bytes,
            value_at,
        };
        let claim = Claim::new(&self.arena, item_bytes);
        self.gathered.push(Gathered::Claim(claim, draft));
    }

    /// Goes on with one of the claims: it grows, becomes a run, or an item; or it is given up.
    fn gather(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let Some(at) = choices.position(self.gathered.len()) else {
            return;
        };
        let gives_up = choices.once_in(4);
        let gathered = self.gathered.swap_remove(at);
        if gives_up {
            return;
        }
        match gathered {
            Gathered::Claim(mut claim, draft) => {
                if claim.grow() != Grown::Whole || choices.is_set() {
                    self.gathered.push(Gathered::Claim(claim, draft));
                } else if let Some(mut run) = claim.into_run() {
                    let part = run.part(draft.value_at, draft.item.value.len());
                    part.copy_from_slice(&draft.item.value);
                    self.gathered.push(Gathered::Run(run, draft));
                }
            }
            Gathered::Run(run, Draft { mut item, .. }) => {
                let filled = Filled::new(run, item.value.len());
                let mut new = self.new_item(&item, false);
                (new.value, new.filled) = (&[], Some(&filled));
                let stored = self.slabs[slab].store(&new.measured(), State::NEW);
                (item.id, _) = stored.expect("its memory is there");
                self.enter(slab, item);
            }
        }
    }

    fn grow_buckets(&mut self, choices: &mut Choices<'_>) {
        if self.buckets.grow() {
            let first = self.buckets.count() - self.buckets.page_buckets();
            for number in first..self.buckets.count() {
                let bucket = self.buckets.get(number);
                assert_eq!(bucket.free_slots(), SLOTS, "a new bucket is empty");
                assert!((0..SLOTS).all(|slot| bucket.tag(slot) == 0));
            }
            let mark = choices.byte();
            for number in first..self.buckets.count() {
                let slot = usize::from(mark) % SLOTS;
                let bucket = self.buckets.get(number);
                bucket.put(slot, ItemId(u32::from(mark)), mark);
            }
            self.marks.push(mark);
        }
    }

    fn shrink_buckets(&mut self, choices: &mut Choices<'_>) {
        if choices.once_in(8) {
            self.give_buckets_back(0);
        } else {
            self.give_buckets_back(self.marks.len().saturating_sub(1));
        }
    }

    /// They stay where the system cannot tell whether somebody is among them.
    fn give_buckets_back(&mut self, pages: usize) {
        if self.buckets.give_back(pages * self.buckets.page_buckets()) {
            self.marks.truncate(pages);
        }
    }

    fn grow_segments(&mut self, choices: &mut Choices<'_>) {
        for _ in 0..choices.byte() % 8 {
            if !self.segments.grow() {
                return;
            }
            let owner = choices.byte().into();
            for number in self.segments.last_page() {
                let segment = self.segments.get_mut(number);
                assert_eq!(
                    (segment.owner, segment.entries[0].tag),
                    (0, 0),
                    "it is zero at first"
                );
                segment.owner = owner;
            }
            self.owners.push(owner);
        }
    }

    fn shrink_segments(&mut self, choices: &mut Choices<'_>) {
        if choices.once_in(8) {
            self.segments.clear();
            self.owners.clear();
        } else {
            self.segments.give_last_page();
            self.owners.pop();
        }
    }

    fn charge(&mut self, choices: &mut Choices<'_>) {
        if choices.is_set() {
            let bytes = usize::from(choices.word()) * 8 % CHARGE_BYTES_MAX;
            if self.arena.charge(bytes) {
                self.charges.push(bytes);
            }
        } else if let Some(at) = choices.position(self.charges.len()) {
            let bytes = self.charges.swap_remove(at);
            self.arena.discharge(bytes);
        }
    }

    fn set_limit(&mut self, choices: &mut Choices<'_>) {
        let more = usize::from(choices.byte()) * (LIMIT_BYTES_MAX - LIMIT_BYTES_MIN) / 255;
        self.arena.set_limit(LIMIT_BYTES_MIN + more);
        self.give_back();
    }

    fn link(&mut self, choices: &mut Choices<'_>, slab: usize) {
        let Some(at) = choices.position(self.items[slab].len()) else {
            return;
        };
        let item = &mut self.items[slab][at];
        let slabs = &mut self.slabs[slab];
        if self.linked || slabs.class_of(item.id) == slabs.large_class() {
            let links = [choices.word(), choices.word()];
            let links = links.map(|link| Link::from(ItemId(link.into())));
            item.links = Some(links);
            slabs.set_previous(item.id, links[0]);
            slabs.set_next(item.id, links[1]);
        }
    }

    fn clear(&mut self, choices: &mut Choices<'_>, slab: usize) {
        if choices.once_in(4) {
            self.slabs[slab].clear();
            self.items[slab].clear();
        } else {
            self.arena.empty_trash();
        }
    }

    fn enter(&mut self, slab: usize, item: Item) {
        self.items[slab].push(item);
        self.check_item(slab, self.items[slab].len() - 1);
    }

    fn check_item(&self, slab: usize, at: usize) {
        let item = &self.items[slab][at];
        self.check_item_in(&self.slabs[slab], item);
    }

    pub(super) fn check_item_in(&self, slab: &Slab, item: &Item) {
        item.check(&slab.view(item.id));
        assert_eq!(slab.key(item.id), item.key);
        let expires_at: ExpiresAt = slab.expires_at(item.id);
        assert_eq!(expires_at, item.expires_at);
        if let Some([previous, next]) = item.links {
            assert_eq!(slab.links(item.id), (previous, next));
        }
    }
}
