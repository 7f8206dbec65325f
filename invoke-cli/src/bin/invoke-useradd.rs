//! Adds an account.
use std::process::ExitCode;

fn main() -> ExitCode {
    invoke_cli::main(invoke_cli::Tool::UserAdd)
}
