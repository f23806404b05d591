//! The whole process: start-up, and replaying suites of growing size with three checks a case.
//!
//! `cargo bench --bench replay`. Compare ratios of one run, not milliseconds of two.

use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

fn main() {
    divan::main();
}

const RELAPSE: &str = env!("CARGO_BIN_EXE_relapse");
const SYSTEM: &str = "You are a support agent. Answer with one JSON object with the keys status, answer and echo.";

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

/// A suite of `size` cases with evidence and recordings, compiled.
fn suite(size: usize) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let root = folder.path();
    write(
        &root.join("relapse.yaml"),
        "version: 1\ntargets:\n  mock:\n    model: openai/mock-model\n    prompt: prompts/system.md\n    params: {temperature: 0, max_tokens: 128}\n    snapshot: off\n",
    );
    write(&root.join("prompts/system.md"), SYSTEM);
    for index in 0..size {
        let (id, order) = (format!("case-{index:05}"), format!("A-{}", 100_000 + index));
        let user =
            format!("Incident {index}: order {order} needs a decision. Notes: customer refund parcel broken late invoice address account.");
        let good = format!("{{\"status\":\"ok\",\"answer\":\"order {order} is refunded\",\"echo\":\"{user}\"}}");
        write(&root.join(format!("postmortems/{id}.md")), &postmortem(&order));
        write(&root.join(format!("postmortems/{id}/incident.http.jsonl")), &exchange(&user, "It will be looked at."));
        write(&root.join(format!("postmortems/{id}/healthy.http.jsonl")), &exchange(&user, &good));
        let header = json!({"relapse_recording": 1, "case": id, "target": "mock", "model": "openai/mock-model", "date": "2026-11-24"});
        write(&root.join(format!("cases/{id}/recordings/mock.jsonl")), &format!("{header}\n{}", exchange(&user, &good)));
    }
    assert!(relapse(root, &["compile"]), "the suite compiles");
    folder
}

fn relapse(root: &Path, arguments: &[&str]) -> bool {
    let status = Command::new(RELAPSE).args(arguments).current_dir(root).stdout(Stdio::null()).status();
    status.expect("relapse starts").success()
}

fn root_of(size: usize) -> PathBuf {
    static SMALL: OnceLock<TempDir> = OnceLock::new();
    static MIDDLE: OnceLock<TempDir> = OnceLock::new();
    static LARGE: OnceLock<TempDir> = OnceLock::new();
    let made = match size {
        100 => SMALL.get_or_init(|| suite(size)),
        1_000 => MIDDLE.get_or_init(|| suite(size)),
        _ => LARGE.get_or_init(|| suite(size)),
    };
    made.path().to_owned()
}

/// A process that does nothing: what every figure below contains.
#[divan::bench]
fn bare_process() {
    Command::new("true").status().expect("true starts");
}

#[divan::bench]
fn version() {
    Command::new(RELAPSE).arg("--version").stdout(Stdio::null()).status().expect("relapse starts");
}

#[divan::bench(args = [100, 1_000, 10_000], sample_count = 10)]
fn replay(bencher: divan::Bencher<'_, '_>, size: usize) {
    let root = root_of(size);
    bencher.bench(|| assert!(relapse(&root, &["run"]), "every case passes"));
}
