//! Front matter: the YAML between the first two lines `---`, and the Markdown after it.

use crate::fault::{Fault, Faults, Place};
use crate::yaml::{self, Node};
use camino::Utf8Path;

/// A page in its two halves.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) node: Node,
    pub(super) body: String,
    pub(super) body_line: u32,
}

/// Splits a page. Only the second line `---` ends the front matter: later ones are rules or headings of the body.
pub(super) fn split(file: &Utf8Path, text: &str) -> Result<Front, Faults> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut lines = text.split_inclusive('\n');
    if !lines.next().is_some_and(is_fence) {
        let fault = Fault::new("no front matter: the first line of a postmortem is `---`").at(Place::at(file, 1, 1));
        return Err(fault.help("begin the file with `---`, or move it out of postmortems/ (only README.md is left alone)").into());
    }
    let Some((front, body, lines)) = halves(&text) else {
        let fault = Fault::new("front matter is opened here and never closed").at(Place::at(file, 1, 1));
        return Err(fault.help("add a line `---` after the last key").into());
    };
    if is_blank(front) {
        let fault = Fault::new("no case in this file: the front matter is empty").at(Place::at(file, 1, 1));
        return Err(fault.help("write at least `title`, `class`, `evidence` and `tests`").into());
    }
    Ok(Front { node: yaml::parse(front, file, 2)?, body: body.to_owned(), body_line: lines })
}

fn is_fence(line: &str) -> bool {
    line.trim_end() == "---"
}

fn is_blank(front: &str) -> bool {
    front.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// The front matter, the body, and the line on which the body begins.
fn halves(text: &str) -> Option<(&str, &str, u32)> {
    let opened = text.find('\n')? + 1;
    let mut offset = opened;
    for (index, line) in text.get(opened..)?.split_inclusive('\n').enumerate() {
        if is_fence(line) {
            let lines = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(3);
            return Some((text.get(opened..offset)?, text.get(offset + line.len()..)?, lines));
        }
        offset += line.len();
    }
    None
}
