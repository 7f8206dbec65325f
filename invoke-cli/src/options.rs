//! What the commands understand.

use std::path::PathBuf;

use clap::{Args, Parser};

const TEMPLATE: &str = "usage: {usage}\n\n{about}\n\noptions:\n{options}{after-help}\n";
const INTERACTIVE: &str = "\nIf no arguments are provided, the command asks for what it needs.";

/// Where the accounts are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Root {
    /// Path to the root directory. If omitted, the root is resolved in this order: the $INVOKEAI_ROOT environment variable, the active
    /// virtual environment's parent directory, or $HOME/invokeai.
    #[arg(short, long, value_name = "ROOT")]
    pub(crate) root: Option<PathBuf>,
}

/// Add a user to the InvokeAI database
#[derive(Debug, Parser)]
#[command(name = "invoke-useradd", help_template = TEMPLATE, after_help = INTERACTIVE, infer_long_args = true)]
pub(crate) struct UserAdd {
    #[command(flatten)]
    pub(crate) root: Root,
    /// User email address
    #[arg(short, long, value_name = "EMAIL")]
    pub(crate) email: Option<String>,
    /// User password; others on this machine can see it while the command runs, so rather use --password-stdin or be asked
    #[arg(short, long, value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
    /// Read the password from the first line of the standard input
    #[arg(long, conflicts_with = "password")]
    pub(crate) password_stdin: bool,
    /// User display name (optional)
    #[arg(short, long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Make user an administrator
    #[arg(short, long)]
    pub(crate) admin: bool,
}

/// Modify a user in the InvokeAI database
#[derive(Debug, Parser)]
#[command(name = "invoke-usermod", help_template = TEMPLATE, after_help = INTERACTIVE, infer_long_args = true)]
pub(crate) struct UserMod {
    #[command(flatten)]
    pub(crate) root: Root,
    /// User email address
    #[arg(short, long, value_name = "EMAIL")]
    pub(crate) email: Option<String>,
    /// New display name
    #[arg(short, long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// New password; others on this machine can see it while the command runs, so rather use --password-stdin or be asked
    #[arg(short, long, value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
    /// Read the new password from the first line of the standard input
    #[arg(long, conflicts_with = "password")]
    pub(crate) password_stdin: bool,
    /// Grant administrator privileges
    #[arg(short, long, conflicts_with = "no_admin")]
    pub(crate) admin: bool,
    /// Remove administrator privileges
    #[arg(long)]
    pub(crate) no_admin: bool,
    /// Let the user log in again
    #[arg(long, conflicts_with = "deactivate")]
    pub(crate) activate: bool,
    /// Keep the user from logging in, and end the user's sessions and jobs
    #[arg(long)]
    pub(crate) deactivate: bool,
    /// New email address, which is the login name
    #[arg(long, value_name = "EMAIL")]
    pub(crate) new_email: Option<String>,
    /// Hand everything that the user owns to the user with this email address
    #[arg(long, value_name = "EMAIL")]
    pub(crate) transfer_to: Option<String>,
}

/// Delete a user from the InvokeAI database
#[derive(Debug, Parser)]
#[command(name = "invoke-userdel", help_template = TEMPLATE, after_help = INTERACTIVE, infer_long_args = true)]
pub(crate) struct UserDel {
    #[command(flatten)]
    pub(crate) root: Root,
    /// User email address
    #[arg(short, long, value_name = "EMAIL")]
    pub(crate) email: Option<String>,
    /// Delete without confirmation prompt
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Hand everything that the user owns to the user with this email address; otherwise it stays, for administrators to see
    #[arg(long, value_name = "EMAIL", conflicts_with = "delete_content")]
    pub(crate) transfer_to: Option<String>,
    /// Delete everything that the user owns, files included
    #[arg(long)]
    pub(crate) delete_content: bool,
}

/// List users from the InvokeAI database
#[derive(Debug, Parser)]
#[command(
    name = "invoke-userlist",
    help_template = TEMPLATE,
    after_help = "\nExamples:\n  invoke-userlist\n  invoke-userlist --json\n  invoke-userlist --log --email alice@example.com",
    infer_long_args = true
)]
pub(crate) struct UserList {
    #[command(flatten)]
    pub(crate) root: Root,
    /// Output in JSON format instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// List the record of logins and of changes to accounts instead, newest first
    #[arg(long)]
    pub(crate) log: bool,
    /// Only what this user did, or what was done to the user
    #[arg(short, long, value_name = "EMAIL", requires = "log")]
    pub(crate) email: Option<String>,
    /// How many entries of the record to list, 1 to 1000
    #[arg(long, value_name = "N", requires = "log", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
    pub(crate) limit: i64,
}
