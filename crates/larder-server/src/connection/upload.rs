//! A large value on its way: what arrives is written into the cache's own memory, once, and not gathered
//! in a buffer first.
//!
//! Its memory is claimed when a part of the value has come, so that announcing one costs nobody an item.
//! If the client goes before the end, or the data block ends wrongly, the memory goes back, by a thread of
//! its own where that takes long.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use larder::Reservation;

use super::{Connection, Progress, State};
use crate::execute::{Announced, Value, meta, text as execute};
use crate::protocol::base64::Decoded;
use crate::protocol::reply;
use crate::protocol::text::{self, BLOCK_END, Command, Line};
use crate::service::Service;

/// Values from here on are written in place.
const VALUE_BYTES_MIN: usize = 1 << 20;
/// As much of a value at the most must have come before its memory is claimed: a sixteenth of a
/// shorter one.
const FIRST_BYTES_MAX: usize = 256 << 10;
/// Of the memory limit, one part in so many may be filled at a time; a single value always may.
const LIMIT_SHARE: usize = 2;
/// The system takes 0.1 ms to get so much memory back, and a worker's other clients wait no longer.
const GIVEN_BACK_BYTES_MAX: usize = 1 << 20;

/// A value that is being filled.
#[derive(Debug)]
pub(super) struct Upload {
    /// The line that announced it.
    line: Box<[u8]>,
    value: Reservation<'static>,
    filled_bytes: usize,
}

/// Values that nobody wants any more, on their way back to the system. They leave one after the other by a
/// thread that lives only meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abandoned(Arc<Mutex<Leaving>>);

#[derive(Debug, Default)]
struct Leaving {
    values: Vec<Reservation<'static>>,
    /// There is a thread that will look at them.
    attended: bool,
}

impl Abandoned {
    fn take(&self, value: Reservation<'static>) {
        let mut leaving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.values.push(value);
        if leaving.attended {
            return;
        }
        leaving.attended = true;
        drop(leaving);
        let own = self.clone();
        let thread = std::thread::Builder::new().name("larder-release".into());
        if let Err(error) = thread.spawn(move || own.give_back()) {
            log::warn!("no thread to give memory back, others wait: {error}");
            self.give_back();
        }
    }

    fn give_back(&self) {
        loop {
            let mut leaving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(value) = leaving.values.pop() else {
                leaving.attended = false;
                return;
            };
            drop(leaving);
            drop(value);
        }
    }
}

/// How much of a data block must be there before anything can be done with it.
pub(super) fn bytes_needed(announced: &Announced<'_>) -> usize {
    let value_bytes = announced.value_bytes();
    if value_bytes >= VALUE_BYTES_MIN && announced.may_be_filled() {
        (value_bytes / 16).min(FIRST_BYTES_MAX)
    } else {
        value_bytes + BLOCK_END.len()
    }
}

impl Upload {
    /// Memory for the value that `line` announced; none if it is to be gathered as any other.
    pub(super) fn begin(
        service: &Service<'_>,
        line: &[u8],
        announced: &Announced<'_>,
    ) -> Option<Self> {
        let value_bytes = announced.value_bytes();
        let uploading = &service.shared.uploading_bytes;
        let before = uploading.fetch_add(value_bytes, Ordering::Relaxed);
        let limit_bytes = service.cache.stats().limit_bytes;
        let fits = before == 0 || before + value_bytes <= limit_bytes / LIMIT_SHARE;
        let value = fits.then(|| announced.reserve(service)).flatten();
        let Some(value) = value else {
            uploading.fetch_sub(value_bytes, Ordering::Relaxed);
            return None;
        };
        Some(Self {
            line: line.into(),
            value,
            filled_bytes: 0,
        })
    }

    /// Takes what belongs to the value from the start of `received`; how many bytes that was.
    fn fill(&mut self, received: &[u8]) -> usize {
        let left = self.value.get_mut(self.filled_bytes..).unwrap_or_default();
        let bytes = left.len().min(received.len());
        let (part, arrived) = (left.get_mut(..bytes), received.get(..bytes));
        if let (Some(part), Some(arrived)) = (part, arrived) {
            part.copy_from_slice(arrived);
        }
        self.filled_bytes += bytes;
        bytes
    }

    /// Gives the memory back.
    pub(super) fn abandon(self, service: &Service<'_>) {
        let value = self.into_value(service);
        give_up(service, value);
    }

    fn into_value(self, service: &Service<'_>) -> Reservation<'static> {
        let uploading = &service.shared.uploading_bytes;
        uploading.fetch_sub(self.value.len(), Ordering::Relaxed);
        self.value
    }
}

/// Gives the memory of a value back without anybody waiting for it.
fn give_up(service: &Service<'_>, value: Reservation<'static>) {
    if value.len() > GIVEN_BACK_BYTES_MAX {
        service.shared.abandoned.take(value);
    }
}

impl Connection {
    /// Goes on with a value that is being filled; stores it once its data block has ended.
    pub(super) fn upload(
        &mut self,
        service: &Service<'_>,
        mut upload: Upload,
        rest: &[u8],
        output: &mut Vec<u8>,
    ) -> Progress {
        let taken = upload.fill(rest);
        let behind = rest.get(taken..).unwrap_or_default();
        let Some(end) = behind.get(..BLOCK_END.len()) else {
            self.state = State::Upload(upload);
            return if taken > 0 {
                Progress::More(taken)
            } else {
                Progress::Starved
            };
        };
        let is_whole = end == BLOCK_END;
        let line = upload.line.clone();
        let value = upload.into_value(service);
        let store = |announced: Announced<'_>| {
            if is_whole {
                announced.store(service, None, Value::Filled(value), output);
                return;
            }
            give_up(service, value);
            if !announced.noreply() {
                reply::fixed(output, reply::BAD_DATA_CHUNK);
            }
        };
        let mut decoded = Decoded::new();
        match text::parse(&line) {
            Line::Command(Command::Store(line)) => store(Announced::Text(&line)),
            Line::Meta(line) => {
                if let Ok(request) = line.parse(&mut decoded) {
                    store(Announced::Meta(&request));
                }
            }
            _ => {}
        }
        Progress::More(taken + BLOCK_END.len())
    }
}

impl Announced<'_> {
    /// Whether the value may be written before it is decided whether it is stored: what needs its key
    /// could lose that very item to the memory that is claimed.
    fn may_be_filled(&self) -> bool {
        match self {
            Self::Text(line) => execute::may_be_filled(line),
            Self::Meta(request) => meta::may_be_filled(request),
        }
    }

    /// Memory for the value, for which what it replaces goes if there is no other.
    fn reserve(&self, service: &Service<'_>) -> Option<Reservation<'static>> {
        let cache = &service.shared.cache;
        let reserve = || match self {
            Self::Text(line) => {
                let store = execute::store_asked(service, line, b"");
                cache.reserve_shared(&store, line.value_bytes)
            }
            Self::Meta(request) => {
                let store = meta::store_asked(service, request, b"");
                cache.reserve_shared(&store, request.value_bytes)
            }
        };
        reserve().ok().or_else(|| {
            self.forget_overwritten(service);
            reserve().ok()
        })
    }
}
