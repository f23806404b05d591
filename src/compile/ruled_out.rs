//! What a postmortem rules out, held against the runbook: it must not support what the author excluded.

use super::Read;
use crate::contrast::Contrast;
use crate::diagnosis::{Judgement, Standing};
use crate::fault::{Fault, Faults, suggest};
use crate::postmortem::{Postmortem, RuledOut};
use crate::runbook::{Class, Runbook};

/// Refuses a ruled-out hypothesis that the runbook does not know or supports; warns of one that it cannot refute.
pub(super) fn check(runbook: &Runbook, class: &Class, postmortem: &Postmortem, read: &Read, faults: &mut Faults) -> Vec<Fault> {
    let mut warnings = Vec::new();
    if postmortem.ruled_out.is_empty() {
        return warnings;
    }
    let contrast = Contrast::new(&read.healthy, read.incident());
    let judged = contrast.map(|contrast| runbook.judge_class(class, &contrast)).unwrap_or_default();
    for ruled_out in &postmortem.ruled_out {
        let name = &ruled_out.hypothesis;
        if class.hypothesis(&name.value).is_none() {
            let known = class.hypotheses.iter().map(|hypothesis| hypothesis.id.value.as_str());
            let message = format!("class `{}` of the runbook has no hypothesis {}", class.name.value, crate::yaml::quote(&name.value));
            faults.push(Fault::new(message).at(name.place.clone()).help(suggest(&name.value, known)));
        } else if let Some(judgement) = judged.iter().find(|judgement| judgement.hypothesis == name.value) {
            hold(ruled_out, judgement, faults, &mut warnings);
        }
    }
    warnings
}

fn hold(ruled_out: &RuledOut, judgement: &Judgement, faults: &mut Faults, warnings: &mut Vec<Fault>) {
    let place = ruled_out.hypothesis.place.clone();
    let name = &judgement.hypothesis;
    match judgement.standing {
        Standing::Refuted => {}
        standing if standing.is_for() => {
            let fault = Fault::new(format!("`{name}` is ruled out here, and the runbook supports it on this evidence")).at(place);
            faults.push(fault.help("correct `ruled_out`, or the hypothesis in runbook.yaml: one of the two is wrong"));
        }
        standing => {
            let why = judgement.why.as_deref().unwrap_or_default();
            warnings.push(Fault::new(format!("`{name}` is ruled out here, and {} to the runbook: {why}", standing.word())).at(place));
        }
    }
}
