//! What loom checks of flights: of all orders in which the steps of three threads can meet, none leaves
//! a thread waiting for ever, none lets two lead at once, and each result is one that was landed.
//!
//! Run by `RUSTFLAGS="--cfg loom" cargo test --release -p larder --lib loader::model`. The weakened
//! variant drops a check that the protocol needs, and loom finds the order in which that goes wrong.

use std::task::Waker;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::*;

fn turn(flights: &Flights<u32>) -> Turn<'_, u32> {
    match flights.join(0, b"key").expect("no loads within loads") {
        Joined::Lead(lead) => Turn::Lead(lead),
        Joined::Wait(wait) => wait.block(),
    }
}

/// One thread that wants the key: loads if it leads, and gives up before the end if told so.
fn visit(flights: &Flights<u32>, leaders: &AtomicU32, result: u32, gives_up: bool) -> Option<u32> {
    match turn(flights) {
        Turn::Landed(result) => Some(result),
        Turn::Lead(lead) => {
            assert_eq!(leaders.fetch_add(1, Ordering::Relaxed), 0);
            // Whatever comes after the lead has passed on may meet another leader.
            leaders.fetch_sub(1, Ordering::Relaxed);
            if gives_up {
                return None;
            }
            lead.land(|| result);
            Some(result)
        }
    }
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn a_leader_that_gives_up_hands_over_and_all_come_to_an_end() {
    model(|| {
        let shared = Arc::new((Flights::new(), AtomicU32::new(0)));
        let others: Vec<_> = [(1, true), (2, false)]
            .into_iter()
            .map(|(result, gives_up)| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || visit(&shared.0, &shared.1, result, gives_up))
            })
            .collect();
        let own = visit(&shared.0, &shared.1, 3, false);
        assert!(matches!(own, Some(2 | 3)));
        for (other, result) in others.into_iter().zip([1, 2]) {
            let got = other.join().expect("it does not panic");
            assert!(got != Some(1), "who gives up lands nothing");
            assert!(result == 1 || got.is_some());
        }
        assert_eq!(shared.0.len(), 0);
    });
}

/// A leader that gives up while one who waits is cancelled by `leave`, and another waits on.
fn cancelled(leave: fn(Wait<'static, u32>)) {
    model(move || {
        // Threads of a model cannot borrow; what is leaked is little.
        let flights: &'static Flights<u32> = Box::leak(Box::new(Flights::new()));
        let Joined::Lead(lead) = flights.join(0, b"key").expect("no loads within loads") else {
            unreachable!("it is the first");
        };
        let first = thread::spawn(move || {
            if let Joined::Wait(wait) = flights.join(0, b"key").expect("no loads within loads") {
                leave(wait);
            }
        });
        let second =
            thread::spawn(
                move || match flights.join(0, b"key").expect("no loads within loads") {
                    Joined::Wait(wait) => Some(wait),
                    Joined::Lead(_) => None,
                },
            );
        drop(lead);
        first.join().expect("it does not panic");
        if let Some(mut wait) = second.join().expect("it does not panic") {
            let turn = wait.poll(Waker::noop());
            let leads = matches!(turn, Poll::Ready(Turn::Lead(_)));
            // What is left behind is not cleaned up in a model that has failed.
            std::mem::forget(wait);
            assert!(leads, "the lead is lost");
            drop(turn);
        }
        assert_eq!(flights.len(), 0, "the lead is lost");
    });
}

#[test]
fn a_cancelled_wait_passes_on_the_lead_that_it_was_given() {
    cancelled(|wait| drop(wait));
}

/// The weakened variant: who leaves looks whether it leads, and only then locks the queue.
#[test]
#[should_panic(expected = "the lead is lost")]
fn without_the_lock_around_both_a_lead_is_lost() {
    cancelled(|mut wait| {
        let Some(ticket) = wait.ticket.take() else {
            return; // It was its turn before it could leave.
        };
        let leads = matches!(*wait.seat.0.lock(), Fate::Leads);
        let mut stripe = ticket.stripe.lock();
        if leads {
            let next = stripe.pass_on(&ticket.key);
            drop(stripe);
            if let Some(waker) = next {
                waker.wake();
            }
        } else {
            stripe.leave(&ticket, &wait.seat);
        }
    });
}
