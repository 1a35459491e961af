//! Long values of replies, which are not copied: pinned in the cache until the socket has taken them.
//!
//! ```text
//! output   | replies | value 0 | replies | value 1 | replies |     values are positions, of no length
//! ```

use std::cell::{Cell, RefCell};
use std::io::IoSlice;

use larder::{Cache, ItemView, PinnedGuard};

/// Shorter values are copied: that takes less time than pinning them, and handing them to the socket in pieces.
const VALUE_BYTES_MIN: usize = 64 << 10;
/// Pieces that are handed to the socket at once.
const PIECES: usize = 64;

/// A value that belongs into an output.
#[derive(Debug)]
pub(crate) struct LongValue {
    /// Where in the output.
    at: usize,
    value: PinnedGuard,
}

/// The long values of the output that a worker is writing.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    values: RefCell<Vec<LongValue>>,
    bytes: Cell<usize>,
}

impl Slices {
    /// Whether a value belongs here.
    #[inline]
    pub(crate) const fn is_long(value: &[u8]) -> bool {
        value.len() >= VALUE_BYTES_MIN
    }

    /// Adds the value of an item that is being shown, for this position of the output. False if another stands
    /// under its key meanwhile.
    pub(crate) fn add(&self, cache: &Cache, view: &ItemView<'_>, at: usize) -> bool {
        let item = cache.peek(view.key());
        let Some(item) = item.filter(|item| item.view().stamp() == view.stamp()) else {
            return false;
        };
        let value = cache.pin(item);
        self.bytes.set(self.bytes.get() + value.len());
        self.values.borrow_mut().push(LongValue { at, value });
        true
    }

    /// Bytes of the values.
    #[inline]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Forgets those from a position of the output on.
    pub(crate) fn truncate(&self, at: usize) {
        if self.bytes.get() > 0 {
            let mut values = self.values.borrow_mut();
            values.retain(|value| value.at < at);
            self.bytes
                .set(values.iter().map(|value| value.value.len()).sum());
        }
    }

    /// All of them, which are for the caller now.
    pub(crate) fn take(&self) -> Vec<LongValue> {
        self.bytes.set(0);
        self.values.take()
    }
}

impl LongValue {
    /// What it holds outside of the cache's limit: a copy, where too much is pinned already.
    pub(crate) fn held_bytes(&self) -> usize {
        if self.value.is_pinned() {
            0
        } else {
            self.value.len()
        }
    }
}

/// The next pieces of an output with its values, from byte `from` of the whole on; as many as are handed to a
/// socket at once, and how many those are.
pub(crate) fn pieces<'o>(
    output: &'o [u8],
    values: &'o [LongValue],
    mut from: usize,
) -> ([IoSlice<'o>; PIECES], usize) {
    let mut pieces = [IoSlice::new(b""); PIECES];
    let mut copied = 0;
    let ends = values.iter().map(|value| (value.at, &value.value[..]));
    let parts = ends
        .chain([(output.len(), &b""[..])])
        .flat_map(|(at, value)| {
            let before = output.get(copied..at).unwrap_or_default();
            copied = at;
            [before, value]
        });
    let mut left = parts.filter_map(|part| {
        let skipped = from.min(part.len());
        from -= skipped;
        part.get(skipped..).filter(|rest| !rest.is_empty())
    });
    let mut count = 0;
    for (piece, part) in pieces.iter_mut().zip(&mut left) {
        *piece = IoSlice::new(part);
        count += 1;
    }
    (pieces, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder::Ttl;

    const LONG: usize = VALUE_BYTES_MIN;

    fn whole(output: &[u8], values: &[LongValue], from: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let (pieces, count) = pieces(output, values, from + all.len());
            if count == 0 {
                return all;
            }
            for piece in &pieces[..count] {
                all.extend_from_slice(piece);
            }
        }
    }

    #[test]
    fn pieces_are_the_output_with_its_values_from_any_byte_on() {
        let cache = Cache::with_limit(4 << 20).unwrap();
        let slices = Slices::default();
        let mut output = b"first ".to_vec();
        let mut expected = output.clone();
        for number in 0..50_u8 {
            let value = vec![number; LONG + usize::from(number)];
            cache.set(b"key", &value, Ttl::NEVER).unwrap();
            let added = cache.get_with(b"key", |view| slices.add(&cache, &view, output.len()));
            assert_eq!(added, Some(true));
            expected.extend_from_slice(&value);
            for bytes in [&mut output, &mut expected] {
                bytes.extend_from_slice(&vec![b'.'; usize::from(number % 3)]);
            }
        }
        assert_eq!(slices.bytes() + output.len(), expected.len());
        let values = slices.take();
        assert_eq!(slices.bytes(), 0);
        for from in (0..expected.len()).step_by(65_521).chain([expected.len()]) {
            assert!(whole(&output, &values, from) == expected[from..], "{from}");
        }
        assert!(whole(b"no values", &[], 3) == b"values");
    }

    #[test]
    fn a_value_that_was_replaced_meanwhile_is_not_taken_for_the_one_that_is_shown() {
        let cache = Cache::with_limit(4 << 20).unwrap();
        cache.set(b"key", &[1; LONG], Ttl::NEVER).unwrap();
        let slices = Slices::default();
        let item = cache.get(b"key").unwrap();
        cache.set(b"key", &[2; LONG], Ttl::NEVER).unwrap();
        assert!(!slices.add(&cache, &item.view(), 0));
        assert_eq!((slices.bytes(), slices.take().len()), (0, 0));
    }

    #[test]
    fn a_reply_that_is_taken_back_takes_its_values_along() {
        let cache = Cache::with_limit(4 << 20).unwrap();
        cache.set(b"key", &[1; LONG], Ttl::NEVER).unwrap();
        let slices = Slices::default();
        for at in [10, 20, 30] {
            cache.get_with(b"key", |view| slices.add(&cache, &view, at));
        }
        slices.truncate(20);
        assert_eq!((slices.bytes(), slices.take().len()), (LONG, 1));
    }
}
