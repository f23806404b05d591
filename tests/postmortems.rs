//! Every page of `tests/postmortems`: `ok-*` is read, `err-*` shows its faults as a person sees them.
//!
//! A new page needs no Rust: write the file, run `cargo insta review`.

use camino::{Utf8Path, Utf8PathBuf};
use relapse::disk::Root;
use relapse::fault::Faults;
use relapse::postmortem::Postmortem;

fn root() -> Root {
    Root::at(Utf8Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the crate's directory is there")
}

fn pages(prefix: &str) -> Vec<Utf8PathBuf> {
    let entries = root().list(Utf8Path::new("tests/postmortems")).expect("the directory is there");
    let pages = entries.into_iter().map(|entry| entry.path);
    pages.filter(|path| path.extension() == Some("md") && path.file_name().is_some_and(|name| name.starts_with(prefix))).collect()
}

fn read(path: &Utf8Path) -> Result<Postmortem, Faults> {
    let text = root().read_text(path, 1 << 20)?;
    Postmortem::parse(path.file_stem().unwrap_or_default(), Utf8Path::new(path.file_name().unwrap_or_default()), &text)
}

fn shown(faults: &Faults) -> String {
    let lines = faults.iter().map(|fault| match &fault.help {
        Some(help) => format!("{fault}\n  help: {help}"),
        None => fault.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn sound_pages_are_read() {
    let pages = pages("ok-");
    assert!(!pages.is_empty());
    for page in pages {
        let read = read(&page);
        assert!(read.is_ok(), "{page}:\n{}", shown(&read.unwrap_err()));
    }
}

#[test]
fn mistakes_are_told_with_their_place_and_fix() {
    let pages = pages("err-");
    assert!(!pages.is_empty());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("postmortems/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for page in pages {
        let faults = read(&page).expect_err(page.as_str());
        settings.bind(|| insta::assert_snapshot!(page.file_stem().unwrap_or_default(), shown(&faults)));
    }
}
