//! Going live: keys, hosts and budget, all from outside the repository.

use crate::client::Client;
use crate::egress::{Deadlines, Egress, Hosts};
use crate::fault::Faults;
use crate::project::{Budget, Project};
use crate::provider;
use crate::redact::Redactor;

/// A redactor that knows the keys of this environment.
pub(super) fn redactor(project: &Project) -> Result<Redactor, Faults> {
    let variables = provider::key_variables(project).into_iter();
    Redactor::new(variables.filter_map(|variable| std::env::var(&variable).ok().map(|value| (variable, value))))
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
