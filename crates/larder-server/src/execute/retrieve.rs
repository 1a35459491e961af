//! `get`, `gets`, `gat` and `gats`: items by their keys, a few dozen keys at a time.

use std::ops::ControlFlow;

use larder::{Batch, ItemView, Prepared};

use super::{Outcome, events, ttl};
use crate::connection::OUTPUT_BYTES_HIGH;
use crate::counters::{Counter, OfClass};
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
        if output.len() >= OUTPUT_BYTES_HIGH {
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
    batch.prefetch(items);
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
        let show = |view: ItemView<'_>| {
            service.count_of_class(view.class(), OfClass::TouchHits);
            show(service, &view, options.with_cas, output);
        };
        let hit = item.get_and_touch_with(ttl(service, exptime), show);
        service.count(Counter::CmdTouch);
        service.count(match hit {
            Some(()) => Counter::TouchHits,
            None => Counter::TouchMisses,
        });
        note(service, item.key(), hit.is_some());
        answered += 1;
        if output.len() >= OUTPUT_BYTES_HIGH {
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
        if let Some(view) = &item {
            service.count_of_class(view.class(), OfClass::GetHits);
            show(service, view, with_cas(at), output);
        }
        reply::fixed(output, end);
        answered += 1;
        hits += usize::from(item.is_some());
        if let Some(asked) = items.get(at) {
            note(service, asked.key(), item.is_some());
        }
        if output.len() >= OUTPUT_BYTES_HIGH {
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

fn show(service: &Service<'_>, view: &ItemView<'_>, with_cas: bool, output: &mut Vec<u8>) {
    let cas = with_cas.then(|| service.shown(view.cas()));
    events::found(service, view);
    reply::value(output, view.key(), view.flags(), view.value(), cas);
}

fn note(service: &Service<'_>, key: &[u8], hit: bool) {
    let retrieval = if hit { Retrieval::Hit } else { Retrieval::Miss };
    service.shared.prefixes.note_get(key, retrieval);
    if !hit {
        events::missing(service, key);
    }
}
