//! Replies that lack values: the bytes around each value are known when its item is found, the value later.
//!
//! ```text
//! output   | replies | hole 0 | replies | hole 1 | hole 2 | replies |     holes are positions, of no length
//! hole     head value tail, or what is said of a miss
//! ```

use larder::{CasToken, Locator};

use super::place::Place;
use crate::counters::Counter;

/// A reply that lacks its value.
#[derive(Debug)]
pub(crate) struct Hole {
    /// Where in the output it belongs.
    pub(crate) at: usize,
    /// What is said before and behind the value.
    pub(crate) head: Vec<u8>,
    pub(crate) tail: &'static str,
    /// What is said instead if there is no value.
    pub(crate) miss: Vec<u8>,
    /// What the hit was counted as, and what it is if there is no value.
    pub(crate) counted: [Counter; 2],
    pub(crate) wanted: Wanted,
}

/// A value to be read.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) key: Box<[u8]>,
    pub(crate) stamp: CasToken,
    pub(crate) locator: Locator,
    /// It is to be in memory again.
    pub(crate) recache: bool,
}

impl Wanted {
    pub(super) const fn place(&self) -> Place {
        Place::of(self.locator)
    }
}

/// A record that was read: its value is the end.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(super) record: Vec<u8>,
    pub(super) value_bytes: usize,
}

impl Fetched {
    fn value(&self) -> &[u8] {
        let at = self.record.len().saturating_sub(self.value_bytes);
        self.record.get(at..).unwrap_or_default()
    }
}

/// Output that cannot be sent before its holes are filled.
#[derive(Debug)]
pub(crate) struct Deferred {
    output: Vec<u8>,
    holes: Vec<(Hole, Option<Option<Fetched>>)>,
    missing: usize,
}

impl Deferred {
    pub(crate) fn new(output: Vec<u8>, holes: Vec<Hole>) -> Self {
        Self {
            output,
            missing: holes.len(),
            holes: holes.into_iter().map(|hole| (hole, None)).collect(),
        }
    }

    /// What is to be read, in the order of the holes.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        self.holes.iter().map(|(hole, _)| &hole.wanted)
    }

    /// Bytes that it has, and will have.
    pub(crate) fn held_bytes(&self) -> usize {
        let values = self.wanted().map(|wanted| wanted.place().record_bytes());
        self.output.capacity() + values.sum::<usize>()
    }

    /// The value of the hole with that number, or the lack of it. Returns what a hit was counted as, and what it
    /// is instead, if there is none.
    pub(crate) fn fill(&mut self, number: usize, fetched: Option<Fetched>) -> Option<[Counter; 2]> {
        let (hole, filled) = self.holes.get_mut(number)?;
        debug_assert!(filled.is_none(), "a hole is filled once");
        let uncounted = fetched.is_none().then_some(hole.counted);
        *filled = Some(fetched);
        self.missing -= 1;
        uncounted
    }

    /// Holes that are still to be filled.
    pub(crate) const fn missing(&self) -> usize {
        self.missing
    }

    /// Appends the whole output.
    pub(crate) fn write(&self, output: &mut Vec<u8>) {
        let mut from = 0;
        for (hole, filled) in &self.holes {
            output.extend_from_slice(self.output.get(from..hole.at).unwrap_or_default());
            from = hole.at;
            match filled.as_ref().and_then(Option::as_ref) {
                Some(fetched) => {
                    output.extend_from_slice(&hole.head);
                    output.extend_from_slice(fetched.value());
                    output.extend_from_slice(hole.tail.as_bytes());
                }
                None => output.extend_from_slice(&hole.miss),
            }
        }
        output.extend_from_slice(self.output.get(from..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_in_any_order_and_the_output_keeps_its_own() {
        let hole = |at, name: &str| Hole {
            at,
            head: format!("<{name} ").into_bytes(),
            tail: ">",
            miss: format!("<no {name}>").into_bytes(),
            counted: [Counter::GetHits, Counter::GetMisses],
            wanted: Wanted {
                key: Box::from(name.as_bytes()),
                stamp: CasToken::from_u64(1),
                locator: Locator([0; 16]),
                recache: false,
            },
        };
        let holes = vec![hole(0, "a"), hole(4, "b"), hole(4, "c"), hole(8, "d")];
        let mut deferred = Deferred::new(b"one.two.".to_vec(), holes);
        assert_eq!((deferred.missing(), deferred.wanted().count()), (4, 4));
        let fetched = |text: &str| Fetched {
            record: format!("head{text}").into_bytes(),
            value_bytes: text.len(),
        };
        assert!(deferred.fill(2, Some(fetched("third"))).is_none());
        assert!(deferred.fill(0, Some(fetched(""))).is_none());
        let miss = [Counter::GetHits, Counter::GetMisses];
        assert_eq!(deferred.fill(1, None), Some(miss));
        assert_eq!(deferred.missing(), 1);
        assert!(deferred.fill(3, Some(fetched("fourth"))).is_none());
        let mut output = b"before;".to_vec();
        deferred.write(&mut output);
        assert_eq!(output, b"before;<a >one.<no b><c third>two.<d fourth>");
    }
}
