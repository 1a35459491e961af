//! The numbers that `incr` and `decr` work on: decimal text, so that any client can read them.

/// What is done to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Adds, wrapping at 2^64.
    Up(u64),
    /// Subtracts, stopping at 0.
    Down(u64),
}

impl Step {
    pub(crate) fn apply(self, number: u64) -> u64 {
        match self {
            Self::Up(delta) => number.wrapping_add(delta),
            Self::Down(delta) => number.saturating_sub(delta),
        }
    }
}

/// The number written in `value`: decimal digits, white space around them allowed (a remote
/// client's counter may be padded); `None` if it is anything else or not below 2^64.
pub(crate) fn parse(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_below_two_to_the_64th() {
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b" 42  "), Some(42));
        assert_eq!(parse(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"  ",
            b"-1",
            b"+1",
            b"1 2",
            b"0x1",
            b"18446744073709551616",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn up_wraps_and_down_stops() {
        assert_eq!(Step::Up(2).apply(u64::MAX), 1);
        assert_eq!(Step::Down(2).apply(1), 0);
    }
}
