//! Confirming: what swaps showed, taken into a diagnosis.

use super::{Hypothesis, Runbook};
use crate::diagnosis::{Diagnosis, Effect, Standing, Swap};

impl Runbook {
    /// Takes swaps into a diagnosis: a hypothesis whose swap flipped a failing test is confirmed.
    ///
    /// A swap confirms a factor; which of the factor's hypotheses it is, the evidence says: those that it supports, else the
    /// first that it does not refute.
    pub fn confirm(&self, diagnosis: &mut Diagnosis, swaps: Vec<Swap>) {
        let class = diagnosis.class.as_deref().and_then(|class| self.class(class));
        let hypotheses = class.map(|class| class.hypotheses.as_slice()).unwrap_or_default();
        for swap in &swaps {
            match swap.effect {
                Effect::Flipped => confirm(diagnosis, hypotheses, swap),
                Effect::NotFlipped => doubt(diagnosis, hypotheses, swap),
                Effect::Untried => {}
            }
        }
        diagnosis.look_again(&swaps);
        diagnosis.swaps = swaps;
    }
}

/// The places of the hypotheses that a swap would confirm.
fn places(diagnosis: &Diagnosis, hypotheses: &[Hypothesis], swap: &Swap, standing: impl Fn(Standing) -> bool) -> Vec<usize> {
    let of_swap = |id: &str| hypotheses.iter().any(|hypothesis| hypothesis.id.value == id && hypothesis.swap == Some(swap.factor));
    let judged = diagnosis.hypotheses.iter().enumerate();
    judged.filter(|(_, judged)| of_swap(&judged.hypothesis) && standing(judged.standing)).map(|(place, _)| place).collect()
}

fn confirm(diagnosis: &mut Diagnosis, hypotheses: &[Hypothesis], swap: &Swap) {
    let mut confirmed = places(diagnosis, hypotheses, swap, |standing| standing == Standing::Supported);
    if confirmed.is_empty() {
        confirmed = places(diagnosis, hypotheses, swap, |standing| standing != Standing::Refuted).into_iter().take(1).collect();
    }
    for place in confirmed {
        let judged = &mut diagnosis.hypotheses[place];
        judged.standing = Standing::Confirmed;
        judged.why = None;
        judged.add.clear();
    }
}

fn doubt(diagnosis: &mut Diagnosis, hypotheses: &[Hypothesis], swap: &Swap) {
    for place in places(diagnosis, hypotheses, swap, |standing| standing == Standing::Supported) {
        diagnosis.hypotheses[place].why = Some(swap.sentence());
    }
}

impl Diagnosis {
    /// Says where to look first, now that swaps were tried.
    fn look_again(&mut self, swaps: &[Swap]) {
        let Some(swap) = swaps.iter().find(|swap| swap.effect == Effect::Flipped) else { return };
        self.standing = Standing::Confirmed;
        self.look_first = match self.hypotheses.iter().find(|judged| judged.standing == Standing::Confirmed) {
            Some(first) => format!("{} is confirmed: {}; {}", first.hypothesis, swap.result(), first.next),
            None => format!("{} is confirmed: {}", swap.factor.word(), swap.result()),
        };
    }
}
