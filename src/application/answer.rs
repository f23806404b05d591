//! What an application says: its answer and its outcome, read from where the target says they are.

use crate::project::{Output, Source};
use serde_json::Value;

/// What an application said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The text of its answer.
    pub answer: String,
    /// The outcome that it states, in its own word.
    pub outcome: Option<String>,
}

/// Reads an output: JSON on its last line, or all of it.
///
/// # Errors
/// What was expected and is not there, in words.
pub fn read(output: &Output, text: &str) -> Result<Said, String> {
    let answer = value(&output.answer, text)?;
    let outcome = output.outcome.as_ref().map(|source| value(source, text)).transpose()?;
    Ok(Said { answer, outcome })
}

fn value(source: &Source, text: &str) -> Result<String, String> {
    let Source::Json(key) = source else {
        let text = text.trim();
        return if text.is_empty() { Err("the output is empty".into()) } else { Ok(text.to_owned()) };
    };
    let json = json(text)?;
    let found = key.split('.').try_fold(&json, |value, part| value.get(part).or_else(|| value.get(part.parse::<usize>().ok()?)));
    match found {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) | None => Err(format!("its JSON has no `{key}`")),
        Some(value) => Ok(value.to_string()),
    }
}

/// The whole text as JSON, else its last line.
fn json(text: &str) -> Result<Value, String> {
    let whole = text.trim();
    if whole.is_empty() {
        return Err("the output is empty".into());
    }
    let last = whole.lines().next_back().unwrap_or_default().trim();
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok().filter(|value| value.is_object() || value.is_array());
    parse(last).or_else(|| parse(whole)).ok_or_else(|| format!("the last line is not JSON: {}", crate::inert::clip(last, 200)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_key(key: &str) -> Output {
        Output { answer: Source::Json(key.into()), outcome: Some(Source::Json("outcome".into())) }
    }

    #[test]
    fn the_answer_is_on_the_last_line() {
        let said = read(&json_key("answer"), "warming up\n{\"outcome\": \"answered\", \"answer\": \"Hi\\nthere\"}\n\n").unwrap();
        assert_eq!(said, Said { answer: "Hi\nthere".into(), outcome: Some("answered".into()) });
    }

    #[test]
    fn a_key_may_lie_deeper_and_be_no_text() {
        let said = read(&json_key("result.parts.0"), r#"{"outcome": 3, "result": {"parts": [{"a": 1}]}}"#).unwrap();
        assert_eq!(said, Said { answer: r#"{"a":1}"#.into(), outcome: Some("3".into()) });
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(read(&json_key("answer"), "  \n"), Err("the output is empty".into()));
        assert_eq!(read(&json_key("answer"), "Traceback"), Err("the last line is not JSON: Traceback".into()));
        assert_eq!(read(&json_key("reply"), r#"{"answer": "x"}"#), Err("its JSON has no `reply`".into()));
        assert!(read(&Output::default(), " ").is_err());
    }
}
