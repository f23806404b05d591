//! Tests of `postmortem`.

use super::*;
use crate::field::On;
use crate::gate::Gate;
use proptest::prelude::*;
use serde_json::json;
use std::fs;
use std::time::Duration;

const PAGE: &str = r#"---
title: Invented a lifetime return policy when retrieval came back empty
class: retrieval                     # a failure class of the runbook
severity: sev2
status: active
evidence:
  incident: incident.otlp.jsonl
  healthy: [a.otlp.jsonl, b.otlp.jsonl]
  wire: {incident: incident.http.jsonl, healthy: healthy.http.jsonl}
when: {onset: 2026-03-14T07:55Z, detected: 2026-03-14T09:20Z, mitigated: +130m}
detected_by: user
cause: The re-index job wrote an empty index; the prompt does not say what to do without passages.
signals_late:
  - {name: empty-retrieval, rule: "retrieval.empty", share: 0.1, over: 15m, within: 30m, min: 20}
fields_missing:
  - retrieval.documents
  - {field: prompt.version, on: root}
tests:
  - name: no-invented-policy
    expect: {not_contains: [lifetime, always free]}
  - name: token-budget
    expect: "tokens.input <= 3 * healthy.tokens.input"
    gate: {rate: 0.95}
conditions:
  documents: []
  env: {BOT_KB: empty}
targets: [support-app, support-prompt]
---
## What happened
"#;

fn read(text: &str) -> Result<Postmortem, Faults> {
    Postmortem::parse("policy", Utf8Path::new("postmortems/policy.md"), text)
}

fn sound(text: &str) -> Postmortem {
    read(text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

#[test]
fn a_page_is_read_with_its_places() {
    let page = sound(PAGE);
    assert_eq!((page.id.as_str(), page.severity, &page.status), ("policy", Severity::Sev2, &Status::Active));
    assert_eq!((page.title.place.line, page.title.place.column), (2, 8));
    assert_eq!(page.evidence.traces.incident[0].path, "postmortems/policy/incident.otlp.jsonl");
    assert_eq!(page.evidence.traces.healthy.len(), 2);
    assert_eq!(page.evidence.wire.healthy[0].place, Place::at("postmortems/policy.md", 9, 50));
    assert_eq!(page.files().count(), 5);
    assert_eq!(page.detected_by, Some(Detection::User));
    let onset = page.when.onset;
    assert_eq!(page.when.detected.unwrap().unix_seconds(onset), onset.map(|onset| onset + 5100.0));
    assert_eq!(page.when.mitigated.unwrap().unix_seconds(onset), onset.map(|onset| onset + 7800.0));
    assert_eq!((page.body.as_str(), page.body_line), ("## What happened\n", 29));
}

#[test]
fn claims_are_read_with_their_places() {
    let page = sound(PAGE);
    let signal = &page.signals_late[0];
    assert_eq!((signal.share, signal.over, signal.min), (Some(0.1), Some(Duration::from_secs(900)), Some(20)));
    assert_eq!((signal.rule.value.as_str(), signal.rule.place.line), ("retrieval.empty", 14));
    let fields: Vec<_> = page.fields_missing.iter().map(|field| (field.field.value.as_str(), field.on, field.field.place.line)).collect();
    assert_eq!(fields, [("retrieval.documents", On::Any, 16), ("prompt.version", On::Root, 17)]);
    let tests: Vec<_> = page.tests.iter().map(|test| (test.name.value.as_str(), test.gate, test.expect.place.line)).collect();
    assert_eq!(tests, [("no-invented-policy", Gate::Every, 20), ("token-budget", Gate::Rate(0.95), 22)]);
    assert_eq!(page.tests[0].expect.to_json(), json!({"not_contains": ["lifetime", "always free"]}));
    assert_eq!(page.conditions.documents, Some(Documents::Inline(Vec::new())));
    assert_eq!(page.conditions.env[0].1, "empty");
}

#[test]
fn texts_stay_as_they_were_written() {
    let page = sound(
        &PAGE.replace("detected_by: user", "owner: no\nschedule: 010\ntrigger: 12:30:45\nx-y: 1").replace("BOT_KB: empty", "A: 1.10"),
    );
    let text = |text: Option<Spanned<String>>| text.unwrap().value;
    assert_eq!((text(page.owner), text(page.schedule), text(page.trigger)), ("no".into(), "010".into(), "12:30:45".into()));
    assert_eq!(page.conditions.env[0].1, "1.10");
}

#[test]
fn the_body_is_untouched() {
    let body = "Heading\n---\n\n```yaml\n---\ntitle: no\n---\n```\n  trailing  \n";
    assert_eq!(sound(&PAGE.replace("## What happened\n", body)).body, body);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    assert_eq!(sound(&PAGE.replace('\n', "\r\n")), sound(PAGE));
    assert_eq!(sound(&format!("\u{feff}{PAGE}")), sound(PAGE));
}

#[test]
fn a_status_can_be_muted_until_a_date() {
    let page = sound(&PAGE.replace("status: active", "status: {muted: {until: 2026-12-31, why: vendor}}"));
    assert_eq!(page.status, Status::Muted { until: Date::parse("2026-12-31").unwrap(), why: "vendor".into() });
    assert_eq!(page.status_place.line, 5);
}

#[test]
fn ids_can_be_file_names_everywhere() {
    for id in ["a", "2026-03-14-empty", "console", "com10"] {
        assert!(check_id(id).is_ok(), "{id}");
    }
    for id in ["", "A", "a/b", "a\nb", "..", "-rf", "a.b", "é", "con", "nul", "com1", "lpt9", &"a".repeat(101)] {
        assert!(check_id(id).is_err(), "{id:?}");
    }
    assert!(check_name("a.b_c-1").is_ok());
    assert!(check_name("nul.x").is_err());
}

fn repository(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = Root::at(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
    (folder, root)
}

#[test]
fn all_pages_are_read_in_order_but_the_readme() {
    let pages = [
        ("postmortems/b.md", PAGE),
        ("postmortems/a.md", PAGE),
        ("postmortems/README.md", "# Read me"),
        ("postmortems/a/x.md", "evidence"),
    ];
    let (_folder, root) = repository(&pages);
    let ids: Vec<String> = load_all(&root).unwrap().into_iter().map(|page| page.id).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn without_a_directory_there_are_no_postmortems() {
    assert_eq!(load_all(&repository(&[]).1), Ok(Vec::new()));
}

#[test]
fn all_faults_of_all_files_come_at_once() {
    let broken = PAGE.replace("sev2", "sev5").replace("prompt.version", "promt.version");
    let pages =
        [("postmortems/b.md", broken.as_str()), ("postmortems/a.md", "text"), ("postmortems/c.markdown", ""), ("postmortems/A.md", PAGE)];
    let (_folder, root) = repository(&pages);
    let told: Vec<String> = load_all(&root).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "postmortems/A.md: id `A` must begin with a letter or digit and consist of a-z, 0-9 and -",
            "postmortems/a.md: id `a` is also that of postmortems/A.md: the two differ only by case",
            "postmortems/a.md:1:1: no front matter: the first line of a postmortem is `---`",
            "postmortems/b.md:4:11: expected one of sev1, sev2, sev3, sev4; found `sev5`",
            "postmortems/b.md:17:13: unknown field `promt.version`",
            "postmortems/c.markdown: not read: a postmortem's name ends in `.md`",
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_page_behind_a_link_out_of_the_repository_is_refused() {
    let (folder, root) = repository(&[("postmortems/a.md", PAGE)]);
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("postmortems/b.md")).unwrap();
    let told = load_all(&root).unwrap_err().iter().next().unwrap().to_string();
    assert_eq!(told, "postmortems/b.md: `postmortems/b.md` leaves the repository through a link or `..`");
}

#[test]
fn documents_and_tool_results_are_read_from_files() {
    let page = sound(&PAGE.replace("documents: []", "documents: kb.yaml").replace("targets:", "tool_results: tools.jsonl\ntargets:"));
    let (_folder, root) = repository(&[
        ("postmortems/policy/kb.yaml", "- {id: 1, text: one}\n- {id: 2, text: two}\n"),
        ("postmortems/policy/tools.jsonl", "{\"name\": \"a\", \"arguments\": {}, \"result\": 1}\n\n{\"name\": \"b\"}\n{]\n"),
    ]);
    let documents = page.conditions.documents.unwrap().load(&root).unwrap();
    assert_eq!(documents[1], Document { id: "2".into(), text: "two".into(), place: Place::at("postmortems/policy/kb.yaml", 2, 3) });
    let faults = page.tool_results.unwrap().load(&root).unwrap_err();
    assert_eq!(faults.iter().next().unwrap().to_string(), "postmortems/policy/tools.jsonl:4:2: not valid JSON: key must be a string");
}

#[test]
fn a_file_that_is_not_there_is_told_where_it_is_named() {
    let page = sound(&PAGE.replace("documents: []", "documents: kb.json"));
    let (_folder, root) = repository(&[]);
    let faults = page.conditions.documents.unwrap().load(&root).unwrap_err();
    assert_eq!(faults.iter().next().unwrap().to_string(), "postmortems/policy.md:25:14: `postmortems/policy/kb.json` does not exist");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_change_of_a_page_is_read_or_refused(at in 0..PAGE.len(), length in 0..40usize, text in "[-:{}\\[\\]&*!|>\"'\n\r\t #a-z0-9+é]{0,12}") {
        let mut page: Vec<char> = PAGE.chars().collect();
        let start = at.min(page.len());
        let end = (start + length).min(page.len());
        page.splice(start..end, text.chars());
        let _ = read(&page.into_iter().collect::<String>());
    }

    #[test]
    fn any_value_of_any_key_is_read_or_refused(key in 0..KEYS.len(), value in "[\\[\\]{}a-z0-9:, +~T-]{0,30}") {
        let _ = read(&format!("---\ntitle: T\n{}: {value}\n---\n", KEYS[key]));
    }
}
