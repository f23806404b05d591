//! A program in its user's own hands: it has our terminal and our environment, and ends when it likes.

use super::process::{Exit, exit};
use crate::fault::Fault;
use tokio::process::Command;

/// Variables that would lead telemetry past the receiver.
const MISLEADING: [&str; 3] =
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];

/// Runs a program in the foreground with these variables besides ours, and waits for its end.
///
/// Ctrl-C goes to the program; what it makes of it is waited for.
///
/// # Errors
/// A program that cannot be started.
pub async fn attend(command: &[String], variables: impl IntoIterator<Item = (String, String)>) -> Result<Exit, Fault> {
    let Some((name, arguments)) = command.split_first() else { return Err(Fault::new("no program is named")) };
    let mut program = Command::new(name);
    program.args(arguments).envs(variables).kill_on_drop(true);
    MISLEADING.iter().for_each(|variable| {
        program.env_remove(variable);
    });
    let started = program.spawn();
    let mut child = started.map_err(|error| Fault::infrastructure(format!("the application does not start: {name}: {error}")))?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit(status)),
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}
