//! `stats items` and `stats slabs`: the engine's size classes, a block of lines each.
//!
//! Numbers begin with 1. Pages are the engine's own, which are smaller than memcached's. Eviction has no
//! lists: all items of a class are shown as its cold ones.

use larder::ClassStats;

use super::Lines;
use crate::counters::CLASS_COUNTERS;
use crate::protocol::admin::ClassSet;
use crate::service::Service;

/// What a class of the engine is called.
pub(crate) fn class_number(class: usize) -> u32 {
    u32::try_from(class + 1).unwrap_or(u32::MAX)
}

/// Whether any of some classes has items.
pub(crate) fn has_items(service: &Service<'_>, classes: ClassSet) -> bool {
    let stats = service.cache.class_stats();
    let mut numbered = stats.iter().enumerate();
    numbered.any(|(class, stats)| stats.item_count > 0 && classes.has(class_number(class)))
}

impl Lines<'_> {
    pub(super) fn items(&mut self) {
        let baseline = self.service.shared.baseline();
        let has_lists = self.service.shared.knobs().lru_maintainer;
        for (class, stats) in self.service.cache.class_stats().iter().enumerate() {
            if stats.item_count > 0 {
                let stats = baseline.class_since(class, stats);
                self.items_of(class, &stats, has_lists);
            }
        }
    }

    fn items_of(&mut self, class: usize, stats: &ClassStats, has_lists: bool) {
        let number = class_number(class);
        let hits = self.hits_of(class);
        let mut of_class = |names: &[(&str, u64)]| {
            for &(name, value) in names {
                self.number(&format!("items:{number}:{name}"), value);
            }
        };
        let count = stats.item_count as u64;
        of_class(&[("number", count)]);
        if has_lists {
            of_class(&[
                ("number_hot", 0),
                ("number_warm", 0),
                ("number_cold", count),
                ("age_hot", 0),
                ("age_warm", 0),
            ]);
        }
        let (expired, swept) = (stats.expirations, stats.expired_by_maintain);
        of_class(&[
            ("age", stats.longest_idle.as_secs()),
            ("mem_requested", stats.item_bytes as u64),
            ("evicted", stats.evictions),
            ("evicted_nonzero", stats.evicted_mortal),
            ("evicted_time", stats.evicted_idle.as_secs()),
            ("outofmemory", stats.out_of_memory),
            ("tailrepairs", 0),
            ("reclaimed", expired.saturating_sub(swept)),
            ("expired_unfetched", stats.expired_unfetched),
            ("evicted_unfetched", stats.evicted_unfetched),
        ]);
        if has_lists {
            of_class(&[("evicted_active", 0)]);
        }
        of_class(&[
            ("crawler_reclaimed", swept),
            ("crawler_items_checked", stats.examined),
            ("lrutail_reflocked", 0),
        ]);
        if has_lists {
            of_class(&[
                ("moves_to_cold", 0),
                ("moves_to_warm", 0),
                ("moves_within_lru", 0),
                ("direct_reclaims", 0),
                ("hits_to_hot", 0),
                ("hits_to_warm", 0),
                ("hits_to_cold", hits),
                ("hits_to_temp", 0),
            ]);
        }
    }

    /// Reads and touches that found an item of the class.
    fn hits_of(&self, class: usize) -> u64 {
        let [gets, .., touches] = self.commands_of(class);
        gets + touches
    }

    /// The counters of commands for a class since the last reset, as `OfClass` has them.
    fn commands_of(&self, class: usize) -> [u64; CLASS_COUNTERS] {
        let shared = self.service.shared;
        shared.baseline().commands_since(shared, class)
    }

    pub(super) fn slabs(&mut self) {
        let mut active = 0;
        for (class, stats) in self.service.cache.class_stats().iter().enumerate() {
            if stats.page_count > 0 {
                active += 1;
                self.slabs_of(class, stats);
            }
        }
        self.number("active_slabs", active);
        let engine = self.service.cache.stats();
        self.number("total_malloced", engine.used_bytes as u64);
    }

    fn slabs_of(&mut self, class: usize, stats: &ClassStats) {
        let number = class_number(class);
        let commands = self.commands_of(class);
        let mut of_class = |name: &str, value: u64| {
            self.number(&format!("{number}:{name}"), value);
        };
        for (name, value) in [
            ("chunk_size", stats.chunk_bytes),
            ("chunks_per_page", stats.chunks_a_page),
            ("total_pages", stats.page_count),
            ("total_chunks", stats.chunk_count),
            ("used_chunks", stats.item_count),
            ("free_chunks", stats.chunk_count - stats.item_count),
            ("free_chunks_end", 0),
        ] {
            of_class(name, value as u64);
        }
        for (name, value) in COMMANDS.into_iter().zip(commands) {
            of_class(name, value);
        }
    }
}

/// Names of the counters of commands, in the order of `OfClass`, which is memcached's.
const COMMANDS: [&str; CLASS_COUNTERS] = [
    "get_hits",
    "cmd_set",
    "delete_hits",
    "incr_hits",
    "decr_hits",
    "cas_hits",
    "cas_badval",
    "touch_hits",
];
