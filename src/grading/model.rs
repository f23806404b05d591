//! A model as a grader: a judge's vote, or the similarity of two embeddings.

use crate::client::{Answered, Client, Spent};
use crate::grade::Question;
use crate::judge::{self, Vote};
use crate::judgement::{self, Inquiry, Judgement};
use crate::limit;
use crate::provider::{Conversation, Endpoint};
use crate::redact::Redactor;
use crate::trace::Message;
use crate::verdict::Doubt;
use crate::wire::{Exchange, Payload, Request};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Why a grader said nothing that can be used.
type Unusable = (Doubt, String);

/// A model that is asked for one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) client: &'a Client,
    pub(super) endpoint: &'a Endpoint,
    /// `provider/model`.
    pub(super) name: &'a str,
    pub(super) redactor: &'a Redactor,
}

impl Asker<'_> {
    /// Asks for the vote of this number, or for a similarity.
    pub(super) async fn ask(self, inquiry: Inquiry<'_>, vote: u32, spent: &mut Spent) -> Result<Judgement, Unusable> {
        match inquiry.question {
            Question::Judge { rubric, .. } => self.judge(rubric, inquiry, vote, spent).await,
            Question::Similarity { to, .. } => self.similar(to, inquiry, spent).await,
            Question::Program { name, .. } => Err((Doubt::Infrastructure, format!("`{name}` is a program"))),
        }
    }

    /// A vote; a reply that is none is asked for again, a few times.
    async fn judge(self, rubric: &str, inquiry: Inquiry<'_>, number: u32, spent: &mut Spent) -> Result<Judgement, Unusable> {
        let mut unusable = String::new();
        for _ in 0..limit::JUDGE_REPLIES {
            let request = self.endpoint.request(&self.conversation(judge::messages(rubric, inquiry.scene, inquiry.answer, number)));
            let answered = self.send(request, Doubt::Judge, spent).await?;
            let attempt = answered.attempt.as_ref();
            let text = attempt.and_then(|attempt| attempt.text.as_deref()).unwrap_or_default();
            match Vote::parse(&self.redactor.redact(text), inquiry.answer) {
                Ok(vote) => return Ok(self.judgement(rubric, inquiry, number, vote)),
                Err(_) if attempt.is_some_and(|attempt| attempt.refused()) => unusable = "the judge refused".to_string(),
                Err(why) => unusable = why,
            }
        }
        Err((Doubt::Judge, format!("{unusable} (asked {} times)", limit::JUDGE_REPLIES)))
    }

    fn judgement(self, rubric: &str, inquiry: Inquiry<'_>, number: u32, vote: Vote) -> Judgement {
        Judgement::Judge {
            model: self.name.to_string(),
            prompt: judge::PROMPT_VERSION,
            rubric: rubric.to_string(),
            scene: inquiry.scene.digest(),
            answer: judgement::digest(inquiry.answer),
            vote: number,
            reason: vote.reason,
            evidence: vote.evidence,
            verdict: vote.verdict,
        }
    }

    fn conversation(self, messages: [(&str, String); 2]) -> Conversation {
        let messages = messages.map(|(role, text)| Message { role: role.to_string(), text, ..Message::default() });
        Conversation { model: self.model().to_string(), messages: messages.into(), tools: Vec::new(), params: Map::new() }
    }

    /// The model's name as its provider knows it.
    fn model(&self) -> &str {
        self.name.split_once('/').map_or(self.name, |(_, model)| model)
    }

    async fn similar(self, to: &str, inquiry: Inquiry<'_>, spent: &mut Spent) -> Result<Judgement, Unusable> {
        let body = json!({"model": self.model(), "input": [inquiry.answer, to], "encoding_format": "float"});
        let headers = BTreeMap::from([("content-type".to_string(), "application/json".to_string())]);
        let request = Request { method: "POST".into(), path: self.endpoint.path("/embeddings"), headers, body };
        let answered = self.send(request, Doubt::Infrastructure, spent).await?;
        let similarity = embeddings(&answered.exchange).and_then(|[one, other]| cosine(&one, &other));
        let unusable = || (Doubt::Infrastructure, format!("{} did not answer with two embeddings of one length", self.name));
        Ok(Judgement::Similar {
            model: self.name.to_string(),
            to: to.to_string(),
            answer: judgement::digest(inquiry.answer),
            similarity: similarity.ok_or_else(unusable)?,
        })
    }

    async fn send(self, request: Request, silent: Doubt, spent: &mut Spent) -> Result<Answered, Unusable> {
        match self.client.ask(self.endpoint, &request).await {
            Ok(answered) => {
                *spent += answered.spent;
                Ok(answered)
            }
            Err(unanswered) => {
                *spent += unanswered.spent;
                let doubt = if unanswered.doubt == Doubt::Infrastructure { silent } else { unanswered.doubt };
                Err((doubt, unanswered.detail))
            }
        }
    }
}

/// The two embeddings of an answer of `/embeddings`, in the order of their inputs.
fn embeddings(exchange: &Exchange) -> Option<[Vec<f64>; 2]> {
    let Payload::Json(json) = &exchange.response.as_ref()?.payload else { return None };
    let of = |index: u64| {
        let data = json.get("data")?.as_array()?;
        let item = data.iter().find(|item| item.get("index").and_then(Value::as_u64) == Some(index))?;
        item.get("embedding")?.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>()
    };
    Some([of(0)?, of(1)?])
}

/// The cosine of the angle between two vectors, to six decimals; none where they have no angle.
fn cosine(one: &[f64], other: &[f64]) -> Option<f64> {
    let dot = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| one * other).sum::<f64>();
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    let cosine = dot(one, other) / lengths;
    (one.len() == other.len() && cosine.is_finite()).then(|| (cosine * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_is_that_of_the_angle() {
        assert_eq!(cosine(&[1.0, 0.0], &[2.0, 0.0]), Some(1.0));
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), Some(0.0));
        assert_eq!(cosine(&[3.0, 4.0], &[1.0, 0.0]), Some(0.6));
        assert_eq!(cosine(&[1.0, 0.0], &[1.0]), None);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), None);
        assert_eq!(cosine(&[], &[]), None);
    }
}
