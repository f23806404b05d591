//! Tests of `project`.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::fs;

const PROJECT: &str = include_str!("../../tests/projects/ok-full.relapse.yaml");

fn read(text: &str) -> Result<Project, Faults> {
    Project::parse(Utf8Path::new(PROJECT_FILE), text)
}

fn sound() -> Project {
    read(PROJECT).unwrap_or_else(|faults| panic!("{faults:?}"))
}

#[test]
fn a_prompt_target_is_read() {
    let project = sound();
    let target = project.target("support-prompt").unwrap();
    let TargetKind::Prompt(prompt) = &target.kind else { panic!() };
    assert_eq!((prompt.model.provider.as_str(), prompt.model.name.value.as_str()), ("openai", "gpt-4o-mini"));
    assert!(matches!(&prompt.prompt, Prompt::File(file) if file.path == "prompts/support.v2.md"));
    assert_eq!(serde_json::Value::from(prompt.params.clone()), json!({"temperature": 0.2, "max_tokens": 800}));
    assert_eq!((prompt.max_turns, target.snapshot, target.place.line), (4, Some(SnapshotKind::Outline), 3));
    let TargetKind::Prompt(prompt) = &project.target("support-messages").unwrap().kind else { panic!() };
    assert_eq!((prompt.model.provider.as_str(), prompt.model.name.value.as_str()), ("local", "meta/llama-3"));
    assert!(matches!(&prompt.prompt, Prompt::Messages(messages) if messages.len() == 2 && messages[1].role == "user"));
    assert!(project.target("last-winter").unwrap().expect_regressed);
}

#[test]
fn applications_services_and_traces_are_read() {
    let project = sound();
    let TargetKind::Application(application) = &project.target("support-app").unwrap().kind else { panic!() };
    assert_eq!(application.command[3].value, "", "an empty argument is an argument");
    assert_eq!(application.output, Output { answer: Source::Json("answer".into()), outcome: Some(Source::Json("outcome".into())) });
    let TargetKind::Service(service) = &project.target("support-service").unwrap().kind else { panic!() };
    assert_eq!((service.http.method.as_str(), service.http.output.answer.clone()), ("POST", Source::Json("answer".into())));
    assert_eq!(service.http.body, Some(json!({"question": "{{ input }}"})));
    assert_eq!(service.upstreams.len(), 2);
    assert!(matches!(&project.target("ours").unwrap().kind, TargetKind::Traces(traces) if traces.wire.is_some()));
}

#[test]
fn settings_are_read() {
    let project = sound();
    assert_eq!((project.concurrency, project.budget.usd, project.budget.requests), (16, Some(2.0), Some(500)));
    assert_eq!(project.judge.unwrap().votes, 3);
    assert_eq!(project.matching.replace[0].pattern.replace_all("on 2026-03-14", &project.matching.replace[0].with), "on <date>");
    assert_eq!(project.telemetry.waive[0].until.unwrap().to_string(), "2027-01-01");
    assert_eq!(project.telemetry.aliases[1].1[0].value, "app.prompt.version");
    assert!(matches!(project.tools[0].kind, ToolKind::Http(_)));
}

#[test]
fn the_smallest_project_has_defaults() {
    let project = read("version: 1\n").unwrap();
    assert_eq!((project.concurrency, project.targets.len()), (limit::CONCURRENCY, 0));
    assert_eq!(project.telemetry.require, Require::Minimum);
}

#[test]
fn a_provider_that_cannot_be_read_is_not_unknown_as_well() {
    let faults = read("version: 1\nproviders: {a: {api: x}}\njudge: {model: a/b}\n").unwrap_err();
    assert!(faults.iter().all(|fault| !fault.message.contains("unknown provider")));
}

#[test]
fn what_may_be_a_key_is_not_repeated() {
    let text = PROJECT.replace("key: LOCAL_LLM_KEY", "key: sk-not-a-real-key");
    let faults = read(&text).unwrap_err();
    assert!(!format!("{faults:?}").contains("sk-not"));
}

#[test]
fn a_missing_project_says_how_to_begin() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::at(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
    assert_eq!(Project::load(&root).unwrap_err().iter().next().unwrap().help.as_deref(), Some("run `relapse init`"));
    fs::write(folder.path().join(PROJECT_FILE), format!("\u{feff}{}", PROJECT.replace('\n', "\r\n"))).unwrap();
    assert_eq!(format!("{:?}", Project::load(&root).unwrap()), format!("{:?}", sound()));
}

proptest! {
    #[test]
    fn any_change_of_a_project_is_read_or_refused(at in 0..PROJECT.len(), length in 0..60usize, text in "[-:{}\\[\\]&*!|>\"'\n\r\t #a-z0-9/$(é]{0,12}") {
        let mut project: Vec<char> = PROJECT.chars().collect();
        let start = at.min(project.len());
        let end = (start + length).min(project.len());
        project.splice(start..end, text.chars());
        let _ = read(&project.into_iter().collect::<String>());
    }
}
