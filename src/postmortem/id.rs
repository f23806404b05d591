//! Ids and names: what becomes a file's name on every machine.

use crate::fault::Fault;
use crate::limit;
use crate::yaml::quote;

/// Whether an id can be a file's name everywhere: a-z 0-9 -, at most [`limit::ID_CHARS`] characters, no device.
pub fn check_id(id: &str) -> Result<(), Fault> {
    check(id, "id", "a-z, 0-9 and -", |c| c == '-')
}

/// Whether a test's, signal's or target's name can be a file's name: like an id, with `.` and `_`.
pub fn check_name(name: &str) -> Result<(), Fault> {
    check(name, "name", "a-z, 0-9, -, _ and .", |c| "-_.".contains(c))
}

fn check(text: &str, what: &str, letters: &str, is_mark: fn(char) -> bool) -> Result<(), Fault> {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let length = text.chars().count();
    if length > limit::ID_CHARS {
        let message = format!("{what} {} has {length} characters; at most {} fit into a file name", quote(text), limit::ID_CHARS);
        return Err(Fault::new(message).help("shorten it"));
    }
    if !text.chars().all(|c| is_letter(c) || is_mark(c)) || !text.starts_with(is_letter) {
        let fault = Fault::new(format!("{what} {} must begin with a letter or digit and consist of {letters}", quote(text)));
        return Err(match proposal(text) {
            Some(proposal) => fault.help(format!("write `{proposal}`")),
            None => fault,
        });
    }
    let stem = text.split('.').next().unwrap_or(text);
    if is_device(stem) {
        return Err(Fault::new(format!("{what} {} is a device on Windows", quote(text))).help("choose another"));
    }
    Ok(())
}

fn proposal(text: &str) -> Option<String> {
    let dashed: String = text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then(|| words.join("-"))
}

fn is_device(stem: &str) -> bool {
    let is_port = |name: &str| stem.strip_prefix(name).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_digit()));
    ["con", "prn", "aux", "nul"].contains(&stem) || is_port("com") || is_port("lpt")
}
