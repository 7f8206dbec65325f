//! Texts that several commands use.

use invoke_core::{
    authn::{
        Email,
        password::{Strictness, WeakPassword, check},
    },
    domain::user::User,
};

use crate::{Console, Failure};

/// What is said when an account's access changed.
pub(crate) const LIVE_NOTE: &str = "   ℹ️  A running server applies this to new requests immediately; already-open\n      connections are re-checked within about a minute.\n";

pub(crate) fn yes_no(value: bool) -> &'static str {
    if value { "Yes" } else { "No" }
}

/// The name as it is shown.
pub(crate) fn name(user: &User) -> &str {
    user.display_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("(not set)")
}

/// An account in five lines.
pub(crate) fn block(user: &User) -> String {
    format!(
        "   User ID: {}\n   Email: {}\n   Display Name: {}\n   Admin: {}\n   Active: {}\n",
        user.user_id,
        user.email,
        name(user),
        yes_no(user.is_admin),
        yes_no(user.is_active)
    )
}

/// Whether a question was answered with yes.
pub(crate) fn agreed(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// How many of what were handed over or removed, as one line.
pub(crate) fn counted(counts: &[(&'static str, usize)]) -> String {
    let counted: Vec<String> = counts
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(kind, n)| format!("{n} {}", kind.replace('_', " ")))
        .collect();
    if counted.is_empty() { "nothing".into() } else { counted.join(", ") }
}

/// Refuses a weak password, naming every rule that it breaks.
pub(crate) fn strong(password: &str, console: &mut dyn Console) -> Result<(), Failure> {
    check(password, Strictness::Strict).map_err(|weak| {
        console.out(&format!("❌ Password validation failed: {weak}\n"));
        explain(&weak, console);
        Failure::Told
    })
}

/// Names every rule that a password breaks.
pub(crate) fn explain(weak: &WeakPassword, console: &mut dyn Console) {
    console.err(&format!("   {}\n", weak.explanation()));
}

/// An address that can be a login name.
pub(crate) fn email(text: &str) -> Result<Email, Failure> {
    Email::parse(text).map_err(|error| Failure::Refused(error.to_string()))
}

/// Asks for a password twice until both answers are the same strong one. `None` if `may_be_empty` and nothing was typed.
pub(crate) fn ask_password(question: &str, again: &str, may_be_empty: bool, console: &mut dyn Console) -> Result<Option<String>, Failure> {
    loop {
        let password = console.ask_hidden(question)?;
        if may_be_empty && password.is_empty() {
            return Ok(None);
        }
        if password != console.ask_hidden(again)? {
            console.out("Error: Passwords do not match. Please try again.\n\n");
            continue;
        }
        match check(&password, Strictness::Strict) {
            Ok(()) => return Ok(Some(password)),
            Err(weak) => {
                console.out(&format!("Error: {weak}\n\n"));
                explain(&weak, console);
            }
        }
    }
}
