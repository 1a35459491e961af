//! One step of a counter, for every protocol: look, decide and change in one step of the cache.

use larder::{CasToken, ItemView, Put, Revision, Timestamp, Ttl};

use super::events;
use crate::counters::{Counter, OfClass};
use crate::protocol::number;
use crate::protocol::text::Direction;
use crate::service::Service;

/// A longer value is not looked at: it is no number, whatever digits it begins with.
const NUMBER_BYTES_MAX: usize = 512 << 10;

/// A step to be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counting<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) delta: u64,
    pub(crate) direction: Direction,
    /// Only if the item carries this token; 0 for any.
    pub(crate) cas: u64,
    /// A new lifetime for the counter.
    pub(crate) ttl: Option<Ttl>,
    /// The token that it shall have.
    pub(crate) token: Option<CasToken>,
    /// What a missing counter starts as.
    pub(crate) start: Option<Start>,
}

/// A counter that is created: its number, without the step, and its lifetime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) number: u64,
    pub(crate) ttl: Ttl,
    /// Its key came in base64.
    pub(crate) marked: bool,
}

/// What a step came to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Counted(Counted),
    Created(Counted),
    Missing,
    CasMismatch,
    NonNumeric,
    /// No memory could be found for the new number, or the new counter.
    NoMemory,
    NoMemoryToCreate,
}

/// A counter after its step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) number: u64,
    pub(crate) token: CasToken,
    /// When it expired before the step gave it another lifetime.
    pub(crate) expires_at: Option<Timestamp>,
    /// The size class that it had; 0 for one that is created.
    class: usize,
}

impl<'a> Counting<'a> {
    /// A step without conditions.
    pub(crate) const fn new(key: &'a [u8], delta: u64, direction: Direction) -> Self {
        Self {
            key,
            delta,
            direction,
            cas: 0,
            ttl: None,
            token: None,
            start: None,
        }
    }

    /// Takes the step and counts it.
    pub(crate) fn step(&self, service: &Service<'_>) -> Step {
        events::looked_up(service, self.key);
        let step = self.step_in(service);
        let (hits, of_class, misses) = match self.direction {
            Direction::Up => (Counter::IncrHits, OfClass::IncrHits, Counter::IncrMisses),
            Direction::Down => (Counter::DecrHits, OfClass::DecrHits, Counter::DecrMisses),
        };
        match step {
            Step::Counted(counted) => {
                service.count(hits);
                service.count_of_class(counted.class, of_class);
            }
            Step::Missing => service.count(misses),
            _ => {}
        }
        step
    }

    fn step_in(&self, service: &Service<'_>) -> Step {
        let mut step = Step::Missing;
        let revised = service.cache.revise(self.key, |item| {
            let (next, revision) = match item {
                Some(view) => self.change(service, &view),
                None => self.create(),
            };
            step = next;
            revision
        });
        match (&mut step, revised) {
            (Step::Counted(counted) | Step::Created(counted), Ok(Some(token))) => {
                counted.token = token;
            }
            (Step::Created(_), Err(_)) => step = Step::NoMemoryToCreate,
            (_, Err(_)) => step = Step::NoMemory,
            (_, Ok(_)) => {}
        }
        step
    }

    /// A number that became shorter is padded with spaces to the old length, as memcached's clients
    /// have come to expect: the item stays as it is but for its value.
    fn change(&self, service: &Service<'_>, view: &ItemView<'_>) -> (Step, Revision<'static>) {
        if view.value().is_empty() || view.value().len() > NUMBER_BYTES_MAX {
            return (Step::NonNumeric, Revision::Keep);
        }
        if self.cas != 0 && self.cas != service.shown(view.cas()) {
            return (Step::CasMismatch, Revision::Keep);
        }
        let Some(number) = number::counter(view.value()) else {
            return (Step::NonNumeric, Revision::Keep);
        };
        let next = match self.direction {
            Direction::Up => number.wrapping_add(self.delta),
            Direction::Down => number.saturating_sub(self.delta),
        };
        let mut text = itoa::Buffer::new().format(next).as_bytes().to_vec();
        let is_longer = text.len() > view.value().len();
        text.resize(text.len().max(view.value().len()), b' ');
        let mut put = Put::instead_of(view, text).or_keep();
        if !is_longer {
            put = put.keep_state(view);
        }
        if let Some(ttl) = self.ttl {
            put = put.ttl(ttl);
        }
        if let Some(token) = self.token {
            put = put.token(token);
        }
        let counted = Counted {
            number: next,
            token: CasToken::from_u64(0),
            expires_at: view.expires_at(),
            class: view.class(),
        };
        (Step::Counted(counted), Revision::Put(put))
    }

    fn create(&self) -> (Step, Revision<'static>) {
        let Some(Start {
            number,
            ttl,
            marked,
        }) = self.start
        else {
            return (Step::Missing, Revision::Keep);
        };
        let text = itoa::Buffer::new().format(number).as_bytes().to_vec();
        let mut put = Put::new(text).ttl(ttl).marked(marked);
        if let Some(token) = self.token {
            put = put.token(token);
        }
        let counted = Counted {
            number,
            token: CasToken::from_u64(0),
            expires_at: None,
            class: 0,
        };
        (Step::Created(counted), Revision::Put(put))
    }
}
