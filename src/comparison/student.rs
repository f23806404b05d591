//! Student's t distribution.

use std::f64::consts::FRAC_2_PI;

/// The value that a variable with so many degrees of freedom (at least 1) exceeds 5 times in 100.
pub(super) fn quantile_95(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 7.0);
    // 7 is above the quantile for one degree of freedom, 6.31; 60 halvings leave nothing of it.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if within(middle, freedom) < 0.90 { low = middle } else { high = middle }
    }
    high
}

/// The probability of lying between -t and t: the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    // Each term is the one before it times cos²θ · k/(k+1), two steps of k apart.
    let odd = freedom % 2 == 1;
    let (mut term, mut sum) = if odd { (cosine, 0.0) } else { (1.0, 0.0) };
    let mut k = if odd { 2.0 } else { 1.0 };
    for _ in 0..if odd { freedom.saturating_sub(1) / 2 } else { freedom / 2 } {
        sum += term;
        term *= cosine * cosine * k / (k + 1.0);
        k += 2.0;
    }
    if odd { FRAC_2_PI * (angle + sine * sum) } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_those_of_the_tables() {
        for (freedom, expected) in
            [(1, "6.314"), (2, "2.920"), (3, "2.353"), (4, "2.132"), (9, "1.833"), (10, "1.812"), (30, "1.697"), (120, "1.658")]
        {
            assert_eq!(format!("{:.3}", quantile_95(freedom)), expected, "{freedom} degrees of freedom");
        }
    }

    #[test]
    fn one_degree_of_freedom_is_cauchy() {
        assert!((within(1.0, 1) - 0.5).abs() < 1e-12);
    }
}
