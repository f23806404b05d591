//! VCR cassettes: vcrpy's (YAML or JSON) and, with other names for the same things, Ruby's.

use super::Exchange;
use super::kept::Kept;
use crate::fault::{Fault, Faults};
use crate::yaml::{self, Node, Yaml};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// The key of the list in vcrpy's cassettes, and in Ruby's.
const LISTS: [&str; 2] = ["interactions", "http_interactions"];

/// Whether a text looks like a cassette: a key at the left edge, or among the first of a JSON object.
pub(super) fn is(text: &str) -> bool {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('{') {
        return ["\"version\"", "\"interactions\""].iter().any(|key| rest.trim_start().starts_with(key))
            && text.contains("\"interactions\"");
    }
    text.lines().any(|line| LISTS.iter().any(|key| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))))
}

/// Reads the exchanges of a cassette.
///
/// # Errors
/// A text that is no YAML, and every interaction without a request, with their places.
pub(super) fn read(text: &str, file: &str) -> Result<Vec<Exchange>, Faults> {
    let root = yaml::parse_recorded(text, file)?;
    let mut faults = Faults::new();
    let list = LISTS.iter().find_map(|key| member(&root, key));
    let Some(Yaml::List(interactions)) = list.map(|node| &node.value) else {
        return Err(Fault::new("expected `interactions: […]`, as vcrpy writes it").in_file(file).into());
    };
    let mut exchanges = Vec::with_capacity(interactions.len());
    for (interaction, seq) in interactions.iter().zip(1..) {
        match kept(interaction) {
            Some(kept) => exchanges.push(kept.into_exchange(seq)),
            None => faults.push(interaction.fault("expected an interaction with `request: {uri: …}`")),
        }
    }
    faults.into_result(exchanges)
}

fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match &node.value {
        Yaml::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value),
        _ => None,
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Yaml::Plain(text) | Yaml::Quoted(text) => Some(text),
        Yaml::List(items) => items.first().and_then(text),
        Yaml::Null | Yaml::Binary(_) | Yaml::Map(_) => None,
    }
}

fn kept(interaction: &Node) -> Option<Kept> {
    let request = member(interaction, "request")?;
    let response = member(interaction, "response");
    let code = response.and_then(|response| member(response, "status")).and_then(|status| member(status, "code").or(Some(status)));
    Some(Kept {
        method: member(request, "method").and_then(text).unwrap_or_default().to_uppercase(),
        url: member(request, "uri").or_else(|| member(request, "url")).and_then(text)?.to_string(),
        request_headers: headers(request),
        request_body: body(request),
        status: code.and_then(text).and_then(|code| code.parse().ok()),
        response_headers: response.map(headers).unwrap_or_default(),
        response_body: response.map(body).unwrap_or_default(),
        at: member(interaction, "recorded_at")
            .and_then(text)
            .filter(|at| chrono::DateTime::parse_from_rfc3339(at).is_ok())
            .map(str::to_string),
        ms: None,
    })
}

fn headers(message: &Node) -> BTreeMap<String, String> {
    let Some(Yaml::Map(entries)) = member(message, "headers").map(|node| &node.value) else { return BTreeMap::new() };
    entries.iter().filter_map(|(key, value)| Some((key.name.to_lowercase(), text(value)?.to_string()))).collect()
}

/// A body: a text, bytes, or a map with one of these; structured ones, which some serialisers write, as JSON.
fn body(message: &Node) -> Vec<u8> {
    let Some(body) = member(message, "body").or_else(|| member(message, "parsed_body")) else { return Vec::new() };
    if let Some(encoded) = member(body, "base64_string").and_then(text) {
        let joined: String = encoded.split_whitespace().collect();
        return STANDARD.decode(joined).unwrap_or_else(|_| encoded.as_bytes().to_vec());
    }
    let body = member(body, "string").unwrap_or(body);
    match &body.value {
        Yaml::Null => Vec::new(),
        Yaml::Binary(bytes) => bytes.clone(),
        Yaml::Plain(text) | Yaml::Quoted(text) => text.as_bytes().to_vec(),
        Yaml::List(_) | Yaml::Map(_) => body.to_json().to_string().into_bytes(),
    }
}
