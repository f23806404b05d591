//! A waterfall: where the time of a request went, as reports draw it.

/// One stage of a request on its time scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// `model`, `tool`, `retrieval`, `guardrail` or `embedding`.
    pub kind: String,
    /// The model's, tool's or index's name.
    pub name: String,
    /// Seconds since the request began.
    pub start: f64,
    /// Seconds; none when the stage has no end.
    pub duration: Option<f64>,
    /// Whether it failed.
    pub failed: bool,
}

/// The stages of a request, by start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Waterfall {
    /// One bar a stage.
    pub bars: Vec<Bar>,
}

impl Waterfall {
    /// Seconds to the end of the last stage.
    pub fn total(&self) -> f64 {
        self.bars.iter().map(|bar| bar.start + bar.duration.unwrap_or(0.0)).fold(0.0, f64::max)
    }
}

/// What a report tells of a case besides its verdicts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Story {
    /// The postmortem's prose.
    pub prose: String,
    /// The incident.
    pub incident: Waterfall,
    /// The first healthy request; none without healthy evidence.
    pub healthy: Option<Waterfall>,
}
