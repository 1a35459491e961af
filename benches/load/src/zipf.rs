//! Ranks by Zipf's law: rank `r` of `1..=count` is drawn with a probability proportional to
//! `r^-exponent`.
//!
//! Rejection-inversion (Hoermann and Derflinger, "Rejection-inversion to generate variates from
//! monotone discrete distributions", 1996): no table, any exponent from 0, and about one draw in a
//! hundred is rejected. Ranks are drawn, not keys: who wants the popular keys apart scatters them.

/// The distribution; drawing does not change it.
#[derive(Clone, Debug)]
pub struct Zipf {
    exponent: f64,
    count: f64,
    /// The integral of the hat at the left end of rank 1, without the part that is taken for sure.
    area_first: f64,
    /// The integral of the hat at the right end of the last rank.
    area_last: f64,
    /// How far below its place a draw is taken without a look at the exact probability.
    shortcut: f64,
}

impl Zipf {
    /// Ranks `1..=count`; an `exponent` of 0 is uniform.
    ///
    /// # Panics
    /// If `count` is 0 or `exponent` is negative or not finite: the flags are checked before.
    #[must_use]
    pub fn new(count: u64, exponent: f64) -> Self {
        assert!(count > 0 && exponent >= 0.0 && exponent.is_finite());
        let count = count as f64;
        Self {
            exponent,
            count,
            area_first: integral(1.5, exponent) - 1.0,
            area_last: integral(count + 0.5, exponent),
            shortcut: 2.0 - inverse(integral(2.5, exponent) - 2f64.powf(-exponent), exponent),
        }
    }

    /// A rank.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the ranks"
    )]
    pub fn rank(&self, random: &mut fastrand::Rng) -> u64 {
        loop {
            let area = self.area_last + random.f64() * (self.area_first - self.area_last);
            let place = inverse(area, self.exponent);
            let rank = (place + 0.5).floor().clamp(1.0, self.count);
            if rank - place <= self.shortcut
                || area >= integral(rank + 0.5, self.exponent) - rank.powf(-self.exponent)
            {
                return rank as u64;
            }
        }
    }
}

/// The integral of `x^-exponent`, up to a constant: `(x^(1-e) - 1) / (1-e)`, and `ln x` at 1.
fn integral(x: f64, exponent: f64) -> f64 {
    let log = x.ln();
    log * exp_minus_one_over((1.0 - exponent) * log)
}

/// The inverse of [`integral`].
fn inverse(area: f64, exponent: f64) -> f64 {
    let scaled = (area * (1.0 - exponent)).max(-1.0);
    (area * log_one_plus_over(scaled)).exp()
}

/// `(e^x - 1) / x`, also where `x` is so small that the quotient is lost.
fn exp_minus_one_over(x: f64) -> f64 {
    if x.abs() > 1e-8 {
        x.exp_m1() / x
    } else {
        1.0 + x / 2.0
    }
}

/// `ln(1 + x) / x`, also where `x` is small.
fn log_one_plus_over(x: f64) -> f64 {
    if x.abs() > 1e-8 {
        x.ln_1p() / x
    } else {
        1.0 - x / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain version: probabilities by the definition.
    fn exact(count: u32, exponent: f64) -> Vec<f64> {
        let weights: Vec<f64> = (1..=count).map(|r| f64::from(r).powf(-exponent)).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    #[test]
    fn ranks_come_as_often_as_the_law_says() {
        for exponent in [0.0, 0.5, 0.99, 1.0, 1.3, 2.0] {
            let (count, draws) = (20, 400_000);
            let zipf = Zipf::new(u64::from(count), exponent);
            let mut random = fastrand::Rng::with_seed(7);
            let mut seen = vec![0u32; count as usize];
            for _ in 0..draws {
                let rank = zipf.rank(&mut random);
                seen[usize::try_from(rank).unwrap() - 1] += 1;
            }
            for (rank, probability) in exact(count, exponent).iter().enumerate() {
                let share = f64::from(seen[rank]) / f64::from(draws);
                // Five standard deviations of a share of that many draws.
                let slack = 5.0 * (probability * (1.0 - probability) / f64::from(draws)).sqrt();
                assert!(
                    (share - probability).abs() <= slack,
                    "exponent {exponent} rank {rank}: {share} instead of {probability}"
                );
            }
        }
    }

    #[test]
    fn ranks_stay_within_the_count() {
        for (count, exponent) in [(1, 0.99), (2, 5.0), (3, 0.0), (u64::from(u32::MAX), 0.8)] {
            let zipf = Zipf::new(count, exponent);
            let mut random = fastrand::Rng::with_seed(1);
            for _ in 0..10_000 {
                assert!((1..=count).contains(&zipf.rank(&mut random)));
            }
        }
    }
}
