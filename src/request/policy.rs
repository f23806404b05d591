//! What policies did to a request: whether a filter or a guardrail stopped it, and whether anything says why.

use super::Request;
use crate::signal::Signals;
use crate::trace::Trace;
use crate::wire::summary::Summary;
use serde_json::Value;

/// Sets whether the request was stopped, and whether nothing names the category or policy for which it was.
pub(super) fn measure(request: &Request, signals: &mut Signals) {
    let (trace, wire) = (request.trace.as_ref(), request.wire.as_ref());
    match wire {
        Some(wire) => signals.set_flag("policy.blocked", blocked(trace, wire)),
        None => {
            if let Some(denied) = trace.and_then(denied) {
                signals.set_flag("policy.blocked", Some(denied));
            }
        }
    }
    let unattributed = signals.read("policy.blocked").flag().and_then(|blocked| if blocked { unnamed(trace, wire) } else { Some(false) });
    signals.set_flag("policy.unattributed", unattributed);
}

/// Whether a filter stopped the request: the provider's on the wire, or a guardrail of the application.
fn blocked(trace: Option<&Trace>, wire: &Summary) -> Option<bool> {
    let guardrail = trace.and_then(denied);
    if guardrail == Some(true) || wire.calls.iter().any(|call| call.last().blocked()) {
        return Some(true);
    }
    let last = wire.last()?;
    let decided = last.finish.is_some() || last.status.is_some_and(|status| status >= 400);
    if decided { Some(false) } else { guardrail }
}

/// Whether a guardrail of the application stopped the request; none when there is no verdict.
fn denied(trace: &Trace) -> Option<bool> {
    let mut verdicts = trace.nodes.iter().filter_map(|node| node.findings.get("policy.verdict")).peekable();
    verdicts.peek()?;
    Some(verdicts.any(|found| denies(&found.value)))
}

fn denies(verdict: &Value) -> bool {
    let word = verdict.as_str().unwrap_or_default().to_lowercase();
    *verdict == Value::Bool(true) || matches!(word.as_str(), "deny" | "block" | "blocked" | "failed" | "true" | "tripwire")
}

/// Whether nobody names the category of a block; none where only a finish reason tells of it, because no instrumentation
/// carries a provider's category.
fn unnamed(trace: Option<&Trace>, wire: Option<&Summary>) -> Option<bool> {
    let told = trace.is_some_and(|trace| trace.nodes.iter().any(|node| node.findings.contains_key("policy.category")));
    let on_wire = wire.is_some_and(|wire| wire.calls.iter().any(|call| !call.last().filtered.is_empty()));
    let somebody_knows = wire.is_some() || trace.and_then(denied) == Some(true);
    if told || on_wire { Some(false) } else { somebody_knows.then_some(true) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapping;
    use crate::wire;
    use serde_json::json;

    fn signals(status: u16, body: &Value) -> (Option<bool>, Option<bool>) {
        let line = json!({"request": {"method": "POST", "path": "/v1/chat/completions", "body": {}}, "response": {"status": status, "body": body}});
        let request = Request::new(None, vec![wire::read_line(&line.to_string()).unwrap()], Mapping::built_in());
        let flag = |name: &str| request.signals.read(name).flag();
        (flag("policy.blocked"), flag("policy.unattributed"))
    }

    #[test]
    fn a_block_is_attributed_when_somebody_names_its_category() {
        let filtered = |inner: Value| json!({"error": {"code": "content_filter", "message": "filtered", "innererror": inner}});
        let named = filtered(json!({"content_filter_result": {"hate": {"filtered": false}, "violence": {"filtered": true}}}));
        assert_eq!(signals(400, &named), (Some(true), Some(false)));
        assert_eq!(signals(400, &filtered(json!({"code": "ResponsibleAIPolicyViolation"}))), (Some(true), Some(true)));
        let answer = |finish: &str, results: Value| json!({"choices": [{"index": 0, "message": {"content": "To"}, "finish_reason": finish, "content_filter_results": results}]});
        assert_eq!(signals(200, &answer("content_filter", json!({"violence": {"filtered": true}}))), (Some(true), Some(false)));
        assert_eq!(signals(200, &answer("content_filter", json!({}))), (Some(true), Some(true)));
        assert_eq!(signals(200, &answer("stop", json!({}))), (Some(false), Some(false)));
    }
}
