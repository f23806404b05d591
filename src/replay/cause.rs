//! The cause: what a failing case did on a target, held against the healthy evidence by the runbook.

use super::{Assignment, Stage};
use crate::compile;
use crate::contrast::Contrast;
use crate::request::Request;
use crate::verdict::{CaseReport, Verdict};

/// The same report with a diagnosis, where the case regressed; a note where the healthy evidence cannot be read.
pub(super) fn explain(stage: Stage<'_>, assignment: Assignment<'_>, mut report: CaseReport, candidate: Option<&Request>) -> CaseReport {
    let Some(candidate) = candidate.filter(|_| matches!(report.verdict, Verdict::Regressed(_))) else { return report };
    match compile::healthy(stage.root, stage.standard.mapping, &assignment.case.id) {
        Ok(healthy) => {
            let contrast = Contrast::new(&healthy, candidate);
            report.diagnosis = contrast.map(|contrast| stage.runbook.diagnose(&contrast, Some(&assignment.case.class)));
        }
        Err(faults) => report.notes.extend(faults.iter().map(|fault| format!("no diagnosis: {fault}"))),
    }
    report
}
