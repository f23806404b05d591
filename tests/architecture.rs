//! The order of modules in `lib.rs` is the order of dependence.

use std::fs;
use std::path::{Path, PathBuf};

fn modules() -> Vec<String> {
    let lib = fs::read_to_string("src/lib.rs").expect("lib.rs is there");
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_string).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("src is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The top-level modules that a source names as `crate::x`, also within `use crate::{x, y::z}`.
fn imports(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for after in source.split("crate::").skip(1) {
        let group = after.strip_prefix('{').and_then(|inner| inner.split_once('}')).map_or(after, |(group, _)| group);
        let parts = if after.starts_with('{') { group.split(',').collect() } else { vec![group] };
        for part in parts {
            let name: String = part.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !name.is_empty() {
                names.push(name);
            }
        }
    }
    names
}

#[test]
fn a_module_imports_only_from_modules_above_it() {
    let order = modules();
    let mut broken = Vec::new();
    for path in sources(Path::new("src")) {
        let relative = path.strip_prefix("src").expect("below src");
        let top = relative.components().next().expect("a name").as_os_str().to_string_lossy().trim_end_matches(".rs").to_string();
        let Some(own) = order.iter().position(|name| *name == top) else { continue };
        for name in imports(&fs::read_to_string(&path).expect("a source")) {
            if order.iter().position(|other| *other == name).is_some_and(|other| other > own) {
                broken.push(format!("{}: uses crate::{name}, which stands below `{top}` in lib.rs", relative.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_opens_with_one_sentence() {
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).expect("a source");
        assert!(text.starts_with("//! "), "{} does not say what it is", path.display());
    }
}

#[test]
fn one_library_is_used_in_one_place() {
    let doors =
        [("clap", "cli"), ("serde_saphyr", "yaml"), ("quick_junit", "report"), ("boon", "check"), ("prost", "otlp"), ("reqwest", "egress")];
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).expect("a source");
        for (library, module) in doors {
            let uses = text.contains(&format!("{library}::"));
            let inside = path.components().nth(1).is_some_and(|top| top.as_os_str().to_string_lossy().trim_end_matches(".rs") == module);
            assert!(!uses || inside, "{} uses {library}, which belongs to {module}", path.display());
        }
    }
}
