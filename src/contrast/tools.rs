//! Tools: which were offered and asked for, with which arguments, and what came of it.

use super::{Ledger, Side};
use crate::provider::Tool;
use crate::request::{ToolUse, canonical_arguments};
use crate::signal::Datum;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn measure(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) {
    if let Some((before, after)) = offered(base).zip(offered(now)) {
        let canonical = |tools: &[Tool]| tools.iter().map(|tool| crate::canonical::json(&tool.to_json())).collect::<BTreeSet<_>>();
        ledger.flag("tools", Some(canonical(&before) != canonical(&after)));
        ledger.count("tools.breaking", Some(breaking(&before, &after).len()));
        for what in breaking(&before, &after) {
            ledger.shift(what, Datum::Text("offered".into()), Datum::Text("changed".into()));
        }
    }
    let beyond = |count: &dyn Fn(&Side<'_>) -> Option<usize>| count(now).map(|after| after.saturating_sub(count(base).unwrap_or(0)));
    ledger.count("tools.invalid", beyond(&invalid));
    ledger.count("tools.unknown", beyond(&unknown));
    ledger.count("tools.repeated", beyond(&repeated));
    ledger.count("tools.failed", failed(base, now));
    if let Some((before, after)) = names(base).zip(names(now)) {
        let fresh = after.difference(&before).count();
        ledger.count("tools.new", Some(fresh));
        // Where the baseline asked for no tool, nothing says which one would have been right.
        ledger.count("tools.other", (!before.is_empty() || fresh == 0).then_some(fresh));
        ledger.count("tools.dropped", Some(before.difference(&after).count()));
        if before != after {
            let list = |names: &BTreeSet<&str>| Datum::Text(names.iter().copied().collect::<Vec<_>>().join(", "));
            ledger.shift("tools called", list(&before), list(&after));
        }
    }
}

/// The tools that the first call which says so was told of.
fn offered(side: &Side<'_>) -> Option<Vec<Tool>> {
    side.calls.as_ref()?.iter().find_map(|call| call.tools.clone())
}

fn uses<'a>(side: &'a Side<'_>) -> Option<&'a [ToolUse]> {
    side.request.tool_uses.as_deref()
}

fn names<'a>(side: &'a Side<'_>) -> Option<BTreeSet<&'a str>> {
    uses(side).map(|uses| uses.iter().map(|tool| tool.name.as_str()).collect())
}

/// What breaks callers of a tool: it is gone, or a parameter is gone, retyped or newly required.
fn breaking(base: &[Tool], now: &[Tool]) -> Vec<String> {
    let mut broken = Vec::new();
    for tool in base {
        let Some(after) = now.iter().find(|other| other.name == tool.name) else {
            broken.push(format!("tool {}", tool.name));
            continue;
        };
        let (before, after) = (Schema::of(tool), Schema::of(after));
        let is_gone = |(name, kind): &(&&str, &Option<&str>)| after.properties.get(**name) != Some(*kind);
        let gone = before.properties.iter().filter(is_gone).map(|(name, _)| *name);
        let required = after.required.difference(&before.required).copied();
        let parameters: BTreeSet<&str> = gone.chain(required).collect();
        broken.extend(parameters.into_iter().map(|name| format!("tool {} {name}", tool.name)));
    }
    broken
}

/// The parameters of a tool, as far as its schema is a plain object.
struct Schema<'a> {
    properties: BTreeMap<&'a str, Option<&'a str>>,
    required: BTreeSet<&'a str>,
}

impl<'a> Schema<'a> {
    fn of(tool: &'a Tool) -> Self {
        let properties = tool.parameters.get("properties").and_then(Value::as_object).into_iter().flatten();
        let required = tool.parameters.get("required").and_then(Value::as_array).into_iter().flatten();
        Self {
            properties: properties.map(|(name, schema)| (name.as_str(), schema.get("type").and_then(Value::as_str))).collect(),
            required: required.filter_map(Value::as_str).collect(),
        }
    }

    fn admits(&self, arguments: &Value) -> bool {
        let Some(map) = arguments.as_object() else { return false };
        let complete = self.required.iter().all(|name| map.contains_key(*name));
        complete && map.iter().all(|(name, value)| self.properties.get(name.as_str()).is_none_or(|kind| is_of(value, *kind)))
    }
}

fn is_of(value: &Value, kind: Option<&str>) -> bool {
    match kind {
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}

/// Calls whose arguments are no JSON, or do not fit the schema that the model was told.
fn invalid(side: &Side<'_>) -> Option<usize> {
    let offered = offered(side).unwrap_or_default();
    let fits = |tool: &ToolUse| {
        let raw = if tool.arguments.trim().is_empty() { "{}" } else { &tool.arguments };
        let Ok(arguments) = serde_json::from_str::<Value>(raw) else { return false };
        offered.iter().find(|offer| offer.name == tool.name).is_none_or(|offer| Schema::of(offer).admits(&arguments))
    };
    let uses = uses(side)?;
    let count = uses.iter().filter(|tool| !fits(tool)).count();
    // Telemetry shows arguments after the SDK mended them, so it cannot say that all were valid.
    let is_raw = uses.iter().all(|tool| tool.from_wire);
    (count > 0 || is_raw).then_some(count)
}

/// Calls of tools that were not offered; none when nothing says which were.
fn unknown(side: &Side<'_>) -> Option<usize> {
    let offered = offered(side).filter(|offered| !offered.is_empty())?;
    let is_offered = |tool: &&ToolUse| offered.iter().any(|offer| offer.name == tool.name);
    Some(uses(side)?.iter().filter(|tool| !is_offered(tool)).count())
}

/// Calls that an earlier one made already, by name and arguments: of this request, or of the conversation so far.
fn repeated(side: &Side<'_>) -> Option<usize> {
    let of_request = side.number("calls.repeated").map(|count| count as usize);
    let of_conversation = side.calls.iter().flatten().map(|call| {
        let asked: Vec<_> = call.turns.iter().flat_map(|turn| &turn.tool_requests).collect();
        let distinct: BTreeSet<_> = asked.iter().map(|request| (&request.name, canonical_arguments(&request.arguments))).collect();
        asked.len() - distinct.len()
    });
    of_request.into_iter().chain(of_conversation).max()
}

/// Tools that failed now: by their spans, or by a result that says `error` to a call that the baseline made and was answered.
fn failed(base: &Side<'_>, now: &Side<'_>) -> Option<usize> {
    let by_span =
        now.number("calls.tool_errors").map(|errors| (errors - base.number("calls.tool_errors").unwrap_or(0.0)).max(0.0) as usize);
    let by_result = results(base).zip(results(now)).map(|(base, now)| {
        let flipped = |(call, failed): &(&Call, &bool)| **failed && base.get(*call) == Some(&false);
        now.iter().filter(flipped).count()
    });
    by_span.into_iter().chain(by_result).max()
}

/// A tool's name and canonical arguments.
type Call = (String, String);

/// Every answered call with whether its result says that it failed.
fn results(side: &Side<'_>) -> Option<BTreeMap<Call, bool>> {
    let turns = side.calls.as_ref()?.iter().flat_map(|call| &call.turns);
    let asked: BTreeMap<&str, Call> = turns
        .clone()
        .flat_map(|turn| &turn.tool_requests)
        .map(|request| (request.id.as_str(), (request.name.clone(), canonical_arguments(&request.arguments))))
        .collect();
    let answers = turns.filter_map(|turn| Some((asked.get(turn.answers.as_deref()?)?.clone(), says_error(&turn.text))));
    Some(answers.collect())
}

fn says_error(result: &str) -> bool {
    let error = serde_json::from_str::<Value>(result).ok().and_then(|json| json.get("error").cloned());
    error.is_some_and(|error| !error.is_null() && error != Value::Bool(false)) || result.trim_start().to_lowercase().starts_with("error")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str, parameters: Value) -> Tool {
        Tool { name: name.into(), description: None, parameters }
    }

    #[test]
    fn a_renamed_parameter_breaks_and_an_optional_one_does_not() {
        let base = [tool("click", json!({"properties": {"ref": {"type": "string"}}, "required": ["ref"]}))];
        let renamed = [tool("click", json!({"properties": {"target": {"type": "string"}}, "required": ["target"]}))];
        let wider = [tool("click", json!({"properties": {"ref": {"type": "string"}, "wait": {"type": "number"}}, "required": ["ref"]}))];
        assert_eq!(breaking(&base, &renamed), ["tool click ref", "tool click target"]);
        assert!(breaking(&base, &wider).is_empty());
        assert_eq!(breaking(&base, &[]), ["tool click"]);
    }

    #[test]
    fn arguments_fit_their_schema_or_not() {
        let tool = tool("look", json!({"properties": {"id": {"type": "string"}, "count": {"type": "integer"}}, "required": ["id"]}));
        let schema = Schema::of(&tool);
        assert!(schema.admits(&json!({"id": "1", "count": 2, "more": null})));
        for arguments in [json!({}), json!({"id": 1}), json!({"id": "1", "count": 1.5}), json!("1")] {
            assert!(!schema.admits(&arguments), "{arguments}");
        }
    }

    #[test]
    fn a_result_says_error_in_the_usual_ways() {
        assert!(says_error(r#"{"error": "down"}"#) && says_error("Error: down"));
        assert!(!says_error(r#"{"error": null, "status": "ok"}"#) && !says_error("no errors"));
    }
}
