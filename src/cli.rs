//! The command line: flags, and one short function for each command.

mod clean;
mod compile;
mod diagnose;
mod init;
mod live;
mod merge;
mod new;
mod print;
mod publish;
mod record;
mod review;
mod run;
mod schema;
mod selection;
mod trace;

use crate::disk::Root;
use crate::fault::{Fault, Faults};
use crate::verdict::Outcome;
use camino::Utf8PathBuf;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use print::Terminal;
use std::ffi::OsString;
use std::process::ExitCode;

const ABOUT: &str = "Compiles LLM postmortems into cases that prove they would have caught the incident, and replays them";

const EXAMPLES: &str = "\
Examples:
  relapse init
  relapse new \"Bot invented a return policy\" --incident bad.jsonl --healthy good.jsonl
  relapse compile
  relapse run --report junit=target/relapse.xml

Exit codes:
  0 passed   1 regressed   2 misconfigured   3 infrastructure   4 nothing ran
  5 a person is needed   70 bug in relapse   74 report not written
  130, 143 interrupted: reports are written and marked incomplete";

/// What a user typed.
#[derive(Debug, Parser)]
#[command(name = "relapse", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
    /// The repository's root [default: the nearest folder with a relapse.yaml]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<Utf8PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    New(new::Args),
    Compile(compile::Args),
    Run(run::Args),
    Review(review::Args),
    Trace(trace::Args),
    Record(record::Args),
    Merge(merge::Args),
    Clean(clean::Args),
    Diagnose(diagnose::Args),
    Schema(schema::Args),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
}

/// Print every limit
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  relapse doctor")]
struct DoctorArgs {}

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  relapse completions bash > ~/.local/share/bash-completion/completions/relapse")]
struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Runs the program and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no mistakes; the stream may be closed, which changes nothing.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let terminal = Terminal::new(args.color);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(&args, terminal)));
    ExitCode::from(match outcome {
        Ok(Ok(outcome)) => outcome.exit(),
        Ok(Err(faults)) => {
            terminal.faults(&faults, root(&args).ok().as_ref());
            print::outcome_of(&faults).exit()
        }
        Err(_) => Outcome::Internal.exit(),
    })
}

fn dispatch(args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    match &args.command {
        Command::Init(init) => init::init(&init_root(args)?, args.root.is_some(), init, terminal),
        Command::New(new) => new::new(&root(args)?, new, terminal),
        Command::Compile(compile) => compile::compile(&root(args)?, compile, terminal),
        Command::Run(run) => run::run(&root(args)?, run, terminal),
        Command::Review(review) => review::review(&root(args)?, review, terminal),
        Command::Merge(merge) => merge::merge(&root(args)?, merge, terminal),
        Command::Clean(clean) => clean::clean(&root(args)?, clean, terminal),
        Command::Record(record) => record::record(known_root(args)?.as_ref(), record, terminal),
        Command::Diagnose(diagnose) => diagnose::diagnose(known_root(args)?.as_ref(), diagnose, terminal),
        Command::Trace(trace) => trace::trace(known_root(args)?.as_ref(), trace, terminal),
        Command::Schema(schema) => Ok(schema::schema(schema, terminal)),
        Command::Doctor(_) => {
            for (name, number, unit) in crate::limit::ALL {
                terminal.line(&format!("{name:<40} {number:>12} {unit}"));
            }
            Ok(Outcome::Passed)
        }
        Command::Completions(completions) => {
            let mut script = Vec::new();
            clap_complete::generate(completions.shell, &mut Args::command(), "relapse", &mut script);
            terminal.raw(&script);
            Ok(Outcome::Passed)
        }
    }
}

/// The repository that the user means.
fn root(args: &Args) -> Result<Root, Fault> {
    match &args.root {
        Some(folder) => Root::at(folder),
        None => Root::find(Utf8PathBuf::from(".").as_path()),
    }
}

/// Where a repository is about to begin: no relapse.yaml is looked for.
fn init_root(args: &Args) -> Result<Root, Fault> {
    Root::at(args.root.as_deref().unwrap_or(camino::Utf8Path::new(".")))
}

/// The repository that the user means, for a command that can do without one.
fn known_root(args: &Args) -> Result<Option<Root>, Fault> {
    if args.root.is_some() { root(args).map(Some) } else { Ok(root(args).ok()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_make_sense() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_help_text_begins_with_a_capital_and_ends_without_a_stop() {
        fn visit(command: &clap::Command) {
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{}: --{} has no help", command.get_name(), argument.get_id());
                assert!(help.starts_with(|first: char| first.is_uppercase()) && !help.ends_with('.'), "{}: {help}", command.get_name());
            }
            command.get_subcommands().for_each(visit);
        }
        let mut command = Args::command();
        command.build();
        visit(&command);
    }
}
