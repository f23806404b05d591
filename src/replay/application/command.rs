//! A command: started for every case, and waited for until it ends.

use super::observed::Run;
use super::surroundings::{self, Surroundings, Thread};
use super::{IDLE, Memory, Ran, template, templates};
use crate::application::{DeadEnd, Process, Program, Template};
use crate::case::Case;
use crate::client::Spent;
use crate::fault::Faults;
use crate::limit;
use crate::project::{Application, Output, Target};
use crate::receiver::Receiver;
use crate::replay::Stage;
use crate::verdict::Doubt;
use std::time::Duration;

/// What a template of a command may use.
const NAMES: [&str; 4] = ["input", "messages", "documents", "case"];

/// A command, ready to be started.
#[derive(Debug)]
pub(in crate::replay) struct Launcher {
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
        let lists = (application.env.clone(), application.case_env.clone(), application.upstreams.as_slice());
        let surroundings = faults.take(Surroundings::new(&target.name, lists).await);
        let (output, timeout) = (application.output.clone(), application.timeout);
        match surroundings {
            Some(surroundings) => faults.into_result(Self { surroundings, command, stdin, output, timeout }),
            None => Err(faults),
        }
    }

    /// Runs the application once for a case.
    ///
    /// # Errors
    /// What is wrong with the case or the target. A run that cannot be judged is no error, and is told in what it came to.
    pub(super) async fn run(&self, stage: Stage<'_>, case: &Case, memory: &Memory, trial: u32) -> Result<Ran, Faults> {
        let (receiver, dead_end) = (Receiver::open().await?, DeadEnd::open().await?);
        let door = self.surroundings.door(stage, case, memory, trial)?;
        let program = self.program(stage, case, &receiver, &dead_end, (door.base_urls(), trial))?;
        let ended = match Process::start(&program) {
            Ok(process) => process.wait(self.timeout).await,
            Err(fault) => {
                return Ok(Ran { outcome: Err((Doubt::Infrastructure, fault.message)), live: Vec::new(), spent: Spent::default() });
            }
        };
        receiver.drain(IDLE, limit::GRACE).await;
        let run = Run { delivery: receiver.take(), witness: door.close().await, strays: dead_end.take(), thread: None };
        run.of_process(&ended, &self.output, stage, case)
    }

    fn program<'u>(
        &self,
        stage: Stage<'_>,
        case: &Case,
        receiver: &Receiver,
        dead_end: &DeadEnd,
        (base_urls, trial): (impl Iterator<Item = (&'u str, &'u str)>, u32),
    ) -> Result<Program, Faults> {
        let mut environment = self.surroundings.environment(stage, Some(case), (receiver, dead_end), base_urls)?;
        environment.set("TRACEPARENT", Thread::new(&case.id, &self.surroundings.target, trial).parent());
        let values = surroundings::values(case);
        let render = |template: &Template| template.render(&values);
        Ok(Program {
            command: self.command.iter().map(render).collect::<Result<_, _>>()?,
            directory: stage.root.path().to_owned(),
            environment,
            stdin: self.stdin.as_ref().map(render).transpose()?,
            grace: limit::GRACE,
        })
    }
}
