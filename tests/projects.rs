//! Every relapse.yaml of `tests/projects`: `ok-*` is read, `err-*` shows its faults as a person sees them.
//!
//! A new file needs no Rust: write the file, run `cargo insta review`.

use camino::{Utf8Path, Utf8PathBuf};
use relapse::disk::Root;
use relapse::fault::Faults;
use relapse::project::Project;

fn root() -> Root {
    Root::at(Utf8Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the crate's directory is there")
}

fn files(prefix: &str) -> Vec<Utf8PathBuf> {
    let entries = root().list(Utf8Path::new("tests/projects")).expect("the directory is there");
    let files = entries.into_iter().map(|entry| entry.path);
    files.filter(|path| path.extension() == Some("yaml") && path.file_name().is_some_and(|name| name.starts_with(prefix))).collect()
}

fn read(path: &Utf8Path) -> Result<Project, Faults> {
    let text = root().read_text(path, 1 << 20)?;
    Project::parse(Utf8Path::new(path.file_name().unwrap_or_default()), &text)
}

fn shown(faults: &Faults) -> String {
    let lines = faults.iter().map(|fault| match &fault.help {
        Some(help) => format!("{fault}\n  help: {help}"),
        None => fault.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn sound_projects_are_read() {
    let files = files("ok-");
    assert!(!files.is_empty());
    for file in files {
        let read = read(&file);
        assert!(read.is_ok(), "{file}:\n{}", shown(&read.unwrap_err()));
    }
}

#[test]
fn mistakes_are_told_with_their_place_and_fix() {
    let files = files("err-");
    assert!(!files.is_empty());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("projects/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for file in files {
        let faults = read(&file).expect_err(file.as_str());
        settings.bind(|| {
            insta::assert_snapshot!(
                file.file_name().and_then(|name| name.strip_suffix(".relapse.yaml")).unwrap_or_default(),
                shown(&faults)
            )
        });
    }
}
