//! `invoke-useradd`

use invoke_core::{config::Environment, service::auth::NewAccount};

use crate::{
    Console, Failure, conclude,
    options::UserAdd,
    store::{self, Needs},
    text,
};

pub(crate) fn run(options: UserAdd, environment: &Environment, console: &mut dyn Console) -> bool {
    let asks = options.email.is_none() && options.password.is_none() && !options.password_stdin;
    let outcome = if asks {
        by_asking(&options, environment, console)
    } else {
        by_options(options, environment, console)
    };
    conclude(outcome, asks, console)
}

fn by_options(options: UserAdd, environment: &Environment, console: &mut dyn Console) -> Result<(), Failure> {
    let password = if options.password_stdin {
        Some(console.ask_hidden("")?)
    } else {
        options.password.clone()
    };
    let (Some(address), Some(password)) = (
        options.email.as_deref().filter(|e| !e.is_empty()),
        password.filter(|p| !p.is_empty()),
    ) else {
        console
            .out("❌ Error: Both --email and --password are required when using CLI mode\n   Run without arguments for interactive mode\n");
        return Err(Failure::Told);
    };
    text::strong(&password, console)?;
    add(
        &options,
        address,
        options.name.clone(),
        password,
        options.admin,
        "",
        environment,
        console,
    )
}

fn by_asking(options: &UserAdd, environment: &Environment, console: &mut dyn Console) -> Result<(), Failure> {
    console.out("=== Add InvokeAI User ===\n\n");
    let address = console.ask("Email address: ")?.trim().to_owned();
    if address.is_empty() {
        console.out("Error: Email is required\n");
        return Err(Failure::Told);
    }
    let name = Some(console.ask("Display name (optional): ")?.trim().to_owned()).filter(|name| !name.is_empty());
    let password = text::ask_password("Password: ", "Confirm password: ", false, console)?.unwrap_or_default();
    let admin = text::agreed(&console.ask("Make this user an administrator? (y/N): ")?);
    add(options, &address, name, password, admin, "\n", environment, console)
}

#[expect(clippy::too_many_arguments, reason = "the answers of one dialogue, used once")]
fn add(
    options: &UserAdd,
    address: &str,
    display_name: Option<String>,
    password: String,
    is_admin: bool,
    gap: &str,
    environment: &Environment,
    console: &mut dyn Console,
) -> Result<(), Failure> {
    let accounts = store::open(&options.root, Needs::Database, environment, console)?;
    let account = NewAccount {
        email: text::email(address)?,
        display_name,
        password,
        is_admin,
    };
    accounts.auth.create_user(&accounts.actor, &account)?;
    let user = accounts.find(account.email.as_str())?;
    console.out(&format!("{gap}✅ User created successfully!\n{}", text::block(&user)));
    Ok(())
}
