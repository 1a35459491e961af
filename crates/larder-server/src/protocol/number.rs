//! Numbers as memcached reads them: two families of parsers whose differences are visible.
//!
//! *Strict* numbers are digits only, with a bound on their length. *Loose* ones are what the C
//! library's `strtoull` and `strtoll` take: leading white space, a sign, white space behind.

/// Digits of a strict 32-bit and 64-bit number, leading zeros and a sign included.
const STRICT_32_CHARS_MAX: usize = 11;
const STRICT_64_CHARS_MAX: usize = 22;

/// A strict unsigned 32-bit number.
pub(crate) fn strict_u32(token: &[u8]) -> Option<u32> {
    bounded(token, STRICT_32_CHARS_MAX)
        .and_then(digits)
        .and_then(|n| u32::try_from(n).ok())
}

/// A strict unsigned 64-bit number.
pub(crate) fn strict_u64(token: &[u8]) -> Option<u64> {
    bounded(token, STRICT_64_CHARS_MAX).and_then(digits)
}

/// A strict signed 32-bit number: one leading `-` allowed, and a lone `-` reads as 0.
pub(crate) fn strict_i32(token: &[u8]) -> Option<i32> {
    i32::try_from(signed(bounded(token, STRICT_32_CHARS_MAX)?)?).ok()
}

/// A strict signed 64-bit number.
pub(crate) fn strict_i64(token: &[u8]) -> Option<i64> {
    signed(bounded(token, STRICT_64_CHARS_MAX)?)
}

fn signed(token: &[u8]) -> Option<i64> {
    match token.split_first() {
        Some((b'-', [])) => Some(0),
        Some((b'-', rest)) => 0_i64.checked_sub_unsigned(digits(rest)?),
        _ => i64::try_from(digits(token)?).ok(),
    }
}

/// Client flags: a loose 64-bit number cut to 32 bits.
pub(crate) fn loose_flags(token: &[u8]) -> Option<u32> {
    loose_u64(token).map(low_32)
}

/// The exptime of a storage command: a loose signed 64-bit number cut to 32 bits.
pub(crate) fn loose_exptime(token: &[u8]) -> Option<i32> {
    let (negative, magnitude) = loose(token)?;
    let number = if negative {
        0_i64.checked_sub_unsigned(magnitude)?
    } else {
        i64::try_from(magnitude).ok()?
    };
    Some(low_32(number.cast_unsigned()).cast_signed())
}

/// The number that a counter's value holds, up to the first white space behind its digits.
pub(crate) fn counter(value: &[u8]) -> Option<u64> {
    loose_u64(value)
}

/// A loose unsigned number. A minus sign wraps, as in the C library, but what wraps into the upper
/// half is refused.
fn loose_u64(text: &[u8]) -> Option<u64> {
    let (negative, magnitude) = loose(text)?;
    if !negative {
        return Some(magnitude);
    }
    let wrapped = magnitude.wrapping_neg();
    (wrapped.cast_signed() >= 0).then_some(wrapped)
}

/// Sign and magnitude: white space, a sign, digits, then white space or the end, which for C is a NUL
/// as well.
fn loose(text: &[u8]) -> Option<(bool, u64)> {
    let start = text.iter().position(|&byte| !is_space(byte))?;
    let text = text.get(start..)?;
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    if rest
        .first()
        .is_some_and(|&byte| byte != 0 && !is_space(byte))
    {
        return None;
    }
    Some((negative, digits(number)?))
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn bounded(token: &[u8], chars_max: usize) -> Option<&[u8]> {
    (token.len() <= chars_max).then_some(token)
}

/// What C's `isspace` says of a byte.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "memcached keeps the low 32 bits"
)]
fn low_32(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_numbers_are_digits_of_bounded_length() {
        assert_eq!(strict_u32(b"00000000002"), Some(2));
        assert_eq!(strict_u32(b"4294967295"), Some(u32::MAX));
        for bad in [
            &b""[..],
            b"+2",
            b"-1",
            b"2x",
            b" 2",
            b"4294967296",
            b"000000000002",
        ] {
            assert_eq!(strict_u32(bad), None, "{bad:?}");
        }
        assert_eq!(strict_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(strict_u64(b"0000000000000000000001"), Some(1));
        assert_eq!(strict_u64(b"00000000000000000000001"), None);
        assert_eq!(strict_u64(b"18446744073709551616"), None);
    }

    #[test]
    fn strict_signed_numbers_take_one_minus() {
        assert_eq!(strict_i32(b"-"), Some(0));
        assert_eq!(strict_i32(b"-0000000001"), Some(-1));
        assert_eq!(strict_i32(b"-2147483648"), Some(i32::MIN));
        assert_eq!(strict_i32(b"2147483647"), Some(i32::MAX));
        for bad in [
            &b""[..],
            b"--1",
            b"+1",
            b"2147483648",
            b"5000000000",
            b"-00000000001",
        ] {
            assert_eq!(strict_i32(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn strict_signed_64_bit_numbers() {
        assert_eq!(strict_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(strict_i64(b"9223372036854775807"), Some(i64::MAX));
        for bad in [
            &b""[..],
            b"--1",
            b"9223372036854775808",
            b"-9223372036854775809",
        ] {
            assert_eq!(strict_i64(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn loose_numbers_are_the_c_librarys() {
        assert_eq!(loose_flags(b"4294967301"), Some(5));
        assert_eq!(loose_flags(b"+5"), Some(5));
        assert_eq!(loose_flags(b"5\tx"), Some(5));
        assert_eq!(loose_flags(b"-18446744073709551615"), Some(1));
        for bad in [
            &b""[..],
            b"-1",
            b"x",
            b"5x",
            b"18446744073709551616",
            b"+",
            b"-",
        ] {
            assert_eq!(loose_flags(bad), None, "{bad:?}");
        }
        assert_eq!(loose_exptime(b"4294967297"), Some(1));
        assert_eq!(loose_exptime(b"-1"), Some(-1));
        assert_eq!(loose_exptime(b"+100"), Some(100));
        assert_eq!(loose_exptime(b"99999999999999999999"), None);
    }

    #[test]
    fn counters_end_at_white_space() {
        for (value, number) in [
            (&b" 12"[..], Some(12)),
            (b"+12 ", Some(12)),
            (b"1\n2", Some(1)),
            (b"1\x002", Some(1)),
            (b"\x001", None),
            (b"00000000000000000000000012", Some(12)),
            (b"-0", Some(0)),
            (b"", None),
            (b"   ", None),
            (b"12a", None),
            (b"-1", None),
            (b"18446744073709551616 ", None),
        ] {
            assert_eq!(counter(value), number, "{value:?}");
        }
    }
}
