//! Parts of one run, joined to the run that they are parts of.

use super::json::read::Part;
use crate::fault::{Fault, Faults};
use crate::shard::Shard;
use crate::verdict::{Outcome, Summary};
use camino::Utf8PathBuf;
use std::collections::BTreeMap;

/// Joins parts, each with the folder that it was found in; the result is what one run would have reported.
///
/// # Errors
/// Every reason why they are not one run: a part is missing, there twice, whole, or of another suite.
pub fn join(parts: Vec<(Utf8PathBuf, Part)>) -> Result<Summary, Faults> {
    let mut faults = Faults::new();
    let Some((_, first)) = parts.first() else { return Err(Fault::new("no report to merge").into()) };
    let (suite, prove) = (first.suite.clone(), first.prove);
    let mut found: BTreeMap<Shard, Utf8PathBuf> = BTreeMap::new();
    for (folder, part) in &parts {
        let Some(shard) = part.shard.as_deref().and_then(|shard| faults.take(shard.parse::<Shard>())) else {
            faults.push(Fault::new(format!("{folder} is the report of a whole run")).help("merge what `relapse run --shard` wrote"));
            continue;
        };
        if part.suite != suite || part.prove != prove {
            faults.push(
                Fault::new(format!("{folder} is of another run: its suite or its flags differ")).help("run every shard on the same commit"),
            );
        }
        if let Some(other) = found.insert(shard, folder.clone()) {
            faults.push(Fault::new(format!("shard {shard} is there twice: {other} and {folder}")).help("name each report once"));
        }
    }
    missing(&found, &mut faults);
    faults.into_result(())?;
    Ok(summary(parts, prove))
}

/// A part that nobody ran must not read as green.
fn missing(found: &BTreeMap<Shard, Utf8PathBuf>, faults: &mut Faults) {
    let Some(of) = found.keys().map(|shard| shard.of).max() else { return };
    let odd = found.keys().filter(|shard| shard.of != of);
    for shard in odd {
        faults.push(Fault::new(format!("shard {shard} beside shards of {of}")).help("merge the shards of one matrix"));
    }
    let missing: Vec<String> =
        (1..=of).map(|index| Shard { index, of }).filter(|shard| !found.contains_key(shard)).map(|shard| shard.to_string()).collect();
    if !missing.is_empty() {
        let fault = Fault::new(format!("no report of shard {}", missing.join(", ")));
        faults.push(fault.help("a shard that did not run, or whose report was not kept, decides nothing: run it again"));
    }
}

fn summary(parts: Vec<(Utf8PathBuf, Part)>, prove: bool) -> Summary {
    let mut notes: Vec<String> = Vec::new();
    let (mut cases, mut gravest) = (Vec::new(), None);
    for (_, part) in parts {
        // What is not a verdict of cases cannot be counted again, as an interruption or an unwritten report.
        let beyond = Outcome::ALL
            .iter()
            .find(|(outcome, _, exit)| *exit == part.exit && (!outcome.is_complete() || *outcome == Outcome::Unreported));
        gravest = [gravest, beyond.map(|row| row.0)].into_iter().flatten().reduce(Outcome::worst);
        let news: Vec<String> = part.notes.into_iter().filter(|note| !notes.contains(note)).collect();
        notes.extend(news);
        cases.extend(part.cases);
    }
    let summary = Summary::of(cases, prove, notes);
    match gravest {
        Some(outcome) => summary.worsened(outcome),
        None => summary,
    }
}
