//! A grade: what a judge, an embedding model or a program says of one answer.

use crate::verdict::Doubt;
use serde_json::Value;

/// What a check asks of a grader.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Whether the answer keeps a rule, in a judge's opinion.
    Judge {
        /// The rule, in plain words.
        rubric: String,
        /// `provider/model`; none is the project's judge.
        model: Option<String>,
        /// How many votes, an odd number; none is the project's number.
        votes: Option<u32>,
    },
    /// How near the answer is to a text.
    Similarity {
        /// The text.
        to: String,
        /// `provider/model`; none is the project's embedding model.
        model: Option<String>,
    },
    /// What a program of the project says of the answer.
    Program {
        /// Its name under `checks` in relapse.yaml.
        name: String,
        /// What the postmortem tells it besides.
        with: Value,
    },
}

/// What a grader says.
#[derive(Debug, Clone, PartialEq)]
pub enum Grade {
    /// Yes or no, and why.
    Verdict {
        /// Whether the rule is kept.
        held: bool,
        /// Why, with the words of the answer that show it.
        says: String,
    },
    /// The cosine of the angle between two embeddings, from -1 to 1.
    Similarity(f64),
    /// Nothing that could be used.
    Undecided {
        /// For what reason.
        doubt: Doubt,
        /// In words.
        why: String,
    },
}

/// The grades of one answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grades {
    given: Vec<(Question, Grade)>,
}

impl Grades {
    /// Keeps what was said to a question.
    pub fn give(&mut self, question: Question, grade: Grade) {
        self.given.push((question, grade));
    }

    /// What was said to a question; none when it was not asked.
    pub fn of(&self, question: &Question) -> Option<&Grade> {
        self.given.iter().find(|(known, _)| known == question).map(|(_, grade)| grade)
    }
}
