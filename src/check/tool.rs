//! `tool_called`, `tool_not_called` and `tools_in_order`: what the model asked for, by the wire's raw arguments.

use super::{Finding, Observation};
use crate::fault::Faults;
use crate::inert;
use crate::request::ToolUse;
use crate::yaml::{Node, Yaml};
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Debug)]
pub(super) enum ToolCheck {
    Called { tool: Wanted, times: Option<(u32, u32)> },
    NotCalled(Vec<Wanted>),
    InOrder { tools: Vec<Wanted>, exact: bool },
}

#[derive(Debug)]
pub(super) struct Wanted {
    name: String,
    with: Option<Value>,
}

impl ToolCheck {
    pub(super) fn parse(key: &str, node: &Node, faults: &mut Faults) -> Option<Self> {
        match key {
            "tool_called" => called(node, faults),
            "tool_not_called" => {
                node.one_or_more().iter().map(|item| Wanted::parse(item, &[], faults)).collect::<Option<_>>().map(Self::NotCalled)
            }
            _ => in_order(node, faults),
        }
    }

    pub(super) fn evaluate(&self, observation: &Observation<'_>) -> Finding {
        let expected = self.expected();
        let Some(uses) = observation.tool_uses else {
            let unknown = BTreeSet::from(["tool calls".to_string()]);
            return Finding { expected, actual: "nothing says which tools were asked for".into(), unknown, ..Finding::default() };
        };
        let actual = if uses.is_empty() { "no tool was asked for".into() } else { uses.iter().map(show).collect::<Vec<_>>().join(", ") };
        Finding { held: Some(self.holds(uses)), expected, actual, ..Finding::default() }
    }

    fn holds(&self, uses: &[ToolUse]) -> bool {
        match self {
            Self::Called { tool, times } => {
                let count = uses.iter().filter(|used| tool.fits(used)).count() as u32;
                let (least, most) = times.unwrap_or((1, u32::MAX));
                (least..=most).contains(&count)
            }
            Self::NotCalled(tools) => !uses.iter().any(|used| tools.iter().any(|tool| tool.fits(used))),
            Self::InOrder { tools, exact: true } => tools.len() == uses.len() && tools.iter().zip(uses).all(|(tool, used)| tool.fits(used)),
            Self::InOrder { tools, exact: false } => {
                let mut rest = uses.iter();
                tools.iter().all(|tool| rest.any(|used| tool.fits(used)))
            }
        }
    }

    pub(super) fn expected(&self) -> String {
        let list = |tools: &[Wanted]| tools.iter().map(Wanted::show).collect::<Vec<_>>().join(", ");
        match self {
            Self::Called { tool, times: None } => format!("calls {}", tool.show()),
            Self::Called { tool, times: Some((least, most)) } if least == most => format!("calls {} {least} times", tool.show()),
            Self::Called { tool, times: Some((least, u32::MAX)) } => format!("calls {} at least {least} times", tool.show()),
            Self::Called { tool, times: Some((least, most)) } => format!("calls {} {least} to {most} times", tool.show()),
            Self::NotCalled(tools) => format!("does not call {}", list(tools)),
            Self::InOrder { tools, exact: true } => format!("calls exactly {} in this order", list(tools)),
            Self::InOrder { tools, exact: false } => format!("calls {} in this order", list(tools)),
        }
    }
}

fn called(node: &Node, faults: &mut Faults) -> Option<ToolCheck> {
    let tool = Wanted::parse(node, &["times"], faults)?;
    let times = match &node.value {
        Yaml::Map(_) => node.as_any_map(faults)?.get("times"),
        _ => None,
    };
    let times = match times {
        Some(times) if matches!(times.value, Yaml::Map(_)) => {
            let map = times.as_map(&["min", "max"], faults)?;
            let least = map.get("min").map_or(Some(0), |least| least.as_whole(0, 10_000, faults))?;
            let most = map.get("max").map_or(Some(u32::MAX), |most| most.as_whole(0, 10_000, faults))?;
            Some((least, most))
        }
        Some(times) => times.as_whole(0, 10_000, faults).map(|times| (times, times)),
        None => None,
    };
    Some(ToolCheck::Called { tool, times })
}

fn in_order(node: &Node, faults: &mut Faults) -> Option<ToolCheck> {
    let (list, exact) = match &node.value {
        Yaml::Map(_) => {
            let map = node.as_map(&["tools", "exact"], faults)?;
            let exact = map.get("exact").and_then(|flag| flag.as_flag(faults)).unwrap_or(false);
            (map.require("tools", faults)?, exact)
        }
        _ => (node, false),
    };
    let tools = list.as_list(faults)?.iter().map(|item| Wanted::parse(item, &[], faults)).collect::<Option<Vec<_>>>()?;
    Some(ToolCheck::InOrder { tools, exact })
}

impl Wanted {
    fn parse(node: &Node, more: &[&str], faults: &mut Faults) -> Option<Self> {
        if let Yaml::Map(_) = &node.value {
            let known: Vec<&str> = ["name", "with"].into_iter().chain(more.iter().copied()).collect();
            let map = node.as_map(&known, faults)?;
            map.require("name", faults)?;
            let name = map.text("name", faults)?.value;
            return Some(Self { name, with: map.get("with").map(Node::to_json) });
        }
        Some(Self { name: node.as_text(faults)?.to_string(), with: None })
    }

    fn fits(&self, used: &ToolUse) -> bool {
        if self.name != used.name {
            return false;
        }
        let Some(with) = &self.with else { return true };
        // Arguments that are no JSON match nothing, whatever an SDK makes of them.
        serde_json::from_str::<Value>(&used.arguments).is_ok_and(|arguments| is_part(with, &arguments))
    }

    fn show(&self) -> String {
        self.with.as_ref().map_or_else(|| self.name.clone(), |with| format!("{}({with})", self.name))
    }
}

/// Whether every key and value of one is in the other, at every depth; lists are compared item by item.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| is_part(value, found)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(one, other)| is_part(one, other))
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => part == whole,
    }
}

fn show(used: &ToolUse) -> String {
    let malformed = if serde_json::from_str::<Value>(&used.arguments).is_err() && !used.arguments.is_empty() { " (malformed)" } else { "" };
    format!("{}({}){malformed}", used.name, inert::clip(&used.arguments, 120))
}
