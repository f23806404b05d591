//! Compiling a postmortem into a case, and the proof that it would have caught its incident.

mod conditions;
mod graders;
mod late;
mod material;
mod proof;
mod ruled_out;

pub use graders::{Asked, questions};
pub use material::answered;

use crate::canonical;
use crate::case::{Case, Compiled, Side, Status, WireFiles};
use crate::check::Check;
use crate::disk::{Reference, Root};
use crate::evidence::Evidence;
use crate::fault::{Fault, Faults, Place};
use crate::field;
use crate::judgement::{Judgements, Panel};
use crate::limit;
use crate::mapping::{self, Mapping};
use crate::postmortem::{self, Postmortem};
use crate::project::Project;
use crate::redact::Redactor;
use crate::request::Request;
use crate::runbook::Runbook;
use crate::signal::Signals;
use crate::suite::postmortem_digest;
use crate::verdict::Story;
use crate::yaml::Node;
use camino::Utf8Path;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// One line of the proof table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// `test`, `field` or `signal`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What it proved to be.
    pub proof: crate::case::Proof,
    /// What happened on the incident and when healthy.
    pub detail: String,
    /// Where it is written.
    pub place: Place,
}

/// A compiled postmortem with its proof.
#[derive(Debug)]
pub struct Compilation {
    /// The case.
    pub case: Case,
    /// Every claim, in the order written.
    pub claims: Vec<Claim>,
    /// What is accepted, but a person should know.
    pub warnings: Vec<Fault>,
}

/// What every postmortem of a repository is held against.
#[derive(Debug, Clone, Copy)]
pub struct Standards<'a> {
    /// The project.
    pub project: &'a Project,
    /// The mapping with the project's aliases.
    pub mapping: &'a Mapping,
    /// The runbook, whose classes a postmortem may name.
    pub runbook: &'a Runbook,
}

/// The mapping with the project's aliases.
///
/// # Errors
/// An alias for a field that does not exist.
pub fn mapping(project: &Project) -> Result<Mapping, Fault> {
    let aliases = project.telemetry.aliases.iter();
    let by_field: BTreeMap<String, Vec<String>> =
        aliases.map(|(field, keys)| (field.value.clone(), keys.iter().map(|key| key.value.clone()).collect())).collect();
    Mapping::with_aliases(&by_field)
}

/// The digest of the project's aliases, which decide what a field is; none without any.
pub fn telemetry_digest(project: &Project) -> Option<String> {
    let aliases: Map<String, Value> = project
        .telemetry
        .aliases
        .iter()
        .map(|(field, keys)| (field.value.clone(), keys.iter().map(|key| Value::from(key.value.as_str())).collect()))
        .collect();
    (!aliases.is_empty()).then(|| canonical::digest(canonical::json(&Value::Object(aliases)).as_bytes()))
}

/// Compiles one postmortem; pure but for reading its evidence.
///
/// # Errors
/// Everything that is wrong with it, each with its line: unreadable evidence, secrets in it, mistakes in checks, claims
/// that are not so, and a postmortem that proves nothing.
pub fn compile(root: &Root, standards: Standards<'_>, postmortem: &Postmortem) -> Result<Compilation, Faults> {
    let Standards { project, mapping, runbook } = standards;
    let mut faults = Faults::new();
    let class = faults.take(runbook.check_class(&postmortem.class));
    let read = Read::new(root, postmortem, mapping, &mut faults);
    let Some(read) = read else { return Err(faults.into_result(()).err().unwrap_or_default()) };
    let mut warnings = Vec::new();
    let material = material::Material::gather(root, postmortem, &read, &mut faults);
    let (panel, judgements) = (Panel::of(project), faults.take(Judgements::load(root, &postmortem.id)).unwrap_or_default());
    let bench = proof::Bench { panel: &panel, judgements: &judgements, input: &material.input };
    let proof = proof::Proof::of(root, postmortem, &read, (mapping, bench), &mut faults);
    graders::check(project, &panel, &proof.questions, &mut faults);
    material.check_targets(root, project, postmortem, &mut faults);
    if let Some(class) = class {
        warnings.extend(ruled_out::check(runbook, class, postmortem, &read, &mut faults));
    }
    if proof.proves_nothing() && faults.is_empty() {
        let fault = Fault::new("nothing in this postmortem is proved").at(postmortem.title.place.clone());
        let rule = "at least one test, field or signal must fail on the incident and hold when healthy";
        let ask = if proof.questions.is_empty() { "" } else { "; graders are asked with `relapse compile --record`" };
        faults.push(fault.help(format!("{rule}{ask}")));
    }
    warnings.extend(proof.warnings());
    let case = Case {
        id: postmortem.id.clone(),
        compiled: read.compiled(root, project, (postmortem, &proof.schemas), &mut faults),
        title: postmortem.title.value.clone(),
        class: postmortem.class.value.clone(),
        severity: postmortem.severity.word().to_string(),
        status: status(&postmortem.status),
        targets: postmortem.targets.iter().flatten().map(|target| target.value.clone()).collect(),
        input: material.input,
        documents: material.documents,
        tools: material.tools,
        tool_results: material.tool_results,
        conditions: material.conditions,
        wire: wire_files(postmortem),
        incident: side(&read.incidents, &proof.compared_fields),
        healthy: (!read.healthy.is_empty()).then(|| side(&read.healthy, &proof.compared_fields)),
        fields: proof.fields,
        tests: proof.tests,
        signals: proof.signals,
    };
    faults.into_result(Compilation { case, claims: proof.claims, warnings })
}

fn status(status: &postmortem::Status) -> Status {
    match status {
        postmortem::Status::Open => Status::Open,
        postmortem::Status::Muted { until, why } => Status::Muted { until: until.to_string(), why: why.clone() },
        postmortem::Status::Active | postmortem::Status::Withdrawn => Status::Active,
    }
}

/// A side's medians, and the values of the fields that some check compares.
fn side(requests: &[Request], compared: &[String]) -> Side {
    let signals: Vec<Signals> = requests.iter().map(|request| request.signals.clone()).collect();
    let first = requests.first();
    let fields = compared.iter().filter_map(|name| {
        let state = first?.fields.get(name.as_str())?;
        Some((name.clone(), state.value()?.clone()))
    });
    Side { signals: Signals::median(&signals), fields: fields.collect() }
}

fn wire_files(postmortem: &Postmortem) -> WireFiles {
    let names = |files: &[Reference]| files.iter().map(|file| below(postmortem, file)).collect();
    WireFiles { incident: names(&postmortem.evidence.wire.incident), healthy: names(&postmortem.evidence.wire.healthy) }
}

/// A file's path below `postmortems/<id>/`.
fn below(postmortem: &Postmortem, file: &Reference) -> String {
    let base = Utf8Path::new(postmortem::FOLDER).join(&postmortem.id);
    file.path.strip_prefix(&base).map_or_else(|_| file.path.to_string(), |path| path.to_string())
}

/// The healthy requests of a postmortem, read again for a report.
///
/// # Errors
/// A page or evidence that cannot be read.
pub fn healthy(root: &Root, mapping: &Mapping, id: &str) -> Result<Vec<Request>, Faults> {
    let (mut faults, postmortem) = (Faults::new(), page(root, id)?);
    let evidence = &postmortem.evidence;
    let read = requests(root, &evidence.traces.healthy, &evidence.wire.healthy, (mapping, &mut faults));
    faults.into_result(read.unwrap_or_default())
}

/// The request that a case replays, and the healthy ones, read again for a report.
///
/// # Errors
/// A page or evidence that cannot be read.
pub fn evidence(root: &Root, mapping: &Mapping, id: &str) -> Result<(Request, Vec<Request>), Faults> {
    let (mut faults, postmortem) = (Faults::new(), page(root, id)?);
    let read = Read::new(root, &postmortem, mapping, &mut faults);
    let sides = read.map(|mut read| (read.incidents.swap_remove(read.picked), read.healthy));
    faults.into_result(())?;
    sides.ok_or_else(|| Fault::new("the incident's evidence holds no request").at(postmortem.title.place).into())
}

/// What a report tells of a case besides its verdicts: the page's prose, and where the time of its evidence went.
///
/// # Errors
/// A page or evidence that cannot be read.
pub fn story(root: &Root, mapping: &Mapping, id: &str) -> Result<Story, Faults> {
    let (incident, healthy) = evidence(root, mapping, id)?;
    Ok(Story { prose: page(root, id)?.body, incident: incident.waterfall(), healthy: healthy.first().map(Request::waterfall) })
}

fn page(root: &Root, id: &str) -> Result<Postmortem, Faults> {
    let file = Utf8Path::new(postmortem::FOLDER).join(format!("{id}.md"));
    Postmortem::parse(id, &file, &root.read_text(&file, limit::MARKDOWN_BYTES)?)
}

/// The evidence of one postmortem, read and joined.
pub(crate) struct Read {
    /// The request that the case replays.
    pub(crate) picked: usize,
    /// The incident's requests, by start.
    pub(crate) incidents: Vec<Request>,
    /// The healthy requests, by start.
    pub(crate) healthy: Vec<Request>,
}

impl Read {
    fn new(root: &Root, postmortem: &Postmortem, mapping: &Mapping, faults: &mut Faults) -> Option<Self> {
        let evidence = &postmortem.evidence;
        let incidents = requests(root, &evidence.traces.incident, &evidence.wire.incident, (mapping, faults))?;
        let healthy = requests(root, &evidence.traces.healthy, &evidence.wire.healthy, (mapping, faults))?;
        let Some(picked) = pick(postmortem, &incidents, faults) else {
            if faults.is_empty() {
                faults.push(Fault::new("the incident's evidence holds no request").at(postmortem.title.place.clone()));
            }
            return None;
        };
        Some(Self { picked, incidents, healthy })
    }

    /// The request that the case replays.
    pub(crate) fn incident(&self) -> &Request {
        &self.incidents[self.picked]
    }

    /// What the case is compiled from; `schemas` are the files that its checks name.
    fn compiled(
        &self,
        root: &Root,
        project: &Project,
        (postmortem, schemas): (&Postmortem, &[Reference]),
        faults: &mut Faults,
    ) -> Compiled {
        let text = faults.take(root.read_text(&postmortem.file, limit::MARKDOWN_BYTES)).unwrap_or_default();
        let mut evidence = BTreeMap::new();
        for file in postmortem.files().chain(schemas) {
            if let Some(bytes) = faults.take(file.read_bytes(root, limit::TRACE_BYTES)) {
                evidence.insert(below(postmortem, file), canonical::digest(&bytes));
            }
        }
        Compiled { mapping: mapping::VERSION, postmortem: postmortem_digest(&text), telemetry: telemetry_digest(project), evidence }
    }
}

/// Reads files of traces and wire into requests; a fault points to where the file is named.
fn requests(root: &Root, traces: &[Reference], wire: &[Reference], (mapping, faults): (&Mapping, &mut Faults)) -> Option<Vec<Request>> {
    let mut evidence = Evidence::default();
    let mut whole = true;
    for file in traces {
        let bytes = faults.take(file.read_bytes(root, limit::TRACE_BYTES));
        whole &= bytes.is_some();
        let Some(bytes) = bytes else { continue };
        leaks(&String::from_utf8_lossy(&bytes), file, faults);
        whole &= faults.take(evidence.take_traces(&bytes, file.path.as_str())).is_some();
    }
    for file in wire {
        let text = faults.take(file.read_text(root, limit::TRACE_BYTES));
        whole &= text.is_some();
        let Some(text) = text else { continue };
        leaks(&text, file, faults);
        whole &= faults.take(evidence.take_wire(&text, file.path.as_str())).is_some();
    }
    whole.then(|| evidence.requests(mapping))
}

/// Evidence is redacted when it enters the repository; what still looks like a secret is refused.
fn leaks(text: &str, file: &Reference, faults: &mut Faults) {
    let Ok(redactor) = Redactor::new([]) else { return };
    if let Some(leak) = redactor.scan(text).first() {
        let line = 1 + text.get(..leak.offset).map_or(0, |before| before.matches('\n').count());
        let fault = Fault::new(format!("a secret ({}) is in the evidence", leak.rule)).at(Place::at(file.path.clone(), line as u32, 0));
        faults.push(fault.help("import it with `relapse new`, which redacts, or take the secret out by hand, and revoke it"));
    }
}

/// The earliest incident request, unless the postmortem picks another.
fn pick(postmortem: &Postmortem, incidents: &[Request], faults: &mut Faults) -> Option<usize> {
    let Some(pick) = &postmortem.evidence.pick else { return (!incidents.is_empty()).then_some(0) };
    let id = |request: &Request| request.trace.as_ref().map(|trace| trace.id.clone()).unwrap_or_default();
    let found = incidents.iter().position(|request| id(request) == pick.value.to_lowercase());
    if found.is_none() {
        let known: Vec<String> = incidents.iter().map(id).collect();
        faults.push(
            Fault::new(format!("no incident request has the trace id `{}`", pick.value))
                .at(pick.place.clone())
                .help(format!("the evidence holds {}", known.join(", "))),
        );
    }
    found
}

/// A check of a postmortem, and the schemas that were read for it from beside the postmortem.
fn parse_check(root: &Root, postmortem: &Postmortem, node: &Node, faults: &mut Faults) -> (Option<Check>, Vec<Reference>) {
    let base = Utf8Path::new(postmortem::FOLDER).join(&postmortem.id);
    let schemas = RefCell::new(Vec::new());
    let loader = |file: &str, place: &Place| {
        let path = crate::disk::confine(&base, file).map_err(|fault| fault.at(place.clone()))?;
        let schema = Reference { path, place: place.clone() };
        let text = schema.read_text(root, limit::YAML_BYTES);
        schemas.borrow_mut().push(schema);
        text
    };
    let check = Check::parse(node, &loader, faults);
    (check, schemas.into_inner())
}

/// The field that would make a signal known, for messages and for blind tests.
pub(crate) fn field_of_signal(signal: &str) -> Option<&'static str> {
    let definition = crate::signal::definition(signal)?;
    definition.needs.first().copied().filter(|name| field::definition(name).is_some())
}
