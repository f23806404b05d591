//! Messages that hold texts and nothing else, as most do: read without a tree in between.

use crate::trace::Message;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A message of OpenTelemetry's or OpenAI's form. Whatever has another key is no plain one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    role: String,
    parts: Option<Vec<Part>>,
    content: Option<String>,
    #[serde(rename = "finish_reason")]
    _finish_reason: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "type")]
    _kind: Kind,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Text,
    InputText,
    OutputText,
}

/// The messages of a JSON list; none when one of them is not plain, or the text is no such list.
pub(super) fn parse(text: &str) -> Option<Vec<Message>> {
    let plain: Vec<Plain> = serde_json::from_str(text).ok()?;
    plain.into_iter().map(message).collect()
}

fn message(plain: Plain) -> Option<Message> {
    let text = match (plain.parts, plain.content) {
        (Some(_), Some(_)) => return None,
        (None, content) => content.unwrap_or_default(),
        (Some(parts), None) => joined(parts),
    };
    Some(Message { role: plain.role, text, ..Message::default() })
}

fn joined(parts: Vec<Part>) -> String {
    let mut texts = parts.into_iter().map(|part| part.content);
    let first = texts.next().unwrap_or_default();
    texts.fold(first, |joined, text| joined + &text)
}

#[cfg(test)]
mod tests {
    use super::super::message;
    use super::*;

    #[test]
    fn plain_messages_are_what_the_tree_says_they_are() {
        for text in [
            r#"[{"role":"user","parts":[{"type":"text","content":"a\n\"b\""},{"content":"c","type":"output_text"}]},{"role":"assistant","parts":[],"finish_reason":"stop"}]"#,
            r#"[{"role":"system","content":"be kind"},{"content":null,"role":"assistant"}]"#,
            "[]",
        ] {
            assert_eq!(parse(text), Some(message::list(&serde_json::from_str(text).unwrap())), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_tree() {
        for text in [
            r#"[{"role":"tool","content":"4","tool_call_id":"c1"}]"#,
            r#"[{"role":"assistant","parts":[{"type":"tool_call","name":"f"}]}]"#,
            r#"[{"role":"user","parts":[],"content":"x"}]"#,
            r#"[[{"role":"user","content":"x"}]]"#,
            r#"[{"role":"user","content":"x"}"#,
            r#""twice""#,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
