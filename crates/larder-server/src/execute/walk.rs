//! Commands that look at every item: key dumps and the histogram of sizes. Each goes on in steps of
//! bounded work and output, between which other clients have their turns.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use larder::{Cursor, ItemView};

use super::wire_item_bytes;
use crate::counters::Counter;
use crate::flash::{Place, value_bytes};
use crate::protocol::admin::{Cachedump, ClassSet, DumpFormat};
use crate::protocol::{dump, reply};
use crate::service::Service;
use crate::stats;

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `lru_crawler metadump` and `mgdump`, of items in some classes.
    Dump(DumpFormat, ClassSet),
    /// `stats cachedump`.
    Cachedump(Cachedump),
    /// `stats sizes`.
    Sizes,
}

/// A walk that is under way.
#[derive(Debug)]
pub(crate) struct Walk {
    cursor: Cursor,
    report: Report,
    /// Items of these classes are reported.
    classes: ClassSet,
    /// Any of them has items.
    has_items: bool,
}

/// What a walk reports, and how much of it is left to be.
#[derive(Debug)]
enum Report {
    Meta,
    Mg,
    Cachedump {
        items: usize,
        bytes: usize,
    },
    /// Items by the 32-byte step of their size.
    Sizes(BTreeMap<usize, u64>),
}

/// Items that a connection looks at, under one lock, before others get their turn: they wait as long as these take.
const ITEMS_A_TURN: usize = 256;
/// The most bytes that `stats cachedump` answers.
const CACHEDUMP_BYTES_MAX: usize = 2 << 20;
/// Width of the histogram's steps, in bytes.
const SIZE_STEP_BYTES: usize = 32;

/// Why a dump is refused, or what it is to show.
pub(crate) fn dump_purpose(
    service: &Service<'_>,
    format: DumpFormat,
    classes: &[u8],
) -> Result<Purpose, &'static str> {
    if !service.shared.knobs().lru_crawler {
        return Err(reply::CRAWLER_DISABLED);
    }
    if !service.shared.config.allows_dump {
        return Err(match format {
            DumpFormat::Meta => reply::METADUMP_NOT_ALLOWED,
            DumpFormat::Mg => reply::MGDUMP_NOT_ALLOWED,
        });
    }
    ClassSet::parse(classes).map(|classes| Purpose::Dump(format, classes))
}

impl Walk {
    /// Begins; what comes before the first item stands in `output`.
    pub(crate) fn new(service: &Service<'_>, purpose: Purpose, output: &mut Vec<u8>) -> Self {
        service.count(Counter::Walks);
        service.shared.walks.fetch_add(1, Ordering::Relaxed);
        let (report, classes) = match purpose {
            Purpose::Dump(format, classes) => {
                reply::fixed(output, reply::OK);
                let report = match format {
                    DumpFormat::Meta => Report::Meta,
                    DumpFormat::Mg => Report::Mg,
                };
                (report, classes)
            }
            Purpose::Cachedump(Cachedump { class, items_max }) => {
                let items = match items_max {
                    0 => usize::MAX,
                    items_max => items_max as usize,
                };
                let bytes = CACHEDUMP_BYTES_MAX;
                (Report::Cachedump { items, bytes }, ClassSet::of(class))
            }
            Purpose::Sizes => (Report::Sizes(BTreeMap::new()), ClassSet::ALL),
        };
        Self {
            cursor: Cursor::default(),
            report,
            classes,
            has_items: stats::has_items(service, classes),
        }
    }

    /// Goes on for a turn; false once the end stands in `output`.
    pub(crate) fn turn(&mut self, service: &Service<'_>, output: &mut Vec<u8>) -> bool {
        let (report, classes) = (&mut self.report, self.classes);
        let more = self.has_items
            && report.wants_more()
            && service.cache.walk(&mut self.cursor, ITEMS_A_TURN, |view| {
                if classes.has(stats::class_number(view.class())) {
                    report.show(service, &view, output);
                }
            });
        if !more {
            self.end(service, output);
        }
        more
    }

    /// Ends without a word, because the connection closes.
    pub(crate) fn abandon(service: &Service<'_>) {
        service.shared.walks.fetch_sub(1, Ordering::Relaxed);
    }

    fn end(&self, service: &Service<'_>, output: &mut Vec<u8>) {
        Self::abandon(service);
        if let Report::Sizes(sizes) = &self.report {
            for (step, count) in sizes {
                let size = (step * SIZE_STEP_BYTES).to_string();
                reply::stat(output, &size, &count.to_string());
            }
        }
        let end = if matches!(self.report, Report::Mg) {
            reply::META_MISS
        } else {
            reply::END
        };
        reply::fixed(output, end);
    }
}

impl Report {
    fn wants_more(&self) -> bool {
        match self {
            Self::Cachedump { items, bytes } => *items > 0 && *bytes > 0,
            Self::Meta | Self::Mg | Self::Sizes(_) => true,
        }
    }

    fn show(&mut self, service: &Service<'_>, view: &ItemView<'_>, output: &mut Vec<u8>) {
        match self {
            Self::Meta => dump::meta_line(
                output,
                &dump::Item {
                    key: view.key(),
                    expires_at: view.expires_at().map(|at| at.unix_seconds()),
                    accessed_at: view.accessed_at().unix_seconds(),
                    cas: service.shown(view.cas()),
                    fetched: view.was_fetched(),
                    class: stats::class_number(view.class()),
                    item_bytes: wire_bytes(service, view),
                    flags: view.flags(),
                    place: Place::of_item(view).map(|place| (place.page, place.offset)),
                },
            ),
            Self::Mg => dump::mg_line(output, view.key(), view.is_marked()),
            Self::Cachedump { items, bytes } => {
                // Keys that a line cannot show are left out, as memcached leaves out binary ones.
                if *items == 0 || *bytes == 0 || view.is_marked() {
                    return;
                }
                let before = output.len();
                let expires_at = view.expires_at().map_or(0, |at| at.unix_seconds());
                dump::cachedump_line(output, view.key(), value_bytes(view), expires_at);
                let line_bytes = output.len() - before;
                if line_bytes > *bytes {
                    output.truncate(before);
                    *bytes = 0;
                } else {
                    *bytes -= line_bytes;
                    *items -= 1;
                }
            }
            Self::Sizes(sizes) => {
                let step = wire_bytes(service, view).div_ceil(SIZE_STEP_BYTES);
                *sizes.entry(step).or_default() += 1;
            }
        }
    }
}

/// Bytes of an item as memcached counts them.
fn wire_bytes(service: &Service<'_>, view: &ItemView<'_>) -> usize {
    wire_item_bytes(service, view.key().len(), view.flags(), value_bytes(view))
}
