//! The mapping from names on the wire to fields, as data: which span is what, and which attribute says which field.

use crate::fault::Fault;
use crate::field::{self, Key};
use crate::otlp::{AnyValue, Attributes, Span};
use foldhash::fast::FixedState;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, OnceLock};

/// What a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One call of a model; tokens and calls are counted on these only.
    Model,
    /// One call of an embedding model.
    Embedding,
    /// An agent, a workflow or a wrapper that repeats its children's totals.
    Agent,
    /// A step of the application.
    Chain,
    /// A tool that ran.
    Tool,
    /// A search for passages.
    Retrieval,
    /// A new order of passages.
    Rerank,
    /// A policy check.
    Guardrail,
    /// A score of another span.
    Evaluator,
    /// What a user thought of another span.
    Feedback,
    /// An HTTP request; a candidate for an attempt of a model call.
    Http,
    /// Anything else.
    Other,
}

/// A field or fact that one span carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The normalised value: seconds, counts, texts.
    pub value: Value,
    /// The key under which it was found.
    pub key: Key,
    /// The alias's place in the field's list; lower wins.
    pub rank: usize,
}

/// What one span carries, by the names of fields and facts: a dozen at most, so looked through and not sorted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings(Vec<(&'static str, Found)>);

impl Findings {
    /// What was found under a name.
    pub fn get(&self, name: &str) -> Option<&Found> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, found)| found)
    }

    /// What was found under a name, to be put right.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Found> {
        self.0.iter_mut().find(|(known, _)| *known == name).map(|(_, found)| found)
    }

    /// Whether anything was found under a name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets what was found under a name.
    pub fn insert(&mut self, name: &'static str, found: Found) {
        match self.get_mut(name) {
            Some(known) => *known = found,
            None => self.0.push((name, found)),
        }
    }

    /// Sets what was found under a name under which nothing was found before.
    pub fn complete(&mut self, name: &'static str, found: impl FnOnce() -> Found) {
        if !self.contains_key(name) {
            self.0.push((name, found()));
        }
    }

    /// Sets what others have found under names under which nothing was found before.
    pub fn complete_from(&mut self, others: &Self) {
        others.iter().for_each(|(name, found)| self.complete(name, || found.clone()));
    }

    /// Takes out what was found under a name.
    pub fn remove(&mut self, name: &str) -> Option<Found> {
        let place = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(place).1)
    }

    /// Names and what was found under them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Found)> {
        self.0.iter().map(|(name, found)| (*name, found))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Decode {
    #[default]
    Text,
    Number,
    S,
    Ms,
    Flag,
    First,
    Json,
    Raw,
    SinceStart,
    Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum From {
    #[default]
    Span,
    Resource,
    EventAttribute,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    key: String,
    #[serde(default)]
    decode: Decode,
    at: Option<String>,
    #[serde(default)]
    on: Vec<Kind>,
    #[serde(default)]
    from: From,
    not_convention: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    is: BTreeMap<String, Value>,
    /// The key as reports show it.
    #[serde(skip)]
    shown: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KindRule {
    key: String,
    #[serde(default)]
    is: BTreeMap<String, Kind>,
    #[serde(default)]
    ends: BTreeMap<String, Kind>,
    any: Option<Kind>,
    #[serde(default)]
    client: bool,
    #[serde(default)]
    not_named: Vec<String>,
    #[serde(default)]
    ending: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NameRule {
    scope: String,
    name: String,
    kind: Kind,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConventionRule {
    scope: String,
    #[serde(default)]
    exact: bool,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CannotRule {
    convention: String,
    field: String,
    add: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    kinds: Vec<KindRule>,
    conventions: Vec<ConventionRule>,
    loses_failed_calls: Vec<String>,
    loses_failed_streams: Vec<String>,
    fails_by_event: Vec<String>,
    prepares: Vec<String>,
    names: Vec<NameRule>,
    cannot: Vec<CannotRule>,
    add_for: BTreeMap<String, BTreeMap<String, String>>,
    add: BTreeMap<String, String>,
    fields: BTreeMap<String, Vec<Alias>>,
    facts: BTreeMap<String, Vec<Alias>>,
}

const EMBEDDED: &str = include_str!("mapping.yaml");

static FILE: LazyLock<File> = LazyLock::new(|| {
    let mut file: File = crate::yaml::typed(EMBEDDED).expect("the embedded mapping is read by a test");
    for alias in file.fields.values_mut().chain(file.facts.values_mut()).flatten() {
        alias.shown = shown_key(alias);
    }
    file
});

/// The keys of every field as reports show them, in the order of all fields.
static KEYS: LazyLock<Vec<Vec<Key>>> = LazyLock::new(|| {
    let of = |definition: &field::Definition| FILE.fields.get(definition.name).into_iter().flatten();
    field::ALL.iter().map(|definition| of(definition).map(|alias| Key::Known(&alias.shown)).collect()).collect()
});

static BUILT_IN: Mapping = Mapping { own: BTreeMap::new(), table: OnceLock::new() };

/// A table looked up for every attribute of every span; its own keys are ours, so nobody can make them collide.
type ByKey<T> = HashMap<Arc<str>, T, FixedState>;

/// One alias of one field.
#[derive(Debug)]
struct Entry {
    field: &'static str,
    rank: usize,
    alias: Alias,
    /// The key as reports show it.
    shown: Key,
}

/// The version of the embedded table, which a compiled case records.
pub const VERSION: u32 = 1;

/// The embedded table with a project's own aliases; it is read when the first span asks, which a run of prompts never does.
#[derive(Debug)]
pub struct Mapping {
    own: BTreeMap<String, Vec<String>>,
    table: OnceLock<Table>,
}

/// What a key says: which kind of span it is on, and which fields it tells.
#[derive(Debug, Default)]
struct Row {
    /// The places in the list of kinds at which the key is asked for.
    kinds: Vec<usize>,
    entries: Vec<Entry>,
}

/// What a span is, and everything that it carries.
#[derive(Debug)]
pub struct Told {
    /// What it is.
    pub kind: Kind,
    /// The instrumentation that wrote it, if it is known.
    pub convention: Option<&'static str>,
    /// Fields and facts, the first alias of each winning.
    pub findings: Findings,
}

/// The kinds and aliases, indexed by key.
#[derive(Debug)]
struct Table {
    by_key: ByKey<Row>,
    /// The keys of every field, in the order of all fields.
    fields: Vec<Cow<'static, [Key]>>,
}

impl Mapping {
    /// The table that is embedded in the binary.
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// The embedded table with a project's own aliases before the built-in ones.
    ///
    /// # Errors
    /// A name that is no field, with the one that may be meant.
    pub fn with_aliases(aliases: &BTreeMap<String, Vec<String>>) -> Result<Self, Fault> {
        for name in aliases.keys() {
            if field::definition(name).is_none() {
                let known = field::ALL.iter().map(|definition| definition.name);
                return Err(Fault::new(format!("unknown field `{name}` under telemetry.aliases")).help(crate::fault::suggest(name, known)));
            }
        }
        Ok(Self { own: aliases.clone(), table: OnceLock::new() })
    }

    fn table(&self) -> &Table {
        self.table.get_or_init(|| Table::of(&FILE, &self.own))
    }

    /// The keys under which a field is looked for, most likely first, by the field's place in the list of all.
    pub fn keys_at(&self, place: usize) -> Cow<'static, [Key]> {
        self.table().fields.get(place).cloned().unwrap_or_default()
    }

    /// What a span is, and everything that it carries.
    pub fn read(&self, span: &Span) -> Told {
        self.read_as(span, None)
    }

    /// Everything that a span carries if it is of a kind that others tell; else of its own.
    pub fn read_as(&self, span: &Span, kind: Option<Kind>) -> Told {
        let table = self.table();
        // Every key is looked up once: first they say what the span is, and then what that makes of them.
        let rows = table.rows(span);
        let (kind, convention) = (kind.unwrap_or_else(|| self::kind(span, &rows)), convention(span));
        let about = About { span, kind, convention };
        let mut findings = Findings::default();
        for (row, (_, value)) in rows.iter().zip(&span.attributes) {
            about.take(&mut findings, *row, From::Span, &mut Reading::of(value));
        }
        for (key, value) in span.resource.iter() {
            about.take(&mut findings, table.row(key), From::Resource, &mut Reading::of(value));
        }
        for event in &span.events {
            about.take(&mut findings, table.row(&event.name), From::Span, &mut Reading::event(event.time_ns));
            for (key, value) in &event.attributes {
                about.take(&mut findings, table.row(key), From::EventAttribute, &mut Reading::of(value));
            }
        }
        Told { kind, convention, findings }
    }

    /// One field of one span as text, without resolving the others.
    pub fn text_of(&self, span: &Span, field: &str) -> Option<String> {
        let table = self.table();
        let rows = table.rows(span);
        let told = |row: &Row| row.entries.iter().any(|entry| entry.field == field);
        if !rows.iter().flatten().any(|row| told(row)) {
            return None;
        }
        let about = About { span, kind: kind(span, &rows), convention: convention(span) };
        let mut findings = Findings::default();
        for (row, (_, value)) in rows.iter().zip(&span.attributes).filter(|(row, _)| row.is_some_and(told)) {
            about.take(&mut findings, *row, From::Span, &mut Reading::of(value));
        }
        findings.get(field).and_then(|found| found.value.as_str()).map(str::to_string)
    }
}

impl Table {
    fn of(file: &'static File, aliases: &BTreeMap<String, Vec<String>>) -> Self {
        debug_assert_eq!(file.version, VERSION, "mapping.yaml");
        let mut table = Self { by_key: ByKey::default(), fields: KEYS.iter().map(|keys| Cow::Borrowed(keys.as_slice())).collect() };
        for (place, rule) in file.kinds.iter().enumerate() {
            table.by_key.entry(rule.key.as_str().into()).or_default().kinds.push(place);
        }
        for (field, list) in file.fields.iter().chain(&file.facts) {
            let own = aliases.get(field).into_iter().flatten().map(|key| (own_alias(key, list), Key::Own(key.as_str().into())));
            let all: Vec<(Alias, Key)> = own.chain(list.iter().map(|alias| (alias.clone(), Key::Known(&alias.shown)))).collect();
            if let Some(place) = field::place(field).filter(|_| aliases.contains_key(field)) {
                table.fields[place] = all.iter().map(|(_, shown)| shown.clone()).collect();
            }
            for (rank, (alias, shown)) in all.into_iter().enumerate() {
                let key = Arc::from(alias.key.as_str());
                table.by_key.entry(key).or_default().entries.push(Entry { field, rank, shown, alias });
            }
        }
        table
    }

    /// The row of each attribute of a span.
    fn rows(&self, span: &Span) -> Vec<Option<&Row>> {
        span.attributes.iter().map(|(key, _)| self.row(key)).collect()
    }

    fn row(&self, key: &str) -> Option<&Row> {
        self.by_key.get(key)
    }
}

/// A span, and what is known of it before its fields are.
struct About<'a> {
    span: &'a Span,
    kind: Kind,
    convention: Option<&'a str>,
}

impl About<'_> {
    /// Takes what a key says, where its alias comes before what was found.
    fn take(&self, findings: &mut Findings, row: Option<&Row>, from: From, reading: &mut Reading<'_>) {
        for Entry { field, rank, alias, shown } in row.into_iter().flat_map(|row| &row.entries) {
            let better = || findings.get(field).is_none_or(|found| *rank < found.rank);
            if alias.from == from
                && better()
                && self.fits(alias)
                && let Some(value) = reading.decode(alias, self.span)
            {
                findings.insert(field, Found { value, key: shown.clone(), rank: *rank });
            }
        }
    }

    fn fits(&self, alias: &Alias) -> bool {
        let scope = &self.span.scope.name;
        (alias.on.is_empty() || alias.on.contains(&self.kind))
            && (alias.not_convention.is_none() || alias.not_convention.as_deref() != self.convention)
            && (alias.scopes.is_empty()
                || alias.scopes.iter().any(|start| scope.starts_with(start.as_str()) && scope.is_empty() == start.is_empty()))
    }
}

/// One attribute or event while its aliases are tried; JSON in it is parsed once.
struct Reading<'a> {
    value: Option<&'a AnyValue>,
    time_ns: u64,
    parsed: Option<Option<Value>>,
}

impl<'a> Reading<'a> {
    fn of(value: &'a AnyValue) -> Self {
        Self { value: Some(value), time_ns: 0, parsed: None }
    }

    fn event(time_ns: u64) -> Self {
        Self { value: None, time_ns, parsed: None }
    }

    fn decode(&mut self, alias: &Alias, span: &Span) -> Option<Value> {
        let Some(value) = self.value else { return event_time(alias, self.time_ns, span) };
        match alias.decode {
            Decode::Text if !alias.is.is_empty() => alias.is.get(&text(value)?.to_lowercase()).cloned(),
            Decode::Text => text(value).map(Value::from),
            Decode::Number => number(value).and_then(plain_number),
            Decode::S => number(value).and_then(seconds),
            Decode::Ms => number(value).and_then(|ms| seconds(ms / 1e3)),
            Decode::Flag => flag(value).map(Value::from),
            Decode::First => first(value).map(Value::from),
            Decode::Json => pointed(self.parsed.get_or_insert_with(|| json(value)).as_ref()?, alias.at.as_deref()),
            Decode::Raw => raw(value).map(Value::from),
            Decode::SinceStart => since_start(value, span).and_then(seconds),
            Decode::Event => None,
        }
    }
}

/// A project's alias is decoded as the built-in ones of its field are.
fn own_alias(key: &str, list: &[Alias]) -> Alias {
    let model = list.iter().find(|alias| matches!(alias.decode, Decode::Text | Decode::Number | Decode::S | Decode::Flag | Decode::First));
    let decode = model.map_or(Decode::Text, |alias| if alias.decode == Decode::First { Decode::Text } else { alias.decode });
    Alias {
        key: key.to_string(),
        decode,
        at: None,
        on: Vec::new(),
        from: From::Span,
        not_convention: None,
        scopes: Vec::new(),
        is: BTreeMap::new(),
        shown: key.to_string(),
    }
}

fn shown_key(alias: &Alias) -> String {
    match (&alias.at, alias.decode) {
        (Some(at), _) => format!("{}{at}", alias.key),
        (None, Decode::Event) => format!("event {}", alias.key),
        (None, _) => alias.key.clone(),
    }
}

fn event_time(alias: &Alias, time_ns: u64, span: &Span) -> Option<Value> {
    // SDKs keep the newest events, so after a drop the first one kept is not the first one sent.
    let known = alias.decode == Decode::Event && span.dropped_events == 0 && span.start_ns > 0 && time_ns >= span.start_ns;
    known.then(|| seconds((time_ns - span.start_ns) as f64 / 1e9)).flatten()
}

fn plain_number(number: f64) -> Option<Value> {
    if number.fract() == 0.0 && number.abs() < 9.0e15 {
        Some((number as i64).into())
    } else {
        serde_json::Number::from_f64(number).map(Value::Number)
    }
}

fn seconds(number: f64) -> Option<Value> {
    (number.is_finite() && number >= 0.0).then(|| (number * 1e6).round() / 1e6).and_then(plain_number)
}

/// A scalar as text; an empty one is nothing, and neither is what an SDK puts in place of one.
pub fn text(value: &AnyValue) -> Option<String> {
    let text = match value {
        AnyValue::Text(text) => text.clone(),
        AnyValue::Bool(flag) => flag.to_string(),
        AnyValue::Int(int) => int.to_string(),
        AnyValue::Double(double) => double.to_string(),
        AnyValue::Null | AnyValue::Bytes(_) | AnyValue::List(_) | AnyValue::Map(_) => return None,
    };
    (!text.trim().is_empty() && !text.starts_with(SCRUBBED)).then_some(text)
}

/// What Logfire writes in place of a value whose name or content looks like a secret, as it does with `session.id`.
const SCRUBBED: &str = "[Scrubbed due to '";

/// A number, also one written as text.
pub fn number(value: &AnyValue) -> Option<f64> {
    let number = match value {
        AnyValue::Int(int) => *int as f64,
        AnyValue::Double(double) => *double,
        AnyValue::Text(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn flag(value: &AnyValue) -> Option<bool> {
    match value {
        AnyValue::Bool(flag) => Some(*flag),
        AnyValue::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        AnyValue::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn first(value: &AnyValue) -> Option<String> {
    match value {
        AnyValue::List(items) => items.iter().find_map(text),
        AnyValue::Text(list) if list.trim_start().starts_with('[') => match serde_json::from_str::<Vec<Value>>(list) {
            Ok(items) => items.iter().find_map(|item| item.as_str().map(str::to_string)),
            Err(_) => text(value),
        },
        _ => text(value),
    }
}

/// JSON in a string (also twice encoded), or structured values as they are.
pub fn json(value: &AnyValue) -> Option<Value> {
    match value {
        AnyValue::Text(encoded) => {
            let parsed: Value = serde_json::from_str(encoded).ok()?;
            match &parsed {
                Value::String(inner) if inner.trim_start().starts_with(['{', '[']) => serde_json::from_str(inner).ok().or(Some(parsed)),
                _ => Some(parsed),
            }
        }
        AnyValue::List(_) | AnyValue::Map(_) => Some(value.to_json()),
        _ => None,
    }
}

fn pointed(json: &Value, at: Option<&str>) -> Option<Value> {
    let found = match at {
        // A key of the map may itself hold dots, as in `metadata.request_id`; the pointer names it whole.
        Some(at) => json.pointer(at)?,
        None => json,
    };
    match found {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        other => Some(other.clone()),
    }
}

fn raw(value: &AnyValue) -> Option<String> {
    match value {
        AnyValue::Null | AnyValue::Bytes(_) => None,
        AnyValue::Text(text) => Some(text.clone()),
        other => Some(other.to_json().to_string()),
    }
}

fn since_start(value: &AnyValue, span: &Span) -> Option<f64> {
    let text = text(value)?;
    let time = chrono::DateTime::parse_from_rfc3339(text.trim().trim_matches('"')).ok()?;
    let nanos = time.timestamp_nanos_opt()?;
    Some((nanos as f64 - span.start_ns as f64) / 1e9)
}

/// The kind of a span that answers a request.
const SERVER: u8 = 2;

/// What a span is, by the order of evidence; of two equal keys the last counts. A row for each attribute.
fn kind(span: &Span, rows: &[Option<&Row>]) -> Kind {
    // A field of newer protocol versions, which says it outright.
    if span.kind_type.as_deref() == Some("gen_ai.client.inference") {
        return Kind::Model;
    }
    let mut best: Option<(usize, Kind)> = None;
    for (row, (_, value)) in rows.iter().zip(&span.attributes).rev() {
        for place in row.iter().flat_map(|row| &row.kinds) {
            let rule = &FILE.kinds[*place];
            let counts = best.is_none_or(|(held, _)| *place < held) && rule.fits(span);
            if counts && let Some(kind) = rule.kind(value) {
                best = Some((*place, kind));
            }
        }
    }
    let by_name = || FILE.names.iter().find(|rule| rule.scope == span.scope.name && rule.name == span.name).map(|rule| rule.kind);
    best.map(|(_, kind)| kind).or_else(by_name).unwrap_or(Kind::Other)
}

fn begins_with_any(text: &str, starts: &[String]) -> bool {
    starts.iter().any(|start| text.starts_with(start.as_str()))
}

/// Whether an instrumentation may export no span of a stream that broke off.
pub fn loses_failed_streams(scope: &str) -> bool {
    begins_with_any(scope, &FILE.loses_failed_streams)
}

/// Whether an instrumentation says OK of a span that an exception ended.
pub fn fails_by_event(scope: &str) -> bool {
    begins_with_any(scope, &FILE.fails_by_event)
}

/// Whether a span only makes something ready for requests to come.
pub fn prepares(span: &Span) -> bool {
    let operation = span.attributes.iter().find(|(key, _)| key == "gen_ai.operation.name").and_then(|(_, value)| value.as_text());
    operation.is_some_and(|operation| FILE.prepares.iter().any(|known| known == operation))
}

impl KindRule {
    fn fits(&self, span: &Span) -> bool {
        (!self.client || span.kind != SERVER)
            && !begins_with_any(&span.name, &self.not_named)
            && (self.ending.is_empty() || self.ending.iter().any(|end| span.name.ends_with(end.as_str())))
    }

    fn kind(&self, value: &AnyValue) -> Option<Kind> {
        if self.any.is_some() {
            return self.any;
        }
        let word = value.as_text()?.trim_matches('"');
        // As a rule the word is in lower case already.
        self.of_word(word).or_else(|| self.of_word(&word.to_lowercase()))
    }

    fn of_word(&self, word: &str) -> Option<Kind> {
        let by_end = || self.ends.iter().find(|(end, _)| word.ends_with(end.as_str())).map(|(_, kind)| *kind);
        self.is.get(word).copied().or_else(by_end)
    }
}

/// The instrumentation that wrote a span, if its scope is known.
fn convention(span: &Span) -> Option<&'static str> {
    let scope = span.scope.name.as_str();
    let rule = FILE.conventions.iter().find(|rule| if rule.exact { scope == rule.scope } else { scope.starts_with(&rule.scope) });
    if let Some(rule) = rule {
        return Some(&rule.name);
    }
    by_attributes(&span.attributes)
}

fn by_attributes(attributes: &Attributes) -> Option<&'static str> {
    let starts = |prefix: &str| attributes.iter().any(|(key, _)| key.starts_with(prefix));
    [
        ("openinference.", "openinference"),
        ("traceloop.", "openllmetry"),
        ("langfuse.", "langfuse"),
        ("langsmith.", "langsmith"),
        ("gen_ai.", "otel-genai"),
    ]
    .into_iter()
    .find(|(prefix, _)| starts(prefix))
    .map(|(_, name)| name)
}

/// Whether the instrumentation of that scope exports no span for a model call that fails.
pub fn loses_failed_calls(scope: &str) -> bool {
    begins_with_any(scope, &FILE.loses_failed_calls)
}

/// What an instrumentation has to say of a field that is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Advice {
    /// The attribute to add, in its own words.
    pub add: Option<&'static str>,
    /// What to do because it cannot carry the field by itself.
    pub instead: Option<&'static str>,
}

/// What an instrumentation has to say of each field, in the order of all fields; none when it has nothing to say of any.
pub fn advice(convention: &str) -> Option<&'static [Advice]> {
    static ADVICE: LazyLock<HashMap<&str, Vec<Advice>, FixedState>> = LazyLock::new(|| {
        let mut all: HashMap<&str, Vec<Advice>, FixedState> = HashMap::default();
        let of_none = || vec![Advice::default(); field::ALL.len()];
        for (convention, adds) in &FILE.add_for {
            let advice = all.entry(convention).or_insert_with(of_none);
            adds.iter().filter_map(|(field, add)| Some((field::place(field)?, add))).for_each(|(place, add)| advice[place].add = Some(add));
        }
        for rule in FILE.cannot.iter().rev() {
            let advice = all.entry(&rule.convention).or_insert_with(of_none);
            if let Some(place) = field::place(&rule.field) {
                advice[place].instead = Some(&rule.add);
            }
        }
        all
    });
    ADVICE.get(convention).map(Vec::as_slice)
}

/// What to add where nothing better is known.
const ADD_ANYTHING: &str = "an attribute named under telemetry.aliases";

/// The attribute to add for a field, or what to add for a signal that fields alone do not make; whatever the instrumentation.
pub fn attribute_to_add(field: &str) -> &'static str {
    let of_signal = || FILE.add.get(field).map_or(ADD_ANYTHING, String::as_str);
    field::place(field).map_or_else(of_signal, attribute_to_add_at)
}

/// The attribute to add for a field by its place in the list of all, whatever the instrumentation.
pub fn attribute_to_add_at(place: usize) -> &'static str {
    static ADD: LazyLock<Vec<&str>> =
        LazyLock::new(|| field::ALL.iter().map(|definition| FILE.add.get(definition.name).map_or(ADD_ANYTHING, String::as_str)).collect());
    ADD[place]
}
