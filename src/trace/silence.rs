//! Silence: why a trace does not tell a field, and what to add so that it will.

use super::Trace;
use crate::field::{self, State};
use crate::mapping::{self, Advice, Kind, Mapping};
use std::borrow::Cow;

/// What is asked once for all the fields of a trace.
pub(super) struct Silence<'a> {
    trace: &'a Trace,
    mapping: &'a Mapping,
    /// What each instrumentation has to say, in the order of all fields.
    advice: Vec<&'static [Advice]>,
}

impl<'a> Silence<'a> {
    /// The silence of a trace.
    pub(super) fn of(trace: &'a Trace, mapping: &'a Mapping) -> Self {
        let advice = trace.conventions.iter().filter_map(|convention| mapping::advice(convention)).collect();
        Self { trace, mapping, advice }
    }

    /// A name that is no field, which nothing tells.
    pub(super) fn unknown(&self, field: &str) -> State {
        State::Absent { looked: Cow::default(), add: mapping::attribute_to_add(field).into() }
    }

    /// A field of which nothing is told: absent, or indeterminate with the reason; `node` narrows it to one span.
    pub(super) fn about(&self, place: usize, node: Option<usize>) -> State {
        let asked = node.map_or(self.trace.nodes.as_slice(), |index| std::slice::from_ref(&self.trace.nodes[index]));
        let field = field::ALL[place].name;
        let add = self.advice.iter().find_map(|advice| advice[place].add).unwrap_or_else(|| mapping::attribute_to_add_at(place));
        let indeterminate = |reason: &str, add: String| State::Indeterminate { reason: reason.into(), add: add.into() };
        if field == "latency.first_token" && asked.iter().any(|node| node.kind == Kind::Model && node.events_dropped) {
            return indeterminate("events-dropped", format!("{add}, or raise OTEL_SPAN_EVENT_COUNT_LIMIT"));
        }
        if asked.iter().any(|node| node.attributes_dropped) {
            return indeterminate("attributes-dropped", format!("{add}, and raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"));
        }
        if matches!(field, "output" | "input" | "refusal" | "tool.requested") && self.trace.content_is_off() {
            return indeterminate(
                "content-not-captured",
                "content capture (OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY)".into(),
            );
        }
        if let Some(add) = self.advice.iter().find_map(|advice| advice[place].instead) {
            return indeterminate("instrumentation-cannot-carry-it", add.into());
        }
        State::Absent { looked: self.mapping.keys_at(place), add: add.into() }
    }
}
