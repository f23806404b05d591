//! What was observed of a run: telemetry, wire, answer and end, joined to one request or to the reason why not.

use super::surroundings::Thread;
use super::{Ran, Undecided};
use crate::application::{self, Captured, Ended, Exit, Said};
use crate::case::{Case, Side};
use crate::fault::Faults;
use crate::inert;
use crate::limit;
use crate::mapping::Mapping;
use crate::normalise;
use crate::otlp::{LogRecord, Span};
use crate::project::Output;
use crate::proxy::{Missed, Witness};
use crate::receiver::Delivery;
use crate::replay::Stage;
use crate::request::{Clock, Hidden, Request};
use crate::trace::Statement;
use crate::verdict::Doubt;
use crate::wire::Exchange;

/// What a run left behind.
pub(super) struct Run {
    /// The telemetry.
    pub(super) delivery: Delivery,
    /// What went over the wire.
    pub(super) witness: Witness,
    /// Hosts that were asked for besides the target's servers.
    pub(super) strays: Vec<String>,
    /// The trace that the run was asked to be part of, where other runs share the receiver.
    pub(super) thread: Option<Thread>,
}

/// A run that can be judged, and what a reader should know of it.
pub(super) struct Observed {
    pub(super) request: Request,
    pub(super) notes: Vec<String>,
}

impl Run {
    /// What came of a process that ran for one case.
    ///
    /// # Errors
    /// Recordings that cannot be read.
    pub(super) fn of_process(self, ended: &Ended, output: &Output, stage: Stage<'_>, case: &Case) -> Result<Ran, Faults> {
        let why = if matches!(ended.exit, Exit::Deadline | Exit::Signal(_)) {
            format!("the application {}", ended.exit)
        } else if ended.left_behind {
            "the application ended, but processes that it had started did not; they were ended".into()
        } else {
            match application::read(output, &ended.stdout.text()) {
                Ok(said) => {
                    let held = "a process outside the application's group still held its output; it was left alone";
                    let note = ended.held_open.then(|| held.to_owned());
                    return self.of_answer(said, ended.exit != Exit::Code(0), note, stage, case);
                }
                Err(why) => format!("the application {}, and its answer cannot be read: {why}", ended.exit),
            }
        };
        self.of_failure(with_output(&why, ended))
    }

    /// A run without an answer; what its proxy knows may say why.
    pub(super) fn of_failure(self, why: String) -> Result<Ran, Faults> {
        let Witness { live, misses, unaffordable, spent, faults, .. } = self.witness;
        faults.into_result(())?;
        let outcome = match (misses.as_slice(), unaffordable.as_slice()) {
            ([], []) => (Doubt::Infrastructure, why),
            ([], unaffordable) => (Doubt::Budget, format!("{}\n{why}", Missed::tell(unaffordable))),
            (misses, _) => (Doubt::NeedsRecording, format!("{}\n{why}", Missed::tell(misses))),
        };
        Ok(Ran { outcome: Err(outcome), live, spent })
    }

    /// Joins an answer with what was seen of it; a failure that says what it is, is an answer too.
    ///
    /// # Errors
    /// Recordings that cannot be read.
    pub(super) fn of_answer(
        self,
        said: Said,
        has_failed: bool,
        note: Option<String>,
        stage: Stage<'_>,
        case: &Case,
    ) -> Result<Ran, Faults> {
        let Self { delivery, mut witness, strays, thread } = self;
        std::mem::take(&mut witness.faults).into_result(())?;
        let (live, spent) = (std::mem::take(&mut witness.live), witness.spent);
        if let Some(undecided) = undecided(&witness, &strays, &said, case) {
            return Ok(Ran { outcome: Err(undecided), live, spent });
        }
        let mut notes: Vec<String> = note.into_iter().chain(strays.iter().map(|host| stray(host))).collect();
        notes.extend(witness.refused.iter().map(|why| format!("a request was refused: {}", inert::one_line(why))));
        notes.extend(
            witness.unmet.iter().map(|condition| format!("a condition of the case met no request: {}", inert::one_line(condition))),
        );
        notes.extend(delivery.findings());
        let outcome = if has_failed { Some("error".to_owned()) } else { said.outcome };
        let request = join(
            delivery,
            (witness.exchanges, witness.clock),
            thread.as_ref(),
            Statement { answer: said.answer, outcome },
            stage.standard.mapping,
        );
        notes.extend(request.hidden.iter().map(silence));
        Ok(Ran { outcome: Ok(Observed { request, notes }), live, spent })
    }
}

/// Why an answer says nothing: it was given without what the application asked for.
fn undecided(witness: &Witness, strays: &[String], said: &Said, case: &Case) -> Option<Undecided> {
    if !witness.misses.is_empty() {
        return Some((Doubt::NeedsRecording, Missed::tell(&witness.misses)));
    }
    if !witness.unaffordable.is_empty() {
        return Some((Doubt::Budget, Missed::tell(&witness.unaffordable)));
    }
    let troubles = [witness.unsent.as_slice(), &witness.troubles].concat();
    if !troubles.is_empty() {
        return Some((Doubt::Infrastructure, Missed::tell(&troubles)));
    }
    let unasked = witness.exchanges.is_empty() && expects_requests(case);
    unasked.then(|| (Doubt::Infrastructure, unreached(strays, said)))
}

/// Whether the incident or a healthy request spoke to a model, as nearly every case does.
fn expects_requests(case: &Case) -> bool {
    let calls = |side: &Side| side.signals.read("calls.model").number();
    let known: Vec<f64> = [Some(&case.incident), case.healthy.as_ref()].into_iter().flatten().filter_map(calls).collect();
    known.is_empty() || known.iter().any(|calls| *calls > 0.0)
}

fn unreached(strays: &[String], said: &Said) -> String {
    let hosts: Vec<String> = strays.iter().map(|host| inert::one_line(host)).collect();
    let instead = match hosts.as_slice() {
        [] => "does its client take its address from a variable under `upstreams`?".to_owned(),
        hosts => format!("the application asked for {} past it: put these under `upstreams`", hosts.join(", ")),
    };
    format!("no request reached the proxy; {instead}\nthe application said: {}", inert::clip(&said.answer, limit::SHOWN_BYTES))
}

fn stray(host: &str) -> String {
    format!("the application asked for {} past the proxy, and was refused: put it under `upstreams`", inert::one_line(host))
}

/// What the telemetry does not tell though the wire knows it.
fn silence(hidden: &Hidden) -> String {
    format!("hidden: the telemetry does not tell `{}`; on the wire it is {}", hidden.field, inert::clip(&hidden.wire.to_string(), 80))
}

/// One request of all that was seen.
fn join(
    delivery: Delivery,
    (exchanges, clock): (Vec<Exchange>, Clock),
    thread: Option<&Thread>,
    stated: Statement,
    mapping: &Mapping,
) -> Request {
    let (spans, logs) = match thread {
        Some(thread) => of_thread(delivery.spans, delivery.logs, thread),
        None => (delivery.spans, delivery.logs),
    };
    let mut trace = normalise::request(spans, &logs, mapping);
    trace.stated = Some(stated);
    Request::timed(clock, Some(trace), exchanges, mapping)
}

/// What belongs to a trace, where any of it does: an application that does not take part in traces has its own.
fn of_thread(spans: Vec<Span>, logs: Vec<LogRecord>, thread: &Thread) -> (Vec<Span>, Vec<LogRecord>) {
    if !spans.iter().any(|span| span.trace_id == thread.trace_id) {
        return (spans, logs);
    }
    let linked = |span: &Span| span.links.iter().any(|link| link.trace_id == thread.trace_id);
    let mut traces: Vec<String> = spans.iter().filter(|span| linked(span)).map(|span| span.trace_id.clone()).collect();
    traces.push(thread.trace_id.clone());
    let spans = spans.into_iter().filter(|span| traces.contains(&span.trace_id)).collect();
    let logs = logs.into_iter().filter(|log| log.trace_id.as_ref().is_none_or(|id| traces.contains(id))).collect();
    (spans, logs)
}

/// Why a run failed, with the last lines of what the application wrote.
pub(super) fn with_output(why: &str, ended: &Ended) -> String {
    let last = |output: &Captured| inert::clip(&output.last_lines(limit::OUTPUT_LINES), limit::SHOWN_VERBOSE_BYTES).into_owned();
    let outputs = [("standard error", &ended.stderr), ("standard output", &ended.stdout)];
    let written = outputs.into_iter().filter(|(_, output)| !output.is_blank());
    written.fold(why.to_owned(), |text, (name, output)| format!("{text}\n{name}:\n{}", last(output)))
}
