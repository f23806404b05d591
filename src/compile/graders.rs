//! The graders of a postmortem: whether the project knows them, and what they are to be asked about the evidence.

use super::{Read, material, parse_check};
use crate::disk::Root;
use crate::fault::{Fault, Faults, Place, suggest};
use crate::grade::Question;
use crate::judge::Scene;
use crate::judgement::Panel;
use crate::mapping::Mapping;
use crate::postmortem::Postmortem;
use crate::project::{Api, Project};

/// A question about one answer in the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// What belongs to the answer.
    pub scene: Scene,
    /// The answer.
    pub answer: String,
}

/// Every question that the checks of a postmortem ask about the incident and the healthy requests.
///
/// # Errors
/// What [`compile`](super::compile) would say of evidence and checks.
pub fn questions(root: &Root, project: &Project, mapping: &Mapping, postmortem: &Postmortem) -> Result<Vec<Asked>, Faults> {
    let mut faults = Faults::new();
    let Some(read) = Read::new(root, postmortem, mapping, &mut faults) else {
        return Err(faults.into_result(()).err().unwrap_or_default());
    };
    let material = material::Material::gather(root, postmortem, &read, &mut faults);
    let (mut asked, mut placed) = (Vec::new(), Vec::new());
    for test in &postmortem.tests {
        let (check, _) = parse_check(root, postmortem, &test.expect, &mut faults);
        let questions: Vec<Question> = check.iter().flat_map(|check| check.questions()).cloned().collect();
        placed.extend(questions.iter().map(|question| (question.clone(), test.expect.place.clone())));
        for request in [read.incident()].into_iter().chain(&read.healthy) {
            let Some(answer) = &request.answer else { continue };
            let scene = Scene::new(&material.input, request.documents.as_deref());
            let about = |question: &Question| Asked { question: question.clone(), scene: scene.clone(), answer: answer.clone() };
            asked.extend(questions.iter().map(about));
        }
    }
    check(project, &Panel::of(project), &placed, &mut faults);
    faults.into_result(asked)
}

/// Every grader that a check names exists.
pub(super) fn check(project: &Project, panel: &Panel, questions: &[(Question, Place)], faults: &mut Faults) {
    for (question, place) in questions {
        let known = match (question, panel.model(question)) {
            (Question::Program { name, .. }, _) => program(project, name),
            (_, Err(fault)) => Err(fault),
            (_, Ok(model)) => provider(project, model.unwrap_or_default()),
        };
        faults.take(known.map_err(|fault| fault.at(place.clone())));
    }
}

fn program(project: &Project, name: &str) -> Result<(), Fault> {
    if project.checks.iter().any(|program| program.name.value == name) {
        return Ok(());
    }
    let known: Vec<&str> = project.checks.iter().map(|program| program.name.value.as_str()).collect();
    let fault = Fault::new(format!("no program `{name}` under `checks` in relapse.yaml"));
    Err(fault.help(if known.is_empty() {
        format!("add `checks: {{{name}: {{command: [python, check.py]}}}}`")
    } else {
        suggest(name, known)
    }))
}

fn provider(project: &Project, model: &str) -> Result<(), Fault> {
    let provider = model.split('/').next().unwrap_or_default();
    let written = project.providers.iter().map(|provider| provider.name.value.as_str());
    let known: Vec<&str> = Api::ALL.iter().map(|(name, _)| *name).chain(written).collect();
    if known.contains(&provider) {
        return Ok(());
    }
    Err(Fault::new(format!("unknown provider `{provider}`")).help(suggest(provider, known)))
}
