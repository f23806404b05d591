//! Going live with an application: `relapse record`, and `run --mode record` on an application target.
#![cfg(unix)]

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

#[expect(dead_code, reason = "not every test file needs all of the server")]
#[path = "support/server.rs"]
mod server;

use server::{Say, Server};
use std::path::PathBuf;
use support::{Invocation, Repository};

/// A command with the bot on its `PATH`.
fn with_bot(repository: &Repository, words: &str) -> Invocation {
    let tests = std::env::current_exe().expect("this test");
    let examples: PathBuf = tests.ancestors().nth(2).expect("target/debug").join("examples");
    assert!(examples.join("support_bot").exists(), "build the bot first: cargo build --examples");
    repository.relapse(words).env("PATH", &format!("{}:{}", examples.display(), std::env::var("PATH").expect("PATH")))
}

/// A server that answers every question with the same text.
fn server(text: &'static str) -> Server {
    Server::start(move |asked, _| Say::text(text).to(asked))
}

fn record(repository: &Repository, server: &Server, out: &str) -> Invocation {
    with_bot(repository, &format!("record --upstream OPENAI_BASE_URL={}/v1 --out {out} -- support_bot", server.url()))
}

#[test]
fn a_session_becomes_evidence_without_secrets() {
    let (repository, server) = (Repository::of("application"), server("Your key is sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH."));
    let output = record(&repository, &server, "bad").argument("Where is my key?").expects(0);
    assert!(output.stdout.contains("recorded 1 exchanges, 2 spans and 0 log records"), "{output}");
    assert!(output.stdout.contains("next: relapse new \"TITLE\" --incident bad.otlp.jsonl --wire-incident bad.http.jsonl"), "{output}");
    let wire = repository.read("bad.http.jsonl");
    assert!(wire.contains("Where is my key?") && wire.contains("[redacted:") && !wire.contains("sk-proj-abc"), "{wire}");
    let trace = repository.relapse("trace bad.otlp.jsonl --wire bad.http.jsonl").expects(0);
    assert!(trace.stdout.contains("gpt-4o-mini"), "{trace}");
    repository.relapse("new Asked --incident bad.otlp.jsonl --wire-incident bad.http.jsonl").expects(0);
}

#[test]
fn evidence_that_exists_is_not_replaced() {
    let (repository, server) = (Repository::of("application"), server("Hi."));
    record(&repository, &server, "bad").argument("Hi").expects(0);
    let output = record(&repository, &server, "bad").argument("Hi").expects(2);
    assert!(output.stderr.contains("bad.otlp.jsonl exists"), "{output}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_session_in_which_nothing_happened_says_why() {
    let repository = Repository::of("application");
    let output = with_bot(&repository, "record --target fixed -- true").expects(3);
    assert!(output.stdout.contains("recorded 0 exchanges"), "{output}");
    assert!(output.stdout.contains("no telemetry arrived") && output.stdout.contains("no request reached the proxy"), "{output}");
    let unknown = with_bot(&repository, "record -- true").expects(2);
    assert!(unknown.stderr.contains("several targets have upstreams: fixed, nested"), "{unknown}");
}

#[test]
fn a_request_that_the_budget_has_no_room_for_is_not_sent_nor_tried_again() {
    let repository = Repository::of("application");
    let server = server("It is on its way.");
    repository.edit("postmortems/eight-429s.md", "conditions:", "input: Where is my parcel?\nconditions:");
    repository.edit("postmortems/eight-429s.md", "times: 8", "times: 1");
    repository.edit("relapse.yaml", "\"https://api.openai.com/v1\"", &format!("\"{}/v1\"", server.url()));
    repository.relapse("compile").expects(0);
    for (budget, why) in [
        ("budget: {requests: 0}", "the budget of 0 requests is used up"),
        ("budget: {tokens: 9}", "the budget of 9 tokens has no room for a request of about"),
        ("budget: {usd: 0.00001}", "the budget of $0.00 has no room for a request of up to"),
    ] {
        repository.edit("relapse.yaml", "version: 1\n", &format!("version: 1\n{budget}\n"));
        let output = with_bot(&repository, "run --target fixed --mode record --trials 1 --allow-host 127.0.0.1").expects(3);
        assert!(output.stdout.contains("(budget)") && output.stdout.contains(why), "{output}");
        repository.edit("relapse.yaml", &format!("{budget}\n"), "");
    }
    assert!(server.asked().is_empty());
    let enough =
        with_bot(&repository, "run --target fixed --mode record --trials 1 --allow-host 127.0.0.1 --report json=out.json").expects(0);
    assert_eq!(server.asked().len(), 1);
    let report: serde_json::Value = serde_json::from_str(&repository.read("out.json")).unwrap();
    assert_eq!(report["cases"][0]["live_requests"], 1, "{enough}");
}

#[test]
fn what_could_not_be_sent_is_no_evidence() {
    let repository = Repository::of("application");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let words = format!("record --upstream OPENAI_BASE_URL=http://{closed}/v1 --out bad -- support_bot Hi");
    let output = with_bot(&repository, &words).env("BOT_INNER", "3").env("COLUMNS", "1000").expects(3);
    assert!(
        output.stdout.contains("recorded 0 exchanges") && output.stdout.contains("note: requests 1, 2, 3: 127.0.0.1: no connection"),
        "{output}"
    );
    assert!(!output.stdout.contains("next:"), "{output}");
}

#[test]
fn what_an_application_asks_anew_goes_live_once() {
    let repository = Repository::of("application");
    let server = server("It is on its way.");
    repository.edit("postmortems/eight-429s.md", "conditions:", "input: Where is my parcel?\nconditions:");
    repository.edit("postmortems/eight-429s.md", "times: 8", "times: 1");
    repository.edit("relapse.yaml", "\"https://api.openai.com/v1\"", &format!("\"{}/v1\"", server.url()));
    repository.relapse("compile").expects(0);
    with_bot(&repository, "run --target fixed").expects(5);
    assert_eq!(server.asked().len(), 0);
    with_bot(&repository, "run --target fixed --mode record --trials 1 --allow-host 127.0.0.1").expects(0);
    assert_eq!(server.asked().len(), 1);
    assert!(repository.read("cases/eight-429s/recordings/fixed.jsonl").contains("Where is my parcel?"));
    with_bot(&repository, "run --target fixed").expects(0);
    assert_eq!(server.asked().len(), 1);
    let recording = repository.read("cases/eight-429s/recordings/fixed.jsonl");
    let line = recording.lines().last().expect("an exchange").replace("\"seq\":1", "\"seq\":2");
    repository.write("cases/eight-429s/recordings/fixed.jsonl", format!("{recording}{line}\n"));
    let longer = with_bot(&repository, "run --target fixed").env("COLUMNS", "1000").expects(0);
    assert!(longer.stdout.contains("nothing asked for what is recorded in cases/eight-429s/recordings/fixed.jsonl #2"), "{longer}");
}
