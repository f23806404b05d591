//! Reports: verdicts, written down.

pub mod diagnosis;
pub mod faults;
pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod merge;
mod page;
pub mod review;
pub mod screen;
pub mod terminal;
pub mod trace;

use crate::fault::{Fault, Faults, suggest};
use crate::inert;
use crate::limit;
use crate::verdict::Summary;
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::str::FromStr;

/// The formats in which a report can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The whole run for programs: [`json`].
    Json,
    /// Test cases for CI systems: [`junit`].
    Junit,
    /// A page for a job's summary: [`markdown`].
    Markdown,
    /// A page for a browser: [`html`].
    Html,
    /// The body of one comment on a pull request, written again by each run: [`markdown::comment`].
    Comment,
}

impl Kind {
    const ALL: [(&'static str, Self); 5] =
        [("json", Self::Json), ("junit", Self::Junit), ("markdown", Self::Markdown), ("html", Self::Html), ("comment", Self::Comment)];

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().map(|(_, kind)| kind)
    }

    /// The report of this kind in a report directory.
    pub fn request_in(self, directory: &Utf8Path) -> Request {
        let name = match self {
            Self::Json => "report.json",
            Self::Junit => "junit.xml",
            Self::Markdown => "summary.md",
            Self::Html => "report.html",
            Self::Comment => "comment.md",
        };
        Request { kind: self, file: directory.join(name) }
    }

    /// The kind that a word names; any other is refused with a suggestion.
    pub fn parse(word: &str) -> Result<Self, Fault> {
        if let Some((_, kind)) = Self::ALL.iter().find(|(name, _)| *name == word) {
            return Ok(*kind);
        }
        let shown = inert::one_line(word);
        let help = suggest(word, Self::ALL.iter().map(|(name, _)| *name));
        Err(Fault::new(format!("`{shown}` is no kind of report")).help(help))
    }
}

/// A report that was asked for: `--report KIND=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The format.
    pub kind: Kind,
    /// Where it goes; folders are created, an older report is replaced whole.
    pub file: Utf8PathBuf,
}

impl FromStr for Request {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let form = "write it as KIND=FILE, as in `junit=target/relapse.xml`";
        let shown = inert::one_line(text);
        let (kind, file) = text.split_once('=').ok_or_else(|| Fault::new(format!("`{shown}` names no file")).help(form))?;
        if file.is_empty() || file == "-" {
            return Err(Fault::new(format!("`{shown}` names no file: a report goes to a file of its own")).help(form));
        }
        Ok(Self { kind: Kind::parse(kind)?, file: file.into() })
    }
}

impl Request {
    /// Reads every `--report` and refuses two that name one file.
    pub fn parse_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>, Faults> {
        let (mut faults, mut requests, mut files) = (Faults::new(), Vec::new(), BTreeSet::new());
        for request in texts.into_iter().filter_map(|text| faults.take(text.parse::<Self>())).collect::<Vec<_>>() {
            if !files.insert(request.file.clone()) {
                faults.push(Fault::new(format!("two reports would go to `{}`", shown(&request.file))).help("give each its own file"));
            }
            requests.push(request);
        }
        faults.into_result(requests)
    }
}

/// What a reader should know about the reports themselves; belongs into a summary's notes before it is written.
pub fn notes(summary: &Summary, requests: &[Request]) -> Vec<String> {
    let junit = requests.iter().any(|request| request.kind == Kind::Junit);
    let crowded = junit && summary.cases.len() > limit::JUNIT_CASES;
    let note =
        format!("the JUnit file has {} test cases, and some readers stop at {}: use --shard", summary.cases.len(), limit::JUNIT_CASES);
    crowded.then_some(note).into_iter().collect()
}

/// One report as bytes; a failure is [`FaultKind::Unreported`](crate::fault::FaultKind::Unreported).
pub fn render(summary: &Summary, kind: Kind) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let written = match kind {
        Kind::Json => json::write(summary, &mut bytes),
        Kind::Junit => junit::write(summary, &mut bytes),
        Kind::Markdown => markdown::write(summary, &mut bytes),
        Kind::Html => html::write(summary, &mut bytes),
        Kind::Comment => markdown::comment(summary, &mut bytes),
    };
    written.map(|()| bytes).map_err(|error| Fault::unreported(format!("the report could not be made: {error}")))
}

/// Writes every report that was asked for, each whole or not at all; one that fails does not keep the others back.
///
/// Faults are [`FaultKind::Unreported`](crate::fault::FaultKind::Unreported) and name the file. What exists under a
/// report's name is replaced only if it is a regular file.
pub fn write_all(summary: &Summary, requests: &[Request]) -> Result<(), Faults> {
    let mut faults = Faults::new();
    for request in requests {
        faults.take(render(summary, request.kind).and_then(|bytes| replace(&request.file, &bytes)));
    }
    faults.into_result(())
}

fn replace(file: &Utf8Path, bytes: &[u8]) -> Result<(), Fault> {
    let found = fs::symlink_metadata(file).ok();
    if let Some(found) = found.filter(|found| !found.is_file()) {
        let what = if found.is_dir() { "a directory" } else { "no regular file" };
        return Err(Fault::unreported(format!("the report cannot replace `{}`, which is {what}", shown(file))).help("name a file"));
    }
    write_atomically(file, bytes).map_err(|error| {
        let message = format!("the report could not be written to `{}`: {error}", shown(file));
        Fault::unreported(message).help("check that its folder can be written to and that the disk has room")
    })
}

/// Old or new, never mixed: the bytes are on disk under another name before they get theirs.
fn write_atomically(file: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".relapse-").suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut partial = builder.tempfile_in(folder)?;
    partial.write_all(bytes)?;
    partial.as_file().sync_all()?;
    partial.persist(file).map(drop).map_err(|failed| failed.error)
}

fn shown(file: &Utf8Path) -> String {
    inert::one_line(file.as_str())
}

#[cfg(test)]
mod sample;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8PathBuf::from_path_buf(folder.path().to_path_buf()).expect("UTF-8");
        (folder, path)
    }

    fn request(kind: Kind, file: Utf8PathBuf) -> Request {
        Request { kind, file }
    }

    #[test]
    fn a_request_is_a_kind_and_a_file() {
        assert_eq!("junit=out/a=b.xml".parse(), Ok(request(Kind::Junit, "out/a=b.xml".into())));
        for (text, message, help) in [
            ("jnuit=a.xml", "`jnuit` is no kind of report", "did you mean `junit`?"),
            ("junit", "`junit` names no file", "write it as KIND=FILE, as in `junit=target/relapse.xml`"),
        ] {
            let fault = text.parse::<Request>().expect_err(text);
            assert_eq!((fault.message.as_str(), fault.help.as_deref(), fault.kind), (message, Some(help), FaultKind::Misconfigured));
        }
        assert!("json=".parse::<Request>().is_err() && "json=-".parse::<Request>().is_err());
    }

    #[test]
    fn all_mistaken_requests_are_named_at_once() {
        let faults = Request::parse_all(["json=a", "htlm=b", "junit=a", "c"]).expect_err("three mistakes");
        assert_eq!(faults.iter().count(), 3);
    }

    #[test]
    fn reports_are_written_into_new_folders_and_replace_old_ones_whole() {
        let (_keep, folder) = folder();
        let file = folder.join("deep/er/report.json");
        fs::create_dir_all(folder.join("deep/er")).expect("created");
        fs::write(&file, "x".repeat(1 << 20)).expect("written");
        let requests = [request(Kind::Json, file.clone()), request(Kind::Junit, folder.join("new/report.xml"))];
        write_all(&sample::summary(), &requests).expect("written");
        assert_eq!(fs::read(&file).expect("there"), render(&sample::summary(), Kind::Json).expect("rendered"));
        assert_eq!(fs::read_dir(folder.join("deep/er")).expect("there").count(), 1);
        assert!(folder.join("new/report.xml").is_file());
    }

    #[test]
    fn a_directory_is_refused_and_the_other_reports_are_written() {
        let (_keep, folder) = folder();
        fs::write(folder.join("file"), "").expect("written");
        let requests = [
            request(Kind::Json, folder.clone()),
            request(Kind::Json, folder.join("file/below.json")),
            request(Kind::Json, folder.join("good.json")),
        ];
        let faults = write_all(&sample::summary(), &requests).expect_err("two refusals");
        assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::Unreported; 2]);
        assert!(faults.iter().all(|fault| fault.message.contains(folder.as_str())), "{faults:?}");
        assert!(folder.join("good.json").is_file());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_replaced() {
        let (_keep, folder) = folder();
        std::os::unix::fs::symlink("elsewhere", folder.join("link")).expect("linked");
        let faults = write_all(&sample::summary(), &[request(Kind::Json, folder.join("link"))]).expect_err("refused");
        assert!(faults.iter().all(|fault| fault.message.contains("no regular file")), "{faults:?}");
    }

    #[test]
    fn a_crowded_junit_file_is_noted() {
        let mut summary = sample::summary();
        let case = summary.cases[0].clone();
        summary.cases = vec![case; limit::JUNIT_CASES + 1];
        assert_eq!(notes(&summary, &[request(Kind::Junit, "a.xml".into())]).len(), 1);
        assert!(notes(&summary, &[request(Kind::Json, "a.json".into())]).is_empty());
    }
}
