//! A runbook as a person writes it, read and checked.

use super::{Blame, Class, Doctrine, Hypothesis, Runbook, Stage, Watch};
use crate::change;
use crate::diagnosis::Factor;
use crate::expression::{Expression, Vocabulary};
use crate::fault::{Fault, Faults, suggest};
use crate::postmortem::{check_name, field_name};
use crate::yaml::{Key, Node, Once, Spanned, quote};

const KEYS: [&str; 5] = ["version", "stages", "signals", "classes", "doctrine"];
const HYPOTHESIS_KEYS: [&str; 8] = ["id", "needs", "supports", "refutes", "share", "next", "swap", "blames"];
const BLAMES: [(&str, Blame); 2] = [("all-prior-refuted", Blame::AllPriorRefuted), ("none-prior-supported", Blame::NonePriorSupported)];

pub(super) fn runbook(node: &Node) -> Result<Runbook, Faults> {
    let mut faults = Faults::new();
    let read = read(node, &mut faults);
    let empty = Runbook { stages: Vec::new(), signals: Vec::new(), classes: Vec::new(), doctrine: Doctrine::default() };
    faults.into_result(read.unwrap_or(empty))
}

fn read(node: &Node, faults: &mut Faults) -> Option<Runbook> {
    let map = node.as_map(&KEYS, faults)?;
    if let Some(version) = map.require("version", faults) {
        version.as_whole(1, 1, faults);
    }
    let items = |name: &str, faults: &mut Faults| map.get(name).and_then(|node| node.as_list(faults)).unwrap_or_default();
    let stages = items("stages", faults).iter().filter_map(|node| Stage::read(node, faults)).collect();
    let signals = items("signals", faults).iter().filter_map(|node| Watch::read(node, faults)).collect();
    let mut classes = Vec::new();
    for (key, node) in map.require("classes", faults)?.as_any_map(faults)?.entries() {
        classes.extend(class(key, node, faults));
    }
    let doctrine = map.get("doctrine").map(|node| doctrine(node, faults)).unwrap_or_default();
    Some(Runbook { stages, signals, classes, doctrine })
}

fn doctrine(node: &Node, faults: &mut Faults) -> Doctrine {
    let blame = node.as_map(&["blame_model"], faults).and_then(|map| map.get("blame_model")?.as_choice(&BLAMES, faults));
    Doctrine { blame_model: blame.unwrap_or_default() }
}

fn class(key: &Key, node: &Node, faults: &mut Faults) -> Option<Class> {
    faults.take(check_name(&key.name).map_err(|fault| fault.at(key.place.clone())));
    let map = node.as_map(&["enters", "hypotheses"], faults)?;
    let enters = map.require("enters", faults).and_then(|node| expression(node, faults));
    let (mut hypotheses, mut once) = (Vec::new(), Once::default());
    for node in map.require("hypotheses", faults)?.as_list(faults)? {
        let Some(hypothesis) = hypothesis(node, faults) else { continue };
        if once.is_first(&hypothesis.id.value, &hypothesis.id.place, faults) {
            hypotheses.push(hypothesis);
        }
    }
    if hypotheses.is_empty() {
        faults.push(Fault::new(format!("class {} has no hypothesis", quote(&key.name))).at(key.place.clone()).help("write at least one"));
    }
    Some(Class { name: Spanned { value: key.name.clone(), place: key.place.clone() }, enters: enters?, hypotheses })
}

fn hypothesis(node: &Node, faults: &mut Faults) -> Option<Hypothesis> {
    let map = node.as_map(&HYPOTHESIS_KEYS, faults)?;
    let id = map.require("id", faults).and_then(|node| node.as_spanned(faults));
    if let Some(id) = &id {
        faults.take(check_name(&id.value).map_err(|fault| fault.at(id.place.clone())));
    }
    let needs = map.get("needs").map(Node::one_or_more).unwrap_or_default();
    let needs = needs.iter().filter_map(|node| field_name(node, faults)).map(|field| field.value).collect();
    let supports = map.require("supports", faults).and_then(|node| expression(node, faults));
    let refutes = map.require("refutes", faults).and_then(|node| expression(node, faults));
    let share = map.get("share").and_then(|node| measure(node, faults));
    let next = map.require("next", faults).and_then(|node| node.as_text(faults));
    let swap = map.get("swap").and_then(|node| node.as_choice(&Factor::ALL, faults));
    let blames_model = map.get("blames").and_then(|node| node.as_choice(&[("model", true)], faults)).unwrap_or_default();
    Some(Hypothesis { id: id?, needs, supports: supports?, refutes: refutes?, share, next: next?.to_string(), swap, blames_model })
}

/// `change.share.retries`, as the measure's name.
fn measure(node: &Node, faults: &mut Faults) -> Option<String> {
    let written = node.as_text(faults)?;
    let name = written.strip_prefix("change.").unwrap_or(written);
    if change::definition(name).is_none() {
        let known = change::ALL.iter().map(|definition| definition.name);
        faults.push(node.fault(format!("unknown measure {}", quote(written))).help(suggest(name, known)));
        return None;
    }
    Some(name.to_string())
}

fn expression(node: &Node, faults: &mut Faults) -> Option<Expression> {
    let text = node.as_text(faults)?;
    let parsed = Expression::parse(text, Vocabulary::Runbook).map_err(|error| {
        let mut place = node.place.clone();
        let quote = u32::from(matches!(node.value, crate::yaml::Yaml::Quoted(_)));
        place.column += u32::try_from(error.offset).unwrap_or(0) + quote;
        let fault = Fault::new(error.message).at(place);
        match error.help {
            Some(help) => fault.help(help),
            None => fault,
        }
    });
    faults.take(parsed)
}
