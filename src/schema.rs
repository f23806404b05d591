//! JSON Schemas of the files that a person writes, for editors.

/// A file that a person writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `relapse.yaml`.
    Relapse,
    /// The front matter of a postmortem.
    Postmortem,
    /// `runbook.yaml`.
    Runbook,
}

impl Schema {
    /// Every schema with the word for it.
    pub const ALL: [(&'static str, Self); 3] = [("relapse", Self::Relapse), ("postmortem", Self::Postmortem), ("runbook", Self::Runbook)];

    /// The schema in JSON, of draft 7, which editors know best. It stands alone: it refers to nothing outside.
    ///
    /// It refuses only what relapse refuses too. What one value alone does not tell (a name that must exist, a pattern
    /// that must compile) it lets pass.
    pub fn json(self) -> &'static str {
        match self {
            Self::Relapse => include_str!("schema/relapse.json"),
            Self::Postmortem => include_str!("schema/postmortem.json"),
            Self::Runbook => include_str!("schema/runbook.json"),
        }
    }
}
