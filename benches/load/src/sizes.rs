//! How long values are: a distribution, sampled once a key.
//!
//! The length belongs to the key, not to the request: a key that is stored again has the same
//! length, as it mostly has in real caches, and whoever reads it can check it. So a distribution
//! here is a function of a number in `0.0..1.0`, which the caller makes from the key.

use std::fmt;
use std::str::FromStr;

/// The longest value that can be asked for.
pub const VALUE_BYTES_MAX: usize = 1 << 30;

/// A distribution of value lengths.
#[derive(Clone, Debug, PartialEq)]
pub enum Sizes {
    /// All alike.
    Fixed(usize),
    /// Uniform from the first to the second, both included.
    Range(usize, usize),
    /// Lengths, each with the share of the keys that have it or one before it.
    Weights(Vec<(f64, usize)>),
    /// The generalised Pareto distribution fitted to the ETC pool of Facebook (Atikoglu and others,
    /// SIGMETRICS 2012), which other load generators use too; cut at 1 MiB less 1 KiB.
    Etc,
}

/// The fit of the ETC pool: scale and shape.
const ETC_SCALE: f64 = 214.476;
const ETC_SHAPE: f64 = 0.348_238;
/// Fits into the 1 MiB item that servers take by default.
const ETC_BYTES_MAX: f64 = (1023 << 10) as f64;

impl Sizes {
    /// The length at `at`, which is in `0.0..1.0`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float within usize: at most VALUE_BYTES_MAX"
    )]
    pub fn bytes_at(&self, at: f64) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Range(least, most) => {
                let span = (most - least + 1) as f64;
                (least + (at * span) as usize).min(*most)
            }
            Self::Weights(steps) => {
                let step = steps.partition_point(|&(upto, _)| upto <= at);
                steps[step.min(steps.len() - 1)].1
            }
            Self::Etc => {
                let bytes = ETC_SCALE * ((1.0 - at).powf(-ETC_SHAPE) - 1.0) / ETC_SHAPE;
                bytes.clamp(1.0, ETC_BYTES_MAX) as usize
            }
        }
    }

    /// The longest value that it can give.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        match self {
            Self::Weights(steps) => steps.iter().map(|&(_, bytes)| bytes).max().unwrap_or(0),
            _ => self.bytes_at(1.0),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "{bytes}"),
            Self::Range(least, most) => write!(f, "{least}-{most}"),
            Self::Weights(steps) => {
                let mut before = 0.0;
                for (place, &(upto, bytes)) in steps.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma}{bytes}:{:.4}", upto - before)?;
                    before = upto;
                }
                Ok(())
            }
            Self::Etc => f.write_str("etc"),
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "etc" {
            return Ok(Self::Etc);
        }
        if text.contains(':') {
            return weights(text);
        }
        if let Some((least, most)) = text.split_once('-') {
            let (least, most) = (bytes(least)?, bytes(most)?);
            if least > most {
                return Err(format!("{least} is more than {most}"));
            }
            return Ok(Self::Range(least, most));
        }
        bytes(text).map(Self::Fixed)
    }
}

fn weights(text: &str) -> Result<Sizes, String> {
    let mut parts = Vec::new();
    for part in text.split(',') {
        let (size, weight) = part
            .split_once(':')
            .ok_or_else(|| format!("`{part}` is not BYTES:WEIGHT"))?;
        let weight: f64 = weight
            .parse()
            .ok()
            .filter(|weight: &f64| weight.is_finite() && *weight > 0.0)
            .ok_or_else(|| format!("the weight in `{part}` is not a number above 0"))?;
        parts.push((weight, bytes(size)?));
    }
    let total: f64 = parts.iter().map(|&(weight, _)| weight).sum();
    let mut upto = 0.0;
    for part in &mut parts {
        upto += part.0 / total;
        part.0 = upto;
    }
    Ok(Sizes::Weights(parts))
}

/// A length: a number, with `k` or `m` behind it for KiB and MiB.
fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|&bytes| bytes <= VALUE_BYTES_MAX)
        .ok_or_else(|| format!("`{text}` is not a number of bytes up to {VALUE_BYTES_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths at `count` evenly spread places.
    fn sample(text: &str, count: u32) -> Vec<usize> {
        let sizes: Sizes = text.parse().unwrap();
        (0..count)
            .map(|step| sizes.bytes_at((f64::from(step) + 0.5) / f64::from(count)))
            .collect()
    }

    #[test]
    fn a_number_is_every_length() {
        assert_eq!(sample("16k", 3), [16 << 10; 3]);
        assert_eq!(sample("0", 1), [0]);
    }

    #[test]
    fn a_range_is_uniform_and_has_both_ends() {
        let mut counts = [0; 5];
        for bytes in sample("3-7", 1000) {
            counts[bytes - 3] += 1;
        }
        assert_eq!(counts, [200; 5]);
    }

    #[test]
    fn weights_are_shares() {
        let lengths = sample("10:7,1k:2,16k:1", 1000);
        let of = |bytes| lengths.iter().filter(|&&length| length == bytes).count();
        assert_eq!((of(10), of(1024), of(16384)), (700, 200, 100));
    }

    #[test]
    fn etc_has_the_published_median_and_tail() {
        let mut lengths = sample("etc", 100_000);
        lengths.sort_unstable();
        // The quantiles of the distribution, from its closed form by hand.
        assert!(
            (167..=169).contains(&lengths[50_000]),
            "{}",
            lengths[50_000]
        );
        assert!(
            (2440..=2460).contains(&lengths[99_000]),
            "{}",
            lengths[99_000]
        );
        let sizes = Sizes::Etc;
        assert_eq!(sizes.bytes_at(0.0), 1);
        assert_eq!(sizes.bytes_max(), 1023 << 10);
    }

    #[test]
    fn what_is_written_of_a_distribution_reads_as_it() {
        for text in ["16384", "3-7", "10:0.7000,1024:0.2000,5:0.1000", "etc"] {
            let sizes: Sizes = text.parse().unwrap();
            assert_eq!(sizes.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_length_is_told() {
        for text in [
            "", "x", "5-", "9-3", "10:0", "10:x", "1:1,2", "2g", "1025m", "-1",
        ] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }
}
