//! The `relapse` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    relapse::cli::main(std::env::args_os())
}
