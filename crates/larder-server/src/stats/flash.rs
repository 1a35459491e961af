//! The lines about values on flash. There are none where nothing is kept there.

use std::sync::atomic::Ordering::Relaxed;

use larder::Stats;

use super::{Baseline, Lines};
use crate::counters::Counter;

impl Lines<'_> {
    /// Of plain `stats`: hits with values on flash.
    pub(super) fn flash_gets(&mut self, baseline: &Baseline) {
        if self.service.shared.flash.is_none() {
            return;
        }
        self.counters(
            baseline,
            &[
                ("get_extstore", Counter::FlashGets),
                ("get_aborted_extstore", Counter::FlashGetsAborted),
                ("get_oom_extstore", Counter::FlashGetsNoMemory),
                ("recache_from_extstore", Counter::FlashRecached),
                ("miss_from_extstore", Counter::FlashMisses),
                ("badcrc_from_extstore", Counter::FlashDamaged),
            ],
        );
    }

    /// Of plain `stats`: what is on flash, and what was done there.
    pub(super) fn flash(&mut self, engine: &Stats) {
        let Some(flash) = &self.service.shared.flash else {
            return;
        };
        let (events, totals) = (&flash.events, flash.totals());
        let counts = totals.counts;
        let held = engine.limit_bytes.saturating_sub(engine.free_bytes);
        // In hundredths: numbers are whole ones until they are shown.
        let pressure = held as u64 * 10_000 / (engine.limit_bytes as u64).max(1);
        let shown = format!("{}.{:02}", pressure / 100, pressure % 100);
        self.text("extstore_memory_pressure", &shown);
        self.numbers(&[
            ("extstore_compact_lost", events.compact_lost.load(Relaxed)),
            (
                "extstore_compact_rescues",
                events.compact_rescues.load(Relaxed),
            ),
            (
                "extstore_compact_resc_cold",
                events.compact_cold.load(Relaxed),
            ),
            (
                "extstore_compact_resc_old",
                events.compact_old.load(Relaxed),
            ),
            (
                "extstore_compact_skipped",
                events.compact_skipped.load(Relaxed),
            ),
            ("extstore_page_allocs", counts.page_allocs),
            ("extstore_page_evictions", counts.page_evictions),
            ("extstore_page_reclaims", counts.page_reclaims),
            ("extstore_pages_free", totals.free_pages),
            ("extstore_pages_used", totals.used_pages),
            ("extstore_objects_evicted", counts.objects_evicted),
            ("extstore_objects_read", totals.objects_read),
            ("extstore_objects_written", counts.objects_written),
            ("extstore_objects_used", counts.objects_used),
            ("extstore_bytes_evicted", counts.bytes_evicted),
            ("extstore_bytes_written", counts.bytes_written),
            ("extstore_bytes_read", totals.bytes_read),
            ("extstore_bytes_used", counts.bytes_used),
            ("extstore_bytes_fragmented", totals.dead_bytes),
            ("extstore_limit_maxbytes", totals.limit_bytes),
            ("extstore_io_queue", totals.queued),
        ]);
    }

    /// `stats extstore`: each page.
    pub(super) fn flash_pages(&mut self) {
        let Some(flash) = &self.service.shared.flash else {
            return;
        };
        for (number, page) in flash.page_stats().into_iter().enumerate() {
            self.number(&format!("{number}:version"), page.version.into());
            self.number(&format!("{number}:bytes"), page.live_bytes);
            self.number(&format!("{number}:bucket"), page.bucket as u64);
            self.number(&format!("{number}:free_bucket"), page.free_bucket as u64);
        }
    }
}
