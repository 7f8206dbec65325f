//! `invoke-usermod`

use invoke_core::{config::Environment, service::auth::AccountChange};

use crate::{
    Console, Failure, conclude,
    options::UserMod,
    store::{self, Accounts, Needs},
    text,
};

pub(crate) fn run(options: UserMod, environment: &Environment, console: &mut dyn Console) -> bool {
    let asks = options.email.as_deref().is_none_or(str::is_empty);
    let outcome = if asks {
        by_asking(&options, environment, console)
    } else {
        by_options(&options, environment, console)
    };
    conclude(outcome, asks, console)
}

/// What two options that exclude each other ask for.
fn choice(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

fn by_options(options: &UserMod, environment: &Environment, console: &mut dyn Console) -> Result<(), Failure> {
    let address = options.email.as_deref().unwrap_or_default();
    let password = if options.password_stdin {
        Some(console.ask_hidden("")?)
    } else {
        options.password.clone()
    };
    if let Some(password) = &password {
        text::strong(password, console)?;
    }
    let accounts = store::open(&options.root, Needs::Database, environment, console)?;
    let user = accounts.find(address)?;
    let change = AccountChange {
        email: options.new_email.as_deref().map(text::email).transpose()?,
        display_name: options.name.clone(),
        password,
        is_admin: choice(options.admin, options.no_admin),
        is_active: choice(options.activate, options.deactivate),
    };
    let changes_account = is_change(&change);
    if !changes_account && options.transfer_to.is_none() {
        return Err(Failure::Refused(
            "No changes specified. Use --name, --password, --admin, or --no-admin".into(),
        ));
    }
    if changes_account {
        apply(&accounts, &user.user_id, &change, "", console)?;
    }
    if let Some(receiver) = &options.transfer_to {
        let receiver = accounts.find(receiver)?;
        let moved = accounts.auth.transfer_content(&accounts.actor, &user.user_id, &receiver.user_id)?;
        console.out(&format!("✅ Handed to {}: {}\n", receiver.email, text::counted(&moved.content)));
    }
    Ok(())
}

fn is_change(change: &AccountChange) -> bool {
    change.email.is_some() || change.display_name.is_some() || changes_access(change)
}

/// Whether a running server has to hear of it.
fn changes_access(change: &AccountChange) -> bool {
    change.password.is_some() || change.is_admin.is_some() || change.is_active.is_some()
}

fn apply(
    accounts: &Accounts,
    user_id: &invoke_core::domain::UserId,
    change: &AccountChange,
    gap: &str,
    console: &mut dyn Console,
) -> Result<(), Failure> {
    accounts.auth.update_user(&accounts.actor, None, user_id, change)?;
    let all = accounts.auth.accounts(&accounts.actor)?;
    let user = all
        .iter()
        .find(|user| &user.user_id == user_id)
        .ok_or_else(|| Failure::Refused("User not found".into()))?;
    console.out(&format!("{gap}✅ User updated successfully!\n{}", text::block(user)));
    if changes_access(change) {
        console.out(text::LIVE_NOTE);
    }
    Ok(())
}

fn by_asking(options: &UserMod, environment: &Environment, console: &mut dyn Console) -> Result<(), Failure> {
    console.out("=== Modify InvokeAI User ===\n\n");
    let address = console.ask("Email address of user to modify: ")?.trim().to_owned();
    if address.is_empty() {
        console.out("Error: Email is required\n");
        return Err(Failure::Told);
    }
    let accounts = store::open(&options.root, Needs::Database, environment, console)?;
    let user = accounts.find(&address)?;
    console.out(&format!("\nCurrent user details:\n{}", text::block(&user)));
    console.out("\n--- What would you like to change? (leave blank to keep current value) ---\n\n");
    let mut change = AccountChange::default();
    let name = console
        .ask(&format!("New display name [{}]: ", text::name(&user)))?
        .trim()
        .to_owned();
    change.display_name = Some(name).filter(|name| !name.is_empty());
    if text::agreed(&console.ask("Change password? (y/N): ")?) {
        change.password = text::ask_password("New password: ", "Confirm new password: ", true, console)?;
        if change.password.is_none() {
            console.out("Keeping existing password.\n");
        }
    }
    if text::agreed(&console.ask("Change admin status? (y/N): ")?) {
        let question = format!("Make administrator? [current: {}] (y/N): ", text::yes_no(user.is_admin));
        change.is_admin = Some(text::agreed(&console.ask(&question)?));
    }
    if !is_change(&change) {
        console.out("\nNo changes requested. User not modified.\n");
        return Ok(());
    }
    apply(&accounts, &user.user_id, &change, "\n", console)
}
