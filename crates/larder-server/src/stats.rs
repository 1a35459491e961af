//! The lines of `stats`: memcached's names, in its order, where they mean something here.
//!
//! Control plane: plain and slow is fine.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::counters::Counter;
use crate::protocol::reply;
use crate::service::Service;

/// Appends the answer to `stats <arguments>`.
pub(crate) fn write(service: &Service<'_>, arguments: &[u8], output: &mut Vec<u8>) {
    if !arguments.is_empty() {
        reply::fixed(output, reply::ERROR);
        return;
    }
    let mut lines = Lines { service, output };
    lines.process();
    lines.connections();
    lines.commands();
    lines.memory();
    reply::fixed(output, reply::END);
}

struct Lines<'a> {
    service: &'a Service<'a>,
    output: &'a mut Vec<u8>,
}

impl Lines<'_> {
    fn text(&mut self, name: &str, value: &str) {
        reply::stat(self.output, name, value);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.text(name, itoa::Buffer::new().format(value));
    }

    fn counters(&mut self, names: &[(&str, Counter)]) {
        for &(name, counter) in names {
            self.number(name, self.service.shared.sum(counter));
        }
    }

    fn process(&mut self) {
        let now = self.service.cache.now();
        self.number("pid", u64::from(std::process::id()));
        self.number("uptime", now.since(self.service.started).as_secs());
        self.number("time", now.unix_seconds());
        self.text("version", reply::WIRE_VERSION);
        self.text("larder_version", env!("CARGO_PKG_VERSION"));
        self.number("pointer_size", u64::from(usize::BITS));
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            self.text("rusage_user", &seconds(usage.user_time()));
            self.text("rusage_system", &seconds(usage.system_time()));
        }
    }

    fn connections(&mut self) {
        use std::sync::atomic::Ordering::Relaxed;
        let shared = self.service.shared;
        let connections = &shared.connections;
        self.number("max_connections", shared.config.connections_max as u64);
        self.number("curr_connections", connections.open.load(Relaxed) as u64);
        self.number("total_connections", connections.opened.load(Relaxed));
        self.number("rejected_connections", connections.rejected.load(Relaxed));
        self.number("read_buf_bytes", shared.buffered_bytes.load(Relaxed) as u64);
        self.number(
            "connection_structures",
            connections.open.load(Relaxed) as u64,
        );
    }

    fn commands(&mut self) {
        self.counters(&[
            ("cmd_get", Counter::CmdGet),
            ("cmd_set", Counter::CmdSet),
            ("cmd_flush", Counter::CmdFlush),
            ("cmd_touch", Counter::CmdTouch),
            ("cmd_meta", Counter::CmdMeta),
            ("get_hits", Counter::GetHits),
            ("get_misses", Counter::GetMisses),
        ]);
        self.number("get_expired", self.service.cache.stats().misses_expired);
        self.number("get_flushed", 0);
        self.counters(&[
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
        ]);
        self.number("auth_cmds", 0);
        self.number("auth_errors", 0);
        self.counters(&[
            ("bytes_read", Counter::BytesRead),
            ("bytes_written", Counter::BytesWritten),
        ]);
    }

    fn memory(&mut self) {
        let shared = self.service.shared;
        let stats = self.service.cache.stats();
        let paused = shared
            .connections
            .paused
            .load(std::sync::atomic::Ordering::Relaxed);
        self.number("limit_maxbytes", stats.limit_bytes as u64);
        self.number("accepting_conns", u64::from(!shared.is_stopping()));
        self.number("listen_disabled_num", paused);
        self.number("threads", shared.config.threads as u64);
        self.counters(&[("conn_yields", Counter::ConnYields)]);
        self.number("hash_bytes", stats.table_bytes as u64);
        self.number("hash_is_expanding", 0);
        self.number("malloc_fails", 0);
        self.number("bytes", stats.item_bytes as u64);
        self.number("curr_items", stats.item_count as u64);
        self.number("total_items", stats.stores);
        self.number("slab_global_page_pool", 0);
        self.number("expired_unfetched", stats.expired_unfetched);
        self.number("evicted_unfetched", stats.evicted_unfetched);
        self.number("evictions", stats.evictions);
        self.number("reclaimed", stats.expirations);
        self.number("larder_used_bytes", stats.used_bytes as u64);
        self.number("larder_large_bytes", stats.large_bytes as u64);
        self.number("larder_shards", stats.shard_count as u64);
    }
}

/// `seconds.microseconds`, the latter with six digits.
fn seconds(time: TimeVal) -> String {
    format!("{}.{:06}", time.tv_sec(), time.tv_usec())
}
