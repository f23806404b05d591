//! Repairing JSON that a strict parser refuses whole, so that it costs one character or number instead.

use std::fmt::Write as _;

/// What was repaired.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Repairs {
    /// `\ud800` and its like without a partner, replaced by U+FFFD.
    pub(super) surrogates: usize,
    /// Control characters inside strings, escaped.
    pub(super) controls: usize,
    /// Escapes that JSON does not have, replaced by the character itself.
    pub(super) escapes: usize,
    /// `NaN`, `Infinity` and numbers beyond what a 64-bit float holds, quoted.
    pub(super) numbers: usize,
}

impl Repairs {
    fn any(&self) -> bool {
        *self != Self::default()
    }

    /// A list of what was repaired, for a message.
    pub(super) fn describe(&self) -> String {
        let parts = [
            (self.surrogates, "lone surrogates replaced by U+FFFD"),
            (self.controls, "control characters in strings escaped"),
            (self.escapes, "unknown escapes replaced"),
            (self.numbers, "numbers beyond JSON read as text"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{what} ({count})")).collect();
        parts.join(", ")
    }
}

/// The text repaired, or nothing when there is nothing to repair.
pub(super) fn repair(text: &str) -> Option<(String, Repairs)> {
    let mut repairer = Repairer { rest: text, output: String::with_capacity(text.len()), repairs: Repairs::default() };
    repairer.run();
    repairer.repairs.any().then_some((repairer.output, repairer.repairs))
}

struct Repairer<'a> {
    rest: &'a str,
    output: String,
    repairs: Repairs,
}

impl<'a> Repairer<'a> {
    fn run(&mut self) {
        while !self.rest.is_empty() {
            self.copy_until(|c| c == '"' || c == '-' || c.is_ascii_alphanumeric());
            if self.rest.starts_with('"') {
                self.string();
            } else {
                self.word();
            }
        }
    }

    /// Copies up to the first character that the predicate holds for.
    fn copy_until(&mut self, stop: impl Fn(char) -> bool) {
        let copied = self.split(self.rest.find(stop).unwrap_or(self.rest.len()));
        self.output.push_str(copied);
    }

    fn split(&mut self, at: usize) -> &'a str {
        let (head, tail) = self.rest.split_at_checked(at).unwrap_or((self.rest, ""));
        self.rest = tail;
        head
    }

    /// A bare word or number outside of strings.
    fn word(&mut self) {
        let end = self.rest.find(|c: char| !matches!(c, '-' | '+' | '.') && !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let word = self.split(end);
        let beyond = matches!(word, "NaN" | "Infinity" | "-Infinity")
            || (word.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) && word.parse().is_ok_and(f64::is_infinite));
        if !beyond {
            self.output.push_str(word);
            return;
        }
        self.repairs.numbers += 1;
        let _ = write!(self.output, "\"{word}\"");
    }

    fn string(&mut self) {
        let quote = self.split(1);
        self.output.push_str(quote);
        loop {
            self.copy_until(|c| c == '"' || c == '\\' || c.is_ascii_control());
            match self.rest.chars().next() {
                None => return,
                Some('"') => {
                    self.split(1);
                    self.output.push('"');
                    return;
                }
                Some('\\') => self.escape(),
                Some(control) => {
                    self.split(control.len_utf8());
                    self.control(control);
                }
            }
        }
    }

    fn control(&mut self, control: char) {
        if control == '\u{7f}' {
            self.output.push(control);
            return;
        }
        self.repairs.controls += 1;
        let _ = write!(self.output, "\\u{:04x}", u32::from(control));
    }

    fn escape(&mut self) {
        match self.rest.as_bytes().get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                let escape = self.split(2);
                self.output.push_str(escape);
            }
            Some(b'u') => self.unicode(),
            Some(_) => {
                self.repairs.escapes += 1;
                self.split(1);
            }
            None => {
                let end = self.split(1);
                self.output.push_str(end);
            }
        }
    }

    fn unicode(&mut self) {
        let Some(unit) = unit(self.rest) else {
            // The text may end here, which the parser must see.
            if self.rest.len() < 6 {
                let end = self.split(self.rest.len());
                self.output.push_str(end);
                return;
            }
            self.repairs.escapes += 1;
            self.split(1);
            return;
        };
        let partner = self.rest.get(6..).and_then(self::unit);
        let valid = match unit {
            0xd800..0xdc00 if partner.is_some_and(|unit| (0xdc00..0xe000).contains(&unit)) => 12,
            0xd800..0xe000 => 0,
            _ => 6,
        };
        if valid == 0 {
            self.repairs.surrogates += 1;
            self.split(6);
            self.output.push('\u{fffd}');
            return;
        }
        let escape = self.split(valid);
        self.output.push_str(escape);
    }
}

/// The UTF-16 unit of `\uXXXX` at the start of a text.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(text: &str) -> Option<String> {
        repair(text).map(|(text, _)| text)
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
        assert_eq!(
            repaired(r#"{"a":"\ud800x\udc00","b":"\ud83d\ude00"}"#).unwrap(),
            "{\"a\":\"\u{fffd}x\u{fffd}\",\"b\":\"\\ud83d\\ude00\"}"
        );
        assert_eq!(repaired(r#"["\\ud800"]"#), None);
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_quoted() {
        assert_eq!(repaired(r#"[NaN,-Infinity,1e400,1e4,"NaN"]"#).unwrap(), r#"["NaN","-Infinity","1e400",1e4,"NaN"]"#);
    }

    #[test]
    fn control_characters_and_unknown_escapes_are_mended() {
        assert_eq!(repaired("[\"a\tb\\x\"]").unwrap(), r#"["a\u0009bx"]"#);
    }

    #[test]
    fn what_is_valid_or_merely_torn_is_left_alone() {
        for text in ["", "{", r#"{"a":"\u12"#, r#"{"a":"\"#, r#"{"a":[1,true,null,"é"]}"#] {
            assert_eq!(repaired(text), None, "{text}");
        }
    }
}
