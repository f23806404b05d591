//! Text made inert: recorded text shown in a sink never acts there.

use regex::Regex;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// The text with every character that a reader would not see shown as `⟨U+202E⟩`; line feeds and tabs stay.
///
/// That is: control characters (a carriage return stays only before a line feed), what steers the direction of writing,
/// what has no width, tag characters and noncharacters. Nothing that is left moves a cursor or ends a line of a log.
pub fn visible(text: &str) -> Cow<'_, str> {
    escape_hidden(text, |character, shown| {
        let _ = write!(shown, "⟨U+{:04X}⟩", u32::from(character));
    })
}

/// The text as [`visible`] shows it, on one line: line ends and tabs are written `\n` and `\t`.
pub fn one_line(text: &str) -> String {
    visible(text).replace("\r\n", "\\n").replace('\n', "\\n").replace('\t', "\\t")
}

/// The text with everything hidden, and everything that XML 1.0 forbids, written `\u{202e}`; line feeds and tabs stay.
///
/// Markup is the XML writer's business, not this function's.
pub fn xml(text: &str) -> Cow<'_, str> {
    escape_hidden(text, |character, shown| {
        let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
    })
}

/// JSON with the same values, in which nothing hidden and no workflow command is spelt out.
///
/// The argument must be JSON: outside its strings none of the characters concerned can occur.
pub fn json(json: &str) -> Cow<'_, str> {
    let shown = escape_hidden(json, |character, shown| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    });
    if shown.contains("##") { Cow::Owned(shown.replace("##", "#\\u0023")) } else { shown }
}

/// The beginning of a text that is too long, with the number of its bytes and the head of their digest.
///
/// The result has at most `bytes` bytes (or is just the note, where that alone is longer) and ends on a whole character.
pub fn clip(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let digest: String = Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let note = format!("… {} bytes, sha256:{digest}", text.len());
    let mut end = bytes.saturating_sub(note.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{note}", text.get(..end).unwrap_or_default()))
}

/// Text for a CI log, in which no line is a command to the CI system: a space breaks what would be one.
///
/// GitHub reads `::name::` at the start of a line, but trims all Unicode white space first and takes a lone carriage
/// return for a line's end; its older `##[name]` counts anywhere in a line, as do Azure's `##vso[` and TeamCity's
/// `##teamcity[`. Buildkite folds at `---`, `+++`, `~~~` and `^^^`; GitLab at `section_start:`. The runner compares with
/// the rules of a language, which skip characters without width, so recorded text must have been through [`visible`].
pub fn workflow_safe(text: &str) -> Cow<'_, str> {
    static MARKER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?x) (?<line> (?: \A | [\n\r\x0B\x0C\u{85}\u{2028}\u{2029}] ) \s* )
                     (?: (?<a>:) (?<b>:) | (?<c>-) (?<d>--) | (?<e>\+) (?<f>\+\+) | (?<g>~) (?<h>~~) | (?<i>\^) (?<j>\^\^) )
                 | (?<k>\#\#) (?<l>[A-Za-z]*\[)
                 | (?<m>section_(?:start|end)) (?<n>:)",
        )
        .expect("the pattern is a constant that a test compiles")
    });
    MARKER.replace_all(text, "${line}$a$c$e$g$i$k$m $b$d$f$h$j$l$n")
}

fn escape_hidden(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = hidden(text).next() else {
        return Cow::Borrowed(text);
    };
    let mut shown = String::with_capacity(text.len() + 64);
    let mut kept = 0;
    for (at, character) in std::iter::once(first).chain(hidden(text).skip(1)) {
        shown.push_str(text.get(kept..at).unwrap_or_default());
        escape(character, &mut shown);
        kept = at + character.len_utf8();
    }
    shown.push_str(text.get(kept..).unwrap_or_default());
    Cow::Owned(shown)
}

/// Every hidden character with its offset in bytes.
fn hidden(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut before = ' ';
    text.char_indices().filter(move |(at, character)| {
        let previous = std::mem::replace(&mut before, *character);
        match character {
            '\r' => !text.get(at + 1..).is_some_and(|rest| rest.starts_with('\n')),
            // These choose between the plain and the coloured form of the character before: harmless after an emoji.
            '\u{FE0E}' | '\u{FE0F}' => previous.is_ascii() || previous.is_whitespace() || is_hidden(previous),
            _ => is_hidden(*character),
        }
    })
}

/// Whether a reader would not see the character: controls, what steers or has no width (Unicode's
/// `Default_Ignorable_Code_Point`, line separators, annotations) and noncharacters.
fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        ' '..='~' => false,
        _ if character.is_control() => true,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}' => true,
        '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' => true,
        '\u{FDD0}'..='\u{FDEF}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' => true,
        '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}' => true,
        _ => u32::from(character) & 0xFFFE == 0xFFFE,
    }
}

/// A model of what CI systems make of a log, for tests of everything that writes to one.
#[cfg(test)]
pub(crate) mod runner {
    use proptest::prelude::*;

    /// The commands that GitHub's runner has, and those of its agent's ancestors.
    const COMMANDS: &[&str] = &[
        "add-mask",
        "add-matcher",
        "add-path",
        "debug",
        "echo",
        "endgroup",
        "error",
        "group",
        "notice",
        "remove-matcher",
        "save-state",
        "set-env",
        "set-output",
        "stop-commands",
        "warning",
        "command",
        "section",
        "internal-set-repo-path",
    ];

    /// The lines of a log that would act, each with the system that it would act on.
    pub(crate) fn fired(log: &str) -> Vec<String> {
        let gitlab = regex::Regex::new(r"section_(?:start|end):\d+:[^\r\n]*\r\x1b\[0K").expect("compiles");
        let lines = log.split(['\n', '\r', '\u{B}', '\u{C}', '\u{85}', '\u{2028}', '\u{2029}']);
        lines.filter_map(acts).chain(gitlab.find_iter(log).map(|found| format!("section: {found:?}"))).collect()
    }

    fn acts(line: &str) -> Option<String> {
        // A comparison by the rules of a language skips what has no width, so the model takes it out.
        let seen: String = line.chars().filter(|character| *character == ' ' || !super::is_hidden(*character)).collect();
        let trimmed = seen.trim();
        let command = second_syntax(trimmed).or_else(|| first_syntax(trimmed));
        let azure = ["##vso[", "##teamcity["].into_iter().find(|marker| trimmed.to_lowercase().contains(marker));
        let buildkite = ["---", "+++", "~~~", "^^^"].into_iter().find(|marker| trimmed.starts_with(marker));
        command.or(azure).or(buildkite).map(|which| format!("{which}: {line:?}"))
    }

    /// `::name props::data`, at the start of the trimmed line.
    fn second_syntax(line: &str) -> Option<&'static str> {
        let (info, _) = line.strip_prefix("::")?.split_once("::")?;
        registered(info)
    }

    /// `##[name props]data`, anywhere in the line; the runner looks at the first `##[` only, the model at each.
    fn first_syntax(line: &str) -> Option<&'static str> {
        line.match_indices("##[").find_map(|(at, _)| registered(line.get(at + 3..)?.split_once(']')?.0))
    }

    fn registered(info: &str) -> Option<&'static str> {
        let name = info.split(' ').next().unwrap_or_default();
        COMMANDS.iter().find(|command| command.eq_ignore_ascii_case(name)).copied()
    }

    /// Text made of what log readers, terminals, XML and secrets' hunters stumble over.
    pub(crate) fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => proptest::sample::select(PIECES).prop_map(str::to_string),
            1 => any::<char>().prop_map(String::from),
            1 => "[a-z ]{0,12}",
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    const PIECES: &[&str] = &[
        "::",
        ":",
        "::error::",
        "::error file=a.md,line=1::x",
        "::set-env name=A::b",
        "::stop-commands::t",
        "::add-mask::a",
        "##[",
        "##",
        "#",
        "[",
        "##[error]",
        "##[group]x",
        "]",
        "##vso[task.setvariable variable=a]",
        "##teamcity[testFailed]",
        "--- x",
        "+++",
        "~~~",
        "^^^ +++",
        "-",
        "section_start:1:a\r\x1b[0K",
        "section_end:1:a",
        "\n",
        "\r",
        "\r\n",
        "\t",
        " ",
        "\u{A0}",
        "\u{2003}",
        "\u{85}",
        "\u{2028}",
        "\u{200B}",
        "\u{FEFF}",
        "\u{FE0F}",
        "\u{202E}",
        "\u{E0041}",
        "\u{0}",
        "\x1b[2J",
        "\x1b]52;c;aGk=\x07",
        "\u{9B}31m",
        "\x08",
        "\x7f",
        "\u{FFFE}",
        "\u{FFFF}",
        "\u{FDD0}",
        "]]>",
        "<![CDATA[",
        "&amp;",
        "</failure>",
        "\"",
        "'",
        "%0A",
        "[[ATTACHMENT|/etc/passwd]]",
        "日本",
        "🙂",
        "e\u{301}",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_is_left_alone() {
        for text in ["", "a line\n\tand another", "naïve 日本 🙂 ☺\u{FE0F}", "crlf\r\nline"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("a\u{202E}b\u{200B}c\u{E0041}d\u{FEFF}"), "a⟨U+202E⟩b⟨U+200B⟩c⟨U+E0041⟩d⟨U+FEFF⟩");
        assert_eq!(visible("\x1b[31m\u{9b}0m\x07\x7f\u{0}\u{FFFE}"), "⟨U+001B⟩[31m⟨U+009B⟩0m⟨U+0007⟩⟨U+007F⟩⟨U+0000⟩⟨U+FFFE⟩");
        assert_eq!(visible("lone\rcr\r\n"), "lone⟨U+000D⟩cr\r\n");
        assert_eq!(visible("#\u{FE0F}["), "#⟨U+FE0F⟩[");
    }

    #[test]
    fn one_line_has_one_line() {
        assert_eq!(one_line("a\nb\r\nc\td\re"), "a\\nb\\nc\\td⟨U+000D⟩e");
    }

    #[test]
    fn xml_gets_what_it_may_hold() {
        assert_eq!(xml("a\tb\nc\u{FFFF}\u{0}\x1b<&"), "a\tb\nc\\u{ffff}\\u{0}\\u{1b}<&");
    }

    #[test]
    fn a_clipped_text_says_how_long_it_was() {
        assert_eq!(clip("short", 5), "short");
        let clipped = clip(&"é".repeat(300), 101).into_owned();
        assert!(clipped.len() <= 101 && clipped.starts_with("éé"), "{clipped}");
        assert!(clipped.contains("… 600 bytes, sha256:"), "{clipped}");
        assert!(clip(&"x".repeat(600), 3).starts_with("… 600 bytes"));
    }

    #[test]
    fn a_command_to_a_ci_system_is_broken_by_a_space() {
        assert_eq!(workflow_safe("::error::x"), ": :error::x");
        assert_eq!(workflow_safe("a\n\u{A0} ::error::x"), "a\n\u{A0} : :error::x");
        assert_eq!(workflow_safe("see ##[error] and ##vso[a]"), "see ## [error] and ## vso[a]");
        assert_eq!(workflow_safe("---\n+++ b"), "- --\n+ ++ b");
        assert_eq!(workflow_safe("a::b and a -- b ##"), "a::b and a -- b ##");
    }

    #[test]
    fn the_model_of_the_runner_fires_on_what_the_runner_fires_on() {
        let live = ["::error::x", " \u{2003}::warning file=a::x", "prose ##[error]x", "a\r::set-env name=A::b", "\u{200B}::notice::x"];
        for line in live {
            assert_eq!(runner::fired(line).len(), 1, "{line:?}");
        }
        for line in ["a ::error::x", "::unknown::x", "::error x", "##[nothing]"] {
            assert!(runner::fired(line).is_empty(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_recorded_text_makes_a_runner_act(text in runner::hostile()) {
            let safe = workflow_safe(&visible(&text)).into_owned();
            prop_assert_eq!(runner::fired(&safe), Vec::<String>::new());
            prop_assert_eq!(workflow_safe(&safe), safe.as_str());
        }

        #[test]
        fn what_is_visible_stays_so(text in any::<String>()) {
            let shown = visible(&text).into_owned();
            prop_assert_eq!(visible(&shown), shown.as_str());
            prop_assert!(!one_line(&text).contains(['\n', '\r', '\t', '\x1b']));
        }

        #[test]
        fn inert_json_means_the_same_and_fires_nothing(text in runner::hostile()) {
            let plain = serde_json::json!({"text": text, "##": [text]});
            let written = serde_json::to_string_pretty(&plain).expect("serializes");
            let safe = json(&written);
            prop_assert_eq!(runner::fired(&safe), Vec::<String>::new());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).expect("still JSON"), plain);
        }

        #[test]
        fn a_clipped_text_keeps_its_cap(text in any::<String>(), bytes in 40usize..200) {
            prop_assert!(clip(&text, bytes).len() <= bytes);
        }
    }
}
