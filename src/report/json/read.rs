//! A JSON report read back: shards of a run become one summary again.

use crate::diagnosis::Diagnosis;
use crate::fault::{Fault, Place};
use crate::signal::{Datum, Signals};
use crate::verdict::{self, Bar, CaseReport, SnapshotReport, TestReport, Verdict, Waterfall};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A report as it was written, with what tells which part of a run it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The part, as in `2/3`; none for a whole run.
    pub shard: Option<String>,
    /// The digest of the suite that was run.
    pub suite: Option<String>,
    /// Whether the run came to its own end.
    pub complete: bool,
    /// The exit code that the run ended with.
    pub exit: u8,
    /// Whether `--prove` asked for regressions.
    pub prove: bool,
    /// What a reader should know about the run as a whole.
    pub notes: Vec<String>,
    /// The cases.
    pub cases: Vec<CaseReport>,
}

/// Reads a report of this version's format.
///
/// # Errors
/// Text that is no report, or one of another format.
pub fn read(text: &str) -> Result<Part, Fault> {
    let report: Report = serde_json::from_str(text).map_err(|error| Fault::new(format!("not a JSON report of relapse: {error}")))?;
    if report.format != 1 {
        let fault = Fault::new(format!("a report of format {}, expected 1", report.format));
        return Err(fault.help("merge with the version of relapse that ran the shards"));
    }
    let cases = report.cases.into_iter().map(Case::into_report).collect::<Result<_, _>>()?;
    Ok(Part {
        shard: report.shard,
        suite: report.suite,
        complete: report.complete,
        exit: report.exit,
        prove: report.prove,
        notes: report.notes,
        cases,
    })
}

#[derive(Deserialize)]
struct Report {
    format: u32,
    exit: u8,
    complete: bool,
    prove: bool,
    #[serde(default)]
    shard: Option<String>,
    #[serde(default)]
    suite: Option<String>,
    notes: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    target: String,
    verdict: String,
    reason: Option<String>,
    gates: bool,
    class: String,
    status: String,
    postmortem: Written,
    title: String,
    tests: Vec<Test>,
    fields: Vec<Field>,
    contradictions: Vec<Contradiction>,
    signals: Value,
    answer: Option<String>,
    stages: Vec<Stage>,
    detail: Option<String>,
    notes: Vec<String>,
    next: Option<String>,
    snapshot: Option<Pending>,
    diagnosis: Option<Diagnosis>,
    cost_usd: f64,
    live_requests: u64,
}

#[derive(Deserialize)]
struct Written {
    file: String,
    line: u32,
}

#[derive(Deserialize)]
struct Test {
    name: String,
    held: Option<bool>,
    applicable: bool,
    expected: String,
    actual: String,
    values: BTreeMap<String, Value>,
    line: u32,
    trials: Trials,
    suspect: bool,
    bounds: Option<String>,
    why: Option<String>,
}

#[derive(Deserialize)]
struct Trials {
    n: u32,
    held: u32,
    #[serde(default)]
    undecided: u32,
}

#[derive(Deserialize)]
struct Field {
    field: String,
    on: String,
    state: String,
    held: Option<bool>,
    message: String,
    line: Option<u32>,
    waived: Option<String>,
}

#[derive(Deserialize)]
struct Contradiction {
    field: String,
    told: Value,
    wire: Value,
}

#[derive(Deserialize)]
struct Stage {
    kind: String,
    name: String,
    start: f64,
    duration: Option<f64>,
    failed: bool,
}

#[derive(Deserialize)]
struct Pending {
    path: String,
    accepted: Option<String>,
    candidate: String,
}

impl Case {
    fn into_report(self) -> Result<CaseReport, Fault> {
        let verdict = Verdict::from_words(&self.verdict, self.reason.as_deref())
            .ok_or_else(|| Fault::new(format!("{}: no verdict `{}` ({:?})", self.id, self.verdict, self.reason)))?;
        Ok(CaseReport {
            id: self.id,
            target: self.target,
            title: self.title,
            class: self.class,
            status: self.status,
            verdict,
            gates: self.gates,
            postmortem: Place::at(self.postmortem.file, self.postmortem.line, 0),
            tests: self.tests.into_iter().map(Test::into_report).collect(),
            fields: self.fields.into_iter().map(Field::into_report).collect(),
            contradictions: self
                .contradictions
                .into_iter()
                .map(|found| verdict::Contradiction { field: found.field, told: found.told, wire: found.wire })
                .collect(),
            signals: Signals::from_json(&self.signals),
            answer: self.answer,
            diagnosis: self.diagnosis,
            waterfall: Waterfall { bars: self.stages.into_iter().map(Stage::into_bar).collect() },
            detail: self.detail,
            notes: self.notes,
            next: self.next,
            // The pending file itself lies beside the report and is copied, not written again.
            snapshot: self.snapshot.map(|pending| SnapshotReport {
                path: pending.path,
                accepted: pending.accepted,
                candidate: pending.candidate,
                pending: String::new(),
            }),
            cost_usd: self.cost_usd,
            live_requests: self.live_requests,
        })
    }
}

impl Test {
    fn into_report(self) -> TestReport {
        TestReport {
            name: self.name,
            held: self.held,
            applicable: self.applicable,
            expected: self.expected,
            actual: self.actual,
            values: self.values.into_iter().map(|(name, value)| (name, Datum::from_json(&value))).collect(),
            line: self.line,
            trials: self.trials.n,
            trials_held: self.trials.held,
            trials_undecided: self.trials.undecided,
            suspect: self.suspect,
            bounds: self.bounds,
            why: self.why,
        }
    }
}

impl Field {
    fn into_report(self) -> verdict::FieldReport {
        verdict::FieldReport {
            field: self.field,
            on: self.on,
            state: self.state,
            held: self.held,
            message: self.message,
            line: self.line,
            waived: self.waived,
        }
    }
}

impl Stage {
    fn into_bar(self) -> Bar {
        Bar { kind: self.kind, name: self.name, start: self.start, duration: self.duration, failed: self.failed }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{sample, sample::summary};
    use super::*;
    use crate::report::json;
    use crate::verdict::Summary;

    fn written(summary: &Summary) -> String {
        let mut bytes = Vec::new();
        json::write(summary, &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn what_was_written_is_read_back_to_the_same_bytes() {
        for summary in [summary(), sample::proof(), sample::hostile("##[error]\u{202e}\r\n\u{1b}\"\\ x")] {
            let text = written(&summary);
            let part = read(&text).expect("readable");
            assert_eq!(written(&Summary { cases: part.cases, notes: part.notes, ..summary }), text);
        }
    }

    #[test]
    fn another_format_is_refused() {
        let text = written(&summary()).replacen("\"format\": 1", "\"format\": 2", 1);
        assert!(read(&text).expect_err("another format").message.contains("format 2"));
        assert!(read("[]").is_err());
    }
}
