//! The matrix: what a run says of each target as a whole, and of two targets side by side.

use super::{CaseReport, Counts, Summary, Verdict};
use crate::comparison::{Comparison, Pair, Side};
use crate::signal::Signals;
use std::collections::{BTreeMap, BTreeSet};

/// The signals of which a comparison gives the ratio.
const COMPARED: [&str; 4] = ["cost.usd", "latency.model", "tokens.input", "tokens.output"];

/// All cases of a run on one target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Column {
    /// The target.
    pub target: String,
    /// How its cases went.
    pub counts: Counts,
    /// Tokens of prompts, as far as they are known.
    pub input_tokens: u64,
    /// Tokens of answers, as far as they are known.
    pub output_tokens: u64,
    /// What the answers cost or would cost, in US dollars, as far as it is known.
    pub usd: f64,
}

impl Summary {
    /// One column for each target, by name.
    pub fn columns(&self) -> Vec<Column> {
        let targets: BTreeSet<&str> = self.cases.iter().map(|case| case.target.as_str()).collect();
        targets.into_iter().map(|target| self.column(target)).collect()
    }

    fn column(&self, target: &str) -> Column {
        let cases = || self.cases.iter().filter(|case| case.target == target);
        let sum = |signal: &str| cases().filter_map(|case| case.signals.read(signal).number()).fold(0.0, |sum, number| sum + number);
        Column {
            target: target.to_string(),
            counts: self.count(cases()),
            input_tokens: sum("tokens.input") as u64,
            output_tokens: sum("tokens.output") as u64,
            usd: sum("cost.usd"),
        }
    }

    /// The same summary with the first of the targets that ran compared with each of the others, on the cases of both.
    #[must_use]
    pub fn compared(mut self, targets: &[&str]) -> Self {
        let ran = |target: &&&str| self.cases.iter().any(|case| case.target == **target);
        let targets: Vec<&str> = targets.iter().filter(ran).copied().collect();
        if let Some((base, candidates)) = targets.split_first() {
            self.comparisons = candidates.iter().filter_map(|candidate| self.compare(base, candidate)).collect();
        }
        self
    }

    fn compare(&self, base: &str, candidate: &str) -> Option<Comparison> {
        let on = |target: &str| self.cases.iter().filter(|case| case.target == target).map(|case| (case.id.as_str(), case)).collect();
        let (bases, candidates): (BTreeMap<&str, &CaseReport>, BTreeMap<&str, &CaseReport>) = (on(base), on(candidate));
        let both: Vec<(&CaseReport, &CaseReport)> = bases.iter().filter_map(|(id, one)| Some((*one, *candidates.get(id)?))).collect();
        let pairs: Vec<Pair> = both.iter().filter_map(|(one, other)| pair(one, other)).collect();
        Comparison::of(base, candidate, &pairs, both.len() - pairs.len())
    }
}

/// A case on both targets; none when it was not decided on both.
fn pair(base: &CaseReport, candidate: &CaseReport) -> Option<Pair> {
    Some(Pair { base: side(base)?, candidate: side(candidate)?, measured: measured(&base.signals, &candidate.signals) })
}

/// A case passes as often as the test that holds least often.
fn side(case: &CaseReport) -> Option<Side> {
    let passed = match case.verdict {
        Verdict::Undecided(_) => return None,
        Verdict::Passed | Verdict::Changed(_) => true,
        Verdict::Regressed(_) => false,
    };
    let tests = || case.tests.iter().filter(|test| test.trials > test.trials_undecided);
    let share = |held: u32, trials: u32| f64::from(held) / f64::from(trials);
    let least = tests().map(|test| share(test.trials_held, test.trials - test.trials_undecided)).reduce(f64::min);
    let trials = tests().map(|test| test.trials - test.trials_undecided).min().unwrap_or(1);
    // Where no test failed, a field did, in every trial.
    let share = least.filter(|share| passed || *share < 1.0).unwrap_or(f64::from(u8::from(passed)));
    Some(Side { passed, share, trials })
}

fn measured(base: &Signals, candidate: &Signals) -> BTreeMap<&'static str, (f64, f64)> {
    let known = |signals: &Signals, name: &str| signals.read(name).number().filter(|number| *number > 0.0);
    COMPARED.into_iter().filter_map(|name| Some((name, (known(base, name)?, known(candidate, name)?)))).collect()
}
