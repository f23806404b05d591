//! Which cases run on which targets: what a user names, less what did not change, less other shards.

use crate::case::Case;
use crate::disk::Root;
use crate::fault::{Fault, Faults, suggest};
use crate::project::{Project, Target, TargetKind};
use crate::replay::Assignment;
use crate::revision::Difference;
use crate::shard::Shard;
use crate::suite::Suite;
use crate::verdict::Part;
use std::collections::BTreeSet;

/// What a user names.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// Cases to run [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Targets to run on [default: those of the postmortem, else all but `expect: regressed`]
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Only cases of this failure class
    #[arg(long, value_name = "CLASS")]
    class: Vec<String>,
    /// Only cases that a change since this revision touches
    #[arg(long, value_name = "REV")]
    changed_since: Option<String>,
    /// Only this part of the cases, as in 1/3
    #[arg(long, value_name = "I/N", value_parser = |text: &str| text.parse::<Shard>().map_err(|fault| fault.message))]
    shard: Option<Shard>,
    /// Run the targets with `expect: regressed`, and exit 0 only if every case regresses on them
    #[arg(long)]
    pub(super) prove: bool,
}

/// What runs.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// Cases on targets.
    pub(super) assignments: Vec<Assignment<'a>>,
    /// The part of the run that this is.
    pub(super) part: Option<Part>,
    /// Whether the selection is empty only because nothing changed, or because other shards have it.
    pub(super) is_unaffected: bool,
    /// What a reader should know about the selection.
    pub(super) notes: Vec<String>,
}

impl Wanted {
    /// Cases times targets; an unknown name is a mistake, an empty selection is not.
    pub(super) fn select<'a>(&self, root: &Root, suite: &'a Suite, project: &'a Project) -> Result<Selection<'a>, Faults> {
        let cases = self.cases(suite, project)?;
        let named: Vec<Assignment<'_>> =
            cases.iter().flat_map(|case| self.targets(case, project).map(move |target| Assignment { case, target })).collect();
        let mut notes = self.notes(suite, project, &named);
        let mut chosen = named.clone();
        if let Some(revision) = &self.changed_since {
            let difference = Difference::since(root, revision)?;
            chosen.retain(|assignment| difference.touches(&assignment.case.id, assignment.target));
            let ids: BTreeSet<&str> = suite.cases.iter().map(|case| case.id.as_str()).collect();
            notes.extend(uncovered(&difference.uncovered(&ids, &project.targets)));
        }
        if let Some(shard) = self.shard {
            let ids: BTreeSet<&str> = chosen.iter().map(|assignment| assignment.case.id.as_str()).collect();
            let mine: BTreeSet<&str> = ids.into_iter().enumerate().filter(|(place, _)| shard.holds(*place)).map(|(_, id)| id).collect();
            chosen.retain(|assignment| mine.contains(assignment.case.id.as_str()));
        }
        let part = self.shard.map(|shard| Part { shard, suite: suite.digest() });
        Ok(Selection { is_unaffected: chosen.is_empty() && !named.is_empty(), assignments: chosen, part, notes })
    }

    fn cases<'a>(&self, suite: &'a Suite, project: &Project) -> Result<Vec<&'a Case>, Faults> {
        let mut faults = Faults::new();
        for name in &self.target {
            if project.target(name).is_none() {
                let known: Vec<&str> = project.targets.iter().map(|target| target.name.as_str()).collect();
                faults.push(Fault::new(format!("no target `{name}` in relapse.yaml")).help(suggest(name, known)));
            }
        }
        let classes: Vec<&str> = suite.cases.iter().map(|case| case.class.as_str()).collect();
        for class in self.class.iter().filter(|class| !suite.cases.is_empty() && !classes.contains(&class.as_str())) {
            faults.push(Fault::new(format!("no case is of class `{class}`")).help(suggest(class, classes.iter().copied())));
        }
        let cases = faults.take(suite.select(&self.ids)).unwrap_or_default();
        faults.into_result(cases.into_iter().filter(|case| self.class.is_empty() || self.class.contains(&case.class)).collect())
    }

    /// The targets of one case: `--target`, else the postmortem's, else all; a proof takes those that must regress.
    fn targets<'a>(&self, case: &Case, project: &'a Project) -> impl Iterator<Item = &'a Target> {
        project.targets.iter().filter(move |target| {
            let of_case = case.targets.is_empty() || case.targets.contains(&target.name);
            match (self.target.is_empty(), self.prove) {
                (false, prove) => self.target.contains(&target.name) && (!prove || target.expect_regressed),
                (true, true) => of_case && target.expect_regressed,
                (true, false) => of_case && !target.expect_regressed,
            }
        })
    }

    /// The prompt targets of a run, in the order of `--target`, else of relapse.yaml.
    pub(super) fn comparable<'a>(&self, project: &'a Project) -> Vec<&'a str> {
        comparable(project, &self.target)
    }

    fn notes(&self, suite: &Suite, project: &Project, assignments: &[Assignment<'_>]) -> Vec<String> {
        let mut notes = Vec::new();
        if suite.cases.is_empty() {
            notes.push("no cases: write a postmortem with `relapse new`, then run `relapse compile`".into());
        } else if assignments.is_empty() {
            notes.push(format!("none of the {} cases and {} targets is selected", suite.cases.len(), project.targets.len()));
        }
        if self.prove && self.ids.is_empty() && self.class.is_empty() {
            let proved: BTreeSet<&str> = assignments.iter().map(|assignment| assignment.case.id.as_str()).collect();
            let unproved = suite.cases.iter().filter(|case| !proved.contains(case.id.as_str()));
            notes.extend(unproved.map(|case| format!("{}: no target with `expect: regressed` runs it", case.id)));
        }
        notes
    }
}

/// The prompt targets of a project, named ones first: the first is what the others are compared with. An application's
/// telemetry says other things than a conversation, so only like is compared with like.
pub(super) fn comparable<'a>(project: &'a Project, named: &[String]) -> Vec<&'a str> {
    let is_prompt = |target: &&Target| matches!(target.kind, TargetKind::Prompt(_));
    let mut names: Vec<&str> = project.targets.iter().filter(is_prompt).map(|target| target.name.as_str()).collect();
    names.sort_by_key(|name| named.iter().position(|wanted| wanted == name));
    names
}

/// Files that changed and that no case looks at.
const UNCOVERED: usize = 10;

fn uncovered(files: &[&str]) -> Option<String> {
    let (shown, more) = (files.iter().take(UNCOVERED).copied().collect::<Vec<_>>().join(", "), files.len().saturating_sub(UNCOVERED));
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    (!files.is_empty()).then(|| format!("changed, and no case is selected by it: {shown}{more}"))
}
