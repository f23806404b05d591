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
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Double(d) => Some(*d),
            _ => None,
        }
    }
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as V;
        match self {
            Self::Null | Self::Bytes(_) => V::Null,
            Self::Bool(b) => V::Bool(*b),
            Self::Int(i) => (*i).into(),
            Self::Double(d) => (*d).into(),
            Self::Text(t) => t.as_str().into(),
            Self::List(l) => l.iter().map(Self::to_json).collect(),
            Self::Map(m) => V::Object(m.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
        }
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
#[derive(Debug, Default)]
pub struct Telemetry {
    pub spans: Vec<Span>,
    pub logs: Vec<LogRecord>,
    pub metrics: usize,
    pub diagnostics: Vec<String>,
}
pub fn read_all(bytes: &[u8]) -> Telemetry {
    use serde_json::Value as V;
    fn s(v: &V, k: &str) -> String {
        v.get(k).and_then(V::as_str).unwrap_or_default().to_string()
    }
    fn n(v: &V, k: &str) -> u64 {
        match v.get(k) {
            Some(V::String(t)) => t.parse().unwrap_or(0),
            Some(x) => x.as_u64().unwrap_or(0),
            None => 0,
        }
    }
    fn any(v: &V) -> AnyValue {
        let Some(o) = v.as_object() else { return AnyValue::Null };
        let Some((k, x)) = o.iter().next() else { return AnyValue::Null };
        match k.as_str() {
            "stringValue" => AnyValue::Text(x.as_str().unwrap_or_default().into()),
            "boolValue" => AnyValue::Bool(x.as_bool().unwrap_or(false)),
            "intValue" => AnyValue::Int(x.as_i64().or_else(|| x.as_str().and_then(|t| t.parse().ok())).unwrap_or(0)),
            "doubleValue" => AnyValue::Double(x.as_f64().unwrap_or(f64::NAN)),
            "arrayValue" => AnyValue::List(x.get("values").and_then(V::as_array).map(|l| l.iter().map(any).collect()).unwrap_or_default()),
            "kvlistValue" => AnyValue::Map(attrs(x, "values")),
            _ => AnyValue::Null,
        }
    }
    fn attrs(v: &V, k: &str) -> Attributes {
        v.get(k)
            .and_then(V::as_array)
            .map(|l| l.iter().map(|a| (s(a, "key"), any(a.get("value").unwrap_or(&V::Null)))).collect())
            .unwrap_or_default()
    }
    let mut t = Telemetry::default();
    for line in bytes.split(|b| *b == b'\n') {
        let Ok(d) = serde_json::from_slice::<V>(line) else { continue };
        for rs in d.get("resourceSpans").and_then(V::as_array).into_iter().flatten() {
            let res = Arc::new(attrs(rs.get("resource").unwrap_or(&V::Null), "attributes"));
            for ss in rs.get("scopeSpans").and_then(V::as_array).into_iter().flatten() {
                let sc = ss.get("scope").unwrap_or(&V::Null);
                let scope = Arc::new(Scope { name: s(sc, "name"), version: s(sc, "version"), attributes: attrs(sc, "attributes") });
                for p in ss.get("spans").and_then(V::as_array).into_iter().flatten() {
                    let st = p.get("status").unwrap_or(&V::Null);
                    t.spans.push(Span {
                        trace_id: s(p, "traceId"),
                        span_id: s(p, "spanId"),
                        parent: Some(s(p, "parentSpanId")).filter(|x| !x.is_empty()),
                        name: s(p, "name"),
                        kind: n(p, "kind") as u8,
                        start_ns: n(p, "startTimeUnixNano"),
                        end_ns: n(p, "endTimeUnixNano"),
                        attributes: attrs(p, "attributes"),
                        events: p
                            .get("events")
                            .and_then(V::as_array)
                            .into_iter()
                            .flatten()
                            .map(|e| Event { name: s(e, "name"), time_ns: n(e, "timeUnixNano"), attributes: attrs(e, "attributes") })
                            .collect(),
                        links: vec![],
                        status: Status { code: n(st, "code") as u8, message: s(st, "message") },
                        dropped_attributes: n(p, "droppedAttributesCount") as u32,
                        dropped_events: n(p, "droppedEventsCount") as u32,
                        flags: None,
                        kind_type: None,
                        resource: res.clone(),
                        scope: scope.clone(),
                    });
                }
            }
        }
        for rs in d.get("resourceLogs").and_then(V::as_array).into_iter().flatten() {
            let res = Arc::new(attrs(rs.get("resource").unwrap_or(&V::Null), "attributes"));
            for ss in rs.get("scopeLogs").and_then(V::as_array).into_iter().flatten() {
                let sc = ss.get("scope").unwrap_or(&V::Null);
                let scope = Arc::new(Scope { name: s(sc, "name"), version: s(sc, "version"), attributes: attrs(sc, "attributes") });
                for p in ss.get("logRecords").and_then(V::as_array).into_iter().flatten() {
                    let a = attrs(p, "attributes");
                    let en = Some(s(p, "eventName"))
                        .filter(|x| !x.is_empty())
                        .or_else(|| a.iter().find(|(k, _)| k == "event.name").and_then(|(_, v)| v.as_text().map(str::to_string)));
                    t.logs.push(LogRecord {
                        trace_id: Some(s(p, "traceId")).filter(|x| !x.is_empty()),
                        span_id: Some(s(p, "spanId")).filter(|x| !x.is_empty()),
                        time_ns: n(p, "timeUnixNano").max(n(p, "observedTimeUnixNano")),
                        event_name: en,
                        severity: 0,
                        body: any(p.get("body").unwrap_or(&V::Null)),
                        attributes: a,
                        dropped_attributes: 0,
                        resource: res.clone(),
                        scope: scope.clone(),
                    });
                }
            }
        }
    }
    t
}
