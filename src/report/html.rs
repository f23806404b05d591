//! The HTML report: one file that needs no network, with the waterfalls of incident, healthy request and candidate side by side.

use super::diagnosis;
use crate::diagnosis::{Edit, Effect, Judgement, Standing as Cause, Swap};
use crate::inert;
use crate::limit;
use crate::snapshot::difference::{self, Fate};
use crate::verdict::{CaseReport, Standing, Story, Summary, TestReport, Waterfall};
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;
use std::io::{self, Write};

/// The narrowest bar, in thousandths of a waterfall's width: what took no time is to be seen, too.
const NARROWEST: f64 = 4.0;

/// Writes the report; every recorded text is escaped by the template engine, and the page may load and run nothing.
///
/// # Errors
/// A writer that fails.
pub fn write(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let mut environment = Environment::new();
    environment.add_template("report.html", include_str!("html/report.html")).map_err(io::Error::other)?;
    let template = environment.get_template("report.html").map_err(io::Error::other)?;
    let page = template.render(Serde(&Page::of(summary))).map_err(io::Error::other)?;
    out.write_all(page.as_bytes())
}

#[derive(Debug, Serialize)]
struct Page {
    outcome: &'static str,
    exit: u8,
    complete: bool,
    counts: Vec<(&'static str, usize)>,
    targets: Vec<Target>,
    notes: Vec<String>,
    rows: Vec<Row>,
    cases: Vec<Case>,
    /// Cases that have a row and no section of their own.
    left_out: usize,
    style: &'static str,
}

#[derive(Debug, Serialize)]
struct Target {
    name: String,
    passed: usize,
    regressed: usize,
    changed: usize,
    undecided: usize,
    tokens: u64,
    usd: String,
}

/// One case in the overview.
#[derive(Debug, Serialize)]
struct Row {
    anchor: Option<String>,
    id: String,
    target: String,
    word: &'static str,
    tone: &'static str,
    reason: &'static str,
    title: String,
}

#[derive(Debug, Serialize)]
struct Case {
    row: Row,
    place: String,
    prose: String,
    detail: String,
    tests: Vec<Test>,
    holding: usize,
    fields: Vec<(String, String, String)>,
    contradictions: Vec<(String, String, String)>,
    look_first: String,
    /// Standing, tone and numbers of each hypothesis, in response order.
    hypotheses: Vec<(&'static str, &'static str, String)>,
    swaps: Vec<Swapped>,
    prompt: Vec<(&'static str, String)>,
    waterfalls: Vec<Drawing>,
    answer: String,
    difference: Vec<(&'static str, &'static str, String)>,
    is_new: bool,
    notes: Vec<String>,
    next: String,
    cost: String,
}

#[derive(Debug, Serialize)]
struct Test {
    name: String,
    word: &'static str,
    expected: String,
    actual: String,
    values: Vec<(String, String)>,
    why: String,
    line: u32,
}

/// A waterfall, its bars in thousandths of its width: names and times are text beside them, which no scale makes small.
#[derive(Debug, Serialize)]
struct Drawing {
    label: &'static str,
    total: String,
    bars: Vec<Stroke>,
}

#[derive(Debug, Serialize)]
struct Stroke {
    name: String,
    kind: String,
    failed: bool,
    time: String,
    x: f64,
    width: f64,
}

impl Page {
    fn of(summary: &Summary) -> Self {
        let counts = summary.counts();
        let mut cases: Vec<(Standing, &CaseReport)> = summary.cases.iter().map(|case| (case.standing(summary.prove), case)).collect();
        let is_silent = |standing: Standing, case: &CaseReport| standing == Standing::Passing && case.remarks().next().is_none();
        // Those with a section come first.
        cases.sort_by_key(|(standing, case)| (*standing, is_silent(*standing, case)));
        let told: Vec<_> = cases.iter().filter(|(standing, case)| !is_silent(*standing, case)).collect();
        let sections: Vec<Case> = told
            .iter()
            .take(limit::HTML_SECTIONS)
            .enumerate()
            .map(|(index, (standing, case))| Case::of(index, *standing, case, summary.stories.get(&case.id)))
            .collect();
        let anchor = |index: usize| (index < sections.len()).then(|| format!("case-{index}"));
        let rows = cases.iter().enumerate().map(|(index, (standing, case))| Row::of(anchor(index), *standing, case)).collect();
        Self {
            outcome: summary.outcome.word(),
            exit: summary.outcome.exit(),
            complete: summary.outcome.is_complete(),
            counts: vec![
                ("passed", counts.passed),
                ("regressed", counts.regressed),
                ("changed", counts.changed),
                ("undecided", counts.undecided),
                ("not counted", counts.aside),
            ],
            targets: summary.columns().into_iter().map(Target::of).collect(),
            notes: summary.notes.iter().map(|note| shown(note)).collect(),
            rows,
            left_out: told.len() - sections.len(),
            cases: sections,
            style: include_str!("html/report.css"),
        }
    }
}

/// What restoring one factor did.
#[derive(Debug, Serialize)]
struct Swapped {
    word: &'static str,
    tone: &'static str,
    text: String,
    hunks: Vec<(&'static str, String)>,
}

impl Target {
    fn of(column: crate::verdict::Column) -> Self {
        Self {
            name: shown(&column.target),
            passed: column.counts.passed,
            regressed: column.counts.regressed,
            changed: column.counts.changed,
            undecided: column.counts.undecided,
            tokens: column.input_tokens + column.output_tokens,
            usd: format!("{:.4}", column.usd),
        }
    }
}

impl Row {
    fn of(anchor: Option<String>, standing: Standing, case: &CaseReport) -> Self {
        let (word, tone) = match standing {
            Standing::Failing => (case.verdict.word(), "bad"),
            Standing::Undecided(_) => ("undecided", "doubtful"),
            Standing::Changed => ("changed", "changed"),
            Standing::Aside(aside) => (aside.word(), "quiet"),
            Standing::Passing => (case.verdict.word(), "good"),
        };
        let reason = case.verdict.reason().unwrap_or_default();
        Self { anchor, id: shown(&case.id), target: shown(&case.target), word, tone, reason, title: shown(&case.title) }
    }
}

impl Case {
    fn of(index: usize, standing: Standing, case: &CaseReport, story: Option<&Story>) -> Self {
        let missing = case.fields.iter().filter(|field| field.held == Some(false) && field.waived.is_none());
        let telling = |test: &&TestReport| test.applicable && test.held != Some(true);
        let snapshot = case.snapshot.as_ref();
        Self {
            row: Row::of(Some(format!("case-{index}")), standing, case),
            place: shown(&case.postmortem.to_string()),
            prose: story.map(|story| shown(&inert::clip(&story.prose, limit::SHOWN_VERBOSE_BYTES))).unwrap_or_default(),
            detail: shown(case.detail.as_deref().unwrap_or_default()),
            tests: case.tests.iter().filter(telling).map(Test::of).collect(),
            holding: case.tests.iter().filter(|test| test.held == Some(true)).count(),
            fields: missing.map(|field| (shown(&field.field), shown(&field.state), shown(&field.message))).collect(),
            contradictions: case
                .contradictions
                .iter()
                .map(|found| (shown(&found.field), shown(&found.told.to_string()), shown(&found.wire.to_string())))
                .collect(),
            look_first: shown(case.diagnosis.as_ref().map(|diagnosis| diagnosis.look_first.as_str()).unwrap_or_default()),
            hypotheses: case.diagnosis.iter().flat_map(|diagnosis| &diagnosis.hypotheses).map(hypothesis).collect(),
            swaps: case.diagnosis.iter().flat_map(|diagnosis| &diagnosis.swaps).map(Swapped::of).collect(),
            prompt: case.diagnosis.iter().flat_map(|diagnosis| &diagnosis.prompt).flat_map(|hunk| &hunk.edits).map(edit).collect(),
            waterfalls: drawings(case, story),
            answer: shown(&inert::clip(case.answer.as_deref().unwrap_or_default(), limit::SHOWN_VERBOSE_BYTES)),
            difference: snapshot
                .map(|snapshot| lines(snapshot.accepted.as_deref().unwrap_or_default(), &snapshot.candidate))
                .unwrap_or_default(),
            is_new: snapshot.is_some_and(|snapshot| snapshot.accepted.is_none()),
            notes: case.notes.iter().map(|note| shown(note)).collect(),
            next: shown(case.next.as_deref().unwrap_or_default()),
            cost: if case.live_requests > 0 {
                format!("{} live requests, {:.4} USD", case.live_requests, case.cost_usd)
            } else {
                String::new()
            },
        }
    }
}

impl Test {
    fn of(test: &TestReport) -> Self {
        Self {
            name: shown(&test.name),
            word: if test.held.is_none() { "nothing can be said" } else { "does not hold" },
            expected: shown(&test.expected),
            actual: shown(&inert::clip(&test.actual, limit::SHOWN_VERBOSE_BYTES)),
            values: test.values.iter().map(|(name, datum)| (shown(name), shown(&datum.to_json().to_string()))).collect(),
            why: shown(test.why.as_deref().unwrap_or_default()),
            line: test.line,
        }
    }
}

fn hypothesis(judged: &Judgement) -> (&'static str, &'static str, String) {
    let tone = match judged.standing {
        Cause::Confirmed | Cause::Supported => "bad",
        Cause::Unclear | Cause::Blind => "doubtful",
        Cause::Refuted => "quiet",
    };
    (judged.standing.word(), tone, diagnosis::hypothesis(judged))
}

impl Swapped {
    fn of(swap: &Swap) -> Self {
        Self {
            word: swap.effect.words(),
            tone: if swap.effect == Effect::Flipped { "bad" } else { "quiet" },
            text: shown(&swap.sentence()),
            hunks: swap.hunks.iter().flat_map(|hunk| &hunk.edits).map(edit).collect(),
        }
    }
}

fn edit(edit: &Edit) -> (&'static str, String) {
    let class = if matches!(edit, Edit::Added(_)) { "added" } else { "removed" };
    (class, shown(&edit.marked()))
}

fn lines(accepted: &str, candidate: &str) -> Vec<(&'static str, &'static str, String)> {
    let class = |fate| match fate {
        Fate::Added => "added",
        Fate::Removed => "removed",
        Fate::Kept | Fate::Skipped => "kept",
    };
    difference::lines(accepted, candidate).iter().map(|line| (class(line.fate), line.fate.sign(), shown(&line.marked()))).collect()
}

/// Incident, healthy request and candidate on one scale: that of the longest.
fn drawings(case: &CaseReport, story: Option<&Story>) -> Vec<Drawing> {
    let healthy = story.and_then(|story| story.healthy.as_ref());
    let all = [("incident", story.map(|story| &story.incident)), ("healthy", healthy), ("candidate", Some(&case.waterfall))];
    let known: Vec<(&'static str, &Waterfall)> =
        all.into_iter().filter_map(|(label, waterfall)| Some((label, waterfall.filter(|waterfall| !waterfall.bars.is_empty())?))).collect();
    let longest = known.iter().map(|(_, waterfall)| waterfall.total()).fold(0.0, f64::max);
    known.into_iter().map(|(label, waterfall)| drawing(label, waterfall, longest)).collect()
}

fn drawing(label: &'static str, waterfall: &Waterfall, longest: f64) -> Drawing {
    let scale = if longest > 0.0 { 1000.0 / longest } else { 0.0 };
    let bars = waterfall.bars.iter().take(limit::HTML_BARS).map(|bar| Stroke {
        name: shown(&inert::clip(&bar.name, 40)),
        kind: shown(&bar.kind),
        failed: bar.failed,
        time: bar.duration.map_or_else(|| "no end".into(), seconds),
        x: tenth((bar.start * scale).min(1000.0 - NARROWEST)),
        width: tenth((bar.duration.unwrap_or(0.0) * scale).max(NARROWEST)),
    });
    Drawing { label, total: seconds(waterfall.total()), bars: bars.collect() }
}

fn seconds(time: f64) -> String {
    match time {
        _ if time > 0.0 && time < 0.001 => "<1 ms".into(),
        _ if time < 1.0 => format!("{:.0} ms", time * 1e3),
        _ => format!("{time:.2} s"),
    }
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// Text in which nothing hides; markup is the template engine's business.
fn shown(text: &str) -> String {
    inert::visible(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::verdict::Bar;
    use proptest::prelude::*;

    fn text(summary: &Summary) -> String {
        let mut bytes = Vec::new();
        write(summary, &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn golden() {
        let mut summary = sample::summary();
        let bar = |kind: &str, start, duration, failed| Bar {
            kind: kind.into(),
            name: "gpt-4o-mini".into(),
            start,
            duration: Some(duration),
            failed,
        };
        let waterfall = Waterfall { bars: vec![bar("model", 0.0, 0.5, true), bar("model", 0.5, 1.5, false)] };
        let failing = summary.cases.iter_mut().find(|case| case.standing(false) == Standing::Failing).expect("a failing case");
        failing.waterfall = Waterfall { bars: vec![bar("model", 0.0, 0.25, false)] };
        let story = Story { prose: "## What happened\nIt <b>broke</b>.".into(), incident: waterfall, healthy: None };
        summary.stories.insert(failing.id.clone(), story);
        insta::assert_snapshot!(text(&summary).split("</style>").nth(1).expect("a body"));
    }

    #[test]
    fn no_text_is_drawn_where_a_narrow_screen_would_make_it_small() {
        let mut summary = sample::summary();
        let bar = Bar { kind: "model".into(), name: "gpt-4o-mini".into(), start: 0.0, duration: None, failed: true };
        summary.cases.iter_mut().for_each(|case| case.waterfall = Waterfall { bars: vec![bar.clone()] });
        let text = text(&summary);
        let drawn = text.split("<svg").skip(1).filter_map(|rest| rest.split("</svg>").next()).collect::<Vec<_>>();
        assert!(!drawn.is_empty() && drawn.iter().all(|drawing| !drawing.contains("<text")));
        assert!(text.contains(r#"<span>gpt-4o-mini</span><span class="time">no end, failed</span>"#));
    }

    #[test]
    fn the_page_asks_for_nothing_and_runs_nothing() {
        let text = text(&sample::summary());
        assert!(text.contains("default-src 'none'"));
        for loading in ["<script", "src=", "href=\"http", "url(", "@import", " on"] {
            let found = text.matches(loading).count();
            let harmless = if loading == " on" {
                text.matches(" on ").count() + text.matches(" one").count() + text.matches(" only").count()
            } else {
                0
            };
            assert_eq!(found, harmless, "{loading}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn no_recorded_text_is_markup(hostile in "x[<>&\"'/a-z={}% ]{0,40}") {
            let tags = |text: &str| text.matches('<').count();
            let plain = sample::hostile("x");
            let hostile = sample::hostile(&hostile);
            prop_assert_eq!(tags(&text(&hostile)), tags(&text(&plain)));
        }
    }
}
