//! `md` and `ma`: an item is deleted, invalidated, emptied or counted.

use larder::{Adjust, ItemView, Put, Revision, Ttl};

use super::{Left, created_ttl, write_code, write_request_flag, write_request_flags};
use crate::counters::{Counter, OfClass};
use crate::execute::count::{Counted, Counting, Start, Step};
use crate::execute::events::Subject;
use crate::execute::{events, ttl};
use crate::protocol::meta::Request;
use crate::protocol::reply;
use crate::protocol::text::{Direction, tokens};
use crate::service::Service;

/// `md`
pub(crate) fn delete(service: &Service<'_>, request: &Request<'_>, output: &mut Vec<u8>) {
    let mut code = b"NF";
    let mut item = Subject::default();
    events::looked_up(service, request.key);
    let revised = service.cache.revise(request.key, |found| {
        let Some(view) = found else {
            code = b"NF";
            return Revision::Keep;
        };
        if request
            .cas
            .is_some_and(|cas| cas != service.shown(view.cas()))
        {
            code = b"EX";
            return Revision::Keep;
        }
        code = b"HD";
        item = Subject::of(&view);
        deletion(service, request, &view)
    });
    if revised.is_err() {
        return reply::fixed(output, reply::NO_MEMORY);
    }
    match code {
        b"HD" if request.has(b'I') => {}
        b"HD" => {
            events::deleted(service, request.key, "md", item);
            service.count(Counter::DeleteHits);
            service.count_of_class(item.class, OfClass::DeleteHits);
        }
        _ => service.count(Counter::DeleteMisses),
    }
    if code == b"HD" && request.has(b'q') {
        return;
    }
    output.extend_from_slice(code);
    write_request_flags(request, output);
    output.extend_from_slice(b"\r\n");
}

/// What `md` makes of an item: nothing, a stale one, an empty one, or both.
fn deletion(
    service: &Service<'_>,
    request: &Request<'_>,
    view: &ItemView<'_>,
) -> Revision<'static> {
    let (invalidates, empties) = (request.has(b'I'), request.has(b'x'));
    let new_ttl = request.exptime.map(|exptime| ttl(service, exptime));
    let token = service.chosen(request.token);
    if empties {
        let put = Put::new(&b""[..])
            .flags(request.client_flags)
            .ttl(new_ttl.unwrap_or(Ttl::NEVER))
            .marked(view.is_marked())
            .stale(invalidates);
        let kept = (!invalidates).then_some(view.cas());
        return Revision::Put(match token.or(kept) {
            Some(token) => put.token(token),
            None => put,
        });
    }
    if !invalidates {
        return Revision::Remove;
    }
    // A value on flash is not here to be stored again: its token is the server's choice.
    if let Some(token) = token.filter(|_| view.locator().is_none()) {
        let put = Put::instead_of(view, view.value().to_vec())
            .fetched(view.was_fetched())
            .stale(true)
            .token(token);
        return Revision::Put(match new_ttl {
            Some(ttl) => put.ttl(ttl),
            None => put,
        });
    }
    let adjust = Adjust::nothing().invalidate();
    Revision::Adjust(match new_ttl {
        Some(ttl) => adjust.ttl(ttl),
        None => adjust,
    })
}

/// `ma`
pub(crate) fn count(service: &Service<'_>, request: &Request<'_>, output: &mut Vec<u8>) {
    let direction = match request.mode {
        Some(b'D' | b'-') => Direction::Down,
        _ => Direction::Up,
    };
    let counting = Counting {
        cas: request.cas.unwrap_or(0),
        ttl: request.exptime.map(|exptime| ttl(service, exptime)),
        token: service.chosen(request.token),
        start: request.vivify.map(|_| Start {
            number: request.initial,
            ttl: created_ttl(service, request),
            marked: request.key_is_binary,
        }),
        ..Counting::new(request.key, request.delta, direction)
    };
    let code = match counting.step(service) {
        Step::Counted(counted) => return write_counted(service, request, &counted, false, output),
        Step::Created(counted) => return write_counted(service, request, &counted, true, output),
        Step::NonNumeric => return reply::fixed(output, reply::NON_NUMERIC),
        Step::NoMemory => return reply::fixed(output, reply::NO_MEMORY),
        Step::NoMemoryToCreate => return reply::fixed(output, reply::NO_MEMORY_ALLOCATING),
        Step::Missing => b"NF",
        Step::CasMismatch => b"EX",
    };
    output.extend_from_slice(code);
    write_request_flags(request, output);
    output.extend_from_slice(b"\r\n");
}

fn write_counted(
    service: &Service<'_>,
    request: &Request<'_>,
    counted: &Counted,
    created: bool,
    output: &mut Vec<u8>,
) {
    if request.has(b'q') {
        return;
    }
    let mut digits = itoa::Buffer::new();
    let number = digits.format(counted.number);
    write_code(output, request.has(b'v').then_some(number.len()), b"HD");
    let now = service.cache.now();
    let mut left = Left::until(counted.expires_at, now);
    for token in tokens(request.flags) {
        match token.first() {
            Some(b'T') => left = left.renewed(request.exptime, now),
            Some(b'N') if created => {
                left = left.renewed(request.vivify, now);
            }
            Some(b'c') => {
                output.extend_from_slice(b" c");
                reply::number(output, service.shown(counted.token));
            }
            Some(b't') => {
                output.extend_from_slice(b" t");
                left.write(output);
            }
            _ => write_request_flag(request, token, output),
        }
    }
    output.extend_from_slice(b"\r\n");
    if request.has(b'v') {
        reply::fixed(output, number);
        output.extend_from_slice(b"\r\n");
    }
}
