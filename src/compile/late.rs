//! Late signals: when a rule over a sliding window would have fired, by the evidence's own clock.

use super::Read;
use super::proof::fires;
use crate::case;
use crate::check::Observation;
use crate::expression::Expression;
use crate::postmortem::LateSignal;
use crate::request::Request;
use crate::signal::Signals;
use serde_json::Map;

pub(super) struct Proved {
    pub(super) proof: case::Proof,
    pub(super) fires_at: Option<f64>,
    pub(super) detail: String,
}

/// One request in the window: seconds since 1970, and whether the rule holds on it.
struct Moment {
    at: f64,
    fires: bool,
}

/// Holds a signal against the incident's requests in order, and against the healthy ones.
pub(super) fn prove(signal: &LateSignal, rule: &Expression, onset: Option<f64>, read: &Read) -> Proved {
    let median = |requests: &[Request]| Signals::median(&requests.iter().map(|request| request.signals.clone()).collect::<Vec<_>>());
    let (healthy, incident) = (median(&read.healthy), median(&read.incidents));
    let moments =
        |requests: &[Request]| -> Vec<Moment> { requests.iter().map(|request| moment(rule, request, &healthy, &incident)).collect() };
    let (during, before) = (moments(&read.incidents), moments(&read.healthy));
    let least = signal.min.unwrap_or(1) as usize;
    if during.len() < least {
        let detail = format!("the incident's evidence holds {} requests, fewer than `min: {least}`", during.len());
        return Proved { proof: case::Proof::Unproved, fires_at: None, detail };
    }
    if first_firing(signal, &before).is_some() {
        return Proved { proof: case::Proof::FalseAlarm, fires_at: None, detail: "it fires on the healthy requests".into() };
    }
    let start = onset
        .filter(|onset| during.iter().any(|moment| moment.at >= *onset))
        .or_else(|| during.first().map(|moment| moment.at))
        .unwrap_or(0.0);
    let Some(fired) = first_firing(signal, &during).map(|at| (at - start).max(0.0)) else {
        return Proved { proof: case::Proof::Vacuous, fires_at: None, detail: "it never fires on the incident".into() };
    };
    let allowed = signal.within.map_or(f64::INFINITY, |within| within.as_secs_f64());
    if fired > allowed {
        let detail = format!("it fires {} after onset, allowed are {}", minutes(fired), minutes(allowed));
        return Proved { proof: case::Proof::Late, fires_at: Some(fired), detail };
    }
    if read.healthy.is_empty() {
        return Proved { proof: case::Proof::Unproved, fires_at: Some(fired), detail: "nothing healthy to compare with".into() };
    }
    Proved { proof: case::Proof::Proved, fires_at: Some(fired), detail: format!("fires {} after onset", minutes(fired)) }
}

fn moment(rule: &Expression, request: &Request, healthy: &Signals, incident: &Signals) -> Moment {
    let observation = Observation {
        answer: request.answer.as_deref(),
        signals: &request.signals,
        healthy,
        incident,
        accepted: healthy,
        fields: request.trace.is_some().then_some(&request.fields),
        healthy_fields: &Map::new(),
        tool_uses: request.tool_uses.as_deref(),
        documents: request.documents.as_deref(),
        grades: None,
    };
    let at = request.trace.as_ref().map_or(0.0, |trace| trace.start_ns() as f64 / 1e9);
    Moment { at, fires: fires(rule.evaluate(&observation).truth) }
}

/// The first request at which the share of firing ones within the window is reached.
fn first_firing(signal: &LateSignal, moments: &[Moment]) -> Option<f64> {
    let window = signal.over.map_or(f64::INFINITY, |over| over.as_secs_f64());
    let least = signal.min.unwrap_or(1) as usize;
    for (index, now) in moments.iter().enumerate() {
        let inside: Vec<&Moment> = moments[..=index].iter().filter(|moment| now.at - moment.at <= window).collect();
        let firing = inside.iter().filter(|moment| moment.fires).count();
        let share = firing as f64 / inside.len() as f64;
        if inside.len() >= least && firing > 0 && share >= signal.share.unwrap_or(0.0) {
            return Some(now.at);
        }
    }
    None
}

fn minutes(seconds: f64) -> String {
    if seconds >= 120.0 { format!("{:.0} min", seconds / 60.0) } else { format!("{seconds:.0} s") }
}
