//! A program as a grader: JSON on its standard input, a verdict on its standard output.

use crate::application::{Ended, Environment, Exit, Process, Program};
use crate::disk::Root;
use crate::grade::Grade;
use crate::inert;
use crate::judgement::Inquiry;
use crate::limit;
use crate::project::Project;
use crate::verdict::Doubt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Between being asked to end and being ended.
const GRACE: Duration = Duration::from_secs(1);

/// What a program says.
#[derive(Debug, Deserialize)]
struct Said {
    pass: bool,
    #[serde(default)]
    reason: String,
}

/// Runs the program of this name. Whatever it does but say yes or no decides nothing.
pub(super) async fn run(root: &Root, project: &Project, (name, with): (&str, &Value), (case, inquiry): (&str, Inquiry<'_>)) -> Grade {
    let Some(program) = project.checks.iter().find(|program| program.name.value == name) else {
        return undecided(name, "relapse.yaml has no such entry under `checks`");
    };
    let inherited = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let program = Program {
        command: program.command.iter().map(|word| word.value.clone()).collect(),
        directory: root.path().to_owned(),
        environment: Environment::new(inherited),
        stdin: Some(input(case, inquiry, with).to_string()),
        grace: GRACE,
    };
    match Process::start(&program) {
        Ok(process) => grade(name, &process.wait(Duration::from_secs(limit::CHECK_SECONDS)).await),
        Err(fault) => undecided(name, &fault.message),
    }
}

/// What a program reads.
fn input(case: &str, inquiry: Inquiry<'_>, with: &Value) -> Value {
    let documents = inquiry
        .scene
        .documents
        .as_ref()
        .map(|documents| documents.iter().map(|(id, text)| json!({"id": id, "text": text})).collect::<Vec<_>>());
    json!({"case": case, "input": inquiry.scene.input, "documents": documents, "answer": inquiry.answer, "with": with})
}

fn grade(name: &str, ended: &Ended) -> Grade {
    let complaint = || match ended.stderr.last_lines(3) {
        words if words.is_empty() => String::new(),
        words => format!("; it says: {}", inert::one_line(&words)),
    };
    match ended.exit {
        Exit::Code(0) => {}
        Exit::Code(code) => return undecided(name, &format!("it ended with status {code}{}", complaint())),
        Exit::Signal(signal) => return undecided(name, &format!("it was ended by signal {signal}{}", complaint())),
        Exit::Deadline | Exit::Asked => return undecided(name, &format!("it took longer than {} s{}", limit::CHECK_SECONDS, complaint())),
    }
    let text = ended.stdout.text();
    match serde_json::from_str::<Said>(text.trim()) {
        Ok(said) => Grade::Verdict { held: said.pass, says: said.reason },
        Err(_) => {
            let shown = inert::one_line(&inert::clip(text.trim(), 120));
            undecided(name, &format!("it wrote no {{\"pass\": true | false, \"reason\": …}}, but \"{shown}\"{}", complaint()))
        }
    }
}

fn undecided(name: &str, why: &str) -> Grade {
    Grade::Undecided { doubt: Doubt::Infrastructure, why: format!("the program `{name}` decides nothing: {why}") }
}
