//! What a postmortem claims would have caught the incident: tests, missing fields and late signals.

use super::check_name;
use crate::fault::{Fault, Faults, suggest};
use crate::field::{self, On};
use crate::gate::Gate;
use crate::yaml::{Map, Node, Once, Spanned, Yaml, quote};
use std::time::Duration;

/// A test that would have caught the incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its name, one of a kind in the postmortem.
    pub name: Spanned<String>,
    /// What must hold: an expression or a map, not yet compiled.
    pub expect: Node,
    /// How many trials must hold.
    pub gate: Gate,
    /// How many trials there are, if the author says so.
    pub trials: Option<u32>,
    /// Whether measured time may gate.
    pub measured: bool,
}

/// A signal that arrived late.
#[derive(Debug, Clone, PartialEq)]
pub struct LateSignal {
    /// Its name, one of a kind in the postmortem.
    pub name: Spanned<String>,
    /// The expression that is true for a bad request, not yet compiled.
    pub rule: Spanned<String>,
    /// The share of requests, above 0 and at most 1, for which the rule must be true to fire; none means any.
    pub share: Option<f64>,
    /// The window over which the share is taken.
    pub over: Option<Duration>,
    /// How soon after onset it must fire.
    pub within: Option<Duration>,
    /// How many requests a window needs.
    pub min: Option<u32>,
}

/// A field that the telemetry lacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingField {
    /// The canonical name; one of [`field::ALL`].
    pub field: Spanned<String>,
    /// Where it must be.
    pub on: On,
}

pub(super) fn tests(page: Map<'_>, is_withdrawn: bool, faults: &mut Faults) -> Vec<Test> {
    let claims = ["tests", "fields_missing", "signals_late"];
    let is_empty = |node: &Node| node.is_null() || matches!(&node.value, Yaml::List(items) if items.is_empty());
    if !is_withdrawn && claims.iter().all(|name| page.get(name).is_none_or(is_empty) && !page.misspells(name)) {
        let fault = Fault::new("no case in this file: it has no `tests`, `fields_missing` or `signals_late`").at(page.place.clone());
        faults.push(fault.help("say what would have caught the incident, as in `tests: [{name: short, expect: \"output.words <= 200\"}]`"));
    }
    let nodes = page.get("tests").and_then(|node| node.as_list(faults)).unwrap_or_default();
    let tests: Vec<Test> = nodes.iter().filter_map(|node| test(node, faults)).collect();
    unique(tests.iter().map(|test| &test.name), faults);
    tests
}

fn test(node: &Node, faults: &mut Faults) -> Option<Test> {
    let map = node.as_map(&["name", "expect", "gate", "trials", "measured"], faults)?;
    let name = name(map, faults);
    let expect = map.require("expect", faults).and_then(|node| expectation(node, faults));
    let gate = map.get("gate").and_then(|node| gate(node, faults)).unwrap_or_default();
    let trials = map.get("trials").and_then(|node| node.as_whole(1, 1000, faults));
    let measured = map.get("measured").and_then(|node| node.as_flag(faults)).unwrap_or_default();
    if let Some(node) = map.get("trials").filter(|_| measured && trials.is_some_and(|trials| trials < 3)) {
        faults
            .push(node.fault("`measured: true` needs at least 3 trials: one time says little").help("write `trials: 3`, or leave it out"));
    }
    Some(Test { name: name?, expect: expect?, gate, trials, measured })
}

fn expectation(node: &Node, faults: &mut Faults) -> Option<Node> {
    if matches!(node.value, Yaml::Map(_)) {
        return Some(node.clone());
    }
    let is_expression = node.scalar().is_some_and(|text| !text.trim().is_empty());
    if !is_expression {
        faults.push(
            node.unexpected("an expression or a map of checks")
                .help("write `expect: \"tokens.input <= 4000\"` or `expect: {contains: refund}`"),
        );
    }
    is_expression.then(|| node.clone())
}

fn gate(node: &Node, faults: &mut Faults) -> Option<Gate> {
    if node.scalar() == Some("every") {
        return Some(Gate::Every);
    }
    if !matches!(node.value, Yaml::Map(_)) {
        faults.push(node.unexpected("`every` or `{rate: 0.95}`"));
        return None;
    }
    let node = node.as_map(&["rate"], faults)?.require("rate", faults)?;
    let rate = node.as_number(faults)?;
    if rate <= 0.0 || rate >= 1.0 {
        faults.push(node.fault(format!("a rate lies above 0 and below 1, found {rate}")).help("write `gate: every` for 1"));
        return None;
    }
    Some(Gate::Rate(rate))
}

pub(super) fn signals(node: Option<&Node>, faults: &mut Faults) -> Vec<LateSignal> {
    let nodes = node.and_then(|node| node.as_list(faults)).unwrap_or_default();
    let signals: Vec<LateSignal> = nodes.iter().filter_map(|node| signal(node, faults)).collect();
    unique(signals.iter().map(|signal| &signal.name), faults);
    signals
}

fn signal(node: &Node, faults: &mut Faults) -> Option<LateSignal> {
    let map = node.as_map(&["name", "rule", "share", "over", "within", "min"], faults)?;
    let name = name(map, faults);
    let rule = map.require("rule", faults).and_then(|node| node.as_spanned(faults));
    let share = map.get("share").and_then(|node| share(node, faults));
    let over = map.get("over").and_then(|node| node.as_duration(faults));
    if map.get("share").is_some() && map.get("over").is_none() {
        faults.push(Fault::new("`share` needs a window").at(map.place.clone()).help("add `over: 15m`"));
    }
    let within = map.get("within").and_then(|node| node.as_duration(faults));
    let min = map.get("min").and_then(|node| node.as_whole(1, u32::MAX, faults));
    Some(LateSignal { name: name?, rule: rule?, share, over, within, min })
}

fn share(node: &Node, faults: &mut Faults) -> Option<f64> {
    let share = node.as_number(faults)?;
    if share <= 0.0 || share > 1.0 {
        faults.push(node.fault(format!("a share lies above 0 and is at most 1, found {share}")).help("write 0.1 for 10 %"));
        return None;
    }
    Some(share)
}

pub(super) fn fields(node: Option<&Node>, faults: &mut Faults) -> Vec<MissingField> {
    let (mut fields, mut once) = (Vec::new(), Once::default());
    for node in node.and_then(|node| node.as_list(faults)).unwrap_or_default() {
        let Some(field) = missing_field(node, faults) else { continue };
        let name = if field.on == On::Any { field.field.value.clone() } else { format!("{} on {}", field.field.value, field.on) };
        if once.is_first(&name, &field.field.place, faults) {
            fields.push(field);
        }
    }
    fields
}

fn missing_field(node: &Node, faults: &mut Faults) -> Option<MissingField> {
    if !matches!(node.value, Yaml::Map(_)) {
        return field_name(node, faults).map(|field| MissingField { field, on: On::Any });
    }
    let map = node.as_map(&["field", "on"], faults)?;
    let field = map.require("field", faults).and_then(|node| field_name(node, faults));
    let on = map.get("on").map_or(Some(On::Any), |node| node.as_choice(&On::ALL, faults));
    Some(MissingField { field: field?, on: on? })
}

/// A text that names a field; used wherever a person names one.
pub(crate) fn field_name(node: &Node, faults: &mut Faults) -> Option<Spanned<String>> {
    let name = node.as_spanned(faults)?;
    if field::definition(&name.value).is_none() {
        let known = field::ALL.iter().map(|definition| definition.name);
        faults.push(node.fault(format!("unknown field {}", quote(&name.value))).help(suggest(&name.value, known)));
        return None;
    }
    Some(name)
}

fn name(map: Map<'_>, faults: &mut Faults) -> Option<Spanned<String>> {
    let name = map.require("name", faults)?.as_spanned(faults)?;
    let checked = check_name(&name.value).map_err(|fault| fault.at(name.place.clone()));
    faults.take(checked).map(|()| name)
}

fn unique<'a>(names: impl Iterator<Item = &'a Spanned<String>>, faults: &mut Faults) {
    let mut once = Once::default();
    for name in names {
        once.is_first(&name.value, &name.place, faults);
    }
}
