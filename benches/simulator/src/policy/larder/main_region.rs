//! The main region of one class: a clock, walked in order of entry or in order of slots.
//!
//! ```text
//! fifo   tail -> k k k k k -> head     a survivor goes back to the tail
//! slot   [k][ ][s][k][k][s][k]         k main, s probation, hand -> right, around
//!               ^ hand                 a survivor stays where it is
//! ```
//!
//! A stamp is the inflation when the hand was last here. In slot order it is kept for a run of slots, not for an item.

use std::collections::VecDeque;

use super::queues::{MAIN, State};
use super::settings::{Order, Settings};
use crate::trace::Key;

/// No key: an empty slot.
const NONE: Key = Key::MAX;

#[derive(Debug)]
pub(super) enum MainRegion {
    Fifo(VecDeque<(Key, u32)>),
    Slot(Slots),
}

/// Every slot of a class, probation's included, and the hand over them.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Key>,
    free: Vec<u32>,
    hand: usize,
    stamps: Vec<f64>,
    stamp_slots: usize,
}

impl MainRegion {
    pub(super) fn new(settings: &Settings) -> Self {
        match settings.order {
            Order::Fifo => Self::Fifo(VecDeque::new()),
            Order::Slot => Self::Slot(Slots {
                stamp_slots: settings.stamp_slots.max(1),
                ..Slots::default()
            }),
        }
    }

    /// A new item is stored, in probation or main.
    pub(super) fn store(&mut self, key: Key, states: &mut [State], inflation: f64) {
        if let Self::Slot(slots) = self {
            states[key as usize].slot = slots.store(key, inflation);
        }
    }

    /// An item leaves, from probation or main.
    pub(super) fn free(&mut self, slot: u32) {
        if let Self::Slot(slots) = self {
            slots.slots[slot as usize] = NONE;
            slots.free.push(slot);
        }
    }

    /// `key` belongs to main from now on.
    pub(super) fn enter(&mut self, key: Key, token: u32) {
        if let Self::Fifo(ring) = self {
            ring.push_back((key, token));
        }
    }

    /// The item of main to look at next, and the inflation when it was looked at last.
    pub(super) fn head(&mut self, states: &[State], inflation: f64) -> Option<(Key, f64)> {
        match self {
            Self::Fifo(ring) => {
                while let Some(&(key, token)) = ring.front() {
                    let state = &states[key as usize];
                    if state.place == MAIN && state.token == token {
                        return Some((key, state.stamp));
                    }
                    ring.pop_front();
                }
                None
            }
            Self::Slot(slots) => slots.head(states, inflation),
        }
    }

    /// The head has been dealt with.
    pub(super) fn step(&mut self, inflation: f64) {
        match self {
            Self::Fifo(ring) => {
                ring.pop_front();
            }
            Self::Slot(slots) => slots.advance(inflation),
        }
    }
}

impl Slots {
    fn store(&mut self, key: Key, inflation: f64) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = key;
            return slot;
        }
        if self.slots.len().is_multiple_of(self.stamp_slots) {
            self.stamps.push(inflation);
        }
        self.slots.push(key);
        self.slots.len() as u32 - 1
    }

    fn head(&mut self, states: &[State], inflation: f64) -> Option<(Key, f64)> {
        for _ in 0..=self.slots.len() {
            let &key = self.slots.get(self.hand)?;
            if key != NONE && states[key as usize].place == MAIN {
                return Some((key, self.stamps[self.hand / self.stamp_slots]));
            }
            self.advance(inflation);
        }
        None
    }

    fn advance(&mut self, inflation: f64) {
        let run = self.hand / self.stamp_slots;
        self.hand += 1;
        if self.hand == self.slots.len() {
            self.hand = 0;
        }
        if self.hand / self.stamp_slots != run || self.hand == 0 {
            self.stamps[run] = inflation;
        }
    }
}
