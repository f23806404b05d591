//! Judgements: what graders said of a case's answers, kept so that a replay need not ask again.

use crate::canonical;
use crate::disk::Root;
use crate::fault::{Fault, Faults, Place};
use crate::grade::{Grade, Question};
use crate::inert;
use crate::judge::{self, Opinion, Scene, Vote};
use crate::limit;
use crate::project::Project;
use crate::verdict::Doubt;
use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The path of a case's judgements, from the repository's root.
pub fn path(case: &str) -> String {
    format!("cases/{case}/judgements.jsonl")
}

/// Who grades where a check does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
            votes: project.judge.as_ref().map_or(1, |judge| judge.votes),
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
    /// What was asked, as canonical JSON: equal for two judgements of which one replaces the other.
    fn key(&self) -> String {
        canonical::json(&match self {
            Self::Judge { model, prompt, rubric, scene, answer, vote, .. } => json!(["judge", rubric, answer, scene, model, prompt, vote]),
            Self::Similar { model, to, answer, .. } => json!(["similar", to, answer, model]),
            Self::Command { name, with, scene, answer, .. } => json!(["command", name, with, answer, scene]),
        })
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

    /// Keeps all judgements of another file.
    pub fn keep_all(&mut self, other: Self) {
        other.lines.into_iter().for_each(|judgement| self.keep(judgement));
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
        Some(opinion) => Grade::Verdict { held: opinion == Opinion::Yes, says: told() },
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
