//! The binary protocol's requests, executed.

use larder::{CasToken, Error, Revision, Store, StoreMode, StoreOutcome, Ttl};

use super::count::{Counting, Start, Step};
use super::events::Subject;
use super::text::count_swap;
use super::{Outcome, admin, admit_joined, events, flush, lifetime, wire_item_bytes};
use crate::counters::{Counter, OfClass};
use crate::flash::Place;
use crate::protocol::binary::{Body, EXPTIME_NO_CREATION, Header, Refusal, Reply, Status, Verb};
use crate::protocol::reply;
use crate::protocol::text::Direction;
use crate::service::Service;
use crate::stats::{self, Retrieval};

const NO_MEMORY_STORING: Status = Status::NoMemory("Out of memory allocating item");
const NO_MEMORY_COUNTING: Status = Status::NoMemory("Out of memory incrementing value");
const NO_MEMORY_CREATING: Status = Status::NoMemory("Out of memory allocating new item");

/// A request with its body, and what it takes to answer it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) header: &'a Header,
    pub(crate) verb: Verb,
    /// What is as expected goes without reply.
    pub(crate) quiet: bool,
    pub(crate) body: Body<'a>,
}

/// Executes a request. Those of SASL are the connection's own.
pub(crate) fn execute(
    service: &Service<'_>,
    request: &Request<'_>,
    output: &mut Vec<u8>,
) -> Outcome {
    let done = match request.verb {
        Verb::Get { with_key, touches } => {
            get(service, request, with_key, touches, output);
            return Outcome::Done;
        }
        Verb::Touch => {
            touch(service, request, output);
            return Outcome::Done;
        }
        Verb::Stat => {
            stat(service, request, output);
            return Outcome::Done;
        }
        Verb::Quit => {
            request.done(0, output);
            return Outcome::Quit;
        }
        Verb::Count(direction) => {
            count(service, request, direction, output);
            return Outcome::Done;
        }
        Verb::Version => {
            let value = reply::WIRE_VERSION.as_bytes();
            Reply {
                value,
                ..Reply::default()
            }
            .write(request.header, output);
            return Outcome::Done;
        }
        Verb::Set | Verb::Add | Verb::Replace | Verb::Append | Verb::Prepend => {
            store(service, request)
        }
        Verb::Delete => delete(service, request),
        Verb::Flush => flush_all(service, request),
        Verb::Noop => Ok(0),
        Verb::SaslMechanisms | Verb::SaslAuth | Verb::SaslStep => Err(Status::UnknownCommand),
    };
    match done {
        Ok(cas) => request.done(cas, output),
        Err(status) => Refusal::of(request.header, status).write(output),
    }
    Outcome::Done
}

impl Request<'_> {
    /// Says that the request was carried out, if it wants to know.
    fn done(&self, cas: u64, output: &mut Vec<u8>) {
        if !self.quiet {
            let reply = Reply {
                cas,
                ..Reply::default()
            };
            reply.write(self.header, output);
        }
    }

    /// What a request with an exptime at this offset of its extras asks for.
    fn ttl(&self, service: &Service<'_>, at: usize) -> Ttl {
        lifetime(service, self.body.extra_u32(at).into())
    }
}

/// Whether the item that a storage request announces is within the item limit. If not, what a `set`
/// would have replaced is gone. Extras and key have arrived.
pub(crate) fn admit(service: &Service<'_>, request: &Request<'_>) -> bool {
    let header = request.header;
    let flags = request.body.extra_u32(0);
    if wire_item_bytes(service, header.key_bytes, flags, header.value_bytes())
        <= service.item_bytes_max
    {
        return true;
    }
    service.count(Counter::StoreTooLarge);
    forget_overwritten(service, request);
    false
}

/// What a storage request gets whose value cannot be waited for.
pub(crate) fn give_up(service: &Service<'_>, request: &Request<'_>) -> Status {
    service.count(Counter::StoreNoMemory);
    forget_overwritten(service, request);
    NO_MEMORY_STORING
}

/// Only a `set` replaces for certain: a stale value never outlives the attempt to overwrite it.
fn forget_overwritten(service: &Service<'_>, request: &Request<'_>) {
    if request.verb == Verb::Set {
        service.cache.remove(request.body.key);
    }
}

fn store(service: &Service<'_>, request: &Request<'_>) -> Result<u64, Status> {
    service.count(Counter::CmdSet);
    let Body { key, value, .. } = request.body;
    // Without cas uniques there is nothing to compare with, and the store goes ahead.
    let cas = request.header.cas;
    let compared = (cas != 0 && service.shared.config.cas).then(|| CasToken::from_u64(cas));
    let joins = matches!(request.verb, Verb::Append | Verb::Prepend);
    let mode = match (request.verb, compared) {
        (Verb::Append, _) => StoreMode::Append,
        (Verb::Prepend, _) => StoreMode::Prepend,
        (_, Some(token)) => StoreMode::CompareAndSwap(token),
        (Verb::Add, None) => StoreMode::Add,
        (Verb::Replace, None) => StoreMode::Replace,
        (_, None) => StoreMode::Set,
    };
    let mut store = Store::new(key, value).mode(mode);
    if !joins {
        store = store
            .flags(request.body.extra_u32(0))
            .ttl(request.ttl(service, 4));
    } else if let Some(token) = compared {
        store = store.if_token(token);
    }
    let class = service.cache.class_of(&store);
    service.count_of_class(class, OfClass::CmdSet);
    events::looked_up(service, key);
    let item = service.cache.batch().prepare(key);
    let admitted = if joins {
        admit_joined(service, &item, compared, value)
    } else {
        Ok(())
    };
    let outcome = admitted.and_then(|()| item.store(&store));
    service.shared.prefixes.note_set(key);
    let value_bytes = value.len();
    let subject = Subject { class, value_bytes };
    events::stored_by(service, key, subject, command_word(mode), &outcome);
    if compared.is_some() && !joins {
        count_swap(service, class, &outcome);
    }
    match outcome {
        Ok(StoreOutcome::Stored(token)) => Ok(service.shown(token)),
        Ok(StoreOutcome::KeyExists | StoreOutcome::CasMismatch) => Err(Status::Exists),
        Ok(StoreOutcome::KeyMissing) if joins => Err(Status::NotStored),
        Ok(StoreOutcome::KeyMissing) => Err(Status::NotFound),
        // A joined value that is too large, or finds no memory, is a precondition that failed.
        Err(_) if joins => Err(Status::NotStored),
        Err(Error::ValueTooLarge { .. }) => {
            service.count(Counter::StoreTooLarge);
            Err(Status::TooLarge)
        }
        Err(_) => {
            service.count(Counter::StoreNoMemory);
            Err(NO_MEMORY_STORING)
        }
    }
}

/// The word of the classic protocol for a store, as log lines have it.
const fn command_word(mode: StoreMode) -> &'static str {
    match mode {
        StoreMode::Set => "set",
        StoreMode::Add => "add",
        StoreMode::Replace => "replace",
        StoreMode::Append => "append",
        StoreMode::Prepend => "prepend",
        StoreMode::CompareAndSwap(_) => "cas",
    }
}

fn get(
    service: &Service<'_>,
    request: &Request<'_>,
    with_key: bool,
    touches: bool,
    output: &mut Vec<u8>,
) {
    let key = request.body.key;
    let of_class = if touches {
        OfClass::TouchHits
    } else {
        OfClass::GetHits
    };
    let counted = if touches {
        [Counter::TouchHits, Counter::TouchMisses]
    } else {
        [Counter::GetHits, Counter::GetMisses]
    };
    let look = |view: larder::ItemView<'_>| {
        let reply = Reply {
            cas: service.shown(view.cas()),
            extras: &view.flags().to_be_bytes(),
            key: if with_key { key } else { b"" },
            value: view.value(),
        };
        if let Some(place) = Place::of_item(&view) {
            let Some(wanted) = service.wanted(&view) else {
                return false;
            };
            let (mut head, mut miss) = (Vec::new(), Vec::new());
            reply.write_head(request.header, place.value_bytes as usize, &mut head);
            write_miss(request, with_key, &mut miss);
            service.defer(output, wanted, head, "", miss, counted);
        } else {
            reply.write_head(request.header, view.value().len(), output);
            service.append_value(output, &view);
        }
        service.count_of_class(view.class(), of_class);
        events::found(service, &view);
        true
    };
    let (command, shown) = if touches {
        let ttl = request.ttl(service, 0);
        let shown = service.cache.get_and_touch_with(key, ttl, look);
        (Counter::CmdTouch, shown)
    } else {
        (Counter::CmdGet, service.cache.get_with(key, look))
    };
    let hit = shown == Some(true);
    let [hits, misses] = counted;
    service.count(command);
    service.count(if hit { hits } else { misses });
    let retrieval = if hit { Retrieval::Hit } else { Retrieval::Miss };
    service.shared.prefixes.note_get(key, retrieval);
    if !hit {
        events::missing(service, key);
    }
    if !hit {
        write_miss(request, with_key, output);
    }
}

/// Says that nothing was found, if the client wants to know.
fn write_miss(request: &Request<'_>, with_key: bool, output: &mut Vec<u8>) {
    if request.quiet {
        return;
    }
    if with_key {
        Reply {
            key: request.body.key,
            ..Reply::default()
        }
        .write_miss(request.header, output);
    } else {
        Refusal::of(request.header, Status::NotFound).write(output);
    }
}

fn touch(service: &Service<'_>, request: &Request<'_>, output: &mut Vec<u8>) {
    service.count(Counter::CmdTouch);
    let ttl = request.ttl(service, 0);
    let look = |view: larder::ItemView<'_>| {
        service.count_of_class(view.class(), OfClass::TouchHits);
        let reply = Reply {
            cas: service.shown(view.cas()),
            extras: &view.flags().to_be_bytes(),
            ..Reply::default()
        };
        reply.write(request.header, output);
    };
    let touched = service
        .cache
        .get_and_touch_with(request.body.key, ttl, look);
    if touched.is_some() {
        service.count(Counter::TouchHits);
    } else {
        service.count(Counter::TouchMisses);
        Refusal::of(request.header, Status::NotFound).write(output);
    }
}

fn delete(service: &Service<'_>, request: &Request<'_>) -> Result<u64, Status> {
    let mut deleted = Err(Status::NotFound);
    let mut class = 0;
    let wanted = request.header.cas;
    events::looked_up(service, request.body.key);
    let revised = service.cache.revise(request.body.key, |item| {
        let (outcome, revision) = match item {
            None => (Err(Status::NotFound), Revision::Keep),
            Some(view) if wanted != 0 && wanted != service.shown(view.cas()) => {
                (Err(Status::Exists), Revision::Keep)
            }
            Some(view) => {
                class = view.class();
                (Ok(0), Revision::Remove)
            }
        };
        deleted = outcome;
        revision
    });
    debug_assert!(revised.is_ok(), "removing needs no memory");
    service.shared.prefixes.note_delete(request.body.key);
    match deleted {
        Ok(_) => {
            service.count(Counter::DeleteHits);
            service.count_of_class(class, OfClass::DeleteHits);
        }
        Err(Status::NotFound) => service.count(Counter::DeleteMisses),
        Err(_) => {}
    }
    deleted
}

fn count(service: &Service<'_>, request: &Request<'_>, direction: Direction, output: &mut Vec<u8>) {
    let body = request.body;
    let start = Start {
        number: body.extra_u64(8),
        ttl: request.ttl(service, 16),
        marked: false,
    };
    let counting = Counting {
        cas: request.header.cas,
        start: (body.extra_u32(16) != EXPTIME_NO_CREATION).then_some(start),
        ..Counting::new(body.key, body.extra_u64(0), direction)
    };
    let status = match counting.step(service) {
        Step::Counted(counted) | Step::Created(counted) => {
            if !request.quiet {
                let reply = Reply {
                    cas: service.shown(counted.token),
                    value: &counted.number.to_be_bytes(),
                    ..Reply::default()
                };
                reply.write(request.header, output);
            }
            return;
        }
        Step::Missing => Status::NotFound,
        Step::CasMismatch => Status::Exists,
        Step::NonNumeric => Status::NonNumeric,
        Step::NoMemory => NO_MEMORY_COUNTING,
        Step::NoMemoryToCreate => NO_MEMORY_CREATING,
    };
    Refusal::of(request.header, status).write(output);
}

fn flush_all(service: &Service<'_>, request: &Request<'_>) -> Result<u64, Status> {
    if !service.shared.config.allows_flush {
        return Err(Status::AuthFailure);
    }
    service.count(Counter::CmdFlush);
    flush(service, request.body.extra_u32(0).into());
    Ok(0)
}

/// One packet a line, and one without a key for the end.
fn stat(service: &Service<'_>, request: &Request<'_>, output: &mut Vec<u8>) {
    let mut emit = |name: &[u8], value: &[u8]| {
        let reply = Reply {
            key: name,
            value,
            ..Reply::default()
        };
        reply.write(request.header, output);
    };
    let topic = request.body.key;
    let known = match topic {
        b"" | b"settings" | b"items" | b"slabs" | b"sizes" => {
            stats::lines(service, topic, &mut |name, value| {
                emit(name.as_bytes(), value.as_bytes());
            })
        }
        b"reset" => {
            service.shared.reset_counters();
            true
        }
        _ => match topic.strip_prefix(b"detail ") {
            Some(what) if service.shared.config.allows_dump => detail(service, what, &mut emit),
            _ => false,
        },
    };
    if known {
        Reply::default().write(request.header, output);
    } else {
        Refusal::of(request.header, Status::NotFound).write(output);
    }
}

fn detail(service: &Service<'_>, what: &[u8], emit: &mut impl FnMut(&[u8], &[u8])) -> bool {
    match what {
        b"on" => service.shared.prefixes.count(true),
        b"off" => service.shared.prefixes.count(false),
        b"dump" => {
            let mut lines = Vec::new();
            admin::detail_lines(service, &mut lines);
            lines.extend_from_slice(reply::END.as_bytes());
            emit(b"detailed", &lines);
        }
        _ => return false,
    }
    true
}
