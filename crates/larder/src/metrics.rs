//! Statistics for the `metrics` facade: whoever has installed a recorder calls this now and then.

use ::metrics::{counter, gauge};

use crate::stats::Stats;

impl Stats {
    /// Hands every number to the recorder of the `metrics` crate, as `larder_...` with the label `cache`.
    /// Counters are set to what they have come to; nothing else in the engine records.
    pub fn record(&self, cache: &str) {
        let gauges = [
            ("larder_limit_bytes", self.limit_bytes),
            ("larder_used_bytes", self.used_bytes),
            ("larder_index_bytes", self.index_bytes),
            ("larder_free_bytes", self.free_bytes),
            ("larder_pinned_bytes", self.pinned_bytes),
            ("larder_item_bytes", self.item_bytes),
            ("larder_items", self.item_count),
        ];
        for (name, value) in gauges {
            gauge!(name, "cache" => cache.to_owned()).set(value as f64);
        }
        let counters = [
            ("larder_hits_total", self.hits),
            ("larder_misses_total", self.misses),
            ("larder_stores_total", self.stores),
            ("larder_deletes_total", self.deletes),
            ("larder_evictions_total", self.evictions),
            ("larder_expirations_total", self.expirations),
            ("larder_out_of_memory_total", self.out_of_memory),
        ];
        for (name, value) in counters {
            counter!(name, "cache" => cache.to_owned()).absolute(value);
        }
    }
}
