//! What the wire says against the ground truth of captured runs: those in `tests/captures`, and those in the folder
//! that `RELAPSE_CAPTURES` names.

use relapse::wire;
use relapse::wire::call::Attempt;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn truths(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(truths(&path));
        } else if path.to_string_lossy().ends_with(".truth.json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_string)
}

fn differences(attempt: &Attempt, truth: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |name: &str, told: Value, known: &Value| {
        if told != *known {
            found.push(format!("{name}: {told} against {known}"));
        }
    };
    let ms = |seconds: Option<f64>| seconds.map_or(Value::Null, |seconds| ((seconds * 1e4).round() / 10.0).into());
    compare("model", attempt.model_requested.clone().into(), &truth["model_requested"]);
    compare("responded", attempt.model_responded.clone().into(), &truth["model_responded"]);
    compare("id", attempt.response_id.clone().into(), &truth["response_id"]);
    compare("stream", attempt.streamed.into(), &truth["stream"]);
    compare("status", attempt.status.into(), &truth["status"]);
    compare("first token", ms(attempt.first_token), &truth["ttft_ms"]);
    compare("text", attempt.text.clone().filter(|text| !text.is_empty()).into(), &text(&truth["text"]).into());
    compare("refusal", attempt.refusal.clone().into(), &text(&truth["refusal"]).into());
    compare("finish", attempt.finish.clone().into(), &truth["finish"]);
    compare("input", attempt.usage.input.into(), &truth["usage"]["in"]);
    compare("output", attempt.usage.output.into(), &truth["usage"]["out"]);
    let calls: Vec<Value> =
        attempt.tool_calls.iter().map(|call| serde_json::json!({"id": call.id, "name": call.name, "arguments": call.arguments})).collect();
    compare("tools", calls.into(), &truth["tool_calls"]);
    found
}

#[test]
#[expect(clippy::print_stdout, reason = "a skip is said")]
fn every_captured_exchange_says_what_really_happened() {
    let mut folders = vec![PathBuf::from("tests/captures")];
    match env::var_os("RELAPSE_CAPTURES") {
        Some(folder) => folders.push(folder.into()),
        None => println!("only tests/captures: RELAPSE_CAPTURES names no further folder"),
    }
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in folders.iter().flat_map(|folder| truths(folder)) {
        let truth: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a truth file")).expect("JSON");
        let wire_file = file.to_string_lossy().replace(".truth.json", ".http.jsonl");
        let exchanges = wire::read(&fs::read_to_string(&wire_file).expect("a wire file"), &wire_file).expect("exchanges");
        let attempts: Vec<Attempt> = exchanges.iter().filter_map(Attempt::of).collect();
        let known = truth["wire"].as_array().expect("a list");
        if attempts.len() != known.len() {
            wrong.push(format!("{}: {} attempts against {}", file.display(), attempts.len(), known.len()));
        }
        for (attempt, truth) in attempts.iter().zip(known) {
            seen += 1;
            wrong.extend(
                differences(attempt, truth).into_iter().map(|difference| format!("{} #{}: {difference}", file.display(), attempt.seq)),
            );
        }
    }
    assert!(seen > 0, "no captured run was found");
    assert!(wrong.is_empty(), "{} of {seen} exchanges:\n{}", wrong.len(), wrong.join("\n"));
}
