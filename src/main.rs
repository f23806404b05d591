//! The `relapse` program.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Telemetry and reports are many small texts.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    relapse::cli::main(std::env::args_os())
}
