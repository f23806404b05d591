//! Judging: hypotheses held against a contrast of two requests, in response order, and the model last.

use super::{Blame, Class, Hypothesis, Runbook, stage};
use crate::change;
use crate::contrast::Contrast;
use crate::diagnosis::{Alarm, Diagnosis, Judgement, Missing, Shift, Standing};
use crate::expression::Evaluation;
use crate::field::State;
use crate::request::{Clock, Request, micro};
use crate::signal;
use std::collections::{BTreeMap, BTreeSet};

/// Fields that a wire knows, so that a hypothesis needs no telemetry for them.
const ON_THE_WIRE: [&str; 12] = [
    "retries.count",
    "latency.first_token",
    "usage.input_tokens",
    "usage.output_tokens",
    "usage.cached_tokens",
    "model.requested",
    "model.responded",
    "finish_reason",
    "refusal",
    "tool.requested",
    "input",
    "error.type",
];

impl Runbook {
    /// Diagnoses what happened between a baseline and a request.
    ///
    /// The class is the first that the evidence enters with a hypothesis that is not refuted. Where it enters none,
    /// the hypotheses of `otherwise` (the class of the case) are judged.
    pub fn diagnose(&self, contrast: &Contrast<'_>, otherwise: Option<&str>) -> Diagnosis {
        let entries: Vec<(&Class, Evaluation)> = self.classes.iter().map(|class| (class, class.enters.evaluate(contrast))).collect();
        let entered = entries.iter().filter(|(_, entry)| entry.truth == Some(true)).map(|(class, _)| *class);
        let judged: Vec<(&Class, Vec<Judgement>)> = entered.map(|class| (class, self.judge_class(class, contrast))).collect();
        let is_open = |(_, judgements): &&(&Class, Vec<Judgement>)| judgements.iter().any(|judged| judged.standing != Standing::Refuted);
        let chosen = judged.iter().find(is_open).cloned();
        let chosen = chosen.or_else(|| {
            let class = self.class(otherwise?)?;
            Some((class, self.judge_class(class, contrast)))
        });
        let chosen = chosen.filter(|_| !contrast.did_better());
        let (class, hypotheses) = chosen.map_or((None, Vec::new()), |(class, judged)| (Some(class.name.value.clone()), judged));
        let mut diagnosis = Diagnosis {
            class,
            standing: Standing::Unclear,
            look_first: String::new(),
            hypotheses,
            shares: self.shares(contrast),
            signals: self.past_thresholds(contrast),
            changed: contrast.changed.clone(),
            prompt: contrast.prompt.clone(),
            swaps: Vec::new(),
        };
        let unseen = || entries.iter().filter(|(_, entry)| entry.truth.is_none()).flat_map(|(_, entry)| missing(contrast, &[], entry));
        diagnosis.conclude(unseen().collect());
        if contrast.did_better() {
            let outcome = contrast.base.signals.read("outcome").text().unwrap_or_default();
            diagnosis.standing = Standing::Unclear;
            diagnosis.look_first =
                format!("the baseline failed (outcome {outcome}) and this request did not: are the two the other way round?");
        }
        diagnosis
    }

    /// Judges every hypothesis of a class, in response order.
    pub fn judge_class(&self, class: &Class, contrast: &Contrast<'_>) -> Vec<Judgement> {
        let mut judged: Vec<Judgement> = Vec::with_capacity(class.hypotheses.len());
        for hypothesis in &class.hypotheses {
            let mut judgement = judge(hypothesis, contrast);
            if hypothesis.blames_model && judgement.standing == Standing::Supported {
                self.blame_last(&mut judgement, &judged);
            }
            judged.push(judgement);
        }
        judged
    }

    /// Takes the blame off the model while the doctrine's condition is not met.
    fn blame_last(&self, judgement: &mut Judgement, prior: &[Judgement]) {
        let blocks = |standing: Standing| match self.doctrine.blame_model {
            Blame::AllPriorRefuted => standing != Standing::Refuted,
            Blame::NonePriorSupported => standing.is_for(),
        };
        let open: Vec<String> = prior
            .iter()
            .filter(|prior| blocks(prior.standing))
            .map(|prior| format!("{} is {}", prior.hypothesis, prior.standing.word()))
            .collect();
        if !open.is_empty() {
            judgement.standing = Standing::Unclear;
            judgement.why = Some(format!("the model is blamed only when everything before it is refuted: {}", open.join(", ")));
        }
    }

    /// The shares of the change in time by the runbook's stages; empty unless it is slower.
    fn shares(&self, contrast: &Contrast<'_>) -> BTreeMap<String, f64> {
        if contrast.measures.read("slower").flag() != Some(true) {
            return BTreeMap::new();
        }
        let times = |request| {
            let mut times = stage::times(&self.stages, request);
            if contrast.now.clock == Clock::Virtual {
                times.values_mut().for_each(|seconds| *seconds = seconds.floor());
            }
            times
        };
        let (base, now) = (times(contrast.base), times(contrast.now));
        let sum = |times: &BTreeMap<String, f64>| times.values().sum::<f64>();
        let change = sum(&now) - sum(&base);
        let names: BTreeSet<&String> = base.keys().chain(now.keys()).filter(|_| change > 0.0).collect();
        let of = |times: &BTreeMap<String, f64>, name: &String| times.get(name).copied().unwrap_or(0.0);
        names.into_iter().map(|name| (name.clone(), micro((of(&now, name) - of(&base, name)) / change))).collect()
    }

    fn past_thresholds(&self, contrast: &Contrast<'_>) -> Vec<Alarm> {
        let past = self.signals.iter().filter_map(|watch| {
            let (base, now) = (contrast.base_signals.read(&watch.signal), contrast.now_signals.read(&watch.signal));
            let shift = Shift { name: watch.signal.clone(), base: base.clone(), now: now.clone() };
            Some(Alarm { level: watch.level(base, now)?, shift })
        });
        past.collect()
    }
}

fn judge(hypothesis: &Hypothesis, contrast: &Contrast<'_>) -> Judgement {
    let (supports, refutes) = (hypothesis.supports.evaluate(contrast), hypothesis.refutes.evaluate(contrast));
    let lacking = unmet(contrast, hypothesis.needs.iter().map(String::as_str));
    let (standing, why, add) = match (supports.truth, refutes.truth) {
        (Some(true), Some(true)) => (Standing::Unclear, Some("the evidence speaks for and against it".to_string()), Vec::new()),
        (Some(true), _) => (Standing::Supported, None, Vec::new()),
        (_, Some(true)) if lacking.is_empty() => (Standing::Refuted, None, Vec::new()),
        (Some(false), Some(false)) if lacking.is_empty() => {
            (Standing::Unclear, Some("the evidence speaks neither for nor against it".to_string()), Vec::new())
        }
        _ => blind(contrast, lacking, [&supports, &refutes]),
    };
    let share = hypothesis.share.as_ref().and_then(|share| contrast.measures.read(share).number());
    let mut values = supports.values;
    values.extend(refutes.values);
    Judgement { hypothesis: hypothesis.id.value.clone(), standing, values, share, why, add, next: hypothesis.next.clone() }
}

/// What could not be decided is blind where telemetry would tell, else unclear.
fn blind(contrast: &Contrast<'_>, lacking: Vec<Missing>, evaluations: [&Evaluation; 2]) -> (Standing, Option<String>, Vec<Missing>) {
    let mut add = lacking;
    for evaluation in evaluations {
        for field in missing(contrast, &add, evaluation) {
            add.push(field);
        }
    }
    let unknown: BTreeSet<&str> = evaluations.iter().flat_map(|evaluation| &evaluation.unknown).map(String::as_str).collect();
    let unknown = unknown.into_iter().collect::<Vec<_>>().join(", ");
    if contrast.now.trace.is_none() {
        // Where relapse held the conversation there is nothing to add an attribute to.
        return (Standing::Unclear, Some(format!("there is no telemetry that could tell {unknown}")), Vec::new());
    }
    if add.is_empty() {
        let requests = [contrast.now, contrast.base].into_iter();
        if let Some(broken) =
            requests.filter(|request| request.wire.is_none()).find_map(|request| request.trace.as_ref()?.unreadable().next())
        {
            return (Standing::Unclear, Some(format!("{unknown} cannot be told: {broken}")), add);
        }
        let whole = contrast.base.wire.is_some() && contrast.now.wire.is_some();
        let why = if whole { "not comparable between these two requests" } else { "the telemetry cannot tell, and there is no wire" };
        return (Standing::Unclear, Some(format!("{why}: {unknown}")), add);
    }
    let fields: Vec<&str> = add.iter().map(|missing| missing.field.as_str()).collect();
    (Standing::Blind, Some(format!("nothing tells {}", fields.join(", "))), add)
}

/// Fields that would make unknown names known, and that the telemetry lacks.
fn missing(contrast: &Contrast<'_>, known: &[Missing], evaluation: &Evaluation) -> Vec<Missing> {
    let fields: BTreeSet<&str> = evaluation.unknown.iter().flat_map(|name| fields_of(name)).collect();
    let lacking = unmet(contrast, fields.into_iter());
    lacking.into_iter().filter(|missing| !known.iter().any(|known| known.field == missing.field)).collect()
}

/// The fields behind a name of an expression.
fn fields_of(name: &str) -> Vec<&'static str> {
    if let Some(field) = name.strip_prefix("field('").and_then(|rest| rest.strip_suffix("')")) {
        return crate::field::definition(field).map(|definition| definition.name).into_iter().collect();
    }
    let plain = ["now.", "base.", "change."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let measure = change::definition(plain).filter(|_| name.starts_with("change."));
    measure.or_else(|| signal::definition(plain)).map(|definition| definition.needs.to_vec()).unwrap_or_default()
}

fn unmet<'a>(contrast: &Contrast<'_>, fields: impl Iterator<Item = &'a str>) -> Vec<Missing> {
    fields.filter_map(|field| lack(contrast.now, field, "").or_else(|| lack(contrast.base, field, " (in the baseline)"))).collect()
}

/// What to add so that a request tells a field; none when it does, or a wire does.
fn lack(request: &Request, field: &str, whose: &str) -> Option<Missing> {
    if request.wire.is_some() && ON_THE_WIRE.contains(&field) {
        return None;
    }
    let missing = |add: &str| Some(Missing { field: field.to_string(), add: format!("{add}{whose}") });
    match request.fields.get(field) {
        Some(State::Present { .. } | State::ConditionNotMet) => None,
        Some(State::Absent { add, .. } | State::Indeterminate { add, .. }) => missing(add),
        None => missing(crate::mapping::attribute_to_add(field)),
    }
}

impl Diagnosis {
    /// Says where to look first; `unseen` is what no class could be entered for want of.
    fn conclude(&mut self, unseen: Vec<Missing>) {
        let supported: Vec<&Judgement> = self.hypotheses.iter().filter(|judged| judged.standing.is_for()).collect();
        let (standing, look_first) = match (self.first(), supported.len()) {
            (Some(first), 2..) => (first.standing, ambiguous(supported)),
            (Some(first), _) => (first.standing, one_line(first)),
            (None, _) if !self.hypotheses.is_empty() => {
                (Standing::Refuted, "everything that the runbook knows of this class is refuted".to_string())
            }
            (None, _) if unseen.is_empty() => (Standing::Unclear, "nothing that the runbook knows tells the two apart".to_string()),
            (None, _) => (Standing::Blind, format!("nothing is entered, and some of it cannot be seen: {}", attributes(&unseen))),
        };
        self.standing = standing;
        self.look_first = look_first;
    }
}

/// Several supported ones: the first in response order, then the others by the share of the change that they explain.
fn ambiguous(supported: Vec<&Judgement>) -> String {
    let (first, rest) = supported.split_first().expect("several are supported");
    let mut rest = rest.to_vec();
    rest.sort_by(|one, other| other.share.unwrap_or(0.0).total_cmp(&one.share.unwrap_or(0.0)));
    let others: Vec<&str> = rest.iter().map(|judged| judged.hypothesis.as_str()).collect();
    format!("{} (also supported: {})", one_line(first), others.join(", "))
}

fn one_line(judged: &Judgement) -> String {
    let head = format!("{} is {}", judged.hypothesis, judged.standing.word());
    match judged.standing {
        Standing::Blind => format!("{head}: {}", attributes(&judged.add)),
        Standing::Unclear => format!("{head}: {}", judged.why.as_deref().unwrap_or("the evidence does not tell")),
        _ => {
            let share = judged.share.map(|share| format!(" with {share:.2} of the change")).unwrap_or_default();
            format!("{head}{share}: {}", judged.next)
        }
    }
}

fn attributes(missing: &[Missing]) -> String {
    let mut told: Vec<String> = missing.iter().map(|missing| format!("add {} for {}", missing.add, missing.field)).collect();
    told.dedup();
    told.truncate(4);
    told.join("; ")
}
