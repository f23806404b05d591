//! A provider's content filter: the categories for which it stopped a request or an answer.

use serde_json::Value;

/// The categories that an error names.
pub(super) fn of_error(json: &Value) -> Vec<String> {
    let inner = json.pointer("/error/innererror");
    let results = inner.and_then(|inner| inner.get("content_filter_result").or_else(|| inner.get("content_filter_results")));
    results.map(categories).unwrap_or_default()
}

/// The categories that a choice names; those that were looked at and let through do not count.
pub(super) fn of_choice(choice: &Value) -> Vec<String> {
    choice.get("content_filter_results").map(categories).unwrap_or_default()
}

fn categories(results: &Value) -> Vec<String> {
    let stopped = |result: &Value| result.get("filtered").and_then(Value::as_bool) == Some(true);
    results.as_object().into_iter().flatten().filter(|(_, result)| stopped(result)).map(|(name, _)| name.clone()).collect()
}
