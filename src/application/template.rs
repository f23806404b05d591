//! A template of a command, a path or a body: what a person wrote, filled with recorded text that is never a template.

use crate::fault::{Fault, Place, suggest};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::{Map, Value};

/// What a template may use, by name.
pub type Values = Map<String, Value>;

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    place: Place,
}

impl Template {
    /// Checks a template against the names that it may use.
    ///
    /// # Errors
    /// A syntax error, or an unknown name, at the template's place.
    pub fn parse(text: &str, names: &[&str], place: &Place) -> Result<Self, Fault> {
        let environment = environment();
        let template = environment.template_from_str(text).map_err(|error| fault(&error, place))?;
        if let Some(unknown) = template.undeclared_variables(false).iter().find(|name| !names.contains(&name.as_str())) {
            let fault = Fault::new(format!("the template uses `{unknown}`, which is not known here")).at(place.clone());
            return Err(fault.help(suggest(unknown, names.iter().copied())));
        }
        Ok(Self { text: text.to_owned(), place: place.clone() })
    }

    /// The text, filled in.
    ///
    /// # Errors
    /// A template that does not render, at its place.
    pub fn render(&self, values: &Values) -> Result<String, Fault> {
        environment().render_str(&self.text, minijinja::value::Serde(values)).map_err(|error| fault(&error, &self.place))
    }

    /// The value: that of a name where the template is that name alone, as a list of messages is; else the text.
    ///
    /// # Errors
    /// A template that does not render, at its place.
    pub fn value(&self, values: &Values) -> Result<Value, Fault> {
        let name = self.text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
        match name.and_then(|name| values.get(name)) {
            Some(value) => Ok(value.clone()),
            None => self.render(values).map(Value::from),
        }
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Nothing here is markup: no shell and no HTML reads it.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(100_000));
    environment
}

/// The error's own text may quote recorded values; its kind does not.
fn fault(error: &minijinja::Error, place: &Place) -> Fault {
    Fault::new(format!("the template does not render: {}", error.kind())).at(place.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(input: &str) -> Values {
        Values::from_iter([("input".to_owned(), json!(input)), ("messages".to_owned(), json!([{"role": "user", "content": input}]))])
    }

    #[test]
    fn recorded_text_is_data() {
        let template = Template::parse("-q={{ input }}", &["input"], &Place::default()).unwrap();
        let hostile = "$(rm -rf /) {{ 7 * 7 }} {% for %} '\"; <b>";
        assert_eq!(template.render(&values(hostile)).unwrap(), format!("-q={hostile}"));
    }

    #[test]
    fn a_name_alone_is_its_value() {
        let template = Template::parse(" {{messages}} ", &["messages"], &Place::default()).unwrap();
        assert_eq!(template.value(&values("Hi")).unwrap(), json!([{"role": "user", "content": "Hi"}]));
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let fault = Template::parse("{{ inptu }}", &["input", "port"], &Place::default()).unwrap_err();
        assert_eq!(fault.help.as_deref(), Some("did you mean `input`?"));
        assert!(Template::parse("{{ input", &["input"], &Place::default()).is_err());
    }
}
