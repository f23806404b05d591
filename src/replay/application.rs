//! A case on the user's application: run for the case between our proxy and our receiver, and judged by what went over
//! the wire and what it told of itself.

mod command;
mod observed;
mod service;
mod surroundings;

use super::acceptance::Acceptance;
use super::{Assignment, Decided, Stage, charge, day, source};
use crate::application::Template;
use crate::assessment::{Examiner, Source};
use crate::case::Case;
use crate::client::Spent;
use crate::disk::Writing;
use crate::fault::{Fault, Faults, Place};
use crate::project::{Application, Service, Target};
use crate::recording::{Answers, Header, Mode};
use crate::verdict::Doubt;
use crate::wire::Exchange;
use crate::yaml::Spanned;
use command::Launcher;
use observed::Observed;
use service::Host;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long nothing arrives before an agent between the application and the receiver is taken to have sent all.
const IDLE: Duration = Duration::from_millis(300);

/// Why a run cannot be judged.
type Undecided = (Doubt, String);

/// What all runs of a case on a target share: what is recorded, and what is to be.
type Memory = Arc<Mutex<Answers>>;

/// An application, ready to be run.
#[derive(Debug)]
pub(super) enum Runner {
    /// Started for every case.
    Command(Box<Launcher>),
    /// Started once and asked for every case.
    Service(Box<Host>),
}

/// One run: what it came to, and what went live meanwhile.
struct Ran {
    outcome: Result<Observed, Undecided>,
    live: Vec<Exchange>,
    spent: Spent,
}

impl Runner {
    pub(super) async fn of_command(target: &Target, application: &Application) -> Result<Self, Faults> {
        Ok(Self::Command(Box::new(Launcher::new(target, application).await?)))
    }

    pub(super) async fn of_service(target: &Target, service: &Service) -> Result<Self, Faults> {
        Ok(Self::Service(Box::new(Host::new(target, service).await?)))
    }

    /// Ends what still runs.
    pub(super) async fn close(&self) {
        if let Self::Service(host) = self {
            host.close().await;
        }
    }

    async fn run(&self, stage: Stage<'_>, case: &Case, memory: &Memory, trial: u32) -> Result<Ran, Faults> {
        match self {
            Self::Command(launcher) => launcher.run(stage, case, memory, trial).await,
            Self::Service(host) => host.run(stage, case, memory, trial).await,
        }
    }
}

/// The report of a case on an application: as many runs as its tests need.
pub(super) async fn judge(
    stage: Stage<'_>,
    runner: &Runner,
    examiner: &Examiner<'_>,
    assignment: Assignment<'_>,
    acceptance: &mut Acceptance<'_>,
) -> Result<Decided, Faults> {
    let Assignment { case, target } = assignment;
    let answers = stage.answers(assignment)?;
    let mut trials = examiner.trials(&target.name, source(stage, &answers), stage.standard);
    let memory: Memory = Arc::new(Mutex::new(answers));
    let (mut spent, mut notes, mut live, mut is_complete) = (Spent::default(), Vec::new(), Vec::new(), true);
    while let Some(trial) = trials.next() {
        let ran = runner.run(stage, case, &memory, trial).await?;
        if ran.spent.requests > 0 {
            trials.draw_from(Source::Live(stage.trials));
        }
        live.extend(ran.live);
        spent += ran.spent;
        match ran.outcome {
            Ok(observed) => {
                let (grades, cost) = stage.graders.grade(examiner, &observed.request).await?;
                spent += cost;
                trials.take(&observed.request, &grades);
                notes.extend(observed.notes);
                acceptance.keep(Cow::Owned(observed.request));
            }
            Err((doubt, why)) => {
                is_complete = false;
                trials.stop(doubt, if trial > 1 { format!("trial {trial}, {why}") } else { why });
            }
        }
    }
    let mut report = trials.close();
    notes.dedup();
    report.notes.extend(notes);
    let unused = memory.lock().unwrap_or_else(PoisonError::into_inner).unused();
    report.notes.extend(unused.filter(|_| is_complete && stage.mode == Mode::Replay));
    charge(&mut report, spent);
    let saved = save(memory, live, is_complete, stage, assignment);
    Ok(Decided { report, saved })
}

/// Writes down what went live.
fn save(memory: Memory, live: Vec<Exchange>, is_complete: bool, stage: Stage<'_>, assignment: Assignment<'_>) -> Result<Writing, Fault> {
    // The sessions are over, so that nobody else holds it.
    let Some(answers) = Arc::into_inner(memory) else { return Ok(Writing::default()) };
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    live.into_iter().for_each(|exchange| answers.keep(exchange));
    let header = Header { case: &assignment.case.id, target: &assignment.target.name, model: None, date: &day(stage.standard.now) };
    answers.save(is_complete, &header, stage.destination)
}

fn template(text: &Spanned<String>, names: &[&str], faults: &mut Faults) -> Option<Template> {
    checked(&text.value, names, &text.place, faults)
}

fn templates(texts: &[Spanned<String>], names: &[&str], faults: &mut Faults) -> Vec<Template> {
    texts.iter().filter_map(|text| template(text, names, faults)).collect()
}

fn checked(text: &str, names: &[&str], place: &Place, faults: &mut Faults) -> Option<Template> {
    faults.take(Template::parse(text, names, place))
}
