//! OTLP: spans and log records as they were exported.
use std::sync::Arc;
#[derive(Debug, Clone, PartialEq)]
pub enum AnyValue {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<AnyValue>),
    Map(Vec<(String, AnyValue)>),
}
impl AnyValue {
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            _ => None,
        }
    }
    pub fn as_f64(&self) -> Option<f64> {
        None
    }
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}
pub type Attributes = Vec<(String, AnyValue)>;
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    pub name: String,
    pub version: String,
    pub attributes: Attributes,
}
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    pub time_ns: u64,
    pub attributes: Attributes,
}
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    pub trace_id: String,
    pub span_id: String,
    pub attributes: Attributes,
}
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    pub code: u8,
    pub message: String,
}
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent: Option<String>,
    pub name: String,
    pub kind: u8,
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: Attributes,
    pub events: Vec<Event>,
    pub links: Vec<Link>,
    pub status: Status,
    pub dropped_attributes: u32,
    pub dropped_events: u32,
    pub flags: Option<u32>,
    pub kind_type: Option<String>,
    pub resource: Arc<Attributes>,
    pub scope: Arc<Scope>,
}
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    pub trace_id: Option<String>,
    pub span_id: Option<String>,
    pub time_ns: u64,
    pub event_name: Option<String>,
    pub severity: u8,
    pub body: AnyValue,
    pub attributes: Attributes,
    pub dropped_attributes: u32,
    pub resource: Arc<Attributes>,
    pub scope: Arc<Scope>,
}
