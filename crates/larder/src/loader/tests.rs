//! The queue of a flight, one step after the other.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn lead(flights: &Flights<u32>) -> Lead<'_, u32> {
    match flights.join(1, b"key") {
        Ok(Joined::Lead(lead)) => lead,
        other => panic!("{other:?}"),
    }
}

fn wait<'f>(flights: &'f Flights<u32>, count: &Arc<Count>) -> Wait<'f, u32> {
    match flights.join(1, b"key") {
        Ok(Joined::Wait(mut wait)) => {
            assert!(wait.poll(&Waker::from(Arc::clone(count))).is_pending());
            wait
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_lead_passes_to_who_has_waited_longest_and_a_result_to_all() {
    let flights = Flights::new();
    let counts: [Arc<Count>; 3] = Default::default();
    let woken = || {
        counts
            .each_ref()
            .map(|count| count.0.load(Ordering::Relaxed))
    };
    let first = lead(&flights);
    let mut waits = counts.each_ref().map(|count| wait(&flights, count));
    drop(first);
    assert_eq!(woken(), [1, 0, 0]);
    let [first, second, third] = &mut waits;
    let waker = Waker::noop();
    let Poll::Ready(Turn::Lead(lead)) = first.poll(waker) else {
        panic!("it was handed the lead");
    };
    assert!(second.poll(waker).is_pending() && third.poll(waker).is_pending());
    lead.land(|| 7);
    for wait in [second, third] {
        assert!(matches!(wait.poll(waker), Poll::Ready(Turn::Landed(7))));
    }
    assert_eq!(flights.len(), 0);
}

#[test]
fn who_leaves_is_not_handed_the_lead_and_hands_on_what_it_did_not_see() {
    let flights = Flights::new();
    let counts: [Arc<Count>; 4] = Default::default();
    let woken = || {
        counts
            .each_ref()
            .map(|count| count.0.load(Ordering::Relaxed))
    };
    let leads = lead(&flights);
    let [first, second, third, fourth] = counts.each_ref().map(|count| wait(&flights, count));
    drop(first);
    drop(leads);
    assert_eq!(woken(), [0, 1, 0, 0]);
    drop(third);
    drop(second);
    assert_eq!(woken(), [0, 1, 0, 1]);
    drop(fourth);
    assert_eq!(flights.len(), 0);
    drop(lead(&flights));
    assert_eq!(flights.len(), 0);
}

#[test]
fn who_leaves_a_flight_that_is_over_does_not_touch_the_next() {
    let flights = Flights::new();
    let count = Arc::default();
    let leads = lead(&flights);
    let left = wait(&flights, &count);
    leads.land(|| 1);
    let next = lead(&flights);
    let waits = wait(&flights, &count);
    drop(left);
    drop(next);
    drop(waits);
    assert_eq!(flights.len(), 0);
}

#[test]
fn nothing_is_made_for_nobody() {
    let flights = Flights::new();
    lead(&flights).land(|| unreachable!("nobody waits"));
    assert_eq!(flights.len(), 0);
}
