//! The difference between an accepted and a pending snapshot: lines with the words that changed.

use similar::{ChangeTag, TextDiff};
use std::time::Duration;

/// Lines of agreement kept on each side of a change.
const CONTEXT: usize = 2;
/// How long words are compared before lines must do.
const PATIENCE: Duration = Duration::from_millis(200);

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in both.
    Kept,
    /// Only what was accepted has it.
    Removed,
    /// Only the candidate has it.
    Added,
    /// Lines that both have were left out here.
    Skipped,
}

impl Fate {
    /// One character for the margin.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Kept => " ",
            Self::Removed => "-",
            Self::Added => "+",
            Self::Skipped => "…",
        }
    }
}

/// One line of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What became of it.
    pub fate: Fate,
    /// Its pieces, each with whether it changed.
    pub pieces: Vec<(bool, String)>,
}

impl Line {
    /// The line's text, with `[-…-]` or `{+…+}` around words that changed within it.
    pub fn marked(&self) -> String {
        let whole = self.pieces.iter().all(|(changed, _)| *changed);
        let piece = |(changed, piece): &(bool, String)| match (self.fate, *changed && !whole) {
            (Fate::Removed, true) => format!("[-{piece}-]"),
            (Fate::Added, true) => format!("{{+{piece}+}}"),
            _ => piece.clone(),
        };
        self.pieces.iter().map(piece).collect()
    }
}

/// The lines that differ, with a little of what stands around them.
pub fn lines(accepted: &str, candidate: &str) -> Vec<Line> {
    let (accepted, candidate) = (closed(accepted), closed(candidate));
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(&accepted, &candidate);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        let begins_later = group.first().is_some_and(|operation| operation.old_range().start > 0);
        if index > 0 || begins_later {
            lines.push(Line { fate: Fate::Skipped, pieces: Vec::new() });
        }
        for change in group.iter().flat_map(|operation| diff.iter_inline_changes(operation)) {
            let fate = match change.tag() {
                ChangeTag::Equal => Fate::Kept,
                ChangeTag::Delete => Fate::Removed,
                ChangeTag::Insert => Fate::Added,
            };
            let pieces = change.iter_strings_lossy().map(|(changed, piece)| (changed, piece.trim_end_matches('\n').to_string()));
            lines.push(Line { fate, pieces: pieces.filter(|(_, piece)| !piece.is_empty()).collect() });
        }
    }
    lines
}

/// Without its last line end, a text's last line would differ from the same line in the middle of another.
fn closed(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{}\n", text.trim_end_matches('\n')) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(accepted: &str, candidate: &str) -> String {
        let shown = |line: &Line| format!("{}{}", line.fate.sign(), line.marked());
        lines(accepted, candidate).iter().map(shown).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_words_that_changed_are_marked() {
        let expected = "…\n c\n d\n-answer in [-thirty-] days\n+answer in {+sixty+} days";
        assert_eq!(shown("a\nb\nc\nd\nanswer in thirty days", "a\nb\nc\nd\nanswer in sixty days"), expected);
    }

    #[test]
    fn a_first_snapshot_is_all_new_and_an_equal_one_is_nothing() {
        assert_eq!(lines("", "a\nb").iter().map(|line| line.fate).collect::<Vec<_>>(), [Fate::Added, Fate::Added]);
        assert!(lines("a\n", "a").is_empty());
    }
}
