//! How long the diagnosis of one pair takes, a healthy request and an incident with the wire: of requests that are read
//! already, and from their files.

use divan::Bencher;
use relapse::evidence::Evidence;
use relapse::mapping::Mapping;
use relapse::request::Request;
use relapse::runbook::Loaded;
use std::collections::BTreeMap;
use std::fs;

fn main() {
    divan::main();
}

/// Captured pairs: the instrumentation and the incident's scenario.
const PAIRS: [&str; 2] = ["pydantic-ai/retry_429_recovered", "openai-genai/refusal"];

fn read(name: &str, mapping: &Mapping) -> Vec<Request> {
    let mut evidence = Evidence::default();
    let file = |ending: &str| format!("tests/captures/{name}{ending}");
    evidence.take_traces(&fs::read(file(".jsonl")).expect("telemetry"), name).expect("OTLP");
    evidence.take_wire(&fs::read_to_string(file(".http.jsonl")).expect("a wire"), name).expect("exchanges");
    evidence.requests(mapping)
}

fn pair(incident: &str, mapping: &Mapping) -> (Vec<Request>, Vec<Request>) {
    let (instrumentation, _) = incident.split_once('/').expect("an instrumentation");
    (read(&format!("{instrumentation}/healthy"), mapping), read(incident, mapping))
}

fn mapping() -> Mapping {
    Mapping::with_aliases(&BTreeMap::new()).expect("no aliases")
}

#[divan::bench(args = PAIRS)]
fn of_requests(bencher: Bencher<'_, '_>, incident: &str) {
    let (base, now) = pair(incident, &mapping());
    let runbook = Loaded::BuiltIn;
    bencher.bench_local(|| runbook.diagnose_first(&base, &now));
}

#[divan::bench(args = PAIRS)]
fn from_files(bencher: Bencher<'_, '_>, incident: &str) {
    let (mapping, runbook) = (mapping(), Loaded::BuiltIn);
    bencher.bench_local(|| {
        let (base, now) = pair(incident, &mapping);
        runbook.diagnose_first(&base, &now)
    });
}
