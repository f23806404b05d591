//! A comparison: two targets on the same cases, pair by pair.

mod bootstrap;
mod student;

use std::collections::BTreeMap;

/// Error probability of each one-sided bound and of the exact test.
const ALPHA: f64 = 0.05;
/// A ratio up to which more latency, at the mean, and more tokens are tolerated.
const MARGIN: f64 = 1.1;
/// The same of what varies more: cost, and the latency of the slowest.
const WIDE_MARGIN: f64 = 1.2;
/// The signal whose tail is compared, and the name of that.
const TAIL: (&str, &str) = ("latency.model", "latency.model.p95");
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
    /// What was measured on base and candidate, by signal, where both are known and above 0.
    pub measured: BTreeMap<&'static str, (f64, f64)>,
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

/// How a ratio stands to the margin up to which a change is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// The upper bound is below the margin: no worse.
    Within,
    /// The lower bound is above the margin: worse.
    Beyond,
    /// The margin lies between the bounds: more cases would tell.
    Open,
}

impl Tolerance {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Beyond => "beyond",
            Self::Open => "open",
        }
    }
}

/// A ratio of candidate over base, with its margin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The ratio with its bounds.
    pub estimate: Estimate,
    /// The ratio from which a change counts as worse.
    pub margin: f64,
}

impl Ratio {
    /// How it stands to its margin.
    pub fn tolerance(&self) -> Tolerance {
        let Estimate { low, high, .. } = self.estimate;
        match (high < self.margin, low > self.margin) {
            (true, _) => Tolerance::Within,
            (_, true) => Tolerance::Beyond,
            _ => Tolerance::Open,
        }
    }
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
    /// Geometric mean ratios of candidate over base, by signal; and, of the latency, the ratio of the 95th percentiles.
    pub ratios: BTreeMap<&'static str, Ratio>,
}

impl Comparison {
    /// Compares pairs of cases; none without a pair.
    ///
    /// Formulas: McNemar's exact test on discordant pairs, `p = Σ_{j≥b} C(b+c, j) / 2^(b+c)`; the mean of paired
    /// differences with `t_{n-1, 0.95} · s/√n` on each side; the same of the logarithms of ratios; a bootstrap of the pairs
    /// for the 95th percentile.
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

fn ratios(pairs: &[Pair]) -> BTreeMap<&'static str, Ratio> {
    let mut measured: BTreeMap<&'static str, Vec<(f64, f64)>> = BTreeMap::new();
    for (signal, values) in pairs.iter().flat_map(|pair| &pair.measured) {
        measured.entry(signal).or_default().push(*values);
    }
    let tail = measured.get(TAIL.0).and_then(|values| Some((TAIL.1, bootstrap::tail_ratio(values)?)));
    let means = measured.into_iter().filter_map(|(signal, values)| Some((signal, mean_ratio(&values)?)));
    means.chain(tail).map(|(signal, estimate)| (signal, Ratio { estimate, margin: margin(signal) })).collect()
}

fn mean_ratio(values: &[(f64, f64)]) -> Option<Estimate> {
    let logarithms: Vec<f64> = values.iter().map(|(base, candidate)| (candidate / base).ln()).collect();
    let Estimate { mean, low, high, pairs } = estimate(&logarithms)?;
    Some(Estimate { mean: mean.exp(), low: low.exp(), high: high.exp(), pairs })
}

fn margin(signal: &str) -> f64 {
    if signal == "cost.usd" || signal == TAIL.1 { WIDE_MARGIN } else { MARGIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(base: f64, candidate: f64, trials: u32) -> Pair {
        let side = |share: f64| Side { passed: share >= 1.0, share, trials };
        Pair { base: side(base), candidate: side(candidate), measured: BTreeMap::new() }
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

    fn measured(signal: &'static str, base: f64, candidate: f64) -> Pair {
        Pair { measured: BTreeMap::from([(signal, (base, candidate))]), ..pair(1.0, 1.0, 1) }
    }

    #[test]
    fn ratios_are_geometric_means() {
        let pairs = [measured("tokens.output", 4.0, 2.0), measured("tokens.output", 4.0, 8.0)];
        let ratio = Comparison::of("base", "head", &pairs, 0).expect("pairs").ratios["tokens.output"];
        assert!((ratio.estimate.mean - 1.0).abs() < 1e-12);
        assert!(ratio.estimate.low < 0.5 && ratio.estimate.high > 2.0 && ratio.tolerance() == Tolerance::Open);
    }

    #[test]
    fn a_ratio_is_held_against_the_margin_of_its_signal() {
        let tolerance = |signal: &'static str, factor: f64| {
            let pairs: Vec<Pair> = (1..=30).map(|index| measured(signal, f64::from(index), f64::from(index) * factor)).collect();
            let ratios = Comparison::of("base", "head", &pairs, 0).expect("pairs").ratios;
            ratios.iter().map(|(name, ratio)| (*name, ratio.margin, ratio.tolerance())).collect::<Vec<_>>()
        };
        assert_eq!(tolerance("cost.usd", 1.15), [("cost.usd", 1.2, Tolerance::Within)]);
        assert_eq!(tolerance("tokens.input", 1.15), [("tokens.input", 1.1, Tolerance::Beyond)]);
        let latency = [("latency.model", 1.1, Tolerance::Beyond), ("latency.model.p95", 1.2, Tolerance::Within)];
        assert_eq!(tolerance("latency.model", 1.15), latency);
    }

    #[test]
    fn a_small_suite_says_what_it_cannot_exclude() {
        let of = |n: usize| Comparison::of("base", "head", &vec![pair(1.0, 1.0, 1); n], 0).expect("pairs").smallest_excludable;
        assert!(of(58) > 0.05 && of(59) <= 0.0501 && of(149) <= 0.0201);
    }
}
