//! Acceptance: a candidate's behaviour held against the snapshot that a person accepted.

use super::{Assignment, Stage};
use crate::fault::Fault;
use crate::project::{SnapshotKind, TargetKind};
use crate::recording::Mode;
use crate::request::Request;
use crate::signal::Signals;
use crate::snapshot::{self, Snapshot};
use crate::verdict::{CaseReport, Change, Verdict};
use std::borrow::Cow;

/// What was accepted for one case on one target, if its target keeps snapshots, and what its candidate did.
#[derive(Debug)]
pub(super) struct Acceptance<'r> {
    kind: SnapshotKind,
    accepted: Option<Snapshot>,
    seen: Option<Cow<'r, Request>>,
}

impl<'r> Acceptance<'r> {
    /// # Errors
    /// A snapshot that cannot be read: it is never taken for a missing one.
    pub(super) fn load(stage: Stage<'_>, assignment: Assignment<'_>) -> Result<Self, Fault> {
        let kind = kind(stage, assignment);
        let accepted = match kind {
            SnapshotKind::Off => None,
            _ => Snapshot::load(stage.root, &snapshot::path(&assignment.case.id, &assignment.target.name))?,
        };
        Ok(Self { kind, accepted, seen: None })
    }

    /// The signals of the accepted run; none when nothing was accepted yet.
    pub(super) fn signals(&self) -> Option<&Signals> {
        self.accepted.as_ref().map(|accepted| &accepted.signals)
    }

    /// Keeps a trial that was judged; of several, the first one is what a person reviews.
    pub(super) fn keep(&mut self, request: Cow<'r, Request>) {
        self.seen.get_or_insert(request);
    }

    /// What the first trial did; none when no trial came to anything.
    pub(super) fn seen(&self) -> Option<&Request> {
        self.seen.as_deref()
    }

    /// Turns a pass into a change where the behaviour is not the accepted one; all tests must hold for that. A pending
    /// snapshot of what became right again is taken away.
    pub(super) fn settle(self, stage: Stage<'_>, assignment: Assignment<'_>, mut report: CaseReport) -> Result<CaseReport, Fault> {
        let Some(seen) = self.seen.filter(|_| report.verdict == Verdict::Passed) else { return Ok(report) };
        let Some(candidate) = Snapshot::of(&seen, self.kind, (&stage.project.matching, stage.redactor)) else { return Ok(report) };
        report.snapshot = snapshot::compare(assignment.case, &assignment.target.name, (self.accepted.as_ref(), &candidate));
        match &report.snapshot {
            Some(snapshot) => {
                let change = if snapshot.accepted.is_some() { Change::Different } else { Change::New };
                report.verdict = Verdict::Changed(change);
                report.next = Some(format!("relapse review --accept {}@{}", report.id, report.target));
            }
            None => snapshot::drop_pending(stage.destination, &report.id, &report.target)?,
        }
        Ok(report)
    }
}

/// What the author says; else answers where they are recorded, and nothing where they are new on every run.
fn kind(stage: Stage<'_>, assignment: Assignment<'_>) -> SnapshotKind {
    let target = assignment.target;
    let off = stage.mode == Mode::Refresh || target.expect_regressed || matches!(target.kind, TargetKind::Traces(_));
    target.snapshot.unwrap_or(if off { SnapshotKind::Off } else { SnapshotKind::Answer })
}
