//! `relapse compile --record`: graders are asked about the evidence, and their answers are kept.

use crate::client::{Client, Spent};
use crate::compile::{self, Asked};
use crate::disk::{Destination, Root};
use crate::fault::{Fault, Faults, Place};
use crate::grade::Grade;
use crate::grading::Graders;
use crate::judgement::{self, Inquiry};
use crate::mapping::Mapping;
use crate::postmortem::Postmortem;
use crate::project::Project;
use crate::redact::Redactor;
use futures_util::stream::{self, StreamExt as _};

/// What one answer of the evidence is asked about.
type Question<'a> = (&'a Postmortem, Asked);

/// Asks what is not recorded, and writes what was said; gives what it cost.
///
/// # Errors
/// Graders that are not named or may not be asked, in which case nothing was sent; graders that gave no usable answer, in
/// which case what the others said is kept.
pub(super) fn record(
    root: &Root,
    project: &Project,
    mapping: &Mapping,
    postmortems: &[&Postmortem],
    (client, redactor): (&Client, &Redactor),
) -> Result<Spent, Faults> {
    let mut faults = Faults::new();
    let mut questions: Vec<Question<'_>> = Vec::new();
    for postmortem in postmortems {
        let asked = faults.take(compile::questions(root, project, mapping, postmortem)).unwrap_or_default();
        questions.extend(asked.into_iter().map(|asked| (*postmortem, asked)));
    }
    faults.into_result(())?;
    let environment = |name: &str| std::env::var(name).ok();
    let graders = Graders::new(root, project, redactor);
    let graders = graders.live(client, false, questions.iter().map(|(_, asked)| &asked.question), &environment)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::infrastructure(format!("cannot start the threads of a run: {error}")))?;
    let asked = runtime.block_on(ask_all(&graders, redactor, &questions, project.concurrency as usize));
    graders.save(Destination::Tree(root))?;
    asked.map(|()| client.spent())
}

async fn ask_all(graders: &Graders<'_>, redactor: &Redactor, questions: &[Question<'_>], width: usize) -> Result<(), Faults> {
    let asked = stream::iter(questions.iter().map(|question| ask(graders, redactor, question)));
    let results: Vec<Result<(), Faults>> = asked.buffered(width.max(1)).collect().await;
    let mut faults = Faults::new();
    for result in results {
        faults.take(result);
    }
    faults.into_result(())
}

async fn ask(graders: &Graders<'_>, redactor: &Redactor, (postmortem, asked): &Question<'_>) -> Result<(), Faults> {
    let answer = redactor.redact(&asked.answer);
    let inquiry = Inquiry { question: &asked.question, scene: &asked.scene, answer: &answer };
    match graders.record(&postmortem.id, inquiry).await? {
        (Grade::Undecided { why, .. }, _) => {
            let fault = Fault::infrastructure(format!("no usable grade: {why}")).at(Place::file(postmortem.file.clone()));
            Err(fault.help(format!("run it again; what was said is in {}", judgement::path(&postmortem.id))).into())
        }
        _ => Ok(()),
    }
}
