//! Going live: keys, hosts and budget, all from outside the repository.

use crate::assessment::Examiner;
use crate::case::Case;
use crate::client::Client;
use crate::disk::Root;
use crate::egress::{Deadlines, Egress, Hosts};
use crate::fault::Faults;
use crate::grading::Graders;
use crate::project::{Budget, Project};
use crate::provider;
use crate::redact::Redactor;
use crate::suite::each_on_all_cores;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// A redactor that knows the keys of this environment.
///
/// A replay writes none of them, so that a key which is too short to be looked for is no reason to refuse it.
pub(super) fn redactor(project: &Project, is_live: bool) -> Result<Redactor, Faults> {
    let variables = provider::key_variables(project).into_iter();
    let redactor = Redactor::new(variables.filter_map(|variable| std::env::var(&variable).ok().map(|value| (variable, value))));
    match redactor {
        Err(_) if !is_live => Ok(Redactor::default()),
        redactor => redactor,
    }
}

/// The graders of some cases; live they must be ready before anything is sent, and `anew` asks again what is recorded.
pub(super) fn graders<'a>(
    root: &'a Root,
    project: &'a Project,
    cases: &[&Case],
    (redactor, client, anew): (&'a Redactor, Option<&'a Client>, bool),
) -> Result<Graders<'a>, Faults> {
    let graders = Graders::new(root, project, redactor);
    let Some(client) = client else { return Ok(graders) };
    let mut faults = Faults::new();
    let cases: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.id.as_str(), *case)).collect();
    let cases: Vec<&Case> = cases.into_values().collect();
    let examiners = each_on_all_cores(&cases, |case| Examiner::new(root, case));
    let examiners: Vec<Examiner<'_>> = examiners.into_iter().filter_map(|examiner| faults.take(examiner)).collect();
    faults.into_result(())?;
    let questions = examiners.iter().flat_map(Examiner::questions);
    graders.live(client, anew, questions, &|name| std::env::var(name).ok())
}

/// Whether nothing in the tree may be written.
pub(super) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| matches!(value.as_str(), "true" | "1"))
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Who asks providers, within the budget of the command line, else of the project.
pub(super) fn client(project: &Project, hosts: Hosts, usd: Option<f64>) -> Result<Client, Faults> {
    let egress = Egress::open(hosts, Deadlines::default());
    let budget = Budget { usd: usd.or(project.budget.usd), ..project.budget };
    Ok(Client::new(egress, budget, usize::try_from(project.concurrency).unwrap_or(1)))
}

/// The hosts of `--allow-host` and of the environment.
pub(super) fn hosts(allowed: &[String]) -> Result<Hosts, Faults> {
    Hosts::new(allowed, |name| std::env::var(name).ok())
}
