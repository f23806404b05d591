//! An observation: everything that checks may look at, of one candidate.

use crate::expression::{Environment, FieldValue, Frame};
use crate::field::{State, States};
use crate::grade::Grades;
use crate::request::ToolUse;
use crate::signal::{Datum, Signals};
use crate::trace::Document;
use serde_json::{Map, Value};

/// What one candidate did, beside what it is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The answer; none when it was not captured.
    pub answer: Option<&'a str>,
    /// The candidate's signals.
    pub signals: &'a Signals,
    /// The healthy requests' medians.
    pub healthy: &'a Signals,
    /// The incident's signals.
    pub incident: &'a Signals,
    /// The accepted run's signals; the healthy ones until a run was accepted.
    pub accepted: &'a Signals,
    /// The candidate's fields; none where there is no telemetry.
    pub fields: Option<&'a States>,
    /// The healthy request's values of fields.
    pub healthy_fields: &'a Map<String, Value>,
    /// The tools that were asked for; none when nothing says.
    pub tool_uses: Option<&'a [ToolUse]>,
    /// The passages that were found; none when nothing says.
    pub documents: Option<&'a [Document]>,
    /// What graders said of the answer; none where nobody asks them.
    pub grades: Option<&'a Grades>,
}

impl Environment for Observation<'_> {
    fn signal(&self, frame: Frame, name: &str) -> Datum {
        let signals = match frame {
            Frame::Now => self.signals,
            Frame::Healthy | Frame::Base => self.healthy,
            Frame::Incident => self.incident,
            Frame::Accepted => self.accepted,
            Frame::Change => return Datum::Unknown,
        };
        signals.read(name).clone()
    }

    fn field(&self, name: &str) -> FieldValue {
        match self.fields.and_then(|fields| fields.get(name)) {
            Some(State::Present { value, .. }) => FieldValue::Present(value.clone()),
            Some(State::Absent { .. }) => FieldValue::Absent,
            Some(State::Indeterminate { .. } | State::ConditionNotMet) | None => FieldValue::Unknown,
        }
    }

    fn compared_field(&self, name: &str) -> FieldValue {
        self.healthy_fields.get(name).map_or(FieldValue::Unknown, |value| FieldValue::Present(value.clone()))
    }
}
