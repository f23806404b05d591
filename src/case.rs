//! A case: a compiled postmortem with every number that a run needs; generated, reviewed, never edited by hand.

mod text;

pub(crate) use text::one_line;

use crate::fault::Fault;
use crate::signal::Signals;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The version of the format; an older or newer file is compiled again.
pub const FORMAT: u32 = 1;

/// What a claim of a postmortem proved to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Fails on the incident, passes when healthy.
    Proved,
    /// Passes on the incident: it would not have caught it. An error.
    Vacuous,
    /// Fails when healthy. An error.
    FalseAlarm,
    /// A signal that fires too late. An error.
    Late,
    /// Unknown on the incident, for want of a field.
    Blind,
    /// Nothing healthy to compare with, or no answer of the judge.
    Unproved,
}

impl Proof {
    /// The word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Vacuous => "vacuous",
            Self::FalseAlarm => "false-alarm",
            Self::Late => "late",
            Self::Blind => "blind",
            Self::Unproved => "unproved",
        }
    }

    /// Whether it refuses the postmortem.
    pub fn is_error(self) -> bool {
        matches!(self, Self::Vacuous | Self::FalseAlarm | Self::Late)
    }
}

/// Whether a case gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Not fixed yet: it must regress, and does not gate.
    Open,
    /// It gates.
    Active,
    /// It is run and shown, and does not gate until its date (`YYYY-MM-DD`).
    Muted {
        /// The first day on which it gates again.
        until: String,
        /// Why it is muted.
        why: String,
    },
}

impl Status {
    /// The word in reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Active => "active",
            Self::Muted { .. } => "muted",
        }
    }
}

/// What a case was compiled from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiled {
    /// The version of the mapping table.
    pub mapping: u32,
    /// The digest of the postmortem.
    pub postmortem: String,
    /// The digest of the project's telemetry section, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<String>,
    /// The digests of the evidence, by path below `postmortems/<id>/`.
    pub evidence: BTreeMap<String, String>,
}

/// A retrieved passage that a replay offers again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Its id.
    pub id: String,
    /// Its text.
    #[serde(default)]
    pub text: String,
}

/// What a tool answered, by name and canonical arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The tool's name.
    pub name: String,
    /// The arguments as JSON; a string holds raw text that is not JSON.
    pub arguments: Value,
    /// What it returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed, in place of a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One side of the proof: the incident, or the healthy requests together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The known signals; medians over several healthy requests.
    pub signals: Signals,
    /// The values of the fields that a check may compare.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// A field that every candidate must carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldRequirement {
    /// The field's name.
    pub field: String,
    /// Where it must be, in words.
    pub on: String,
    /// Its line in the postmortem.
    pub line: u32,
    /// What the claim proved to be.
    pub proof: Proof,
}

/// How a test went on one side of the proof.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Whether it held; none when unknown.
    pub held: Option<bool>,
    /// The values that it used.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Map<String, Value>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// What is expected, as the postmortem says it.
    pub expect: Value,
    /// `every`, or `{"rate": 0.95}`.
    pub gate: Value,
    /// Trials that a person asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials: Option<u32>,
    /// Whether measured times gate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub measured: bool,
    /// Its line in the postmortem.
    pub line: u32,
    /// What the claim proved to be.
    pub proof: Proof,
    /// The field that a blind test needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// On the incident.
    pub incident: Trial,
    /// When healthy; none without healthy evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<Trial>,
}

/// One signal that arrived late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LateSignal {
    /// Its name.
    pub name: String,
    /// When one request counts.
    pub rule: String,
    /// The share of requests at which it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The window, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<f64>,
    /// How long after onset it should fire at the latest, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<f64>,
    /// The requests that a window needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Its line in the postmortem.
    pub line: u32,
    /// What the claim proved to be.
    pub proof: Proof,
    /// When it fires in the incident's evidence: seconds after onset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fires_at: Option<f64>,
}

/// The wire that serves where no recording answers, by path below `postmortems/<id>/`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireFiles {
    /// The incident's exchanges.
    #[serde(default)]
    pub incident: Vec<String>,
    /// The healthy exchanges.
    #[serde(default)]
    pub healthy: Vec<String>,
}

/// A compiled postmortem.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The postmortem's stem.
    pub id: String,
    /// What it was compiled from.
    pub compiled: Compiled,
    /// The title.
    pub title: String,
    /// The failure class.
    pub class: String,
    /// `sev1` to `sev4`.
    pub severity: String,
    /// Whether it gates.
    pub status: Status,
    /// The targets that the postmortem names; none means all.
    pub targets: Vec<String>,
    /// The input: a text, or a list of `{role, content}` with its history.
    pub input: Value,
    /// The passages that a replay offers; none when nothing recorded them.
    pub documents: Option<Vec<Passage>>,
    /// The tools in the recorded request, in the neutral form `{name, description, parameters}`.
    pub tools: Vec<Value>,
    /// What the tools answered.
    pub tool_results: Vec<ToolResult>,
    /// What the replay re-creates besides.
    pub conditions: Value,
    /// The wire that serves where no recording answers.
    pub wire: WireFiles,
    /// The incident.
    pub incident: Side,
    /// The healthy requests; none without evidence.
    pub healthy: Option<Side>,
    /// What every candidate must carry.
    pub fields: Vec<FieldRequirement>,
    /// What must hold.
    pub tests: Vec<Test>,
    /// What arrived late.
    pub signals: Vec<LateSignal>,
}

impl Case {
    /// The path of the compiled file, from the repository's root.
    pub fn path(id: &str) -> String {
        format!("cases/{id}/case.yaml")
    }

    /// The path of its postmortem, from the repository's root.
    pub fn postmortem_path(id: &str) -> String {
        format!("postmortems/{id}.md")
    }

    /// The text of the compiled file: the same case gives the same bytes.
    pub fn to_text(&self) -> String {
        let mut writer =
            text::Writer::new(&format!("compiled by relapse from postmortems/{}.md; edit that file, then run `relapse compile`", self.id));
        writer.value("format", &FORMAT);
        writer.value("compiled", &self.compiled);
        writer.value("title", &self.title);
        writer.value("class", &self.class);
        writer.value("severity", &self.severity);
        writer.value("status", &self.status);
        if !self.targets.is_empty() {
            writer.value("targets", &self.targets);
        }
        writer.value("input", &self.input);
        match self.documents.as_deref() {
            Some([]) => writer.value("documents", &[(); 0]),
            Some(documents) => writer.list("documents", documents),
            None => {}
        }
        writer.list("tools", &self.tools);
        writer.list("tool_results", &self.tool_results);
        if self.conditions.as_object().is_some_and(|conditions| !conditions.is_empty()) {
            writer.value("conditions", &self.conditions);
        }
        if self.wire != WireFiles::default() {
            writer.value("wire", &self.wire);
        }
        writer.value("incident", &self.incident);
        if let Some(healthy) = &self.healthy {
            writer.value("healthy", healthy);
        }
        writer.list("fields", &self.fields);
        writer.list("tests", &self.tests);
        writer.list("signals", &self.signals);
        writer.finish()
    }

    /// Reads a compiled file.
    ///
    /// # Errors
    /// A file that this version did not write: another format, or edited by hand.
    pub fn parse(id: &str, text: &str) -> Result<Self, Fault> {
        let file = Self::path(id);
        let reader = text::Reader::new(&file, text)?;
        let format: u32 = reader.value("format")?;
        if format != FORMAT {
            return Err(Fault::new(format!("format {format}, expected {FORMAT}")).in_file(file).help("run `relapse compile`"));
        }
        let documents: Vec<Value> = reader.list("documents")?;
        Ok(Self {
            id: id.to_string(),
            compiled: reader.value("compiled")?,
            title: reader.value("title")?,
            class: reader.value("class")?,
            severity: reader.value("severity")?,
            status: reader.value("status")?,
            targets: reader.optional("targets")?.unwrap_or_default(),
            input: reader.value("input")?,
            documents: passages(documents),
            tools: reader.list("tools")?,
            tool_results: reader.list("tool_results")?,
            conditions: reader.optional("conditions")?.unwrap_or_else(|| Value::Object(Map::new())),
            wire: reader.optional("wire")?.unwrap_or_default(),
            incident: reader.value("incident")?,
            healthy: reader.optional("healthy")?,
            fields: reader.list("fields")?,
            tests: reader.list("tests")?,
            signals: reader.list("signals")?,
        })
    }
}

/// `documents: []` is a value, an absent key is not.
fn passages(items: Vec<Value>) -> Option<Vec<Passage>> {
    match items.as_slice() {
        [] => None,
        [Value::Array(empty)] if empty.is_empty() => Some(Vec::new()),
        _ => Some(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case() -> Case {
        Case {
            id: "empty-retrieval".into(),
            compiled: Compiled {
                mapping: 1,
                postmortem: "sha256:0".into(),
                telemetry: None,
                evidence: BTreeMap::from([("a.jsonl".into(), "sha256:1".into())]),
            },
            title: "Invented a \"policy\"\u{202e}: \u{85} # not a comment".into(),
            class: "retrieval".into(),
            severity: "sev2".into(),
            status: Status::Muted { until: "2027-01-01".into(), why: "vendor".into() },
            targets: vec![],
            input: json!("Can I return it?\n- yes: no"),
            documents: Some(vec![]),
            tools: vec![json!({"name": "lookup_order", "parameters": {"type": "object"}})],
            tool_results: vec![ToolResult {
                name: "lookup_order".into(),
                arguments: json!({"id": 1.5}),
                result: Some(json!({"a": 1})),
                error: None,
            }],
            conditions: json!({}),
            wire: WireFiles::default(),
            incident: Side { signals: Signals::from_json(&json!({"tokens.input": 12, "cost.usd": 1e-7})), fields: Map::new() },
            healthy: None,
            fields: vec![],
            tests: vec![Test {
                name: "no-policy".into(),
                expect: json!({"not_contains": ["lifetime"]}),
                gate: json!("every"),
                trials: None,
                measured: false,
                line: 22,
                proof: Proof::Proved,
                needs: vec![],
                incident: Trial { held: Some(false), values: Map::new() },
                healthy: None,
            }],
            signals: vec![],
        }
    }

    #[test]
    fn a_case_survives_its_own_text() {
        let text = case().to_text();
        assert_eq!(Case::parse("empty-retrieval", &text).unwrap(), case());
        assert_eq!(Case::parse("empty-retrieval", &text.replace('\n', "\r\n")).unwrap(), case());
    }

    #[test]
    fn the_text_is_yaml_for_everyone_else() {
        let text = case().to_text();
        let yaml: Value = crate::yaml::typed(&text).unwrap();
        assert_eq!(yaml["title"], case().title);
        assert_eq!(yaml["tests"][0]["expect"]["not_contains"][0], "lifetime");
        assert_eq!(yaml["documents"], json!([]));
        assert!(text.contains("\\u202e") && text.contains("\\u0085"), "{text}");
    }

    #[test]
    fn a_case_edited_by_hand_is_refused_by_line() {
        let text = case().to_text().replace("severity: \"sev2\"", "severity: sev2");
        let fault = Case::parse("empty-retrieval", &text).unwrap_err();
        assert_eq!(fault.place.unwrap().to_string(), "cases/empty-retrieval/case.yaml:6");
        let merged = case().to_text().replace("class:", "<<<<<<< HEAD\nclass:");
        assert!(Case::parse("empty-retrieval", &merged).is_err());
    }
}
