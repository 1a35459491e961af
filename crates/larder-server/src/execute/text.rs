//! The classic text protocol's commands, executed.

use larder::{Error, ItemView, Prepared, Store, StoreMode, StoreOutcome};

use super::count::{Counting, Step};
use super::events::Subject;
use super::retrieve::retrieve;
use super::{Outcome, Value, admin, admit_joined, events, flush, ttl, wire_item_bytes};
use crate::counters::{Counter, OfClass};
use crate::protocol::reply;
use crate::protocol::text::{Command, Direction, StoreLine, StoreVerb};
use crate::service::Service;

/// Executes a command that has no data block.
pub(crate) fn execute(
    service: &Service<'_>,
    command: Command<'_>,
    output: &mut Vec<u8>,
) -> Outcome {
    let (reply, noreply) = match command {
        Command::Retrieve(line) => return retrieve(service, &line, 0, output),
        Command::Admin { admin, noreply } => {
            return admin::execute(service, &admin, noreply, output);
        }
        Command::Version => {
            reply::fixed(output, reply::VERSION_LINE);
            return Outcome::Done;
        }
        Command::MetaNoop => {
            reply::fixed(output, reply::META_NOOP);
            return Outcome::Done;
        }
        Command::Quit => return Outcome::Quit,
        Command::Count {
            key,
            delta,
            direction,
            noreply,
        } => {
            count(service, key, delta, direction, noreply, output);
            return Outcome::Done;
        }
        Command::Store(_) => unreachable!("a storage command comes with its data block"),
        Command::Delete { key, noreply } => (delete(service, key), noreply),
        Command::Touch {
            key,
            exptime,
            noreply,
        } => (touch(service, key, exptime), noreply),
        Command::FlushAll { delay, noreply } => (flush_all(service, delay), noreply),
        Command::Verbosity { level, noreply } => (admin::verbosity(service, level), noreply),
    };
    if !noreply {
        reply::fixed(output, reply);
    }
    Outcome::Done
}

/// Whether the item that a storage line announces is within the item limit. If not, what a `set`
/// would have replaced is gone: a stale value never outlives the attempt to overwrite it.
pub(super) fn admit(service: &Service<'_>, line: &StoreLine<'_>) -> bool {
    if wire_item_bytes(service, line.key.len(), line.flags, line.value_bytes)
        <= service.item_bytes_max
    {
        return true;
    }
    service.count(Counter::StoreTooLarge);
    forget_overwritten(service, line);
    false
}

/// Removes what a refused storage line would have replaced: only a `set` replaces for certain.
pub(super) fn forget_overwritten(service: &Service<'_>, line: &StoreLine<'_>) {
    if line.verb == StoreVerb::Set {
        service.cache.remove(line.key);
    }
}

/// Executes a storage command with its data block.
pub(super) fn store(
    service: &Service<'_>,
    line: &StoreLine<'_>,
    item: &Prepared<'_, '_>,
    value: Value<'_>,
    output: &mut Vec<u8>,
) {
    service.count(Counter::CmdSet);
    service.shared.prefixes.note_set(line.key);
    events::looked_up(service, line.key);
    let class = service
        .cache
        .class_of(&store_asked(service, line, value.bytes()));
    service.count_of_class(class, OfClass::CmdSet);
    let joins = matches!(line.verb, StoreVerb::Append | StoreVerb::Prepend);
    let outcome = match value {
        Value::Filled(value) => value.commit(),
        Value::Whole(value) => {
            let store = store_asked(service, line, value);
            if joins {
                admit_joined(service, item, None, value).and_then(|()| item.store(&store))
            } else {
                item.store(&store)
            }
        }
    };
    if matches!(line.verb, StoreVerb::Cas(_)) {
        count_swap(service, class, &outcome);
    }
    events::stored(service, line, class, &outcome);
    let reply = store_reply(service, line.verb, outcome);
    if !line.noreply {
        reply::fixed(output, reply);
    }
}

/// Counts a compare-and-swap of an item that is, or would have been, of size class `class`.
pub(super) fn count_swap(
    service: &Service<'_>,
    class: usize,
    outcome: &Result<StoreOutcome, Error>,
) {
    match outcome {
        Ok(StoreOutcome::Stored(_)) => {
            service.count(Counter::CasHits);
            service.count_of_class(class, OfClass::CasHits);
        }
        Ok(StoreOutcome::CasMismatch) => {
            service.count(Counter::CasBadval);
            service.count_of_class(class, OfClass::CasBadval);
        }
        Ok(StoreOutcome::KeyMissing) => service.count(Counter::CasMisses),
        _ => {}
    }
}

/// Whether it may be decided after the value is in its place whether it is stored.
pub(crate) const fn may_be_filled(line: &StoreLine<'_>) -> bool {
    matches!(line.verb, StoreVerb::Set | StoreVerb::Add)
}

/// The store that a line asks for.
pub(crate) fn store_asked<'a>(
    service: &Service<'_>,
    line: &StoreLine<'a>,
    value: &'a [u8],
) -> Store<'a> {
    let mode = match line.verb {
        StoreVerb::Set => StoreMode::Set,
        StoreVerb::Add => StoreMode::Add,
        StoreVerb::Replace => StoreMode::Replace,
        StoreVerb::Append => StoreMode::Append,
        StoreVerb::Prepend => StoreMode::Prepend,
        StoreVerb::Cas(unique) => StoreMode::CompareAndSwap(service.compared(unique)),
    };
    Store::new(line.key, value)
        .flags(line.flags)
        .ttl(ttl(service, line.exptime))
        .mode(mode)
}

fn store_reply(
    service: &Service<'_>,
    verb: StoreVerb,
    outcome: Result<StoreOutcome, Error>,
) -> &'static str {
    let joins = matches!(verb, StoreVerb::Append | StoreVerb::Prepend);
    match outcome {
        Ok(StoreOutcome::Stored(_)) => reply::STORED,
        Ok(StoreOutcome::CasMismatch) => reply::EXISTS,
        Ok(StoreOutcome::KeyMissing) if matches!(verb, StoreVerb::Cas(_)) => reply::NOT_FOUND,
        Ok(StoreOutcome::KeyMissing | StoreOutcome::KeyExists) => reply::NOT_STORED,
        // A joined value that is too large, or finds no memory, is a precondition that failed.
        Err(_) if joins => reply::NOT_STORED,
        Err(Error::ValueTooLarge { .. }) => {
            service.count(Counter::StoreTooLarge);
            reply::TOO_LARGE
        }
        Err(_) => {
            service.count(Counter::StoreNoMemory);
            reply::NO_MEMORY_STORING
        }
    }
}

fn delete(service: &Service<'_>, key: &[u8]) -> &'static str {
    service.shared.prefixes.note_delete(key);
    events::looked_up(service, key);
    let mut item = None;
    service.cache.remove_if(key, |view| {
        item = Some(Subject::of(&view));
        true
    });
    if let Some(item) = item {
        events::deleted(service, key, "delete", item);
        service.count(Counter::DeleteHits);
        service.count_of_class(item.class, OfClass::DeleteHits);
        reply::DELETED
    } else {
        service.count(Counter::DeleteMisses);
        reply::NOT_FOUND
    }
}

fn touch(service: &Service<'_>, key: &[u8], exptime: i32) -> &'static str {
    service.count(Counter::CmdTouch);
    events::looked_up(service, key);
    let class = |view: ItemView<'_>| view.class();
    let touched = service
        .cache
        .get_and_touch_with(key, ttl(service, exptime), class);
    if let Some(class) = touched {
        service.count(Counter::TouchHits);
        service.count_of_class(class, OfClass::TouchHits);
        reply::TOUCHED
    } else {
        service.count(Counter::TouchMisses);
        reply::NOT_FOUND
    }
}

fn count(
    service: &Service<'_>,
    key: &[u8],
    delta: u64,
    direction: Direction,
    noreply: bool,
    output: &mut Vec<u8>,
) {
    let reply = match Counting::new(key, delta, direction).step(service) {
        Step::Counted(counted) => {
            if !noreply {
                reply::number_line(output, counted.number);
            }
            return;
        }
        Step::NonNumeric => reply::NON_NUMERIC,
        Step::NoMemory | Step::NoMemoryToCreate => reply::NO_MEMORY,
        Step::Missing | Step::Created(_) | Step::CasMismatch => reply::NOT_FOUND,
    };
    if !noreply {
        reply::fixed(output, reply);
    }
}

fn flush_all(service: &Service<'_>, delay: Option<i32>) -> &'static str {
    service.count(Counter::CmdFlush);
    if !service.shared.config.allows_flush {
        return reply::FLUSH_NOT_ALLOWED;
    }
    let Some(delay) = delay else {
        return reply::INVALID_EXPTIME;
    };
    flush(service, u64::try_from(delay).unwrap_or(0));
    reply::OK
}
