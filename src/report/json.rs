//! The JSON report: the whole run for programs, stable from `format: 1` on.

pub mod read;

use crate::comparison::{Comparison, Estimate, Ratio};
use crate::diagnosis::Diagnosis;
use crate::inert;
use crate::signal::Datum;
use crate::verdict::{self, Bar, CaseReport, Column, Contradiction, FieldReport, Standing, Summary, TestReport};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes the report, pretty-printed; equal summaries give equal bytes.
///
/// Texts are whole and never clipped. Characters that hide, and what a CI system would take for a command, are written as
/// `\u…`, which means the same in JSON, so the file may also be printed.
///
/// Two runs of an application on the same evidence differ in the times that it took and in nothing else: in `signals`
/// `retries.wasted` and those of `latency.` (not `first_token`, and `model` only where it gave up on an answer),
/// in `stages` `start` and `duration`.
pub fn write(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(&Report::of(summary))?;
    out.write_all(inert::json(&text).as_bytes())?;
    out.write_all(b"\n")
}

/// The whole file.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// 1; a change that breaks a reader raises it.
    format: u32,
    outcome: &'static str,
    exit: u8,
    /// False when the run was interrupted: then cases are missing.
    complete: bool,
    /// Whether `--prove` asked for regressions: then `passed` means that every case regressed.
    prove: bool,
    /// The part of the run that this is, as in `2/3`; not written for a whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
    /// The digest of the suite whose part this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    suite: Option<&'a str>,
    counts: Counts,
    targets: Vec<Target>,
    /// Targets side by side, where several ran the same cases.
    comparisons: Vec<Compared<'a>>,
    /// What a reader should know about the run as a whole.
    notes: &'a [String],
    cases: Vec<Case<'a>>,
}

/// The four verdicts count what gates; with `aside` they add up to the number of cases.
#[derive(Debug, Serialize)]
struct Counts {
    passed: usize,
    regressed: usize,
    changed: usize,
    undecided: usize,
    /// Run and shown, but not counted: expected, muted or not applicable.
    aside: usize,
}

/// All cases on one target.
#[derive(Debug, Serialize)]
struct Target {
    target: String,
    counts: Counts,
    /// Tokens and cost as far as they are known.
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: f64,
}

/// Two targets on the cases that were decided on both.
#[derive(Debug, Serialize)]
struct Compared<'a> {
    base: &'a str,
    candidate: &'a str,
    /// Cases that were decided on both.
    pairs: usize,
    /// Cases that ran on both and were not decided on one of them.
    left_out: usize,
    newly_failing: u32,
    newly_passing: u32,
    /// What `worse` rests on: `mcnemar-exact` or `mean-difference`.
    method: &'static str,
    /// One-sided, of McNemar's exact test.
    p: f64,
    /// The share of trials that the candidate loses; `null` for fewer than 10 cases or one trial.
    harm: Option<Bounds>,
    worse: bool,
    /// No harm smaller than this could be excluded by so many cases.
    smallest_excludable: f64,
    /// Candidate over base by signal: geometric means, and `latency.model.p95`, of the 95th percentiles, from 20 cases on.
    ratios: BTreeMap<&'static str, Held>,
}

/// A ratio, and how it stands to the margin up to which a change is tolerated.
#[derive(Debug, Serialize)]
struct Held {
    #[serde(flatten)]
    bounds: Bounds,
    margin: f64,
    /// `within`, `beyond` or `open`.
    tolerance: &'static str,
}

/// A mean with its one-sided 95 % bounds.
#[derive(Debug, Serialize)]
struct Bounds {
    mean: f64,
    low: f64,
    high: f64,
    pairs: usize,
}

/// One case on one target.
#[derive(Debug, Serialize)]
struct Case<'a> {
    id: &'a str,
    target: &'a str,
    verdict: &'static str,
    /// `null` for a pass.
    reason: Option<&'static str>,
    /// Whether it counts for the outcome.
    gates: bool,
    /// Why it does not count: `expected`, `muted` or `not applicable`.
    aside: Option<&'static str>,
    /// The postmortem's failure class.
    class: &'a str,
    /// The postmortem's status: `open`, `active` or `muted`.
    status: &'a str,
    postmortem: Place<'a>,
    title: &'a str,
    tests: Vec<Test<'a>>,
    fields: Vec<Field<'a>>,
    contradictions: Vec<Contradicted<'a>>,
    /// The known signals by name; one that is not there is unknown.
    signals: serde_json::Value,
    /// The candidate's answer, whole; `null` if it was not captured.
    answer: Option<&'a str>,
    /// The candidate's stages, in seconds since its request began.
    stages: Vec<Stage<'a>>,
    /// Why nothing can be said, in full.
    detail: Option<&'a str>,
    /// What else a reader should know.
    notes: &'a [String],
    /// The next command or edit.
    next: Option<&'a str>,
    /// The behaviour that waits for a person; `null` where it is the accepted one.
    snapshot: Option<Pending<'a>>,
    /// What the runbook makes of a failing case; `null` for a pass, and without a baseline.
    diagnosis: Option<&'a Diagnosis>,
    cost_usd: f64,
    live_requests: u64,
}

/// One stage of the candidate.
#[derive(Debug, Serialize)]
struct Stage<'a> {
    kind: &'a str,
    name: &'a str,
    start: f64,
    /// `null` when the stage has no end.
    duration: Option<f64>,
    failed: bool,
}

/// A behaviour that is not the accepted one.
#[derive(Debug, Serialize)]
struct Pending<'a> {
    /// Where the accepted snapshot is, or would be.
    path: &'a str,
    /// What was accepted; `null` when nothing was yet.
    accepted: Option<&'a str>,
    candidate: &'a str,
}

/// A line of a file, from 1.
#[derive(Debug, Serialize)]
struct Place<'a> {
    file: &'a str,
    line: u32,
}

/// One test.
#[derive(Debug, Serialize)]
struct Test<'a> {
    name: &'a str,
    /// `null` when nothing can be said.
    held: Option<bool>,
    /// False where the test would test relapse itself.
    applicable: bool,
    expected: &'a str,
    actual: &'a str,
    /// Every value that an expression used; `null` is unknown.
    values: &'a BTreeMap<String, Datum>,
    line: u32,
    trials: Trials,
    /// Whether it holds though some of its trials failed.
    flaky: bool,
    /// Whether its trials were used up with the evidence against it, though not strong.
    suspect: bool,
    /// What its trials show, with the bounds of its gate; `null` where one trial decides.
    bounds: Option<&'a str>,
    /// Why nothing can be said, and what to add.
    why: Option<&'a str>,
}

/// Trials run, and those in which the test held.
#[derive(Debug, Serialize)]
struct Trials {
    n: u32,
    held: u32,
    /// Those of which nothing can be said; not written for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    undecided: Option<u32>,
}

/// One required field.
#[derive(Debug, Serialize)]
struct Field<'a> {
    field: &'a str,
    on: &'a str,
    state: &'a str,
    /// `null` where the requirement does not apply.
    held: Option<bool>,
    message: &'a str,
    /// `null` when the project's profile requires it.
    line: Option<u32>,
    /// Why a person waived it.
    waived: Option<&'a str>,
}

/// A field about which telemetry and wire disagree.
#[derive(Debug, Serialize)]
struct Contradicted<'a> {
    field: &'a str,
    told: &'a serde_json::Value,
    wire: &'a serde_json::Value,
}

impl<'a> Stage<'a> {
    fn of(bar: &'a Bar) -> Self {
        Self { kind: &bar.kind, name: &bar.name, start: bar.start, duration: bar.duration, failed: bar.failed }
    }
}

impl<'a> Report<'a> {
    fn of(summary: &'a Summary) -> Self {
        Self {
            format: 1,
            outcome: summary.outcome.word(),
            exit: summary.outcome.exit(),
            complete: summary.outcome.is_complete(),
            prove: summary.prove,
            shard: summary.part.as_ref().map(|part| part.shard.to_string()),
            suite: summary.part.as_ref().map(|part| part.suite.as_str()),
            counts: Counts::of(summary.counts()),
            targets: summary.columns().into_iter().map(Target::of).collect(),
            comparisons: summary.comparisons.iter().map(Compared::of).collect(),
            notes: &summary.notes,
            cases: summary.cases.iter().map(|case| Case::of(case, summary.prove)).collect(),
        }
    }
}

impl Counts {
    fn of(counts: verdict::Counts) -> Self {
        let verdict::Counts { passed, regressed, changed, undecided, aside } = counts;
        Self { passed, regressed, changed, undecided, aside }
    }
}

impl Target {
    fn of(column: Column) -> Self {
        Self {
            target: column.target,
            counts: Counts::of(column.counts),
            input_tokens: column.input_tokens,
            output_tokens: column.output_tokens,
            cost_usd: rounded(column.usd),
        }
    }
}

impl<'a> Compared<'a> {
    fn of(comparison: &'a Comparison) -> Self {
        Self {
            base: &comparison.base,
            candidate: &comparison.candidate,
            pairs: comparison.pairs,
            left_out: comparison.left_out,
            newly_failing: comparison.newly_failing,
            newly_passing: comparison.newly_passing,
            method: comparison.method.word(),
            p: rounded(comparison.p),
            harm: comparison.harm.map(Bounds::of),
            worse: comparison.worse,
            smallest_excludable: rounded(comparison.smallest_excludable),
            ratios: comparison.ratios.iter().map(|(signal, ratio)| (*signal, Held::of(*ratio))).collect(),
        }
    }
}

impl Held {
    fn of(ratio: Ratio) -> Self {
        Self { bounds: Bounds::of(ratio.estimate), margin: ratio.margin, tolerance: ratio.tolerance().word() }
    }
}

impl Bounds {
    fn of(estimate: Estimate) -> Self {
        let Estimate { mean, low, high, pairs } = estimate;
        Self { mean: rounded(mean), low: rounded(low), high: rounded(high), pairs }
    }
}

/// Six decimals: logarithms differ behind them from machine to machine, and equal summaries give equal bytes.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

impl<'a> Case<'a> {
    fn of(case: &'a CaseReport, prove: bool) -> Self {
        let aside = match case.standing(prove) {
            Standing::Aside(aside) => Some(aside.word()),
            _ => None,
        };
        Self {
            id: &case.id,
            target: &case.target,
            verdict: case.verdict.word(),
            reason: case.verdict.reason(),
            gates: aside.is_none(),
            aside,
            class: &case.class,
            status: &case.status,
            postmortem: Place { file: case.postmortem.file.as_str(), line: case.postmortem.line },
            title: &case.title,
            tests: case.tests.iter().map(Test::of).collect(),
            fields: case.fields.iter().map(Field::of).collect(),
            contradictions: case.contradictions.iter().map(Contradicted::of).collect(),
            signals: case.signals.known_to_json(),
            answer: case.answer.as_deref(),
            stages: case.waterfall.bars.iter().map(Stage::of).collect(),
            detail: case.detail.as_deref(),
            notes: &case.notes,
            next: case.next.as_deref(),
            snapshot: case.snapshot.as_ref().map(|snapshot| Pending {
                path: &snapshot.path,
                accepted: snapshot.accepted.as_deref(),
                candidate: &snapshot.candidate,
            }),
            diagnosis: case.diagnosis.as_ref(),
            cost_usd: case.cost_usd,
            live_requests: case.live_requests,
        }
    }
}

impl<'a> Test<'a> {
    fn of(test: &'a TestReport) -> Self {
        Self {
            name: &test.name,
            held: test.held,
            applicable: test.applicable,
            expected: &test.expected,
            actual: &test.actual,
            values: &test.values,
            line: test.line,
            trials: Trials {
                n: test.trials,
                held: test.trials_held,
                undecided: Some(test.trials_undecided).filter(|undecided| *undecided > 0),
            },
            flaky: test.is_flaky(),
            suspect: test.suspect,
            bounds: test.bounds.as_deref(),
            why: test.why.as_deref(),
        }
    }
}

impl<'a> Field<'a> {
    fn of(field: &'a FieldReport) -> Self {
        Self {
            field: &field.field,
            on: &field.on,
            state: &field.state,
            held: field.held,
            message: &field.message,
            line: field.line,
            waived: field.waived.as_deref(),
        }
    }
}

impl<'a> Contradicted<'a> {
    fn of(contradiction: &'a Contradiction) -> Self {
        Self { field: &contradiction.field, told: &contradiction.told, wire: &contradiction.wire }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::inert::runner;
    use proptest::prelude::*;

    fn text(summary: &Summary) -> String {
        let mut bytes = Vec::new();
        write(summary, &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn two_targets_side_by_side() {
        let report: serde_json::Value = serde_json::from_str(&text(&sample::comparison())).expect("JSON");
        let parts = serde_json::json!({"targets": report["targets"], "comparisons": report["comparisons"]});
        insta::assert_snapshot!(serde_json::to_string_pretty(&parts).expect("JSON"));
    }

    #[test]
    fn golden() {
        insta::assert_snapshot!(text(&sample::summary()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn recorded_text_is_whole_and_inert(hostile in runner::hostile()) {
            let text = text(&sample::hostile(&hostile));
            let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(report["cases"][0]["answer"].as_str(), Some(hostile.as_str()));
            prop_assert_eq!(runner::fired(&text), Vec::<String>::new());
        }
    }
}
