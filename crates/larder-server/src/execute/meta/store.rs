//! `ms`: a store in any mode, with any condition.

use larder::{Error, Prepared, Store, StoreMode, StoreOutcome};

use super::write_request_flag;
use crate::counters::{Counter, OfClass};
use crate::execute::events::Subject;
use crate::execute::text::count_swap;
use crate::execute::{Value, admit_joined, events, ttl, wire_item_bytes};
use crate::protocol::meta::Request;
use crate::protocol::reply;
use crate::protocol::text::tokens;
use crate::service::Service;

/// Whether the item that `ms` announces is within the item limit. If not, what stood under the key
/// is gone, in every mode.
pub(crate) fn admit(service: &Service<'_>, request: &Request<'_>) -> bool {
    let (key_bytes, flags) = (request.key.len(), request.client_flags);
    if wire_item_bytes(service, key_bytes, flags, request.value_bytes) <= service.item_bytes_max {
        return true;
    }
    service.count(Counter::StoreTooLarge);
    service.cache.remove(request.key);
    false
}

/// `ms` with its data block.
pub(crate) fn store(
    service: &Service<'_>,
    request: &Request<'_>,
    item: &Prepared<'_, '_>,
    value: Value<'_>,
    output: &mut Vec<u8>,
) {
    service.count(Counter::CmdSet);
    let joins = matches!(request.mode, Some(b'A' | b'P'));
    let mut value_bytes = value.len();
    let class = service
        .cache
        .class_of(&store_asked(service, request, value.bytes()));
    service.count_of_class(class, OfClass::CmdSet);
    events::looked_up(service, request.key);
    // Only what is joined has another length than what came.
    let compared = request.cas.filter(|&cas| cas != 0);
    // Without cas uniques nothing is compared, and the limit holds all the same.
    let compared = compared.map(|cas| service.compared(cas));
    let compared = compared.filter(|token| token.to_u64() != 0);
    let stored = match value {
        Value::Filled(value) => value.commit().map(|outcome| (outcome, None)),
        Value::Whole(value) => {
            let store = store_asked(service, request, value);
            if joins {
                admit_joined(service, item, compared, value)
                    .and_then(|()| item.store_with(&store, |view| view.value().len()))
            } else {
                item.store(&store).map(|outcome| (outcome, None))
            }
        }
    };
    let outcome = match &stored {
        Ok((outcome, _)) => Ok(*outcome),
        Err(error) => Err(error.clone()),
    };
    if matches!(request.mode, None | Some(b'S' | b'R')) && request.cas.is_some() {
        count_swap(service, class, &outcome);
    }
    tell(service, request, Subject { class, value_bytes }, &outcome);
    let mut token = 0;
    let code = match stored {
        Ok((StoreOutcome::Stored(stored), stored_bytes)) => {
            token = service.shown(stored);
            value_bytes = stored_bytes.unwrap_or(value_bytes);
            b"HD"
        }
        Ok((StoreOutcome::CasMismatch, _)) => b"EX",
        Ok((StoreOutcome::KeyMissing, _)) if !joins && request.cas.is_some() => b"NF",
        Ok((StoreOutcome::KeyMissing | StoreOutcome::KeyExists, _)) => b"NS",
        // A joined value that is too large, or finds no memory, is a precondition that failed.
        Err(_) if joins => b"NS",
        Err(error) => return refuse_store(service, request, &error, output),
    };
    if code == b"HD" && request.has(b'q') {
        return;
    }
    output.extend_from_slice(code);
    for flag in tokens(request.flags) {
        let (name, number) = match flag.first() {
            Some(b'c') => (b" c", token),
            Some(b's') => (b" s", value_bytes as u64),
            _ => {
                write_request_flag(request, flag, output);
                continue;
            }
        };
        output.extend_from_slice(name);
        reply::number(output, number);
    }
    output.extend_from_slice(b"\r\n");
}

/// Whether it may be decided after the value is in its place whether it is stored.
pub(crate) fn may_be_filled(request: &Request<'_>) -> bool {
    matches!(request.mode, None | Some(b'S' | b'E')) && request.cas.is_none()
}

/// The store that a request asks for.
pub(crate) fn store_asked<'a>(
    service: &Service<'_>,
    request: &Request<'a>,
    value: &'a [u8],
) -> Store<'a> {
    let cas = request.cas.map(|cas| service.compared(cas));
    let mode = match (request.mode, cas) {
        (Some(b'E'), _) => StoreMode::Add,
        (Some(b'A'), _) => StoreMode::Append,
        (Some(b'P'), _) => StoreMode::Prepend,
        (_, Some(token)) => StoreMode::CompareAndSwap(token),
        (Some(b'R'), None) => StoreMode::Replace,
        (_, None) => StoreMode::Set,
    };
    let joins = matches!(mode, StoreMode::Append | StoreMode::Prepend);
    let exptime = if joins {
        request.vivify
    } else {
        request.exptime
    };
    let mut store = Store::new(request.key, value)
        .flags(request.client_flags)
        .ttl(ttl(service, exptime.unwrap_or(0)))
        .mode(mode)
        .marked(request.key_is_binary);
    if joins && request.vivify.is_some() {
        store = store.or_create();
    }
    if request.has(b'I') {
        store = store.or_stale();
    }
    // 0 asks for nothing: to be compared with it, or to become the token.
    if let Some(token) = cas.filter(|token| joins && token.to_u64() != 0) {
        store = store.if_token(token);
    }
    match service.chosen(request.token.filter(|&token| token != 0)) {
        None => store,
        Some(token) => store.token(token),
    }
}

/// Tells whoever watches stores.
fn tell(
    service: &Service<'_>,
    request: &Request<'_>,
    item: Subject,
    outcome: &Result<StoreOutcome, Error>,
) {
    let command = match (request.mode, request.cas) {
        (Some(b'E'), _) => "add",
        (Some(b'A'), _) => "append",
        (Some(b'P'), _) => "prepend",
        (_, Some(_)) => "cas",
        (Some(b'R'), None) => "replace",
        (_, None) => "set",
    };
    events::stored_by(service, request.key, item, command, outcome);
}

fn refuse_store(service: &Service<'_>, request: &Request<'_>, error: &Error, output: &mut Vec<u8>) {
    // A stale value never outlives the attempt to overwrite it.
    service.cache.remove(request.key);
    let (counter, reply) = match error {
        Error::ValueTooLarge { .. } => (Counter::StoreTooLarge, reply::TOO_LARGE),
        _ => (Counter::StoreNoMemory, reply::NO_MEMORY_STORING),
    };
    service.count(counter);
    reply::fixed(output, reply);
}
