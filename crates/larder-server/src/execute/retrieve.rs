//! `get`, `gets`, `gat` and `gats`: items by their keys, a few dozen keys at a time.

use std::ops::ControlFlow;

use larder::{Batch, ItemView, Prepared};

use super::{Outcome, events, ttl};
use crate::counters::{Counter, OfClass};
use crate::flash::Place;
use crate::protocol::reply;
use crate::protocol::text::{Retrieve, RetrieveOptions, next_token};
use crate::service::Service;
use crate::stats::Retrieval;

/// Keys that a retrieval looks up before other connections get their turn.
const KEYS_PER_TURN: usize = 4096;
/// Keys that are looked up together.
const KEYS_AT_ONCE: usize = 32;

/// Answers the keys of a retrieval from `position` of its line on, as far as the output allows.
pub(crate) fn retrieve(
    service: &Service<'_>,
    line: &Retrieve<'_>,
    mut position: usize,
    output: &mut Vec<u8>,
) -> Outcome {
    let batch = service.cache.batch();
    if let Some(key) = line.single_key().filter(|_| position == 0) {
        look_up(service, &batch, &[batch.prepare(key)], line.options, output);
        reply::fixed(output, reply::END);
        return Outcome::Done;
    }
    for _ in 0..KEYS_PER_TURN / KEYS_AT_ONCE {
        let rest = line.keys.get(position..).unwrap_or_default();
        if next_token(rest).is_none() {
            reply::fixed(output, reply::END);
            return Outcome::Done;
        }
        if service.is_enough(output) {
            break;
        }
        position += look_up_some(service, &batch, rest, line.options, output);
    }
    Outcome::KeysLeft { position }
}

/// Answers a few of `keys`, the first at least; returns how many bytes of them are done with.
fn look_up_some(
    service: &Service<'_>,
    batch: &Batch<'_>,
    keys: &[u8],
    options: RetrieveOptions,
    output: &mut Vec<u8>,
) -> usize {
    let mut items = [batch.prepare(b""); KEYS_AT_ONCE];
    let mut ends = [0; KEYS_AT_ONCE];
    let (mut rest, mut count) = (keys, 0);
    for (item, end) in items.iter_mut().zip(&mut ends) {
        let Some((key, behind)) = next_token(rest) else {
            break;
        };
        *item = batch.prepare(key);
        *end = keys.len() - behind.len();
        (rest, count) = (behind, count + 1);
    }
    let items = items.get(..count).unwrap_or_default();
    if options.exptime.is_some() {
        batch.prefetch(items);
    }
    let answered = look_up(service, batch, items, options, output);
    let last = answered.checked_sub(1).and_then(|last| ends.get(last));
    last.copied().unwrap_or(keys.len())
}

/// Answers keys until the output is full; returns how many.
fn look_up(
    service: &Service<'_>,
    batch: &Batch<'_>,
    items: &[Prepared<'_, '_>],
    options: RetrieveOptions,
    output: &mut Vec<u8>,
) -> usize {
    let Some(exptime) = options.exptime else {
        let with_cas = |_| options.with_cas;
        return look_up_each(service, batch, items, with_cas, "", output);
    };
    let mut answered = 0;
    for item in items {
        let counted = [Counter::TouchHits, Counter::TouchMisses];
        let show = |view: ItemView<'_>| {
            let is_shown = show(service, &view, options.with_cas, counted, output);
            if is_shown {
                service.count_of_class(view.class(), OfClass::TouchHits);
            }
            is_shown
        };
        let shown = item.get_and_touch_with(ttl(service, exptime), show);
        let hit = shown == Some(true);
        service.count(Counter::CmdTouch);
        service.count(if hit {
            Counter::TouchHits
        } else {
            Counter::TouchMisses
        });
        note(service, item.key(), hit);
        answered += 1;
        if service.is_enough(output) {
            break;
        }
    }
    answered
}

/// Answers gets of one key each until the output is full; returns how many.
pub(crate) fn retrieve_each(
    service: &Service<'_>,
    batch: &Batch<'_>,
    items: &[Prepared<'_, '_>],
    with_cas: impl Fn(usize) -> bool,
    output: &mut Vec<u8>,
) -> usize {
    look_up_each(service, batch, items, with_cas, reply::END, output)
}

/// Answers keys, with `end` behind each, until the output is full; returns how many.
fn look_up_each(
    service: &Service<'_>,
    batch: &Batch<'_>,
    items: &[Prepared<'_, '_>],
    with_cas: impl Fn(usize) -> bool,
    end: &str,
    output: &mut Vec<u8>,
) -> usize {
    let (mut answered, mut hits) = (0, 0);
    let visit = |at: usize, item: Option<ItemView<'_>>| {
        let counted = [Counter::GetHits, Counter::GetMisses];
        let hit = item.is_some_and(|view| {
            let is_shown = show(service, &view, with_cas(at), counted, output);
            if is_shown {
                service.count_of_class(view.class(), OfClass::GetHits);
            }
            is_shown
        });
        reply::fixed(output, end);
        answered += 1;
        hits += usize::from(hit);
        if let Some(asked) = items.get(at) {
            note(service, asked.key(), hit);
        }
        if service.is_enough(output) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    // Whether all were answered shows in their number.
    let _ = batch.get_each(items, visit);
    let counters = service.counters;
    counters.add(Counter::CmdGet, answered as u64);
    counters.add(Counter::GetHits, hits as u64);
    counters.add(Counter::GetMisses, (answered - hits) as u64);
    answered
}

/// Shows an item; false if its value is not to be had, which is a miss.
fn show(
    service: &Service<'_>,
    view: &ItemView<'_>,
    with_cas: bool,
    counted: [Counter; 2],
    output: &mut Vec<u8>,
) -> bool {
    let cas = with_cas.then(|| service.shown(view.cas()));
    if let Some(place) = Place::of_item(view) {
        return show_later(service, view, place, cas, counted, output);
    }
    events::found(service, view);
    if service.slices(view.value()) {
        show_long(service, view, cas, output);
    } else {
        reply::value(output, view.key(), view.flags(), view.value(), cas);
    }
    true
}

/// Shows an item whose value is not copied.
#[cold]
#[inline(never)]
fn show_long(service: &Service<'_>, view: &ItemView<'_>, cas: Option<u64>, output: &mut Vec<u8>) {
    reply::value_head(output, view.key(), view.flags(), view.value().len(), cas);
    service.append_value(output, view);
    reply::fixed(output, reply::LINE_END);
}

/// Shows an item once its value has been read; false if it cannot be.
#[cold]
#[inline(never)]
fn show_later(
    service: &Service<'_>,
    view: &ItemView<'_>,
    place: Place,
    cas: Option<u64>,
    counted: [Counter; 2],
    output: &[u8],
) -> bool {
    let Some(wanted) = service.wanted(view) else {
        return false;
    };
    events::found(service, view);
    let mut head = Vec::with_capacity(view.key().len() + 64);
    let value_bytes = place.value_bytes as usize;
    reply::value_head(&mut head, view.key(), view.flags(), value_bytes, cas);
    service.defer(output, wanted, head, reply::LINE_END, Vec::new(), counted);
    true
}

fn note(service: &Service<'_>, key: &[u8], hit: bool) {
    let retrieval = if hit { Retrieval::Hit } else { Retrieval::Miss };
    service.shared.prefixes.note_get(key, retrieval);
    if !hit {
        events::missing(service, key);
    }
}
