//! Lists accounts, and the record of what was done to them.
use std::process::ExitCode;

fn main() -> ExitCode {
    invoke_cli::main(invoke_cli::Tool::UserList)
}
