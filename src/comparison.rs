//! A comparison: two targets on the same cases, pair by pair.

mod student;

use std::collections::BTreeMap;

/// Error probability of each one-sided bound and of the exact test.
const ALPHA: f64 = 0.05;
/// Pairs below which the mean has no interval, and the exact test decides.
const MEAN_NEEDS: usize = 10;

/// How one case went on one target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// Whether the case passed.
    pub passed: bool,
    /// The share of trials that passed.
    pub share: f64,
    /// Trials.
    pub trials: u32,
}

/// How one case went on both targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// On the base.
    pub base: Side,
    /// On the candidate.
    pub candidate: Side,
    /// Candidate over base, by signal, where both are known and above 0.
    pub ratios: BTreeMap<&'static str, f64>,
}

/// Which question the numbers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// McNemar's exact test: few pairs, or one trial a case.
    McNemar,
    /// The mean difference of pairs with Student's interval.
    MeanDifference,
}

impl Method {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::McNemar => "mcnemar-exact",
            Self::MeanDifference => "mean-difference",
        }
    }
}

/// A mean with its one-sided 95 % bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
    /// Pairs that it rests on.
    pub pairs: usize,
}

/// Two targets compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The target that is compared with.
    pub base: String,
    /// The target that is compared.
    pub candidate: String,
    /// Cases that were decided on both.
    pub pairs: usize,
    /// Cases that ran on both and were not decided on one of them.
    pub left_out: usize,
    /// Cases that pass on the base and fail on the candidate.
    pub newly_failing: u32,
    /// Cases that fail on the base and pass on the candidate.
    pub newly_passing: u32,
    /// What `worse` rests on.
    pub method: Method,
    /// McNemar's exact one-sided p-value of so many new failures.
    pub p: f64,
    /// The share of trials that the candidate loses, above 0 when it is worse; none for fewer than 10 pairs or one trial.
    pub harm: Option<Estimate>,
    /// Whether the candidate is worse beyond chance.
    pub worse: bool,
    /// The smallest harm that so many cases could exclude, even without one failure: `1 - 0.05^(1/n)`.
    pub smallest_excludable: f64,
    /// Geometric mean ratios of candidate over base, by signal, with bounds.
    pub ratios: BTreeMap<&'static str, Estimate>,
}

impl Comparison {
    /// Compares pairs of cases; none without a pair.
    ///
    /// Formulas: McNemar's exact test on discordant pairs, `p = Σ_{j≥b} C(b+c, j) / 2^(b+c)`; the mean of paired
    /// differences with `t_{n-1, 0.95} · s/√n` on each side; the same of the logarithms of ratios.
    pub fn of(base: &str, candidate: &str, pairs: &[Pair], left_out: usize) -> Option<Self> {
        if pairs.is_empty() {
            return None;
        }
        let count = |wanted: (bool, bool)| pairs.iter().filter(|pair| (pair.base.passed, pair.candidate.passed) == wanted).count() as u32;
        let (newly_failing, newly_passing) = (count((true, false)), count((false, true)));
        let harms: Vec<f64> = pairs.iter().map(|pair| pair.base.share - pair.candidate.share).collect();
        let several = pairs.len() >= MEAN_NEEDS && pairs.iter().all(|pair| pair.base.trials.min(pair.candidate.trials) > 1);
        let harm = several.then(|| estimate(&harms)).flatten();
        let p = mcnemar(newly_failing, newly_passing);
        Some(Self {
            base: base.to_string(),
            candidate: candidate.to_string(),
            pairs: pairs.len(),
            left_out,
            newly_failing,
            newly_passing,
            method: if harm.is_some() { Method::MeanDifference } else { Method::McNemar },
            p,
            harm,
            worse: harm.map_or(p <= ALPHA, |harm| harm.low > 0.0),
            smallest_excludable: 1.0 - ALPHA.powf(1.0 / pairs.len() as f64),
            ratios: ratios(pairs),
        })
    }
}

/// The probability of at least so many new failures among the discordant pairs, if each went either way by chance.
fn mcnemar(newly_failing: u32, newly_passing: u32) -> f64 {
    let discordant = newly_failing + newly_passing;
    // ln(C(n, j) / 2^n), from j = n downward: as a logarithm no term vanishes before the larger ones come.
    let mut term = -f64::from(discordant) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for j in (newly_failing..=discordant).rev() {
        sum += term.exp();
        term += (f64::from(j) / f64::from(discordant - j + 1)).ln();
    }
    sum.min(1.0)
}

/// The mean with Student's bounds; none for fewer than two values.
fn estimate(values: &[f64]) -> Option<Estimate> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let half = student::quantile_95(n - 1) * (variance / n as f64).sqrt();
    Some(Estimate { mean, low: mean - half, high: mean + half, pairs: n })
}

fn ratios(pairs: &[Pair]) -> BTreeMap<&'static str, Estimate> {
    let mut logarithms: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for (signal, ratio) in pairs.iter().flat_map(|pair| &pair.ratios) {
        logarithms.entry(signal).or_default().push(ratio.ln());
    }
    let back = |known: Estimate| Estimate { mean: known.mean.exp(), low: known.low.exp(), high: known.high.exp(), ..known };
    logarithms.into_iter().filter_map(|(signal, values)| Some((signal, back(estimate(&values)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(base: f64, candidate: f64, trials: u32) -> Pair {
        let side = |share: f64| Side { passed: share >= 1.0, share, trials };
        Pair { base: side(base), candidate: side(candidate), ratios: BTreeMap::new() }
    }

    #[test]
    fn the_smallest_significant_numbers_of_new_failures_are_those_that_were_published() {
        for (newly_passing, least) in [(0, 5), (1, 7), (2, 9), (3, 10), (4, 12), (5, 13)] {
            let smallest = (0..100).find(|newly_failing| mcnemar(*newly_failing, newly_passing) <= ALPHA);
            assert_eq!(smallest, Some(least), "{newly_passing} newly passing");
        }
    }

    #[test]
    fn four_new_failures_and_no_gain_are_not_significant() {
        let pairs: Vec<Pair> = (0..40).map(|index| pair(1.0, if index < 4 { 0.0 } else { 1.0 }, 1)).collect();
        let comparison = Comparison::of("base", "head", &pairs, 0).expect("pairs");
        assert_eq!((comparison.method, comparison.newly_failing, comparison.worse), (Method::McNemar, 4, false));
        assert_eq!(comparison.p, 0.0625);
    }

    #[test]
    fn an_even_split_is_no_evidence_however_large() {
        assert_eq!(mcnemar(0, 0), 1.0);
        assert!((mcnemar(2000, 2000) - 0.5).abs() < 0.01, "{}", mcnemar(2000, 2000));
        assert!(mcnemar(2200, 1800) < 1e-6);
    }

    #[test]
    fn several_trials_of_ten_cases_have_an_interval() {
        let pairs: Vec<Pair> = (0..10).map(|index| pair(1.0, if index % 2 == 0 { 2.0 / 3.0 } else { 1.0 }, 3)).collect();
        let comparison = Comparison::of("base", "head", &pairs, 0).expect("pairs");
        let harm = comparison.harm.expect("an interval");
        assert_eq!(comparison.method, Method::MeanDifference);
        assert!(comparison.worse, "{harm:?}");
        // Mean 1/6, standard error √(1/36 · 10/9 / 10) = 0.0556, t = 1.8331.
        assert_eq!(
            (format!("{:.4}", harm.mean), format!("{:.4}", harm.low), format!("{:.4}", harm.high)),
            ("0.1667".into(), "0.0648".into(), "0.2685".into())
        );
        assert!(Comparison::of("base", "head", &pairs[1..], 0).is_some_and(|few| few.harm.is_none()));
    }

    #[test]
    fn ratios_are_geometric_means() {
        let pairs: Vec<Pair> =
            [0.5, 2.0].into_iter().map(|ratio| Pair { ratios: BTreeMap::from([("tokens.total", ratio)]), ..pair(1.0, 1.0, 1) }).collect();
        let ratios = Comparison::of("base", "head", &pairs, 0).expect("pairs").ratios;
        assert!((ratios["tokens.total"].mean - 1.0).abs() < 1e-12);
        assert!(ratios["tokens.total"].low < 0.5 && ratios["tokens.total"].high > 2.0);
    }

    #[test]
    fn a_small_suite_says_what_it_cannot_exclude() {
        let of = |n: usize| Comparison::of("base", "head", &vec![pair(1.0, 1.0, 1); n], 0).expect("pairs").smallest_excludable;
        assert!(of(58) > 0.05 && of(59) <= 0.0501 && of(149) <= 0.0201);
    }
}
