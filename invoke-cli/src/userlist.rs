//! `invoke-userlist`

use invoke_core::{config::Environment, domain::audit::Entry, domain::user::User, repo::audit::AuditFilter};
use serde::Serialize;
use serde_json::json;

use crate::{
    Console, Failure,
    options::UserList,
    store::{self, Accounts, Needs},
    text,
};

/// Characters of an e-mail that the table has room for.
const EMAIL_WIDTH: usize = 29;
/// Characters of a display name that the table has room for.
const NAME_WIDTH: usize = 19;

/// An account in the JSON list.
#[derive(Serialize)]
struct Listed<'u> {
    id: &'u str,
    email: &'u str,
    name: Option<&'u str>,
    is_admin: bool,
    is_active: bool,
}

impl<'u> From<&'u User> for Listed<'u> {
    fn from(user: &'u User) -> Self {
        Self {
            id: user.user_id.as_str(),
            email: &user.email,
            name: user.display_name.as_deref(),
            is_admin: user.is_admin,
            is_active: user.is_active,
        }
    }
}

pub(crate) fn run(options: &UserList, environment: &Environment, console: &mut dyn Console) -> bool {
    let outcome = store::open(&options.root, Needs::Database, environment, console).and_then(|accounts| {
        if options.log {
            log(&accounts, options)
        } else {
            users(&accounts, options.json)
        }
    });
    match outcome {
        Ok(list) => {
            console.out(&list);
            true
        }
        Err(failure) if options.json => {
            console.err(&format!("{}\n", json!({"error": failure.to_string()})));
            false
        }
        Err(failure) => {
            console.out(&format!("Error listing users: {failure}\n"));
            false
        }
    }
}

fn pretty(list: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(list)
        .map(|list| list + "\n")
        .map_err(|error| Failure::Fault(error.to_string()))
}

fn users(accounts: &Accounts, as_json: bool) -> Result<String, Failure> {
    let users = accounts.auth.accounts(&accounts.actor)?;
    if as_json {
        return pretty(&users.iter().map(Listed::from).collect::<Vec<_>>());
    }
    if users.is_empty() {
        return Ok("No users found in database.\n".into());
    }
    let mut table = String::from("\n=== InvokeAI Users ===\n\n");
    table.push_str(&row("User ID", "Email", "Display Name", "Admin", "Active"));
    table.push_str(&"-".repeat(108));
    table.push('\n');
    for user in &users {
        let name = user.display_name.as_deref().unwrap_or_default();
        let (email, name) = (cut(&user.email, EMAIL_WIDTH), cut(name, NAME_WIDTH));
        table.push_str(&row(
            user.user_id.as_str(),
            &email,
            &name,
            text::yes_no(user.is_admin),
            text::yes_no(user.is_active),
        ));
    }
    Ok(format!("{table}\nTotal users: {}\n", users.len()))
}

fn row(id: &str, email: &str, name: &str, admin: &str, active: &str) -> String {
    format!("{id:<36} {email:<30} {name:<20} {admin:<8} {active:<8}\n")
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

fn log(accounts: &Accounts, options: &UserList) -> Result<String, Failure> {
    let user_id = match &options.email {
        Some(email) => Some(accounts.find(email)?.user_id),
        None => None,
    };
    let filter = AuditFilter {
        user_id,
        ..AuditFilter::default()
    };
    let page = accounts.auth.audit_log(&accounts.actor, &filter, 0, options.limit)?;
    if options.json {
        return pretty(&page.items);
    }
    let users = accounts.auth.accounts(&accounts.actor)?;
    let named = |id: &str| match users.iter().find(|user| user.user_id.as_str() == id) {
        Some(user) => user.email.clone(),
        None if id.is_empty() => "-".into(),
        None => id.to_owned(),
    };
    let line = |entry: &Entry| {
        let who = if entry.door == "command" {
            "(this machine)".into()
        } else {
            named(entry.actor_id.as_str())
        };
        let rest = [entry.subject_id.as_deref().map(named), entry.address.clone(), entry.detail.clone()];
        let rest: Vec<String> = rest.into_iter().flatten().collect();
        format!("{}  {:<20} {:<30} {}\n", entry.at, entry.act, who, rest.join(", ")).replace(" \n", "\n")
    };
    let lines: String = page.items.iter().map(line).collect();
    Ok(format!("{lines}\n{} of {} entries\n", page.items.len(), page.total))
}
