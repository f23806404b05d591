//! What GitHub Actions shows: annotations on the postmortem's line, the job's summary, and outputs for later steps.

use super::markdown;
use crate::inert;
use crate::limit;
use crate::verdict::{CaseReport, Standing, Summary};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Annotations of one level that a step may have is 10: nine of ours, and one that counts the rest.
const SHOWN: usize = 9;
/// Characters of a message that are kept.
const MESSAGE_CHARS: usize = 1000;

/// Writes workflow commands: errors for regressions, warnings for what a person or a rerun must settle, worst first.
///
/// # Errors
/// A writer that fails.
pub fn annotations(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let mut cases: Vec<(Standing, &CaseReport)> = summary.cases.iter().map(|case| (case.standing(summary.prove), case)).collect();
    cases.sort_by_key(|(standing, _)| *standing);
    let of =
        |wanted: fn(&Standing) -> bool| cases.iter().filter(|(standing, _)| wanted(standing)).map(|(_, case)| *case).collect::<Vec<_>>();
    level("error", &of(|standing| *standing == Standing::Failing), out)?;
    level("warning", &of(|standing| matches!(standing, Standing::Undecided(_) | Standing::Changed)), out)
}

fn level(command: &str, cases: &[&CaseReport], out: &mut impl Write) -> io::Result<()> {
    for case in cases.iter().take(SHOWN) {
        let file = property(case.postmortem.file.as_str());
        let line = case.postmortem.line.max(1);
        let title = property(&format!("{} [{}]", case.id, case.target));
        writeln!(out, "::{command} file={file},line={line},endLine={line},title={title}::{}", message(&about(case)))?;
    }
    let more = cases.len().saturating_sub(SHOWN);
    if more > 0 { writeln!(out, "::{command} title=relapse::and {more} more; the job summary has all of them") } else { Ok(()) }
}

/// The verdict with its reason, and what shows it.
fn about(case: &CaseReport) -> String {
    let mut text = format!("{} ({}): {}", case.verdict.word(), case.verdict.reason().unwrap_or("not-regressed"), case.title);
    for test in case.tests.iter().filter(|test| test.applicable && test.held != Some(true)) {
        let actual =
            if test.actual.is_empty() { String::new() } else { format!("; actual {}", inert::clip(&test.actual, limit::SHOWN_BYTES)) };
        text.push_str(&format!("\n{}: expected {}{actual}", test.name, test.expected));
    }
    for field in case.fields.iter().filter(|field| field.held == Some(false) && field.waived.is_none()) {
        text.push_str(&format!("\ntelemetry field {} is {}: {}", field.field, field.state, field.message));
    }
    text.extend(case.detail.iter().map(|detail| format!("\n{detail}")));
    text
}

fn message(text: &str) -> String {
    let clipped: String = inert::visible(text).chars().take(MESSAGE_CHARS).collect();
    escaped(&clipped)
}

fn property(text: &str) -> String {
    escaped(&inert::visible(text)).replace(':', "%3A").replace(',', "%2C")
}

/// The runner's own escapes, in the order in which it takes them back; and `##[`, which it would read within a line.
fn escaped(text: &str) -> String {
    inert::workflow_safe(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The files that a step may append to, as the runner's variables name them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files<'a> {
    /// `GITHUB_STEP_SUMMARY`.
    pub summary: Option<&'a Path>,
    /// `GITHUB_OUTPUT`.
    pub output: Option<&'a Path>,
}

/// Appends the job's summary and the outputs `outcome`, `exit` and the four counts: numbers and words of ours only.
///
/// # Errors
/// A file that cannot be appended to.
pub fn append(summary: &Summary, files: Files<'_>) -> io::Result<()> {
    if let Some(path) = files.summary {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        markdown::write(summary, &mut file)?;
    }
    let Some(path) = files.output else { return Ok(()) };
    let counts = summary.counts();
    let lines = [
        ("outcome", summary.outcome.word().to_string()),
        ("exit", summary.outcome.exit().to_string()),
        ("passed", counts.passed.to_string()),
        ("regressed", counts.regressed.to_string()),
        ("changed", counts.changed.to_string()),
        ("undecided", counts.undecided.to_string()),
    ];
    let text: String = lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

const _: () = assert!(limit::MARKDOWN_REPORT_BYTES <= 900 << 10, "GitHub drops a summary of over a mebibyte whole");

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::inert::runner;
    use proptest::prelude::*;

    fn commands(summary: &Summary) -> String {
        let mut bytes = Vec::new();
        annotations(summary, &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn golden() {
        insta::assert_snapshot!(commands(&sample::summary()));
    }

    #[test]
    fn ten_of_a_level_are_the_most() {
        let mut summary = sample::summary();
        let case = summary.cases.iter().find(|case| case.standing(false) == Standing::Failing).expect("a failing case").clone();
        summary.cases = vec![case; 300];
        let text = commands(&summary);
        assert_eq!(text.lines().count(), 10);
        assert!(text.ends_with("::error title=relapse::and 291 more; the job summary has all of them\n"));
    }

    #[test]
    fn outputs_are_appended_and_hold_words_of_ours() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (page, output) = (folder.path().join("summary"), folder.path().join("output"));
        std::fs::write(&output, "before=1\n").expect("written");
        append(&sample::summary(), Files { summary: Some(&page), output: Some(&output) }).expect("appended");
        let text = std::fs::read_to_string(&output).expect("there");
        assert!(text.starts_with("before=1\noutcome=regressed\nexit=1\n"), "{text}");
        assert!(std::fs::read_to_string(&page).expect("there").starts_with("## relapse: regressed"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_runner_finds_only_what_we_meant(hostile in runner::hostile()) {
            let text = commands(&sample::hostile(&hostile));
            let meant = text.lines().count();
            let fired = runner::fired(&text);
            prop_assert_eq!(fired.len(), meant);
            prop_assert!(fired.iter().all(|line| line.starts_with("error: ") || line.starts_with("warning: ")), "{:?}", fired);
        }
    }
}
