//! The operators' commands, executed: statistics, settings, the memory limit, dumps, ending.

use std::io::Write;
use std::sync::atomic::Ordering;

use super::Outcome;
use super::walk::{Purpose, dump_purpose};
use crate::config::{Knobs, Shutdown};
use crate::counters::Counter;
use crate::protocol::admin::{self, Admin, ClassSet, Detail, Ending, ExtKnob, Knob, MoveTime};
use crate::protocol::reply;
use crate::service::Service;
use crate::stats;

/// Higher levels of `verbosity` mean this one.
const VERBOSITY_MAX: u32 = 2;
/// Chunks that one `lru_crawler crawl` looks at; the rest is looked at as always, in the background.
const CRAWL_CHUNKS: usize = 20_000;

/// Executes a command; what it answers in one line is left out if no reply is wanted.
pub(crate) fn execute(
    service: &Service<'_>,
    command: &Admin<'_>,
    noreply: bool,
    output: &mut Vec<u8>,
) -> Outcome {
    let config = &service.shared.config;
    let reply = match *command {
        Admin::Stats { topic: b"sizes" } if config.tracks_sizes => {
            return Outcome::Walk(Purpose::Sizes);
        }
        Admin::Stats { topic } => {
            let known = stats::lines(service, topic, &mut |name, value| {
                reply::stat(output, name, value);
            });
            if known {
                reply::fixed(output, reply::END);
                return Outcome::Done;
            }
            reply::ERROR
        }
        Admin::StatsReset => {
            service.shared.reset_counters();
            reply::RESET
        }
        Admin::Detail(what) => match detail(service, what, output) {
            Some(reply) => reply,
            None => return Outcome::Done,
        },
        Admin::Cachedump(_) if !config.allows_dump => reply::CACHEDUMP_NOT_ALLOWED,
        Admin::Cachedump(Ok(cachedump)) => return Outcome::Walk(Purpose::Cachedump(cachedump)),
        Admin::Cachedump(Err(reply)) => reply,
        Admin::Dump { format, classes } => match dump_purpose(service, format, classes) {
            Ok(purpose) => return Outcome::Walk(purpose),
            Err(reply) => reply,
        },
        Admin::Watch(_) if !config.allows_watch => reply::WATCH_NOT_ALLOWED,
        Admin::Watch(Ok(streams)) => return Outcome::Watch(streams),
        Admin::Watch(Err(reply)) => reply,
        Admin::Knob(knob) => knob_reply(service, knob),
        Admin::MemoryLimit(mebibytes) => memory_limit(service, mebibytes),
        Admin::Reassign(_) if !service.shared.knobs().slab_reassign => reply::REASSIGN_DISABLED,
        Admin::Reassign(classes) => admin::reassign_reply(classes),
        Admin::Crawl { classes } => crawl(service, classes),
        Admin::Shutdown(ending) => match shutdown(service, ending) {
            Some(reply) => reply,
            None => return Outcome::Quit,
        },
        Admin::RefreshCerts => match service.shared.reload_tls() {
            Ok(()) => reply::OK,
            Err(why) => {
                if !noreply {
                    reply::line(output, &why);
                }
                return Outcome::Done;
            }
        },
        Admin::MoveTime(how) => move_time(service, how),
    };
    if !noreply {
        reply::fixed(output, reply);
    }
    Outcome::Done
}

/// `debugtime`.
fn move_time(service: &Service<'_>, how: MoveTime) -> &'static str {
    let Some(clock) = &service.shared.config.test_clock else {
        return reply::ERROR;
    };
    match how {
        MoveTime::Stop => clock.stop(),
        MoveTime::Resume => clock.resume(),
        MoveTime::Shift(seconds) => clock.shift(seconds),
    }
    reply::OK
}

/// `verbosity`.
pub(crate) fn verbosity(service: &Service<'_>, level: u32) -> &'static str {
    let level = level.min(VERBOSITY_MAX);
    service.shared.verbosity.store(level, Ordering::Relaxed);
    if let Some(set) = service.shared.config.on_verbosity {
        set(level);
    }
    reply::OK
}

/// `stats detail`; the counters themselves stand in `output`.
fn detail(
    service: &Service<'_>,
    what: Option<Detail>,
    output: &mut Vec<u8>,
) -> Option<&'static str> {
    if !service.shared.config.allows_dump {
        return Some(reply::DETAIL_NOT_ALLOWED);
    }
    let prefixes = &service.shared.prefixes;
    match what {
        None => Some(reply::DETAIL_USAGE),
        Some(Detail::Dump) => {
            detail_lines(service, output);
            reply::fixed(output, reply::END);
            None
        }
        Some(on_or_off) => {
            prefixes.count(on_or_off == Detail::On);
            Some(reply::OK)
        }
    }
}

/// The counters of each prefix, a line each.
pub(crate) fn detail_lines(service: &Service<'_>, output: &mut Vec<u8>) {
    service
        .shared
        .prefixes
        .each(|prefix, [gets, hits, sets, deletes]| {
            output.extend_from_slice(b"PREFIX ");
            output.extend_from_slice(prefix);
            // Writing to memory does not fail.
            let _ = write!(
                output,
                " get {gets} hit {hits} set {sets} del {deletes}\r\n"
            );
        });
}

fn memory_limit(service: &Service<'_>, mebibytes: u32) -> &'static str {
    let bytes = (mebibytes as usize) << 20;
    match service.cache.set_limit(bytes) {
        Ok(()) => {
            log::info!("the memory limit is {mebibytes} MiB now");
            reply::OK
        }
        Err(error) => {
            log::info!("cache_memlimit {mebibytes}: {error}");
            reply::MEMLIMIT_FAILED
        }
    }
}

fn crawl(service: &Service<'_>, classes: &[u8]) -> &'static str {
    if !service.shared.knobs().lru_crawler {
        return reply::CRAWLER_DISABLED;
    }
    if classes == b"hash" {
        return reply::CRAWL_UNKNOWN;
    }
    match ClassSet::parse(classes) {
        Err(reply) => reply,
        Ok(classes) if !stats::has_items(service, classes) => reply::NOTHING_TO_CRAWL,
        Ok(_) => {
            service.count(Counter::Walks);
            service.maintain(CRAWL_CHUNKS);
            reply::OK
        }
    }
}

/// Asks for the end of the server; `None` if it has been, and the connection closes.
fn shutdown(service: &Service<'_>, ending: Option<Ending>) -> Option<&'static str> {
    let Some(end) = service.shared.config.on_shutdown else {
        return Some(reply::SHUTDOWN_DISABLED);
    };
    match ending {
        None => return Some(reply::BAD_SHUTDOWN),
        Some(Ending::Now) => end(Shutdown::Now),
        Some(Ending::Graceful) => end(Shutdown::Graceful),
    }
    None
}

fn knob_reply(service: &Service<'_>, knob: Knob) -> &'static str {
    let mut reply = reply::OK;
    service.shared.change_knobs(|knobs| {
        let needs_lists = matches!(knob, Knob::LruSegmented(_) | Knob::TemporaryTtl(_));
        if needs_lists && !knobs.lru_maintainer {
            reply = reply::ERROR;
        } else if knob == Knob::Crawler(true) && knobs.lru_crawler {
            reply = reply::CRAWLER_RUNS;
        } else {
            set(knobs, knob);
        }
    });
    reply
}

fn set(knobs: &mut Knobs, knob: Knob) {
    match knob {
        Knob::SlabAutomove(level) => knobs.slab_automove = level,
        Knob::SlabAutomoveRatio(ratio) => knobs.slab_automove_ratio = ratio,
        Knob::SlabAutomoveFreeratio(ratio) => knobs.slab_automove_freeratio = ratio,
        Knob::SlabAutomoveWindow(seconds) => knobs.slab_automove_window = seconds,
        Knob::LruTune([hot, warm], [hot_factor, warm_factor]) => {
            (knobs.hot_lru_pct, knobs.warm_lru_pct) = (hot, warm);
            (knobs.hot_max_factor, knobs.warm_max_factor) = (hot_factor, warm_factor);
        }
        Knob::LruSegmented(segmented) => knobs.lru_segmented = segmented,
        Knob::TemporaryTtl(seconds) => {
            knobs.temp_lru = seconds.is_some();
            knobs.temporary_ttl = seconds.unwrap_or(knobs.temporary_ttl);
        }
        Knob::Crawler(on) => knobs.lru_crawler = on,
        Knob::CrawlerSleep(micros) => knobs.lru_crawler_sleep = micros,
        Knob::CrawlerTocrawl(count) => knobs.lru_crawler_tocrawl = count,
        Knob::Ext(which, value) => {
            let number = match which {
                ExtKnob::ItemSize => &mut knobs.ext_item_size,
                ExtKnob::ItemAge => &mut knobs.ext_item_age,
                ExtKnob::LowTtl => &mut knobs.ext_low_ttl,
                ExtKnob::RecacheRate => &mut knobs.ext_recache_rate,
                ExtKnob::CompactUnder => &mut knobs.ext_compact_under,
                ExtKnob::DropUnder => &mut knobs.ext_drop_under,
                ExtKnob::MaxSleep => &mut knobs.ext_max_sleep,
                ExtKnob::DropUnread => {
                    knobs.ext_drop_unread = value != 0;
                    return;
                }
            };
            *number = value;
        }
        Knob::ExtMaxFrag(ratio) => knobs.ext_max_frag = ratio,
        Knob::Nothing => {}
    }
}
