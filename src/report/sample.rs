//! Summaries for the tests of every report.

use crate::fault::Place;
use crate::signal::{Datum, Signals};
use crate::verdict::{CaseReport, Change, Contradiction, Doubt, FieldReport, Regression, Summary, TestReport, Verdict};
use std::collections::BTreeMap;

/// One case of every verdict, and one of each kind that does not count.
pub(super) fn summary() -> Summary {
    let cases = vec![refund(), timeout(), order(), summary_length(), greeting(), refused(), muted(), tone(), flaky()];
    let note = "recordings of 2026-03-02 with gpt-4o-mini-2024-07-18".to_string();
    Summary::of(cases, false, vec![note])
}

/// Base and head of a prompt on a dozen cases, two of which fail newly.
pub(super) fn comparison() -> Summary {
    let on = |target: &str, failing: usize, tokens: f64| {
        let case = move |index: usize| {
            let verdict = if index < failing { Verdict::Regressed(Regression::Test) } else { Verdict::Passed };
            let mut report = CaseReport { target: String::new(), ..case(&format!("case-{index:02}"), "A title", verdict) };
            report.signals.set("tokens.input", Datum::Number(tokens + index as f64));
            report.signals.set("cost.usd", Datum::Number(0.001));
            report
        };
        let target = target.to_string();
        (0..12).map(case).map(move |report| CaseReport { target: target.clone(), ..report }).collect::<Vec<_>>()
    };
    let cases = [on("base", 0, 100.0), on("head", 2, 120.0)].concat();
    Summary::of(cases, false, Vec::new()).compared(&["base", "head"])
}

/// The suite's own mutation test, which one case survives.
pub(super) fn proof() -> Summary {
    let mut survivor = tone();
    survivor.next = Some("relapse compile tone-of-refusal".to_string());
    Summary::of(vec![refund(), survivor], true, Vec::new())
}

/// One text wherever recorded text can be.
pub(super) fn hostile(text: &str) -> Summary {
    let mut case = case(text, text, Verdict::Regressed(Regression::Test));
    case.postmortem = Place::at(text, 3, 0);
    case.target = text.to_string();
    let mut failing = test(text, text, text);
    failing.values = BTreeMap::from([(text.to_string(), Datum::Text(text.to_string()))]);
    failing.why = Some(text.to_string());
    case.tests = vec![failing, TestReport { applicable: false, ..test(text, text, text) }];
    case.fields = vec![field(text, text), FieldReport { waived: Some(text.to_string()), ..field(text, text) }];
    case.contradictions = vec![Contradiction { field: text.to_string(), told: text.into(), wire: serde_json::json!({ text: [text] }) }];
    case.signals.set("score.x", Datum::Text(text.to_string()));
    case.answer = Some(text.to_string());
    case.detail = Some(text.to_string());
    case.diagnosis = Some(super::diagnosis::sample::hostile(text));
    case.notes = vec![text.to_string()];
    case.next = Some(text.to_string());
    let aside = CaseReport { id: format!("~{text}"), gates: false, status: "open".to_string(), ..case.clone() };
    Summary {
        outcome: crate::verdict::Outcome::Regressed,
        cases: vec![case, aside],
        prove: false,
        comparisons: Vec::new(),
        stories: std::collections::BTreeMap::new(),
        part: None,
        notes: vec![text.to_string()],
    }
}

fn case(id: &str, title: &str, verdict: Verdict) -> CaseReport {
    CaseReport {
        id: id.to_string(),
        target: "support-bot".to_string(),
        title: title.to_string(),
        class: "prompt".to_string(),
        status: "active".to_string(),
        verdict,
        gates: true,
        postmortem: Place::at(format!("postmortems/{id}.md"), 22, 0),
        tests: Vec::new(),
        fields: Vec::new(),
        contradictions: Vec::new(),
        signals: Signals::new(),
        answer: None,
        diagnosis: None,
        detail: None,
        notes: Vec::new(),
        next: None,
        snapshot: None,
        waterfall: crate::verdict::Waterfall::default(),
        cost_usd: 0.0,
        live_requests: 0,
    }
}

fn test(name: &str, expected: &str, actual: &str) -> TestReport {
    TestReport {
        name: name.to_string(),
        held: Some(false),
        applicable: true,
        expected: expected.to_string(),
        actual: actual.to_string(),
        values: BTreeMap::new(),
        line: 22,
        trials: 1,
        trials_held: 0,
        trials_undecided: 0,
        suspect: false,
        bounds: None,
        why: None,
    }
}

fn holding(name: &str, expected: &str, actual: &str) -> TestReport {
    TestReport { held: Some(true), trials_held: 1, ..test(name, expected, actual) }
}

fn field(field: &str, message: &str) -> FieldReport {
    FieldReport {
        field: field.to_string(),
        on: "every model call".to_string(),
        state: "absent".to_string(),
        held: Some(false),
        message: message.to_string(),
        line: Some(12),
        waived: None,
    }
}

fn refund() -> CaseReport {
    let mut case = case("refund-window-invented", "The bot promised a 90-day refund window", Verdict::Regressed(Regression::Test));
    let answer = "You can return the jacket within 90 days of purchase, no questions asked.\nShall I start the return for you?";
    let cites = TestReport {
        line: 27,
        values: BTreeMap::from([
            ("healthy.retrieval.documents".to_string(), Datum::Number(3.0)),
            ("retrieval.documents".to_string(), Datum::Number(0.0)),
            ("retrieval.top_score".to_string(), Datum::Unknown),
        ]),
        ..test("retrieval finds the policy", "retrieval.documents >= healthy.retrieval.documents", "0 >= 3")
    };
    let retries = TestReport { held: None, applicable: false, trials: 0, ..test("retries stay low", "retries.count <= 1", "") };
    case.tests = vec![
        test("the answer names the 30-day window", "contains \"30 days\"", answer),
        cites,
        holding("the answer is short", "output.words < 200", "18"),
        retries,
    ];
    case.answer = Some(answer.to_string());
    case.signals.set("retrieval.documents", Datum::Number(0.0));
    case.signals.set("cost.usd", Datum::Number(0.00042));
    case.next = Some("relapse diagnose refund-window-invented --target support-bot".to_string());
    case
}

fn timeout() -> CaseReport {
    let mut case =
        case("silent-timeout", "Timeouts were retried 9 times and nobody saw it", Verdict::Regressed(Regression::MissingTelemetry));
    case.target = "support-app".to_string();
    let message = "looked for gen_ai.request.retries, http.request.resend_count; add app.retries to the span of each model call";
    let waived = FieldReport {
        field: "session.id".to_string(),
        on: "any".to_string(),
        line: None,
        waived: Some("single-turn service".to_string()),
        ..field("", "looked for session.id")
    };
    case.fields = vec![field("retries.count", message), FieldReport { line: None, ..field("outcome", "looked for app.outcome") }, waived];
    case.contradictions = vec![Contradiction { field: "usage.output_tokens".to_string(), told: 1.into(), wire: 212.into() }];
    case.next = Some("relapse trace silent-timeout --target support-app".to_string());
    case
}

fn order() -> CaseReport {
    let mut case = case("order-lookup-loop", "The agent looked up one order 14 times", Verdict::Undecided(Doubt::NeedsRecording));
    case.detail = Some("the request of turn 1 was not recorded; nearest recording, line 3:\n  - You are a support agent.\n  + You are a friendly support agent.".to_string());
    let why = "no answer was recorded for this prompt";
    case.tests =
        vec![TestReport { held: None, why: Some(why.to_string()), trials: 0, ..test("one lookup is enough", "calls.repeated == 0", "") }];
    case.next = Some("relapse run order-lookup-loop --mode record".to_string());
    case
}

fn greeting() -> CaseReport {
    let mut case = case("greeting-in-german", "German customers were greeted in English", Verdict::Changed(Change::Different));
    case.tests = vec![holding("the answer is German", "matches (?i)guten", "Guten Tag!")];
    case.notes = vec!["accepted.* is the healthy trace's until the first accept".to_string()];
    case.next = Some("relapse review greeting-in-german".to_string());
    case
}

fn summary_length() -> CaseReport {
    let mut case = case("summary-cut-off", "Summaries ended in the middle of a sentence", Verdict::Undecided(Doubt::Infrastructure));
    case.detail = Some("the application ended with status 3 before it answered; its last line: ValueError: no OPENAI_API_KEY".to_string());
    case.live_requests = 2;
    case.cost_usd = 0.0011;
    case
}

fn refused() -> CaseReport {
    let mut case = case("medical-refusal", "Harmless questions about aspirin were refused", Verdict::Regressed(Regression::Test));
    case.status = "open".to_string();
    case.gates = false;
    case.tests = vec![test("the question is answered", "not output.refused", "refused")];
    case
}

fn muted() -> CaseReport {
    let mut case = case("price-in-dollars", "Prices were given in dollars", Verdict::Undecided(Doubt::Judge));
    case.status = "muted".to_string();
    case.gates = false;
    case
}

fn tone() -> CaseReport {
    let mut case = case("tone-of-refusal", "Refusals sounded rude", Verdict::Passed);
    case.tests = vec![holding("no blame", "not_contains \"your fault\"", "I cannot help with that.")];
    case.notes = vec!["a test about latency is measured and does not gate".to_string()];
    case
}

fn flaky() -> CaseReport {
    let mut case = case("citation-missing", "Answers came without sources", Verdict::Passed);
    let bounds = "rate 0.95 against 0.70: evidence -2.48, holds at -2.30, fails at 6.58, at most 30 trials".to_string();
    case.tests = vec![TestReport {
        trials: 14,
        trials_held: 13,
        bounds: Some(bounds),
        ..holding("cites-a-document", "cites documents", "cites none")
    }];
    case
}
