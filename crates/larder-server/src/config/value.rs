//! Values of flags: numbers with units, each refused with what was expected.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What is wrong with a value, without the flag's name: the caller adds it.
pub(super) type Refused = String;

/// A number within `range`.
pub(super) fn number<T>(text: &str, range: RangeInclusive<T>) -> Result<T, Refused>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        format!(
            "takes a number from {} to {}, not {text:?}",
            range.start(),
            range.end()
        )
    })
}

/// A finite number for which `holds`, with words for what it is to be.
pub(super) fn float(
    text: &str,
    expected: &str,
    holds: impl FnOnce(f64) -> bool,
) -> Result<f64, Refused> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number
        .filter(|&number| holds(number))
        .ok_or_else(|| format!("takes a number {expected}, not {text:?}"))
}

/// Mebibytes: a number, with `m` or `g` behind it if wanted.
pub(super) fn mebibytes(text: &str, mebibytes_max: usize) -> Result<usize, Refused> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'm' | b'M') => (text.get(..text.len() - 1), 1),
        Some(b'g' | b'G') => (text.get(..text.len() - 1), 1024),
        _ => (Some(text), 1),
    };
    let number = digits.and_then(|digits| digits.parse::<usize>().ok());
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|number| (1..=mebibytes_max).contains(number))
        .ok_or_else(|| {
            format!("takes megabytes from 1 to {mebibytes_max} (or with m or g), not {text:?}")
        })
}

/// Bytes: a number, with `k`, `m` or `g` behind it if wanted.
pub(super) fn bytes(text: &str, range: RangeInclusive<usize>) -> Result<usize, Refused> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1), 1 << 10),
        Some(b'm' | b'M') => (text.get(..text.len() - 1), 1 << 20),
        Some(b'g' | b'G') => (text.get(..text.len() - 1), 1 << 30),
        _ => (Some(text), 1),
    };
    let number = digits.and_then(|digits| digits.parse::<usize>().ok());
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            format!("takes bytes from {least} to {most} (or with k, m or g), not {text:?}")
        })
}

/// A port: `None` for 0, which means none, and `Some(0)` for -1, which lets the system choose.
pub(super) fn port(text: &str) -> Result<Option<u16>, Refused> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(Some(0)),
        Ok(0) => Ok(None),
        Ok(port @ 1..=65535) => Ok(Some(u16::try_from(port).expect("the arm's range"))),
        _ => Err(format!(
            "takes a port from 1 to 65535, 0 for none or -1 for any, not {text:?}"
        )),
    }
}

/// File permissions, in octal.
pub(super) fn mode(text: &str) -> Result<u32, Refused> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("takes permissions in octal, as 0755, not {text:?}"))
}

/// Ascending chunk sizes, as `-o slab_sizes` lists them.
pub(super) fn slab_sizes(text: &str) -> Result<(), Refused> {
    const SIZES_MAX: usize = 62;
    let mut last = 0;
    let mut count = 0;
    for size in text.split('-') {
        let bytes: usize = number(size, 1..=1 << 20)?;
        if count > 0 && bytes < last + 9 {
            return Err(format!(
                "takes ascending sizes at least 9 bytes apart, not {text:?}"
            ));
        }
        last = bytes;
        count += 1;
    }
    if count > SIZES_MAX {
        return Err(format!("takes at most {SIZES_MAX} sizes, not {count}"));
    }
    Ok(())
}
