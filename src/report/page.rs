//! A page: labelled paragraphs in columns, for a terminal or a log.

use crate::inert;
use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns below which a value no longer stands beside its label but under it.
const NARROW: usize = 16;

/// What a piece of text is; words say it too, so that nothing is lost without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Quiet,
    Bad,
    Doubtful,
    Changed,
    Good,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Quiet => Style::new().dimmed(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Doubtful => AnsiColor::Yellow.on_default().bold(),
            Self::Changed => AnsiColor::Cyan.on_default().bold(),
            Self::Good => AnsiColor::Green.on_default().bold(),
        }
    }
}

/// A label with its column, in which values hang.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label<'a> {
    /// Spaces before it.
    pub(super) indent: usize,
    /// The word.
    pub(super) word: &'a str,
    /// Columns from its beginning to the value's.
    pub(super) column: usize,
    /// What it is.
    pub(super) tone: Tone,
}

/// Text in lines of at most a width.
#[derive(Debug)]
pub(super) struct Page {
    width: usize,
    colour: bool,
    text: String,
}

impl Page {
    pub(super) fn new(width: usize, colour: bool) -> Self {
        Self { width, colour, text: String::new() }
    }

    /// The page, in which no line is a command to a CI system.
    pub(super) fn into_text(self) -> String {
        inert::workflow_safe(&self.text).into_owned()
    }

    /// One empty line, unless the page is empty or already ends with one.
    pub(super) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Text with an indent, wrapped.
    pub(super) fn paragraph(&mut self, indent: usize, text: &str, tone: Tone) {
        for line in wrap_all(text, self.room(indent)) {
            self.line(indent, &line, tone);
        }
    }

    /// A label with its value, wrapped in the label's column, or under the label where there is little room.
    pub(super) fn entry(&mut self, label: Label<'_>, value: &str, tone: Tone) {
        let hang = hang(&label);
        if self.room(hang) < NARROW {
            self.line(label.indent, label.word, label.tone);
            return self.paragraph(label.indent + 2, value, tone);
        }
        for (index, line) in wrap_all(value, self.room(hang)).iter().enumerate() {
            if index == 0 { self.labelled(label, line, tone) } else { self.line(hang, line, tone) }
        }
    }

    /// A label with a value that is copied or clicked: it is never broken. Where it does not fit beside its label it
    /// goes under it, and where it does not fit there either it is longer than the page is wide.
    pub(super) fn whole(&mut self, label: Label<'_>, value: &str, tone: Tone) {
        if value.width() <= self.room(hang(&label)) {
            return self.labelled(label, value, tone);
        }
        self.line(label.indent, label.word, label.tone);
        self.line(label.indent + 2, value, tone);
    }

    fn room(&self, indent: usize) -> usize {
        self.width.saturating_sub(indent).max(1)
    }

    fn labelled(&mut self, label: Label<'_>, line: &str, tone: Tone) {
        self.spaces(label.indent);
        self.styled(label.word, label.tone);
        self.spaces(hang(&label) - label.indent - label.word.width());
        self.styled(line.trim_end_matches(' '), tone);
        self.end_line();
    }

    fn line(&mut self, indent: usize, line: &str, tone: Tone) {
        self.spaces(indent);
        // A style's end would keep the spaces of a wrapped line.
        self.styled(line.trim_end_matches(' '), tone);
        self.end_line();
    }

    fn spaces(&mut self, count: usize) {
        self.text.extend(std::iter::repeat_n(' ', count));
    }

    fn styled(&mut self, text: &str, tone: Tone) {
        let style = if self.colour { tone.style() } else { Style::new() };
        self.text.push_str(&format!("{style}{text}{style:#}"));
    }

    fn end_line(&mut self) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }
}

/// The column in which a label's value begins; a label that is longer than its column pushes the value on.
fn hang(label: &Label<'_>) -> usize {
    label.indent + label.column.max(label.word.width() + 1)
}

/// Every line of a text wrapped; recorded characters that act or hide are made visible.
fn wrap_all(text: &str, width: usize) -> Vec<String> {
    let shown = inert::visible(text).replace("\r\n", "\n").replace('\t', "    ");
    shown.trim_end_matches('\n').split('\n').flat_map(|line| wrap(line, width)).collect()
}

/// One line wrapped at spaces, and inside words that alone are too long.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let (mut lines, mut used) = (vec![String::new()], 0);
    for piece in line.split_inclusive(' ').flat_map(|word| pieces(word, width)) {
        let fits = used == 0 || used + piece.trim_end_matches(' ').width() <= width;
        if !fits {
            lines.push(String::new());
            used = 0;
        }
        used += piece.width();
        lines.last_mut().expect("it never is empty").push_str(piece);
    }
    lines
}

/// A word in pieces that fit: whole if it does, else cut after punctuation, else between any two characters.
fn pieces(word: &str, width: usize) -> Vec<&str> {
    if word.trim_end_matches(' ').width() <= width {
        return vec![word];
    }
    let parts = word.split_inclusive(['.', '/', '_', '-', ',', ':', '=', '&', '?']);
    parts.flat_map(|part| if part.width() <= width { vec![part] } else { characters(part) }).collect()
}

/// Every character that takes room, with those behind it that take none.
fn characters(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> =
        text.char_indices().filter(|(_, character)| character.width().unwrap_or(0) > 0).map(|(at, _)| at).skip(1).collect();
    starts.push(text.len());
    let begins = std::iter::once(0).chain(starts.clone());
    begins.zip(starts).filter_map(|(begin, end)| text.get(begin..end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LABEL: Label<'_> = Label { indent: 2, word: "actual", column: 10, tone: Tone::Quiet };

    fn page(width: usize, write: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::new(width, false);
        write(&mut page);
        page.into_text()
    }

    #[test]
    fn values_hang_beside_their_label() {
        let text = page(30, |page| page.entry(LABEL, "one two three four\nfive", Tone::Plain));
        assert_eq!(text, "  actual    one two three four\n            five\n");
    }

    #[test]
    fn values_go_under_their_label_where_there_is_little_room() {
        let text = page(20, |page| page.entry(LABEL, "one two three four five", Tone::Plain));
        assert_eq!(text, "  actual\n    one two three\n    four five\n");
    }

    #[test]
    fn a_command_is_never_broken() {
        let text = page(20, |page| page.whole(LABEL, "relapse run some-case --mode record", Tone::Plain));
        assert_eq!(text, "  actual\n    relapse run some-case --mode record\n");
    }

    #[test]
    fn a_long_name_is_cut_after_punctuation() {
        assert_eq!(wrap("healthy.retrieval.documents = 3", 20), ["healthy.retrieval.", "documents = 3"]);
        assert_eq!(wrap("abcdefghijklmnopqrstuvwxyz", 20), ["abcdefghijklmnopqrst", "uvwxyz"]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(wrap("日本語日本語", 6), ["日本語", "日本語"]);
    }

    #[test]
    fn colour_changes_no_word() {
        let mut page = Page::new(40, true);
        page.entry(LABEL, "value", Tone::Bad);
        let text = page.into_text();
        assert!(text.contains("\x1b[31m") && text.contains("value"), "{text:?}");
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_no_character_is_lost(text in "[a-zé日🙂 \n]{0,200}", width in 20usize..90) {
            let lines = wrap_all(&text, width);
            for line in &lines {
                prop_assert!(line.trim_end().width() <= width, "{:?}", line);
            }
            prop_assert_eq!(lines.concat(), text.trim_end_matches('\n').replace('\n', ""));
        }
    }
}
