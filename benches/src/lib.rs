//! What the benchmarks share: keys, values and the order in which they are asked for.

use larder::{Cache, Ttl};

/// Keys of 20 bytes, numbered.
#[must_use]
pub fn key(number: u64) -> [u8; 20] {
    let mut key = *b"key:0000000000000000";
    let mut rest = number;
    for digit in key.iter_mut().rev().take(16) {
        *digit = b"0123456789"[usize::try_from(rest % 10).unwrap_or_default()];
        rest /= 10;
    }
    key
}

/// A cache that holds items 0 to `items`, each with a value of `value_bytes`.
///
/// # Panics
/// If they do not fit.
#[must_use]
pub fn filled(items: u64, value_bytes: usize) -> Cache {
    let item_bytes = value_bytes + 128;
    let limit = usize::try_from(items).expect("fits memory") * item_bytes + (64 << 20);
    let cache = Cache::with_limit(limit).expect("a legal limit");
    let value = vec![b'v'; value_bytes];
    for number in 0..items {
        cache
            .set(&key(number), &value, Ttl::NEVER)
            .expect("within the limit");
    }
    assert_eq!(cache.stats().evictions, 0, "all of them fit");
    cache
}

/// A deterministic sequence of numbers below a bound: uniform, or zipf with exponent 0.99.
#[derive(Clone, Debug)]
pub struct Keys {
    numbers: Vec<u64>,
    position: usize,
}

/// Numbers drawn in advance, so that drawing is no part of what is measured.
const DRAWN: usize = 1 << 20;

impl Keys {
    /// Every number below `bound` with the same chance.
    #[must_use]
    pub fn uniform(bound: u64) -> Self {
        let mut random = Random(1);
        Self {
            numbers: (0..DRAWN).map(|_| random.next() % bound).collect(),
            position: 0,
        }
    }

    /// Number n below `bound` with a chance that falls as 1 / (n + 1)^0.99, spread over the range.
    #[must_use]
    pub fn zipf(bound: u64) -> Self {
        let mut sums = Vec::new();
        let mut sum = 0.0;
        for number in 0..bound {
            sum += ((number + 1) as f64).powf(-0.99);
            sums.push(sum);
        }
        let mut random = Random(1);
        let numbers = (0..DRAWN).map(|_| {
            let at = (random.next() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
            let rank = sums.partition_point(|&sum| sum < at) as u64;
            // Popular keys are not neighbours in memory.
            rank.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bound
        });
        Self {
            numbers: numbers.collect(),
            position: 0,
        }
    }

    /// The next number; the sequence repeats after a million.
    pub fn next_number(&mut self) -> u64 {
        self.position = (self.position + 1) % self.numbers.len();
        self.numbers[self.position]
    }
}

/// Marsaglia's xorshift.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
