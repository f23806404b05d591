//! LangSmith: runs, as its API and bulk export write them; a run may come in two halves, its children inside it or beside it.

use super::attributes::Draft;
use super::record::{Record, first, plain};
use super::{Export, Score};
use crate::otlp::{Scope, Span, Status};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// What an export looks like.
pub(super) const SHAPE: &str = "runs with id, run_type and start_time";

/// Whether a record is a LangSmith run.
pub(super) fn is(value: &Value) -> bool {
    Record::of(value)
        .is_some_and(|record| record.has("run_type") && record.has("id") && (record.has("start_time") || record.has("dotted_order")))
}

/// Reads runs; the halves of one are joined first.
pub(super) fn read(records: Vec<Value>, export: &mut Export) {
    let mut runs = Runs::default();
    records.into_iter().for_each(|value| runs.take(value));
    let skipped = runs.skipped;
    for value in runs.in_order {
        let Some(run) = Record::of(&value) else { continue };
        let Some(span) = span(run) else { continue };
        feedback(run, &span, export);
        export.spans.push(span);
    }
    export.skipped(skipped);
}

/// Runs by id, in the order in which they were first met.
#[derive(Default)]
struct Runs {
    in_order: Vec<Value>,
    by_id: HashMap<String, usize>,
    skipped: usize,
}

impl Runs {
    fn take(&mut self, value: Value) {
        // Children are taken apart with a list of their own: exports nest them without bound.
        let mut waiting = vec![value];
        while let Some(value) = waiting.pop() {
            let Value::Object(mut run) = value else {
                self.skipped += 1;
                continue;
            };
            if let Some(Value::Array(children)) = run.remove("child_runs") {
                waiting.extend(children.into_iter().rev());
            }
            self.join(run);
        }
    }

    fn join(&mut self, run: Map<String, Value>) {
        let Some(id) = run.get("id").and_then(Value::as_str).map(str::to_string) else {
            self.skipped += 1;
            return;
        };
        match self.by_id.get(&id).and_then(|index| self.in_order[*index].as_object_mut()) {
            Some(known) => known.extend(run.into_iter().filter(|(_, value)| !value.is_null())),
            None => {
                self.by_id.insert(id, self.in_order.len());
                self.in_order.push(Value::Object(run));
            }
        }
    }
}

fn span(run: Record<'_>) -> Option<Span> {
    let id = run.text("id")?.to_lowercase();
    let parent = parent(run);
    let trace_id = run.text("trace_id").map(str::to_lowercase).or_else(|| root(run)).unwrap_or_else(|| id.clone());
    let error = run.text("error");
    let mut draft = Draft::default();
    of_run(run, &mut draft);
    if let Some(error) = error {
        draft.text("error.type", Some(error_type(error)));
    }
    Some(Span {
        trace_id,
        parent: parent.filter(|parent| *parent != id),
        span_id: id,
        name: run.text("name").unwrap_or_default().to_string(),
        start_ns: run.time("start_time"),
        end_ns: run.time("end_time"),
        attributes: draft.finish(),
        status: Status { code: if error.is_some() { 2 } else { 0 }, message: error.unwrap_or_default().to_string() },
        scope: Arc::new(Scope { name: "langsmith".to_string(), ..Scope::default() }),
        ..Span::default()
    })
}

/// `RateLimitError('429 …')` is a `RateLimitError`.
fn error_type(error: &str) -> &str {
    error.split(['(', ':', '\n']).next().unwrap_or(error).trim()
}

fn parent(run: Record<'_>) -> Option<String> {
    let by_order = || run.text("dotted_order")?.rsplit('.').nth(1).and_then(id_of_segment);
    run.text("parent_run_id").map(str::to_lowercase).or_else(by_order)
}

fn root(run: Record<'_>) -> Option<String> {
    run.text("dotted_order")?.split('.').next().and_then(id_of_segment)
}

/// The id behind the time: `20230914T223155647000Z1b64098b-…`.
fn id_of_segment(segment: &str) -> Option<String> {
    segment.split_once('Z').map(|(_, id)| id.to_lowercase()).filter(|id| !id.is_empty())
}

fn of_run(run: Record<'_>, draft: &mut Draft) {
    let kind = run.text("run_type").unwrap_or("chain");
    draft.text("langsmith.span.kind", Some(kind));
    let extra = run.map("extra");
    for (key, value) in extra.and_then(|extra| extra.map("metadata")).into_iter().flat_map(Record::members) {
        draft.written(&format!("langsmith.metadata.{key}"), Some(value));
    }
    match kind {
        "llm" => of_model(run, extra, draft),
        "retriever" => {
            draft.text("input.value", run.get("inputs").map(plain).as_deref());
            draft.written("output.value", run.get("outputs"));
        }
        _ => {
            draft.text("input.value", run.get("inputs").map(plain).as_deref());
            draft.text("output.value", run.get("outputs").map(plain).as_deref());
        }
    }
}

fn of_model(run: Record<'_>, extra: Option<Record<'_>>, draft: &mut Draft) {
    draft.written("gen_ai.prompt", run.get("inputs"));
    draft.written("gen_ai.completion", run.get("outputs"));
    let params = extra.and_then(|extra| extra.map("invocation_params"));
    draft.text("gen_ai.request.model", params.and_then(|params| params.text("model").or_else(|| params.text("model_name"))));
    let outputs = run.get("outputs").unwrap_or(&Value::Null);
    let text = |pointers: &[&str]| first(outputs, pointers).and_then(Value::as_str);
    const GENERATION: &str = "/generations/0/0";
    let within = |pointer: &str| format!("{GENERATION}{pointer}");
    let model = ["/model".to_string(), "/llm_output/model_name".to_string(), within("/message/kwargs/response_metadata/model_name")];
    draft.text("gen_ai.response.model", text(&model.each_ref().map(String::as_str)));
    let reason = [
        "/choices/0/finish_reason".to_string(),
        "/stop_reason".to_string(),
        within("/generation_info/finish_reason"),
        within("/message/kwargs/response_metadata/finish_reason"),
        within("/message/kwargs/response_metadata/stop_reason"),
    ];
    draft.text("gen_ai.response.finish_reasons", text(&reason.each_ref().map(String::as_str)));
    let id = ["/id".to_string(), within("/message/kwargs/response_metadata/id")];
    draft.text("gen_ai.response.id", text(&id.each_ref().map(String::as_str)));
    tokens(run, outputs, draft);
    streaming(run, params, draft);
}

fn tokens(run: Record<'_>, outputs: &Value, draft: &mut Draft) {
    let places = ["/usage_metadata", "/usage", "/llm_output/token_usage", "/generations/0/0/message/kwargs/usage_metadata"];
    let usage = first(outputs, &places).and_then(Record::of);
    let told = |own: &str, names: [&str; 2]| {
        run.number(own).filter(|tokens| *tokens > 0.0).or_else(|| names.iter().find_map(|name| usage?.number(name)))
    };
    draft.number("gen_ai.usage.input_tokens", told("prompt_tokens", ["input_tokens", "prompt_tokens"]));
    draft.number("gen_ai.usage.output_tokens", told("completion_tokens", ["output_tokens", "completion_tokens"]));
    let details = |group: &str, name: &str| usage.and_then(|usage| usage.map(group)).and_then(|details| details.number(name));
    draft.number("gen_ai.usage.cache_read.input_tokens", details("input_token_details", "cache_read"));
    draft.number("gen_ai.usage.reasoning.output_tokens", details("output_token_details", "reasoning"));
    draft.number("gen_ai.usage.cost", run.number("total_cost").filter(|cost| *cost > 0.0));
}

fn streaming(run: Record<'_>, params: Option<Record<'_>>, draft: &mut Draft) {
    let mut events = run.list("events").iter().filter_map(Record::of);
    let event = events.find(|event| event.text("name") == Some("new_token")).map(|event| event.time("time"));
    let token = Some(run.time("first_token_time")).filter(|time| *time > 0).or(event);
    let asked = params.and_then(|params| params.get("stream")).and_then(Value::as_bool);
    draft.flag("gen_ai.request.stream", asked.or(token.map(|_| true)));
    let start = run.time("start_time");
    let waited = token.filter(|time| start > 0 && *time >= start).map(|time| (time - start) as f64 / 1e9);
    draft.number("gen_ai.response.time_to_first_chunk", waited);
}

/// Feedback is kept as its mean, and only on the root.
fn feedback(run: Record<'_>, span: &Span, export: &mut Export) {
    for (key, stats) in run.map("feedback_stats").into_iter().flat_map(Record::members) {
        let Some(mean) = Record::of(stats).and_then(|stats| stats.number("avg")) else { continue };
        let name = if key.contains("user") && key.contains("feedback") { "user_feedback" } else { key };
        let score = Score { name, value: Some(mean), label: None, time_ns: span.end_ns };
        export.score(span.trace_id.clone(), Some(span.span_id.clone()), score);
    }
}
