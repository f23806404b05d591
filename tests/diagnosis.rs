//! The built-in runbook, scored: on our own postmortems, and on the pairs of a folder that `RELAPSE_CAPTURES` names.

use relapse::contrast::Contrast;
use relapse::diagnosis::{Diagnosis, Standing};
use relapse::evidence::Evidence;
use relapse::mapping::Mapping;
use relapse::request::Request;
use relapse::runbook::{Loaded, Runbook};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn requests(telemetry: &Path, wire: Option<&Path>) -> Vec<Request> {
    let mut evidence = Evidence::default();
    evidence.take_traces(&fs::read(telemetry).expect("telemetry"), "telemetry").expect("OTLP");
    if let Some(wire) = wire {
        evidence.take_wire(&fs::read_to_string(wire).expect("a wire"), "wire").expect("exchanges");
    }
    evidence.requests(&Mapping::with_aliases(&BTreeMap::new()).expect("no aliases"))
}

/// What is known of a captured scenario: class and the hypotheses of which one must come first.
type Truth = (&'static str, &'static str, &'static [&'static str]);

/// What really happened, by the scenario's name; one that is not here is no incident of any class.
const TRUTHS: &[Truth] = &[
    ("context_overflow", "context-integrity", &["window-exceeded"]),
    ("latency_spike", "latency", &["model-slow"]),
    ("length_cutoff", "output-contract", &["cut-at-limit"]),
    ("missing_telemetry", "context-integrity", &["telemetry-lost"]),
    ("model_drift", "model-change", &["served-model-changed"]),
    ("no_usage", "context-integrity", &["telemetry-lost"]),
    ("policy_block", "policy", &["blocked-by-filter"]),
    ("policy_block_400", "policy", &["blocked-by-filter"]),
    ("prompt_regression", "prompt", &["instructions-removed"]),
    ("refusal", "policy", &["model-refused"]),
    ("retrieval_empty", "retrieval", &["retrieval-empty"]),
    ("retry_429_exhausted", "latency", &["retries"]),
    ("retry_429_recovered", "latency", &["retries"]),
    ("server_5xx_recovered", "latency", &["retries"]),
    ("soft_refusal", "policy", &["model-refused"]),
    ("stream_closed_early", "output-contract", &["stream-broken"]),
    ("stream_error_event", "output-contract", &["stream-broken"]),
    ("stream_reset", "output-contract", &["stream-broken"]),
    ("timeout", "latency", &["no-answer-in-time"]),
    ("token_explosion", "tokens", &["retrieved-grew", "tool-results-grew"]),
    ("tool_bad_args", "tools", &["arguments-invalid"]),
    ("tool_exception", "tools", &["tool-failed"]),
    ("tool_loop", "tools", &["repeated-calls"]),
    ("tool_unknown", "tools", &["unknown-tool"]),
    ("tool_wrong", "tools", &["wrong-tool"]),
];

/// What a diagnosis is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Score {
    /// Class and first hypothesis are right.
    Right,
    /// It says that it cannot tell.
    Modest,
    /// It is sure, and wrong.
    Wrong,
}

fn score(diagnosis: &Diagnosis, truth: Option<&Truth>) -> Score {
    let sure = diagnosis.standing == Standing::Supported;
    let first = diagnosis.first().map(|first| first.hypothesis.as_str()).unwrap_or_default();
    match truth {
        Some((_, class, hypotheses)) if sure && diagnosis.class.as_deref() == Some(class) && hypotheses.contains(&first) => Score::Right,
        None if !sure => Score::Right,
        _ if !sure => Score::Modest,
        _ => Score::Wrong,
    }
}

/// Every pair of a folder's subfolders: instrumentation, scenario, healthy file, incident file.
fn pairs(folder: &Path) -> Vec<(String, String, PathBuf, PathBuf)> {
    let mut pairs = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    for variant in folders.into_iter().filter(|path| path.join("healthy.jsonl").is_file()) {
        let mut files: Vec<PathBuf> = fs::read_dir(&variant).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(scenario) = name.strip_suffix(".truth.json").filter(|scenario| *scenario != "healthy") else { continue };
            let instrumentation = variant.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let incident = variant.join(format!("{scenario}.jsonl"));
            if incident.is_file() {
                pairs.push((instrumentation, scenario.to_string(), variant.join("healthy.jsonl"), incident));
            }
        }
    }
    pairs
}

/// The folder of captures: ours, or one that a person names.
fn folder() -> PathBuf {
    std::env::var_os("RELAPSE_CAPTURES").map_or_else(|| PathBuf::from("tests/captures"), PathBuf::from)
}

fn diagnose(runbook: &Runbook, (healthy, incident): (&Path, &Path), with_wire: bool) -> Diagnosis {
    let wire = |file: &Path| PathBuf::from(file.to_string_lossy().replace(".jsonl", ".http.jsonl"));
    let read = |file: &Path| requests(file, with_wire.then(|| wire(file)).as_deref());
    let (base, now) = (read(healthy), read(incident));
    runbook.diagnose_first(&base, &now).expect("a request and a baseline")
}

#[test]
fn our_own_postmortems_are_diagnosed_as_their_authors_classed_them() {
    let runbook = Loaded::BuiltIn;
    let mut seen = 0;
    for entry in fs::read_dir("postmortems").expect("there").flatten() {
        let page = entry.path();
        let Some(id) = page.to_string_lossy().strip_suffix(".md").map(str::to_string) else { continue };
        let text = fs::read_to_string(&page).expect("a page");
        let class = text.lines().find_map(|line| line.strip_prefix("class: ")).expect("a class").trim();
        let wire = |name: &str| Path::new(&id).join(format!("{name}.http.jsonl"));
        let read = |name: &str| requests(&Path::new(&id).join(format!("{name}.otlp.jsonl")), Some(&wire(name)));
        let (base, now) = (read("healthy"), read("incident"));
        let diagnosis = runbook.diagnose(&Contrast::new(&base, &now[0]).expect("a baseline"), None);
        assert_eq!(diagnosis.class.as_deref(), Some(class), "{id}: {diagnosis:#?}");
        assert_eq!(diagnosis.standing, Standing::Supported, "{id}: {}", diagnosis.look_first);
        seen += 1;
    }
    assert!(seen >= 6, "{seen} postmortems");
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is the point")]
fn captured_pairs_are_diagnosed_rightly_with_the_wire_and_never_wrongly_without() {
    let runbook = Loaded::BuiltIn;
    let folder = folder();
    let mut table = String::new();
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (instrumentation, scenario, healthy, incident) in pairs(&folder) {
        let truth = TRUTHS.iter().find(|(name, ..)| *name == scenario);
        for with_wire in [true, false] {
            let diagnosis = diagnose(&runbook, (&healthy, &incident), with_wire);
            let score = score(&diagnosis, truth);
            let word = match score {
                Score::Right => "right",
                Score::Modest => "modest",
                Score::Wrong => "WRONG",
            };
            *counts.entry((with_wire, word)).or_default() += 1;
            let first = diagnosis.first().map_or("-", |first| first.hypothesis.as_str());
            let class = diagnosis.class.as_deref().unwrap_or("-");
            let wire = if with_wire { "wire" } else { "no wire" };
            let line = format!("{word:<6} {wire:<7} {instrumentation:<24} {scenario:<20} {class}/{first} ({})", diagnosis.standing.word());
            if score == Score::Wrong {
                wrong.push(format!("{line}: {}", diagnosis.look_first));
            }
            let _ = writeln!(table, "{line}");
        }
    }
    println!("{table}{counts:?}");
    let of = |with_wire: bool, word: &'static str| counts.get(&(with_wire, word)).copied().unwrap_or(0) as f64;
    let all = |with_wire: bool| ["right", "modest", "WRONG"].iter().map(|word| of(with_wire, word)).sum::<f64>();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all(true) >= 6.0 && of(true, "right") >= 0.95 * all(true), "{counts:?}");
}

#[test]
fn a_request_held_against_itself_supports_no_cause() {
    for (instrumentation, scenario, healthy, incident) in pairs(&folder()) {
        for (file, with_wire) in [(&healthy, true), (&healthy, false), (&incident, true), (&incident, false)] {
            let diagnosis = diagnose(&Loaded::BuiltIn, (file, file), with_wire);
            assert!(!diagnosis.standing.is_for(), "{instrumentation} {scenario}, wire {with_wire}: {}", diagnosis.look_first);
        }
    }
}

#[test]
fn a_baseline_that_failed_is_told_as_the_wrong_way_round() {
    let (healthy, incident) = ("tests/captures/ai-sdk5/healthy.jsonl", "tests/captures/ai-sdk5/stream_reset.jsonl");
    let diagnosis = diagnose(&Loaded::BuiltIn, (Path::new(incident), Path::new(healthy)), true);
    assert!(diagnosis.class.is_none() && diagnosis.look_first.contains("the other way round"), "{}", diagnosis.look_first);
}

#[test]
fn of_two_faults_at_once_one_that_is_there_comes_first() {
    let read = |file: &str| fs::read_to_string(format!("tests/captures/openai-genai/{file}")).expect("a capture");
    let drifted = |file: &str| read(file).replace("gpt-4o-mini-2024-07-18", "gpt-4o-mini-2026-01-01");
    let requests = |traces: String, wire: String| {
        let mut evidence = Evidence::default();
        evidence.take_traces(traces.as_bytes(), "telemetry").expect("OTLP");
        evidence.take_wire(&wire, "wire").expect("exchanges");
        evidence.requests(&Mapping::with_aliases(&BTreeMap::new()).expect("no aliases"))
    };
    let base = requests(read("healthy.jsonl"), read("healthy.http.jsonl"));
    let now = requests(drifted("refusal.jsonl"), drifted("refusal.http.jsonl"));
    let diagnosis = Loaded::BuiltIn.diagnose_first(&base, &now).expect("a pair");
    let first = diagnosis.first().map(|first| first.hypothesis.as_str());
    assert_eq!((diagnosis.class.as_deref(), first), (Some("policy"), Some("model-changed")), "{}", diagnosis.look_first);
    assert!(diagnosis.hypotheses.iter().all(|judged| judged.hypothesis != "model-refused" || !judged.standing.is_for()));
}
