//! An outcome: what a whole run means to a build, with its exit code.

/// What a run means to a build, with its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything selected was decided and passed, and at least one was (exit 0).
    Passed,
    /// `--changed-since` or `--shard` left nothing, though the suite has cases (exit 0).
    NotAffected,
    /// At least one case regressed (exit 1).
    Regressed,
    /// Flags or files are wrong, or a case is stale; nothing was sent (exit 2).
    Misconfigured,
    /// Something could not be decided for reasons outside the suite (exit 3).
    Infrastructure,
    /// The selection is empty (exit 4).
    NothingRan,
    /// A recording is missing, or a change waits for a person (exit 5).
    NeedsPerson,
    /// A bug in relapse (exit 70).
    Internal,
    /// A requested report could not be written (exit 74).
    Unreported,
    /// SIGINT; reports are written and marked incomplete (exit 130).
    Interrupted,
    /// SIGTERM; reports are written and marked incomplete (exit 143).
    Terminated,
}

impl Outcome {
    /// Every outcome with its word and exit code, worst first: of several at once the first wins.
    pub const ALL: [(Self, &'static str, u8); 11] = [
        (Self::Internal, "internal", 70),
        (Self::Interrupted, "interrupted", 130),
        (Self::Terminated, "interrupted", 143),
        (Self::Misconfigured, "misconfigured", 2),
        (Self::Regressed, "regressed", 1),
        (Self::Unreported, "unreported", 74),
        (Self::Infrastructure, "infrastructure", 3),
        (Self::NeedsPerson, "needs-person", 5),
        (Self::NothingRan, "nothing-ran", 4),
        (Self::NotAffected, "not-affected", 0),
        (Self::Passed, "passed", 0),
    ];

    /// The word in reports.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|row| row.0 == self).map_or("internal", |row| row.1)
    }

    /// The exit code.
    pub fn exit(self) -> u8 {
        Self::ALL.iter().find(|row| row.0 == self).map_or(70, |row| row.2)
    }

    /// Whether the run came to its own end, so that a report of it has every case.
    pub fn is_complete(self) -> bool {
        !matches!(self, Self::Internal | Self::Interrupted | Self::Terminated)
    }

    /// The graver of two outcomes.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let rank = |outcome| Self::ALL.iter().position(|row| row.0 == outcome);
        if rank(self) <= rank(other) { self } else { other }
    }
}
