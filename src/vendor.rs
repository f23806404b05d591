//! Vendor exports: what other tools keep of a trace, read into spans and log records, so that one pipeline serves all.
//!
//! A vendor is a file that says what its records look like and turns them into spans with attributes that the mapping
//! knows. To add one: write the file, and name it in [`VENDORS`].

mod attributes;
mod datadog;
mod langfuse;
mod langsmith;
mod litellm;
mod mlflow;
mod openai_agents;
mod phoenix;
mod record;

use crate::fault::Fault;
use crate::limit;
use crate::otlp::{self, AnyValue, LogRecord, Span};
use serde_json::Value;

/// What one export held.
#[derive(Debug, Default)]
pub struct Export {
    /// The vendor's name.
    pub vendor: &'static str,
    /// One span for each observation, run or call.
    pub spans: Vec<Span>,
    /// Scores and feedback.
    pub logs: Vec<LogRecord>,
    /// What was odd.
    pub diagnostics: Vec<String>,
}

impl Export {
    /// Records that are none of the vendor's cost themselves only.
    fn skipped(&mut self, count: usize) {
        if count > 0 {
            self.diagnostics.push(format!("{count} records are not {}'s and were left out", self.vendor));
        }
    }

    /// A score of a trace, as OpenTelemetry's evaluation event has it.
    fn score(&mut self, trace_id: String, span_id: Option<String>, score: Score<'_>) {
        let mut attributes = vec![("gen_ai.evaluation.name".to_string(), AnyValue::Text(score.name.to_string()))];
        attributes.extend(score.value.map(|value| ("gen_ai.evaluation.score.value".to_string(), AnyValue::Double(value))));
        attributes.extend(score.label.map(|label| ("gen_ai.evaluation.score.label".to_string(), AnyValue::Text(label.to_string()))));
        let event_name = Some("gen_ai.evaluation.result".to_string());
        self.logs.push(LogRecord {
            trace_id: Some(trace_id),
            span_id,
            event_name,
            time_ns: score.time_ns,
            attributes,
            ..LogRecord::default()
        });
    }
}

/// A score before it is a log record.
struct Score<'a> {
    name: &'a str,
    value: Option<f64>,
    label: Option<&'a str>,
    time_ns: u64,
}

/// One vendor.
struct Vendor {
    name: &'static str,
    /// What its export looks like, for messages.
    shape: &'static str,
    /// Whether a record is the vendor's.
    is: fn(&Value) -> bool,
    read: fn(Vec<Value>, &mut Export),
}

const VENDORS: &[Vendor] = &[
    Vendor { name: "Langfuse", shape: langfuse::SHAPE, is: langfuse::is, read: langfuse::read },
    Vendor { name: "OpenAI Agents", shape: openai_agents::SHAPE, is: openai_agents::is, read: openai_agents::read },
    Vendor { name: "LangSmith", shape: langsmith::SHAPE, is: langsmith::is, read: langsmith::read },
    Vendor { name: "MLflow", shape: mlflow::SHAPE, is: mlflow::is, read: mlflow::read },
    Vendor { name: "Phoenix", shape: phoenix::SHAPE, is: phoenix::is, read: phoenix::read },
    Vendor { name: "Datadog", shape: datadog::SHAPE, is: datadog::is, read: datadog::read },
    Vendor { name: "LiteLLM", shape: litellm::SHAPE, is: litellm::is, read: litellm::read },
];

/// Reads an export of any vendor: one JSON document, a list of records, or one record a line; plain or compressed.
///
/// Nothing comes out of a file that is no vendor's.
///
/// # Errors
/// A file that is too large, or JSON of a vendor that breaks off before its first record.
pub fn read(bytes: &[u8]) -> Result<Option<Export>, Fault> {
    let text = otlp::text(bytes, limit::VENDOR_BYTES)?;
    let text = otlp::repaired(&text).unwrap_or(text);
    let mut diagnostics = Vec::new();
    let records = records(text.trim_start_matches('\u{feff}'), &mut diagnostics);
    let Some(vendor) = VENDORS.iter().find(|vendor| records.iter().any(vendor.is)) else { return Ok(None) };
    let mut export = Export { vendor: vendor.name, diagnostics, ..Export::default() };
    (vendor.read)(records, &mut export);
    Ok(Some(export))
}

/// What can be read, for the message about a file that cannot.
pub fn expected() -> String {
    let vendors: Vec<String> = VENDORS.iter().map(|vendor| format!("{} ({})", vendor.name, vendor.shape)).collect();
    format!("expected OTLP (JSON, JSON lines or protobuf; plain, gzip or zstd), or an export of {}", vendors.join(", "))
}

/// The records of a text: lists are taken apart; a line that is no JSON is left out with a word.
fn records(text: &str, diagnostics: &mut Vec<String>) -> Vec<Value> {
    let mut records = Vec::new();
    let mut rest = text;
    while !rest.trim_start().is_empty() {
        let mut documents = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let error = documents.by_ref().find_map(|document| document.map(|document| unfold(document, &mut records)).err());
        let Some(error) = error else { break };
        let broken = rest[documents.byte_offset()..].trim_start();
        if diagnostics.len() < limit::DIAGNOSTICS {
            let line = 1 + text[..text.len() - broken.len()].matches('\n').count();
            diagnostics.push(format!("line {line}: not JSON: {error}"));
        }
        rest = broken.split_once('\n').map_or("", |(_, after)| after);
    }
    records
}

/// A document's records: the members of a list, of `{"data": […]}` as APIs answer and are asked, or of `{"runs": […]}` and `{"spans": […]}`.
fn unfold(document: Value, records: &mut Vec<Value>) {
    match document {
        Value::Array(items) => records.extend(items),
        Value::Object(mut map) if !map.contains_key("id") => {
            let wrapped = ["data", "runs", "spans"].into_iter().find(|key| map.get(*key).is_some_and(Value::is_array));
            match wrapped.and_then(|key| map.remove(key)) {
                Some(Value::Array(items)) => records.extend(items),
                _ => records.push(Value::Object(map)),
            }
        }
        record => records.push(record),
    }
}
