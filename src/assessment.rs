//! An assessment: a case held against what one candidate did.

mod fields;
mod trials;

pub use trials::{Source, Trials};

use crate::case::{Case, LateSignal, Side, Status, Test};
use crate::check::{Check, Finding, Needs, Observation};
use crate::disk::{self, Reference, Root};
use crate::expression::{Expression, Vocabulary};
use crate::fault::{Fault, Faults, Place};
use crate::grade::{self, Grades};
use crate::judge::Scene;
use crate::limit;
use crate::mapping::Mapping;
use crate::project::Telemetry;
use crate::request::Request;
use crate::signal::Signals;
use crate::verdict::{CaseReport, Change, Doubt, Regression, TestReport, Verdict};
use crate::yaml::Node;
use camino::Utf8Path;
use std::borrow::Cow;

/// A test of a case, ready to be held against candidates.
#[derive(Debug)]
enum Question {
    Test(Check),
    Signal(Expression),
}

/// A case with its checks parsed.
#[derive(Debug)]
pub struct Examiner<'a> {
    case: &'a Case,
    questions: Vec<(Asked<'a>, Question)>,
    /// Empty where there is no healthy evidence.
    healthy: Cow<'a, Side>,
    accepted: Option<Signals>,
}

#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    Test(&'a Test),
    Signal(&'a LateSignal),
}

impl Asked<'_> {
    /// Whether it may fail for a time that was measured here.
    fn gates_on_time(self) -> bool {
        matches!(self, Self::Test(Test { measured: true, .. }))
    }
}

/// What a candidate is held against besides the case.
#[derive(Debug, Clone, Copy)]
pub struct Standard<'a> {
    /// What the project asks of telemetry.
    pub telemetry: &'a Telemetry,
    /// The mapping with the project's aliases.
    pub mapping: &'a Mapping,
    /// Today, in seconds since 1970: waivers and mutes end on a date.
    pub now: i64,
    /// Tests with a `rate` in the whole suite, over which its error rate is divided.
    pub rate_tests: usize,
}

/// Signals that would test relapse itself where relapse ran the conversation.
const RELAPSE_ITSELF: [&str; 11] = [
    "retries.",
    "contradictions",
    "latency.retries",
    "latency.total",
    "latency.gap",
    "latency.tools",
    "latency.retrieval",
    "retrieval.",
    "feedback.",
    "review.",
    "score.",
];

impl<'a> Examiner<'a> {
    /// Parses the checks of a case.
    ///
    /// # Errors
    /// A check that this version cannot read, at the case's line: the case was compiled by another version.
    pub fn new(root: &Root, case: &'a Case) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let mut questions = Vec::with_capacity(case.tests.len() + case.signals.len());
        for test in &case.tests {
            let check = check(root, case, test, &mut faults);
            questions.extend(check.map(|check| (Asked::Test(test), Question::Test(check))));
        }
        for signal in &case.signals {
            match Expression::parse(&signal.rule, Vocabulary::Test) {
                Ok(rule) => questions.push((Asked::Signal(signal), Question::Signal(rule))),
                Err(error) => faults.push(Fault::new(error.message).at(place(case, signal.line)).help("run `relapse compile`")),
            }
        }
        let healthy = case.healthy.as_ref().map_or_else(|| Cow::Owned(Side::default()), Cow::Borrowed);
        faults.into_result(Self { case, questions, healthy, accepted: None })
    }

    /// With the signals of the accepted run as `accepted.*`; before the first accept these are `healthy.*`.
    #[must_use]
    pub fn accepting(mut self, accepted: Option<&Signals>) -> Self {
        self.accepted = accepted.cloned();
        self
    }

    /// Whether anything in the case can be decided where relapse itself runs the conversation.
    pub fn applies_to_prompts(&self) -> bool {
        self.questions.iter().any(|(_, question)| applies(&question.needs()))
    }

    /// The id of the case.
    pub fn case_id(&self) -> &str {
        &self.case.id
    }

    /// What the tests of the case ask of graders.
    pub fn questions(&self) -> Vec<&grade::Question> {
        let checks = self.questions.iter().filter_map(|(_, question)| match question {
            Question::Test(check) => Some(check),
            Question::Signal(_) => None,
        });
        checks.flat_map(Check::questions).collect()
    }

    /// What a grader is shown besides a candidate's answer.
    pub fn scene(&self, request: &Request) -> Scene {
        Scene::new(&self.case.input, request.documents.as_deref())
    }

    /// The trials of this case on one target, none of them run yet.
    pub fn trials<'e>(&'e self, target: &str, source: Source, standard: Standard<'a>) -> Trials<'e, 'a> {
        Trials::new(self, target, source, standard)
    }

    /// A case that could not be decided.
    pub fn undecided(&self, target: &str, doubt: Doubt, detail: String, now: i64) -> CaseReport {
        let mut report = self.blank(target);
        report.detail = Some(detail);
        for (asked, question) in &self.questions {
            let mut test = blank_test(*asked, question);
            test.actual = "not asked".into();
            report.tests.push(test);
        }
        self.close(report, Verdict::Undecided(doubt), now)
    }

    fn blank(&self, target: &str) -> CaseReport {
        CaseReport {
            id: self.case.id.clone(),
            target: target.to_string(),
            title: self.case.title.clone(),
            class: self.case.class.clone(),
            status: self.case.status.word().to_string(),
            verdict: Verdict::Passed,
            gates: true,
            postmortem: Place::at(Case::postmortem_path(&self.case.id), 1, 0),
            tests: Vec::new(),
            fields: Vec::new(),
            contradictions: Vec::new(),
            signals: Signals::new(),
            answer: None,
            diagnosis: None,
            detail: None,
            notes: Vec::new(),
            next: None,
            snapshot: None,
            waterfall: crate::verdict::Waterfall::default(),
            cost_usd: 0.0,
            live_requests: 0,
        }
    }

    /// Gives the report its verdict, what it counts for, and the next step.
    fn close(&self, mut report: CaseReport, verdict: Verdict, now: i64) -> CaseReport {
        report.verdict = verdict;
        match &self.case.status {
            Status::Active => {}
            Status::Open => match verdict {
                Verdict::Regressed(_) => report.gates = false,
                Verdict::Passed => {
                    report.verdict = Verdict::Changed(Change::Different);
                    report.notes.push("the postmortem is open, and the case passes: the incident is fixed".into());
                    report.next = Some(format!("set `status: active` in postmortems/{}.md, then run `relapse compile`", self.case.id));
                }
                _ => {}
            },
            Status::Muted { until, why } => {
                let over = crate::yaml::Date::parse(until).is_none_or(|date| date.is_past(now));
                report.gates = over;
                let ended = if over { ", which is over" } else { "" };
                report.notes.push(format!("muted until {until}{ended}: {why}"));
            }
        }
        if report.next.is_none() {
            report.next = next(&report);
        }
        report
    }

    /// How one test went on one candidate; the verdict is none when it holds.
    fn ask(
        &self,
        (asked, question): (Asked<'_>, &Question),
        source: Source,
        request: &Request,
        grades: &Grades,
    ) -> (TestReport, Option<Verdict>) {
        let mut report = blank_test(asked, question);
        let needs = question.needs();
        if request.trace.is_none() && !applies(&needs) {
            report.applicable = false;
            report.why = Some("not applicable on a prompt target: it would test relapse itself".into());
            return (report, None);
        }
        let finding = self.answer(question, request, grades);
        if source.measures(&needs) && !asked.gates_on_time() {
            report.applicable = false;
            report.actual = finding.actual;
            report.why = Some("measured on this machine: it is shown, and gates only with `measured: true`".into());
            return (report, None);
        }
        report.held = finding.held;
        report.actual = finding.actual;
        report.values = finding.values;
        let verdict = match (finding.held, finding.doubt) {
            (Some(true), _) => return (report, None),
            (Some(false), _) => Verdict::Regressed(Regression::Test),
            (None, Some(doubt)) => Verdict::Undecided(doubt),
            (None, None) => {
                report.why = Some(blindness(&finding.unknown.iter().map(String::as_str).collect::<Vec<_>>(), request));
                Verdict::Undecided(Doubt::Blind)
            }
        };
        (report, Some(verdict))
    }

    fn answer(&self, question: &Question, request: &Request, grades: &Grades) -> Finding {
        let observation = Observation {
            answer: request.answer.as_deref(),
            signals: &request.signals,
            healthy: &self.healthy.signals,
            incident: &self.case.incident.signals,
            accepted: self.accepted.as_ref().unwrap_or(&self.healthy.signals),
            fields: request.trace.is_some().then_some(&request.fields),
            healthy_fields: &self.healthy.fields,
            tool_uses: request.tool_uses.as_deref(),
            documents: request.documents.as_deref(),
            grades: Some(grades),
        };
        match question {
            Question::Test(check) => check.evaluate(&observation),
            Question::Signal(rule) => {
                let evaluation = rule.evaluate(&observation);
                let shown: Vec<String> =
                    evaluation.values.iter().map(|(name, datum)| format!("{name} = {}", crate::check::show(datum))).collect();
                Finding {
                    held: evaluation.truth.map(|fires| !fires),
                    expected: format!("not ({})", rule.source()),
                    actual: shown.join(", "),
                    values: evaluation.values,
                    unknown: evaluation.unknown,
                    doubt: None,
                }
            }
        }
    }
}

fn check(root: &Root, case: &Case, test: &Test, faults: &mut Faults) -> Option<Check> {
    let here = place(case, test.line);
    let loader = |file: &str, place: &Place| {
        let path = disk::confine(Utf8Path::new(&format!("postmortems/{}", case.id)), file).map_err(|fault| fault.at(place.clone()))?;
        Reference { path, place: place.clone() }.read_text(root, limit::YAML_BYTES)
    };
    Check::parse(&Node::from_json(&test.expect, &here), &loader, faults)
}

fn place(case: &Case, line: u32) -> Place {
    Place::at(Case::postmortem_path(&case.id), line, 0)
}

impl Question {
    fn needs(&self) -> Needs {
        match self {
            Self::Test(check) => check.needs(),
            Self::Signal(rule) => {
                let owned = |names: std::collections::BTreeSet<&str>| names.into_iter().map(str::to_string).collect();
                Needs { signals: owned(rule.signals()), fields: owned(rule.fields()), ..Needs::default() }
            }
        }
    }
}

fn applies(needs: &Needs) -> bool {
    let of_relapse = |name: &String| RELAPSE_ITSELF.iter().any(|prefix| name.starts_with(prefix));
    needs.fields.is_empty() && !needs.signals.iter().any(of_relapse)
}

fn blank_test(asked: Asked<'_>, question: &Question) -> TestReport {
    let (name, line, expected) = match (asked, question) {
        (Asked::Test(test), Question::Test(check)) => (test.name.clone(), test.line, check.expected()),
        (Asked::Signal(signal), _) => (format!("signal:{}", signal.name), signal.line, format!("not ({})", signal.rule)),
        (Asked::Test(test), Question::Signal(rule)) => (test.name.clone(), test.line, rule.source().to_string()),
    };
    TestReport {
        name,
        held: None,
        applicable: true,
        expected,
        actual: String::new(),
        values: std::collections::BTreeMap::new(),
        line,
        trials: 0,
        trials_held: 0,
        trials_undecided: 0,
        suspect: false,
        bounds: None,
        why: None,
    }
}

/// What a test needs and does not find, with the attribute to add.
fn blindness(unknown: &[&str], request: &Request) -> String {
    let wants = unknown.iter().map(|name| {
        let field = match *name {
            "answer" => Some("output"),
            "tool calls" => Some("tool.requested"),
            "documents" => Some("retrieval.documents"),
            other => match other.strip_prefix("field('").and_then(|rest| rest.strip_suffix("')")) {
                Some(field) => crate::field::definition(field).map(|definition| definition.name),
                None => crate::compile::field_of_signal(other),
            },
        };
        match field {
            Some(field) => format!("{name} is unknown: `{field}` needs {}", attribute(field, request)),
            None => format!("{name} is unknown"),
        }
    });
    wants.collect::<Vec<_>>().join("; ")
}

fn attribute(field: &str, request: &Request) -> String {
    match request.fields.get(field) {
        Some(crate::field::State::Absent { add, .. } | crate::field::State::Indeterminate { add, .. }) => add.to_string(),
        _ => crate::mapping::attribute_to_add(field).to_string(),
    }
}

/// The next command or edit, in the user's own terms.
fn next(report: &CaseReport) -> Option<String> {
    Some(match report.verdict {
        Verdict::Passed | Verdict::Changed(_) => return None,
        Verdict::Regressed(Regression::MissingTelemetry) => {
            "add the attribute that is named, or waive the field under `telemetry.waive` in relapse.yaml".into()
        }
        Verdict::Regressed(_) => format!("relapse run {} --target {} --verbose", report.id, report.target),
        Verdict::Undecided(Doubt::NeedsRecording) => {
            format!("relapse run {} --target {} --mode record, or take the change back", report.id, report.target)
        }
        Verdict::Undecided(Doubt::Blind) => "add the attribute that is named, so that the test can decide".into(),
        Verdict::Undecided(Doubt::NoTrace) => format!("set the attribute `relapse.case` to `{}` on the run's root span", report.id),
        Verdict::Undecided(Doubt::Judge) => format!("relapse run {} --target {} --mode record", report.id, report.target),
        Verdict::Undecided(_) => return None,
    })
}
