//! The Markdown report: what a job's summary or a comment shows, failures first.

use super::diagnosis;
use crate::inert;
use crate::limit;
use crate::snapshot::difference;
use crate::verdict::{CaseReport, FieldReport, Standing, Summary, TestReport};
use std::io::{self, Write};

/// Writes the report in GitHub's Markdown, within [`limit::MARKDOWN_REPORT_BYTES`]: cases that do not fit are counted.
///
/// Recorded text stands in code fences longer than any in it, or with its punctuation as character references, so that no
/// markup, mention or link in it acts.
///
/// # Errors
/// A writer that fails.
pub fn write(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    out.write_all(page(summary, limit::MARKDOWN_REPORT_BYTES).as_bytes())
}

/// What the first line of a comment on a pull request says, unseen, so that the next run finds it and writes there.
pub const COMMENT_MARKER: &str = "<!-- relapse -->";

/// Writes the same as the body of a comment: behind [`COMMENT_MARKER`] and within [`limit::COMMENT_BYTES`].
///
/// # Errors
/// A writer that fails.
pub fn comment(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let page = page(summary, limit::COMMENT_BYTES - COMMENT_MARKER.len() - 1);
    out.write_all(format!("{COMMENT_MARKER}\n{page}").as_bytes())
}

/// What is not shown, and parts a mark from the name behind it.
const PARTING: &str = "<!-- -->";

/// The most that two characters become: a mark that is parted from a letter.
const PAIR_BYTES: usize = "&#64;a".len() + PARTING.len();

const _: () = assert!(limit::SHOWN_NOTES * limit::SHOWN_BYTES * PAIR_BYTES / 2 < limit::COMMENT_BYTES, "notes alone would fill a comment");

/// Bytes that are kept free for the line that counts what did not fit.
const COUNT_BYTES: usize = 100;

/// The report in no more bytes than given; what stands above the cases always leaves room.
fn page(summary: &Summary, bytes: usize) -> String {
    let mut text = head(summary);
    let mut cases: Vec<(Standing, &CaseReport)> = summary.cases.iter().map(|case| (case.standing(summary.prove), case)).collect();
    cases.sort_by_key(|(standing, _)| *standing);
    let told: Vec<_> = cases.iter().filter(|(standing, _)| !matches!(standing, Standing::Passing | Standing::Aside(_))).collect();
    let mut left = told.len();
    for (standing, case) in &told {
        let section = section(*standing, case);
        if text.len() + section.len() + COUNT_BYTES > bytes {
            text.push_str(&format!("\n… and {left} more cases, which the other reports show.\n"));
            break;
        }
        text.push_str(&section);
        left -= 1;
    }
    let passing = cases.iter().filter(|(standing, _)| *standing == Standing::Passing);
    let remarks = remarks(&passing.flat_map(|(_, case)| case.remarks()).collect::<Vec<_>>());
    if text.len() + remarks.len() <= bytes {
        text.push_str(&remarks);
    }
    text
}

fn head(summary: &Summary) -> String {
    let counts = summary.counts();
    let mut text = format!("## relapse: {}\n\n", summary.outcome.word());
    text.push_str("| passed | regressed | changed | undecided | not counted |\n| --: | --: | --: | --: | --: |\n");
    text.push_str(&format!(
        "| {} | {} | {} | {} | {} |\n",
        counts.passed, counts.regressed, counts.changed, counts.undecided, counts.aside
    ));
    if !summary.outcome.is_complete() {
        text.push_str("\n**The run did not end by itself; cases are missing here.**\n");
    }
    text.push_str(&list(&summary.notes));
    text
}

/// What a reader should know of cases that passed.
fn remarks(remarks: &[String]) -> String {
    if remarks.is_empty() {
        return String::new();
    }
    let more = remarks.len().saturating_sub(limit::SHOWN_NOTES);
    let more = if more > 0 { format!("\n… and {more} more\n") } else { String::new() };
    format!("\n<details><summary>seen in cases that passed</summary>\n{}{more}\n</details>\n", list(remarks))
}

/// Notes as a list, as many as a page can bear.
fn list(notes: &[String]) -> String {
    let item = |note: &String| format!("\n- {}", plain(&inert::clip(note, limit::SHOWN_BYTES)));
    let items: String = notes.iter().take(limit::SHOWN_NOTES).map(item).collect();
    if items.is_empty() { items } else { format!("{items}\n") }
}

fn section(standing: Standing, case: &CaseReport) -> String {
    let reason = case.verdict.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let word = match standing {
        Standing::Failing => case.verdict.word(),
        Standing::Undecided(_) => "undecided",
        _ => "changed",
    };
    let mut text = format!("\n### {word}: {} \\[{}\\]{reason}\n\n{}\n", plain(&case.id), plain(&case.target), plain(&case.title));
    if let Some(detail) = &case.detail {
        fence(&mut text, "", detail);
    }
    case.tests.iter().filter(|test| test.applicable && test.held != Some(true)).for_each(|test| test_section(&mut text, case, test));
    let missing = case.fields.iter().filter(|field| field.held == Some(false) && field.waived.is_none());
    missing.for_each(|field| field_line(&mut text, field));
    for contradiction in &case.contradictions {
        let said = format!("telemetry: {}\nwire:      {}", contradiction.told, contradiction.wire);
        text.push_str(&format!("\nTelemetry contradicts the wire on {}:\n", code(&contradiction.field)));
        fence(&mut text, "", &said);
    }
    if let Some(diagnosis) = &case.diagnosis {
        text.push_str("\nWhere to look first:\n");
        let judged =
            diagnosis.hypotheses.iter().map(|judged| format!("\n{:<10} {}", judged.standing.word(), diagnosis::hypothesis(judged)));
        let swaps = diagnosis.swaps.iter().map(|swap| format!("\n{:<11} {}", swap.effect.words(), swap.sentence()));
        fence(&mut text, "", &format!("{}\n{}", diagnosis.look_first, judged.chain(swaps).collect::<String>()));
    }
    if let Some(snapshot) = &case.snapshot {
        let lines = difference::lines(snapshot.accepted.as_deref().unwrap_or_default(), &snapshot.candidate);
        let lines: Vec<String> = lines.iter().map(|line| format!("{}{}", line.fate.sign(), line.marked())).collect();
        text.push_str("\n<details><summary>differs from what was accepted</summary>\n");
        fence(&mut text, "diff", &lines.join("\n"));
        text.push_str("\n</details>\n");
    }
    text.push_str(&list(&case.notes));
    if let Some(next) = &case.next {
        text.push_str(&format!("\nNext: {}\n", code(next)));
    }
    text
}

fn test_section(text: &mut String, case: &CaseReport, test: &TestReport) {
    let word = if test.held.is_none() { ", of which nothing can be said" } else { "" };
    let place = format!("{}:{}", case.postmortem.file, test.line);
    text.push_str(&format!("\n**{}**{word} ({})\n", plain(&test.name), code(&place)));
    let mut said = format!("expected  {}", test.expected);
    if !test.actual.is_empty() {
        said.push_str(&format!("\nactual    {}", inert::clip(&test.actual, limit::SHOWN_BYTES)));
    }
    for (name, datum) in &test.values {
        said.push_str(&format!("\n{name} = {}", datum.to_json()));
    }
    if let Some(why) = &test.why {
        said.push_str(&format!("\nwhy       {why}"));
    }
    fence(text, "", &said);
}

fn field_line(text: &mut String, field: &FieldReport) {
    text.push_str(&format!("\n- Telemetry field {} is {}: {}\n", code(&field.field), field.state, plain(&field.message)));
}

/// Text as a block that nothing in it can end.
fn fence(text: &mut String, language: &str, content: &str) {
    let content = inert::visible(content);
    let longest = content.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let ticks = "`".repeat(longest.max(2) + 1);
    text.push_str(&format!("\n{ticks}{language}\n{content}\n{ticks}\n"));
}

/// Text of ours or of a person's as code in a line.
fn code(text: &str) -> String {
    format!("<code>{}</code>", plain(text))
}

/// Text in which no punctuation is markup: each mark is a character reference. GitHub looks for mentions and references to
/// issues in what those decode to, so a comment that nobody sees parts the mark from the name.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let line = inert::one_line(text);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_ascii_punctuation() && !matches!(character, ',' | ';') {
            shown.push_str(&format!("&#{};", u32::from(character)));
        } else {
            shown.push(character);
        }
        if matches!(character, '@' | '#') && characters.peek().is_some_and(char::is_ascii_alphanumeric) {
            shown.push_str(PARTING);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::verdict::Outcome;
    use proptest::prelude::*;

    fn text(summary: &Summary) -> String {
        let mut bytes = Vec::new();
        write(summary, &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn golden() {
        insta::assert_snapshot!(text(&sample::summary()));
    }

    #[test]
    fn cases_that_do_not_fit_are_counted() {
        let mut summary = sample::summary();
        let mut case = summary.cases.iter().find(|case| case.standing(false) == Standing::Failing).expect("a failing case").clone();
        case.detail = Some("x".repeat(15 << 10));
        summary.cases = vec![case; 300];
        let text = text(&summary);
        assert!(text.len() < limit::MARKDOWN_REPORT_BYTES + 100, "{}", text.len());
        let shown = text.matches("\n### ").count();
        assert!(text.ends_with(&format!("… and {} more cases, which the other reports show.\n", 300 - shown)));
        assert_eq!(summary.worsened(Outcome::Regressed).cases.len(), 300);
    }

    #[test]
    fn a_comment_begins_with_its_marker_and_fits_whatever_there_is_to_say() {
        let mut summary = sample::summary();
        let case = summary.cases.iter().find(|case| case.standing(false) == Standing::Failing).expect("a failing case").clone();
        for (cases, notes) in [(1, 1), (300, 1), (300, 3000)] {
            summary.cases = vec![case.clone(); cases];
            summary.notes = vec!["<!-- relapse --> @everyone ".repeat(20); notes];
            let mut bytes = Vec::new();
            comment(&summary, &mut bytes).expect("written to memory");
            let text = String::from_utf8(bytes).expect("UTF-8");
            assert!(text.starts_with("<!-- relapse -->\n## relapse: regressed\n") && text.len() <= limit::COMMENT_BYTES, "{}", text.len());
            assert!(text.contains("\n### ") && text.matches(COMMENT_MARKER).count() == 1 && !text.contains('@'));
        }
    }

    #[test]
    fn no_text_mentions_a_person_or_an_issue() {
        assert_eq!(plain("@octocat o/r#1"), "&#64;<!-- -->octocat o&#47;r&#35;<!-- -->1");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_recorded_text_leaves_its_block(hostile in "[`~<>@#|\\[\\]()!a\\n]{0,60}") {
            let text = text(&sample::hostile(&hostile));
            let mut open: Option<usize> = None;
            for line in text.lines() {
                let ticks = line.chars().take_while(|character| *character == '`').count();
                match open {
                    Some(fence) if ticks >= fence && line.trim_end().len() == ticks => open = None,
                    None if ticks >= 3 => open = Some(ticks),
                    None => {
                        let ours = [PARTING, "<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>"];
                        let bare = ours.iter().fold(line.to_string(), |line, tag| line.replace(tag, ""));
                        prop_assert!(!bare.contains(['<', '>', '@', '`']), "{line}");
                    }
                    Some(_) => {}
                }
            }
            prop_assert!(open.is_none());
        }
    }
}
