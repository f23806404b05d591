//! What surrounds an application: its environment, its way to its servers, and the trace that it is part of.

use super::Memory;
use crate::application::{DeadEnd, Environment, Values};
use crate::canonical;
use crate::case::Case;
use crate::condition::Conditions;
use crate::fault::{Fault, Faults, suggest};
use crate::project::UpstreamAddress;
use crate::proxy::{Door, Network, Proxy, Session, Upstream};
use crate::receiver::Receiver;
use crate::replay::Stage;
use crate::yaml::Spanned;
use serde_json::{Value, json};
use std::sync::Arc;

/// What all runs of one target share.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) target: String,
    pub(super) proxy: Proxy,
    pub(super) env: Vec<(Spanned<String>, String)>,
    pub(super) case_env: Vec<Spanned<String>>,
    pub(super) upstreams: Vec<Upstream>,
}

/// What a target says about it: variables, variables that a case may set, servers.
type Lists<'a> = (Vec<(Spanned<String>, String)>, Vec<Spanned<String>>, &'a [UpstreamAddress]);

impl Surroundings {
    /// Opens the proxy of a target.
    pub(super) async fn new(target: &str, (env, case_env, upstreams): Lists<'_>) -> Result<Self, Fault> {
        let upstream = |written: &UpstreamAddress| Upstream { variable: written.variable.value.clone(), url: written.url.value.clone() };
        let upstreams = upstreams.iter().map(upstream).collect();
        Ok(Self { target: target.to_owned(), proxy: Proxy::bind().await?, env, case_env, upstreams })
    }

    /// Opens a way to the servers for one run of a case.
    pub(super) fn door(&self, stage: Stage<'_>, case: &Case, memory: &Memory, trial: u32) -> Result<Door, Faults> {
        let conditions = Conditions::of(stage.root, case)?;
        self.check_upstreams(case, &conditions)?;
        let session = Session {
            upstreams: self.upstreams.clone(),
            conditions,
            trial: Some(trial),
            memory: Box::new(Arc::clone(memory)),
            network: stage.client.map(|client| Network { egress: Arc::clone(client.egress()), purse: Arc::clone(client.purse()) }),
        };
        self.proxy.open(session)
    }

    /// The environment: what is inherited, then what the target and the case say, then what leads to us, which nothing
    /// replaces.
    pub(super) fn environment<'u>(
        &self,
        stage: Stage<'_>,
        case: Option<&Case>,
        (receiver, dead_end): (&Receiver, &DeadEnd),
        base_urls: impl Iterator<Item = (&'u str, &'u str)>,
    ) -> Result<Environment, Faults> {
        let is_live = stage.client.is_some();
        let mut environment = if is_live { Environment::live(std::env::vars()) } else { Environment::new(std::env::vars()) };
        let (leading, convenient): (Vec<_>, Vec<_>) = receiver.environment().into_iter().partition(|(name, _)| leads(name));
        let own = self.env.iter().map(|(name, value)| (name.value.clone(), value.clone()));
        let of_case = case.map(|case| self.case_variables(case)).transpose()?.unwrap_or_default();
        for (name, value) in convenient {
            environment.set(name, value);
        }
        for (name, value) in own.chain(of_case) {
            environment.set(name, value);
        }
        // Where answers come from the network, what goes past us goes there too.
        let confining = dead_end.environment().into_iter().filter(|_| !is_live);
        for (name, value) in leading.into_iter().chain(confining).chain(base_urls.map(|(name, url)| (name, url.to_owned()))) {
            environment.set(name, value);
        }
        if let Some(case) = case {
            environment.set("RELAPSE_CASE", case.id.as_str());
            environment.add_resource("relapse.case", &case.id);
        }
        Ok(environment)
    }

    /// Every server whose answers the case writes is one that the target's application talks to.
    fn check_upstreams(&self, case: &Case, conditions: &Conditions) -> Result<(), Faults> {
        let known = || self.upstreams.iter().map(|upstream| upstream.variable.as_str());
        let mut faults = Faults::new();
        for variable in conditions.upstream.keys().filter(|variable| known().all(|name| name != variable.as_str())) {
            let message = format!("the case answers for `{variable}`, which is no upstream of target `{}`", self.target);
            let fault = Fault::new(message).in_file(Case::postmortem_path(&case.id));
            faults.push(fault.help(match self.upstreams.is_empty() {
                true => format!("add `upstreams: {{{variable}: URL}}` to the target in relapse.yaml"),
                false => suggest(variable, known()),
            }));
        }
        faults.into_result(())
    }

    /// The variables that a case sets; the target must allow each.
    fn case_variables(&self, case: &Case) -> Result<Vec<(String, String)>, Faults> {
        let mut faults = Faults::new();
        let allowed = |name: &str| self.case_env.iter().any(|known| known.value == name);
        for (name, _) in variables(case).filter(|(name, _)| !allowed(name)) {
            let message = format!("the case sets `{name}`, which target `{}` does not allow", self.target);
            let fault = Fault::new(message).in_file(Case::postmortem_path(&case.id));
            faults.push(fault.help(match self.case_env.is_empty() {
                true => format!("add `case_env: [{name}]` to the target in relapse.yaml"),
                false => suggest(&name, self.case_env.iter().map(|known| known.value.as_str())),
            }));
        }
        faults.into_result(variables(case).collect())
    }
}

/// Whether a variable leads telemetry to us; the others only say how it is to be exported.
fn leads(name: &str) -> bool {
    matches!(name, "OTEL_EXPORTER_OTLP_ENDPOINT" | "OTEL_EXPORTER_OTLP_HEADERS")
}

/// The variables among a case's conditions.
pub(super) fn variables(case: &Case) -> impl Iterator<Item = (String, String)> {
    let written = case.conditions.get("env").and_then(Value::as_object).into_iter().flatten();
    written.map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
}

/// What templates are filled with: the case's question, its conversation and its passages.
pub(super) fn values(case: &Case) -> Values {
    let messages = match &case.input {
        Value::Array(messages) => messages.clone(),
        input => vec![json!({"role": "user", "content": input})],
    };
    let of_user = messages.iter().rev().find(|message| message.get("role").and_then(Value::as_str) == Some("user"));
    let input = of_user.and_then(|message| message.get("content")).map(text).unwrap_or_default();
    let documents: Vec<Value> = case.documents.iter().flatten().map(|passage| json!({"id": passage.id, "text": passage.text})).collect();
    let pairs =
        [("input", input.into()), ("messages", messages.into()), ("documents", documents.into()), ("case", case.id.as_str().into())];
    pairs.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect()
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
        other => other.to_string(),
    }
}

/// The trace that a run is asked to be part of; the same for the same run, so that nothing in a report depends on chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thread {
    /// 32 hexadecimal digits.
    pub(super) trace_id: String,
    /// 16 hexadecimal digits.
    pub(super) span_id: String,
}

impl Thread {
    pub(super) fn new(case: &str, target: &str, trial: u32) -> Self {
        let digest = canonical::digest(format!("{case}\n{target}\n{trial}").as_bytes());
        let digits: String = digest.chars().rev().take(48).collect();
        let (trace_id, span_id) = digits.split_at(32);
        Self { trace_id: trace_id.to_owned(), span_id: span_id.to_owned() }
    }

    /// The value of `traceparent`, sampled.
    pub(super) fn parent(&self) -> String {
        format!("00-{}-{}-01", self.trace_id, self.span_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_trace_of_its_own_that_is_always_the_same() {
        let thread = Thread::new("a", "app", 1);
        assert_eq!(thread, Thread::new("a", "app", 1));
        assert_ne!(thread, Thread::new("a", "app", 2));
        let parent = thread.parent();
        assert_eq!((parent.len(), &parent[..3], &parent[52..]), (55, "00-", "-01"));
        assert!(parent[3..35].bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
