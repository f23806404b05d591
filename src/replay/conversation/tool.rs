//! What a tool answers: as the case recorded it, by name where the project says so, or live.

use super::super::{Halt, Stage};
use crate::canonical;
use crate::case::{Case, ToolResult};
use crate::egress::{Address, Outgoing, Sent};
use crate::fault::Fault;
use crate::limit;
use crate::project::{Tool, ToolKind};
use crate::recording::Answers;
use crate::request::canonical_arguments;
use crate::trace::ToolRequest;
use crate::verdict::Doubt;
use crate::wire::{self, End, Exchange, Payload, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The upstream under which a recording keeps what live tools answered.
const UPSTREAM: &str = "tool";

/// What came of a tool call.
pub(super) enum Answer {
    /// The result for the model.
    Text(String),
    /// Nothing is recorded; the lines to paste.
    Unrecorded(String),
}

/// Answers one tool call: by name and canonical arguments from the case, else as the project says.
pub(super) async fn answer(
    stage: Stage<'_>,
    case: &Case,
    answers: &mut Answers,
    request: &ToolRequest,
    trial: u32,
) -> Result<Answer, Halt> {
    if let Some(result) = recorded(case, &request.name, &request.arguments) {
        return Ok(Answer::Text(text(result)));
    }
    let Some(tool) = stage.project.tools.iter().find(|tool| tool.name.value == request.name) else {
        return Ok(Answer::Unrecorded(unrecorded(case, request)));
    };
    if tool.kind == ToolKind::ByName {
        let of_name = case.tool_results.iter().find(|result| result.name == request.name);
        return Ok(of_name.map_or_else(|| Answer::Unrecorded(unrecorded(case, request)), |result| Answer::Text(text(result))));
    }
    let asked = asked(request, trial);
    if let Some(recorded) = answers.next(&asked)? {
        return Ok(Answer::Text(recorded.exchange.response.map(|response| said(&response.payload)).unwrap_or_default()));
    }
    if stage.client.is_none() {
        return Ok(Answer::Unrecorded(unrecorded(case, request)));
    }
    let begun = Instant::now();
    let payload = live(stage, tool, &asked).await?;
    let answered = Response { status: 200, headers: BTreeMap::new(), payload, end: End::Complete, cuts: Vec::new() };
    let text = said(&answered.payload);
    answers.keep(Exchange { ms: Some(begun.elapsed().as_micros() as f64 / 1e3), response: Some(answered), ..asked });
    Ok(Answer::Text(text))
}

/// Whether the case recorded that this call fails.
pub(super) fn fails(case: &Case, name: &str, arguments: &str) -> bool {
    recorded(case, name, arguments).is_some_and(|result| result.error.is_some())
}

fn recorded<'a>(case: &'a Case, name: &str, arguments: &str) -> Option<&'a ToolResult> {
    let asked = canonical_arguments(arguments);
    case.tool_results.iter().find(|result| {
        let recorded = result.arguments.as_str().map_or_else(|| canonical::json(&result.arguments), str::to_string);
        result.name == name && recorded == asked
    })
}

fn text(result: &ToolResult) -> String {
    match (&result.result, &result.error) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), _) => value.to_string(),
        (None, Some(error)) => serde_json::json!({"error": error}).to_string(),
        (None, None) => String::new(),
    }
}

/// The call in the form in which a recording keeps it.
fn asked(request: &ToolRequest, trial: u32) -> Exchange {
    let body = arguments(request);
    let request = wire::Request { method: "POST".into(), path: format!("/tools/{}", request.name), headers: BTreeMap::new(), body };
    Exchange { seq: 0, ms: None, at: None, upstream: Some(UPSTREAM.into()), trial: Some(trial), request, response: None }
}

fn arguments(request: &ToolRequest) -> Value {
    serde_json::from_str(&request.arguments).unwrap_or_else(|_| request.arguments.as_str().into())
}

fn unrecorded(case: &Case, request: &ToolRequest) -> String {
    let line = serde_json::json!({"name": request.name, "arguments": arguments(request), "result": "…"});
    format!(
        "the model called {}({}), and the case has no answer to it; add to `tool_results` of {}:\n  - {line}",
        request.name,
        crate::inert::clip(&request.arguments, 200),
        Case::postmortem_path(&case.id)
    )
}

fn said(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) => text.clone(),
        Payload::Json(json) => json.to_string(),
        _ => String::new(),
    }
}

/// Asks the program or the server that relapse.yaml names.
async fn live(stage: Stage<'_>, tool: &Tool, asked: &Exchange) -> Result<Payload, Halt> {
    let failed = |why: String| Halt::Undecided(Doubt::Infrastructure, format!("tool `{}`: {why}", tool.name.value));
    let text = match &tool.kind {
        ToolKind::Command(command) => {
            let words: Vec<&str> = command.iter().map(|word| word.value.as_str()).collect();
            let running = run(stage.root.path().as_str(), &words, asked.request.body.to_string());
            let done = tokio::time::timeout(Duration::from_secs(limit::TOOL_SECONDS), running).await;
            done.unwrap_or_else(|_| Err(format!("no answer within {} s", limit::TOOL_SECONDS))).map_err(failed)?
        }
        ToolKind::Http(url) => {
            return ask(stage, &url.value, asked).await.map_err(|fault| Halt::from(fault.at(url.place.clone())))?.map_err(failed);
        }
        ToolKind::ByName => String::new(),
    };
    Ok(serde_json::from_str::<Value>(&text).ok().filter(|json| !json.is_string()).map_or(Payload::Text(text), Payload::Json))
}

/// What a program prints that gets the arguments on its standard input; its environment holds nothing but the path.
async fn run(folder: &str, words: &[&str], arguments: String) -> Result<String, String> {
    let (program, rest) = words.split_first().ok_or("the command is empty")?;
    let mut command = tokio::process::Command::new(program);
    command.args(rest).current_dir(folder).env_clear().kill_on_drop(true);
    command.envs(["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("cannot start `{program}`: {error}"))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read its arguments may be gone already.
            let _ = stdin.write_all(arguments.as_bytes()).await;
        }
    };
    let read = async {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(limit::TOOL_BYTES + 1).read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
        }
        if bytes.len() as u64 > limit::TOOL_BYTES { Err(format!("it printed more than {} bytes", limit::TOOL_BYTES)) } else { Ok(bytes) }
    };
    let (bytes, ()) = tokio::join!(read, write);
    let bytes = bytes?;
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_string())
}

/// What a server answers that gets the arguments as JSON. It must be allowed from outside, as every host.
async fn ask(stage: Stage<'_>, url: &str, asked: &Exchange) -> Result<Result<Payload, String>, Fault> {
    let Some(client) = stage.client else { return Ok(Err("a replay opens no socket".into())) };
    let address = Address::parse(url)?;
    client.egress().check(&address, None)?;
    let query = address.query().map(|query| format!("?{query}")).unwrap_or_default();
    let headers = BTreeMap::from([("content-type".to_string(), "application/json".to_string())]);
    let path = format!("{}{query}", address.path());
    let request = wire::Request { path, headers, ..asked.request.clone() };
    let Sent { exchange, trouble } = client.egress().send(&address, &Outgoing { request: &request, body: None, secrets: &[] }).await;
    Ok(match (exchange.response, trouble) {
        (Some(response), None) if response.status < 300 => Ok(response.payload),
        (Some(response), None) => Err(format!("{} answered {}", address.host(), response.status)),
        (_, trouble) => Err(trouble.map_or_else(|| "no answer".to_string(), |trouble| trouble.to_string())),
    })
}
