//! A case on the user's application: started for the case between our proxy and our receiver, and judged by what went
//! over the wire and what it told of itself.

mod observed;
mod service;
mod surroundings;

pub(super) use observed::Observed;
pub(super) use service::Host;

use super::{Stage, Undecided};
use crate::application::{DeadEnd, Process, Program, Template};
use crate::case::Case;
use crate::fault::{Faults, Place};
use crate::limit;
use crate::project::{Application, Output, Target};
use crate::proxy::Proxy;
use crate::receiver::Receiver;
use crate::verdict::Doubt;
use crate::yaml::Spanned;
use observed::Run;
use std::time::Duration;
use surroundings::{Surroundings, Thread};

/// What a template of a command may use.
const NAMES: [&str; 4] = ["input", "messages", "documents", "case"];
/// How long nothing arrives before an agent between the application and the receiver is taken to have sent all.
const IDLE: Duration = Duration::from_millis(300);

/// A command, ready to be started for every case.
#[derive(Debug)]
pub(super) struct Launcher {
    surroundings: Surroundings,
    command: Vec<Template>,
    stdin: Option<Template>,
    output: Output,
    timeout: Duration,
}

impl Launcher {
    /// Checks the templates and opens the proxy.
    pub(super) async fn new(target: &Target, application: &Application) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let command = templates(&application.command, &NAMES, &mut faults);
        let stdin = application.stdin.as_ref().and_then(|text| template(text, &NAMES, &mut faults));
        let Some(proxy) = faults.take(Proxy::bind().await) else { return Err(faults) };
        let surroundings = Surroundings {
            target: target.name.clone(),
            proxy,
            env: application.env.clone(),
            case_env: application.case_env.clone(),
            upstreams: surroundings::upstreams(&application.upstreams),
        };
        let (output, timeout) = (application.output.clone(), application.timeout);
        faults.into_result(Self { surroundings, command, stdin, output, timeout })
    }

    /// Runs the application once for a case.
    ///
    /// # Errors
    /// What is wrong with the case or the target. A run that cannot be judged is no error, and comes as the inner result.
    pub(super) async fn run(&self, stage: Stage<'_>, case: &Case, trial: u32) -> Result<Result<Observed, Undecided>, Faults> {
        let (receiver, dead_end) = (Receiver::open().await?, DeadEnd::open().await?);
        let door = self.surroundings.door(stage, case, trial)?;
        let thread = Thread::new(&case.id, &self.surroundings.target, trial);
        let mut environment = self.surroundings.environment(Some(case), &receiver, &dead_end, door.base_urls())?;
        environment.set("TRACEPARENT", thread.parent());
        let values = surroundings::values(case);
        let render = |template: &Template| template.render(&values);
        let program = Program {
            command: self.command.iter().map(render).collect::<Result<_, _>>()?,
            directory: stage.root.path().to_owned(),
            environment,
            stdin: self.stdin.as_ref().map(render).transpose()?,
            grace: limit::GRACE,
        };
        let ended = match Process::start(&program) {
            Ok(process) => process.wait(self.timeout).await,
            Err(fault) => return Ok(Err((Doubt::Infrastructure, fault.message))),
        };
        receiver.drain(IDLE, limit::GRACE).await;
        let run = Run { delivery: receiver.take(), witness: door.close().await, strays: dead_end.take(), thread: None };
        run.of_process(&ended, &self.output, stage, case)
    }
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
