//! The only place that writes to standard output and standard error.

use super::Colour;
use crate::disk::Root;
use crate::fault::{FaultKind, Faults};
use crate::inert;
use crate::limit;
use crate::report;
use crate::verdict::{Outcome, Summary};
use std::io::{self, IsTerminal, Write};

/// Where output goes, and how it may look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    colour: bool,
    width: usize,
}

/// Columns when nothing says how many there are.
const WIDTH: usize = 100;

impl Terminal {
    pub(super) fn new(colour: Colour) -> Self {
        let choice = match colour {
            Colour::Auto => anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
            Colour::Always => true,
            Colour::Never => false,
        };
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))).unwrap_or(WIDTH);
        Self { colour: choice, width: width.clamp(20, 120) }
    }

    /// One line for the reader; recorded text in it is made inert.
    pub(super) fn line(self, text: &str) {
        self.raw(format!("{}\n", inert::workflow_safe(&inert::visible(text))).as_bytes());
    }

    /// Bytes as they are, for scripts.
    pub(super) fn raw(self, bytes: &[u8]) {
        // A reader that went away (`| head`) changes no verdict.
        let _ = io::stdout().write_all(bytes).and_then(|()| io::stdout().flush());
    }

    /// How a screen of `relapse trace` looks here.
    pub(super) fn screen(self) -> report::screen::Options {
        report::screen::Options { colour: self.colour, width: self.width }
    }

    pub(super) fn colour(self) -> bool {
        self.colour
    }

    pub(super) fn width(self) -> usize {
        self.width
    }

    pub(super) fn summary(self, summary: &Summary, verbose: bool) {
        let mut text = Vec::new();
        let options = report::terminal::Options { colour: self.colour, width: Some(self.width), verbose };
        if report::terminal::write(summary, options, &mut text).is_ok() {
            self.raw(&text);
        }
    }

    /// Commands that GitHub's runner reads from the log.
    pub(super) fn annotations(self, summary: &Summary) {
        let mut text = Vec::new();
        if report::github::annotations(summary, &mut text).is_ok() {
            self.raw(&text);
        }
    }

    pub(super) fn review(self, item: &report::review::Item, place: (usize, usize)) {
        let mut text = Vec::new();
        let options = report::terminal::Options { colour: self.colour, width: Some(self.width), verbose: true };
        if report::review::write(item, place, options, &mut text).is_ok() {
            self.raw(&text);
        }
    }

    /// Asks a person at the terminal for one of some keys; none when the input ended or Ctrl-C was pressed.
    pub(super) fn choose(self, question: &str, keys: &[char]) -> Option<char> {
        self.raw(format!("\n{question} ").as_bytes());
        let keyboard = console::Term::stdout();
        loop {
            match keyboard.read_key() {
                Ok(console::Key::Char(key)) if keys.contains(&key.to_ascii_lowercase()) => {
                    self.line(&key.to_string());
                    return Some(key.to_ascii_lowercase());
                }
                Ok(console::Key::CtrlC | console::Key::Escape) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(super) fn faults(self, faults: &Faults, root: Option<&Root>) {
        let mut text = Vec::new();
        let source = |file: &camino::Utf8Path| root.and_then(|root| root.read_text(file, limit::MARKDOWN_BYTES).ok());
        if report::faults::write(faults, source, &mut text).is_ok() {
            let _ = io::stderr().write_all(&text);
        }
    }

    /// A hint for a person at a terminal; scripts do not see it.
    pub(super) fn hint(self, text: &str) {
        if io::stderr().is_terminal() {
            let _ = writeln!(io::stderr(), "{}", inert::visible(text));
        }
    }
}

/// What faults mean to a build.
pub(super) fn outcome_of(faults: &Faults) -> Outcome {
    match faults.kind() {
        FaultKind::Misconfigured => Outcome::Misconfigured,
        FaultKind::Infrastructure => Outcome::Infrastructure,
        FaultKind::Unreported => Outcome::Unreported,
    }
}
