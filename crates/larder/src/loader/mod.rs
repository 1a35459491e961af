//! One load a key: the first who misses loads, the others wait for what comes of it.
//!
//! ```text
//! join -> Lead --land---> everybody who waits gets the result; the flight is over
//!              `-dropped-> who has waited longest gets the lead; nobody left: the flight is over
//!         Wait --turn---> Lead, or the result
//!              `-dropped-> leaves the queue, or passes on a lead that it was given and did not see
//! ```
//!
//! Nothing is locked while somebody loads or waits. Waiting is by [`Waker`], so that threads and tasks
//! wait in one queue. Locks: a stripe's, then a seat's; wakers run under neither. What is loaded, and
//! where it is kept, is the caller's affair.

#[cfg(all(loom, test))]
mod model;
mod nesting;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

pub(crate) use nesting::Circular;

use crate::loader::nesting::Edge;
use crate::sync::CachePadded;
use crate::sync::modelled::{Mutex, thread};

/// Locks that the flights of a cache are divided among. Each is held for a look into a map.
const STRIPES: usize = 16;

/// The loads under way, by key. `T` is what those who waited get, each a clone.
#[derive(Debug)]
pub(crate) struct Flights<T> {
    stripes: Box<[CachePadded<Mutex<Stripe<T>>>]>,
}

/// The flights under one lock.
#[derive(Debug)]
struct Stripe<T>(HashMap<Box<[u8]>, Flight<T>>);

/// A load under way: somebody has the lead.
#[derive(Debug)]
struct Flight<T> {
    id: u64,
    /// Who waits, longest first. A seat here is `Waiting`.
    queue: VecDeque<Arc<Seat<T>>>,
}

/// Where one who waits finds out.
#[derive(Debug)]
struct Seat<T>(Mutex<Fate<T>>);

#[derive(Debug)]
enum Fate<T> {
    /// Not known yet; who is to be woken.
    Waiting(Option<Waker>),
    /// The lead was passed on to this one.
    Leads,
    /// The load has come to this.
    Landed(T),
    /// Nobody waits here any more.
    Left,
}

/// What joining a flight came to.
#[derive(Debug)]
pub(crate) enum Joined<'f, T> {
    /// Nobody else loads: the caller does.
    Lead(Lead<'f, T>),
    /// Somebody loads.
    Wait(Wait<'f, T>),
}

/// What waiting came to.
#[derive(Debug)]
pub(crate) enum Turn<'f, T> {
    /// Who loaded gave up: now the caller loads.
    Lead(Lead<'f, T>),
    /// The load has come to this.
    Landed(T),
}

/// One flight, as those who are in it know it.
#[derive(Debug)]
struct Ticket<'f, T> {
    stripe: &'f Mutex<Stripe<T>>,
    key: Box<[u8]>,
    id: u64,
    /// While this exists, the load in which the flight was joined depends on it.
    _edge: Edge,
}

/// The right to load, and the duty: dropped without [`land`](Self::land), by a panic for example, it
/// passes to the next who waits.
#[derive(Debug)]
pub(crate) struct Lead<'f, T>(Option<Ticket<'f, T>>);

/// A place in the queue of those who wait.
#[derive(Debug)]
pub(crate) struct Wait<'f, T> {
    ticket: Option<Ticket<'f, T>>,
    seat: Arc<Seat<T>>,
}

impl<T> Flights<T> {
    pub(crate) fn new() -> Self {
        let stripe = |_| CachePadded::new(Mutex::new(Stripe(HashMap::new())));
        Self {
            stripes: (0..STRIPES).map(stripe).collect(),
        }
    }

    /// Takes the lead of the load of `key`, or a place in the queue if somebody else has it. `hash` is
    /// the key's. Refused if the load that joins is one that this one waits for itself.
    pub(crate) fn join(&self, hash: u64, key: &[u8]) -> Result<Joined<'_, T>, Circular> {
        let number = usize::try_from(hash % STRIPES as u64).expect("few");
        let stripe = &*self.stripes[number];
        let ticket = |id, edge| {
            Some(Ticket {
                stripe,
                key: key.into(),
                id,
                _edge: edge,
            })
        };
        let mut flights = stripe.lock();
        if let Some(flight) = flights.0.get_mut(key) {
            let edge = Edge::to(flight.id)?;
            let seat = Arc::new(Seat(Mutex::new(Fate::Waiting(None))));
            flight.queue.push_back(Arc::clone(&seat));
            let ticket = ticket(flight.id, edge);
            return Ok(Joined::Wait(Wait { ticket, seat }));
        }
        let id = nesting::new_id();
        let edge = Edge::to(id)?;
        let queue = VecDeque::new();
        flights.0.insert(key.into(), Flight { id, queue });
        Ok(Joined::Lead(Lead(ticket(id, edge))))
    }

    /// Loads under way.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.stripes
            .iter()
            .map(|stripe| stripe.lock().0.len())
            .sum()
    }
}

impl<T: Clone> Lead<'_, T> {
    /// Runs a part of the load: flights joined meanwhile by this thread are what it depends on.
    pub(crate) fn within<R>(&self, part: impl FnOnce() -> R) -> R {
        let ticket = self.0.as_ref().expect("it has not landed");
        nesting::within(ticket.id, part)
    }

    /// Ends the flight; `result` makes what those who waited get, if there are any.
    pub(crate) fn land(mut self, result: impl FnOnce() -> T) {
        let ticket = self.0.take().expect("it lands once");
        let flight = ticket.stripe.lock().0.remove(&ticket.key);
        let flight = flight.expect("a flight lasts until its leader ends it");
        debug_assert_eq!(flight.id, ticket.id);
        // Nobody joins it any more, and who leaves now finds that it has ended.
        if !flight.queue.is_empty() {
            let result = result();
            for seat in flight.queue {
                seat.settle(Fate::Landed(result.clone()));
            }
        }
    }
}

impl<T> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            let next = ticket.stripe.lock().pass_on(&ticket.key);
            if let Some(waker) = next {
                waker.wake();
            }
        }
    }
}

impl<'f, T> Wait<'f, T> {
    /// Blocks the thread until it is its turn.
    pub(crate) fn block(mut self) -> Turn<'f, T> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match self.poll(&waker) {
                Poll::Ready(turn) => return turn,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// Whose turn it is; `waker` is woken when that changes. Not to be called again once it is ready.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Turn<'f, T>> {
        // Cloned and dropped outside of the lock: what a waker does then is its owner's affair.
        let mut kept = Some(waker.clone());
        let mut fate = self.seat.0.lock();
        if let Fate::Waiting(waker) = &mut *fate {
            std::mem::swap(waker, &mut kept);
            drop(fate);
            return Poll::Pending;
        }
        let fate = std::mem::replace(&mut *fate, Fate::Left);
        let ticket = self.ticket.take();
        match fate {
            Fate::Leads => Poll::Ready(Turn::Lead(Lead(ticket))),
            Fate::Landed(result) => Poll::Ready(Turn::Landed(result)),
            Fate::Waiting(_) | Fate::Left => unreachable!("it is polled until it is ready"),
        }
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        // Under the stripe's lock, so that no lead is passed on to a seat that is being left.
        let mut stripe = ticket.stripe.lock();
        let fate = std::mem::replace(&mut *self.seat.0.lock(), Fate::Left);
        let next = match fate {
            Fate::Leads => stripe.pass_on(&ticket.key),
            Fate::Waiting(_) => {
                stripe.leave(&ticket, &self.seat);
                None
            }
            Fate::Landed(_) | Fate::Left => None,
        };
        drop(stripe);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl<T> Stripe<T> {
    /// Gives the lead of the flight to who has waited longest, or ends it; who is to be woken.
    fn pass_on(&mut self, key: &[u8]) -> Option<Waker> {
        let flight = self.0.get_mut(key).expect("somebody had the lead of it");
        let Some(seat) = flight.queue.pop_front() else {
            self.0.remove(key);
            return None;
        };
        match std::mem::replace(&mut *seat.0.lock(), Fate::Leads) {
            Fate::Waiting(waker) => waker,
            _ => unreachable!("who has been told, or has left, is in no queue"),
        }
    }

    /// Takes a seat out of its queue, if that flight is not over.
    fn leave(&mut self, ticket: &Ticket<'_, T>, seat: &Arc<Seat<T>>) {
        let flight = self.0.get_mut(&ticket.key);
        if let Some(flight) = flight.filter(|flight| flight.id == ticket.id) {
            flight.queue.retain(|other| !Arc::ptr_eq(other, seat));
        }
    }
}

impl<T> Seat<T> {
    /// Tells who waits here, unless they have left.
    fn settle(&self, fate: Fate<T>) {
        let mut place = self.0.lock();
        if matches!(*place, Fate::Left) {
            return;
        }
        let before = std::mem::replace(&mut *place, fate);
        drop(place);
        if let Fate::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// Wakes a thread that waits.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
