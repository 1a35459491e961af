//! `stats items` and `stats slabs`: the whole cache as one class.
//!
//! Chunk sizes here are many and fine, pages move between them as memory is wanted, and eviction
//! does not go by size: no class has an age, or evictions, of its own. So there is one, with number
//! [`CLASS`], whose gauges and counters are the cache's; its chunk is the mean item's share.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use larder::Cursor;

use super::Lines;
use crate::counters::Counter;

/// The number of the only class.
pub(crate) const CLASS: u32 = 1;

/// Items that the age of the oldest is guessed from.
const AGE_SAMPLE_ITEMS: usize = 500;
/// What `total_pages` counts.
const PAGE_BYTES: u64 = 1 << 20;

impl Lines<'_> {
    pub(super) fn items(&mut self) {
        let shared = self.service.shared;
        let baseline = shared.baseline();
        let engine = baseline.engine_since(self.service);
        if engine.item_count == 0 {
            return;
        }
        let evictions = &shared.watchers.evictions;
        let mortal = evictions.mortal.load(Relaxed);
        let age = self.age();
        let crawled = baseline.since(shared, Counter::CrawlerReclaimed);
        let checked = baseline.since(shared, Counter::CrawlerChecked);
        let has_lists = shared.knobs().lru_maintainer;
        let count = engine.item_count as u64;
        let mut of_class = |name: &str, value: u64| {
            self.number(&format!("items:{CLASS}:{name}"), value);
        };
        of_class("number", count);
        if has_lists {
            for (name, value) in [
                ("number_hot", 0),
                ("number_warm", 0),
                ("number_cold", count),
            ] {
                of_class(name, value);
            }
            of_class("age_hot", 0);
            of_class("age_warm", 0);
        }
        for (name, value) in [
            ("age", age),
            ("mem_requested", engine.item_bytes as u64),
            ("evicted", engine.evictions),
            (
                "evicted_nonzero",
                mortal.saturating_sub(baseline.evicted_mortal),
            ),
            ("evicted_time", evictions.last_age()),
            ("outofmemory", engine.out_of_memory),
            ("tailrepairs", 0),
            ("reclaimed", engine.expirations.saturating_sub(crawled)),
            ("expired_unfetched", engine.expired_unfetched),
            ("evicted_unfetched", engine.evicted_unfetched),
        ] {
            of_class(name, value);
        }
        if has_lists {
            of_class("evicted_active", 0);
        }
        for (name, value) in [
            ("crawler_reclaimed", crawled),
            ("crawler_items_checked", checked),
            ("lrutail_reflocked", 0),
        ] {
            of_class(name, value);
        }
        if has_lists {
            for (name, value) in [
                ("moves_to_cold", 0),
                ("moves_to_warm", 0),
                ("moves_within_lru", 0),
                ("direct_reclaims", 0),
                ("hits_to_hot", 0),
                ("hits_to_warm", 0),
                ("hits_to_cold", engine.hits),
                ("hits_to_temp", 0),
            ] {
                of_class(name, value);
            }
        }
    }

    /// How long the longest unused of some items has not been used, in seconds.
    fn age(&self) -> u64 {
        let cache = self.service.cache;
        let now = cache.now();
        let mut longest = Duration::ZERO;
        let mut met = 0;
        let mut cursor = Cursor::default();
        while met < AGE_SAMPLE_ITEMS {
            let more = cache.walk(&mut cursor, AGE_SAMPLE_ITEMS, |view| {
                longest = longest.max(now.since(view.accessed_at()));
                met += 1;
            });
            if !more {
                break;
            }
        }
        longest.as_secs()
    }

    pub(super) fn slabs(&mut self) {
        let shared = self.service.shared;
        let baseline = shared.baseline();
        let engine = baseline.engine_since(self.service);
        let used_bytes = engine.used_bytes as u64;
        let count = engine.item_count as u64;
        if let Some(chunk_bytes) = used_bytes.checked_div(count) {
            let chunk_bytes = chunk_bytes.max(1);
            let a_page = (PAGE_BYTES / chunk_bytes).max(1);
            let pages = count.div_ceil(a_page);
            let chunks = pages * a_page;
            let mut of_class = |name: &str, value: u64| {
                self.number(&format!("{CLASS}:{name}"), value);
            };
            for (name, value) in [
                ("chunk_size", chunk_bytes),
                ("chunks_per_page", a_page),
                ("total_pages", pages),
                ("total_chunks", chunks),
                ("used_chunks", count),
                ("free_chunks", chunks - count),
                ("free_chunks_end", 0),
            ] {
                of_class(name, value);
            }
            for (name, counter) in [
                ("get_hits", Counter::GetHits),
                ("cmd_set", Counter::CmdSet),
                ("delete_hits", Counter::DeleteHits),
                ("incr_hits", Counter::IncrHits),
                ("decr_hits", Counter::DecrHits),
                ("cas_hits", Counter::CasHits),
                ("cas_badval", Counter::CasBadval),
                ("touch_hits", Counter::TouchHits),
            ] {
                of_class(name, baseline.since(shared, counter));
            }
        }
        self.number("active_slabs", u64::from(count > 0));
        self.number("total_malloced", used_bytes);
    }
}
