//! A suite of any size on one target, `mock`, with three checks a case.

use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(crate) const RELAPSE: &str = env!("CARGO_BIN_EXE_relapse");
pub(crate) const SYSTEM: &str = "You are a support agent. Answer with one JSON object with the keys status, answer and echo.";

/// What a case asks, by its number.
pub(crate) fn question(index: usize) -> String {
    let order = order(index);
    format!("Incident {index}: order {order} needs a decision. Notes: customer refund parcel broken late invoice address account.")
}

/// What passes all three checks of a case that asked this.
pub(crate) fn answer(question: &str) -> String {
    let order = question.split_whitespace().nth(3).unwrap_or_default();
    format!("{{\"status\":\"ok\",\"answer\":\"order {order} is refunded\",\"echo\":\"{question}\"}}")
}

/// A compiled suite with evidence; `settings` stand before the target in relapse.yaml.
pub(crate) fn suite(size: usize, model: &str, settings: &str, is_recorded: bool) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let root = folder.path();
    let target =
        format!("model: {model}\n    prompt: prompts/system.md\n    params: {{temperature: 0, max_tokens: 128}}\n    snapshot: off");
    write(&root.join("relapse.yaml"), &format!("version: 1\n{settings}targets:\n  mock:\n    {target}\n"));
    write(&root.join("prompts/system.md"), SYSTEM);
    for index in 0..size {
        let (id, question) = (format!("case-{index:05}"), question(index));
        let good = exchange(&question, &answer(&question));
        write(&root.join(format!("postmortems/{id}.md")), &postmortem(&order(index)));
        write(&root.join(format!("postmortems/{id}/incident.http.jsonl")), &exchange(&question, "It will be looked at."));
        write(&root.join(format!("postmortems/{id}/healthy.http.jsonl")), &good);
        if is_recorded {
            let header = json!({"relapse_recording": 1, "case": id, "target": "mock", "model": model, "date": "2026-11-24"});
            write(&root.join(format!("cases/{id}/recordings/mock.jsonl")), &format!("{header}\n{good}"));
        }
    }
    let compiled = Command::new(RELAPSE).arg("compile").current_dir(root).stdout(Stdio::null()).status();
    assert!(compiled.expect("relapse starts").success(), "the suite compiles");
    folder
}

fn order(index: usize) -> String {
    format!("A-{}", 100_000 + index)
}

fn exchange(user: &str, answer: &str) -> String {
    let body = json!({
        "model": "mock-model", "stream": true, "stream_options": {"include_usage": true}, "temperature": 0, "max_tokens": 128,
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}],
    });
    let answered = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "mock-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 40},
    });
    let line = json!({
        "seq": 1, "ms": 12.5,
        "request": {"method": "POST", "path": "/v1/chat/completions", "headers": {}, "body": body},
        "response": {"status": 200, "headers": {"content-type": "application/json"}, "body": answered, "end": "complete"},
    });
    format!("{line}\n")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
    fs::write(path, text).expect("the file is written");
}

fn postmortem(order: &str) -> String {
    format!(
        "---\ntitle: Order {order} was answered in prose\nclass: output-contract\nevidence:\n  wire: {{incident: incident.http.jsonl, healthy: healthy.http.jsonl}}\n\
         tests:\n  - name: names-the-order\n    expect: {{contains: order {order}}}\n  - name: has-a-status\n    expect: {{matches: '\"status\":\"(ok|done)\"'}}\n  \
         - name: is-json\n    expect: {{json: true}}\n---\nSynthetic.\n"
    )
}
