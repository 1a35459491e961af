//! The lines of `stats settings`: what the server was started with, and what has been changed since.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use super::Lines;
use crate::config::{KeyFormat, Knobs, Protocol, TlsVersion, VerifyMode};

impl Lines<'_> {
    pub(super) fn settings(&mut self) {
        let knobs = self.service.shared.knobs();
        self.of_server(&knobs);
        self.of_commands(&knobs);
        self.of_slabs(&knobs);
        self.of_lists(&knobs);
        self.of_disks(&knobs);
        self.of_tls();
        self.number("num_napi_ids", u64::from(knobs.napi_ids));
        match &self.service.shared.config.memory_file {
            Some(path) => self.text("memory_file", &path.to_string_lossy()),
            None => self.text("memory_file", "(null)"),
        }
        self.number("client_flags_size", 4);
    }

    fn of_server(&mut self, knobs: &Knobs) {
        let shared = self.service.shared;
        let config = &shared.config;
        let limit_bytes = self.service.cache.stats().limit_bytes;
        self.number("maxbytes", limit_bytes as u64);
        self.number("maxconns", config.connections_max as u64);
        let tcp_port = if config.tcp { config.port } else { 0 };
        self.number("tcpport", u64::from(tcp_port));
        self.number("udpport", u64::from(config.udp_port.unwrap_or_default()));
        let listen = config.listen.join(",");
        self.text("inter", if listen == "*" { "NULL" } else { &listen });
        self.number("verbosity", u64::from(shared.verbosity.load(Relaxed)));
        self.number("oldest", 0);
        self.text("evictions", if config.evicts { "on" } else { "off" });
        match &config.unix_socket {
            Some(path) => self.text("domain_socket", &path.to_string_lossy()),
            None => self.text("domain_socket", "NULL"),
        }
        self.text("umask", &format!("{:o}", config.unix_mode));
        self.flag("shutdown_command", config.on_shutdown.is_some());
        self.text("growth_factor", &format!("{:.2}", knobs.growth_factor));
        self.number("chunk_size", u64::from(knobs.chunk_bytes_min));
        self.number("num_threads", config.threads as u64);
        let of_udp = if config.listen.len() > 1 {
            1
        } else {
            config.threads
        };
        self.number("num_threads_per_udp", of_udp as u64);
    }

    fn of_commands(&mut self, knobs: &Knobs) {
        let shared = self.service.shared;
        let config = &shared.config;
        let delimiter = char::from(config.prefix_delimiter).to_string();
        self.text("stat_key_prefix", &delimiter);
        self.flag("detail_enabled", shared.prefixes.are_counted());
        self.number("reqs_per_event", u64::from(config.requests_per_turn));
        self.flag("cas_enabled", config.cas);
        self.number("tcp_backlog", u64::from(config.backlog.unsigned_abs()));
        let protocol = match config.protocol {
            Protocol::Auto => "auto-negotiate",
            Protocol::Ascii => "ascii",
            Protocol::Binary => "binary",
        };
        self.text("binding_protocol", protocol);
        self.flag("auth_enabled_sasl", config.sasl);
        match &config.auth_file {
            Some(path) => self.text("auth_enabled_ascii", &path.to_string_lossy()),
            None => self.text("auth_enabled_ascii", "no"),
        }
        self.number("item_size_max", config.item_bytes_max as u64);
        self.flag("maxconns_fast", config.refuses_connections);
        self.number("hashpower_init", u64::from(knobs.hash_power));
    }

    fn of_slabs(&mut self, knobs: &Knobs) {
        let chunk_bytes_max = knobs.slab_chunk_bytes_max.unwrap_or(512 << 10);
        self.flag("slab_reassign", knobs.slab_reassign);
        self.number("slab_automove", u64::from(knobs.slab_automove));
        let ratio = format!("{:.2}", knobs.slab_automove_ratio);
        self.text("slab_automove_ratio", &ratio);
        self.number(
            "slab_automove_window",
            u64::from(knobs.slab_automove_window),
        );
        self.number("slab_chunk_max", chunk_bytes_max as u64);
    }

    fn of_lists(&mut self, knobs: &Knobs) {
        let config = &self.service.shared.config;
        self.flag("lru_crawler", knobs.lru_crawler);
        self.number("lru_crawler_sleep", u64::from(knobs.lru_crawler_sleep));
        self.number("lru_crawler_tocrawl", u64::from(knobs.lru_crawler_tocrawl));
        self.number("tail_repair_time", u64::from(knobs.tail_repair_time));
        self.flag("flush_enabled", config.allows_flush);
        self.flag("dump_enabled", config.allows_dump);
        self.text("hash_algorithm", knobs.hash_algorithm.name());
        self.flag("lru_maintainer_thread", knobs.lru_maintainer);
        self.flag("lru_segmented", knobs.lru_segmented);
        self.number("hot_lru_pct", u64::from(knobs.hot_lru_pct));
        self.number("warm_lru_pct", u64::from(knobs.warm_lru_pct));
        self.text("hot_max_factor", &format!("{:.2}", knobs.hot_max_factor));
        self.text("warm_max_factor", &format!("{:.2}", knobs.warm_max_factor));
        self.flag("temp_lru", knobs.temp_lru);
        self.number("temporary_ttl", u64::from(knobs.temporary_ttl));
        self.number("idle_timeout", config.idle_timeout.as_secs());
        self.number("watcher_logbuf_size", config.watcher_bytes_max as u64);
        self.number("worker_logbuf_size", u64::from(knobs.worker_log_bytes));
        self.number("read_buf_mem_limit", u64::from(knobs.read_buffer_bytes));
        self.flag("track_sizes", config.tracks_sizes);
        self.text("inline_ascii_response", "no");
        self.flag("drop_privileges", knobs.drop_privileges);
    }

    fn of_tls(&mut self) {
        let tls = &self.service.shared.config.tls;
        let path = |path: &Option<PathBuf>, none: &str| match path {
            Some(path) => path.to_string_lossy().into_owned(),
            None => none.to_owned(),
        };
        self.flag("ssl_enabled", tls.enabled);
        self.text("ssl_chain_cert", &path(&tls.chain_cert, "(null)"));
        self.text("ssl_key", &path(&tls.key, "(null)"));
        // OpenSSL's bits.
        let verify = match tls.verify {
            VerifyMode::None => 0,
            VerifyMode::Request => 1,
            VerifyMode::Require => 3,
            VerifyMode::Once => 7,
        };
        self.number("ssl_verify_mode", verify);
        let format = match tls.key_format {
            KeyFormat::Pem => 1,
            KeyFormat::Der => 2,
        };
        self.number("ssl_keyformat", format);
        self.text("ssl_ciphers", tls.ciphers.as_deref().unwrap_or("NULL"));
        self.text("ssl_ca_cert", &path(&tls.ca_cert, "NULL"));
        self.number("ssl_wbuf_size", tls.write_bytes as u64);
        self.flag("ssl_session_cache", tls.session_cache);
        self.flag("ssl_kernel_tls", false);
        let version = match tls.min_version {
            TlsVersion::V1_2 => "tlsv1.2",
            TlsVersion::V1_3 => "tlsv1.3",
        };
        self.text("ssl_min_version", version);
    }

    fn of_disks(&mut self, knobs: &Knobs) {
        for (name, value) in [
            ("ext_item_size", knobs.ext_item_size),
            ("ext_item_age", knobs.ext_item_age),
            ("ext_low_ttl", knobs.ext_low_ttl),
            ("ext_recache_rate", knobs.ext_recache_rate),
            ("ext_wbuf_size", knobs.ext_wbuf_size),
            ("ext_compact_under", knobs.ext_compact_under),
            ("ext_drop_under", knobs.ext_drop_under),
            ("ext_max_sleep", knobs.ext_max_sleep),
        ] {
            self.number(name, u64::from(value));
        }
        self.text("ext_max_frag", &format!("{:.2}", knobs.ext_max_frag));
        let ratio = format!("{:.3}", knobs.slab_automove_freeratio);
        self.text("slab_automove_freeratio", &ratio);
        self.flag("ext_drop_unread", knobs.ext_drop_unread);
    }
}
