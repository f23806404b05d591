//! A patch: how a prompt changed, hunk by hunk, each of which can be taken back alone.

use crate::diagnosis::{Edit, Hunk};
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeSet;

/// The texts of a prompt's messages by role.
pub(super) type Layout = Vec<(String, String)>;

/// The change of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patch {
    previous: Layout,
    messages: Vec<(String, Vec<Segment>)>,
    hunks: Vec<Hunk>,
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    /// Lines of both.
    Kept(String),
    /// The lines of a hunk, by its place.
    Changed { hunk: usize, previous: String, present: String },
}

impl Patch {
    /// The change from one prompt to another; messages of other roles, or more or fewer of them, are one hunk.
    pub(super) fn between(previous: &Layout, present: &Layout) -> Self {
        let mut patch = Self { previous: previous.clone(), messages: Vec::new(), hunks: Vec::new() };
        let is_alike = previous.len() == present.len() && previous.iter().zip(present).all(|(one, other)| one.0 == other.0);
        if !is_alike {
            let lines = |layout: &Layout| layout.iter().flat_map(|(_, text)| text.lines().map(str::to_string)).collect::<Vec<_>>();
            let edits = lines(previous).into_iter().map(Edit::Removed).chain(lines(present).into_iter().map(Edit::Added));
            patch.hunks.push(Hunk { edits: edits.collect() });
            patch.messages = present.iter().map(|(role, text)| (role.clone(), vec![Segment::Kept(text.clone())])).collect();
            return patch;
        }
        for ((role, before), (_, after)) in previous.iter().zip(present) {
            let segments = patch.segments(before, after);
            patch.messages.push((role.clone(), segments));
        }
        patch
    }

    fn segments(&mut self, before: &str, after: &str) -> Vec<Segment> {
        let mut segments = Vec::new();
        for change in TextDiff::from_lines(before, after).iter_all_changes() {
            let line = change.value();
            if change.tag() == ChangeTag::Equal {
                match segments.last_mut() {
                    Some(Segment::Kept(text)) => text.push_str(line),
                    _ => segments.push(Segment::Kept(line.to_string())),
                }
                continue;
            }
            if !matches!(segments.last(), Some(Segment::Changed { .. })) {
                segments.push(Segment::Changed { hunk: self.hunks.len(), previous: String::new(), present: String::new() });
                self.hunks.push(Hunk::default());
            }
            let (Some(Segment::Changed { previous, present, .. }), Some(hunk)) = (segments.last_mut(), self.hunks.last_mut()) else {
                continue;
            };
            let shown = line.trim_end_matches('\n').to_string();
            if change.tag() == ChangeTag::Delete {
                previous.push_str(line);
                hunk.edits.push(Edit::Removed(shown));
            } else {
                present.push_str(line);
                hunk.edits.push(Edit::Added(shown));
            }
        }
        segments
    }

    /// The hunks, in order.
    pub(super) fn hunks(&self) -> &[Hunk] {
        &self.hunks
    }

    /// The present prompt with some hunks as they were before.
    pub(super) fn restoring(&self, hunks: &BTreeSet<usize>) -> Layout {
        if hunks.len() == self.hunks.len() {
            return self.previous.clone();
        }
        let text = |segment: &Segment| match segment {
            Segment::Kept(text) => text.clone(),
            Segment::Changed { hunk, previous, .. } if hunks.contains(hunk) => previous.clone(),
            Segment::Changed { present, .. } => present.clone(),
        };
        self.messages.iter().map(|(role, segments)| (role.clone(), segments.iter().map(text).collect())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(text: &str) -> Layout {
        vec![("system".into(), text.into())]
    }

    #[test]
    fn each_hunk_is_taken_back_alone() {
        let patch = Patch::between(&layout("a\nb\nc\nd"), &layout("a\nB\nc\nd\ne\n"));
        assert_eq!(patch.hunks().len(), 2);
        assert_eq!(patch.restoring(&BTreeSet::from([0])), layout("a\nb\nc\nd\ne\n"));
        assert_eq!(patch.restoring(&BTreeSet::from([1])), layout("a\nB\nc\nd"));
    }

    #[test]
    fn messages_of_other_roles_are_one_hunk() {
        let present = vec![("system".to_string(), "a".to_string()), ("user".to_string(), "b".to_string())];
        let patch = Patch::between(&layout("a"), &present);
        assert_eq!(patch.hunks().len(), 1);
        assert_eq!((patch.restoring(&BTreeSet::new()), patch.restoring(&BTreeSet::from([0]))), (present, layout("a")));
    }

    proptest! {
        #[test]
        fn no_hunk_gives_the_present_and_all_give_the_previous(before in "[ab\n]{0,12}", after in "[ab\n]{0,12}") {
            let patch = Patch::between(&layout(&before), &layout(&after));
            let all = (0..patch.hunks().len()).collect();
            prop_assert_eq!(patch.restoring(&all), layout(&before));
            if !patch.hunks().is_empty() {
                prop_assert_eq!(patch.restoring(&BTreeSet::new()), layout(&after));
            }
        }
    }
}
