//! A field: a canonical piece of telemetry, and whether a trace carries it.

mod key;

use foldhash::fast::FixedState;
pub use key::Key;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// The groups of the minimum telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Who asked for what.
    Request,
    /// How long and how much.
    Performance,
    /// Tools and retrieval.
    Stages,
    /// How it ended.
    Result,
    /// What was thought of it; optional in the minimum.
    Quality,
    /// Known, but in no profile.
    Other,
}

/// When the minimum requires a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Only if an answer was streamed.
    Streamed,
    /// Only if the model asked for a tool.
    ToolRequested,
    /// Only if a retrieval took place.
    Retrieved,
    /// Never by itself: only if a postmortem or the project asks for it.
    Asked,
}

/// The definition of one field.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The canonical name.
    pub name: &'static str,
    /// Its group.
    pub group: Group,
    /// When the minimum requires it.
    pub when: When,
}

const fn define(name: &'static str, group: Group, when: When) -> Definition {
    Definition { name, group, when }
}

/// Every field, in the order in which reports show them.
pub const ALL: &[Definition] = &[
    define("request.id", Group::Request, When::Always),
    define("session.id", Group::Request, When::Always),
    define("user.id", Group::Request, When::Always),
    define("feature", Group::Request, When::Always),
    define("model.requested", Group::Request, When::Always),
    define("model.responded", Group::Request, When::Always),
    define("prompt.version", Group::Request, When::Always),
    define("latency.total", Group::Performance, When::Always),
    define("latency.first_token", Group::Performance, When::Streamed),
    define("retries.count", Group::Performance, When::Always),
    define("usage.input_tokens", Group::Performance, When::Always),
    define("usage.output_tokens", Group::Performance, When::Always),
    define("tool.requested", Group::Stages, When::ToolRequested),
    define("tool.executed", Group::Stages, When::ToolRequested),
    define("tool.returned", Group::Stages, When::ToolRequested),
    define("retrieval.documents", Group::Stages, When::Retrieved),
    define("outcome", Group::Result, When::Always),
    define("finish_reason", Group::Result, When::Always),
    define("policy.verdict", Group::Quality, When::Asked),
    define("refusal", Group::Quality, When::Asked),
    define("score", Group::Quality, When::Asked),
    define("feedback", Group::Quality, When::Asked),
    define("review", Group::Quality, When::Asked),
    define("provider", Group::Other, When::Asked),
    define("response.id", Group::Other, When::Asked),
    define("prompt.name", Group::Other, When::Asked),
    define("prompt.hash", Group::Other, When::Asked),
    define("release", Group::Other, When::Asked),
    define("environment", Group::Other, When::Asked),
    define("streamed", Group::Other, When::Asked),
    define("usage.cached_tokens", Group::Other, When::Asked),
    define("usage.reasoning_tokens", Group::Other, When::Asked),
    define("cost", Group::Other, When::Asked),
    define("error.type", Group::Other, When::Asked),
    define("input", Group::Other, When::Asked),
    define("output", Group::Other, When::Asked),
    define("index.version", Group::Other, When::Asked),
];

/// The definition of a field.
pub fn definition(name: &str) -> Option<&'static Definition> {
    place(name).map(|place| &ALL[place])
}

/// A field's place in [`ALL`].
pub fn place(name: &str) -> Option<usize> {
    static PLACES: LazyLock<HashMap<&str, usize, FixedState>> =
        LazyLock::new(|| ALL.iter().enumerate().map(|(place, definition)| (definition.name, place)).collect());
    PLACES.get(name).copied()
}

/// The state of every field of one request; of none where there was no telemetry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct States {
    /// In the order of [`ALL`], or empty.
    states: Vec<State>,
}

impl States {
    /// The states of all fields, in the order of [`ALL`].
    pub fn new(states: Vec<State>) -> Self {
        debug_assert_eq!(states.len(), ALL.len());
        Self { states }
    }

    /// Whether there was no telemetry.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// How many fields have a state: all or none.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// The state of one field; none for a name that is no field, and where there was no telemetry.
    pub fn get(&self, name: &str) -> Option<&State> {
        place(name).and_then(|place| self.states.get(place))
    }

    /// Every field with its state, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &State)> {
        static BY_NAME: LazyLock<Vec<usize>> = LazyLock::new(|| {
            let mut places: Vec<usize> = (0..ALL.len()).collect();
            places.sort_by_key(|place| ALL[*place].name);
            places
        });
        BY_NAME.iter().filter_map(|place| Some((ALL[*place].name, self.states.get(*place)?)))
    }
}

/// The fields of the minimum profile, quality group left out.
pub fn minimum() -> impl Iterator<Item = &'static Definition> {
    ALL.iter().filter(|definition| definition.when != When::Asked)
}

/// On which spans a field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum On {
    /// On any span, log record or resource of the request.
    #[default]
    Any,
    /// On the request's root span.
    Root,
    /// On every model call; one that lacks it is missing.
    EveryModelCall,
    /// On every tool call.
    EveryToolCall,
    /// On every retrieval.
    EveryRetrieval,
}

impl On {
    /// Every place with the words a person writes for it.
    pub const ALL: [(&'static str, Self); 5] = [
        ("any", Self::Any),
        ("root", Self::Root),
        ("every model call", Self::EveryModelCall),
        ("every tool call", Self::EveryToolCall),
        ("every retrieval", Self::EveryRetrieval),
    ];

    /// The place that the words name.
    pub fn parse(words: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == words).map(|(_, on)| *on)
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, on)| on == self).map_or("any", |(name, _)| name);
        f.write_str(name)
    }
}

/// Whether a trace carries a field.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It does.
    Present {
        /// The normalised value.
        value: Value,
        /// The span that carries it; none for a resource or a log record without a span.
        span: Option<String>,
        /// The key under which it was found.
        key: Key,
    },
    /// It does not.
    Absent {
        /// The keys that were looked for, most likely first.
        looked: Cow<'static, [Key]>,
        /// The attribute to add for this instrumentation.
        add: Cow<'static, str>,
    },
    /// Nothing can be said: content capture off, events dropped, truncated, or the instrumentation cannot carry it.
    Indeterminate {
        /// A word for the reason, as in `events-dropped`.
        reason: String,
        /// The attribute or setting to add for this instrumentation.
        add: Cow<'static, str>,
    },
    /// It was not required: nothing was streamed, no tool was asked for, there is no such span.
    ConditionNotMet,
}

impl State {
    /// Whether the field is there.
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present { .. })
    }

    /// Whether the field is due and not told.
    pub fn is_lacking(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Indeterminate { .. })
    }

    /// The value, if the field is there.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Present { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The word for reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Present { .. } => "present",
            Self::Absent { .. } => "absent",
            Self::Indeterminate { .. } => "indeterminate",
            Self::ConditionNotMet => "condition-not-met",
        }
    }
}
