//! Grading: the answers of graders to what the tests of a case ask, recorded or had anew.

mod program;

use crate::assessment::Examiner;
use crate::disk::Root;
use crate::fault::Faults;
use crate::grade::{Grade, Grades, Question};
use crate::judgement::{Inquiry, Judgements, Panel};
use crate::project::Project;
use crate::redact::Redactor;
use crate::request::Request;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The graders of a run: what was recorded of them, by case, and how to ask them.
#[derive(Debug)]
pub struct Graders<'a> {
    root: &'a Root,
    project: &'a Project,
    redactor: &'a Redactor,
    panel: Panel,
    recorded: Mutex<BTreeMap<String, Judgements>>,
}

impl<'a> Graders<'a> {
    /// The graders that a project names.
    pub fn new(root: &'a Root, project: &'a Project, redactor: &'a Redactor) -> Self {
        Self { root, project, redactor, panel: Panel::of(project), recorded: Mutex::default() }
    }

    /// The grades of a candidate's answer: programs are run, models' answers come from the recorded judgements.
    ///
    /// # Errors
    /// A file of judgements that cannot be read: it is never taken for a missing one.
    pub async fn grade(&self, examiner: &Examiner<'_>, request: &Request) -> Result<Grades, Faults> {
        let (questions, mut grades) = (examiner.questions(), Grades::default());
        let Some(answer) = request.answer.as_deref().filter(|_| !questions.is_empty()) else { return Ok(grades) };
        let answer = self.redactor.redact(answer);
        let scene = examiner.scene(request);
        for question in questions {
            let inquiry = Inquiry { question, scene: &scene, answer: &answer };
            grades.give(question.clone(), self.ask(examiner.case_id(), inquiry).await?);
        }
        Ok(grades)
    }

    async fn ask(&self, case: &str, inquiry: Inquiry<'_>) -> Result<Grade, Faults> {
        match inquiry.question {
            Question::Program { name, .. } => Ok(program::run(self.root, self.project, name, (case, inquiry)).await),
            _ => self.with(case, |judgements| judgements.grade(&self.panel, inquiry)),
        }
    }

    /// Does something with the judgements of a case, which are read when they are first needed.
    fn with<T>(&self, case: &str, work: impl FnOnce(&mut Judgements) -> T) -> Result<T, Faults> {
        let mut recorded = self.lock();
        if let Some(judgements) = recorded.get_mut(case) {
            return Ok(work(judgements));
        }
        let mut judgements = Judgements::load(self.root, case)?;
        let done = work(&mut judgements);
        recorded.insert(case.to_string(), judgements);
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Judgements>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
