//! The table of size classes: 8 a doubling up to 2 KiB, 4 above.

/// Sizes below this have a class each.
const LINEAR_MAX: u32 = 16;
/// Up to here a doubling has 8 classes, above it 4.
const FINE_MAX_LOG: u32 = 11;

/// How many classes there are for sizes below 2^31.
pub const CLASS_COUNT: usize = 136;

/// The class of a size: the least whose [`class_bytes`] holds it.
pub fn class_of(size: u32) -> usize {
    if size <= LINEAR_MAX {
        return size as usize;
    }
    let below = size - 1;
    let log = below.ilog2();
    let steps_log = if log < FINE_MAX_LOG { 3 } else { 2 };
    let step = (below >> (log - steps_log)) & ((1 << steps_log) - 1);
    let first = if log < FINE_MAX_LOG {
        LINEAR_MAX + (log - 4) * 8
    } else {
        LINEAR_MAX + 7 * 8 + (log - FINE_MAX_LOG) * 4
    };
    (first + step + 1) as usize
}

/// The largest size that fits a class.
pub fn class_bytes(class: usize) -> u32 {
    let class = class as u32;
    if class <= LINEAR_MAX {
        return class;
    }
    let nth = class - LINEAR_MAX - 1;
    let (log, step, steps_log) = if nth < 7 * 8 {
        (4 + nth / 8, nth % 8, 3)
    } else {
        let nth = nth - 7 * 8;
        (FINE_MAX_LOG + nth / 4, nth % 4, 2)
    };
    (1 << log) + ((step + 1) << (log - steps_log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_sizes_and_no_larger() {
        for size in 1..200_000 {
            let class = class_of(size);
            assert!(class < CLASS_COUNT);
            assert!(class_bytes(class) >= size, "{size}");
            assert!(class == 0 || class_bytes(class - 1) < size, "{size}");
        }
        assert_eq!(class_bytes(class_of(2048)), 2048);
        assert_eq!(class_bytes(class_of(2049)), 2560);
    }
}
