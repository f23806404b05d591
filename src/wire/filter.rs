//! A provider's content filter: the categories for which it stopped a request or an answer.

use crate::tree::Tree;

/// The categories that an error names.
pub(super) fn of_error(json: &Tree<'_>) -> Vec<String> {
    let inner = json.at(&["error", "innererror"]);
    let results = inner.and_then(|inner| inner.get("content_filter_result").or_else(|| inner.get("content_filter_results")));
    results.map(categories).unwrap_or_default()
}

/// The categories that a choice names; those that were looked at and let through do not count.
pub(super) fn of_choice(choice: &Tree<'_>) -> Vec<String> {
    choice.get("content_filter_results").map(categories).unwrap_or_default()
}

fn categories(results: &Tree<'_>) -> Vec<String> {
    let stopped = |result: &Tree<'_>| result.get("filtered") == Some(&Tree::Bool(true));
    results.members().iter().filter(|(_, result)| stopped(result)).map(|(name, _)| name.to_string()).collect()
}
