//! The prompt as it was written: what is rendered into it is taken out, and two of them are compared line by line.

use super::asked::Call;
use crate::diagnosis::{Edit, Hunk};
use crate::trace::Document;
use regex::Regex;
use similar::{ChangeTag, TextDiff};
use std::sync::LazyLock;

/// A line that begins with an id in brackets is a passage that was rendered into a prompt.
static PASSAGE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*\[([A-Za-z0-9][A-Za-z0-9_.:/#-]+)\]\s+(\S.*)$").expect("the pattern is tested"));
/// A line that stands where passages would.
static NO_PASSAGES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^\W*(?:none|empty|nothing|n/?a|(?:no|keine|aucun) \w+(?: (?:were )?(?:found|available|retrieved))?)\W*$")
        .expect("the pattern is tested")
});
/// Dates, times and ids that differ between any two renderings.
static VOLATILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x) \d{4}-\d{2}-\d{2} (?: [T\ ] \d{2}:\d{2} (?: :\d{2} (?: \.\d+ )? )? (?: Z | [+-]\d{2}:?\d{2} )? )?
             | \b \d{1,2}:\d{2} (?: :\d{2} )? \b
             | \b [0-9a-fA-F]{8} (?: -? [0-9a-fA-F]{4} ){3} -? [0-9a-fA-F]{12} \b",
    )
    .expect("the pattern is tested")
});
/// A variable of a template that nothing was rendered into.
static UNFILLED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{\s*[A-Za-z_][\w.]*\s*\}\}|(?:^|[\s:(])\{[a-z_][a-z0-9_]*\}").expect("the pattern is tested"));

/// A rendered text taken apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rendered {
    /// The template, as far as it can be told: passages, the question and what is volatile are out of it.
    pub(super) template: String,
    /// The passages that were in it.
    pub(super) passages: Vec<Document>,
}

/// Takes a rendered text apart; `documents` are those that telemetry knows.
pub(super) fn take_apart(text: &str, documents: &[Document], question: Option<&str>) -> Rendered {
    let mut text = text.to_string();
    let mut passages = Vec::new();
    for known in documents.iter().filter_map(|document| document.text.as_deref()).filter(|known| known.len() >= 16) {
        // A passage of several lines is none that begins with its id; one of a line may.
        if known.contains('\n') {
            text = text.replace(known, "");
        }
    }
    let mut lines = Vec::new();
    for line in text.lines() {
        match PASSAGE.captures(line) {
            Some(found) => passages.push(Document { id: found[1].to_string(), score: None, text: Some(found[2].to_string()) }),
            None if is_known(line, documents) || NO_PASSAGES.is_match(line) => {}
            None => lines.push(line.trim_end()),
        }
    }
    let mut template = lines.join("\n");
    if let Some(question) = question.filter(|question| question.len() >= 4) {
        template = template.replace(question, "{question}");
    }
    Rendered { template: VOLATILE.replace_all(template.trim_end(), "{…}").into_owned(), passages }
}

fn is_known(line: &str, documents: &[Document]) -> bool {
    let line = line.trim();
    line.len() >= 16 && documents.iter().filter_map(|document| document.text.as_deref()).any(|text| line.ends_with(text.trim()))
}

/// Variables that nothing was rendered into.
pub(super) fn unfilled(text: &str) -> usize {
    UNFILLED.find_iter(text).count()
}

/// The distinct templates of a request's calls, in order.
pub(super) fn templates(calls: &[Call], documents: &[Document], question: Option<&str>) -> Vec<String> {
    let mut templates: Vec<String> = Vec::new();
    for call in calls.iter().filter(|call| !call.system.is_empty()) {
        let template = take_apart(&call.system, documents, question).template;
        if !templates.contains(&template) {
            templates.push(template);
        }
    }
    templates
}

/// The hunks between templates: each new one is held against the baseline's most similar one.
pub(super) fn hunks(base: &[String], now: &[String]) -> Vec<Hunk> {
    let fresh = now.iter().filter(|template| !base.contains(template));
    fresh.flat_map(|template| diff(nearest(base, template), template)).collect()
}

fn nearest<'a>(base: &'a [String], template: &str) -> &'a str {
    let likeness = |other: &&String| (TextDiff::from_lines(other.as_str(), template).ratio() * 1e6) as u64;
    base.iter().max_by_key(likeness).map_or("", String::as_str)
}

/// Runs of lines that were removed or added, each with the line before which it stands.
pub fn diff(base: &str, now: &str) -> Vec<Hunk> {
    let difference = TextDiff::from_lines(base, now);
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut in_hunk = false;
    for change in difference.iter_all_changes() {
        let edit = match change.tag() {
            ChangeTag::Equal => {
                in_hunk = false;
                continue;
            }
            ChangeTag::Delete => Edit::Removed(change.value().trim_end_matches('\n').to_string()),
            ChangeTag::Insert => Edit::Added(change.value().trim_end_matches('\n').to_string()),
        };
        if !in_hunk {
            hunks.push(Hunk::default());
            in_hunk = true;
        }
        if let Some(hunk) = hunks.last_mut() {
            hunk.edits.push(edit);
        }
    }
    hunks.retain(|hunk| hunk.edits.iter().any(|edit| !edit.text().trim().is_empty()));
    hunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_rendered_into_a_prompt_is_taken_out() {
        let text = "Today is 2026-01-05T10:00Z. Cite, e.g. [kb-1].\n\nPassages:\n[kb-1] Returns within 30 days.\n[kb-2] Points expire.\nThe user asks: Where?\n";
        let rendered = take_apart(text, &[], Some("Where?"));
        assert_eq!(rendered.template, "Today is {…}. Cite, e.g. [kb-1].\n\nPassages:\nThe user asks: {question}");
        assert_eq!(rendered.passages.iter().map(|passage| passage.id.as_str()).collect::<Vec<_>>(), ["kb-1", "kb-2"]);
    }

    #[test]
    fn a_line_that_stands_where_passages_would_is_taken_out() {
        assert_eq!(take_apart("Passages:\n(none)\n", &[], None), take_apart("Passages:\nno documents found.\n", &[], None));
        assert_eq!(take_apart("No refunds before the look-up of the order", &[], None).template.len(), 42);
    }

    #[test]
    fn passages_that_telemetry_knows_are_taken_out_however_they_are_marked() {
        let document = Document { id: "7".into(), score: None, text: Some("Items can be returned within 30 days.".into()) };
        assert_eq!(take_apart("Use:\n- Items can be returned within 30 days.\n", &[document], None).template, "Use:");
    }

    #[test]
    fn a_variable_that_was_not_filled_in_is_counted() {
        assert_eq!(unfilled("Hello {{ user.name }}, see {documents} and {\"json\": 1}"), 2);
    }

    #[test]
    fn a_diff_has_one_hunk_for_each_run_of_lines() {
        let hunks = diff("a\nb\nc\nd\n", "a\nB\nc\nd\ne\n");
        assert_eq!(hunks.len(), 2);
        assert_eq!(hunks[0].edits, [Edit::Removed("b".into()), Edit::Added("B".into())]);
    }

    proptest! {
        #[test]
        fn equal_templates_have_no_hunks(text in "[a-z \n]{0,80}") {
            prop_assert!(diff(&text, &text).is_empty());
        }
    }
}
