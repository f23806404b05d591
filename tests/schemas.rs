//! The schemas for editors, held against the files of this repository and against what relapse itself refuses.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use boon::{Compiler, SchemaIndex, Schemas};
use camino::Utf8Path;
use relapse::check::Check;
use relapse::fault::{Fault, Faults, Place};
use relapse::postmortem::Postmortem;
use relapse::project::Project;
use relapse::runbook::Runbook;
use relapse::schema::Schema;
use relapse::{field, yaml};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A compiled schema.
struct Judge {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Judge {
    fn of(schema: Schema) -> Self {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.add_resource("schema.json", text(schema)).expect("a resource");
        let index = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|error| panic!("{schema:?}: {error:#}"));
        Self { schemas, index }
    }

    fn refuses(&self, value: &Value) -> bool {
        self.schemas.validate(value, self.index).is_err()
    }

    fn refusal(&self, value: &Value) -> Option<String> {
        self.schemas.validate(value, self.index).err().map(|error| format!("{error:#}"))
    }
}

fn text(schema: Schema) -> Value {
    serde_json::from_str(schema.json()).expect("JSON")
}

/// The files of a folder, or of those below it, that a word names.
fn files(folder: &str, is_wanted: fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.expect("an entry").into_path());
    entries.filter(|path| path.is_file() && is_wanted(&path.to_string_lossy())).collect()
}

/// The value of a YAML text, or of a page's front matter; none where it is not YAML.
fn value(path: &Path) -> Option<Value> {
    let text = String::from_utf8(fs::read(path).expect("read")).ok()?;
    let yaml = match path.extension().is_some_and(|extension| extension == "md") {
        true => text.trim_start_matches('\u{feff}').strip_prefix("---\n")?.split("\n---").next()?,
        false => &text,
    };
    yaml::parse(yaml, "file", 1).ok().map(|node| node.to_json())
}

fn refuses_none_of(schema: Schema, files: &[PathBuf]) {
    let judge = Judge::of(schema);
    assert!(!files.is_empty());
    for path in files {
        let value = value(path).unwrap_or_else(|| panic!("{} is not YAML", path.display()));
        if let Some(why) = judge.refusal(&value) {
            panic!("{}: {why}", path.display());
        }
    }
}

#[test]
fn sound_projects_fit() {
    let mut sound = files("tests", |path| path.ends_with("/relapse.yaml") || path.contains("projects/ok-"));
    sound.extend(["relapse.yaml", "src/starter/relapse.yaml"].map(PathBuf::from));
    refuses_none_of(Schema::Relapse, &sound);
}

#[test]
fn sound_postmortems_fit() {
    let is_page =
        |path: &str| path.ends_with(".md") && path.contains("postmortems/") && !path.contains("/err-") && !path.contains("README");
    let mut sound = files("tests", is_page);
    sound.extend(files("postmortems", |path| path.ends_with(".md")));
    refuses_none_of(Schema::Postmortem, &sound);
}

#[test]
fn the_built_in_runbook_fits() {
    refuses_none_of(Schema::Runbook, &[PathBuf::from("src/runbook/runbook.yaml")]);
}

/// Mistakes in a page's name, and in what surrounds its front matter.
const BEYOND: [&str; 3] = [
    "err-Upper_Case.md",
    "err-not-closed.md",
    "err-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.md",
];

#[test]
fn what_relapse_refuses_the_schemas_refuse_where_a_schema_can_know() {
    let mut passed = Vec::new();
    for (schema, folder) in [(Schema::Relapse, "tests/projects"), (Schema::Postmortem, "tests/postmortems")] {
        let judge = Judge::of(schema);
        let mistaken = files(folder, |path| path.contains("/err-") && !path.contains("snapshots"));
        assert!(mistaken.len() > 10, "{folder}");
        let accepted = mistaken.iter().filter(|path| value(path).is_some_and(|value| judge.refusal(&value).is_none()));
        passed.extend(accepted.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()));
    }
    assert_eq!(passed, BEYOND);
}

/// Whether relapse refuses a value, written as the JSON that YAML can read.
fn is_refused(schema: Schema, value: &Value) -> bool {
    let (file, text) = (Utf8Path::new("id.md"), value.to_string());
    match schema {
        Schema::Relapse => Project::parse(file, &text).is_err(),
        Schema::Runbook => Runbook::parse(file, &text).is_err(),
        Schema::Postmortem => Postmortem::parse("id", file, &format!("---\n{text}\n---\n")).map_or(true, |page| {
            let mut faults = Faults::new();
            let files =
                |name: &str, _: &Place| if name.ends_with(".json") { Ok("{}".to_string()) } else { Err(Fault::new("no such file")) };
            page.tests.iter().any(|test| Check::parse(&test.expect, &files, &mut faults).is_none()) || !faults.is_empty()
        }),
    }
}

/// The pointers to every value below one.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        let at = format!("{at}/{key}");
        pointers(value, &at, into);
        into.push(at);
    }
}

/// Values that another place decides on: who uses a provider, what kind a threshold's signal is, what a schema may say.
const ELSEWHERE: [&str; 5] = ["/providers", "/signals/0/warn", "/signals/0/page", "/signals/1/warn", "/tests/1/expect/json/schema/type"];

/// Puts a wrong value everywhere, one at a time: relapse and the schema refuse it both, or neither does.
fn agrees(schema: Schema, path: &str) {
    let (judge, sound) = (Judge::of(schema), value(Path::new(path)).expect("YAML"));
    assert!(!is_refused(schema, &sound), "{path}");
    let (mut places, mut differ) = (Vec::new(), Vec::new());
    pointers(&sound, "", &mut places);
    for place in places {
        for wrong in [json!(null), json!([]), json!({}), json!({"unheard": 1}), json!(true), json!(2.5), json!("")] {
            let mut mutant = sound.clone();
            *mutant.pointer_mut(&place).expect("there") = wrong.clone();
            if !place.starts_with("/match") {
                // Its patterns are most of the work of a reading.
                mutant.as_object_mut().expect("a map").shift_remove("match");
            }
            let refused = is_refused(schema, &mutant);
            if judge.refuses(&mutant) != refused && !(refused && ELSEWHERE.contains(&place.as_str())) {
                differ.push(format!("{path} {place} = {wrong}: {}", if refused { "relapse alone" } else { "schema alone" }));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn a_wrong_value_anywhere_in_a_project_is_refused_by_both() {
    agrees(Schema::Relapse, "tests/projects/ok-full.relapse.yaml");
}

#[test]
fn a_wrong_value_anywhere_in_a_postmortem_is_refused_by_both() {
    agrees(Schema::Postmortem, "tests/postmortems/ok-full.md");
}

#[test]
fn a_wrong_value_anywhere_in_a_check_is_refused_by_both() {
    agrees(Schema::Postmortem, "tests/schemas/checks.md");
}

#[test]
fn a_wrong_value_anywhere_in_a_runbook_is_refused_by_both() {
    agrees(Schema::Runbook, "tests/schemas/runbook.yaml");
}

/// Every set of keys that a closed object of a schema knows.
fn closed(value: &Value, into: &mut BTreeSet<BTreeSet<String>>) {
    match value {
        Value::Object(map) => {
            if let Some(properties) = map.get("properties").and_then(Value::as_object).filter(|_| map.contains_key("patternProperties")) {
                into.insert(properties.keys().cloned().collect());
            }
            map.values().for_each(|value| closed(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| closed(value, into)),
        _ => {}
    }
}

/// Every list of keys in the sources of the readers.
fn known() -> BTreeSet<BTreeSet<String>> {
    let list = regex::Regex::new(r#"(?s)(?:as_map\(&|KEYS: [^=]*=\s*&?|ROLES: [^=]*=\s*&?|\bkeys: &)\[([^\]]*)\]"#).expect("a pattern");
    let word = regex::Regex::new(r#""([a-z_]+)""#).expect("a pattern");
    let mut known = BTreeSet::new();
    for module in ["project", "postmortem", "runbook", "check"] {
        for path in files("src", |path| path.ends_with(".rs")) {
            let is_of_module =
                path.components().nth(1).is_some_and(|top| top.as_os_str().to_string_lossy().trim_end_matches(".rs") == module);
            let text = if is_of_module { fs::read_to_string(&path).expect("a source") } else { continue };
            let lists = list.captures_iter(&text).map(|found| word.captures_iter(&found[1]).map(|word| word[1].to_string()).collect());
            known.extend(lists.filter(|keys: &BTreeSet<String>| !keys.is_empty()));
        }
    }
    known
}

#[test]
fn the_keys_of_the_schemas_are_those_of_the_readers() {
    let mut closed_sets = BTreeSet::new();
    Schema::ALL.iter().for_each(|(_, schema)| closed(&text(*schema), &mut closed_sets));
    let known = known();
    assert!(known.len() > 30, "{known:?}");
    // The keys of `expect` stand beside a flag for all of them; a tool's are put together where they are read.
    let keys = |words: &str| words.split(' ').map(str::to_string).collect::<BTreeSet<_>>();
    let with_flag = |keys: BTreeSet<String>| if keys.contains("not_contains") { &keys | &["ignore_case".to_string()].into() } else { keys };
    let composed = [keys("name with"), keys("name times with")];
    let read: BTreeSet<_> = known.into_iter().map(with_flag).chain(composed).collect();
    assert_eq!(closed_sets.difference(&read).collect::<Vec<_>>(), Vec::<&BTreeSet<String>>::new(), "known to the schemas alone");
    assert_eq!(read.difference(&closed_sets).collect::<Vec<_>>(), Vec::<&BTreeSet<String>>::new(), "known to the readers alone");
}

#[test]
fn the_fields_of_the_schemas_are_ours() {
    for (name, schema) in Schema::ALL {
        let fields = &text(schema)["definitions"]["field"]["enum"];
        let ours: Vec<&str> = field::ALL.iter().map(|definition| definition.name).collect();
        assert_eq!(*fields, Value::from(ours), "{name}");
    }
}

#[test]
fn a_schema_is_printed_as_it_is_without_a_repository() {
    let repository = support::Repository::empty();
    for (name, schema) in Schema::ALL {
        assert_eq!(repository.relapse("schema").argument(name).expects(0).stdout, schema.json());
    }
    let refused = repository.relapse("schema postmortm").expects(2);
    assert!(refused.stderr.contains("postmortem"), "{refused}");
}
