//! The terminal report: what came back, where it is written down, and what to do next.

use super::diagnosis::Detail;
use super::page::{Label, Page, Tone};
use crate::comparison::{Comparison, Estimate, Ratio, Tolerance};
use crate::inert;
use crate::limit;
use crate::signal::Datum;
use crate::snapshot::difference::{self, Fate};
use crate::verdict::{
    Aside, CaseReport, Column, Contradiction, Counts, FieldReport, Outcome, SnapshotReport, Standing, Summary, TestReport,
};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// How the report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether the stream takes colour; every colour is also said by a word.
    pub colour: bool,
    /// Columns of the terminal, at least 20; 80 when unknown. Only commands and places, which are copied and clicked, may
    /// be longer than that.
    pub width: Option<usize>,
    /// Also shows tests that hold, the candidate's answer and its signals, and clips values later.
    pub verbose: bool,
}

/// Writes the report: failures first, then what is undecided, what changed, what does not count and what passed, then
/// waivers and notes; the last line has the counts and the outcome.
///
/// No recorded character acts in it: not on a terminal, and not on a CI system that reads the log.
pub fn write(summary: &Summary, options: Options, out: &mut impl Write) -> io::Result<()> {
    let page = Page::new(options.width.unwrap_or(80).max(20), options.colour);
    let mut report = Report { page, summary, verbose: options.verbose };
    report.cases();
    report.remarks();
    report.last_line();
    out.write_all(report.page.into_text().as_bytes())
}

struct Report<'a> {
    page: Page,
    summary: &'a Summary,
    verbose: bool,
}

/// A label of the outer column: verdicts and remarks.
fn outer(word: &str, tone: Tone) -> Label<'_> {
    Label { indent: 0, word, column: 11, tone }
}

/// A label inside a test, a field or a contradiction.
fn inner(word: &str) -> Label<'_> {
    Label { indent: 4, word, column: 11, tone: Tone::Quiet }
}

impl Report<'_> {
    fn cases(&mut self) {
        let mut cases: Vec<(Standing, &CaseReport)> =
            self.summary.cases.iter().map(|case| (case.standing(self.summary.prove), case)).collect();
        cases.sort_by_key(|(standing, _)| rank(*standing));
        for group in cases.chunk_by(|(one, _), (other, _)| rank(*one) == rank(*other)) {
            self.page.gap();
            self.group(group);
        }
    }

    /// Cases of one rank, as many as a reader scrolls through; the rest are counted.
    fn group(&mut self, group: &[(Standing, &CaseReport)]) {
        for (standing, case) in group.iter().take(limit::SHOWN_CASES) {
            if is_long(*standing) {
                self.page.gap();
            }
            self.case(*standing, case);
        }
        if group.iter().skip(limit::SHOWN_CASES).any(|(standing, _)| is_long(*standing)) {
            self.page.gap();
        }
        let mut words: BTreeMap<&str, (Tone, usize)> = BTreeMap::new();
        for (standing, case) in group.iter().skip(limit::SHOWN_CASES) {
            let (word, tone) = word(*standing, case);
            words.entry(word).or_insert((tone, 0)).1 += 1;
        }
        for (word, (tone, more)) in words {
            let told = format!("and {more} more: --report html=FILE or --report json=FILE lists every case");
            self.page.entry(outer(word, tone), &told, Tone::Plain);
        }
    }

    fn case(&mut self, standing: Standing, case: &CaseReport) {
        self.headline(standing, case);
        match standing {
            Standing::Failing | Standing::Undecided(_) | Standing::Changed => self.body(case),
            Standing::Aside(aside) => self.aside(aside, case),
            Standing::Passing if self.verbose => self.body(case),
            Standing::Passing => case.tests.iter().filter(|test| test.is_flaky()).for_each(|test| self.flaky(test)),
        }
    }

    /// A test that holds, but not always: with the numbers, so that nobody takes it for steady.
    fn flaky(&mut self, test: &TestReport) {
        let bounds = test.bounds.as_ref().map(|bounds| format!("; {bounds}")).unwrap_or_default();
        self.page.paragraph(2, &format!("{}: {}{bounds}", inert::one_line(&test.name), trials(test)), Tone::Quiet);
    }

    fn headline(&mut self, standing: Standing, case: &CaseReport) {
        let (word, tone) = word(standing, case);
        let reason = self.reason(standing, case).map(|reason| format!(" ({reason})")).unwrap_or_default();
        let name = inert::one_line(&format!("{} [{}]", case.id, case.target));
        let tone_of_name = if is_long(standing) { Tone::Strong } else { Tone::Plain };
        self.page.entry(outer(word, tone), &format!("{name}{reason}"), tone_of_name);
    }

    /// What stands in brackets behind a case's name.
    fn reason(&self, standing: Standing, case: &CaseReport) -> Option<String> {
        let reason = case.verdict.reason();
        match standing {
            Standing::Failing if self.summary.prove => Some("not-regressed".to_string()),
            Standing::Aside(_) => Some([Some(case.verdict.word()), reason].into_iter().flatten().collect::<Vec<_>>().join(": ")),
            Standing::Passing if !self.summary.prove => case.tests.iter().any(TestReport::is_flaky).then(|| "flaky".to_string()),
            _ => reason.map(str::to_string),
        }
    }

    fn body(&mut self, case: &CaseReport) {
        self.page.paragraph(2, &inert::one_line(&case.title), Tone::Plain);
        if self.survived(case) {
            let why = "It did not regress on a target that carries the incident, so it would not have caught it.";
            self.page.paragraph(2, why, Tone::Plain);
        }
        self.detail(case);
        for test in &case.tests {
            if self.is_shown(case, test) {
                self.test(case, test);
            }
        }
        case.fields.iter().filter(|field| is_missing(field)).for_each(|field| self.field(case, field));
        case.contradictions.iter().for_each(|contradiction| self.contradiction(contradiction));
        case.snapshot.iter().for_each(|snapshot| self.snapshot(snapshot));
        if !case.tests.iter().any(|test| self.is_shown(case, test)) && !case.fields.iter().any(is_missing) {
            self.page.gap();
            let place = inert::one_line(&case.postmortem.to_string());
            self.page.whole(Label { indent: 2, word: "where:", column: 7, tone: Tone::Quiet }, &place, Tone::Plain);
        }
        if let Some(diagnosis) = &case.diagnosis {
            let detail = if self.verbose { Detail::Whole } else { Detail::Short };
            super::diagnosis::section(&mut self.page, diagnosis, detail);
        }
        self.other_tests(case);
        self.candidate(case);
        self.next(case);
    }

    fn survived(&self, case: &CaseReport) -> bool {
        self.summary.prove && case.standing(true) == Standing::Failing
    }

    /// A test that holds is shown where holding is the news, or when asked for.
    fn is_shown(&self, case: &CaseReport, test: &TestReport) -> bool {
        test.applicable && (self.verbose || test.held != Some(true) || self.survived(case))
    }

    fn detail(&mut self, case: &CaseReport) {
        let Some(detail) = &case.detail else { return };
        self.page.gap();
        self.page.paragraph(2, &inert::clip(detail, limit::SHOWN_VERBOSE_BYTES), Tone::Plain);
    }

    fn test(&mut self, case: &CaseReport, test: &TestReport) {
        let word = match test.held {
            Some(true) if test.is_flaky() => " (flaky: holds often enough)",
            Some(true) => " (holds)",
            Some(false) if test.suspect => " (suspect: the trials are used up, with the evidence against it)",
            Some(false) => "",
            None => " (nothing can be said)",
        };
        self.page.gap();
        self.page.paragraph(2, &format!("{}{word}", inert::one_line(&test.name)), Tone::Strong);
        self.value("expected", &test.expected);
        self.value("actual", &test.actual);
        self.value("values", &values(&test.values));
        if test.trials > 1 {
            self.value("trials", &trials(test));
            self.value("gate", test.bounds.as_deref().unwrap_or_default());
        }
        self.value("why", test.why.as_deref().unwrap_or_default());
        self.place(case, Some(test.line));
    }

    fn field(&mut self, case: &CaseReport, field: &FieldReport) {
        self.page.gap();
        self.page.paragraph(2, &format!("telemetry field {}", inert::one_line(&field.field)), Tone::Strong);
        self.value("expected", &format!("on {}", field.on));
        self.value("actual", &field.state);
        self.value("why", &field.message);
        self.place(case, field.line);
    }

    fn contradiction(&mut self, contradiction: &Contradiction) {
        self.page.gap();
        self.page.paragraph(2, &format!("telemetry contradicts the wire on {}", inert::one_line(&contradiction.field)), Tone::Strong);
        self.value("telemetry", &contradiction.told.to_string());
        self.value("wire", &contradiction.wire.to_string());
    }

    /// What a person must accept or reject: the lines that differ from what was accepted.
    fn snapshot(&mut self, snapshot: &SnapshotReport) {
        self.page.gap();
        let headline = if snapshot.accepted.is_some() { "differs from what was accepted" } else { "nothing was accepted yet" };
        self.page.paragraph(2, headline, Tone::Strong);
        let lines = difference::lines(snapshot.accepted.as_deref().unwrap_or_default(), &snapshot.candidate);
        let shown = if self.verbose { lines.len() } else { limit::SHOWN_DIFFERENCE };
        for line in lines.iter().take(shown) {
            let tone = match line.fate {
                Fate::Removed => Tone::Bad,
                Fate::Added => Tone::Good,
                Fate::Kept | Fate::Skipped => Tone::Quiet,
            };
            let text = inert::visible(&inert::clip(&line.marked(), limit::SHOWN_BYTES)).into_owned();
            self.page.entry(Label { indent: 4, word: line.fate.sign(), column: 2, tone }, &text, tone);
        }
        if lines.len() > shown {
            self.page.paragraph(4, &format!("and {}", count(lines.len() - shown, "more line")), Tone::Quiet);
        }
    }

    fn other_tests(&mut self, case: &CaseReport) {
        let holding = case.tests.iter().filter(|test| test.held == Some(true) && !self.is_shown(case, test)).count();
        let silent: Vec<String> = case.tests.iter().filter(|test| !test.applicable).map(|test| inert::one_line(&test.name)).collect();
        if holding + silent.len() > 0 {
            self.page.gap();
        }
        if holding > 0 {
            self.page.paragraph(
                2,
                &format!("{} {}", count(holding, "other test"), if holding == 1 { "holds" } else { "hold" }),
                Tone::Quiet,
            );
        }
        if !silent.is_empty() {
            self.page.paragraph(2, &format!("not applicable on this target: {}", silent.join(", ")), Tone::Quiet);
        }
    }

    fn candidate(&mut self, case: &CaseReport) {
        if !self.verbose {
            return;
        }
        let signals: Vec<String> = case.signals.known().map(|(name, datum)| format!("{name} = {}", datum.to_json())).collect();
        self.page.gap();
        self.value("answer", case.answer.as_deref().unwrap_or_default());
        self.value("signals", &signals.join("\n"));
    }

    fn next(&mut self, case: &CaseReport) {
        let notes = if case.notes.is_empty() { "" } else { "note" };
        if !notes.is_empty() || case.next.is_some() {
            self.page.gap();
        }
        for note in &case.notes {
            self.page.entry(Label { indent: 2, word: "note:", column: 7, tone: Tone::Quiet }, note, Tone::Plain);
        }
        if let Some(next) = &case.next {
            let label = Label { indent: 2, word: "next:", column: 7, tone: Tone::Strong };
            self.page.whole(label, &inert::one_line(next), Tone::Plain);
        }
    }

    /// A case that does not count is one line, and a line for each test that does not hold.
    fn aside(&mut self, aside: Aside, case: &CaseReport) {
        if self.verbose {
            return self.body(case);
        }
        self.page.paragraph(2, aside.why(), Tone::Quiet);
        for test in case.tests.iter().filter(|test| test.held == Some(false)) {
            let place = inert::one_line(&format!("{}:{}", case.postmortem.file, test.line));
            self.page.paragraph(2, &inert::one_line(&test.name), Tone::Plain);
            self.page.whole(inner("where"), &place, Tone::Plain);
        }
    }

    fn value(&mut self, word: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let bytes = if self.verbose { limit::SHOWN_VERBOSE_BYTES } else { limit::SHOWN_BYTES };
        self.page.entry(inner(word), &inert::clip(value, bytes), Tone::Plain);
    }

    /// Where it is written down; the project's profile has no line in the postmortem.
    fn place(&mut self, case: &CaseReport, line: Option<u32>) {
        let file = &case.postmortem.file;
        let place = match line {
            Some(0) => file.to_string(),
            Some(line) => format!("{file}:{line}"),
            None => return self.value("where", "the project's telemetry profile (relapse.yaml)"),
        };
        self.page.whole(inner("where"), &inert::one_line(&place), Tone::Plain);
    }

    fn remarks(&mut self) {
        self.page.gap();
        for ((field, why), cases) in waivers(&self.summary.cases) {
            let cases = count(cases, "case");
            self.page.entry(outer("waived", Tone::Doubtful), &inert::one_line(&format!("{field} ({cases}): {why}")), Tone::Plain);
        }
        let passing = self.summary.cases.iter().filter(|case| !is_long(case.standing(self.summary.prove)) && !self.verbose);
        let mut notes: Vec<String> = passing.flat_map(CaseReport::remarks).collect();
        if notes.len() > limit::SHOWN_CASES {
            let more = format!("and {} more on cases", notes.len() - limit::SHOWN_CASES);
            notes.truncate(limit::SHOWN_CASES);
            notes.push(more);
        }
        for note in notes.iter().chain(&self.summary.notes) {
            self.page.entry(outer("note", Tone::Quiet), &inert::one_line(note), Tone::Plain);
        }
        self.matrix();
        self.live();
        self.proof();
        if !self.summary.outcome.is_complete() {
            self.page.entry(outer("incomplete", Tone::Bad), "the run did not end by itself; cases are missing here", Tone::Plain);
        }
    }

    /// Targets side by side, where several were run.
    fn matrix(&mut self) {
        let columns = self.summary.columns();
        for column in columns.iter().filter(|_| columns.len() > 1) {
            self.page.entry(outer("target", Tone::Quiet), &inert::one_line(&column_line(column)), Tone::Plain);
        }
        for comparison in &self.summary.comparisons {
            let tone = if comparison.worse { Tone::Bad } else { Tone::Quiet };
            self.page.entry(outer("compared", tone), &comparison_lines(comparison), Tone::Plain);
        }
    }

    fn proof(&mut self) {
        if !self.summary.prove {
            return;
        }
        let all = self.summary.cases.len() - self.summary.counts().aside;
        let regressed = self.summary.counts().regressed;
        let tone = tone_of(self.summary.outcome);
        self.page.entry(outer("proof", tone), &format!("{regressed} of {} regressed, as every one must", count(all, "case")), Tone::Plain);
    }

    fn live(&mut self) {
        let requests: u64 = self.summary.cases.iter().map(|case| case.live_requests).sum();
        let cost: f64 = self.summary.cases.iter().map(|case| case.cost_usd).sum();
        if requests > 0 {
            let requests = count(usize::try_from(requests).unwrap_or(usize::MAX), "request");
            self.page.entry(outer("live", Tone::Quiet), &format!("{requests}, {cost:.4} USD"), Tone::Plain);
        }
    }

    fn last_line(&mut self) {
        self.page.gap();
        let counts = self.summary.counts();
        let mut line =
            format!("{} passed, {} regressed, {} changed, {} undecided", counts.passed, counts.regressed, counts.changed, counts.undecided);
        if counts.aside > 0 {
            line.push_str(&format!(", {} not counted", counts.aside));
        }
        let outcome = self.summary.outcome;
        self.page.paragraph(0, &format!("{line} · {}", outcome.word()), tone_of(outcome));
    }
}

fn tone_of(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Passed | Outcome::NotAffected => Tone::Good,
        Outcome::Regressed | Outcome::Misconfigured | Outcome::Internal => Tone::Bad,
        _ => Tone::Doubtful,
    }
}

/// The order of a report, in which reasons do not matter.
fn rank(standing: Standing) -> u8 {
    match standing {
        Standing::Failing => 0,
        Standing::Undecided(_) => 1,
        Standing::Changed => 2,
        Standing::Aside(_) => 3,
        Standing::Passing => 4,
    }
}

/// The word that a case begins with.
fn word(standing: Standing, case: &CaseReport) -> (&'static str, Tone) {
    match standing {
        Standing::Failing => (case.verdict.word(), Tone::Bad),
        Standing::Undecided(_) => ("undecided", Tone::Doubtful),
        Standing::Changed => ("changed", Tone::Changed),
        Standing::Aside(aside) => (aside.word(), Tone::Quiet),
        Standing::Passing => (case.verdict.word(), Tone::Good),
    }
}

/// Whether a case gets more than a line or two.
fn is_long(standing: Standing) -> bool {
    rank(standing) < 3
}

fn is_missing(field: &FieldReport) -> bool {
    field.held == Some(false) && field.waived.is_none()
}

fn column_line(column: &Column) -> String {
    let Counts { passed, regressed, changed, undecided, aside } = column.counts;
    let cases = count(passed + regressed + changed + undecided + aside, "case");
    let mut line = format!("{}: {cases}, {passed} passed, {regressed} regressed", column.target);
    if column.input_tokens + column.output_tokens > 0 {
        line.push_str(&format!(", {} tokens in, {} out", column.input_tokens, column.output_tokens));
    }
    if column.usd > 0.0 {
        line.push_str(&format!(", {:.4} USD", column.usd));
    }
    line
}

/// What the comparison says, what it rests on, and what so few cases could not show.
fn comparison_lines(comparison: &Comparison) -> String {
    let Comparison { base, candidate, pairs, left_out, newly_failing, newly_passing, p, .. } = comparison;
    let left_out = if *left_out > 0 { format!(" ({left_out} left out as undecided)") } else { String::new() };
    let went = match newly_failing + newly_passing {
        0 => "none went another way".to_string(),
        _ => format!("{newly_failing} newly failing, {newly_passing} newly passing"),
    };
    let mut lines = vec![inert::one_line(&format!("{candidate} with {base}: {}{left_out}, {went}", count(*pairs, "case")))];
    let verdict = if comparison.worse { "as a whole worse beyond chance" } else { "as a whole not worse beyond chance" };
    let unseen = format!("so few cases hide a harm below {:.0} %", comparison.smallest_excludable * 1e2);
    match comparison.harm {
        Some(harm) => {
            let bounds = format!("from {:.1} to {:.1} %", harm.low * 1e2, harm.high * 1e2);
            lines.push(format!("{verdict}: it loses {:.1} % of trials ({bounds})", harm.mean * 1e2));
        }
        None if newly_failing + newly_passing > 0 => lines.push(format!("{verdict}: p = {p:.3} (McNemar, exact); {unseen}")),
        None => lines.push(unseen),
    }
    lines.extend(comparison.ratios.iter().filter_map(|(signal, ratio)| ratio_line(signal, ratio)));
    lines.join("\n")
}

/// A ratio that is no chance, and on which side of its margin it is.
fn ratio_line(signal: &str, ratio: &Ratio) -> Option<String> {
    let Estimate { mean, low, high, .. } = ratio.estimate;
    let margin = match ratio.tolerance() {
        _ if low <= 1.0 && high >= 1.0 => return None,
        Tolerance::Beyond => format!(", beyond the margin of {:.2}", ratio.margin),
        Tolerance::Within if low > 1.0 => format!(", within the margin of {:.2}", ratio.margin),
        Tolerance::Within | Tolerance::Open => String::new(),
    };
    Some(format!("{signal} × {mean:.2} (from {low:.2} to {high:.2}){margin}"))
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn trials(test: &TestReport) -> String {
    let undecided = match test.trials_undecided {
        0 => String::new(),
        some => format!(", {some} undecided"),
    };
    format!("held in {} of {}{undecided}", test.trials_held, test.trials)
}

fn values(values: &BTreeMap<String, Datum>) -> String {
    let lines = values.iter().map(|(name, datum)| match datum {
        Datum::Unknown => format!("{name} is unknown"),
        known => format!("{name} = {}", known.to_json()),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Every waiver with the number of cases that it spares.
fn waivers(cases: &[CaseReport]) -> BTreeMap<(&str, &str), usize> {
    let mut waivers = BTreeMap::new();
    for field in cases.iter().flat_map(|case| &case.fields) {
        if let Some(why) = &field.waived {
            *waivers.entry((field.field.as_str(), why.as_str())).or_insert(0) += 1;
        }
    }
    waivers
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::inert::runner;
    use proptest::prelude::*;

    fn text(summary: &Summary, width: usize, verbose: bool) -> String {
        let mut bytes = Vec::new();
        write(summary, Options { colour: false, width: Some(width), verbose }, &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn eighty_columns() {
        insta::assert_snapshot!(text(&sample::summary(), 80, false));
    }

    #[test]
    fn two_targets_side_by_side() {
        insta::assert_snapshot!(text(&sample::comparison(), 80, false));
    }

    #[test]
    fn forty_columns() {
        insta::assert_snapshot!(text(&sample::summary(), 40, false));
    }

    #[test]
    fn verbose() {
        insta::assert_snapshot!(text(&sample::summary(), 80, true));
    }

    #[test]
    fn a_proof() {
        insta::assert_snapshot!(text(&sample::proof(), 80, false));
    }

    #[test]
    fn hostile_text() {
        insta::assert_snapshot!(text(&sample::hostile("##[error]x\r\n::error::y\u{202E}\x1b[2J\n--- z"), 80, true));
    }

    #[test]
    fn cases_beyond_the_limit_are_counted_by_their_verdicts() {
        let many = |summary: &Summary, standing: fn(Standing) -> bool| {
            let case = summary.cases.iter().find(|case| standing(case.standing(false))).expect("one of each").clone();
            vec![case; limit::SHOWN_CASES + 7]
        };
        let all = sample::summary();
        let failing = many(&all, |standing| standing == Standing::Failing);
        let passing = many(&all, |standing| standing == Standing::Passing);
        let undecided = many(&all, |standing| matches!(standing, Standing::Undecided(_)));
        let summary = Summary::of([&failing[..], &passing, &undecided[..2]].concat(), false, Vec::new());
        let text = text(&summary, 120, false);
        let lines: Vec<&str> = text.lines().collect();
        for word in ["regressed", "passed"] {
            let more = format!("{word:<11}and 7 more: --report html=FILE or --report json=FILE lists every case");
            assert_eq!(lines.iter().filter(|line| **line == more).count(), 1, "{word}");
            assert_eq!(lines.iter().filter(|line| line.starts_with(word)).count(), limit::SHOWN_CASES + 1, "{word}");
        }
        assert_eq!(lines.iter().filter(|line| line.starts_with("undecided")).count(), 2);
        assert!(text.ends_with("307 passed, 307 regressed, 0 changed, 2 undecided · regressed\n"), "{}", lines[lines.len() - 1]);
    }

    #[test]
    fn notes_on_cases_that_passed_have_a_limit_too() {
        let mut case = sample::summary().cases.into_iter().find(|case| case.standing(false) == Standing::Passing).expect("one passes");
        case.notes = vec!["a thing seen".to_string()];
        let text = text(&Summary::of(vec![case; 1000], false, vec!["of the run".to_string()]), 120, false);
        assert_eq!(text.matches("a thing seen").count(), limit::SHOWN_CASES);
        assert!(text.contains("note       and 700 more on cases\nnote       of the run\n"));
    }

    #[test]
    fn colour_carries_no_meaning_alone() {
        let mut bytes = Vec::new();
        write(&sample::summary(), Options { colour: true, ..Options::default() }, &mut bytes).expect("written to memory");
        let plain = anstream::adapter::strip_bytes(&bytes).into_vec();
        assert_eq!(String::from_utf8(plain).expect("UTF-8"), text(&sample::summary(), 80, false));
    }

    #[test]
    fn twenty_columns_lose_nothing() {
        let joined = |width| text(&sample::summary(), width, false).split_whitespace().collect::<String>();
        assert_eq!(joined(20), joined(400));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_recorded_text_acts_in_a_log(hostile in runner::hostile(), width in 20usize..120, verbose: bool) {
            let text = text(&sample::hostile(&hostile), width, verbose);
            prop_assert_eq!(runner::fired(&text), Vec::<String>::new());
            let acts = text.contains(['\x1b', '\r', '\u{202E}', '\u{9B}', '\x07', '\x08']);
            prop_assert!(!acts);
        }
    }
}
