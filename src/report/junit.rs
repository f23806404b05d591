//! The JUnit report: one test case for each case and target, in the dialect that CI systems agree on (`tests/junit.xsd`).

use crate::inert;
use crate::limit;
use crate::snapshot::difference;
use crate::verdict::{CaseReport, Contradiction, FieldReport, Outcome, SnapshotReport, Standing, Summary, TestReport};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite, XmlString};
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

/// Stands for a tab while the XML library, which drops tabs, has the text; [`inert::xml`] escapes every real one.
const TAB: &str = "\u{FDD0}";

/// Writes the report: one suite for each case directory, one test case for each target.
///
/// A regression is a `failure`; what is changed or undecided is an `error`; what does not count is `skipped`. Readers that
/// merge the two find the reason in `type` and as the first word of `message`. A test that held in only some of its trials is
/// a `flakyFailure` of a pass. With `--prove` a regression is what was wanted, so it is a pass and the lack of one
/// (`not-regressed`) a failure. A run without cases, or without all of them, has one `error` of its own, because readers take
/// an empty file for green. Times are 0.000 and there is no timestamp: same inputs, same bytes.
pub fn write(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let text = report(summary).to_string().map_err(io::Error::other)?;
    out.write_all(text.replace(TAB, "\t").as_bytes())
}

fn report(summary: &Summary) -> Report {
    let mut report = Report::new("relapse");
    report.set_time(Duration::ZERO);
    let mut names = HashMap::new();
    let budget = (limit::JUNIT_FILE_BYTES / summary.cases.len().max(1)).clamp(4 << 10, limit::JUNIT_TEXT_BYTES);
    for cases in summary.cases.chunk_by(|a, b| a.id == b.id) {
        let Some(first) = cases.first() else { continue };
        let mut suite = TestSuite::new(line(&directory(first)));
        suite.set_time(Duration::ZERO);
        for case in cases {
            let mut test_case = TestCase::new(unique(&mut names, &name(case)), status(case, summary.prove, budget));
            place(case, &mut test_case);
            suite.add_test_case(test_case);
        }
        report.add_test_suite(suite);
    }
    report.add_test_suites(run(summary.outcome));
    report
}

/// A suite for the run itself, where the cases do not tell what happened to it.
fn run(outcome: Outcome) -> Option<TestSuite> {
    let about = match outcome {
        Outcome::NothingRan => "no case was decided",
        Outcome::Misconfigured => "flags or files are wrong, or a case is stale",
        outcome if outcome.is_complete() => return None,
        _ => "the run did not end by itself; cases are missing here",
    };
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(outcome.word()).set_message(message(outcome.word(), about));
    let mut test_case = TestCase::new("relapse run", status);
    test_case.set_classname("relapse").set_time(Duration::ZERO);
    let mut suite = TestSuite::new("relapse");
    suite.set_time(Duration::ZERO).add_test_case(test_case);
    Some(suite)
}

fn directory(case: &CaseReport) -> String {
    format!("cases/{}", case.id)
}

fn name(case: &CaseReport) -> String {
    format!("{} [{}]", case.id, case.target)
}

/// The name, with a number if it was there before: readers drop or merge what has a name twice.
fn unique(names: &mut HashMap<String, usize>, name: &str) -> XmlString {
    let name = line(name);
    let count = names.entry(name.to_string()).or_insert(0);
    *count += 1;
    if *count == 1 { name } else { line(&format!("{} #{count}", name.as_str())) }
}

fn place(case: &CaseReport, test_case: &mut TestCase) {
    test_case.set_classname(line(&directory(case)));
    test_case.set_time(Duration::ZERO);
    test_case.extra.insert("file".into(), line(case.postmortem.file.as_str()));
    if case.postmortem.line > 0 {
        test_case.extra.insert("line".into(), case.postmortem.line.to_string().into());
    }
}

fn status(case: &CaseReport, prove: bool, budget: usize) -> TestCaseStatus {
    match case.standing(prove) {
        Standing::Passing if prove => TestCaseStatus::success(),
        Standing::Passing => TestCaseStatus::Success { flaky_runs: case.tests.iter().filter(|test| test.is_flaky()).map(flaky).collect() },
        Standing::Failing if prove => unsuccessful(case, NonSuccessKind::Failure, "not-regressed", budget),
        Standing::Failing => unsuccessful(case, NonSuccessKind::Failure, reason(case), budget),
        Standing::Undecided(_) | Standing::Changed => unsuccessful(case, NonSuccessKind::Error, reason(case), budget),
        Standing::Aside(aside) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message(aside.word(), aside.why()));
            status
        }
    }
}

fn reason(case: &CaseReport) -> &'static str {
    case.verdict.reason().unwrap_or(case.verdict.word())
}

fn unsuccessful(case: &CaseReport, kind: NonSuccessKind, reason: &str, budget: usize) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    let failing = case.tests.iter().filter(|test| test.held == Some(false)).map(|test| test.name.as_str());
    let names = failing.collect::<Vec<_>>().join("; ");
    let about = if names.is_empty() { &case.title } else { &names };
    status.set_message(message(reason, about)).set_type(reason).set_description(text(&body(case, reason), budget));
    status
}

fn flaky(test: &TestReport) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    let bounds = test.bounds.as_ref().map(|bounds| format!(" ({bounds})")).unwrap_or_default();
    let held = format!("{}: held in {} of {} trials{bounds}", test.name, test.trials_held, test.trials);
    rerun.set_type("flaky").set_message(message("flaky", &held));
    rerun
}

/// Everything that a reader of the log needs, for people: this is all that most CI systems show.
fn body(case: &CaseReport, reason: &str) -> String {
    let mut body = format!("{}: {}\n", reason, case.title);
    push(&mut body, "", case.detail.as_deref());
    case.tests.iter().filter(|test| test.applicable && test.held != Some(true)).for_each(|test| test_body(&mut body, case, test));
    case.fields
        .iter()
        .filter(|field| field.held == Some(false) && field.waived.is_none())
        .for_each(|field| field_body(&mut body, case, field));
    case.contradictions.iter().for_each(|contradiction| contradiction_body(&mut body, contradiction));
    case.snapshot.iter().for_each(|snapshot| snapshot_body(&mut body, snapshot));
    body.push_str(&case.diagnosis.as_ref().map(super::diagnosis::short).unwrap_or_default());
    case.notes.iter().for_each(|note| push(&mut body, "note: ", Some(note)));
    push(&mut body, "\nnext: ", case.next.as_deref());
    body
}

fn test_body(body: &mut String, case: &CaseReport, test: &TestReport) {
    let word = match test.held {
        Some(_) if test.suspect => "suspect",
        Some(_) => "does not hold",
        None => "cannot be decided",
    };
    body.push_str(&format!("\n{} ({word})\n  {}:{}\n", test.name, case.postmortem.file, test.line));
    push(body, "  expected: ", Some(&test.expected));
    push(body, "  actual: ", Some(&inert::clip(&test.actual, limit::SHOWN_VERBOSE_BYTES)));
    for (name, datum) in &test.values {
        body.push_str(&format!("  {name} = {}\n", datum.to_json()));
    }
    if test.trials > 1 {
        push(body, "  trials: ", Some(&format!("held in {} of {}", test.trials_held, test.trials)));
        push(body, "  gate: ", test.bounds.as_deref());
    }
    push(body, "  why: ", test.why.as_deref());
}

fn field_body(body: &mut String, case: &CaseReport, field: &FieldReport) {
    body.push_str(&format!("\ntelemetry field {} on {}: {}\n", field.field, field.on, field.state));
    push(body, "  ", field.line.map(|line| format!("{}:{line}", case.postmortem.file)).as_deref());
    push(body, "  ", Some(&field.message));
}

fn contradiction_body(body: &mut String, contradiction: &Contradiction) {
    let Contradiction { field, told, wire } = contradiction;
    body.push_str(&format!("\ntelemetry contradicts the wire on {field}\n  telemetry: {told}\n  wire: {wire}\n"));
}

fn snapshot_body(body: &mut String, snapshot: &SnapshotReport) {
    let headline = if snapshot.accepted.is_some() { "differs from what was accepted" } else { "nothing was accepted yet" };
    body.push_str(&format!("\n{headline}: {}\n", snapshot.path));
    for line in difference::lines(snapshot.accepted.as_deref().unwrap_or_default(), &snapshot.candidate) {
        body.push_str(&format!("  {} {}\n", line.fate.sign(), line.marked()));
    }
}

fn push(body: &mut String, label: &str, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        body.push_str(&format!("{label}{text}\n"));
    }
}

/// One line for an attribute, in which parsers turn line ends into spaces.
fn line(text: &str) -> XmlString {
    shown(&text.replace("\r\n", "\\n").replace('\n', "\\n").replace('\t', "\\t")).into()
}

/// A message: one line that begins with the reason, for readers that show nothing else.
fn message(reason: &str, about: &str) -> XmlString {
    let message = format!("{reason}: {about}").replace("\r\n", "\\n").replace('\n', "\\n").replace('\t', "\\t");
    clipped(&message, limit::JUNIT_MESSAGE_BYTES).into()
}

fn text(text: &str, budget: usize) -> XmlString {
    clipped(&text.replace("\r\n", "\n"), budget).replace('\t', TAB).into()
}

/// At most so many bytes of a text as it is shown.
fn clipped(text: &str, bytes: usize) -> String {
    // No character grows more than sixfold when it is shown.
    let whole = shown(&inert::clip(text, bytes));
    if whole.len() <= bytes { whole } else { shown(&inert::clip(text, bytes / 6)) }
}

/// Text that XML may hold, that acts in no log into which the file is printed, and in which GitLab sees no attachment.
fn shown(text: &str) -> String {
    inert::workflow_safe(&inert::xml(text)).replace("[[ATTACHMENT", "[ [ATTACHMENT")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::inert::runner;
    use proptest::prelude::*;

    fn xml(summary: &Summary) -> String {
        let mut bytes = Vec::new();
        write(summary, &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// What is wrong with a file by the schema of our dialect, as a parser and validator see it that did not write it.
    fn faults(xml: &str) -> Vec<String> {
        let schema = uppsala::parse(include_str!("../../tests/junit.xsd")).expect("a schema that is XML");
        let schema = uppsala::XsdValidator::from_schema(&schema).expect("a schema");
        match uppsala::parse(xml) {
            Ok(document) => schema.validate(&document).iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    fn read(xml: &str) -> Report {
        Report::deserialize_from_str(xml).unwrap_or_else(|error| panic!("{error}: {xml}"))
    }

    #[test]
    fn golden() {
        insta::assert_snapshot!(xml(&sample::summary()));
    }

    #[test]
    fn the_file_is_of_our_schema_whatever_was_recorded() {
        let mut summaries = vec![sample::summary(), sample::proof(), sample::comparison()];
        let hostile = ["\0", "\x1b[2J", "]]>", "\u{FFFE}\u{FFFF}", "\u{202E}\u{2066}", "a\rb\r\n", "::error::x", "<!--", "&#0;", ""];
        summaries.extend(hostile.iter().map(|text| sample::hostile(text)));
        summaries.push(sample::hostile(&hostile.concat()));
        summaries.extend([Outcome::NothingRan, Outcome::Interrupted].map(|outcome| Summary { outcome, ..sample::summary() }));
        for summary in &summaries {
            let xml = xml(summary);
            assert_eq!(faults(&xml), Vec::<String>::new(), "{xml}");
        }
    }

    #[test]
    fn the_schema_refuses_what_is_not_ours() {
        let good = xml(&sample::summary());
        for (from, to) in [
            ("<testcase ", "<testcase stray=\"1\" "),
            ("type=\"regression\"", "type=\"Regression!\""),
            ("time=\"0.000\"", "time=\"soon\""),
            ("<testcase name=", "<testcase title="),
            ("</testsuites>", ""),
        ] {
            assert!(good.contains(from), "{from}");
            assert_ne!(faults(&good.replacen(from, to, 1)), Vec::<String>::new(), "{from}");
        }
    }

    #[test]
    fn a_proof_fails_where_nothing_regressed() {
        let report = read(&xml(&sample::proof()));
        assert_eq!((report.tests, report.failures, report.errors, report.skipped), (2, 1, 0, 0));
    }

    #[test]
    fn tabs_and_line_feeds_stay_and_attachments_do_not() {
        let xml = xml(&sample::hostile("a\tb\nc [[ATTACHMENT|/etc/passwd]] ]]> \u{FFFE}\x1b\u{FDD0}"));
        assert!(xml.contains("a\tb\nc [ [ATTACHMENT|/etc/passwd]] ]]&gt; \\u{fffe}\\u{1b}\\u{fdd0}"), "{xml}");
    }

    #[test]
    fn texts_and_messages_have_their_caps() {
        let report = read(&xml(&sample::hostile(&"<é\t".repeat(60_000))));
        let TestCaseStatus::NonSuccess { message, description, .. } = &report.test_suites[0].test_cases[0].status else {
            panic!("a failure")
        };
        assert!(message.as_ref().expect("there").len() <= limit::JUNIT_MESSAGE_BYTES);
        assert!(description.as_ref().expect("there").len() <= limit::JUNIT_TEXT_BYTES);
    }

    #[test]
    fn an_unfinished_or_empty_run_is_not_green() {
        for outcome in [Outcome::Interrupted, Outcome::Terminated, Outcome::Internal, Outcome::NothingRan, Outcome::Misconfigured] {
            let report = read(&xml(&Summary {
                outcome,
                cases: Vec::new(),
                prove: false,
                comparisons: Vec::new(),
                stories: std::collections::BTreeMap::new(),
                part: None,
                notes: Vec::new(),
            }));
            assert_eq!((report.tests, report.errors), (1, 1), "{outcome:?}");
        }
    }

    #[test]
    fn a_name_never_comes_twice() {
        let mut summary = sample::hostile("x");
        summary.cases.insert(0, summary.cases[0].clone());
        let names: Vec<String> = read(&xml(&summary)).test_suites[0].test_cases.iter().map(|case| case.name.to_string()).collect();
        assert_eq!(names.len(), 2);
        assert_ne!(names[0], names[1]);
    }

    fn may_show(character: char) -> bool {
        let noncharacter = matches!(character, '\u{FDD0}'..='\u{FDEF}') || u32::from(character) & 0xFFFE == 0xFFFE;
        matches!(character, '\t' | '\n') || !(character.is_control() || noncharacter)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn recorded_text_stays_well_formed_and_inert(hostile in runner::hostile()) {
            let xml = xml(&sample::hostile(&hostile));
            let hidden: Vec<char> = xml.chars().filter(|character| !may_show(*character)).collect();
            prop_assert_eq!(hidden, Vec::<char>::new());
            let report = read(&xml);
            prop_assert_eq!(faults(&xml), Vec::<String>::new());
            prop_assert_eq!(runner::fired(&xml), Vec::<String>::new());
            prop_assert_eq!(report.tests, report.test_suites.iter().map(|suite| suite.test_cases.len()).sum::<usize>());
        }
    }
}
