//! Live runs as a user meets them, against a scripted server on loopback: providers, tools, faults, recordings and budgets.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

#[path = "support/server.rs"]
mod server;

use base64::Engine as _;
use serde_json::{Value, json};
use server::{Asked, Reply, Say, Server, error};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use support::{Invocation, Output, Repository};

const KEY: &str = "probe+key/with=odd&bytes-1";
const RECORDING: &str = "cases/refund-window/recordings/bot.jsonl";

/// The project `passed` with one target `bot` on a server, and no recordings.
fn project(api: &str, params: &str) -> Repository {
    let repository = Repository::of("passed");
    repository.remove(RECORDING);
    repository.write(
        "relapse.yaml",
        format!(
            "version: 1\nproviders:\n  local: {{api: {api}, base_url: \"${{LLM_URL}}\", key: LOCAL_LLM_KEY}}\n\
             targets:\n  bot: {{model: local/m, prompt: prompts/v3.md, params: {params}, snapshot: off}}\n"
        ),
    );
    repository.relapse("compile").expects(0);
    repository
}

/// The project `tool-loop` with one target `bot` on a server.
fn tool_project(more: &str) -> Repository {
    let repository = Repository::of("tool-loop");
    repository.write(
        "relapse.yaml",
        format!(
            "version: 1\nproviders:\n  local: {{api: openai, base_url: \"${{LLM_URL}}\", key: LOCAL_LLM_KEY}}\n\
             targets:\n  bot: {{model: local/m, prompt: [{{system: \"Look orders up.\"}}], snapshot: off}}\n{more}"
        ),
    );
    repository.relapse("compile").expects(0);
    repository
}

/// A run that may go to the server, with a report; of one trial, unless the words say otherwise.
fn live(repository: &Repository, server: &Server, words: &str) -> Invocation {
    let trials = if words.contains("--trials") { "" } else { "--trials 1" };
    several(repository, server, &format!("{words} {trials}"))
}

/// The same of as many trials as the tests ask for.
fn several(repository: &Repository, server: &Server, words: &str) -> Invocation {
    repository
        .relapse(&format!("run --allow-host 127.0.0.1 --report json=out.json {words}"))
        .env("LLM_URL", &server.url())
        .env("LOCAL_LLM_KEY", KEY)
}

fn report(repository: &Repository) -> Value {
    serde_json::from_str(&repository.read("out.json")).expect("JSON")
}

fn case(repository: &Repository) -> Value {
    report(repository)["cases"][0].clone()
}

fn recording(repository: &Repository) -> Vec<Value> {
    repository.read(RECORDING).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn answering(text: &'static str) -> Server {
    Server::start(move |asked, _| Say::text(text).to(asked))
}

// Providers.

#[test]
fn every_provider_is_asked_in_its_own_words_streamed_or_not_and_replayed_without_it() {
    for (api, params, path, header) in [
        ("openai", "{}", "/v1/chat/completions", "authorization"),
        ("openai", "{stream: false}", "/v1/chat/completions", "authorization"),
        ("openai-responses", "{max_tokens: 50}", "/v1/responses", "authorization"),
        ("openai-responses", "{stream: false}", "/v1/responses", "authorization"),
        ("anthropic", "{}", "/v1/messages", "x-api-key"),
        ("anthropic", "{stream: false}", "/v1/messages", "x-api-key"),
    ] {
        let (repository, server) = (project(api, params), answering("Within 30 days."));
        live(&repository, &server, "--mode record").expects(0);
        let asked = server.asked();
        assert_eq!((asked.len(), asked[0].path.as_str()), (1, path), "{api} {params}");
        assert!(asked[0].headers[header].contains(KEY));
        assert_eq!(asked[0].body["stream"] == true, !params.contains("false"));
        let case = case(&repository);
        assert_eq!((&case["answer"], &case["live_requests"]), (&json!("Within 30 days."), &json!(1)));
        assert_eq!(case["signals"]["tokens.input"], 1000.0, "{api} {params}");
        assert_eq!(case["signals"]["latency.first_token"].is_number(), !params.contains("false"), "{api} {params}");
        repository.relapse("run").expects(0);
    }
}

#[test]
fn azure_gets_its_version_and_its_own_header() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    repository.edit("relapse.yaml", "${LLM_URL}", "${LLM_URL}/openai/deployments/mini?api-version=2024-10-21");
    live(&repository, &server, "--mode record").expects(0);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/v1/openai/deployments/mini/chat/completions?api-version=2024-10-21");
    assert_eq!(asked.headers["api-key"], KEY);
    assert!(!asked.headers.contains_key("authorization"));
    repository.relapse("run").expects(0);
}

#[test]
fn parameters_are_sent_as_written_and_null_takes_a_default_out() {
    let params = "{stream_options: null, response_format: {type: json_schema, json_schema: {name: a, schema: {type: object}}}, seed: 7}";
    let (repository, server) = (project("openai", params), answering("Within 30 days."));
    live(&repository, &server, "--mode record").expects(0);
    let body = &server.asked()[0].body;
    assert_eq!((&body["seed"], &body["response_format"]["json_schema"]["name"]), (&json!(7), &json!("a")));
    assert!(body.get("stream_options").is_none());
}

#[test]
fn tools_are_answered_from_the_case_and_their_answers_go_back() {
    for api in ["openai", "openai-responses", "anthropic"] {
        let repository = tool_project("");
        repository.edit("relapse.yaml", "api: openai,", &format!("api: {api},"));
        let server = Server::start(|asked, _| match asked.text().contains("sent") {
            true => Say::text("It was sent.").to(asked),
            false => Say::tool("lookup", "{\"order\": 7}").to(asked),
        });
        live(&repository, &server, "--mode record").expects(0);
        assert_eq!(server.asked().len(), 2, "{api}");
        let signals = case(&repository)["signals"].clone();
        assert_eq!((&signals["calls.tool"], &signals["calls.unrecorded"]), (&json!(1), &json!(0)), "{api}");
        repository.relapse("run").expects(0);
    }
}

#[test]
fn a_refusal_and_a_filter_are_answers_that_are_judged() {
    let filter = Say { finish: "content_filter", ..Say::text("With") };
    for (say, outcome) in [(Say::refusal("I cannot help with that."), "refused"), (filter, "blocked")] {
        let repository = project("openai", "{}");
        let server = Server::start(move |asked, _| say.to(asked));
        live(&repository, &server, "--mode record").expects(1);
        assert_eq!((&case(&repository)["verdict"], &case(&repository)["signals"]["outcome"]), (&json!("regressed"), &json!(outcome)));
        repository.relapse("run").expects(1);
    }
    let repository = project("openai", "{}");
    let server = Server::start(|_, _| error(400, "content_filter", Vec::new()));
    live(&repository, &server, "--mode record").expects(3);
    assert_eq!(case(&repository)["signals"]["outcome"], "blocked");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_tool_call_cut_by_the_token_limit_is_judged_as_it_is() {
    let repository = tool_project("");
    let server = Server::start(|asked, _| Say { finish: "length", ..Say::tool("lookup", "{\"ord") }.to(asked));
    live(&repository, &server, "--mode record").expects(1);
    assert_eq!(case(&repository)["signals"]["outcome"], "truncated");
}

#[test]
fn a_conversation_that_never_ends_is_judged_as_one_without_an_answer() {
    let repository = tool_project("");
    repository.edit("relapse.yaml", "snapshot: off", "snapshot: off, max_turns: 3");
    let server = Server::start(|asked, _| Say::tool("lookup", "{\"order\": 7}").to(asked));
    live(&repository, &server, "--mode record").expects(1);
    let case = case(&repository);
    assert_eq!((server.asked().len(), &case["answer"], &case["signals"]["output.empty"]), (3, &json!(""), &json!(true)));
    assert!(case["notes"].to_string().contains("no final answer within 3 model calls"), "{case}");
}

// Tools that the case does not answer.

#[test]
fn an_unrecorded_tool_call_needs_a_recording_and_prints_the_line_to_paste() {
    let repository = tool_project("");
    let server = Server::start(|asked, _| Say::tool("lookup", "{\"order\": 8}").to(asked));
    let output = live(&repository, &server, "--mode record").expects(5);
    assert!(output.stdout.contains("- {\"name\":\"lookup\",\"arguments\":{\"order\":8},\"result\":\"…\"}"), "{output}");
    assert_eq!(case(&repository)["reason"], "needs-recording");
    assert_eq!(case(&repository)["signals"]["calls.unrecorded"], 1.0);
}

#[test]
fn a_tool_by_name_answers_whatever_the_arguments_are() {
    let repository = tool_project("tools: {lookup: {match: by-name}}\n");
    let server = Server::start(|asked, _| match asked.text().contains("sent") {
        true => Say::text("It was sent.").to(asked),
        false => Say::tool("lookup", "{\"order\": 7, \"verbose\": true}").to(asked),
    });
    live(&repository, &server, "--mode record").expects(0);
}

#[cfg(unix)]
#[test]
fn a_live_tool_is_run_once_and_its_answer_is_recorded() {
    let repository =
        tool_project("tools: {lookup: {command: [sh, -c, \"read line; echo \\\"$line sent\\\"; echo x >> calls; env > env\"]}}\n");
    let server = Server::start(|asked, _| match asked.text().contains("sent") {
        true => Say::text("It was sent.").to(asked),
        false => Say::tool("lookup", "{\"order\": 7, \"verbose\": true}").to(asked),
    });
    live(&repository, &server, "--mode record").expects(0);
    assert!(!repository.read("env").contains("LLM"), "a tool inherits no key");
    let asked = server.asked()[1].text();
    assert!(asked.contains("verbose") && asked.contains("sent"), "{asked}");
    live(&repository, &server, "--mode record").expects(0);
    repository.relapse("run").expects(0);
    assert_eq!((repository.read("calls").as_str(), server.asked().len()), ("x\n", 2));
}

// Recordings.

#[test]
fn an_unchanged_case_costs_nothing_and_its_recording_stays_byte_for_byte() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    live(&repository, &server, "--mode record").expects(0);
    let before = repository.tree();
    live(&repository, &server, "--mode record").expects(0);
    assert_eq!(server.asked().len(), 1);
    assert_eq!(before[RECORDING], repository.tree()[RECORDING]);
    assert_eq!(case(&repository)["live_requests"], 0);
}

#[test]
fn a_prompt_changed_by_one_word_goes_live_for_exactly_the_cases_whose_requests_changed() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    repository.write("prompts/short.md", "Answer briefly.");
    repository
        .write("relapse.yaml", repository.read("relapse.yaml") + "  brief: {model: local/m, prompt: prompts/short.md, snapshot: off}\n");
    live(&repository, &server, "--mode record").expects(0);
    repository.edit("prompts/v3.md", "no more", "no less");
    let output = repository.relapse("run").argument("--report").argument("json=out.json").expects(5);
    assert!(output.stdout.contains("a semantic change (prompt)") && output.stdout.contains("no [-more.-] {+less.+}"), "{output}");
    let reasons: BTreeMap<String, Value> = cases(&report(&repository), "reason");
    assert_eq!(reasons, BTreeMap::from([("bot".into(), json!("needs-recording")), ("brief".into(), Value::Null)]));
    live(&repository, &server, "--mode record").expects(0);
    let sent = server.asked();
    assert_eq!(sent.len(), 3);
    assert!(sent[2].text().contains("no less"));
    let requests = cases(&report(&repository), "live_requests");
    assert_eq!(requests, BTreeMap::from([("bot".into(), json!(1)), ("brief".into(), json!(0))]));
    assert_eq!(recording(&repository).len(), 2, "the stale line is gone");
    repository.relapse("run").expects(0);
}

fn cases(report: &Value, key: &str) -> BTreeMap<String, Value> {
    let cases = report["cases"].as_array().expect("cases").iter();
    cases.map(|case| (case["target"].as_str().expect("a target").to_string(), case[key].clone())).collect()
}

#[test]
fn a_recording_begins_with_its_header_and_keeps_no_header_that_tells_the_account() {
    let repository = project("openai", "{}");
    let server = Server::start(|asked, _| match Say::text("Within 30 days.").to(asked) {
        Reply::Whole(status, mut headers, body) => {
            headers.push(("openai-organization", "org-of-somebody".into()));
            headers.push(("set-cookie", "session=of-somebody".into()));
            Reply::Whole(status, headers, body)
        }
        other => other,
    });
    repository.edit("relapse.yaml", "params: {}", "params: {stream: false}");
    live(&repository, &server, "--mode record").expects(0);
    let lines = recording(&repository);
    assert_eq!(
        (&lines[0]["relapse_recording"], &lines[0]["case"], &lines[0]["model"]),
        (&json!(1), &json!("refund-window"), &json!("local/m"))
    );
    assert_eq!(lines[0]["date"].as_str().map(str::len), Some(10));
    assert!(!repository.read(RECORDING).contains("somebody") && !repository.read(RECORDING).contains("authorization"));
}

#[test]
fn trials_are_recorded_with_their_number_and_replayed() {
    let repository = project("openai", "{}");
    let server = Server::start(|asked, count| Say::text(if count == 2 { "Within 30 days, sir." } else { "Within 30 days." }).to(asked));
    live(&repository, &server, "--mode record --trials 3").expects(0);
    let trials: Vec<Value> = recording(&repository)[1..].iter().map(|line| line["trial"].clone()).collect();
    assert_eq!(trials, [Value::Null, json!(2), json!(3)]);
    live(&repository, &server, "--mode record").expects(0);
    repository.relapse("run").expects(0);
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn what_goes_live_is_tried_three_times_and_what_does_not_once() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    several(&repository, &server, "--mode record").expects(0);
    assert_eq!((server.asked().len(), &case(&repository)["tests"][0]["trials"]), (3, &json!({"n": 3, "held": 3})));
    several(&repository, &server, "--mode record").expects(0);
    assert_eq!((server.asked().len(), &case(&repository)["tests"][0]["trials"]), (3, &json!({"n": 3, "held": 3})));
    live(&repository, &server, "--mode refresh").expects(0);
    repository.edit("relapse.yaml", "params: {}", "params: {seed: 7}");
    several(&repository, &server, "--mode record").expects(0);
    assert_eq!((server.asked().len(), recording(&repository).len()), (7, 4));
}

#[test]
fn a_refresh_asks_for_everything_and_tells_what_became_different() {
    let repository = project("openai", "{}");
    let server = Server::start(|asked, count| Say::text(if count == 1 { "Within 30 days." } else { "Within 30 short days." }).to(asked));
    live(&repository, &server, "--mode record").expects(0);
    live(&repository, &server, "--mode refresh --trials 1").expects(1);
    assert_eq!(server.asked().len(), 2);
    assert_eq!(case(&repository)["notes"][0], "call 1: the same request got another answer: /text: Within 30 {+short +}days.");
    assert!(repository.read(RECORDING).contains("short"));
}

#[test]
fn in_ci_the_tree_stays_and_recordings_go_into_the_report_folder() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    let refused = live(&repository, &server, "--mode record").env("CI", "true").expects(2);
    assert!(refused.stderr.contains("--report-dir"), "{refused}");
    assert!(server.asked().is_empty());
    let before = repository.tree();
    live(&repository, &server, "--mode record --report-dir artifacts").env("CI", "true").expects(0);
    let mut after = repository.tree();
    after.retain(|path, _| !path.starts_with("artifacts/") && path != "out.json");
    assert_eq!(before, after);
    assert!(repository.read(&format!("artifacts/{RECORDING}")).contains("30 "));
    assert!(repository.read("artifacts/report.json").contains("\"passed\"") && repository.read("artifacts/junit.xml").contains("testcase"));
}

#[test]
fn a_recording_that_cannot_be_read_is_never_written_over() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    repository.write(RECORDING, "<<<<<<< ours\n");
    live(&repository, &server, "--mode record").expects(2);
    assert_eq!(repository.read(RECORDING), "<<<<<<< ours\n");
    assert!(server.asked().is_empty());
}

#[cfg(unix)]
#[test]
fn an_answer_that_cannot_be_written_is_judged_and_reported_all_the_same() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    let elsewhere = Repository::of("passed");
    let _ = std::fs::remove_dir(repository.path("cases/refund-window/recordings"));
    std::os::unix::fs::symlink(elsewhere.path("cases"), repository.path("cases/refund-window/recordings")).expect("a link");
    let output = live(&repository, &server, "--mode record").expects(74);
    assert!(output.stderr.contains("leaves the repository through a link"), "{output}");
    let case = case(&repository);
    assert_eq!((&case["verdict"], &case["answer"]), (&json!("passed"), &json!("Within 30 days.")));
    assert!(case["notes"].to_string().contains("its live answers were not recorded"), "{case}");
}

#[cfg(unix)]
#[test]
fn two_runs_that_record_do_not_mix_and_the_second_sends_nothing() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    let folder = std::fs::File::open(repository.path("")).expect("the folder");
    folder.lock().expect("nobody else has it");
    let refused = live(&repository, &server, "--mode record").expects(3);
    assert!(refused.stderr.contains("another relapse is recording into"), "{refused}");
    assert!(server.asked().is_empty());
    repository.relapse("run").expects(5);
    drop(folder);
    live(&repository, &server, "--mode record").expects(0);
}

// Faults.

/// Runs against a server that fails in one way; how often it was asked, and what the user reads.
fn fault(script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> (usize, Output) {
    let repository = project("openai", "{}");
    let server = Server::start(script);
    let output = live(&repository, &server, "--mode record").expects(3);
    assert_eq!((&case(&repository)["reason"], &case(&repository)["verdict"]), (&json!("infrastructure"), &json!("undecided")));
    assert!(!repository.path(RECORDING).exists(), "infrastructure is never recorded");
    (server.asked().len(), output)
}

/// A quick way to say that a failure is over: three tries without the time between them that backing off takes.
fn soon() -> Vec<(&'static str, String)> {
    vec![("retry-after-ms", "1".into())]
}

#[test]
fn a_key_or_a_quota_that_is_refused_is_tried_once() {
    for (status, code, words) in [
        (401, "invalid_api_key", "key was refused"),
        (403, "forbidden", "key was refused"),
        (429, "insufficient_quota", "quota is used up"),
        (404, "model_not_found", "answered 404 (model_not_found"),
    ] {
        let (asked, output) = fault(move |_, _| error(status, code, soon()));
        assert_eq!(asked, 1, "{code}");
        assert!(output.stdout.contains(words) && !output.stdout.contains(KEY), "{output}");
    }
}

#[test]
fn a_provider_that_is_overrun_is_given_its_time_and_then_answers() {
    let date = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        chrono::DateTime::from_timestamp(now as i64 + 1, 0).expect("a time").to_rfc2822()
    };
    for (status, headers) in [
        (429, vec![("retry-after-ms", "1".to_string())]),
        (429, vec![("retry-after", "0.001".to_string())]),
        (429, vec![("retry-after", date())]),
        (529, soon()),
        (503, soon()),
    ] {
        let repository = project("openai", "{}");
        let server = Server::start(move |asked, count| match count {
            1 | 2 => error(status, "busy", headers.clone()),
            _ => Say::text("Within 30 days.").to(asked),
        });
        live(&repository, &server, "--mode record").expects(0);
        assert_eq!((server.asked().len(), &case(&repository)["live_requests"]), (3, &json!(3)));
        assert_eq!(recording(&repository).len(), 2, "what failed is not recorded");
    }
}

#[test]
fn a_wait_beyond_the_longest_ends_it_at_once() {
    let (asked, output) = fault(|_, _| error(429, "rate_limit_exceeded", vec![("retry-after", "86400".into())]));
    assert_eq!(asked, 1);
    assert!(output.stdout.contains("86400 s") && output.stdout.contains("120 s"), "{output}");
}

#[test]
fn what_may_be_bad_luck_is_tried_twice_more() {
    let cut = || Reply::Cut(Say::text("Within 30 days.").chat_events()[..2].to_vec());
    let empty = || Reply::Stream(vec![(None, "[DONE]".into())]);
    let inside = || Reply::Whole(200, soon(), json!({"error": {"code": "server_error", "message": "oops"}}).to_string());
    let late = || Reply::Stream(vec![(None, json!({"error": {"code": "server_error", "message": "oops"}}).to_string())]);
    let none = || Reply::Whole(200, soon(), json!({"choices": []}).to_string());
    let page = || Reply::Whole(502, Vec::new(), "<html>bad gateway</html>".into());
    let threads: Vec<_> = [cut as fn() -> Reply, empty, inside, late, none, page, || Reply::Close]
        .into_iter()
        .map(|reply| std::thread::spawn(move || fault(move |_, _| reply()).0))
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("holds"), 3);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = answering("Within 30 days.");
    let location = elsewhere.url();
    let (asked, output) = fault(move |_, _| Reply::Whole(307, vec![("location", location.clone())], String::new()));
    assert_eq!((asked, elsewhere.asked().len()), (1, 0));
    assert!(output.stdout.contains("answered 307"), "{output}");
}

#[test]
fn an_outage_of_one_case_keeps_what_the_others_recorded() {
    let repository = project("openai", "{}");
    repository
        .write("relapse.yaml", repository.read("relapse.yaml") + "  down: {model: local/gone, prompt: prompts/v3.md, snapshot: off}\n");
    let server = Server::start(|asked, _| match asked.body["model"] == "gone" {
        true => error(401, "invalid_api_key", Vec::new()),
        false => Say::text("Within 30 days.").to(asked),
    });
    live(&repository, &server, "--mode record").expects(3);
    assert_eq!(recording(&repository).len(), 2);
    repository.relapse("run --target bot").expects(0);
}

// Keys and hosts.

#[test]
fn a_key_goes_nowhere_that_a_person_did_not_allow() {
    let server = answering("Within 30 days.");
    for (base_url, key, words) in [
        (server.url(), "LOCAL_LLM_KEY", "--allow-host 127.0.0.1"),
        ("https://evil.test/v1".into(), "OPENAI_API_KEY", "--allow-host evil.test"),
        ("http://169.254.169.254/v1".into(), "LOCAL_LLM_KEY", "--allow-host 169.254.169.254"),
        ("https://api.anthropic.com/v1".into(), "OPENAI_API_KEY", "OPENAI_API_KEY is not sent to api.anthropic.com"),
    ] {
        let repository = project("openai", "{}");
        repository.edit("relapse.yaml", "LOCAL_LLM_KEY", key);
        let run = repository.relapse("run --mode record").env("LLM_URL", &base_url).env(key, KEY);
        let output = run.expects(2);
        assert!(output.stderr.contains(words) && !output.stderr.contains(KEY), "{output}");
    }
    let repository = project("openai", "{}");
    repository.edit("relapse.yaml", "LOCAL_LLM_KEY", "OPENAI_API_KEY");
    live(&repository, &server, "--mode record").env("OPENAI_API_KEY", KEY).expects(2);
    assert!(server.asked().is_empty());
    let repository = project("openai", "{}");
    repository
        .relapse("run --mode record")
        .env("LLM_URL", &server.url())
        .env("LOCAL_LLM_KEY", KEY)
        .env("RELAPSE_ALLOW_HOSTS", "127.0.0.1")
        .expects(0);
}

#[test]
fn no_written_file_holds_the_key_in_any_form() {
    let repository = project("openai", "{}");
    let server = Server::start(|_, _| {
        let url = KEY.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D").replace('&', "%26");
        let base64 = base64::engine::general_purpose::STANDARD.encode(format!("Basic me:{KEY}"));
        let (one, other) = KEY.split_at(9);
        let say = Say { text: vec![format!("{KEY} {url} {base64} "), one.into(), other.into(), " 30 days".into()], ..Say::text("") };
        Reply::Stream(say.chat_events())
    });
    repository.edit("prompts/v3.md", "Be kind.", &format!("Be kind, {KEY}."));
    let output = live(&repository, &server, "--mode record --report junit=out.xml --report-dir artifacts --verbose").expects(0);
    assert!(repository.read(RECORDING).contains("[redacted:local-llm-key:1]"));
    repository.remove("prompts/v3.md");
    let encoded = base64::engine::general_purpose::STANDARD.encode(KEY);
    let forms = [KEY, "probe%2Bkey", "key%2Fwith", encoded.get(4..24).expect("long"), "key/with=odd", "odd&amp;bytes", "odd\\u0026bytes"];
    let files = repository.tree().into_iter().map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned()));
    for (path, text) in files.chain([("the terminal".to_string(), output.stdout)]) {
        for form in forms {
            assert!(!text.contains(form), "{path} holds {form}");
        }
        assert!(joined(&text).is_none_or(|text| !text.contains(KEY)), "{path} holds the key in pieces");
    }
}

/// The text of a recorded stream, its pieces put together.
fn joined(text: &str) -> Option<String> {
    let line: Value = serde_json::from_str(text.lines().nth(1)?).ok()?;
    let events = line["response"]["sse"].as_array()?.iter().filter_map(|event| serde_json::from_str::<Value>(event["data"].as_str()?).ok());
    Some(events.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_string)).collect())
}

#[test]
fn a_key_that_cannot_be_told_from_text_is_refused_before_anything_is_sent() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    let output = live(&repository, &server, "--mode record").env("LOCAL_LLM_KEY", "short").expects(2);
    assert!(output.stderr.contains("LOCAL_LLM_KEY") && server.asked().is_empty(), "{output}");
    live(&repository, &server, "--mode record").env("LOCAL_LLM_KEY", "").expects(2);
}

#[test]
fn a_replay_connects_to_nothing() {
    let (repository, server) = (project("openai", "{}"), answering("Within 30 days."));
    live(&repository, &server, "").expects(5);
    assert!(server.asked().is_empty());
}

// Budgets.

#[test]
fn a_budget_of_requests_is_never_exceeded_and_what_was_decided_stands() {
    let repository = project("openai", "{}");
    let targets: String =
        (0..8).map(|index| format!("  t{index}: {{model: local/m{index}, prompt: prompts/v3.md, snapshot: off}}\n")).collect();
    repository.write("relapse.yaml", repository.read("relapse.yaml") + &targets + "budget: {requests: 3}\n");
    let server = answering("Within 30 days.");
    live(&repository, &server, "--mode record").expects(3);
    let reasons: Vec<Value> = cases(&report(&repository), "reason").into_values().collect();
    assert_eq!(server.asked().len(), 3);
    assert_eq!(reasons.iter().filter(|reason| reason.is_null()).count(), 3);
    assert_eq!(reasons.iter().filter(|reason| **reason == json!("budget")).count(), 6);
}

#[test]
fn a_request_that_could_exceed_the_dollars_is_not_sent() {
    let repository = project("openai", "{max_tokens: 100}");
    repository.edit("relapse.yaml", "key: LOCAL_LLM_KEY", "key: LOCAL_LLM_KEY, price: {input: 10, output: 100}");
    let server = answering("Within 30 days.");
    let output = live(&repository, &server, "--mode record --budget-usd 0.005").expects(3);
    assert!(server.asked().is_empty() && output.stdout.contains("the budget of $0.01 has no room"), "{output}");
    live(&repository, &server, "--mode record --budget-usd 1").expects(0);
    // 1000 tokens in at $10 and 100 out at $100 a million.
    assert_eq!(case(&repository)["cost_usd"], 0.02);
    assert_eq!(case(&repository)["signals"]["cost.usd"], 0.02);
    repository.relapse("run --report json=out.json").expects(0);
    assert_eq!((&case(&repository)["cost_usd"], &case(&repository)["signals"]["cost.usd"]), (&json!(0.0), &json!(0.02)));
}

// Interrupts.

#[cfg(unix)]
#[test]
fn an_interrupt_still_reports_what_was_decided() {
    for (signal, exit) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)] {
        let repository = project("openai", "{}");
        repository
            .write("relapse.yaml", repository.read("relapse.yaml") + "  slow: {model: local/slow, prompt: prompts/v3.md, snapshot: off}\n");
        let (tell, told) = std::sync::mpsc::channel();
        let tell = std::sync::Mutex::new(tell);
        let server = Server::start(move |asked, _| match asked.body["model"] == "slow" {
            true => {
                let _ = tell.lock().expect("no test panicked in it").send(());
                Reply::Silence
            }
            false => Say::text("Within 30 days.").to(asked),
        });
        live(&repository, &server, "--mode record --target bot").expects(0);
        let mut run = live(&repository, &server, "--mode record").command;
        let mut child = run.stdout(std::process::Stdio::null()).spawn().expect("it starts");
        told.recv().expect("the slow case is under way");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).expect("it runs");
        assert_eq!(child.wait().expect("it ends").code(), Some(exit));
        let report = report(&repository);
        assert_eq!((&report["complete"], &report["exit"]), (&json!(false), &json!(exit)));
        assert_eq!(cases(&report, "verdict"), BTreeMap::from([("bot".into(), json!("passed"))]));
    }
}
