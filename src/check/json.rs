//! `json`: the answer is JSON, fits a schema, or holds a value.

use super::{Finding, Loader, Observation, no_answer, quoted};
use crate::fault::{Fault, Faults};
use crate::yaml::{Node, Yaml};
use boon::{Compiler, Schemas, SchemeUrlLoader};
use serde_json::Value;
use std::fmt;

pub(super) struct JsonCheck {
    schema: Option<Schema>,
    at: Option<String>,
    equals: Option<Value>,
}

struct Schema {
    schemas: Schemas,
    index: boon::SchemaIndex,
}

impl fmt::Debug for JsonCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonCheck").field("at", &self.at).field("equals", &self.equals).finish_non_exhaustive()
    }
}

impl JsonCheck {
    pub(super) fn parse(node: &Node, loader: Loader<'_>, faults: &mut Faults) -> Option<Self> {
        let mut check = Self { schema: None, at: None, equals: None };
        if let Yaml::Plain(text) | Yaml::Quoted(text) = &node.value {
            if text == "true" {
                return Some(check);
            }
            check.schema = Some(schema_of(node, loader, faults)?);
            return Some(check);
        }
        let map = node.as_map(&["schema", "at", "equals"], faults)?;
        if let Some(at) = map.text("at", faults) {
            if !at.value.is_empty() && !at.value.starts_with('/') {
                faults.push(
                    Fault::new(format!("`{}` is not a JSON pointer", at.value))
                        .at(at.place)
                        .help("a pointer begins with a slash, as in /items/0/name"),
                );
                return None;
            }
            check.at = Some(at.value);
        }
        check.equals = map.get("equals").map(Node::to_json);
        if let Some(schema) = map.get("schema") {
            check.schema = Some(schema_of(schema, loader, faults)?);
        }
        if check.at.is_some() && check.equals.is_none() && check.schema.is_none() {
            faults.push(node.fault("`at` alone compares nothing").help("add `equals` or `schema`"));
            return None;
        }
        Some(check)
    }

    pub(super) fn evaluate(&self, observation: &Observation<'_>) -> Finding {
        let expected = self.expected();
        let Some(answer) = observation.answer else { return no_answer(expected) };
        match self.mismatch(answer) {
            None => Finding { held: Some(true), expected, actual: quoted(answer), ..Finding::default() },
            Some(why) => Finding { held: Some(false), expected, actual: format!("{why}: {}", quoted(answer)), ..Finding::default() },
        }
    }

    pub(super) fn expected(&self) -> String {
        let place = self.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        match (&self.equals, &self.schema) {
            (Some(value), _) => format!("json{place} equals {value}"),
            (None, Some(_)) => format!("json{place} that fits the schema"),
            (None, None) => "json".into(),
        }
    }

    fn mismatch(&self, answer: &str) -> Option<String> {
        let Ok(json) = serde_json::from_str::<Value>(answer) else {
            return Some(if fenced(answer) { "JSON only after the code fence is taken off".into() } else { "not JSON".into() });
        };
        let value = match self.at.as_deref().filter(|at| !at.is_empty()) {
            Some(at) => match json.pointer(at) {
                Some(value) => value,
                None => return Some(format!("nothing at {at}")),
            },
            None => &json,
        };
        if self.equals.as_ref().is_some_and(|equals| crate::canonical::json(equals) != crate::canonical::json(value)) {
            return Some(format!("it is {value}"));
        }
        self.schema.as_ref().and_then(|schema| schema.mismatch(value))
    }
}

/// A fence is not JSON, but a reader should know that it is all that is wrong.
fn fenced(answer: &str) -> bool {
    let inner =
        answer.trim().strip_prefix("```").and_then(|rest| rest.split_once('\n')).map(|(_, body)| body.trim_end().trim_end_matches("```"));
    inner.is_some_and(|inner| serde_json::from_str::<Value>(inner).is_ok())
}

fn schema_of(node: &Node, loader: Loader<'_>, faults: &mut Faults) -> Option<Schema> {
    let json = match &node.value {
        Yaml::Plain(file) | Yaml::Quoted(file) => {
            let text = faults.take(loader(file, &node.place))?;
            match serde_json::from_str(&text) {
                Ok(json) => json,
                Err(error) => {
                    faults.push(node.fault(format!("`{file}` is not JSON: {error}")));
                    return None;
                }
            }
        }
        _ => node.to_json(),
    };
    Schema::compile(json).map_err(|why| faults.push(node.fault(format!("not a JSON schema: {why}")))).ok()
}

impl Schema {
    fn compile(json: Value) -> Result<Self, String> {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        // Without a loader no `$ref` opens a file or the network.
        compiler.use_loader(Box::new(SchemeUrlLoader::new()));
        compiler.add_resource("relapse:schema", json).map_err(|error| error.to_string())?;
        let index = compiler.compile("relapse:schema", &mut schemas).map_err(|error| error.to_string())?;
        Ok(Self { schemas, index })
    }

    fn mismatch(&self, value: &Value) -> Option<String> {
        let error = self.schemas.validate(value, self.index).err()?;
        let deepest = error.leaf_causes_first();
        Some(deepest)
    }
}

trait FirstCause {
    fn leaf_causes_first(&self) -> String;
}

impl FirstCause for boon::ValidationError<'_, '_> {
    /// The innermost cause, which names what to mend.
    fn leaf_causes_first(&self) -> String {
        match self.causes.first() {
            Some(cause) => cause.leaf_causes_first(),
            None => {
                let place = self.instance_location.to_string();
                if place.is_empty() { self.kind.to_string() } else { format!("at {place}: {}", self.kind) }
            }
        }
    }
}
