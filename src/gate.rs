//! A gate: how many trials of a test must hold, and when enough of them are known.

use serde_json::{Value, json};

/// The probability of blocking a suite in which every `rate` test holds as often as it should.
const ALPHA: f64 = 0.05;
/// The probability of passing a test that holds far too seldom, while there are trials enough.
const BETA: f64 = 0.10;
/// The odds of the wanted rate over those of the refused one: 0.95 against 0.70.
const ODDS_RATIO: f64 = (0.95 / 0.05) / (0.70 / 0.30);

/// How many trials of a test must hold.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Gate {
    /// Every one.
    #[default]
    Every,
    /// This share of them, above 0 and below 1, judged by a sequential test.
    Rate(f64),
}

impl Gate {
    /// The form in a compiled case: `"every"`, or `{"rate": 0.95}`.
    pub fn to_json(self) -> Value {
        match self {
            Self::Every => "every".into(),
            Self::Rate(rate) => json!({ "rate": rate }),
        }
    }

    /// Reads the form of a compiled case; none for anything that this version did not write.
    pub fn from_json(value: &Value) -> Option<Self> {
        if value.as_str() == Some("every") {
            return Some(Self::Every);
        }
        value.get("rate").and_then(Value::as_f64).filter(|rate| *rate > 0.0 && *rate < 1.0).map(Self::Rate)
    }
}

/// How many trials were run, and in how many the test held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Trials that were decided.
    pub trials: u32,
    /// Those in which the test held.
    pub held: u32,
}

impl Tally {
    /// One more trial.
    pub fn add(&mut self, held: bool) {
        self.trials += 1;
        self.held += u32::from(held);
    }

    /// Trials in which the test failed.
    pub fn failed(self) -> u32 {
        self.trials - self.held
    }
}

/// What the trials so far say of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Another trial is needed.
    Open,
    /// It holds often enough.
    Holds,
    /// It holds too seldom.
    Fails,
    /// The trials are used up, and the evidence is against it without being strong.
    Suspect,
}

/// A gate with its numbers: what decides after each trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// All of so many trials must hold.
    Every(u32),
    /// One of so many must hold: of measured times the shortest counts, because a busy machine only adds to them.
    Once(u32),
    /// A sequential test.
    Rate(Sequential),
}

impl Rule {
    /// The rule of a gate: so many trials (at most, for a rate), in a suite with so many tests that have a rate.
    pub fn new(gate: Gate, trials: u32, rate_tests: usize) -> Self {
        match gate {
            Gate::Every => Self::Every(trials),
            Gate::Rate(rate) => Self::Rate(Sequential::new(rate, rate_tests, trials)),
        }
    }

    /// Trials at most.
    pub fn most(&self) -> u32 {
        match self {
            Self::Every(trials) | Self::Once(trials) => *trials,
            Self::Rate(test) => test.cap,
        }
    }

    /// What the trials so far say. One failure decides `every`, and a success when the trials are complete; with `once` it
    /// is the other way round.
    pub fn of(&self, tally: Tally) -> Ruling {
        match self {
            Self::Every(_) if tally.failed() > 0 => Ruling::Fails,
            Self::Every(trials) if tally.trials >= *trials => Ruling::Holds,
            Self::Once(_) if tally.held > 0 => Ruling::Holds,
            Self::Once(trials) if tally.trials >= *trials => Ruling::Fails,
            Self::Every(_) | Self::Once(_) => Ruling::Open,
            Self::Rate(test) => test.of(tally),
        }
    }

    /// What the numbers mean, for a reader: the evidence and the bounds. Nothing for a single trial.
    pub fn explain(&self, tally: Tally) -> Option<String> {
        match self {
            Self::Every(_) if tally.failed() == 0 && tally.trials > 1 => Some(format!(
                "no failure in {} trials: it fails in less than {:.0} % of them (95 %)",
                tally.trials,
                100.0 * limit_of_none(tally.trials)
            )),
            Self::Once(_) if tally.trials > 1 => Some(format!("the shortest of {} measured times counts", tally.trials)),
            Self::Every(_) | Self::Once(_) => None,
            Self::Rate(test) => Some(test.explain(tally)),
        }
    }
}

/// The highest failure rate, at 95 % confidence, that leaves room for none in so many trials: `1 - 0.05^(1/k)`.
fn limit_of_none(trials: u32) -> f64 {
    1.0 - 0.05_f64.powf(1.0 / f64::from(trials.max(1)))
}

/// A truncated sequential probability ratio test (Wald 1945) of a wanted rate against a refused one.
///
/// Each failure adds `ln((1 - refused) / (1 - wanted))` to the evidence, each success `ln(refused / wanted)`. It ends when
/// the evidence is at or above `ln((1 - β) / α)`, at or below `ln(β / (1 - α))`, or when the trials are used up. The
/// refused rate has odds 8.1 times worse than the wanted one, as 0.70 has to 0.95.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sequential {
    /// The rate at which the test should hold.
    pub wanted: f64,
    /// The rate at which it must not pass.
    pub refused: f64,
    /// The evidence at or below which it holds.
    pub accept: f64,
    /// The evidence at or above which it fails.
    pub reject: f64,
    /// Trials at most.
    pub cap: u32,
}

impl Sequential {
    /// A test of a rate above 0 and below 1, one of so many in the whole suite: the error rate is divided by their number,
    /// or a healthy suite of 40 would be blocked two times in three.
    pub fn new(rate: f64, tests: usize, cap: u32) -> Self {
        let odds = rate / (1.0 - rate) / ODDS_RATIO;
        let alpha = ALPHA / tests.max(1) as f64;
        Self { wanted: rate, refused: odds / (1.0 + odds), accept: (BETA / (1.0 - alpha)).ln(), reject: ((1.0 - BETA) / alpha).ln(), cap }
    }

    /// The evidence against the wanted rate: the logarithm of the likelihood ratio.
    pub fn evidence(&self, tally: Tally) -> f64 {
        f64::from(tally.failed()) * ((1.0 - self.refused) / (1.0 - self.wanted)).ln()
            + f64::from(tally.held) * (self.refused / self.wanted).ln()
    }

    fn of(&self, tally: Tally) -> Ruling {
        match self.evidence(tally) {
            evidence if evidence >= self.reject => Ruling::Fails,
            evidence if evidence <= self.accept => Ruling::Holds,
            _ if tally.trials < self.cap => Ruling::Open,
            evidence if evidence > 0.0 => Ruling::Suspect,
            _ => Ruling::Holds,
        }
    }

    fn explain(&self, tally: Tally) -> String {
        let Self { wanted, refused, accept, reject, cap } = self;
        let evidence = self.evidence(tally);
        format!(
            "rate {wanted} against {refused:.2}: evidence {evidence:.2}, holds at {accept:.2}, fails at {reject:.2}, at most {cap} trials"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a test does in the long run when it truly holds with a probability.
    struct Characteristics {
        fails: f64,
        suspect: f64,
        trials: f64,
    }

    /// Exact: the probability of every tally that is still open, one trial after the other.
    fn characteristics(test: &Sequential, truth: f64) -> Characteristics {
        let mut open = vec![(Tally::default(), 1.0)];
        let mut sum = Characteristics { fails: 0.0, suspect: 0.0, trials: 0.0 };
        while !open.is_empty() {
            let mut next: Vec<(Tally, f64)> = Vec::new();
            for (tally, probability) in open {
                sum.trials += probability;
                for (held, share) in [(true, truth), (false, 1.0 - truth)] {
                    let mut tally = tally;
                    tally.add(held);
                    let probability = probability * share;
                    match test.of(tally) {
                        Ruling::Holds => {}
                        Ruling::Fails => sum.fails += probability,
                        Ruling::Suspect => sum.suspect += probability,
                        Ruling::Open => match next.iter_mut().find(|(known, _)| *known == tally) {
                            Some((_, known)) => *known += probability,
                            None => next.push((tally, probability)),
                        },
                    }
                }
            }
            open = next;
        }
        sum
    }

    /// Rounded as the published table is.
    fn rounded(value: f64, digits: i32) -> f64 {
        (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits)
    }

    #[test]
    fn the_shortest_of_measured_times_decides() {
        let rule = Rule::Once(3);
        let of = |held: u32, trials: u32| rule.of(Tally { trials, held });
        assert_eq!(
            [of(0, 0), of(0, 2), of(1, 1), of(1, 3), of(0, 3)],
            [Ruling::Open, Ruling::Open, Ruling::Holds, Ruling::Holds, Ruling::Fails]
        );
        assert_eq!((rule.most(), rule.explain(Tally { trials: 1, held: 1 })), (3, None));
    }

    #[test]
    fn the_operating_characteristics_are_those_that_were_published() {
        // Tests in the suite; then by the true rate: fails, suspect (where published), trials.
        type Row = (f64, f64, Option<f64>, Option<f64>);
        let published: [(usize, [Row; 4]); 3] = [
            (
                1,
                [
                    (0.95, 0.030, Some(0.003), Some(11.2)),
                    (0.90, 0.166, None, None),
                    (0.70, 0.901, Some(0.011), None),
                    (0.50, 0.996, None, Some(4.7)),
                ],
            ),
            (
                40,
                [
                    (0.95, 0.001, Some(0.011), Some(11.8)),
                    (0.90, 0.018, None, None),
                    (0.70, 0.748, Some(0.159), None),
                    (0.50, 0.994, None, Some(10.0)),
                ],
            ),
            (100, [(0.95, 0.0, None, Some(11.8)), (0.90, 0.011, None, None), (0.70, 0.717, None, None), (0.50, 0.994, None, Some(11.2))]),
        ];
        for (tests, rows) in published {
            let test = Sequential::new(0.95, tests, 30);
            for (truth, fails, suspect, trials) in rows {
                let found = characteristics(&test, truth);
                assert_eq!(rounded(found.fails, 3), fails, "{tests} tests, {truth}");
                assert!(suspect.is_none_or(|suspect| rounded(found.suspect, 3) == suspect), "{tests} tests, {truth}: {}", found.suspect);
                assert!(trials.is_none_or(|trials| rounded(found.trials, 1) == trials), "{tests} tests, {truth}: {}", found.trials);
            }
        }
    }

    #[test]
    fn a_healthy_suite_of_forty_is_blocked_two_times_in_a_hundred() {
        let blocked = |alpha_over: usize| 1.0 - (1.0 - characteristics(&Sequential::new(0.95, alpha_over, 30), 0.95).fails).powi(40);
        assert_eq!(rounded(blocked(40), 3), 0.020);
        assert!(blocked(1) > 0.69, "without the correction: {}", blocked(1));
    }

    fn trials_to_decide(test: &Sequential, held: bool) -> (u32, Ruling) {
        let mut tally = Tally::default();
        while test.of(tally) == Ruling::Open {
            tally.add(held);
        }
        (tally.trials, test.of(tally))
    }

    #[test]
    fn a_broken_test_stops_early_and_so_does_a_perfect_one() {
        for (tests, failures) in [(1, 2), (40, 4), (100, 5)] {
            let test = Sequential::new(0.95, tests, 30);
            assert_eq!(trials_to_decide(&test, false), (failures, Ruling::Fails));
            assert_eq!(trials_to_decide(&test, true), (8, Ruling::Holds));
        }
    }

    #[test]
    fn at_the_cap_evidence_against_it_is_suspect_and_no_evidence_holds() {
        let test = Sequential::new(0.95, 40, 4);
        assert_eq!(test.of(Tally { trials: 4, held: 3 }), Ruling::Suspect);
        assert_eq!(test.of(Tally { trials: 3, held: 2 }), Ruling::Open);
        assert_eq!(test.of(Tally { trials: 4, held: 4 }), Ruling::Holds);
    }

    #[test]
    fn the_refused_rate_keeps_the_odds_ratio() {
        for (wanted, refused) in [(0.95, "0.70"), (0.99, "0.92"), (0.5, "0.11")] {
            assert_eq!(format!("{:.2}", Sequential::new(wanted, 1, 30).refused), refused);
        }
    }

    #[test]
    fn one_failure_decides_every_and_all_trials_must_hold() {
        let rule = Rule::Every(3);
        for (trials, held, ruling) in [(0, 0, Ruling::Open), (1, 0, Ruling::Fails), (2, 2, Ruling::Open), (3, 3, Ruling::Holds)] {
            assert_eq!(rule.of(Tally { trials, held }), ruling);
        }
    }

    #[test]
    fn the_numbers_are_told() {
        let rate = Rule::Rate(Sequential::new(0.95, 1, 30)).explain(Tally { trials: 11, held: 10 });
        insta::assert_snapshot!(rate.unwrap(), @"rate 0.95 against 0.70: evidence -1.26, holds at -2.25, fails at 2.89, at most 30 trials");
        let every = Rule::Every(5).explain(Tally { trials: 5, held: 5 });
        insta::assert_snapshot!(every.unwrap(), @"no failure in 5 trials: it fails in less than 45 % of them (95 %)");
        assert_eq!(Rule::Every(1).explain(Tally { trials: 1, held: 1 }), None);
    }

    #[test]
    fn a_gate_survives_its_own_form() {
        for gate in [Gate::Every, Gate::Rate(0.95)] {
            assert_eq!(Gate::from_json(&gate.to_json()), Some(gate));
        }
        assert_eq!(Gate::from_json(&json!({"rate": 1.0})), None);
    }
}
