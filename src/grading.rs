//! Grading: the answers of graders to what the tests of a case ask, recorded or had anew.

mod model;
mod program;

use crate::assessment::Examiner;
use crate::client::{Client, Spent};
use crate::disk::{Destination, PROJECT_FILE, Root};
use crate::fault::{Fault, Faults, Place};
use crate::grade::{Grade, Grades, Question};
use crate::judgement::{self, Inquiry, Judgements, Panel};
use crate::project::{Api, Model, Project};
use crate::provider::{Endpoint, Environment};
use crate::recording;
use crate::redact::Redactor;
use crate::request::Request;
use crate::verdict::Doubt;
use camino::Utf8Path;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The graders of a run: what was recorded of them, by case, and how to ask them.
#[derive(Debug)]
pub struct Graders<'a> {
    root: &'a Root,
    project: &'a Project,
    redactor: &'a Redactor,
    panel: Panel,
    live: Option<Live<'a>>,
    pages: Mutex<BTreeMap<String, Page>>,
}

/// Models that may be asked.
#[derive(Debug)]
struct Live<'a> {
    client: &'a Client,
    /// By `provider/model`.
    endpoints: BTreeMap<String, Endpoint>,
    /// Whether what was recorded before counts.
    anew: bool,
}

/// The judgements of one case.
#[derive(Debug, Default)]
struct Page {
    /// What counts.
    judgements: Judgements,
    /// What was recorded before and does not count.
    aside: Judgements,
    has_grown: bool,
}

impl<'a> Graders<'a> {
    /// The graders that a project names; their models are not asked.
    pub fn new(root: &'a Root, project: &'a Project, redactor: &'a Redactor) -> Self {
        Self { root, project, redactor, panel: Panel::of(project), live: None, pages: Mutex::default() }
    }

    /// The same graders, whose models may be asked what is not recorded; with `anew`, whatever is recorded.
    ///
    /// # Errors
    /// Models that these questions need and that cannot be asked. Then nothing was sent.
    pub fn live<'q>(
        mut self,
        client: &'a Client,
        anew: bool,
        questions: impl IntoIterator<Item = &'q Question>,
        environment: Environment<'_>,
    ) -> Result<Self, Faults> {
        let (mut faults, mut endpoints) = (Faults::new(), BTreeMap::new());
        for question in questions {
            let Some(name) = faults.take(self.panel.model(question)).flatten() else { continue };
            if !endpoints.contains_key(name)
                && let Some(endpoint) = faults.take(endpoint(self.project, name, client, (question, environment)))
            {
                endpoints.insert(name.to_string(), endpoint);
            }
        }
        self.live = Some(Live { client, endpoints, anew });
        faults.into_result(self)
    }

    /// The grades of a candidate's answer, and what they cost: programs are run, models' answers come from the recorded
    /// judgements, and where these are not enough the models are asked if they may be.
    ///
    /// # Errors
    /// A file of judgements that cannot be read: it is never taken for a missing one.
    pub async fn grade(&self, examiner: &Examiner<'_>, request: &Request) -> Result<(Grades, Spent), Faults> {
        let (questions, mut grades, mut spent) = (examiner.questions(), Grades::default(), Spent::default());
        let Some(answer) = request.answer.as_deref().filter(|_| !questions.is_empty()) else { return Ok((grades, spent)) };
        let answer = self.redactor.redact(answer);
        let scene = examiner.scene(request);
        for question in questions {
            let inquiry = Inquiry { question, scene: &scene, answer: &answer };
            let grade = match question {
                Question::Program { name, with } => {
                    program::run(self.root, self.project, (name, with), (examiner.case_id(), inquiry)).await
                }
                _ => self.ask(examiner.case_id(), inquiry, &mut spent).await?,
            };
            grades.give(question.clone(), grade);
        }
        Ok((grades, spent))
    }

    /// Asks what is not recorded yet of one answer in the evidence of a case, and keeps it.
    ///
    /// # Errors
    /// A file of judgements that cannot be read.
    pub async fn record(&self, case: &str, inquiry: Inquiry<'_>) -> Result<(Grade, Spent), Faults> {
        let mut spent = Spent::default();
        let Question::Program { name, with } = inquiry.question else {
            return Ok((self.ask(case, inquiry, &mut spent).await?, spent));
        };
        let grade = program::run(self.root, self.project, (name, with), (case, inquiry)).await;
        if let Grade::Verdict { held, says } = &grade {
            let said = judgement::Judgement::Command {
                name: name.clone(),
                with: with.clone(),
                scene: inquiry.scene.digest(),
                answer: judgement::digest(inquiry.answer),
                pass: *held,
                reason: says.clone(),
            };
            self.with(case, |page| page.keep(said))?;
        }
        Ok((grade, spent))
    }

    /// The grade of what is recorded, and of what a model says if it may be asked.
    async fn ask(&self, case: &str, inquiry: Inquiry<'_>, spent: &mut Spent) -> Result<Grade, Faults> {
        loop {
            let grade = self.with(case, |page| page.judgements.grade(&self.panel, inquiry))?;
            let is_wanting = matches!(grade, Grade::Undecided { doubt: Doubt::NeedsRecording, .. });
            let Some(live) = self.live.as_ref().filter(|_| is_wanting) else { return Ok(grade) };
            let Ok(Some(name)) = self.panel.model(inquiry.question) else { return Ok(grade) };
            let Some(endpoint) = live.endpoints.get(name) else { return Ok(grade) };
            let vote = 1 + self.with(case, |page| page.judgements.votes(name, inquiry).len())? as u32;
            let asker = model::Asker { client: live.client, endpoint, name, redactor: self.redactor };
            match asker.ask(inquiry, vote, spent).await {
                Ok(judgement) => self.with(case, |page| page.keep(judgement))?,
                Err((doubt, why)) => return Ok(Grade::Undecided { doubt, why }),
            }
        }
    }

    /// Writes the judgements that are new.
    ///
    /// # Errors
    /// What cannot be written, or must not be: text in which a secret is found.
    pub fn save(&self, destination: Destination<'_>) -> Result<(), Faults> {
        let mut faults = Faults::new();
        for (case, page) in self.lock().iter_mut().filter(|(_, page)| page.has_grown) {
            let mut all = std::mem::take(&mut page.aside);
            all.supersede(std::mem::take(&mut page.judgements));
            let text: String = all.to_text().lines().map(|line| format!("{}\n", self.redactor.redact(line))).collect();
            faults.take(recording::write(destination, Utf8Path::new(&judgement::path(case)), &text, self.redactor));
        }
        faults.into_result(())
    }

    /// Does something with the judgements of a case, which are read when they are first needed.
    fn with<T>(&self, case: &str, work: impl FnOnce(&mut Page) -> T) -> Result<T, Faults> {
        let mut pages = self.lock();
        if let Some(page) = pages.get_mut(case) {
            return Ok(work(page));
        }
        let loaded = Judgements::load(self.root, case)?;
        let mut page = match &self.live {
            Some(Live { anew: true, .. }) => Page { aside: loaded, ..Page::default() },
            _ => Page { judgements: loaded, ..Page::default() },
        };
        let done = work(&mut page);
        pages.insert(case.to_string(), page);
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Page>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn keep(&mut self, judgement: judgement::Judgement) {
        self.judgements.keep(judgement);
        self.has_grown = true;
    }
}

/// The endpoint of a model that a question needs.
fn endpoint(
    project: &Project,
    name: &str,
    client: &Client,
    (question, environment): (&Question, Environment<'_>),
) -> Result<Endpoint, Fault> {
    let place = Place::file(PROJECT_FILE);
    let model = Model::parse(name, &place).ok_or_else(|| Fault::new(format!("expected `provider/model`, found `{name}`")))?;
    let endpoint = Endpoint::of(project, &model, client.egress(), environment)?;
    match (question, endpoint.api) {
        (Question::Similarity { .. }, Api::Anthropic) => {
            Err(Fault::new(format!("`{name}` has no embeddings")).help("name a model of a provider that speaks OpenAI's API"))
        }
        _ => Ok(endpoint),
    }
}
