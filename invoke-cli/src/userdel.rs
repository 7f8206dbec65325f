//! `invoke-userdel`

use invoke_core::{config::Environment, service::auth::Content};

use crate::{
    Console, Failure, conclude,
    options::UserDel,
    store::{self, Needs},
    text,
};

pub(crate) fn run(options: UserDel, environment: &Environment, console: &mut dyn Console) -> bool {
    let asks = options.email.as_deref().is_none_or(str::is_empty);
    let outcome = remove(&options, asks, environment, console);
    conclude(outcome, asks, console)
}

fn remove(options: &UserDel, asks: bool, environment: &Environment, console: &mut dyn Console) -> Result<(), Failure> {
    let gap = if asks { "\n" } else { "" };
    let address = match options.email.as_deref() {
        Some(address) if !asks => address.to_owned(),
        _ => {
            console.out("=== Delete InvokeAI User ===\n\n");
            console.ask("Email address of user to delete: ")?.trim().to_owned()
        }
    };
    if address.is_empty() {
        console.out("Error: Email is required\n");
        return Err(Failure::Told);
    }
    let needs = if options.delete_content { Needs::Pictures } else { Needs::Database };
    let accounts = store::open(&options.root, needs, environment, console)?;
    let user = accounts.find(&address)?;
    let content = match &options.transfer_to {
        Some(receiver) => Content::TransferTo(accounts.find(receiver)?.user_id),
        None if options.delete_content => Content::Delete,
        None => Content::Leave,
    };
    if !options.force {
        console.out(&format!("{gap}User to delete:\n{}", text::block(&user)));
        match &content {
            Content::Leave => {}
            Content::TransferTo(_) => console.out("   Everything that the user owns goes to the other account.\n"),
            Content::Delete => console.out("   Everything that the user owns is deleted, files included.\n"),
        }
        if !text::agreed(&console.ask("\n⚠️  Are you sure you want to delete this user? (yes/no): ")?) {
            console.out("Deletion cancelled.\n");
            return Err(Failure::Told);
        }
    }
    let deleted = accounts.auth.delete_user(&accounts.actor, &user.user_id, &content)?;
    console.out(&format!("{gap}✅ User deleted successfully!\n"));
    match content {
        Content::Leave => {}
        Content::TransferTo(_) => console.out(&format!("   Handed over: {}\n", text::counted(&deleted.content))),
        Content::Delete => console.out(&format!("   Deleted: {}\n", text::counted(&deleted.content))),
    }
    console.out(text::LIVE_NOTE);
    Ok(())
}
