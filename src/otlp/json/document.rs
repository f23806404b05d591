//! A document: resources, their scopes, and the records in them.

use super::element::{Element, Members, Name, many, names, one};
use super::record::{LogObject, ResourceObject, ScopeObject, SpanObject};
use crate::otlp::context::Context;
use crate::otlp::diagnostic::{Habit, quote};
use crate::otlp::scalar::Scalar;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use std::borrow::Cow;

names!(EnvelopeName {
    Spans = "resourceSpans" | "resource_spans",
    Logs = "resourceLogs" | "resource_logs",
    Metrics = "resourceMetrics" | "resource_metrics",
});

/// What stands at the top of a line or file: an envelope, or a list of them.
pub(super) struct Document;

impl<'de> Element<'de> for Document {
    type Output = ();
    const EXPECTED: &'static str = "an object with resourceSpans or resourceLogs";

    fn object<M: MapAccess<'de>>(context: &mut Context, map: M) -> Result<Option<()>, M::Error> {
        Envelope::object(context, map)
    }

    fn list<S: SeqAccess<'de>>(context: &mut Context, mut list: S) -> Result<Option<()>, S::Error> {
        while list.next_element_seed(one::<Envelope>(context))?.is_some() {}
        Ok(Some(()))
    }

    fn scalar(context: &mut Context, scalar: Scalar<'de>) -> Option<()> {
        Envelope::scalar(context, scalar)
    }
}

/// `TracesData`, `LogsData`, `MetricsData` and the export requests, which are alike; also all in one object.
struct Envelope;

impl<'de> Element<'de> for Envelope {
    type Output = ();
    const EXPECTED: &'static str = Document::EXPECTED;

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<()>, M::Error> {
        let mut members = Members::default();
        while let Some(key) = map.next_key_seed(TopKey)? {
            let (Some(name), other) = EnvelopeName::of(&key) else {
                note_key(context, key);
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            members.note(context, name, other);
            context.shape.otlp = true;
            map.next_value_seed(many::<ResourceGroup>(context))?;
        }
        Ok(Some(()))
    }

    fn scalar(context: &mut Context, scalar: Scalar<'de>) -> Option<()> {
        context.error(format_args!("expected {}, found {scalar}", Self::EXPECTED));
        None
    }
}

/// Keeps the first few keys that are not OTLP's, to say what the file looks like.
fn note_key(context: &mut Context, key: Cow<'_, str>) {
    const KEPT: usize = 8;
    let shown = quote(&key);
    if context.shape.keys.len() < KEPT && !context.shape.keys.contains(&shown) {
        context.shape.keys.push(shown);
    }
}

struct TopKey;

impl<'de> DeserializeSeed<'de> for TopKey {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match super::element::Leaf.deserialize(deserializer)? {
            Scalar::Text(text) => Ok(text),
            other => Ok(Cow::Owned(other.to_string())),
        }
    }
}

names!(GroupName {
    Resource = "resource",
    Scopes = "scopeSpans" | "scope_spans",
    LogScopes = "scopeLogs" | "scope_logs",
    MetricScopes = "scopeMetrics" | "scope_metrics",
    OldScopes = "instrumentationLibrarySpans",
    OldLogScopes = "instrumentationLibraryLogs",
    OldMetricScopes = "instrumentationLibraryMetrics",
});

/// What one process or service exported.
struct ResourceGroup;

impl<'de> Element<'de> for ResourceGroup {
    type Output = ();
    const EXPECTED: &'static str = "an object with scopeSpans or scopeLogs";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<()>, M::Error> {
        let (mut members, start) = (Members::default(), context.position());
        context.enter_resource();
        while let Some(name) = members.next(context, &mut map)? {
            match name {
                GroupName::Resource => {
                    let attributes = map.next_value_seed(one::<ResourceObject>(context))?.unwrap_or_default();
                    context.set_resource(attributes, start);
                    continue;
                }
                GroupName::OldScopes | GroupName::OldLogScopes | GroupName::OldMetricScopes => {
                    context.habit(Habit::OldScopes, format_args!("`{}` is read as scopes, its name since 2022", name.text()));
                }
                GroupName::Scopes | GroupName::LogScopes | GroupName::MetricScopes => {}
            }
            map.next_value_seed(many::<ScopeGroup>(context))?;
        }
        Ok(Some(()))
    }
}

names!(ScopeGroupName {
    Scope = "scope",
    OldScope = "instrumentationLibrary",
    Spans = "spans",
    Logs = "logRecords" | "log_records",
    OldLogs = "logs",
    Metrics = "metrics",
});

/// What one instrumentation exported.
struct ScopeGroup;

impl<'de> Element<'de> for ScopeGroup {
    type Output = ();
    const EXPECTED: &'static str = "an object with spans or logRecords";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<()>, M::Error> {
        let (mut members, start) = (Members::default(), context.position());
        context.enter_scope();
        while let Some(name) = members.next(context, &mut map)? {
            match name {
                ScopeGroupName::Scope | ScopeGroupName::OldScope => {
                    let scope = map.next_value_seed(one::<ScopeObject>(context))?.unwrap_or_default();
                    context.set_scope(scope, start);
                }
                ScopeGroupName::Spans => drop(map.next_value_seed(many::<SpanObject>(context))?),
                ScopeGroupName::Logs | ScopeGroupName::OldLogs => drop(map.next_value_seed(many::<LogObject>(context))?),
                ScopeGroupName::Metrics => drop(map.next_value_seed(many::<Metric>(context))?),
            }
        }
        Ok(Some(()))
    }
}

/// A metric, which is counted and skipped.
struct Metric;

impl<'de> Element<'de> for Metric {
    type Output = ();
    const EXPECTED: &'static str = "a metric";

    fn object<M: MapAccess<'de>>(context: &mut Context, map: M) -> Result<Option<()>, M::Error> {
        super::element::skip_object(map)?;
        context.metrics += 1;
        Ok(None)
    }
}
