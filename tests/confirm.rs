//! `relapse diagnose --confirm` as a user meets it: one factor restored at a time, from recordings and live.
#![cfg(unix)]

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

#[expect(dead_code, reason = "not every test file needs all of the server")]
#[path = "support/server.rs"]
mod server;

use insta::assert_snapshot;
use serde_json::{Value, json};
use server::{Say, Server};
use std::path::PathBuf;
use std::process::Command;
use support::{Invocation, Repository};

/// A model that cites its source as long as its prompt asks for it.
fn model() -> Server {
    Server::start(|asked, _| {
        let cites = asked.text().contains("Cite sources");
        Say::text(if cites { "Within 30 days. [kb-1]" } else { "Within 30 days, of course!" }).to(asked)
    })
}

/// A prompt that was changed in two places, of which one drops the line that asks for sources.
fn project() -> Repository {
    let repository = Repository::of("two-hunks");
    repository.relapse("compile").env("LLM_URL", "http://127.0.0.1:1/v1").expects(0);
    repository
}

fn live(repository: &Repository, server: &Server, words: &str) -> Invocation {
    repository.relapse(&format!("{words} --mode record --allow-host 127.0.0.1")).env("LLM_URL", &server.url())
}

fn swaps(json: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(json).expect("JSON");
    report["diagnosis"]["swaps"].as_array().expect("a list").clone()
}

#[test]
fn the_hunk_that_flips_the_test_is_named() {
    let (repository, server) = (project(), model());
    assert_snapshot!(live(&repository, &server, "diagnose uncited --confirm").expects(0), @r#"
    exit 0
    -- stdout --
      diagnosis: prompt (confirmed)
        look first instructions-removed is confirmed: with 1 of 2 hunks of the
                   prompt as before, cites-its-source holds; read the removed lines;
                   replay with the previous prompt, then line by line
        refuted    variables-unfilled · change.prompt.unfilled = 0
        confirmed  instructions-removed · change.prompt.removed = 2
        unclear    instructions-added · change.prompt.added = 1 ·
                   change.prompt.removed = 2 · the evidence speaks neither for nor
                   against it
        unclear    version-changed · there is no telemetry that could tell
                   field('prompt.hash'), field('prompt.version')
        flipped    with 1 of 2 hunks of the prompt as before, cites-its-source holds
        hunk       - Cite sources: end every statement with the id of its passage in
                   brackets.
        untried    the healthy documents: the prompt uses no documents
        untried    pinned policy verdicts: no guardrail stands in a conversation
                   that relapse holds
        untried    the previous model, the previous parameters, the previous tools:
                   nothing to restore, it is what it was
        untried    no faults: no tool answered otherwise in the healthy evidence
        changed    answer: "Within 30 days. [kb-1]" → "Within 30 days, of course!"
        prompt     - Cite sources: end every statement with the id of its passage in
                   brackets.
        prompt     - Be brief.
        prompt     + Be brief, and be warm.
    "#);
    // What was asked live is recorded: the same is said offline, of what was asked then.
    let asked = server.asked().len();
    let again = repository.relapse("diagnose uncited --confirm --format json --report html=out.html --report json=out.json").expects(0);
    let swap = &swaps(&again.stdout)[0];
    assert_eq!((&swap["factor"], &swap["effect"], &swap["flipped"]), (&json!("prompt"), &json!("flipped"), &json!(["cites-its-source"])));
    let line = "Cite sources: end every statement with the id of its passage in brackets.";
    assert_eq!(swap["hunks"], json!([{"edits": [{"removed": line}]}]));
    assert_eq!(server.asked().len(), asked);
    assert!(repository.read("out.html").contains("cites-its-source holds"), "the page tells of it");
    let report: Value = serde_json::from_str(&repository.read("out.json")).expect("JSON");
    assert_eq!(report["cases"][0]["diagnosis"]["standing"], "confirmed");
}

#[test]
fn offline_the_healthy_wire_confirms_the_prompt_and_hunks_need_recordings() {
    assert_snapshot!(project().relapse("diagnose uncited --confirm --target bot").expects(0), @r#"
    exit 0
    -- stdout --
      diagnosis: prompt (confirmed)
        look first instructions-removed is confirmed: with 2 of 2 hunks of the
                   prompt as before, cites-its-source holds; read the removed lines;
                   replay with the previous prompt, then line by line
        refuted    variables-unfilled · change.prompt.unfilled = 0
        confirmed  instructions-removed · change.prompt.removed = 2
        unclear    instructions-added · change.prompt.added = 1 ·
                   change.prompt.removed = 2 · the evidence speaks neither for nor
                   against it
        unclear    version-changed · there is no telemetry that could tell
                   field('prompt.hash'), field('prompt.version')
        flipped    with 2 of 2 hunks of the prompt as before, cites-its-source
                   holds: fewer may do, which is undecided: needs-recording: call 1:
                   POST /v1/chat/completions is not recorded; nearest is
                   postmortems/uncited/healthy.http.jsonl #1, a semantic change
                   (prompt) (`--mode record` asks for it)
        hunk       - Cite sources: end every statement with the id of its passage in
                   brackets.
        hunk       - Be brief.
        hunk       + Be brief, and be warm.
        untried    the healthy documents: the prompt uses no documents
        untried    pinned policy verdicts: no guardrail stands in a conversation
                   that relapse holds
        untried    the previous model, the previous parameters, the previous tools:
                   nothing to restore, it is what it was
        untried    no faults: no tool answered otherwise in the healthy evidence
        changed    answer: "Within 30 days. [kb-1]" → "Within 30 days, of course!"
        prompt     - Cite sources: end every statement with the id of its passage in
                   brackets.
        prompt     - Be brief.
        prompt     + Be brief, and be warm.
    "#);
}

#[test]
fn what_worked_may_be_another_target_or_a_revision() {
    let (repository, server) = (project(), model());
    let git = |words: &str| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(words.split_whitespace());
        assert!(command.current_dir(repository.path("")).output().expect("git").status.success(), "git {words}");
    };
    let was = repository.read("prompts/v2.md");
    repository.write("prompts/v2.md", repository.read("prompts/v1.md"));
    git("init --quiet");
    git("add .");
    git("commit --quiet --message before");
    repository.write("prompts/v2.md", was);
    for good in ["before", "HEAD"] {
        let words = format!("diagnose uncited --confirm --target bot --good {good} --format json");
        let output = live(&repository, &server, &words).expects(0);
        let swap = &swaps(&output.stdout)[0];
        assert_eq!(
            (&swap["effect"], swap["hunks"].as_array().map(Vec::len), &swap["of_hunks"]),
            (&json!("flipped"), Some(1), &json!(2)),
            "{output}"
        );
    }
    let unknown = repository.relapse("diagnose uncited --confirm --target bot --good nowhere").expects(2);
    assert!(unknown.stderr.contains("`nowhere` is no revision"), "{unknown}");
}

#[test]
fn a_swap_that_flips_nothing_is_told_and_confirms_nothing() {
    // Whatever the prompt says, this model cites nothing, and its previous version does.
    let server = Server::start(|asked, _| {
        let cites = asked.body["model"] == "m-1";
        Say::text(if cites { "Within 30 days. [kb-1]" } else { "Within 30 days, of course!" }).to(asked)
    });
    let repository = project();
    repository.edit("relapse.yaml", "before: {model: local/m,", "before: {model: local/m-1, params: {temperature: 0},");
    assert_snapshot!(live(&repository, &server, "diagnose uncited --confirm --target bot --good before").expects(0), @r#"
    exit 0
    -- stdout --
      diagnosis: prompt (confirmed)
        look first model is confirmed: with the previous model, cites-its-source
                   holds
        refuted    variables-unfilled · change.prompt.unfilled = 0
        supported  instructions-removed · change.prompt.removed = 2 · with the
                   previous prompt alone, the same tests fail
        unclear    instructions-added · change.prompt.added = 1 ·
                   change.prompt.removed = 2 · the evidence speaks neither for nor
                   against it
        unclear    version-changed · there is no telemetry that could tell
                   field('prompt.hash'), field('prompt.version')
        no flip    with the previous prompt alone, the same tests fail
        flipped    with the previous model, cites-its-source holds
        no flip    with the previous parameters alone, the same tests fail
        untried    the healthy documents: the prompt uses no documents
        untried    pinned policy verdicts: no guardrail stands in a conversation
                   that relapse holds
        untried    the previous tools: nothing to restore, it is what it was
        untried    no faults: no tool answered otherwise in the healthy evidence
        changed    answer: "Within 30 days. [kb-1]" → "Within 30 days, of course!"
        prompt     - Cite sources: end every statement with the id of its passage in
                   brackets.
        prompt     - Be brief.
        prompt     + Be brief, and be warm.
    "#);
}

#[test]
fn what_no_recording_can_decide_is_never_answered_with_success() {
    let repository = project();
    let output = repository.relapse("diagnose uncited --confirm --target bot --good before").env("LLM_URL", "http://127.0.0.1:1/v1");
    // The healthy wire answers the previous prompt; without it nothing does.
    output.expects(0);
    repository.edit(
        "relapse.yaml",
        "before: {model: local/m, prompt: prompts/v1.md",
        "before: {model: local/m, prompt: [{system: Cite sources.}]",
    );
    let output = repository.relapse("diagnose uncited --confirm --target bot --good before").expects(5);
    assert!(output.stdout.contains("untried    the previous prompt: needs-recording"), "{output}");
}

#[test]
fn without_faults_an_application_that_retries_too_often_holds() {
    let repository = Repository::compiled("application");
    let tests = std::env::current_exe().expect("this test");
    let examples: PathBuf = tests.ancestors().nth(2).expect("target/debug").join("examples");
    let path = format!("{}:{}", examples.display(), std::env::var("PATH").expect("PATH"));
    assert_snapshot!(repository.relapse("diagnose eight-429s --confirm --target nested").env("PATH", &path).expects(0), @r#"
    exit 0
    -- stdout --
      diagnosis: latency (confirmed)
        look first retries is confirmed: with no faults,
                   at-most-three-times-the-load, at-most-two-retries hold; cap total
                   attempts, disable the inner SDK's retries, honour Retry-After;
                   replay without faults
        confirmed  retries · base.retries.amplification = 1 ·
                   change.attempts.unanswered = 0 · change.slower = false ·
                   now.outcome = "success" · now.retries.amplification = 9
        refuted    retried-too-early · change.attempts.early = 0
        refuted    no-answer-in-time · change.attempts.unanswered = 0
        unclear    blocked-or-queued · base.retries.amplification = 1 ·
                   now.retries.amplification = 9 · not comparable between these two
                   requests: change.share.gap
        unclear    retrieval-slow · not comparable between these two requests:
                   change.share.retrieval
        unclear    tools-slow · not comparable between these two requests:
                   change.share.tools
        refuted    longer-answer · base.retries.amplification = 1 ·
                   base.tokens.output = 9 · now.retries.amplification = 9 ·
                   now.tokens.output = 9
        unclear    model-slow · not comparable between these two requests:
                   change.first_token, change.pace, change.share.model
        flipped    with no faults, at-most-three-times-the-load, at-most-two-retries
                   hold
        untried    the previous prompt, the previous model, the previous parameters,
                   the previous tools: the application chooses these itself; run its
                   previous version
        untried    the healthy documents, pinned policy verdicts: the case has no
                   condition of this kind
        page       retries.amplification: 1 → 9
    "#);
}

#[test]
fn flags_of_swaps_belong_to_confirm() {
    let repository = project();
    for words in ["--good HEAD", "--mode record", "--trials 3", "--budget-usd 1", "--allow-host a"] {
        let output = repository.relapse(&format!("diagnose uncited {words}")).expects(2);
        assert!(output.stderr.contains("--confirm"), "{words}\n{output}");
    }
    repository.relapse("diagnose uncited --report json=out.json").expects(2);
}

#[test]
fn a_snapshot_is_pinned_only_where_another_one_answers() {
    for (now, why) in [("m-1", "nothing to restore, it is what it was"), ("m-2", "needs-recording")] {
        let repository = Repository::of("two-hunks");
        for (wire, served) in [("healthy", "m-1"), ("incident", now)] {
            let file = format!("postmortems/uncited/{wire}.http.jsonl");
            repository.edit(&file, r#""{\"choices\""#, &format!(r#""{{\"model\": \"{served}\", \"choices\""#));
        }
        repository.relapse("compile").expects(0);
        let output = repository.relapse("diagnose uncited --confirm --target bot --format json").expects(0);
        let model = swaps(&output.stdout).into_iter().find(|swap| swap["factor"] == "model").expect("it is told");
        assert!(model["effect"] == "untried" && model["why"].as_str().is_some_and(|told| told.starts_with(why)), "{now}: {model}");
    }
}
