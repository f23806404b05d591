//! A confirmation: a failing case replayed with one factor restored at a time, and what made its failing tests hold.

mod minimise;
mod patch;
mod previous;
mod variation;

pub use previous::Good;

use crate::compile;
use crate::diagnosis::{Effect, Factor, Swap};
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::project::TargetKind;
use crate::recording::Borrowed;
use crate::replay::{self, Assignment, Stage};
use crate::request::Request;
use crate::verdict::{CaseReport, Doubt, Outcome, Verdict};
use patch::Patch;
use previous::{Previous, PromptChange};
use std::collections::BTreeSet;
use variation::Variation;

/// What swaps of every factor came to.
#[derive(Debug, Default)]
pub struct Confirmation {
    /// One swap of each factor, in the order in which they were tried.
    pub swaps: Vec<Swap>,
    /// Why the first that could not be decided was not.
    pub doubt: Option<Doubt>,
    /// What the swaps cost, in US dollars.
    pub cost_usd: f64,
    /// Requests sent to a live provider.
    pub live_requests: u64,
    /// Live answers that could not be written.
    pub unsaved: Faults,
    /// How a signal ended it early, if one did.
    pub interrupted: Option<Outcome>,
}

/// What one replay with something restored came to.
enum Tried {
    /// These tests failed and hold now; what held and does not any more.
    Flips(BTreeSet<String>, BTreeSet<String>),
    Stands,
    Undecided(String),
}

/// Restores one factor after the other, then as few hunks of the prompt as do.
///
/// # Errors
/// A target of exported traces, and what worked that cannot be read.
pub fn confirm(stage: Stage<'_>, assignment: Assignment<'_>, good: Good<'_>, failing: &CaseReport) -> Result<Confirmation, Faults> {
    let healthy = compile::healthy(stage.root, stage.standard.mapping, &assignment.case.id)?;
    let input = assignment.case.input.as_str();
    let base = healthy.iter().find(|request| request.input().as_deref() == input).or(healthy.first());
    let previous = match &assignment.target.kind {
        TargetKind::Prompt(prompt) => Some(Previous::of(stage, assignment, prompt, good, (base, failing))?),
        TargetKind::Application(_) | TargetKind::Service(_) => None,
        TargetKind::Traces(_) => {
            let fault = Fault::new("exported traces cannot be replayed with a factor restored").at(assignment.target.place.clone());
            return Err(fault.help("confirm on a prompt target or an application").into());
        }
    };
    let recordings = previous::recordings(stage, assignment, good)?;
    let mut bench = Bench {
        stage,
        assignment,
        recordings,
        failing: state(failing, false),
        holding: state(failing, true),
        runs: 0,
        found: Confirmation::default(),
    };
    for (_, factor) in Factor::ALL {
        let swap = bench.swap(factor, previous.as_ref(), base);
        bench.found.swaps.push(swap);
    }
    Ok(bench.found)
}

/// The tests and fields of a report that hold or do not.
fn state(report: &CaseReport, held: bool) -> BTreeSet<String> {
    let tests = report.tests.iter().filter(|test| test.held == Some(held)).map(|test| test.name.clone());
    let fields = report.fields.iter().filter(|field| field.held == Some(held)).map(|field| field.field.clone());
    tests.chain(fields).collect()
}

/// A failing case, about to be replayed with something restored.
struct Bench<'a> {
    stage: Stage<'a>,
    assignment: Assignment<'a>,
    recordings: Vec<Borrowed>,
    failing: BTreeSet<String>,
    holding: BTreeSet<String>,
    runs: usize,
    found: Confirmation,
}

impl Bench<'_> {
    fn swap(&mut self, factor: Factor, previous: Option<&Previous>, base: Option<&Request>) -> Swap {
        let assignment = self.assignment;
        let varied = match (previous, factor) {
            (Some(previous), Factor::Prompt) => match &previous.prompt {
                Ok(change) => return self.prompt(change),
                Err(why) => Err(why.clone()),
            },
            (Some(previous), _) => Variation::of_conversation(assignment, (previous, base), factor),
            (None, _) => Variation::of_application(assignment, base, factor),
        };
        match varied {
            Ok(variation) => told(factor, self.run(&variation)),
            Err(why) => Swap::untried(factor, why),
        }
    }

    /// The previous prompt, and where it flips anything, the smallest set of its hunks that does.
    fn prompt(&mut self, change: &PromptChange) -> Swap {
        let patch = Patch::between(&change.previous, &change.present);
        let all = (0..patch.hunks().len()).collect();
        let tried = self.run(&Variation::prompted(self.assignment, change, patch.restoring(&all)));
        let Tried::Flips(wanted, _) = &tried else { return told(Factor::Prompt, tried) };
        let (smallest, unclear) = self.fewest_hunks(change, &patch, &wanted.clone());
        let mut swap = told(Factor::Prompt, tried);
        swap.of_hunks = patch.hunks().len();
        swap.hunks = smallest.iter().filter_map(|hunk| patch.hunks().get(*hunk)).cloned().collect();
        // Nothing is smaller than one hunk.
        let unclear = unclear.filter(|_| smallest.len() > 1).map(|why| format!("fewer may do, which is undecided: {why}"));
        let reasons: Vec<String> = swap.why.take().into_iter().chain(unclear).collect();
        swap.why = (!reasons.is_empty()).then(|| reasons.join("; "));
        swap
    }

    /// As few hunks as flip the same tests, and why a set could not be decided, if one could not.
    fn fewest_hunks(&mut self, change: &PromptChange, patch: &Patch, wanted: &BTreeSet<String>) -> (BTreeSet<usize>, Option<String>) {
        let mut unclear = None;
        let smallest = minimise::minimise(patch.hunks().len(), |hunks| {
            if self.runs >= limit::SWAP_REPLAYS {
                unclear.get_or_insert_with(|| format!("{} replays are the limit", limit::SWAP_REPLAYS));
                return None;
            }
            match self.run(&Variation::prompted(self.assignment, change, patch.restoring(hunks))) {
                Tried::Flips(flipped, _) => Some(wanted.is_subset(&flipped)),
                Tried::Stands => Some(false),
                Tried::Undecided(why) => {
                    unclear.get_or_insert(why);
                    Some(false)
                }
            }
        });
        (smallest, unclear)
    }

    fn run(&mut self, variation: &Variation) -> Tried {
        if self.found.interrupted.is_some() {
            return Tried::Undecided("interrupted".into());
        }
        self.runs += 1;
        let stage = Stage { swap: Some(&self.recordings), ..self.stage };
        let replayed = replay::replay(stage, &[Assignment { case: &variation.case, target: &variation.target }]);
        let replayed = match replayed {
            Ok(replayed) => replayed,
            Err(faults) => return Tried::Undecided(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        };
        self.found.interrupted = replayed.interrupted;
        self.found.unsaved.extend(replayed.unsaved);
        let Some(report) = replayed.reports.first() else { return Tried::Undecided("nothing in the case applies".into()) };
        self.found.cost_usd += report.cost_usd;
        self.found.live_requests += report.live_requests;
        self.judge(report)
    }

    fn judge(&mut self, report: &CaseReport) -> Tried {
        let flipped: BTreeSet<String> = self.failing.intersection(&state(report, true)).cloned().collect();
        if !flipped.is_empty() {
            return Tried::Flips(flipped, self.holding.intersection(&state(report, false)).cloned().collect());
        }
        let Verdict::Undecided(doubt) = report.verdict else { return Tried::Stands };
        self.found.doubt.get_or_insert(doubt);
        Tried::Undecided(undecided(doubt, report))
    }
}

/// Why a replay came to nothing; of a request that is not recorded, without its difference to the nearest one.
fn undecided(doubt: Doubt, report: &CaseReport) -> String {
    let detail = report.detail.as_deref().unwrap_or("nothing can be said");
    let first = detail.lines().next().unwrap_or_default().trim_end_matches(':');
    let help = if doubt == Doubt::NeedsRecording { " (`--mode record` asks for it)" } else { "" };
    format!("{}: {first}{help}", report.verdict.reason().unwrap_or_default())
}

fn told(factor: Factor, tried: Tried) -> Swap {
    let made = |effect, flipped: BTreeSet<String>, why| Swap {
        factor,
        effect,
        flipped: flipped.into_iter().collect(),
        hunks: Vec::new(),
        of_hunks: 0,
        why,
    };
    match tried {
        Tried::Flips(flipped, broken) => {
            let broken: Vec<String> = broken.into_iter().collect();
            let why = (!broken.is_empty()).then(|| format!("{} held and does not with it", broken.join(", ")));
            made(Effect::Flipped, flipped, why)
        }
        Tried::Stands => made(Effect::NotFlipped, BTreeSet::new(), None),
        Tried::Undecided(why) => Swap::untried(factor, why),
    }
}
