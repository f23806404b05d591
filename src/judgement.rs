//! Judgements: what graders said of a case's answers, kept so that a replay need not ask again.

use crate::canonical;
use crate::disk::Root;
use crate::fault::{Fault, Faults, Place};
use crate::grade::{Grade, Question};
use crate::inert;
use crate::judge::{self, Opinion, Scene, Vote};
use crate::limit;
use crate::project::{DEFAULT_VOTES, Project};
use crate::verdict::Doubt;
use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The path of a case's judgements, from the repository's root.
pub fn path(case: &str) -> String {
    format!("cases/{case}/judgements.jsonl")
}

/// Who grades where a check does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panel {
    judge: Option<String>,
    votes: u32,
    embeddings: Option<String>,
}

impl Panel {
    /// The project's judge and embedding model.
    pub fn of(project: &Project) -> Self {
        let written = |model: &crate::project::Model| format!("{}/{}", model.provider, model.name.value);
        Self {
            judge: project.judge.as_ref().map(|judge| written(&judge.model)),
            votes: project.judge.as_ref().map_or(DEFAULT_VOTES, |judge| judge.votes),
            embeddings: project.embeddings.as_ref().map(written),
        }
    }

    /// The model that answers a question; none where a program does.
    ///
    /// # Errors
    /// Nobody is named, and what to write.
    pub fn model<'a>(&'a self, question: &'a Question) -> Result<Option<&'a str>, Fault> {
        let nobody = |what: &str, help: &str| Fault::new(format!("no model is named to {what}")).help(help);
        match question {
            Question::Judge { model, .. } => {
                let model = model.as_deref().or(self.judge.as_deref());
                model.map(Some).ok_or_else(|| nobody("judge answers", "add `judge: {model: openai/gpt-4o}` to relapse.yaml"))
            }
            Question::Similarity { model, .. } => {
                let model = model.as_deref().or(self.embeddings.as_deref());
                let help = "add `embeddings: openai/text-embedding-3-small` to relapse.yaml";
                model.map(Some).ok_or_else(|| nobody("compare answers", help))
            }
            Question::Program { .. } => Ok(None),
        }
    }

    fn votes(&self, votes: Option<u32>) -> u32 {
        votes.unwrap_or(self.votes).max(1)
    }
}

/// A question about one answer.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// The question.
    pub question: &'a Question,
    /// What belongs to the answer.
    pub scene: &'a Scene,
    /// The answer, without secrets.
    pub answer: &'a str,
}

/// One answer of a grader: a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "grader", rename_all = "lowercase")]
pub enum Judgement {
    /// A vote of a judge.
    Judge {
        /// `provider/model`.
        model: String,
        /// The version of the judge's prompt.
        prompt: u32,
        /// The rule.
        rubric: String,
        /// The digest of what was shown besides the answer.
        scene: String,
        /// The digest of the answer.
        answer: String,
        /// The vote's number, from 1.
        vote: u32,
        /// Why.
        reason: String,
        /// Words of the answer.
        evidence: Vec<String>,
        /// For or against.
        verdict: Opinion,
    },
    /// The similarity of two embeddings.
    Similar {
        /// `provider/model`.
        model: String,
        /// The text that the answer is compared with.
        to: String,
        /// The digest of the answer.
        answer: String,
        /// The cosine.
        similarity: f64,
    },
    /// What a program said.
    Command {
        /// Its name under `checks`.
        name: String,
        /// What the postmortem told it.
        with: Value,
        /// The digest of what was shown besides the answer.
        scene: String,
        /// The digest of the answer.
        answer: String,
        /// Whether it holds.
        pass: bool,
        /// Why.
        reason: String,
    },
}

impl Judgement {
    /// What was asked, as canonical JSON; all votes on one answer have one.
    fn question(&self) -> String {
        canonical::json(&match self {
            Self::Judge { model, prompt, rubric, scene, answer, .. } => json!(["judge", rubric, answer, scene, model, prompt]),
            Self::Similar { model, to, answer, .. } => json!(["similar", to, answer, model]),
            Self::Command { name, with, scene, answer, .. } => json!(["command", name, with, answer, scene]),
        })
    }

    /// Equal for two judgements of which one replaces the other.
    fn key(&self) -> (String, u32) {
        let vote = if let Self::Judge { vote, .. } = self { *vote } else { 1 };
        (self.question(), vote)
    }
}

/// The judgements of one case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judgements {
    lines: Vec<Judgement>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    relapse_judgements: u32,
}

impl Judgements {
    /// Reads the judgements of a case; a file that is not there has none.
    ///
    /// # Errors
    /// Every line that is no judgement: the file is never taken for an empty one.
    pub fn load(root: &Root, case: &str) -> Result<Self, Faults> {
        let path = path(case);
        let path = Utf8Path::new(&path);
        match root.read_text_if_there(path, limit::TRACE_BYTES)? {
            Some(text) => Self::parse(&text, path),
            None => Ok(Self::default()),
        }
    }

    fn parse(text: &str, file: &Utf8Path) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let header: Option<Header> = lines.next().and_then(|(_, line)| serde_json::from_str(line).ok());
        if header.is_none_or(|header| header.relapse_judgements != 1) {
            let fault = Fault::new("the first line is no header of judgements").at(Place::at(file, 1, 0));
            return Err(fault
                .help("it must be {\"relapse_judgements\":1}; restore the file, or delete it and run `relapse compile --record`")
                .into());
        }
        let judgements = lines.filter_map(|(index, line)| {
            let read = serde_json::from_str(line).map_err(|error| {
                let fault = Fault::new(format!("no judgement: {error}")).at(Place::at(file, index as u32 + 1, 0));
                fault.help("restore the line, or delete it and run `relapse compile --record`")
            });
            faults.take(read)
        });
        let judgements = Self { lines: judgements.collect() };
        faults.into_result(judgements)
    }

    /// The file: by what was asked, so that the order in which answers came makes no difference.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<&Judgement> = self.lines.iter().collect();
        lines.sort_by_cached_key(|judgement| judgement.key());
        let mut text = serde_json::to_string(&Header { relapse_judgements: 1 }).unwrap_or_default() + "\n";
        for judgement in lines {
            text.push_str(&serde_json::to_string(judgement).unwrap_or_default());
            text.push('\n');
        }
        text
    }

    /// Keeps a judgement, in place of an earlier one on the same question.
    pub fn keep(&mut self, judgement: Judgement) {
        let key = judgement.key();
        match self.lines.iter_mut().find(|known| known.key() == key) {
            Some(known) => *known = judgement,
            None => self.lines.push(judgement),
        }
    }

    /// Keeps newer judgements, in place of all on the same questions.
    pub fn supersede(&mut self, newer: Self) {
        let asked: BTreeSet<String> = newer.lines.iter().map(Judgement::question).collect();
        self.lines.retain(|judgement| !asked.contains(&judgement.question()));
        self.lines.extend(newer.lines);
    }

    /// The grade that these judgements give; undecided for want of a recording when another answer is needed.
    pub fn grade(&self, panel: &Panel, inquiry: Inquiry<'_>) -> Grade {
        let model = match panel.model(inquiry.question) {
            Ok(model) => model.unwrap_or_default(),
            Err(fault) => {
                return Grade::Undecided { doubt: Doubt::Judge, why: format!("{}: {}", fault.message, fault.help.unwrap_or_default()) };
            }
        };
        match inquiry.question {
            Question::Judge { votes, .. } => grade_of(&self.votes(model, inquiry), panel.votes(*votes), inquiry.answer),
            Question::Similarity { .. } => {
                self.similarity(model, inquiry).map_or_else(|| unrecorded("no similarity is recorded"), Grade::Similarity)
            }
            Question::Program { .. } => self.said(inquiry).unwrap_or_else(|| unrecorded("nothing that the program said is recorded")),
        }
    }

    /// The recorded votes on an answer, in order.
    pub fn votes(&self, model: &str, inquiry: Inquiry<'_>) -> Vec<Vote> {
        let Question::Judge { rubric, .. } = inquiry.question else { return Vec::new() };
        let (scene, answer) = (inquiry.scene.digest(), digest(inquiry.answer));
        let mut votes: Vec<(u32, Vote)> = self
            .lines
            .iter()
            .filter_map(|line| match line {
                Judgement::Judge { model: m, prompt, rubric: r, scene: s, answer: a, vote, reason, evidence, verdict }
                    if m == model && *prompt == judge::PROMPT_VERSION && r == rubric && *s == scene && *a == answer =>
                {
                    Some((*vote, Vote { reason: reason.clone(), evidence: evidence.clone(), verdict: *verdict }))
                }
                _ => None,
            })
            .collect();
        votes.sort_by_key(|(number, _)| *number);
        votes.into_iter().map(|(_, vote)| vote).collect()
    }

    fn similarity(&self, model: &str, inquiry: Inquiry<'_>) -> Option<f64> {
        let Question::Similarity { to, .. } = inquiry.question else { return None };
        let answer = digest(inquiry.answer);
        self.lines.iter().find_map(|line| match line {
            Judgement::Similar { model: m, to: t, answer: a, similarity } if m == model && t == to && *a == answer => Some(*similarity),
            _ => None,
        })
    }

    fn said(&self, inquiry: Inquiry<'_>) -> Option<Grade> {
        let Question::Program { name, with } = inquiry.question else { return None };
        let (scene, answer) = (inquiry.scene.digest(), digest(inquiry.answer));
        self.lines.iter().find_map(|line| match line {
            Judgement::Command { name: n, with: w, scene: s, answer: a, pass, reason }
                if n == name && w == with && *s == scene && *a == answer =>
            {
                Some(Grade::Verdict { held: *pass, says: reason.clone() })
            }
            _ => None,
        })
    }
}

/// The digest by which an answer is found again.
pub fn digest(answer: &str) -> String {
    canonical::digest(answer.as_bytes())
}

fn unrecorded(why: &str) -> Grade {
    Grade::Undecided { doubt: Doubt::NeedsRecording, why: why.to_string() }
}

/// What recorded votes say; one that does not stand is never counted, whoever wrote it into the file.
fn grade_of(votes: &[Vote], wanted: u32, answer: &str) -> Grade {
    if let Some(why) = votes.iter().find_map(|vote| vote.check(answer).err()) {
        return Grade::Undecided { doubt: Doubt::Judge, why: format!("a recorded vote does not stand: {why}") };
    }
    let told = || votes.iter().map(told).collect::<Vec<_>>().join("\n");
    match judge::decide(votes, wanted) {
        Some(opinion) => {
            let agreeing = votes.iter().filter(|vote| vote.verdict == opinion).count();
            let says = format!("{}\n({agreeing} of {} votes)", told(), votes.len());
            Grade::Verdict { held: opinion == Opinion::Yes, says }
        }
        None if votes.is_empty() => unrecorded("no judge has answered"),
        None => unrecorded(&format!("the judge has not voted often enough\n{}", told())),
    }
}

fn told(vote: &Vote) -> String {
    let word = match vote.verdict {
        Opinion::Yes => "yes",
        Opinion::No => "no",
    };
    let quotes: Vec<String> = vote.evidence.iter().map(|quote| format!("\"{}\"", inert::one_line(quote.trim()))).collect();
    format!("{word}: {} {}", inert::one_line(vote.reason.trim()), quotes.join(", ")).trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(number: u32, verdict: Opinion) -> Judgement {
        Judgement::Judge {
            model: "local/judge".into(),
            prompt: judge::PROMPT_VERSION,
            rubric: "Names the window.".into(),
            scene: Scene::default().digest(),
            answer: digest("30 days"),
            vote: number,
            reason: "r".into(),
            evidence: vec!["30 days".into()],
            verdict,
        }
    }

    fn grade(judgements: &Judgements, rubric: &str, votes: u32) -> Grade {
        let question = Question::Judge { rubric: rubric.into(), model: Some("local/judge".into()), votes: Some(votes) };
        let panel = Panel::of(&Project::default());
        judgements.grade(&panel, Inquiry { question: &question, scene: &Scene::default(), answer: "30 days" })
    }

    fn held(grade: Grade) -> Option<bool> {
        match grade {
            Grade::Verdict { held, .. } => Some(held),
            _ => None,
        }
    }

    #[test]
    fn judgements_survive_their_own_file_in_any_order() {
        let (mut one, mut other) = (Judgements::default(), Judgements::default());
        let similar = Judgement::Similar { model: "local/e".into(), to: "a\nb".into(), answer: digest("c"), similarity: 0.25 };
        let said = Judgement::Command {
            name: "n".into(),
            with: json!({"a": [1]}),
            scene: Scene::default().digest(),
            answer: digest("c"),
            pass: true,
            reason: String::new(),
        };
        for judgement in [vote(2, Opinion::No), similar.clone(), vote(1, Opinion::Yes), said.clone()] {
            one.keep(judgement);
        }
        for judgement in [said, vote(1, Opinion::No), vote(1, Opinion::Yes), similar, vote(2, Opinion::No)] {
            other.keep(judgement);
        }
        assert_eq!(one.to_text(), other.to_text());
        assert_eq!(Judgements::parse(&one.to_text(), Utf8Path::new("f")).unwrap().to_text(), one.to_text());
    }

    #[test]
    fn a_grade_is_found_by_what_was_asked() {
        let mut judgements = Judgements::default();
        judgements.keep(vote(1, Opinion::Yes));
        assert_eq!(held(grade(&judgements, "Names the window.", 1)), Some(true));
        assert_eq!(held(grade(&judgements, "Names the window.", 3)), None);
        assert_eq!(held(grade(&judgements, "Names another window.", 1)), None);
    }

    #[test]
    fn newer_votes_supersede_all_older_ones_on_the_same_answer() {
        let (mut older, mut newer) = (Judgements::default(), Judgements::default());
        (1..=3).for_each(|number| older.keep(vote(number, Opinion::No)));
        newer.keep(vote(1, Opinion::Yes));
        older.supersede(newer);
        assert_eq!(held(grade(&older, "Names the window.", 1)), Some(true));
        assert_eq!(older.lines.len(), 1);
    }
}
