//! Loads that load: which flight waits for which, so that a circle is an error and no deadlock.
//!
//! A flight depends on those that its load joins, as leader or in the queue. The innermost load that a
//! thread is in is kept with the thread; dependencies are kept for the whole process, since a circle
//! can lead through several caches, and are noted only where a load joins another. Of the flights of a
//! circle the last to join sees all the others' notes, and is refused. What a load waits for in another
//! thread or task of its own making is not seen.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

thread_local! {
    /// The flight whose load this thread is in; 0 for none.
    static LOADING: Cell<u64> = const { Cell::new(0) };
}

/// Which flight depends on which. As many as there are loads within loads.
static EDGES: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// A load would wait for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Circular;

/// That one flight depends on another, as long as this exists.
#[derive(Debug)]
pub(super) struct Edge(Option<(u64, u64)>);

/// A number that no flight of this process had before.
pub(super) fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: it only has to be another one.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs a part of the load of flight `id`.
pub(super) fn within<R>(id: u64, part: impl FnOnce() -> R) -> R {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            LOADING.set(self.0);
        }
    }
    let _restore = Restore(LOADING.replace(id));
    part()
}

impl Edge {
    /// From the load that this thread is in, if any, to flight `to`.
    pub(super) fn to(to: u64) -> Result<Self, Circular> {
        let from = LOADING.get();
        if from == 0 {
            return Ok(Self(None));
        }
        let mut edges = EDGES.lock();
        if reaches(&edges, to, from) {
            return Err(Circular);
        }
        edges.push((from, to));
        Ok(Self(Some((from, to))))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(edge) = self.0 {
            let mut edges = EDGES.lock();
            let position = edges.iter().position(|&other| other == edge);
            edges.swap_remove(position.expect("it was noted when this was made"));
        }
    }
}

/// Whether `goal` is `from`, or something that it depends on. O(edges) for each step of the way.
fn reaches(edges: &[(u64, u64)], from: u64, goal: u64) -> bool {
    let mut met = vec![from];
    let mut next = 0;
    while let Some(&flight) = met.get(next) {
        if flight == goal {
            return true;
        }
        for &(_, to) in edges.iter().filter(|&&(from, _)| from == flight) {
            if !met.contains(&to) {
                met.push(to);
            }
        }
        next += 1;
    }
    false
}
