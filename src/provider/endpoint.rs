//! An endpoint: where a provider's API is, and how it wants its key.

use super::{Conversation, body, path};
use crate::egress::{Address, Egress, Key};
use crate::fault::Fault;
use crate::price::Price;
use crate::project::{Api, Model, Project};
use crate::wire::Request;
use std::collections::BTreeMap;

/// Looks up a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A model at a provider, ready to be asked.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The provider's name.
    pub provider: String,
    /// What it speaks.
    pub api: Api,
    /// Where it is.
    pub address: Address,
    /// Its key; none for a server without one.
    pub key: Option<Key>,
    /// What its tokens cost: listed, told by the project, nothing on loopback, or the ceiling.
    pub price: Price,
}

impl Endpoint {
    /// The endpoint of a model, its address and key read from the environment.
    ///
    /// # Errors
    /// A variable that is not set, an address that cannot be read, and what [`Egress::check`] refuses.
    pub fn of(project: &Project, model: &Model, egress: &Egress, environment: Environment<'_>) -> Result<Self, Fault> {
        let place = || model.name.place.clone();
        let written = project.providers.iter().find(|provider| provider.name.value == model.provider);
        let (api, base, variable, price, place) = match (written, built_in(&model.provider)) {
            (Some(provider), _) => {
                let base = expand(&provider.base_url.value, environment).map_err(|fault| fault.at(provider.base_url.place.clone()))?;
                let variable = provider.key.as_ref().map(|key| key.value.clone());
                (provider.api, base, variable, provider.price, provider.base_url.place.clone())
            }
            (None, Some((api, base, variable))) => (api, base.to_string(), Some(variable.to_string()), None, place()),
            (None, None) => return Err(Fault::new(format!("unknown provider `{}`", model.provider)).at(place())),
        };
        let address = Address::parse(&base).map_err(|fault| fault.at(place.clone()))?;
        let key = variable.map(|variable| key(variable, environment)).transpose().map_err(|fault| fault.at(place.clone()))?;
        egress.check(&address, key.as_ref()).map_err(|fault| fault.at(place))?;
        let listed = if written.is_none() { Price::of(&model.name.value) } else { address.is_loopback().then(Price::default) };
        let price = price.or(listed).unwrap_or_else(Price::ceiling);
        Ok(Self { provider: model.provider.clone(), api, address, key, price })
    }

    /// The request that asks for the next answer of a conversation.
    pub fn request(&self, conversation: &Conversation) -> Request {
        let headers: &[(&str, &str)] = match self.api {
            Api::Anthropic => &[("content-type", "application/json"), ("anthropic-version", "2023-06-01")],
            _ => &[("content-type", "application/json")],
        };
        let headers: BTreeMap<String, String> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Request { method: "POST".into(), path: self.path(operation(self.api)), headers, body: body(self.api, conversation) }
    }

    /// Path and query of an operation, as `/embeddings`, below the provider's base address.
    ///
    /// An address without a path is one of `/v1`.
    pub fn path(&self, operation: &str) -> String {
        let base = if self.address.path().is_empty() { "/v1" } else { self.address.path() };
        // Azure keeps the version of its API in the query.
        let query = self.address.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{base}{operation}{query}")
    }

    /// The header that carries the key.
    pub fn secrets(&self) -> Vec<(&'static str, String)> {
        let Some(key) = &self.key else { return Vec::new() };
        let header = match self.api {
            Api::Anthropic => ("x-api-key", key.value.clone()),
            _ if self.is_azure() => ("api-key", key.value.clone()),
            _ => ("authorization", format!("Bearer {}", key.value)),
        };
        vec![header]
    }

    /// Azure's deployments take the key in a header of their own; they are known by the version in the query.
    fn is_azure(&self) -> bool {
        self.address.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("api-version=")))
    }
}

/// The path of an API below the base address.
fn operation(api: Api) -> &'static str {
    path(api).strip_prefix("/v1").unwrap_or_default()
}

/// The API, address and key variable of a provider that needs no entry in relapse.yaml.
fn built_in(provider: &str) -> Option<(Api, &'static str, &'static str)> {
    let api = Api::ALL.iter().find(|(name, _)| *name == provider)?.1;
    Some(match api {
        Api::OpenAi | Api::OpenAiResponses => (api, "https://api.openai.com/v1", "OPENAI_API_KEY"),
        Api::Anthropic => (api, "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    })
}

fn key(variable: String, environment: Environment<'_>) -> Result<Key, Fault> {
    match environment(&variable).map(|value| value.trim().to_string()).filter(|value| !value.is_empty()) {
        Some(value) => Ok(Key { variable, value }),
        None => Err(Fault::new(format!("{variable} is not set, and this model cannot be asked without it"))
            .help("set it, or run without --mode to replay what is recorded")),
    }
}

/// The text with every `${VARIABLE}` in it replaced.
fn expand(text: &str, environment: Environment<'_>) -> Result<String, Fault> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((variable, after)) = after.split_once('}') else { break };
        let value = environment(variable).filter(|value| !value.is_empty());
        let value = value
            .ok_or_else(|| Fault::new(format!("`base_url` needs {variable}, which is not set")).help("set it to the server's address"))?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    Ok(expanded + rest)
}

/// The variables that hold keys of this project's providers, built in or not: what a redactor must know.
///
/// What an address takes from the environment for its query is one, too: it is recorded with the path.
pub fn key_variables(project: &Project) -> Vec<String> {
    let keys = project.providers.iter().filter_map(|provider| provider.key.as_ref()).map(|key| key.value.clone());
    let queries = project.providers.iter().filter_map(|provider| provider.base_url.value.split_once('?'));
    let in_queries = queries.flat_map(|(_, query)| query.split("${").skip(1)).filter_map(|rest| rest.split('}').next());
    let written = keys.chain(in_queries.map(str::to_string));
    let built_in = Api::ALL.iter().filter_map(|(name, _)| built_in(name)).map(|(_, _, variable)| variable.to_string());
    let mut variables: Vec<String> = built_in.chain(written).collect();
    variables.sort();
    variables.dedup();
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{Deadlines, Hosts};
    use camino::Utf8Path;

    fn endpoint(providers: &str, model: &str) -> Result<Endpoint, Fault> {
        let text = format!("version: 1\nproviders:{providers}\ntargets: {{t: {{model: {model}, prompt: [{{system: hi}}]}}}}\n");
        let project = Project::parse(Utf8Path::new("relapse.yaml"), &text).unwrap();
        let crate::project::TargetKind::Prompt(prompt) = &project.targets[0].kind else { panic!("a prompt target") };
        let hosts = Hosts::new(&["127.0.0.1".to_string(), "x.openai.azure.com".to_string()], |_| None).unwrap();
        let egress = Egress::open(hosts, Deadlines::default());
        Endpoint::of(&project, &prompt.model, &egress, &|name| match name {
            "OPENAI_API_KEY" | "ANTHROPIC_API_KEY" | "LOCAL_KEY" => Some(format!("probe-{name}")),
            "LLM_PORT" => Some("8080".to_string()),
            _ => None,
        })
    }

    #[test]
    fn each_provider_wants_its_key_in_its_own_header() {
        for (providers, model, header, path) in [
            (" {}", "openai/gpt-4o-mini", ("authorization", "Bearer probe-OPENAI_API_KEY"), "/v1/chat/completions"),
            (" {}", "openai-responses/gpt-4o-mini", ("authorization", "Bearer probe-OPENAI_API_KEY"), "/v1/responses"),
            (" {}", "anthropic/claude-sonnet-4", ("x-api-key", "probe-ANTHROPIC_API_KEY"), "/v1/messages"),
            (
                "\n  azure: {api: openai, base_url: \"https://x.openai.azure.com/openai/deployments/mini?api-version=2024-10-21\", key: LOCAL_KEY}",
                "azure/mini",
                ("api-key", "probe-LOCAL_KEY"),
                "/openai/deployments/mini/chat/completions?api-version=2024-10-21",
            ),
            (
                "\n  local: {api: anthropic, base_url: \"http://127.0.0.1:${LLM_PORT}\", key: LOCAL_KEY}",
                "local/m",
                ("x-api-key", "probe-LOCAL_KEY"),
                "/v1/messages",
            ),
        ] {
            let endpoint = endpoint(providers, model).unwrap();
            assert_eq!(endpoint.secrets(), [(header.0, header.1.to_string())]);
            assert_eq!(endpoint.path(operation(endpoint.api)), path);
        }
    }

    #[test]
    fn what_is_missing_or_not_allowed_is_named() {
        for (providers, model, message) in [
            ("\n  local: {api: openai, base_url: \"http://127.0.0.1:${NO_PORT}/v1\"}", "local/m", "NO_PORT"),
            ("\n  local: {api: openai, base_url: \"http://127.0.0.1/v1\", key: NO_KEY}", "local/m", "NO_KEY is not set"),
            ("\n  local: {api: openai, base_url: \"http://127.0.0.1/v1\", key: OPENAI_API_KEY}", "local/m", "does not go to 127.0.0.1"),
            ("\n  local: {api: openai, base_url: \"https://evil.test/v1\", key: OPENAI_API_KEY}", "local/m", "neither a built-in provider"),
        ] {
            let fault = endpoint(providers, model).unwrap_err();
            assert!(fault.message.contains(message) && fault.help.is_some() && fault.place.is_some(), "{fault:?}");
        }
    }

    #[test]
    fn tokens_cost_what_is_listed_or_told_nothing_on_loopback_and_else_the_ceiling() {
        assert_eq!(endpoint(" {}", "openai/gpt-4o-mini").unwrap().price, Price { input: 0.15, cached: 0.075, output: 0.6 });
        assert_eq!(endpoint(" {}", "openai/gpt-99").unwrap().price, Price::ceiling());
        let local = "\n  local: {api: openai, base_url: \"http://127.0.0.1/v1\"}";
        assert_eq!(endpoint(local, "local/m").unwrap().price, Price::default());
        let azure = "\n  azure: {api: openai, base_url: \"https://x.openai.azure.com/v1\", price: {input: 1, output: 2}}";
        assert_eq!(endpoint(azure, "azure/m").unwrap().price, Price { input: 1.0, cached: 1.0, output: 2.0 });
    }
}
