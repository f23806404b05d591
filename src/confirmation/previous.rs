//! What worked: prompt, model, parameters, tools and passages that a failing case is swapped with, one at a time.

use super::patch::Layout;
use crate::canonical;
use crate::case::{Case, Passage, ToolResult};
use crate::contrast::{self, Opening};
use crate::disk::Reference;
use crate::fault::{Fault, Faults, suggest};
use crate::limit;
use crate::project::{Model, Project, Prompt, PromptTarget, Target, TargetKind};
use crate::provider::Tool;
use crate::recording::{self, Borrowed};
use crate::replay::{self, Assignment, Opened, Stage};
use crate::request::Request;
use crate::revision;
use crate::verdict::CaseReport;
use crate::yaml::Spanned;
use camino::Utf8Path;
use serde_json::{Map, Value};

/// Where what worked is written.
#[derive(Debug, Clone, Copy)]
pub enum Good<'a> {
    /// In the healthy evidence of the case.
    Evidence,
    /// In another target.
    Target(&'a Target),
    /// In the same target at a revision of the repository.
    Revision(&'a str),
}

/// What to restore of a factor, or why there is nothing.
type Change<T> = Result<T, String>;

/// What to restore of a conversation that relapse holds.
#[derive(Debug)]
pub(super) struct Previous {
    pub(super) prompt: Change<PromptChange>,
    pub(super) model: Change<Model>,
    pub(super) params: Change<Map<String, Value>>,
    pub(super) tools: Change<Vec<Value>>,
    pub(super) documents: Change<Vec<Passage>>,
}

/// Both prompts: templates, or texts as they were sent.
#[derive(Debug)]
pub(super) struct PromptChange {
    pub(super) previous: Layout,
    pub(super) present: Layout,
    pub(super) is_literal: bool,
    /// The variables of the previous prompt; none keeps the present ones.
    pub(super) identity: Option<Vec<(Spanned<String>, String)>>,
}

impl Previous {
    /// What to restore of a prompt target.
    ///
    /// # Errors
    /// A target or a revision that does not say it, and files that cannot be read.
    pub(super) fn of(
        stage: Stage<'_>,
        assignment: Assignment<'_>,
        prompt: &PromptTarget,
        good: Good<'_>,
        (base, failing): (Option<&Request>, &CaseReport),
    ) -> Result<Self, Faults> {
        let opened = replay::open(stage, assignment)?;
        let documents = documents(assignment.case, &opened, base);
        match good {
            Good::Evidence => Ok(Self::of_evidence(assignment.case, prompt, (&opened, documents), (base, has_drifted(failing)))),
            Good::Target(target) => {
                let TargetKind::Prompt(was) = &target.kind else { return Err(not_a_prompt(&target.name)) };
                let read = |file: &Reference| file.read_text(stage.root, limit::YAML_BYTES);
                Self::of_target(assignment.case, (prompt, &opened), was, read, documents)
            }
            Good::Revision(revision) => {
                let was = target_at(stage, revision, &assignment.target.name)?;
                let TargetKind::Prompt(was) = &was.kind else { return Err(not_a_prompt(&assignment.target.name)) };
                let read = |file: &Reference| {
                    let there = revision::text_at(stage.root, revision, &file.path, limit::YAML_BYTES)?;
                    there.ok_or_else(|| Fault::new(format!("{revision} has no {}", file.path)).at(file.place.clone()))
                };
                Self::of_target(assignment.case, (prompt, &opened), was, read, documents)
            }
        }
    }

    fn of_evidence(
        case: &Case,
        prompt: &PromptTarget,
        (opened, documents): (&Opened, Change<Vec<Passage>>),
        (base, has_drifted): (Option<&Request>, bool),
    ) -> Self {
        let present = Opening::sent(&opened.asked);
        let Some(before) = base.and_then(Opening::of) else {
            let unknown = "the healthy evidence does not show what the model was asked".to_string();
            return Self {
                prompt: Err(unknown.clone()),
                model: Err(unknown.clone()),
                params: Err(unknown.clone()),
                tools: Err(unknown),
                documents,
            };
        };
        let is_other_api = before.api.is_some() && before.api != present.api;
        let same_api =
            |what: &str| if is_other_api { Err(format!("the healthy evidence is of another API, whose {what} differ")) } else { Ok(()) };
        let model = same_api("models").and_then(|()| model_of_evidence(prompt, &before, has_drifted));
        let params = same_api("parameters").and_then(|()| {
            let params = before.params.clone().ok_or("the healthy evidence has no wire, which would tell them")?;
            changed(params, |params| Some(params) == present.params.as_ref())
        });
        let tools = before.tools.clone().ok_or_else(|| "the healthy evidence does not tell them".to_string());
        let tools = tools.and_then(|tools| changed(tools, |tools| Some(tools) == present.tools.as_ref()));
        Self {
            prompt: prompt_of_evidence(case, opened, &present, &before, documents.is_ok()),
            model,
            params,
            tools: tools.map(|tools| tools.iter().map(Tool::to_json).collect()),
            documents,
        }
    }

    fn of_target(
        case: &Case,
        (now, opened): (&PromptTarget, &Opened),
        was: &PromptTarget,
        read: impl Fn(&Reference) -> Result<String, Fault>,
        documents: Change<Vec<Passage>>,
    ) -> Result<Self, Faults> {
        let previous = layout(&was.prompt, &read)?;
        let tools: Vec<Value> = match &was.tools {
            Some(file) => serde_json::from_str(&read(file)?)
                .map_err(|error| Fault::new(format!("not a list of tools: {error}")).in_file(file.path.clone()))?,
            None => case.tools.clone(),
        };
        let as_told = |tools: &[Value]| Some(tools.iter().filter_map(Tool::from_json).collect::<Vec<_>>());
        let present = Opening::sent(&opened.asked);
        let identity =
            |prompt: &PromptTarget| prompt.identity.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect::<Vec<_>>();
        Ok(Self {
            prompt: changed(previous, |previous| *previous == opened.layout && identity(was) == identity(now)).map(|previous| {
                PromptChange { previous, present: opened.layout.clone(), is_literal: false, identity: Some(was.identity.clone()) }
            }),
            model: changed(was.model.clone(), |model| (&model.provider, &model.name.value) == (&now.model.provider, &now.model.name.value)),
            params: changed(was.params.clone(), |params| *params == now.params),
            tools: changed(tools, |tools| as_told(tools) == present.tools),
            documents,
        })
    }
}

/// Recordings besides the target's own that may hold the answers of swaps.
///
/// # Errors
/// Files that cannot be read.
pub(super) fn recordings(stage: Stage<'_>, assignment: Assignment<'_>, good: Good<'_>) -> Result<Vec<Borrowed>, Faults> {
    let (case, target) = (&assignment.case.id, &assignment.target.name);
    let found = match good {
        Good::Evidence => None,
        Good::Target(other) => {
            let file = recording::path(case, &other.name);
            stage.root.read_text_if_there(Utf8Path::new(&file), limit::TRACE_BYTES)?.map(|text| Borrowed { file: file.into(), text })
        }
        Good::Revision(revision) => {
            let file = recording::path(case, target);
            let text = revision::text_at(stage.root, revision, Utf8Path::new(&file), limit::TRACE_BYTES)?;
            text.map(|text| Borrowed { file: format!("{revision}:{file}").into(), text })
        }
    };
    Ok(found.into_iter().collect())
}

fn changed<T>(previous: T, is_same: impl Fn(&T) -> bool) -> Change<T> {
    if is_same(&previous) { Err("nothing to restore, it is what it was".into()) } else { Ok(previous) }
}

fn not_a_prompt(name: &str) -> Faults {
    Fault::new(format!("target `{name}` is no prompt target, so that it has no prompt to restore"))
        .help("name a prompt target, or a revision")
        .into()
}

fn target_at(stage: Stage<'_>, revision: &str, name: &str) -> Result<Target, Faults> {
    let file = Utf8Path::new(crate::disk::PROJECT_FILE);
    let text = revision::text_at(stage.root, revision, file, limit::YAML_BYTES)?;
    let text = text.ok_or_else(|| Fault::new(format!("{revision} has no {file} here")).help("name a target instead: --good NAME"))?;
    let project = Project::parse(Utf8Path::new(&format!("{revision}:{file}")), &text)?;
    let known: Vec<&str> = project.targets.iter().map(|target| target.name.as_str()).collect();
    let missing = Fault::new(format!("no target `{name}` in {file} at {revision}")).help(suggest(name, known));
    project.targets.iter().find(|target| target.name == name).cloned().ok_or_else(|| missing.into())
}

fn layout(prompt: &Prompt, read: &impl Fn(&Reference) -> Result<String, Fault>) -> Result<Layout, Fault> {
    match prompt {
        Prompt::File(file) => Ok(vec![("system".into(), read(file)?)]),
        Prompt::Messages(messages) => Ok(messages.iter().map(|message| (message.role.clone(), message.text.value.clone())).collect()),
    }
}

/// Whether another model answers than in health.
fn has_drifted(failing: &CaseReport) -> bool {
    failing.diagnosis.iter().flat_map(|diagnosis| &diagnosis.changed).any(|shift| shift.name == "model.responded")
}

/// The model asked for where that is another one, else, where another one answers now, the snapshot that answered.
fn model_of_evidence(prompt: &PromptTarget, before: &Opening, has_drifted: bool) -> Change<Model> {
    let now = &prompt.model.name.value;
    let requested = before.model.as_ref().filter(|model| *model != now);
    let named = requested
        .or(before.served.as_ref().filter(|_| has_drifted))
        .or(before.model.as_ref())
        .ok_or("the healthy evidence does not tell it")?;
    let name = Spanned { value: named.clone(), place: prompt.model.name.place.clone() };
    changed(Model { provider: prompt.model.provider.clone(), name }, |model| model.name.value == *now)
}

/// The healthy prompt as it was sent: a text, of which nothing can be rendered anew.
fn prompt_of_evidence(case: &Case, opened: &Opened, present: &Opening, before: &Opening, other_documents: bool) -> Change<PromptChange> {
    if before.system.is_empty() {
        return Err("the healthy evidence does not show its prompt".into());
    }
    if before.system.trim_end() == present.system.trim_end() {
        return Err("nothing to restore, it is what it was".into());
    }
    let is_one_text = opened.layout.len() == 1 && opened.layout.iter().all(|(role, _)| role == "system") && !opened.takes_input;
    if !is_one_text {
        return Err("the prompt is more than one system message: name what worked with --good".into());
    }
    if opened.uses_documents && other_documents {
        let id = &case.id;
        return Err(format!("the healthy prompt of {id} was sent with other passages in it: name what worked with --good"));
    }
    let layout = |text: &str| vec![("system".to_string(), text.to_string())];
    Ok(PromptChange { previous: layout(&before.system), present: layout(&present.system), is_literal: true, identity: None })
}

fn documents(case: &Case, opened: &Opened, base: Option<&Request>) -> Change<Vec<Passage>> {
    if !opened.uses_documents {
        return Err("the prompt uses no documents".into());
    }
    restorable(case, base)
}

/// The healthy passages, where they are other ones than the case's.
pub(super) fn restorable(case: &Case, base: Option<&Request>) -> Change<Vec<Passage>> {
    let found = base.and_then(contrast::passages).ok_or("the healthy evidence does not show them")?;
    let passage = |document: crate::trace::Document| Some(Passage { id: document.id, text: document.text? });
    let passages: Option<Vec<Passage>> = found.into_iter().map(passage).collect();
    let passages = passages.ok_or("the healthy evidence does not tell their texts")?;
    changed(passages, |passages| case.documents.as_ref() == Some(passages))
}

/// The case's tool results with those that were others in health as they were then.
pub(super) fn tool_results(present: &[ToolResult], healthy: &[ToolResult]) -> Change<Vec<ToolResult>> {
    let key = |result: &ToolResult| (result.name.clone(), canonical::json(&result.arguments));
    let then = |result: &ToolResult| healthy.iter().find(|other| key(other) == key(result)).unwrap_or(result).clone();
    let restored: Vec<ToolResult> = present.iter().map(then).collect();
    if restored == present { Err("no tool answered otherwise in the healthy evidence".into()) } else { Ok(restored) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answered(name: &str, result: Result<Value, &str>) -> ToolResult {
        let (result, error) = result.map_or_else(|error| (None, Some(error.to_string())), |value| (Some(value), None));
        ToolResult { name: name.into(), arguments: json!({"id": 1}), result, error }
    }

    #[test]
    fn a_tool_that_failed_answers_as_in_health() {
        let (failed, fine) = (answered("look_up", Err("timed out")), answered("look_up", Ok(json!("sent"))));
        let other = answered("refund", Ok(json!(1)));
        let healthy = [fine.clone(), answered("unheard_of", Ok(json!(2)))];
        assert_eq!(tool_results(&[failed.clone(), other.clone()], &healthy), Ok(vec![fine.clone(), other]));
        assert!(tool_results(&[fine], &healthy).is_err() && tool_results(&[failed], &[]).is_err());
    }
}
