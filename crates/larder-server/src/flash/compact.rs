//! Emptying pages: what lives in one that is mostly dead is written elsewhere, and the page is free again.
//!
//! A part of a page at a time, so that what memory needs comes in between.

use std::sync::atomic::Ordering::Relaxed;

use super::pages::{Moving, Thresholds};
use super::place::Place;
use super::record::Record;
use super::store::Missed;
use super::writer::{Writer, seconds};
use crate::config::{Bucket, Knobs};

/// The page that is being emptied, if any.
#[derive(Debug, Default)]
pub(super) struct Compactor {
    moving: Option<(Moving, u32)>,
}

/// What becomes of a value that lives in the page.
enum Fate {
    /// Nothing refers to it, in truth.
    Dead,
    /// It is given up: it was not read since it was written.
    Dropped,
    Moves(Bucket, larder::CasToken),
}

impl Compactor {
    /// Goes on by one part of a page; false if there is nothing to do.
    pub(super) fn step(&mut self, writer: &mut Writer<'_>, knobs: &Knobs) -> bool {
        let begun = self.moving.take().or_else(|| begin(writer, knobs));
        let Some((moving, at)) = begun else {
            return false;
        };
        let store = &writer.flash.store;
        let bytes_max = writer.shared.config.knobs.ext_wbuf_size as usize;
        let failed = writer.failed();
        let next = store.read_page(moving, at, bytes_max, |record, place| {
            match fate(writer, knobs, moving, &record, place) {
                Fate::Dead => {}
                Fate::Dropped => {
                    super::forget(&writer.shared.cache, record.key, place.to_locator());
                    writer.flash.events.compact_skipped.fetch_add(1, Relaxed);
                }
                Fate::Moves(bucket, stamp) => {
                    let from = Some(place.to_locator());
                    // What is not read from now on counts as unread when its new page is emptied.
                    let record = Record {
                        written: seconds(writer.shared.cache.now().unix_seconds()),
                        ..record
                    };
                    // Without a page for it it is lost with this one, and counted so.
                    writer.add(bucket, &record, stamp, from);
                }
            }
        });
        writer.flush_all();
        match next {
            // What could not be written stays where it is, to be tried again.
            _ if writer.failed() != failed || writer.is_pausing() => {
                self.moving = Some((moving, at));
            }
            Ok(Some(next)) => self.moving = Some((moving, next)),
            Ok(None) => end(writer, moving),
            Err(missed) => {
                match missed {
                    Missed::Failed(error) => log::error!("a page cannot be read: {error}"),
                    _ => log::error!("page {} is not what was written", moving.page),
                }
                end(writer, moving);
            }
        }
        true
    }
}

fn begin(writer: &Writer<'_>, knobs: &Knobs) -> Option<(Moving, u32)> {
    let mut pages = writer.flash.store.pages();
    let when = Thresholds {
        compact_under: knobs.ext_compact_under,
        live_max: knobs.ext_max_frag,
        drop_under: knobs.ext_drop_under,
        takes_oldest: knobs.ext_drop_unread
            || pages.has(Bucket::ColdCompact)
            || pages.has(Bucket::Old),
    };
    pages.take_to_move(&when).map(|moving| (moving, 0))
}

fn end(writer: &Writer<'_>, moving: Moving) {
    let lost = writer.flash.store.pages().release(moving);
    writer
        .flash
        .events
        .compact_lost
        .fetch_add(lost.into(), Relaxed);
}

fn fate(
    writer: &Writer<'_>,
    knobs: &Knobs,
    moving: Moving,
    record: &Record<'_>,
    place: Place,
) -> Fate {
    let locator = place.to_locator();
    let seen = writer.shared.cache.peek_with(record.key, |view| {
        let refers = view.locator() == Some(locator);
        let unread = view.accessed_at().unix_seconds() <= u64::from(record.written);
        refers.then_some((view.stamp(), unread))
    });
    let Some((stamp, unread)) = seen.flatten() else {
        return Fate::Dead;
    };
    let pages = writer.flash.store.pages();
    if unread && pages.has(Bucket::ColdCompact) {
        return Fate::Moves(Bucket::ColdCompact, stamp);
    }
    if unread && moving.is_oldest && knobs.ext_drop_unread {
        return Fate::Dropped;
    }
    let bucket = if moving.is_oldest && pages.has(Bucket::Old) {
        Bucket::Old
    } else {
        Bucket::Compact
    };
    Fate::Moves(bucket, stamp)
}
