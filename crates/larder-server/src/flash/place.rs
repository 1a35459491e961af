//! Where a value is: in which page, as which of the pages that have had that number, and how long.

use larder::{ItemView, Locator};

use super::record;

/// Where a value is. Bytes of a locator, for the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of the page, when the value was written: another version has other values. Never 0.
    pub(crate) version: u32,
    pub(crate) page: u16,
    /// Of the record in the page, in bytes.
    pub(crate) offset: u32,
    pub(crate) value_bytes: u32,
    pub(crate) key_bytes: u8,
}

impl Place {
    pub(crate) fn to_locator(self) -> Locator {
        let mut bytes = [0; larder::LOCATOR_BYTES];
        let (version, rest) = bytes.split_at_mut(4);
        let (offset, rest) = rest.split_at_mut(4);
        let (value_bytes, rest) = rest.split_at_mut(4);
        let (page, key_bytes) = rest.split_at_mut(2);
        let (key_bytes, _) = key_bytes.split_at_mut(1);
        version.copy_from_slice(&self.version.to_le_bytes());
        offset.copy_from_slice(&self.offset.to_le_bytes());
        value_bytes.copy_from_slice(&self.value_bytes.to_le_bytes());
        page.copy_from_slice(&self.page.to_le_bytes());
        key_bytes.copy_from_slice(&[self.key_bytes]);
        Locator(bytes)
    }

    pub(crate) const fn of(locator: Locator) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, key_bytes, _] = locator.0;
        Self {
            version: u32::from_le_bytes([a, b, c, d]),
            offset: u32::from_le_bytes([e, f, g, h]),
            value_bytes: u32::from_le_bytes([i, j, k, l]),
            page: u16::from_le_bytes([m, n]),
            key_bytes,
        }
    }

    /// Bytes of the record.
    pub(super) const fn record_bytes(&self) -> usize {
        record::bytes_of(self.key_bytes as usize, self.value_bytes as usize)
    }

    /// Where the value of an item is, if it is not in the cache.
    #[inline]
    pub(crate) fn of_item(view: &ItemView<'_>) -> Option<Self> {
        view.locator().map(Self::of)
    }
}

/// Length of an item's value, wherever it is.
#[inline]
pub(crate) fn value_bytes(view: &ItemView<'_>) -> usize {
    match Place::of_item(view) {
        Some(place) => place.value_bytes as usize,
        None => view.value().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_its_locator_says() {
        for number in [0, 1, 77, u16::MAX] {
            let place = Place {
                version: u32::from(number) << 16 | 5,
                page: number,
                offset: !u32::from(number),
                value_bytes: u32::from(number) * 1000,
                key_bytes: number.to_le_bytes()[0],
            };
            assert_eq!(Place::of(place.to_locator()), place);
        }
    }
}
