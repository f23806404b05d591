//! Faults written down: every one with its place, the line it is about, and the fix.

use crate::fault::{Faults, Place};
use crate::inert;
use camino::Utf8Path;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Characters of a source line that are shown on either side of a column.
const AROUND: usize = 60;

/// Writes every fault as `file:line:column: message`, an excerpt of the line with a caret, and the help.
///
/// `source` gives a file's text, or none; an excerpt is only shown when it does. The first line of a fault is never
/// wrapped, so that editors find the place. No character of a file acts in the output.
pub fn write(faults: &Faults, source: impl Fn(&Utf8Path) -> Option<String>, out: &mut impl Write) -> io::Result<()> {
    let mut text = String::new();
    for fault in faults.iter() {
        text.push_str(&format!("{}\n", inert::one_line(&fault.to_string())));
        let excerpt = fault.place.as_ref().and_then(|place| excerpt(place, &source(&place.file)?));
        text.push_str(&excerpt.unwrap_or_default());
        if let Some(help) = &fault.help {
            text.push_str(&help_lines(help));
        }
    }
    out.write_all(inert::workflow_safe(&text).as_bytes())
}

fn help_lines(help: &str) -> String {
    let shown = inert::visible(help);
    shown.lines().enumerate().map(|(index, line)| format!("  {} {line}\n", if index == 0 { "help:" } else { "     " })).collect()
}

/// The line of a place with a caret under its column; none for a whole file or a line that is not there.
fn excerpt(place: &Place, source: &str) -> Option<String> {
    let index = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let line = source.lines().nth(index)?.trim_start_matches('\u{FEFF}');
    let column = usize::try_from(place.column).ok()?.saturating_sub(1);
    let first = column.saturating_sub(AROUND);
    let before: String = line.chars().skip(first).take(column - first).collect();
    let after: String = line.chars().skip(column).take(AROUND).collect();
    let (before, after) = (show(&before), show(&after));
    let gutter = place.line.to_string();
    let mut lines = format!("  {gutter} | {before}{}\n", after.trim_end());
    if place.column > 0 {
        lines.push_str(&format!("  {} | {}^\n", " ".repeat(gutter.len()), " ".repeat(before.width())));
    }
    Some(lines)
}

fn show(text: &str) -> String {
    inert::visible(text).replace(['\t', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::inert::runner;
    use proptest::prelude::*;

    fn text(faults: &Faults, source: &str) -> String {
        let mut bytes = Vec::new();
        write(faults, |file| (file != "gone.md").then(|| source.to_string()), &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn every_fault_has_place_line_and_fix() {
        let mut faults = Faults::new();
        faults.push(Fault::new("unknown key `titel`").at(Place::at("postmortems/a.md", 2, 3)).help("did you mean `title`?"));
        faults.push(Fault::new("no such file").in_file("gone.md").help("create it\nor name another"));
        faults.push(Fault::new("missing front matter").at(Place::at("postmortems/a.md", 9, 1)));
        faults.push(Fault::new("nothing to run"));
        insta::assert_snapshot!(text(&faults, "---\n\t日titel: The bot\n---\n"), @"
        postmortems/a.md:2:3: unknown key `titel`
          2 |  日titel: The bot
            |    ^
          help: did you mean `title`?
        gone.md: no such file
          help: create it
                or name another
        postmortems/a.md:9:1: missing front matter
        nothing to run
        ");
    }

    #[test]
    fn a_long_line_is_shown_around_the_column() {
        let mut faults = Faults::new();
        faults.push(Fault::new("odd").at(Place::at("a", 1, 500)));
        let text = text(&faults, &"é".repeat(1000));
        assert!(text.lines().all(|line| line.chars().count() < 140), "{text}");
    }

    proptest! {
        #[test]
        fn no_file_acts_in_a_log(hostile in runner::hostile(), line in 0u32..4, column in 0u32..40) {
            let mut faults = Faults::new();
            faults.push(Fault::new(hostile.clone()).at(Place::at(hostile.as_str(), line, column)).help(hostile.clone()));
            let text = text(&faults, &hostile);
            prop_assert_eq!(runner::fired(&text), Vec::<String>::new());
            prop_assert!(!text.contains(['\x1b', '\r']));
        }
    }
}
