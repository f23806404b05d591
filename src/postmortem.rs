//! A postmortem: what a person wrote after an incident.

mod conditions;
mod evidence;
mod front;
mod id;
mod test;
#[cfg(test)]
mod tests;

pub use conditions::{Body, Conditions, Document, Documents, End, ModelFault, ToolResult, ToolResults, Upstream};
pub(crate) use conditions::{check_variable, variables};
pub use evidence::{Evidence, Pair};
pub use id::{check_id, check_name};
pub(crate) use test::field_name;
pub use test::{LateSignal, MissingField, Test};

use self::front::Front;
use crate::disk::{Reference, Root};
use crate::fault::{Fault, Faults, Place};
use crate::limit;
use crate::yaml::{Date, Map, Moment, Node, Spanned, Yaml, quote};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use std::collections::BTreeMap;

/// The directory that holds postmortems.
pub const FOLDER: &str = "postmortems";

const KEYS: &[&str] = &[
    "title",
    "class",
    "severity",
    "status",
    "evidence",
    "when",
    "detected_by",
    "cause",
    "trigger",
    "signals_late",
    "fields_missing",
    "tests",
    "conditions",
    "targets",
    "input",
    "tool_results",
    "changed",
    "ruled_out",
    "applies",
    "references",
    "owner",
    "schedule",
    "aliases",
];

/// How grave an incident was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Severity {
    /// `sev1`, the gravest.
    Sev1,
    /// `sev2`.
    Sev2,
    /// `sev3`, unless something else is written.
    #[default]
    Sev3,
    /// `sev4`.
    Sev4,
}

impl Severity {
    const ALL: [(&'static str, Self); 4] = [("sev1", Self::Sev1), ("sev2", Self::Sev2), ("sev3", Self::Sev3), ("sev4", Self::Sev4)];

    /// The word that a person writes for it.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, severity)| *severity == self).map_or("sev3", |(word, _)| word)
    }
}

/// What a case counts for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// Not fixed yet: it must regress, and does not gate.
    Open,
    /// It gates.
    #[default]
    Active,
    /// It is run and shown, and does not gate until a date: `status: {muted: {until: 2026-12-31, why: …}}`.
    Muted {
        /// The last day on which it does not gate.
        until: Date,
        /// Why it does not.
        why: String,
    },
    /// It is kept for its history and not compiled.
    Withdrawn,
}

impl Status {
    /// The word that a person writes for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Active => "active",
            Self::Muted { .. } => "muted",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// Who or what noticed the incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detection {
    /// A user said so.
    User,
    /// An alert fired.
    Alert,
    /// A person looked at samples.
    Review,
    /// The vendor told us.
    Vendor,
    /// The bill told us.
    Bill,
    /// Nobody was looking.
    Chance,
}

impl Detection {
    const ALL: [(&'static str, Self); 6] = [
        ("user", Self::User),
        ("alert", Self::Alert),
        ("review", Self::Review),
        ("vendor", Self::Vendor),
        ("bill", Self::Bill),
        ("chance", Self::Chance),
    ];

    /// The word that a person writes for it.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, detection)| *detection == self).map_or("user", |(word, _)| word)
    }
}

/// When it happened; detection and mitigation may be relative to onset.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct When {
    /// When it began, in seconds since 1970.
    pub onset: Option<f64>,
    /// When it was noticed.
    pub detected: Option<Moment>,
    /// When users stopped suffering.
    pub mitigated: Option<Moment>,
}

/// What was sent in.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// One text of a user.
    Text(Spanned<String>),
    /// A conversation.
    Messages(Vec<Message>),
}

/// One message of a conversation, written `{user: text}` or `{role, content}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// A text, or the parts as a list.
    pub content: Value,
    /// `name`, `tool_calls` and `tool_call_id`, where they are written.
    pub further: BTreeMap<String, Value>,
    /// Where it is written.
    pub place: Place,
}

/// A hypothesis that the authors ruled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledOut {
    /// The hypothesis, as the runbook names it.
    pub hypothesis: Spanned<String>,
    /// Why it is out.
    pub because: String,
}

/// Versions between which the postmortem applies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applies {
    /// The first version or commit with the fault.
    pub introduced: Option<Spanned<String>>,
    /// The first version or commit without it.
    pub fixed: Option<Spanned<String>>,
}

/// A link for the reader, written as a text or as `{type, url}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it is, as in `REPORT` or `FIX`.
    pub kind: Option<String>,
    /// The address or text.
    pub url: Spanned<String>,
}

/// A postmortem as it was written; every item knows its place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Postmortem {
    /// The file's stem.
    pub id: String,
    /// The file, relative to the root.
    pub file: Utf8PathBuf,
    /// One line for people.
    pub title: Spanned<String>,
    /// The failure class; whether the runbook knows it is not checked here.
    pub class: Spanned<String>,
    /// How grave it was.
    pub severity: Severity,
    /// What its case counts for.
    pub status: Status,
    /// Where `status` is written, else the front matter.
    pub status_place: Place,
    /// What was recorded.
    pub evidence: Evidence,
    /// When it happened.
    pub when: When,
    /// Who noticed.
    pub detected_by: Option<Detection>,
    /// What was wrong.
    pub cause: Option<Spanned<String>>,
    /// What set it off.
    pub trigger: Option<Spanned<String>>,
    /// Signals that arrived late.
    pub signals_late: Vec<LateSignal>,
    /// Fields that were missing.
    pub fields_missing: Vec<MissingField>,
    /// Tests that would have caught it.
    pub tests: Vec<Test>,
    /// What a replay re-creates besides the recorded input.
    pub conditions: Conditions,
    /// Names of targets; none means all.
    pub targets: Option<Vec<Spanned<String>>>,
    /// What was sent in, if not what the evidence says.
    pub input: Option<Input>,
    /// What tools answered, if not what the evidence says.
    pub tool_results: Option<ToolResults>,
    /// What had changed before it happened.
    pub changed: Vec<Spanned<String>>,
    /// What it was not.
    pub ruled_out: Vec<RuledOut>,
    /// Versions between which it applies.
    pub applies: Applies,
    /// Links for the reader.
    pub references: Vec<Link>,
    /// Who looks after the case.
    pub owner: Option<Spanned<String>>,
    /// How often it is to run apart from changes, as in `daily`.
    pub schedule: Option<Spanned<String>>,
    /// Other names of the incident.
    pub aliases: Vec<Spanned<String>>,
    /// The Markdown after the front matter, untouched but for `\n` line ends.
    pub body: String,
    /// The line on which the body begins, from 1.
    pub body_line: u32,
}

impl Postmortem {
    /// Reads one postmortem; paths in it are relative to the directory `<id>` beside the file.
    ///
    /// Nothing is opened: that the files exist is found out by who reads them.
    pub fn parse(id: &str, file: &Utf8Path, text: &str) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        faults.take(check_id(id).map_err(|fault| fault.in_file(file)));
        let front = faults.take(front::split(file, text));
        let base = file.parent().unwrap_or(Utf8Path::new("")).join(id);
        match front.and_then(|front| Self::read(front, &base, &mut faults)) {
            Some(postmortem) => faults.into_result(Self { id: id.to_owned(), file: file.to_owned(), ..postmortem }),
            None => Err(faults.into_result(()).err().unwrap_or_default()),
        }
    }

    fn read(front: Front, base: &Utf8Path, faults: &mut Faults) -> Option<Self> {
        if !matches!(front.node.value, Yaml::Map(_)) {
            let fault = front.node.fault(format!("no case in this file: expected a map of keys, found {}", front.node.found()));
            faults.push(fault.help("write at least `title`, `class`, `evidence` and `tests`"));
            return None;
        }
        let map = front.node.as_map(KEYS, faults)?;
        let (status, status_place) = status(map, faults);
        let is_withdrawn = status == Status::Withdrawn;
        Some(Self {
            title: title(map, faults),
            class: required(map, "class", faults),
            severity: map.get("severity").and_then(|node| node.as_choice(&Severity::ALL, faults)).unwrap_or_default(),
            evidence: Evidence::read(map, base, is_withdrawn, faults),
            when: when(map.get("when"), faults),
            detected_by: map.get("detected_by").and_then(|node| node.as_choice(&Detection::ALL, faults)),
            signals_late: test::signals(map.get("signals_late"), faults),
            fields_missing: test::fields(map.get("fields_missing"), faults),
            tests: test::tests(map, is_withdrawn, faults),
            conditions: Conditions::read(map.get("conditions"), base, faults),
            input: map.get("input").and_then(|node| input(node, faults)),
            tool_results: map.get("tool_results").and_then(|node| ToolResults::read(node, base, faults)),
            status,
            status_place,
            body: front.body,
            body_line: front.body_line,
            ..Self::read_notes(map, faults)
        })
    }

    /// The keys that nothing is compiled from.
    fn read_notes(map: Map<'_>, faults: &mut Faults) -> Self {
        let texts = |name: &str, faults: &mut Faults| map.get(name).map(|node| node.as_texts(faults));
        Self {
            cause: map.text("cause", faults),
            trigger: map.text("trigger", faults),
            targets: texts("targets", faults),
            changed: texts("changed", faults).unwrap_or_default(),
            ruled_out: items(map.get("ruled_out"), faults, ruled_out),
            applies: map.get("applies").map(|node| applies(node, faults)).unwrap_or_default(),
            references: items(map.get("references"), faults, link),
            owner: map.text("owner", faults),
            schedule: map.text("schedule", faults),
            aliases: texts("aliases", faults).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Every file that the postmortem names.
    pub fn files(&self) -> impl Iterator<Item = &Reference> {
        let documents = match &self.conditions.documents {
            Some(Documents::File(file)) => Some(file),
            _ => None,
        };
        let tools = match &self.tool_results {
            Some(ToolResults::File(file)) => Some(file),
            _ => None,
        };
        self.evidence.files().chain(documents).chain(tools)
    }
}

/// Every postmortem of the repository, sorted by id; all faults of all files in one go.
///
/// `README.md` is not a postmortem, by this rule. Without a `postmortems/` directory there are none.
pub fn load_all(root: &Root) -> Result<Vec<Postmortem>, Faults> {
    let folder = Utf8Path::new(FOLDER);
    if !root.exists(folder) {
        return Ok(Vec::new());
    }
    let mut faults = Faults::new();
    let files = page_files(root, folder, &mut faults);
    clashes(&files, &mut faults);
    let mut pages = Vec::new();
    for file in files {
        let text = root.read_text(&file, limit::MARKDOWN_BYTES).map_err(|fault| whole_file(fault, &file));
        let Some(text) = faults.take(text) else { continue };
        pages.extend(faults.take(Postmortem::parse(file.file_stem().unwrap_or_default(), &file, &text)));
    }
    faults.into_result(pages)
}

fn whole_file(fault: Fault, file: &Utf8Path) -> Fault {
    if fault.place.is_some() { fault } else { fault.in_file(file) }
}

fn page_files(root: &Root, folder: &Utf8Path, faults: &mut Faults) -> Vec<Utf8PathBuf> {
    let entries = faults.take(root.list(folder)).unwrap_or_default();
    let files = entries.into_iter().filter(|entry| !entry.is_directory).map(|entry| entry.path);
    let (pages, others): (Vec<_>, Vec<_>) = files.partition(|file| file.extension() == Some("md"));
    for file in others.into_iter().filter(|file| is_nearly_markdown(file)) {
        faults.push(Fault::new("not read: a postmortem's name ends in `.md`").in_file(file).help("rename the file"));
    }
    pages.into_iter().filter(|file| file.file_name() != Some("README.md")).collect()
}

fn is_nearly_markdown(file: &Utf8Path) -> bool {
    file.extension().is_some_and(|extension| ["md", "markdown", "mdx"].contains(&extension.to_lowercase().as_str()))
}

/// Two ids that differ only by case are one file on other machines.
fn clashes(files: &[Utf8PathBuf], faults: &mut Faults) {
    let mut seen: BTreeMap<String, &Utf8PathBuf> = BTreeMap::new();
    for file in files {
        let stem = file.file_stem().unwrap_or_default();
        if let Some(first) = seen.insert(stem.to_lowercase(), file) {
            let message = format!("id {} is also that of {first}: the two differ only by case", quote(stem));
            faults.push(Fault::new(message).in_file(file).help("rename one of the two"));
        }
    }
}

fn required(map: Map<'_>, name: &str, faults: &mut Faults) -> Spanned<String> {
    map.require(name, faults).and_then(|node| node.as_spanned(faults)).unwrap_or_default()
}

fn title(map: Map<'_>, faults: &mut Faults) -> Spanned<String> {
    let title = required(map, "title", faults);
    if title.value.trim_end().contains('\n') {
        faults.push(Fault::new("a title is one line").at(title.place.clone()).help("move the rest into the body"));
    }
    title
}

/// The items of a list, each read by itself.
fn items<T>(node: Option<&Node>, faults: &mut Faults, read: fn(&Node, &mut Faults) -> Option<T>) -> Vec<T> {
    let list = node.and_then(|node| node.as_list(faults)).unwrap_or_default();
    list.iter().filter_map(|item| read(item, faults)).collect()
}

fn status(map: Map<'_>, faults: &mut Faults) -> (Status, Place) {
    let Some(node) = map.get("status") else { return (Status::default(), map.place.clone()) };
    let status = match &node.value {
        Yaml::Map(_) => node.as_map(&["muted"], faults).and_then(|map| muted(map, faults)),
        _ => plain_status(node, faults),
    };
    (status.unwrap_or_default(), node.place.clone())
}

fn plain_status(node: &Node, faults: &mut Faults) -> Option<Status> {
    if node.scalar() == Some("muted") {
        let fault = node.fault("`muted` needs a date and a reason");
        faults.push(fault.help("write `status: {muted: {until: 2026-12-31, why: waiting for the vendor}}`"));
        return None;
    }
    let word = node.as_choice(&[("active", 0), ("open", 1), ("muted", 2), ("withdrawn", 3)], faults)?;
    Some(match word {
        1 => Status::Open,
        3 => Status::Withdrawn,
        _ => Status::Active,
    })
}

fn muted(map: Map<'_>, faults: &mut Faults) -> Option<Status> {
    let map = map.require("muted", faults)?.as_map(&["until", "why"], faults)?;
    let until = map.require("until", faults).and_then(|node| node.as_date(faults));
    let why = map.require("why", faults).and_then(|node| node.as_text(faults).map(str::to_owned));
    Some(Status::Muted { until: until?, why: why? })
}

fn when(node: Option<&Node>, faults: &mut Faults) -> When {
    let Some(map) = node.and_then(|node| node.as_map(&["onset", "detected", "mitigated"], faults)) else { return When::default() };
    let onset = map.get("onset").and_then(|node| onset(node, faults));
    let mut later = |name: &str| {
        let node = map.get(name)?;
        let moment = node.as_moment(faults)?;
        if onset.zip(moment.unix_seconds(onset)).is_some_and(|(onset, moment)| moment < onset) {
            faults.push(node.fault(format!("`{name}` is before `onset`")).help("check the dates and offsets"));
        }
        Some(moment)
    };
    When { onset, detected: later("detected"), mitigated: later("mitigated") }
}

fn onset(node: &Node, faults: &mut Faults) -> Option<f64> {
    let moment = node.as_moment(faults)?;
    if moment.unix_seconds(None).is_none() {
        faults.push(node.fault("`onset` cannot be relative to itself").help("write a time with an offset, or leave it out"));
    }
    moment.unix_seconds(None)
}

fn input(node: &Node, faults: &mut Faults) -> Option<Input> {
    match &node.value {
        Yaml::List(_) => Some(Input::Messages(items(Some(node), faults, message))),
        Yaml::Map(_) | Yaml::Null => {
            faults.push(node.unexpected("a text or a list of messages").help("write the text, or `[{user: …}]`"));
            None
        }
        _ => node.as_spanned(faults).map(Input::Text),
    }
}

const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool"];

fn message(node: &Node, faults: &mut Faults) -> Option<Message> {
    let map = node.as_any_map(faults)?;
    if map.get("role").is_none() {
        return short_message(node, map, faults);
    }
    let map = node.as_map(&["role", "content", "name", "tool_calls", "tool_call_id"], faults)?;
    let role = map.get("role")?.as_choice(&ROLES.iter().map(|role| (*role, *role)).collect::<Vec<_>>(), faults)?;
    let further = map.entries().filter(|(key, _)| key.name != "role" && key.name != "content");
    let further = further.map(|(key, node)| (key.name.clone(), node.to_json())).collect();
    let content = map.get("content").map_or(Value::Null, Node::to_json);
    Some(Message { role: role.to_owned(), content, further, place: node.place.clone() })
}

fn short_message(node: &Node, map: Map<'_>, faults: &mut Faults) -> Option<Message> {
    node.as_map(ROLES, faults)?;
    let mut entries = map.entries();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        faults.push(node.fault("a message has one role").help("write `{user: …}` or `{role: user, content: …}`"));
        return None;
    };
    let content = Value::from(value.as_text(faults)?);
    Some(Message { role: key.name.clone(), content, further: BTreeMap::new(), place: node.place.clone() })
}

fn ruled_out(node: &Node, faults: &mut Faults) -> Option<RuledOut> {
    let map = node.as_map(&["hypothesis", "because"], faults)?;
    let because = map.require("because", faults).and_then(|node| node.as_text(faults).map(str::to_owned));
    Some(RuledOut { hypothesis: required(map, "hypothesis", faults), because: because.unwrap_or_default() })
}

fn applies(node: &Node, faults: &mut Faults) -> Applies {
    let Some(map) = node.as_map(&["introduced", "fixed"], faults) else { return Applies::default() };
    Applies { introduced: map.text("introduced", faults), fixed: map.text("fixed", faults) }
}

fn link(node: &Node, faults: &mut Faults) -> Option<Link> {
    if !matches!(node.value, Yaml::Map(_)) {
        return node.as_spanned(faults).map(|url| Link { kind: None, url });
    }
    let map = node.as_map(&["type", "url"], faults)?;
    let kind = map.text("type", faults).map(|kind| kind.value);
    Some(Link { kind, url: required(map, "url", faults) })
}
