//! The constants of the default policy, each open to experiment.

use super::Parameters;

/// Which order a main region is walked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// A ring: what enters main enters behind everything in it.
    Fifo,
    /// A hand over slots: an item stays in the slot it was stored in, and the hand meets it there.
    Slot,
}

/// What miniature caches choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// Probation's share of a class.
    pub(super) share: f64,
    /// Hits that take an item from probation to main.
    pub(super) promote_at: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Which order main is walked in.
    pub(super) order: Order,
    /// Probation's share of a class, where it is fixed, and before it is chosen.
    pub(super) share: f64,
    /// How many capacities the ghost remembers.
    pub(super) ghost: f64,
    /// Hits that take an item from probation to main.
    pub(super) promote_at: u8,
    /// What the counter saturates at.
    pub(super) count_max: u8,
    /// The counter of an item that has just been promoted.
    pub(super) count_promoted: u8,
    /// The counter of an item stored while the ghost remembers it.
    pub(super) count_remembered: u8,
    /// Value of a turn in main against one in probation, when classes are compared.
    pub(super) main_weight: f64,
    /// The largest object held, as a share of the capacity.
    pub(super) window: f64,
    /// Steps after which an eviction takes what is at the head.
    pub(super) steps_max: u32,
    /// Slots that share one stamp in slot order.
    pub(super) stamp_slots: usize,
    /// Probation's share of a class until the first eviction; what is above it goes to main.
    pub(super) fill_share: f64,
    /// Bytes per item that are added to its weight to find its class.
    pub(super) class_overhead: u32,
    /// Sizes above this share one class, whose items take several chunks.
    pub(super) large_above: u32,
}

impl Settings {
    pub(super) fn take(parameters: &mut Parameters) -> Self {
        let order = if parameters.take("slot", 1.0) == 0.0 {
            Order::Fifo
        } else {
            Order::Slot
        };
        Self {
            order,
            share: parameters.take("share", 0.1),
            ghost: parameters.take("ghost", 1.2),
            promote_at: parameters.take("promote", 2.0) as u8,
            count_max: parameters.take("max", 15.0) as u8,
            count_promoted: parameters.take("promoted", 0.0) as u8,
            count_remembered: parameters.take("remembered", 0.0) as u8,
            main_weight: parameters.take("main", 2.0),
            window: parameters.take("window", 0.1),
            steps_max: parameters.take("steps", 64.0) as u32,
            stamp_slots: parameters.take("stamp", 64.0) as usize,
            fill_share: parameters.take("fill", 0.1),
            class_overhead: parameters.take("class", 24.0) as u32,
            large_above: u32::MAX,
        }
    }
}
