//! What the Responses API keeps on its server, and a request names by id: items, and earlier responses as a whole.
//!
//! A server does not know the ids that a recording holds. A request that goes live after recorded turns therefore gets
//! what it names in full.

use crate::wire::{Payload, Request, Response};
use serde_json::Value;
use std::collections::HashMap;

/// What recorded turns have told.
#[derive(Debug, Default)]
pub(super) struct Told {
    items: HashMap<String, Value>,
    /// The whole conversation up to and with a response.
    conversations: HashMap<String, Vec<Value>>,
}

impl Told {
    /// Takes in a turn that was played.
    pub(super) fn learn(&mut self, asked: &Request, answered: &Response) {
        let Some(whole) = whole(answered) else { return };
        let output = whole.get("output").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut conversation = self.input(&asked.body);
        conversation.extend(output.iter().cloned().map(without_id));
        for item in output {
            if let Some(id) = text(&item, "id") {
                self.items.insert(id.to_string(), item);
            }
        }
        if let Some(id) = text(&whole, "id") {
            self.conversations.insert(id.to_string(), conversation);
        }
    }

    /// The body with everything in full that it names; none when it names nothing that was told.
    pub(super) fn resolve(&self, body: &Value) -> Option<Value> {
        let follows = text(body, "previous_response_id").is_some_and(|id| self.conversations.contains_key(id));
        let names = items(body).any(|item| self.named(item).is_some());
        if !follows && !names {
            return None;
        }
        let mut resolved = body.clone();
        resolved["input"] = self.input(body).into();
        if follows {
            resolved.as_object_mut()?.shift_remove("previous_response_id");
        }
        Some(resolved)
    }

    /// The input of a request, with what went before it where that was told.
    fn input(&self, body: &Value) -> Vec<Value> {
        let before = text(body, "previous_response_id").and_then(|id| self.conversations.get(id)).cloned().unwrap_or_default();
        let own = items(body).map(|item| self.named(item).cloned().map_or_else(|| item.clone(), without_id));
        let said = text(body, "input").map(|text| serde_json::json!({"role": "user", "content": text}));
        before.into_iter().chain(said).chain(own).collect()
    }

    fn named(&self, item: &Value) -> Option<&Value> {
        (text(item, "type") == Some("item_reference")).then(|| text(item, "id")).flatten().and_then(|id| self.items.get(id))
    }
}

fn text<'a>(json: &'a Value, key: &str) -> Option<&'a str> {
    json.get(key).and_then(Value::as_str)
}

fn items(body: &Value) -> impl Iterator<Item = &Value> {
    body.get("input").and_then(Value::as_array).into_iter().flatten()
}

/// The response object of an answer, streamed or not.
fn whole(answered: &Response) -> Option<Value> {
    match &answered.payload {
        Payload::Json(json) => Some(json.clone()),
        Payload::Events(events) => {
            let last = events.iter().rev().find(|event| event.data.contains("\"output\""))?;
            serde_json::from_str::<Value>(&last.data).ok()?.get("response").cloned()
        }
        _ => None,
    }
}

/// An item as a client sends it that keeps its conversation itself. Reasoning is known by its id only.
fn without_id(mut item: Value) -> Value {
    if text(&item, "type") != Some("reasoning")
        && let Some(map) = item.as_object_mut()
    {
        map.shift_remove("id");
        map.shift_remove("status");
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::End;
    use serde_json::json;

    fn told() -> Told {
        let asked = Request { body: json!({"input": [{"role": "user", "content": "where is it?"}]}), ..Request::default() };
        let call =
            json!({"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "lookup", "arguments": "{}"});
        let payload = Payload::Json(json!({"id": "resp_1", "output": [call]}));
        let mut told = Told::default();
        told.learn(&asked, &Response { status: 200, headers: [].into(), payload, cuts: Vec::new(), end: End::Complete });
        told
    }

    #[test]
    fn an_item_that_is_named_is_sent_in_full() {
        let body = json!({"model": "m", "input": [{"role": "user", "content": "where is it?"}, {"type": "item_reference", "id": "fc_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": "gone"}]});
        let resolved = told().resolve(&body).unwrap();
        assert_eq!(resolved["input"][1], json!({"type": "function_call", "call_id": "call_1", "name": "lookup", "arguments": "{}"}));
        assert_eq!((resolved["input"].as_array().unwrap().len(), &resolved["model"]), (3, &json!("m")));
    }

    #[test]
    fn an_earlier_response_becomes_its_conversation() {
        let body = json!({"previous_response_id": "resp_1", "input": "and now?"});
        let resolved = told().resolve(&body).unwrap();
        assert!(resolved.get("previous_response_id").is_none());
        let roles: Vec<_> =
            resolved["input"].as_array().unwrap().iter().map(|item| item["role"].as_str().or(item["type"].as_str())).collect();
        assert_eq!(roles, [Some("user"), Some("function_call"), Some("user")]);
    }

    #[test]
    fn ids_that_only_the_server_knows_stay() {
        for body in [
            json!({"previous_response_id": "resp_2", "input": "x"}),
            json!({"input": [{"type": "item_reference", "id": "fc_9"}]}),
            json!({"messages": []}),
        ] {
            assert_eq!(told().resolve(&body), None);
        }
    }
}
