//! What is shown of a run: tables for people, JSON for programs, a picture of latencies.

pub mod json;
pub mod plot;
pub mod table;

use hdrhistogram::{Counter, Histogram};

/// The percentiles of reports, as quantiles.
pub const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

/// A latency in microseconds; none where nothing was measured.
#[must_use]
pub fn micros<C: Counter>(latency: &Histogram<C>, quantile: f64) -> Option<f64> {
    (!latency.is_empty()).then(|| latency.value_at_quantile(quantile) as f64 / 1e3)
}

/// A whole number with its thousands apart.
#[must_use]
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of microseconds, with as many digits as say something.
#[must_use]
pub fn short(micros: f64) -> String {
    match micros {
        _ if micros >= 1000.0 => grouped(micros),
        _ if micros >= 100.0 => format!("{micros:.0}"),
        _ if micros >= 10.0 => format!("{micros:.1}"),
        _ => format!("{micros:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(grouped(0.0), "0");
        assert_eq!(grouped(999.4), "999");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(short(0.1234), "0.12");
        assert_eq!(short(12.34), "12.3");
        assert_eq!(short(123.4), "123");
        assert_eq!(short(12_345.6), "12,346");
    }
}
