//! The lines of plain `stats`.

use std::sync::atomic::Ordering::Relaxed;

use larder::Stats;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::{Baseline, Lines};
use crate::counters::Counter;
use crate::protocol::reply;

/// Descriptors that memcached sets aside for each thread.
const RESERVED_FDS_A_THREAD: u64 = 5;

impl Lines<'_> {
    pub(super) fn general(&mut self) {
        let baseline = self.service.shared.baseline();
        let engine = baseline.engine_since(self.service);
        self.process();
        self.connections(&baseline);
        self.commands(&baseline, &engine);
        self.traffic(&baseline, &engine);
        self.threads(&baseline, &engine);
        self.watching();
        self.flash(&engine);
        self.tls(&baseline);
        self.steering();
        self.memory(&baseline, &engine);
    }

    fn process(&mut self) {
        let now = self.service.cache.now();
        self.number("pid", u64::from(std::process::id()));
        self.number("uptime", now.since(self.service.started).as_secs());
        self.number("time", now.unix_seconds());
        self.text("version", reply::WIRE_VERSION);
        self.text("libevent", "none");
        self.number("pointer_size", u64::from(usize::BITS));
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            self.text("rusage_user", &seconds(usage.user_time()));
            self.text("rusage_system", &seconds(usage.system_time()));
        }
    }

    fn connections(&mut self, baseline: &Baseline) {
        let shared = self.service.shared;
        let connections = &shared.connections;
        let open = connections.open.load(Relaxed) as u64;
        let held = shared.buffered_bytes.load(Relaxed) as u64;
        self.number("max_connections", shared.config.connections_max as u64);
        self.number("curr_connections", open);
        let opened = connections.opened.load(Relaxed);
        self.number("total_connections", opened.saturating_sub(baseline.opened));
        if shared.config.refuses_connections {
            let rejected = connections.rejected.load(Relaxed);
            let rejected = rejected.saturating_sub(baseline.rejected);
            self.number("rejected_connections", rejected);
        }
        self.numbers(&[
            ("connection_structures", open),
            ("response_obj_oom", 0),
            ("response_obj_count", 0),
            ("response_obj_bytes", 0),
            ("read_buf_count", shared.config.threads as u64),
            ("read_buf_bytes", held),
            ("read_buf_bytes_free", 0),
            ("read_buf_oom", 0),
            (
                "reserved_fds",
                shared.config.threads as u64 * RESERVED_FDS_A_THREAD,
            ),
        ]);
    }

    pub(super) fn counters(&mut self, baseline: &Baseline, names: &[(&str, Counter)]) {
        for &(name, counter) in names {
            self.number(name, baseline.since(self.service.shared, counter));
        }
    }

    fn commands(&mut self, baseline: &Baseline, engine: &Stats) {
        self.counters(
            baseline,
            &[
                ("cmd_get", Counter::CmdGet),
                ("cmd_set", Counter::CmdSet),
                ("cmd_flush", Counter::CmdFlush),
                ("cmd_touch", Counter::CmdTouch),
                ("cmd_meta", Counter::CmdMeta),
                ("get_hits", Counter::GetHits),
                ("get_misses", Counter::GetMisses),
            ],
        );
        self.number("get_expired", engine.misses_expired);
        self.number("get_flushed", 0);
        self.flash_gets(baseline);
        self.counters(
            baseline,
            &[
                ("delete_misses", Counter::DeleteMisses),
                ("delete_hits", Counter::DeleteHits),
                ("incr_misses", Counter::IncrMisses),
                ("incr_hits", Counter::IncrHits),
                ("decr_misses", Counter::DecrMisses),
                ("decr_hits", Counter::DecrHits),
                ("cas_misses", Counter::CasMisses),
                ("cas_hits", Counter::CasHits),
                ("cas_badval", Counter::CasBadval),
                ("touch_hits", Counter::TouchHits),
                ("touch_misses", Counter::TouchMisses),
                ("store_too_large", Counter::StoreTooLarge),
                ("store_no_memory", Counter::StoreNoMemory),
                ("auth_cmds", Counter::AuthCmds),
                ("auth_errors", Counter::AuthErrors),
            ],
        );
    }

    fn traffic(&mut self, baseline: &Baseline, engine: &Stats) {
        let shared = self.service.shared;
        let connections = &shared.connections;
        if !shared.config.idle_timeout.is_zero() {
            self.counters(baseline, &[("idle_kicks", Counter::IdleKicks)]);
        }
        self.counters(
            baseline,
            &[
                ("bytes_read", Counter::BytesRead),
                ("bytes_written", Counter::BytesWritten),
            ],
        );
        self.number("limit_maxbytes", engine.limit_bytes as u64);
        let accepting = !shared.is_stopping() && !connections.is_paused.load(Relaxed);
        let paused = connections.paused.load(Relaxed);
        let micros = connections.paused_micros.load(Relaxed);
        self.numbers(&[
            ("accepting_conns", u64::from(accepting)),
            (
                "listen_disabled_num",
                paused.saturating_sub(baseline.paused),
            ),
            (
                "time_in_listen_disabled_us",
                micros.saturating_sub(baseline.paused_micros),
            ),
        ]);
    }

    fn threads(&mut self, baseline: &Baseline, engine: &Stats) {
        let shared = self.service.shared;
        self.number("threads", shared.config.threads as u64);
        self.counters(baseline, &[("conn_yields", Counter::ConnYields)]);
        // As if the index were a table of 8-byte slots.
        let power = (engine.index_bytes as u64 / 8).max(1).ilog2();
        self.numbers(&[
            ("hash_power_level", u64::from(power)),
            ("hash_bytes", engine.index_bytes as u64),
            ("hash_is_expanding", 0),
        ]);
        let knobs = shared.knobs();
        if knobs.slab_reassign {
            self.numbers(&[
                ("slab_reassign_rescues", 0),
                ("slab_reassign_chunk_rescues", 0),
                ("slab_reassign_inline_reclaim", 0),
                ("slab_reassign_busy_items", 0),
                ("slab_reassign_busy_deletes", 0),
                ("slab_reassign_busy_nomem", 0),
            ]);
            self.text("slab_reassign_last_busy_status", "none");
            self.numbers(&[("slab_reassign_running", 0), ("slabs_moved", 0)]);
        }
        if knobs.lru_crawler {
            self.number("lru_crawler_running", shared.walks.load(Relaxed));
            self.counters(baseline, &[("lru_crawler_starts", Counter::Walks)]);
        }
        if knobs.lru_maintainer {
            self.number("lru_maintainer_juggles", 0);
        }
        self.number("malloc_fails", 0);
    }

    fn watching(&mut self) {
        let watchers = &self.service.shared.watchers;
        self.numbers(&[
            ("log_worker_dropped", 0),
            ("log_worker_written", watchers.written.load(Relaxed)),
            ("log_watcher_skipped", watchers.skipped.load(Relaxed)),
            ("log_watcher_sent", watchers.sent.load(Relaxed)),
            ("log_watchers", watchers.count() as u64),
        ]);
    }

    fn tls(&mut self, baseline: &Baseline) {
        let shared = self.service.shared;
        let Some(tls) = &shared.tls else {
            return;
        };
        if shared.config.tls.session_cache {
            let sessions = tls.new_sessions().saturating_sub(baseline.tls_sessions);
            self.number("ssl_new_sessions", sessions);
        }
        self.counters(
            baseline,
            &[
                ("ssl_handshake_errors", Counter::SslHandshakeErrors),
                ("ssl_proto_errors", Counter::SslProtoErrors),
            ],
        );
        let since = self.service.cache.now().since(tls.loaded_at());
        self.number("time_since_server_cert_refresh", since.as_secs());
    }

    fn steering(&mut self) {
        self.numbers(&[("unexpected_napi_ids", 0), ("round_robin_fallback", 0)]);
    }

    fn memory(&mut self, baseline: &Baseline, engine: &Stats) {
        let shared = self.service.shared;
        let crawled = baseline.since(shared, Counter::CrawlerReclaimed);
        let checked = baseline.since(shared, Counter::CrawlerChecked);
        self.numbers(&[
            ("bytes", engine.item_bytes as u64),
            ("curr_items", engine.item_count as u64),
            ("total_items", engine.stores),
            ("slab_global_page_pool", 0),
            ("expired_unfetched", engine.expired_unfetched),
            ("evicted_unfetched", engine.evicted_unfetched),
        ]);
        let has_lists = self.service.shared.knobs().lru_maintainer;
        if has_lists {
            self.number("evicted_active", 0);
        }
        self.numbers(&[
            ("evictions", engine.evictions),
            ("reclaimed", engine.expirations.saturating_sub(crawled)),
            ("crawler_reclaimed", crawled),
            ("crawler_items_checked", checked),
            ("lrutail_reflocked", 0),
        ]);
        if has_lists {
            self.numbers(&[
                ("moves_to_cold", 0),
                ("moves_to_warm", 0),
                ("moves_within_lru", 0),
                ("direct_reclaims", 0),
                ("lru_bumps_dropped", 0),
            ]);
        }
    }

    /// What memcached has no name for.
    pub(super) fn ours(&mut self) {
        let engine = self.service.cache.stats();
        self.text("larder_version", env!("CARGO_PKG_VERSION"));
        self.numbers(&[
            ("larder_used_bytes", engine.used_bytes as u64),
            ("larder_large_bytes", engine.large_bytes as u64),
            ("larder_shards", engine.shard_count as u64),
        ]);
    }
}

/// `seconds.microseconds`, the latter with six digits.
fn seconds(time: TimeVal) -> String {
    format!("{}.{:06}", time.tv_sec(), time.tv_usec())
}
