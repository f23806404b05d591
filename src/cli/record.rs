//! `relapse record`: one session of an application becomes evidence.

use super::print::Terminal;
use crate::application::Exit;
use crate::client::Purse;
use crate::disk::Root;
use crate::egress::{Address, Deadlines, Egress, Hosts};
use crate::fault::{Fault, Faults, suggest};
use crate::project::{Project, TargetKind, UpstreamAddress};
use crate::provider;
use crate::proxy::{Network, Upstream};
use crate::redact::Redactor;
use crate::session::Session;
use crate::verdict::Outcome;
use camino::{Utf8Path, Utf8PathBuf};
use std::sync::Arc;

/// Run an application live, and keep its telemetry and its HTTP exchanges as evidence
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse record --upstream OPENAI_BASE_URL=https://api.openai.com/v1 -- python app/bot.py \"Where is A-1001?\"
  relapse record --target support-app --out bad -- python app/bot.py \"Where is A-1001?\"
  relapse new \"Lost an order\" --incident bad.otlp.jsonl --wire-incident bad.http.jsonl")]
pub(super) struct Args {
    /// The application and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<String>,
    /// A variable that holds a server's address, and the real address
    #[arg(long, value_name = "VARIABLE=URL")]
    upstream: Vec<String>,
    /// The target whose upstreams are meant [default: the only one that has any]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Where the evidence goes: NAME.otlp.jsonl and NAME.http.jsonl
    #[arg(long, value_name = "NAME", default_value = "session")]
    out: Utf8PathBuf,
    /// A host that may be spoken to besides the built-in providers
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
}

pub(super) fn record(root: Option<&Root>, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let here = Root::at(Utf8Path::new("."))?;
    let files = ["otlp", "http"].map(|kind| Utf8PathBuf::from(format!("{}.{kind}.jsonl", args.out)));
    if let Some(file) = files.iter().find(|file| here.exists(file)) {
        return Err(Fault::new(format!("{file} exists")).help("choose another name with --out").into());
    }
    let project = root.map(Project::load).transpose()?.unwrap_or_default();
    let (upstreams, mut hosts) = upstreams(&project, args)?;
    hosts.extend(args.allow_host.iter().cloned());
    let egress = Egress::open(Hosts::new(&hosts, |name| std::env::var(name).ok())?, Deadlines::default());
    let redactor = redactor(&project)?;
    let network = Network { egress: Arc::new(egress), purse: Arc::new(Purse::new(project.budget)) };
    let session = Session::record(&args.command, upstreams, network)?;
    let (spans, logs, exchanges) = session.counts();
    let [traces, wire] = &files;
    let mut written = Vec::new();
    for (file, text) in [(traces, session.traces(&redactor)?), (wire, session.wire(&redactor)?)] {
        if !text.is_empty() {
            here.write_atomic(file, text.as_bytes())?;
            written.push(file);
        }
    }
    terminal.line(&format!("recorded {exchanges} exchanges, {spans} spans and {logs} log records"));
    if session.exit != Exit::Code(0) {
        terminal.line(&format!("the application {}", session.exit));
    }
    session.findings().iter().for_each(|finding| terminal.line(&format!("note: {finding}")));
    written.iter().for_each(|file| terminal.line(&format!("  {file}")));
    if written.is_empty() || !session.is_whole() {
        return Ok(Outcome::Infrastructure);
    }
    terminal.line(&format!("next: {}", next(&written, traces)));
    terminal.hint("a session that went well is the other side: `--healthy` and `--wire-healthy`");
    terminal.hint("the evidence is redacted; look it over before you commit");
    Ok(Outcome::Passed)
}

/// The command that makes a postmortem of it.
fn next(written: &[&Utf8PathBuf], traces: &Utf8PathBuf) -> String {
    let flag = |file: &&&Utf8PathBuf| if ***file == *traces { "--incident" } else { "--wire-incident" };
    let flags: Vec<String> = written.iter().map(|file| format!("{} {file}", flag(&file))).collect();
    format!("relapse new \"TITLE\" {}", flags.join(" "))
}

/// The servers that are meant, and the hosts that a person allowed by naming them on the command line.
fn upstreams(project: &Project, args: &Args) -> Result<(Vec<Upstream>, Vec<String>), Faults> {
    let mut faults = Faults::new();
    if args.upstream.is_empty() {
        let of_target = of_target(project, args.target.as_deref())?;
        let upstream = |written: &UpstreamAddress| Upstream { variable: written.variable.value.clone(), url: written.url.value.clone() };
        return Ok((of_target.iter().map(upstream).collect(), Vec::new()));
    }
    let (mut upstreams, mut hosts) = (Vec::new(), Vec::new());
    for written in &args.upstream {
        let Some((variable, url)) = written.split_once('=').filter(|(variable, _)| !variable.is_empty()) else {
            let fault = Fault::new(format!("--upstream {written}: expected VARIABLE=URL"));
            faults.push(fault.help("as in `--upstream OPENAI_BASE_URL=https://api.openai.com/v1`"));
            continue;
        };
        let address = faults.take(Address::parse(url));
        hosts.extend(address.map(|address| address.authority()));
        upstreams.push(Upstream { variable: variable.into(), url: url.into() });
    }
    faults.into_result((upstreams, hosts))
}

/// The upstreams of a target, or of the only one that has any.
fn of_target<'a>(project: &'a Project, name: Option<&str>) -> Result<&'a [UpstreamAddress], Fault> {
    let with_upstreams: Vec<(&str, &[UpstreamAddress])> = project
        .targets
        .iter()
        .filter_map(|target| {
            let upstreams = match &target.kind {
                TargetKind::Application(application) => &application.upstreams,
                TargetKind::Service(service) => &service.upstreams,
                TargetKind::Prompt(_) | TargetKind::Traces(_) => return None,
            };
            (!upstreams.is_empty()).then_some((target.name.as_str(), upstreams.as_slice()))
        })
        .collect();
    let names = || with_upstreams.iter().map(|(name, _)| *name);
    match (name, with_upstreams.as_slice()) {
        (Some(name), all) => match all.iter().find(|(known, _)| *known == name) {
            Some((_, upstreams)) => Ok(upstreams),
            None => Err(Fault::new(format!("no target `{name}` with upstreams in relapse.yaml")).help(suggest(name, names()))),
        },
        (None, [(_, upstreams)]) => Ok(upstreams),
        (None, []) => Err(Fault::new("nothing says which servers the application talks to")
            .help("name one, as in `--upstream OPENAI_BASE_URL=https://api.openai.com/v1`")),
        (None, _) => Err(Fault::new(format!("several targets have upstreams: {}", names().collect::<Vec<_>>().join(", ")))
            .help("choose one with --target")),
    }
}

/// A redactor that knows the keys of this environment.
fn redactor(project: &Project) -> Result<Redactor, Faults> {
    let keys = provider::key_variables(project);
    Redactor::new(keys.into_iter().filter_map(|variable| std::env::var(&variable).ok().map(|value| (variable, value))))
}
