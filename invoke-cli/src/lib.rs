//! Accounts from the command line, for whoever runs the machine.
//!
//! Four commands over one library. They work on the database of the root folder, also while a server runs on it, through the same
//! functions as the server, so that every rule about accounts holds here too. Texts and exit codes are those of InvokeAI's commands; what
//! InvokeAI's lack has options of its own.

mod console;
mod options;
mod store;
mod text;
mod useradd;
mod userdel;
mod userlist;
mod usermod;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;
use invoke_core::{config::Environment, domain::Error};

pub use console::{Console, Terminal};

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `invoke-useradd`
    UserAdd,
    /// `invoke-usermod`
    UserMod,
    /// `invoke-userdel`
    UserDel,
    /// `invoke-userlist`
    UserList,
}

/// Why a command ends without having done what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Said already.
    #[error("")]
    Told,
    /// The request cannot be carried out.
    #[error("{0}")]
    Refused(String),
    /// The machine, the files or the program failed.
    #[error("{0}")]
    Fault(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Internal { .. } => Self::Fault(error.to_string()),
            told => Self::Refused(told.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Fault("the input ended where an answer was expected".into()),
            std::io::ErrorKind::Interrupted => Self::Fault("interrupted".into()),
            _ => Self::Fault(error.to_string()),
        }
    }
}

/// Runs a command with the process's arguments, environment and terminal.
pub fn main(tool: Tool) -> ExitCode {
    ExitCode::from(run(tool, std::env::args_os(), &Environment::of_process(), &mut Terminal))
}

/// Runs a command; gives its exit status: 0 done, 1 failed or cancelled, 2 not understood. The first argument is the command's name.
pub fn run(tool: Tool, arguments: impl IntoIterator<Item = OsString>, environment: &Environment, console: &mut dyn Console) -> u8 {
    let done = match tool {
        Tool::UserAdd => parse::<options::UserAdd>(arguments, console).map(|options| useradd::run(options, environment, console)),
        Tool::UserMod => parse::<options::UserMod>(arguments, console).map(|options| usermod::run(options, environment, console)),
        Tool::UserDel => parse::<options::UserDel>(arguments, console).map(|options| userdel::run(options, environment, console)),
        Tool::UserList => parse::<options::UserList>(arguments, console).map(|options| userlist::run(&options, environment, console)),
    };
    match done {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(status) => status,
    }
}

fn parse<O: Parser>(arguments: impl IntoIterator<Item = OsString>, console: &mut dyn Console) -> Result<O, u8> {
    O::try_parse_from(arguments).map_err(|message| {
        let text = message.render().to_string();
        if message.use_stderr() {
            console.err(&text);
        } else {
            console.out(&text);
        }
        u8::try_from(message.exit_code()).unwrap_or(2)
    })
}

/// Says how a command ended. `gap` is a line left free before it, as after a dialogue.
fn conclude(outcome: Result<(), Failure>, gap: bool, console: &mut dyn Console) -> bool {
    let gap = if gap { "\n" } else { "" };
    match outcome {
        Ok(()) => return true,
        Err(Failure::Told) => {}
        Err(Failure::Refused(reason)) => console.out(&format!("{gap}❌ Error: {reason}\n")),
        Err(Failure::Fault(reason)) => console.out(&format!("{gap}❌ Unexpected error: {reason}\n")),
    }
    false
}
