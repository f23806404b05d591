//! Tests of `runbook`.

use super::*;

fn built_in() -> Runbook {
    Runbook::parse(Utf8Path::new("src/runbook/runbook.yaml"), BUILT_IN).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

#[test]
fn the_built_in_runbook_is_sound_and_knows_the_ten_classes() {
    let runbook = built_in();
    let mut names: Vec<&str> = runbook.class_names().collect();
    names.sort_unstable();
    let expected = [
        "context-integrity",
        "hallucination",
        "latency",
        "model-change",
        "output-contract",
        "policy",
        "prompt",
        "retrieval",
        "tokens",
        "tools",
    ];
    assert_eq!(names, expected);
}

#[test]
fn whoever_blames_the_model_comes_last() {
    for class in built_in().classes {
        let first = class.hypotheses.iter().position(|hypothesis| hypothesis.blames_model);
        assert!(first.is_none_or(|first| first + 1 == class.hypotheses.len()), "{}", class.name.value);
    }
}

#[test]
fn all_mistakes_of_a_runbook_come_at_once_with_their_places() {
    let text = "version: 1\nstages: [{name: a}]\nsignals: [{name: latency.totl, warn: 2x}, {name: tokens.input, warn: much}, {name: cost.usd, warn: 3x, page: 2x}]\nclasses:\n  latency:\n    entres: \"now.latency.total > 1\"\n    hypotheses:\n      - {id: a, needs: [retries.cuont], supports: change.share.retires > 0.5, refutes: \"healthy.tokens.input > 1\", next: x, share: change.share.retreis}\n      - {id: b, supports: change.prompt, refutes: not change.prompt, next: y, swap: promt}\n";
    let faults = Runbook::parse(Utf8Path::new("runbook.yaml"), text).unwrap_err();
    let told: Vec<String> = faults.iter().map(|fault| format!("{fault} [{}]", fault.help.as_deref().unwrap_or_default())).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    runbook.yaml:2:10: a stage needs `kind` or `span` [write `{name: rerank, span: "*rerank*"}`]
    runbook.yaml:3:18: unknown signal `latency.totl` [did you mean `latency.total`?]
    runbook.yaml:3:70: expected `1.3x` the baseline, `+0.02` above it, or a number, found the text `much` []
    runbook.yaml:3:110: `page` is nearer than `warn`, which would never be told [let `page` be further out]
    runbook.yaml:6:5: unknown key `entres` [did you mean `enters`?]
    runbook.yaml:8:25: unknown field `retries.cuont` [did you mean `retries.count`?]
    runbook.yaml:8:57: unknown name `change.share.retires` [did you mean `change.share.retries`?]
    runbook.yaml:8:96: `healthy.` has no meaning here []
    runbook.yaml:8:132: unknown measure `change.share.retreis` [did you mean `share.retries`?]
    runbook.yaml:9:85: expected one of prompt, documents, policy, model, params, tools, faults; found `promt` [did you mean `prompt`?]
    "#);
}
