//! A waiver: what healthy telemetry does not tell yet, written into a project so that the first day is not red.

use crate::disk::PROJECT_FILE;
use crate::field::{self, State};
use crate::project::{Project, Require, Telemetry};
use crate::request::Request;
use camino::Utf8Path;
use serde_json::Value;

/// What the starting project shows as an example.
pub const EXAMPLE: &str = "  # waive:\n  #   - {field: retries.count, why: \"the SDK hides them\", until: 2027-01-01}\n";

/// A field that telemetry must carry and that recordings lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The field.
    pub field: &'static str,
    /// What to add, in the words of the instrumentation.
    pub add: String,
}

/// What every one of the requests lacks of the minimum.
pub fn lacking(requests: &[Request]) -> Vec<Lacking> {
    let Some(first) = requests.first() else { return Vec::new() };
    let by_all = field::minimum()
        .filter(|definition| requests.iter().all(|request| request.fields.get(definition.name).is_some_and(State::is_lacking)));
    let lacking = by_all.filter_map(|definition| match first.fields.get(definition.name)? {
        State::Absent { add, .. } | State::Indeterminate { add, .. } => Some(Lacking { field: definition.name, add: add.to_string() }),
        _ => None,
    });
    lacking.collect()
}

impl Lacking {
    /// Whether a project asks for it and does not waive it yet.
    pub fn is_asked_for(&self, telemetry: &Telemetry) -> bool {
        let is_required = match &telemetry.require {
            Require::Minimum => true,
            Require::Fields(fields) => fields.iter().any(|known| known.value == self.field),
        };
        is_required && !telemetry.waive.iter().any(|waiver| waiver.field.value == self.field)
    }

    /// What a person is told of it once it is waived.
    pub fn line(&self) -> String {
        format!("waived      {}: to tell it, add {}", self.field, self.add)
    }

    /// The item of `telemetry.waive`.
    pub fn item(&self) -> String {
        let why = Value::from(format!("not told when relapse came; to tell it, add {}", self.add));
        format!("- {{field: {}, why: {why}}}", self.field)
    }
}

/// A project's text with waivers for what is lacking, everything else as a person wrote it; none where the text is written
/// in a way that leaves no place of which this is sure.
pub fn written(text: &str, lacking: &[Lacking]) -> Option<String> {
    let parse = |text: &str| Project::parse(Utf8Path::new(PROJECT_FILE), text).ok();
    let waived = |project: &Project| project.telemetry.waive.iter().map(|waiver| waiver.field.value.clone()).collect::<Vec<_>>();
    let new = inserted(text, lacking)?;
    let (before, after) = (waived(&parse(text)?), waived(&parse(&new)?));
    let fits =
        before.iter().all(|field| after.contains(field)) && lacking.iter().all(|lacking| after.iter().any(|field| field == lacking.field));
    (fits && after.len() == before.len() + lacking.len()).then_some(new)
}

fn inserted(text: &str, lacking: &[Lacking]) -> Option<String> {
    let items = |indent: usize| lacking.iter().map(|lacking| format!("{:indent$}{}\n", "", lacking.item())).collect::<String>();
    if text.contains(EXAMPLE) {
        return Some(text.replacen(EXAMPLE, &format!("  waive:\n{}", items(4)), 1));
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(section) = lines.iter().position(|line| is_key(line, "telemetry")) else {
        let gap = if text.is_empty() || text.ends_with('\n') { "\n" } else { "\n\n" };
        return (!text.contains("telemetry:")).then(|| format!("{text}{gap}telemetry:\n  waive:\n{}", items(4)));
    };
    let inner = |line: &&&str| line.starts_with(' ') || line.starts_with('#') || line.trim().is_empty();
    let length = lines[section + 1..].iter().take_while(inner).count();
    let list = (section + 1..=section + length).find(|index| is_key(lines[*index].trim_start(), "waive"));
    let at = list.unwrap_or(section) + 1;
    // As deep as what stands there already.
    let indent = lines.get(at).map(|next| next.len() - next.trim_start().len()).filter(|indent| *indent > 0);
    let added = match (list, indent) {
        (Some(_), indent) => items(indent.unwrap_or(4)),
        (None, indent) => format!("{:indent$}waive:\n{}", "", items(indent.unwrap_or(2) + 2), indent = indent.unwrap_or(2)),
    };
    Some(lines[..at].concat() + &added + &lines[at..].concat())
}

/// Whether a line is a key whose value stands below it.
fn is_key(line: &str, key: &str) -> bool {
    let rest = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':'));
    rest.is_some_and(|rest| rest.trim().is_empty() || (rest.starts_with(' ') && rest.trim_start().starts_with('#')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "version: 1\ntargets:\n  a: {traces: \"*.jsonl\"}\n";

    fn with(text: &str) -> Option<String> {
        let lacking = |field, add: &str| Lacking { field, add: add.to_string() };
        written(&format!("{TARGET}{text}"), &[lacking("user.id", "user.id"), lacking("outcome", "app.outcome: \"x\"")])
            .map(|text| text.strip_prefix(TARGET).expect("the rest stays").to_string())
    }

    const ITEMS: &str = "    - {field: user.id, why: \"not told when relapse came; to tell it, add user.id\"}\n    - {field: outcome, why: \"not told when relapse came; to tell it, add app.outcome: \\\"x\\\"\"}\n";

    #[test]
    fn waivers_go_where_a_person_would_write_them() {
        assert_eq!(with(""), Some(format!("\ntelemetry:\n  waive:\n{ITEMS}")));
        let required = "telemetry: # ours\n  require: minimum\nbudget: {usd: 1}\n";
        let expected = format!("telemetry: # ours\n  waive:\n{ITEMS}  require: minimum\nbudget: {{usd: 1}}\n");
        assert_eq!(with(required), Some(expected));
        let own = "    - {field: feature, why: \"one feature\"}\n";
        assert_eq!(with(&format!("telemetry:\n  waive:\n{own}")), Some(format!("telemetry:\n  waive:\n{ITEMS}{own}")));
        let shallow = |items: &str| format!("telemetry:\n  waive:\n{}", items.replace("    - ", "  - "));
        assert_eq!(with(&shallow(own)), Some(shallow(&format!("{ITEMS}{own}"))));
        assert_eq!(
            with(&format!("telemetry:\n{EXAMPLE}  require: minimum\n")),
            Some(format!("telemetry:\n  waive:\n{ITEMS}  require: minimum\n"))
        );
    }

    #[test]
    fn a_text_that_leaves_no_sure_place_stays_as_it_is() {
        assert_eq!(with("telemetry: {require: minimum}\n"), None);
        assert_eq!(with("telemetry:\n  waive: [{field: feature, why: \"one feature\"}]\n"), None);
    }
}
