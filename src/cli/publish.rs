//! Publishing: one summary written as every report that was asked for, and as GitHub and a terminal show it.

use super::print::Terminal;
use crate::compile;
use crate::disk::Root;
use crate::fault::{Fault, Faults};
use crate::mapping::Mapping;
use crate::report::{self, Kind, github};
use crate::verdict::{CaseReport, Outcome, Story, Summary, Verdict};
use camino::Utf8PathBuf;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Where a run's reports go.
#[derive(Debug, clap::Args)]
pub(super) struct Reports {
    /// Write a report, as in junit=out.xml; kinds: json, junit, markdown, html, comment
    #[arg(long, value_name = "KIND=FILE")]
    report: Vec<String>,
    /// Where reports, pending snapshots and new recordings go, as CI keeps them for `relapse review --from`
    #[arg(long, value_name = "DIR")]
    pub(super) report_dir: Option<Utf8PathBuf>,
    /// Annotate the pull request and write the job's summary [default: where GITHUB_ACTIONS=true]
    #[arg(long)]
    github: bool,
    /// Print passed tests and all values too
    #[arg(long, short)]
    verbose: bool,
}

impl Reports {
    /// The reports that are asked for; a report directory holds one of each kind.
    pub(super) fn requests(&self) -> Result<Vec<report::Request>, Faults> {
        let in_directory = self.report_dir.iter().flat_map(|directory| report::Kind::all().map(move |kind| kind.request_in(directory)));
        let asked = report::Request::parse_all(self.report.iter().map(String::as_str))?;
        Ok(asked.into_iter().chain(in_directory).collect())
    }

    fn is_on_github(&self) -> bool {
        self.github || std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true")
    }
}

/// What happened then, for every case that does not simply pass; nothing where no report shows it.
pub(super) fn stories(
    (root, mapping): (&Root, &Mapping),
    requests: &[report::Request],
    cases: &[CaseReport],
) -> Result<BTreeMap<String, Story>, Faults> {
    let (mut faults, mut stories) = (Faults::new(), BTreeMap::new());
    let told = cases.iter().filter(|case| case.verdict != Verdict::Passed && requests.iter().any(|request| request.kind == Kind::Html));
    let ids: BTreeSet<&str> = told.map(|case| case.id.as_str()).collect();
    for id in ids {
        stories.extend(faults.take(compile::story(root, mapping, id)).map(|story| (id.to_string(), story)));
    }
    faults.into_result(stories)
}

/// Writes the reports, then shows the run; a report that could not be written is part of the outcome.
pub(super) fn publish(
    mut summary: Summary,
    requests: &[report::Request],
    reports: &Reports,
    (root, terminal): (&Root, Terminal),
) -> Outcome {
    summary.notes.extend(report::notes(&summary, requests));
    let mut faults = Faults::new();
    faults.take(report::write_all(&summary, requests));
    if reports.is_on_github() {
        faults.take(append(&summary));
    }
    if !faults.is_empty() {
        summary = summary.worsened(Outcome::Unreported);
    }
    terminal.summary(&summary, reports.verbose);
    if reports.is_on_github() {
        terminal.annotations(&summary);
    }
    if !faults.is_empty() {
        terminal.faults(&faults, Some(root));
    }
    let outcome = summary.outcome;
    // The process ends with the run, and takes all of it back at once.
    std::mem::forget(summary);
    outcome
}

fn append(summary: &Summary) -> Result<(), Fault> {
    let path = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (page, output) = (path("GITHUB_STEP_SUMMARY"), path("GITHUB_OUTPUT"));
    let files = github::Files { summary: page.as_deref(), output: output.as_deref() };
    github::append(summary, files).map_err(|error| Fault::unreported(format!("the job's summary or outputs could not be written: {error}")))
}
