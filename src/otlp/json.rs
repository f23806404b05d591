//! OTLP/JSON, decoded leniently: what is odd about a value costs that value and is reported.

mod attribute;
mod document;
mod element;
mod record;
mod repair;

use super::context::Context;
use document::Document;
use element::one;
use serde::de::DeserializeSeed as _;
use std::borrow::Cow;

/// Why a text is not JSON.
#[derive(Debug)]
pub(super) struct Broken {
    /// Whether the text only ends too early.
    pub(super) torn: bool,
    /// The parser's words.
    pub(super) message: String,
    /// The line inside the text, from 1.
    pub(super) line: usize,
}

/// Decodes the documents of a text into the context's batch, which must be empty.
///
/// Spans that were complete before the text broke stay in the batch.
pub(super) fn decode(context: &mut Context, bytes: &[u8]) -> Result<(), Broken> {
    let checkpoint = context.checkpoint();
    // The whole text is checked at once, and faster than by the lossy conversion.
    let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
    if matches!(text, Cow::Owned(_)) {
        context.warn(format_args!("the text is not UTF-8; invalid bytes are read as U+FFFD"));
    }
    let Err(error) = attempt(context, &text) else { return Ok(()) };
    let Some((repaired, repairs)) = repair::repair(&text) else { return Err(broken(&error)) };
    context.restart(checkpoint);
    context.warn(format_args!("{}", repairs.describe()));
    attempt(context, &repaired).map_err(|error| broken(&error))
}

/// The text repaired, if there is anything to repair.
pub(super) fn repaired(text: &str) -> Option<String> {
    repair::repair(text).map(|(repaired, _)| repaired)
}

fn attempt(context: &mut Context, text: &str) -> Result<(), serde_json::Error> {
    context.begin();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // Values are limited by `limit::ATTRIBUTE_DEPTH`, and everything else is skipped without recursion.
    deserializer.disable_recursion_limit();
    while deserializer.end().is_err() {
        one::<Document>(context).deserialize(&mut deserializer)?;
    }
    Ok(())
}

fn broken(error: &serde_json::Error) -> Broken {
    Broken { torn: error.is_eof(), message: error.to_string(), line: error.line() }
}
