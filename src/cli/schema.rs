//! `relapse schema`: what an editor needs to complete and check.

use super::print::Terminal;
use crate::schema::Schema;
use crate::verdict::Outcome;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;

/// Print the JSON Schema of a file that a person writes, for an editor
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse schema relapse > relapse.schema.json
  relapse schema postmortem > postmortem.schema.json

An editor with yaml-language-server takes one from the file's first line:
  # yaml-language-server: $schema=relapse.schema.json")]
pub(super) struct Args {
    /// The file
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(Schema::ALL.map(|(name, _)| name)).try_map(named))]
    schema: Schema,
}

fn named(name: String) -> Result<Schema, String> {
    Schema::ALL.iter().find(|(known, _)| *known == name).map(|(_, schema)| *schema).ok_or(name)
}

pub(super) fn schema(args: &Args, terminal: Terminal) -> Outcome {
    terminal.raw(args.schema.json().as_bytes());
    Outcome::Passed
}
