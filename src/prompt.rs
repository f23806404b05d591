//! A prompt: a template that a person wrote, rendered with a case's recorded text, which is data and never a template.

use crate::case::Passage;
use crate::fault::{Fault, Place, suggest};
use crate::trace::Message;
use minijinja::value::Value as Jinja;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;
use std::collections::BTreeMap;

/// The names that a template may use.
const NAMES: [&str; 4] = ["input", "messages", "documents", "vars"];

/// One templated message.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The template.
    pub template: String,
    /// Where it was written.
    pub place: Place,
}

/// The messages of a prompt, checked.
#[derive(Debug)]
pub struct Prompt {
    parts: Vec<Part>,
    environment: Environment<'static>,
    uses_documents: bool,
    takes_input: bool,
}

/// What a prompt is rendered with.
#[derive(Debug, Clone)]
pub struct Recorded<'a> {
    /// The user's question.
    pub input: &'a str,
    /// The conversation so far, the question last.
    pub messages: &'a [Message],
    /// The passages.
    pub documents: &'a [Passage],
    /// The target's variables.
    pub vars: &'a BTreeMap<String, Value>,
}

impl Prompt {
    /// Checks every template: its syntax, and that it uses known names only.
    ///
    /// # Errors
    /// The template's line, and the name that may be meant.
    pub fn new(parts: Vec<Part>) -> Result<Self, Fault> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // A prompt is a text for a model: nothing in it is markup to escape.
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(1_000_000));
        let mut names: Vec<String> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            environment.add_template_owned(index.to_string(), part.template.clone()).map_err(|error| template_fault(part, &error))?;
            let template = environment.get_template(&index.to_string()).map_err(|error| template_fault(part, &error))?;
            for name in template.undeclared_variables(false) {
                if !NAMES.contains(&name.as_str()) {
                    let line = 1 + part.template.lines().position(|line| line.contains(&name)).unwrap_or(0) as u32;
                    let place = Place::at(part.place.file.clone(), part.place.line.max(1) + line - 1, 0);
                    return Err(Fault::new(format!("the template uses `{name}`, which no case has")).at(place).help(suggest(&name, NAMES)));
                }
                names.push(name);
            }
        }
        let uses = |name: &str| names.iter().any(|used| used == name);
        let (uses_documents, takes_input) = (uses("documents"), uses("input") || uses("messages"));
        Ok(Self { parts, environment, uses_documents, takes_input })
    }

    /// The templated messages, as they were written.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether the templates place the question or the conversation themselves.
    pub fn takes_input(&self) -> bool {
        self.takes_input
    }

    /// Whether a case needs recorded passages for it.
    pub fn uses_documents(&self) -> bool {
        self.uses_documents
    }

    /// The messages to send: the rendered ones, then the recorded conversation unless the templates placed it themselves.
    ///
    /// # Errors
    /// A template that cannot be rendered, with its line.
    pub fn render(&self, recorded: &Recorded<'_>) -> Result<Vec<Message>, Fault> {
        let context = context(recorded);
        let mut messages = Vec::with_capacity(self.parts.len() + recorded.messages.len());
        for (index, part) in self.parts.iter().enumerate() {
            let template = self.environment.get_template(&index.to_string()).map_err(|error| template_fault(part, &error))?;
            let text = template.render(&context).map_err(|error| template_fault(part, &error))?;
            messages.push(Message { role: part.role.clone(), text, ..Message::default() });
        }
        if !self.takes_input {
            messages.extend(recorded.messages.iter().cloned());
        }
        Ok(messages)
    }
}

/// A template that renders to a recorded text, whatever is in it.
pub fn quoted(text: &str) -> String {
    let mut template = text.replace('{', "{{ '{' }}");
    // A template's last line break is not rendered.
    if text.ends_with(['\n', '\r']) {
        template.push_str("{{ '' }}");
    }
    template
}

fn context(recorded: &Recorded<'_>) -> Jinja {
    let documents: Vec<Value> =
        recorded.documents.iter().map(|passage| serde_json::json!({"id": passage.id, "text": passage.text})).collect();
    let messages: Vec<Value> =
        recorded.messages.iter().map(|message| serde_json::json!({"role": message.role, "content": message.text})).collect();
    minijinja::context! {
        input => recorded.input,
        documents => minijinja::value::Serde(documents),
        messages => minijinja::value::Serde(messages),
        vars => minijinja::value::Serde(recorded.vars),
    }
}

fn template_fault(part: &Part, error: &minijinja::Error) -> Fault {
    let line = part.place.line.max(1) + error.line().map_or(1, |line| line as u32) - 1;
    // The error's own text may quote recorded values; its kind and detail do not.
    let detail = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    Fault::new(format!("the template does not render: {detail}")).at(Place::at(part.place.file.clone(), line, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prompt(template: &str) -> Result<Prompt, Fault> {
        Prompt::new(vec![Part { role: "system".into(), template: template.into(), place: Place::at("prompts/a.md", 1, 1) }])
    }

    fn render(template: &str, input: &str) -> String {
        let messages = [Message { role: "user".into(), text: input.into(), ..Message::default() }];
        let recorded = Recorded { input, messages: &messages, documents: &[], vars: &BTreeMap::new() };
        prompt(template).unwrap().render(&recorded).unwrap()[0].text.clone()
    }

    proptest! {
        #[test]
        fn a_quoted_text_renders_to_itself(text in "([{}%#'\n\r -]|[a-z]|\u{e4}){0,24}") {
            prop_assert_eq!(render(&quoted(&text), "Hi"), text);
        }
    }

    #[test]
    fn recorded_text_is_never_a_template() {
        assert_eq!(render("Q: {{ input }}", "{{ 7 * 7 }} {# x #} ${{ y }} %s <b>"), "Q: {{ 7 * 7 }} {# x #} ${{ y }} %s <b>");
    }

    #[test]
    fn an_unknown_name_is_refused_by_line() {
        let fault = prompt("hello\n{{ docments }}").unwrap_err();
        assert_eq!(fault.place.as_ref().unwrap().to_string(), "prompts/a.md:2");
        assert_eq!(fault.help.as_deref(), Some("did you mean `documents`?"));
    }

    #[test]
    fn a_syntax_error_is_refused_by_line() {
        assert_eq!(prompt("a\nb {% for %}").unwrap_err().place.unwrap().line, 2);
    }

    #[test]
    fn the_question_follows_unless_the_template_places_it() {
        let messages = [Message { role: "user".into(), text: "Why?".into(), ..Message::default() }];
        let recorded = Recorded { input: "Why?", messages: &messages, documents: &[], vars: &BTreeMap::new() };
        assert_eq!(prompt("Be kind.").unwrap().render(&recorded).unwrap().len(), 2);
        assert_eq!(prompt("Be kind. {{ input }}").unwrap().render(&recorded).unwrap().len(), 1);
    }
}
