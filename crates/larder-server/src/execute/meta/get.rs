//! `mg`: an item is shown, and perhaps touched, created or won, in one step.

use larder::{Adjust, ItemView, Prepared, Put, Revision, Store, Timestamp};

use super::{
    Left, Shown, created_ttl, write_code, write_key, write_request_flag, write_request_flags,
};
use crate::counters::{Counter, OfClass};
use crate::execute::{events, prepared, ttl};
use crate::flash::Wanted;
use crate::protocol::meta::Request;
use crate::protocol::reply;
use crate::protocol::text::tokens;
use crate::service::Service;

/// `mg`
pub(crate) fn get(
    service: &Service<'_>,
    request: &Request<'_>,
    item: Option<&Prepared<'_, '_>>,
    output: &mut Vec<u8>,
) {
    let mut class = 0;
    let (start, mut wanted) = (output.len(), Wants::Nothing);
    let hit = if request.vivify.is_some() {
        get_or_create(service, request, &mut class, &mut wanted, output)
    } else {
        let item = prepared(service, item, request.key);
        get_if_there(service, request, &item, &mut class, &mut wanted, output)
    };
    let hit = hit && !matches!(wanted, Wants::More);
    if !hit {
        service.truncate(output, start);
    }
    let touched = hit && request.exptime.is_some();
    let (command, outcome, of_class) = match (hit, touched) {
        (_, true) => (
            Counter::CmdTouch,
            Counter::TouchHits,
            Some(OfClass::TouchHits),
        ),
        (true, false) => (Counter::CmdGet, Counter::GetHits, Some(OfClass::GetHits)),
        (false, false) => (Counter::CmdGet, Counter::GetMisses, None),
    };
    service.count(command);
    service.count(outcome);
    if let Some(of_class) = of_class {
        service.count_of_class(class, of_class);
    }
    if !hit {
        events::missing(service, request.key);
    }
    if !hit {
        write_miss(request, output);
    } else if let Wants::Value(wanted) = wanted {
        let head = output.split_off(start);
        let mut miss = Vec::new();
        write_miss(request, &mut miss);
        let counted = if touched {
            [Counter::TouchHits, Counter::TouchMisses]
        } else {
            [Counter::GetHits, Counter::GetMisses]
        };
        service.defer(output, wanted, head, reply::LINE_END, miss, counted);
    }
}

/// Whether a hit changes nothing but what every read does, unless the item is stale.
fn only_reads(request: &Request<'_>) -> bool {
    request.exptime.is_none() && request.recache.is_none() && !request.has(b'u')
}

/// What a hit needs besides what is in the cache.
enum Wants {
    Nothing,
    /// The value, from flash.
    Value(Wanted),
    /// More than is to be had: it is a miss.
    More,
}

impl Wants {
    fn of(service: &Service<'_>, request: &Request<'_>, view: &ItemView<'_>) -> Self {
        if view.locator().is_none() || !shows_value(request, service.shown(view.cas())) {
            return Self::Nothing;
        }
        service.wanted(view).map_or(Self::More, Self::Value)
    }
}

/// Says that nothing was found, if the client wants to know.
fn write_miss(request: &Request<'_>, output: &mut Vec<u8>) {
    if !request.has(b'q') {
        output.extend_from_slice(b"EN");
        write_request_flags(request, output);
        output.extend_from_slice(b"\r\n");
    }
}

/// Whether the reply to a hit has the value.
fn shows_value(request: &Request<'_>, cas: u64) -> bool {
    request.has(b'v') && request.cas != Some(cas)
}

/// What a hit does to the item besides showing it.
fn adjustment(service: &Service<'_>, request: &Request<'_>, won: bool) -> Adjust {
    let mut adjust = if request.has(b'u') {
        Adjust::nothing()
    } else {
        Adjust::read()
    };
    if let Some(exptime) = request.exptime {
        adjust = adjust.ttl(ttl(service, exptime));
    }
    if won { adjust.win() } else { adjust }
}

/// Answers a hit, and tells its class; false if there is none.
fn get_if_there(
    service: &Service<'_>,
    request: &Request<'_>,
    item: &Prepared<'_, '_>,
    class: &mut usize,
    wanted: &mut Wants,
    output: &mut Vec<u8>,
) -> bool {
    let (start, now) = (output.len(), item.now());
    let mut before = None;
    let mut show = |showing: &Service<'_>, view: &ItemView<'_>| {
        service.truncate(output, start);
        *class = view.class();
        *wanted = Wants::of(service, request, view);
        let mut shown = Shown::of(service, view, now);
        let seen = (view.stamp(), shown.fetched, shown.idle_seconds);
        let first = *before.get_or_insert(seen);
        // Another item may stand there by the second look.
        if first.0 == seen.0 {
            (_, shown.fetched, shown.idle_seconds) = first;
        }
        write_hit(showing, request, shown, now, output)
    };
    if only_reads(request) {
        let look = |view: ItemView<'_>| {
            let won = show(service, &view);
            if !won {
                events::found(service, &view);
            }
            won
        };
        match item.get_with(look) {
            None => return false,
            Some(false) => return true,
            // It is stale. The right to renew is won under the lock, and the reply tells how the item was
            // before the first look.
            Some(true) => {}
        }
    }
    let look = |view: ItemView<'_>| {
        events::found(service, &view);
        let won = show(&service.copying(), &view);
        (adjustment(service, request, won), ())
    };
    item.get_and_adjust_with(look).is_some()
}

/// Answers a hit, or creates an empty item for the client to fill, and tells its class. False if neither
/// was possible.
fn get_or_create(
    service: &Service<'_>,
    request: &Request<'_>,
    class: &mut usize,
    wanted: &mut Wants,
    output: &mut Vec<u8>,
) -> bool {
    let now = service.cache.now();
    let start = output.len();
    let mut created = false;
    let revised = service.cache.revise(request.key, |item| {
        output.truncate(start);
        created = item.is_none();
        match item {
            Some(view) => {
                *class = view.class();
                events::found(service, &view);
                *wanted = Wants::of(service, request, &view);
                let shown = Shown::of(service, &view, now);
                let copying = service.copying();
                let won = write_hit(&copying, request, shown, now, output);
                Revision::Adjust(adjustment(service, request, won))
            }
            None => Revision::Put(vivified(service, request)),
        }
    });
    match revised {
        Ok(token) if created => {
            *class = service.cache.class_of(&Store::new(request.key, b""));
            let shown = Shown {
                key: request.key,
                key_is_binary: request.key_is_binary,
                view: None,
                value_bytes: 0,
                client_flags: 0,
                cas: token.map_or(0, |token| service.shown(token)),
                left: Left::Never,
                idle_seconds: 0,
                fetched: false,
                stale: false,
                renewing: false,
                created: true,
            };
            write_hit(service, request, shown, now, output);
            true
        }
        Ok(_) => true,
        Err(_) => {
            output.truncate(start);
            false
        }
    }
}

/// The empty item that `N` creates.
fn vivified(service: &Service<'_>, request: &Request<'_>) -> Put<'static> {
    let put = Put::new(&b""[..])
        .ttl(created_ttl(service, request))
        .marked(request.key_is_binary)
        .fetched(!request.has(b'u'))
        .renewing(true);
    match service.chosen(request.token) {
        Some(token) => put.token(token),
        None => put,
    }
}

/// Writes the reply to a hit; true if the client wins the right to renew the item.
fn write_hit(
    service: &Service<'_>,
    request: &Request<'_>,
    shown: Shown<'_>,
    now: Timestamp,
    output: &mut Vec<u8>,
) -> bool {
    let with_value = shows_value(request, shown.cas);
    write_code(output, with_value.then_some(shown.value_bytes), b"HD");
    let mut left = shown.left;
    let mut won = shown.created;
    for token in tokens(request.flags) {
        match token.first() {
            Some(b'T') => left = left.renewed(request.exptime, now),
            Some(b'N') if shown.created => {
                left = left.renewed(request.vivify, now);
            }
            Some(b'R') => {
                let recache = request.recache.map(|seconds| Left::of(seconds, now));
                won |= !shown.renewing && !shown.created && is_due(left, recache);
            }
            _ => write_flag(request, &shown, left, token, output),
        }
    }
    won |= shown.stale && !shown.renewing;
    let marks = [(shown.renewing, b" Z"), (shown.stale, b" X"), (won, b" W")];
    for (is_so, mark) in marks {
        if is_so {
            output.extend_from_slice(mark);
        }
    }
    output.extend_from_slice(b"\r\n");
    let value_bytes = shown.view.map_or(0, |view| view.value().len());
    // A value on flash comes later.
    if with_value && value_bytes == shown.value_bytes {
        if let Some(view) = &shown.view {
            service.append_value(output, view);
        }
        output.extend_from_slice(b"\r\n");
    }
    won
}

/// Whether what is left of a lifetime is below the threshold of `R`.
fn is_due(left: Left, recache: Option<Left>) -> bool {
    match (left, recache) {
        (Left::Seconds(left), Some(Left::Seconds(recache))) => left < recache,
        _ => false,
    }
}

fn write_flag(
    request: &Request<'_>,
    shown: &Shown<'_>,
    left: Left,
    token: &[u8],
    output: &mut Vec<u8>,
) {
    let mut number = |name: &[u8; 2], number: u64| {
        output.extend_from_slice(name);
        reply::number(output, number);
    };
    match token.first() {
        Some(b's') => number(b" s", shown.value_bytes as u64),
        Some(b'c') => number(b" c", shown.cas),
        Some(b'f') => number(b" f", shown.client_flags.into()),
        Some(b'l') => number(b" l", shown.idle_seconds),
        Some(b'h') => number(b" h", shown.fetched.into()),
        Some(b't') => {
            output.extend_from_slice(b" t");
            left.write(output);
        }
        Some(b'k') => write_key(shown.key, shown.key_is_binary, output),
        _ => write_request_flag(request, token, output),
    }
}
