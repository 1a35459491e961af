//! Key hash to `ItemId`: one open-addressing table per shard, 5 bytes a slot.
//!
//! It stores no keys: the caller tells by an id whether it is the item that it looks for. Its
//! bytes lie outside the arena but inside the limit: the shard asks `growth_bytes` before an
//! insert, has them charged, and settles afterwards.

use hashbrown::HashTable;

use crate::arena::ItemId;

/// The items of one shard, by the hash of their key.
#[derive(Debug, Default)]
pub(crate) struct Index {
    table: HashTable<ItemId>,
}

/// Bytes of one slot: the id and the table's control byte.
const SLOT_BYTES: usize = size_of::<ItemId>() + 1;
/// What a table has besides its slots, rounded up.
const TABLE_BYTES: usize = 64;

impl Index {
    /// The item under `hash` for which `is_key` holds. O(1).
    pub(crate) fn find(&self, hash: u64, mut is_key: impl FnMut(ItemId) -> bool) -> Option<ItemId> {
        self.table.find(hash, |&id| is_key(id)).copied()
    }

    /// Adds an id that is not there. O(1); O(n) when the table grows.
    pub(crate) fn insert(&mut self, hash: u64, id: ItemId, hash_of: impl Fn(ItemId) -> u64) {
        self.table.insert_unique(hash, id, |&id| hash_of(id));
    }

    /// Puts `new` in the place of `old`, which is there under `hash`. O(1).
    pub(crate) fn swap(&mut self, hash: u64, old: ItemId, new: ItemId) {
        let slot = self.table.find_mut(hash, |&id| id == old);
        *slot.expect("a live item is in the index") = new;
    }

    /// Removes `id`, which is there under `hash`. O(1).
    pub(crate) fn remove(&mut self, hash: u64, id: ItemId) {
        let slot = self.table.find_entry(hash, |&found| found == id);
        slot.expect("a live item is in the index").remove();
    }

    /// Removes everything and frees the table.
    pub(crate) fn clear(&mut self) {
        self.table = HashTable::new();
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes that the table takes.
    pub(crate) fn bytes(&self) -> usize {
        self.table.allocation_size()
    }

    /// Bytes that the table may need beside its present ones at the next insert; 0 if it has room.
    pub(crate) fn growth_bytes(&self) -> usize {
        if self.table.len() < self.table.capacity() {
            return 0;
        }
        // The table doubles: at most 8/7 of twice the items, rounded up to a power of two.
        let slots = (self.table.capacity().max(8) * 2 * 8 / 7).next_power_of_two();
        slots * SLOT_BYTES + TABLE_BYTES
    }

    pub(crate) fn contains(&self, hash: u64, id: ItemId) -> bool {
        self.table.find(hash, |&found| found == id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_announced_before_it_happens() {
        let mut index = Index::default();
        for number in 1..3000_u32 {
            let (before, announced) = (index.bytes(), index.growth_bytes());
            let hash = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            index.insert(hash, ItemId::of_test(number), |_| hash);
            assert!(index.bytes() <= before + announced, "{number}");
        }
    }

    #[test]
    fn an_id_swaps_in_place() {
        let mut index = Index::default();
        let (old, new) = (ItemId::of_test(1), ItemId::of_test(2));
        index.insert(7, old, |_| 7);
        index.swap(7, old, new);
        assert_eq!(index.find(7, |_| true), Some(new));
        assert!(!index.contains(7, old));
        index.remove(7, new);
        assert_eq!(index.len(), 0);
    }
}
