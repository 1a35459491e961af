//! Whether the arena's books agree with the twin's, to the byte.

use std::collections::BTreeMap;

use super::{Gathered, Pair, fault};
use crate::arena::{ItemId, SLOTS, SizeClass};

impl Pair {
    pub(super) fn check(&self) {
        // Memory that the OS kept is given back when the limit is looked at again.
        fault::disarm();
        self.arena.set_limit(self.arena.limit_bytes());
        self.arena.empty_trash();
        self.arena.validate();
        let mut used_bytes = self.tables_bytes;
        let mut run_bytes = 0;
        for slab in 0..self.slabs.len() {
            let (pages, runs) = self.check_slab(slab);
            used_bytes += pages;
            run_bytes += runs;
        }
        self.check_buckets();
        self.check_segments();
        used_bytes += self.buckets.bytes();
        let charges = self.charges.iter().sum::<usize>() + self.segments.bytes();
        let mut charged_bytes = self.tables_bytes + charges;
        used_bytes += charges;
        for gathered in &self.gathered {
            match gathered {
                Gathered::Claim(claim, _) => {
                    used_bytes += claim.held_bytes();
                    charged_bytes += claim.held_bytes();
                }
                Gathered::Run(run, draft) => {
                    run_bytes += self.arena.run_bytes_of_item(draft.item_bytes);
                    let value = run.shown(draft.value_at, draft.item.value.len());
                    assert_eq!(value, draft.item.value);
                }
            }
        }
        run_bytes += self.read_runs_bytes();
        let pool_use = self.arena.pool_use();
        assert_eq!(pool_use.charged_bytes, charged_bytes);
        assert_eq!(pool_use.run_bytes, run_bytes);
        assert_eq!(pool_use.used_bytes, used_bytes + run_bytes);
    }

    /// Returns the bytes of its pages and of its runs.
    fn check_slab(&self, number: usize) -> (usize, usize) {
        let (slab, items) = (&self.slabs[number], &self.items[number]);
        let mut live: Vec<u32> = slab.validate().iter().map(|id| id.number()).collect();
        let mut known: Vec<u32> = items.iter().map(|item| item.id.number()).collect();
        live.sort_unstable();
        known.sort_unstable();
        assert_eq!(live, known, "live is what was stored and not freed");
        for item in items {
            self.check_item_in(slab, item);
        }
        let large = slab.large_class();
        let of_class = SizeClass::first(large.index())
            .map(|class| slab.page_count(class) * self.arena.page_bytes_of(class));
        let pages_bytes: usize = of_class.sum();
        let (mut runs_bytes, mut held_bytes, mut item_bytes) = (0, 0, 0);
        for item in items {
            let class = slab.class_of(item.id);
            item_bytes += slab.item_bytes(item.id);
            held_bytes += if class == large {
                let run_bytes = slab.run_bytes_of(item.id);
                runs_bytes += run_bytes;
                run_bytes
            } else {
                slab.bytes_each(class)
            };
        }
        assert_eq!(slab.item_count(), items.len());
        assert_eq!(slab.held_bytes(), held_bytes);
        let memory = slab.memory(item_bytes);
        assert_eq!(memory.run_bytes, runs_bytes);
        (pages_bytes, runs_bytes)
    }

    fn check_buckets(&self) {
        let page_buckets = self.buckets.page_buckets();
        assert_eq!(self.buckets.count(), self.marks.len() * page_buckets);
        for number in 0..self.buckets.count() {
            let mark = self.marks[number / page_buckets];
            let bucket = self.buckets.get(number);
            let slot = usize::from(mark) % SLOTS;
            let marked = (slot, ItemId(u32::from(mark)));
            assert!(bucket.items().eq([marked]));
            assert_eq!(bucket.tag(slot), mark);
        }
    }

    fn check_segments(&self) {
        let page_values = self.segments.page_values();
        assert_eq!(self.segments.count(), self.owners.len() * page_values);
        let place_bits = page_values.next_power_of_two().ilog2();
        for (page, &owner) in (0..).zip(&self.owners) {
            let last = page << place_bits | u32::try_from(page_values - 1).expect("few");
            assert_eq!(self.segments.get(page << place_bits).owner, owner);
            assert_eq!(self.segments.get(last).owner, owner);
        }
    }

    /// Bytes of runs whose items are gone and which readers still hold. Reads all that is held.
    fn read_runs_bytes(&self) -> usize {
        let live = self.items.iter().flatten();
        let starts: Vec<usize> = live.map(|item| self.arena.offset_of(item.id)).collect();
        let mut held = BTreeMap::new();
        for (kept, item) in &self.keepers {
            item.check(&kept.view());
        }
        for reader in &self.readers {
            reader.check();
            if !starts.contains(&reader.run.start) {
                held.insert(reader.run.start, reader.run.len());
            }
        }
        held.values().sum()
    }
}
