//! The commands, with their arguments, answers and surroundings given by the test.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::VecDeque, io, path::Path};

use invoke_cli::{Console, Tool, run};
use invoke_core::config::Environment;

/// Answers in turn, and keeps what was said.
#[derive(Default)]
struct Script {
    answers: VecDeque<&'static str>,
    out: String,
    err: String,
}

impl Script {
    fn next(&mut self) -> io::Result<String> {
        self.answers
            .pop_front()
            .map(Into::into)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Console for Script {
    fn out(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn err(&mut self, text: &str) {
        self.err.push_str(text);
    }

    fn ask(&mut self, question: &str) -> io::Result<String> {
        self.out(question);
        self.next()
    }

    fn ask_hidden(&mut self, question: &str) -> io::Result<String> {
        self.err(question);
        self.next()
    }
}

/// A root folder, and what a command did there.
struct Root(tempfile::TempDir);

struct Done {
    status: u8,
    out: String,
    err: String,
}

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, tool: Tool, arguments: &[&str], answers: &[&'static str]) -> Done {
        let environment = Environment::of([("INVOKEAI_ROOT", self.path().to_str().unwrap())]);
        let mut console = Script {
            answers: answers.iter().copied().collect(),
            ..Script::default()
        };
        let arguments = std::iter::once("invoke-user").chain(arguments.iter().copied()).map(Into::into);
        let status = run(tool, arguments, &environment, &mut console);
        assert!(console.answers.is_empty(), "not asked: {:?}\n{}", console.answers, console.out);
        Done {
            status,
            out: console.out,
            err: console.err,
        }
    }

    fn add(&self, email: &str, more: &[&str]) {
        let done = self.run(Tool::UserAdd, &[&["-e", email, "-p", "Str0ngPass"], more].concat(), &[]);
        assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let done = self.run(Tool::UserList, &["--json"], &[]);
        assert_eq!(done.status, 0);
        serde_json::from_str(&done.out).unwrap()
    }

    fn user(&self, email: &str) -> Option<serde_json::Value> {
        self.json().into_iter().find(|user| user["email"] == email)
    }
}

fn without_id(text: &str) -> String {
    text.split_inclusive('\n')
        .filter(|line| !line.starts_with("   User ID: "))
        .collect()
}

#[test]
fn g15_g16_each_command_helps() {
    let root = Root::new();
    for (tool, options) in [
        (
            Tool::UserAdd,
            &[
                "--root",
                "-r",
                "--email",
                "-e",
                "--password",
                "-p",
                "--name",
                "-n",
                "--admin",
                "-a",
                "-h",
            ][..],
        ),
        (
            Tool::UserMod,
            &[
                "--root",
                "--email",
                "--name",
                "--password",
                "--admin",
                "--no-admin",
                "--activate",
                "--deactivate",
                "--new-email",
            ],
        ),
        (
            Tool::UserDel,
            &["--root", "--email", "--force", "-f", "--transfer-to", "--delete-content"],
        ),
        (Tool::UserList, &["--root", "--json", "--log"]),
    ] {
        let done = root.run(tool, &["--help"], &[]);
        assert_eq!((done.status, done.err.as_str()), (0, ""), "{tool:?}");
        assert!(done.out.starts_with("usage: invoke-user"), "{}", done.out);
        for option in options {
            assert!(done.out.contains(option), "{tool:?} {option}\n{}", done.out);
        }
    }
    assert!(std::fs::read_dir(root.path()).unwrap().next().is_none(), "help touches nothing");
}

#[test]
fn what_is_not_understood_ends_with_2() {
    let root = Root::new();
    for (tool, arguments) in [
        (Tool::UserAdd, &["--colour"][..]),
        (Tool::UserMod, &["-e", "a@example.com", "--admin", "--no-admin"]),
        (Tool::UserMod, &["-e", "a@example.com", "--activate", "--deactivate"]),
        (
            Tool::UserDel,
            &["-e", "a@example.com", "--delete-content", "--transfer-to", "b@example.com"],
        ),
        (Tool::UserList, &["--log", "--limit", "0"]),
    ] {
        let done = root.run(tool, arguments, &[]);
        assert_eq!((done.status, done.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!done.err.is_empty());
    }
}

#[test]
fn g16_useradd_by_options() {
    let root = Root::new();
    let done = root.run(
        Tool::UserAdd,
        &["--email", "Ann@Example.COM", "--password", "Str0ngPass", "--name", "Ann", "--admin"],
        &[],
    );
    assert_eq!(done.status, 0);
    assert!(done.out.contains("   User ID: "));
    assert_eq!(
        without_id(&done.out),
        "✅ User created successfully!\n   Email: Ann@example.com\n   Display Name: Ann\n   Admin: Yes\n   Active: Yes\n"
    );
    assert!(
        done.err.contains("There is no database at") && done.err.contains("invokeai.db yet; making a new one"),
        "{}",
        done.err
    );
    let again = root.run(Tool::UserAdd, &["-e", "Ann@example.com", "-p", "Str0ngPass"], &[]);
    assert_eq!(
        (again.status, again.out.as_str()),
        (1, "❌ Error: User with email Ann@example.com already exists\n")
    );
    assert!(again.err.starts_with("Initializing database at "));
}

#[test]
fn useradd_needs_both_or_neither() {
    let root = Root::new();
    for arguments in [&["-e", "a@example.com"][..], &["-p", "Str0ngPass"]] {
        let done = root.run(Tool::UserAdd, arguments, &[]);
        assert_eq!(
            (done.status, done.out.as_str()),
            (
                1,
                "❌ Error: Both --email and --password are required when using CLI mode\n   Run without arguments for interactive mode\n"
            )
        );
    }
}

#[test]
fn g08_commands_are_strict_whatever_the_configuration_says() {
    let root = Root::new();
    std::fs::write(
        root.path().join("invokeai.yaml"),
        "schema_version: 4.0.3\nstrict_password_checking: false\n",
    )
    .unwrap();
    for (password, reason, rules) in [
        (
            "short",
            "Password must be at least 8 characters long",
            "at least 8 characters, an upper-case letter, a digit",
        ),
        (
            "alllower1",
            "Password must contain uppercase, lowercase, and numbers",
            "an upper-case letter",
        ),
    ] {
        let done = root.run(Tool::UserAdd, &["-e", "a@example.com", "-p", password], &[]);
        assert_eq!((done.status, done.out), (1, format!("❌ Password validation failed: {reason}\n")));
        assert_eq!(
            done.err,
            format!("   The password needs {rules}.\n"),
            "each rule is named, and no database was opened"
        );
    }
    root.add("a@example.com", &[]);
    let done = root.run(Tool::UserMod, &["-e", "a@example.com", "-p", "short"], &[]);
    assert_eq!(
        (done.status, done.out.as_str()),
        (1, "❌ Password validation failed: Password must be at least 8 characters long\n")
    );
}

#[test]
fn a_password_can_come_through_the_standard_input() {
    let root = Root::new();
    let done = root.run(Tool::UserAdd, &["-e", "a@example.com", "--password-stdin"], &["Str0ngPass"]);
    assert_eq!(done.status, 0, "{}", done.out);
    let done = root.run(Tool::UserMod, &["-e", "a@example.com", "--password-stdin"], &["An0therPass"]);
    assert_eq!(done.status, 0, "{}", done.out);
}

#[test]
fn g18_useradd_asks_for_what_it_needs() {
    let root = Root::new();
    let answers = [
        "ann@example.com ",
        " Ann ",
        "Str0ngPass",
        "different",
        "weak",
        "weak",
        "Str0ngPass",
        "Str0ngPass",
        "Y",
    ];
    let done = root.run(Tool::UserAdd, &[], &answers);
    assert_eq!(done.status, 0);
    assert_eq!(
        without_id(&done.out),
        "=== Add InvokeAI User ===\n\nEmail address: Display name (optional): Error: Passwords do not match. Please try again.\n\n\
         Error: Password must be at least 8 characters long\n\nMake this user an administrator? (y/N): \n✅ User created successfully!\n\
         \u{20}  Email: ann@example.com\n   Display Name: Ann\n   Admin: Yes\n   Active: Yes\n"
    );
    assert!(done.err.contains("Password: Confirm password: "), "{}", done.err);
    let empty = root.run(Tool::UserAdd, &["--name", "ignored"], &[""]);
    assert_eq!(
        (empty.status, empty.out.as_str()),
        (1, "=== Add InvokeAI User ===\n\nEmail address: Error: Email is required\n")
    );
    let ended = root.run(Tool::UserAdd, &[], &["x@example.com"]);
    assert_eq!(ended.status, 1);
    assert!(
        ended
            .out
            .ends_with("\n❌ Unexpected error: the input ended where an answer was expected\n"),
        "{}",
        ended.out
    );
}

#[test]
fn bad_addresses_are_refused() {
    let root = Root::new();
    let done = root.run(Tool::UserAdd, &["-e", "nobody", "-p", "Str0ngPass"], &[]);
    assert_eq!(
        (done.status, done.out.as_str()),
        (1, "❌ Error: Invalid email address: An email address must have an @-sign.\n")
    );
}

const LIVE: &str = "   ℹ️  A running server applies this to new requests immediately; already-open\n      connections are re-checked within about a minute.\n";

#[test]
fn g13_userdel_asks_before_it_deletes() {
    let root = Root::new();
    root.add("ann@example.com", &["-a"]);
    root.add("bob@example.com", &["-n", "Bob"]);
    let block = "   Email: bob@example.com\n   Display Name: Bob\n   Admin: No\n   Active: Yes\n";
    let question = "\n⚠️  Are you sure you want to delete this user? (yes/no): ";
    let no = root.run(Tool::UserDel, &["-e", "bob@example.com"], &["no"]);
    assert_eq!(
        (no.status, without_id(&no.out)),
        (1, format!("User to delete:\n{block}{question}Deletion cancelled.\n"))
    );
    let yes = root.run(Tool::UserDel, &["-e", "bob@example.com"], &["YES"]);
    assert_eq!(
        (yes.status, without_id(&yes.out)),
        (
            0,
            format!("User to delete:\n{block}{question}✅ User deleted successfully!\n{LIVE}")
        )
    );
    let unknown = root.run(Tool::UserDel, &["-e", "bob@example.com"], &[]);
    assert_eq!(
        (unknown.status, unknown.out.as_str()),
        (1, "❌ Error: No user found with email 'bob@example.com'\n")
    );
    root.add("bob@example.com", &[]);
    let force = root.run(Tool::UserDel, &["-e", "bob@example.com", "--force"], &[]);
    assert_eq!((force.status, force.out), (0, format!("✅ User deleted successfully!\n{LIVE}")));
    assert!(root.user("bob@example.com").is_none());
}

#[test]
fn g18_userdel_asks_for_the_address() {
    let root = Root::new();
    root.add("ann@example.com", &["-a"]);
    root.add("bob@example.com", &[]);
    let done = root.run(Tool::UserDel, &[], &["bob@example.com", "y"]);
    assert_eq!(done.status, 0);
    assert!(
        done.out
            .starts_with("=== Delete InvokeAI User ===\n\nEmail address of user to delete: \nUser to delete:\n"),
        "{}",
        done.out
    );
    assert!(
        done.out.ends_with(&format!("\n✅ User deleted successfully!\n{LIVE}")),
        "{}",
        done.out
    );
    let unknown = root.run(Tool::UserDel, &[], &["bob@example.com"]);
    assert!(
        unknown.out.ends_with("\n❌ Error: No user found with email 'bob@example.com'\n"),
        "{}",
        unknown.out
    );
}

#[test]
fn g43_the_last_administrator_stays() {
    let root = Root::new();
    root.add("ann@example.com", &["-a"]);
    let last = "❌ Error: Cannot remove the last administrator\n";
    for (tool, arguments) in [
        (Tool::UserDel, &["-e", "ann@example.com", "-f"][..]),
        (Tool::UserMod, &["-e", "ann@example.com", "--no-admin"]),
        (Tool::UserMod, &["-e", "ann@example.com", "--deactivate"]),
    ] {
        let done = root.run(tool, arguments, &[]);
        assert_eq!((done.status, done.out.as_str()), (1, last));
    }
    let system = root.run(Tool::UserDel, &["-e", "system@system.invokeai", "-f"], &[]);
    assert_eq!(
        system.out,
        "❌ Error: The system user cannot be deleted, deactivated, promoted to administrator, or given a password\n"
    );
}

#[test]
fn g11_g12_g14_g71_usermod_by_options() {
    let root = Root::new();
    root.add("ann@example.com", &["-a"]);
    root.add("bob@example.com", &[]);
    let modify = |more: &[&str]| root.run(Tool::UserMod, &[&["-e", "bob@example.com"], more].concat(), &[]);
    let nothing = modify(&[]);
    assert_eq!(
        (nothing.status, nothing.out.as_str()),
        (
            1,
            "❌ Error: No changes specified. Use --name, --password, --admin, or --no-admin\n"
        )
    );
    let name = modify(&["--name", "Bob"]);
    let block = |admin: &str, active: &str| {
        format!("✅ User updated successfully!\n   Email: bob@example.com\n   Display Name: Bob\n   Admin: {admin}\n   Active: {active}\n")
    };
    assert_eq!(
        (name.status, without_id(&name.out)),
        (0, block("No", "Yes")),
        "a name needs no note about running servers"
    );
    assert_eq!(without_id(&modify(&["--admin"]).out), block("Yes", "Yes") + LIVE);
    assert_eq!(without_id(&modify(&["--no-admin"]).out), block("No", "Yes") + LIVE);
    assert_eq!(without_id(&modify(&["--password", "An0therPass"]).out), block("No", "Yes") + LIVE);
    assert_eq!(without_id(&modify(&["--deactivate"]).out), block("No", "No") + LIVE);
    assert_eq!(without_id(&modify(&["--activate"]).out), block("No", "Yes") + LIVE);
    assert_eq!(modify(&["--new-email", "robert@example.com"]).status, 0);
    assert!(root.user("robert@example.com").is_some() && root.user("bob@example.com").is_none());
    let unknown = modify(&["--admin"]);
    assert_eq!(
        (unknown.status, unknown.out.as_str()),
        (1, "❌ Error: No user found with email 'bob@example.com'\n")
    );
}

#[test]
fn g18_usermod_asks_for_what_it_needs() {
    let root = Root::new();
    root.add("ann@example.com", &["-a"]);
    root.add("bob@example.com", &[]);
    let answers = ["bob@example.com", "Bob", "y", "An0therPass", "An0therPass", "yes", "y"];
    let done = root.run(Tool::UserMod, &[], &answers);
    assert_eq!(done.status, 0);
    assert_eq!(
        without_id(&done.out),
        format!(
            "=== Modify InvokeAI User ===\n\nEmail address of user to modify: \nCurrent user details:\n   Email: bob@example.com\n\
             \u{20}  Display Name: (not set)\n   Admin: No\n   Active: Yes\n\n--- What would you like to change? (leave blank to keep current value) ---\n\n\
             New display name [(not set)]: Change password? (y/N): Change admin status? (y/N): Make administrator? [current: No] (y/N): \n\
             ✅ User updated successfully!\n   Email: bob@example.com\n   Display Name: Bob\n   Admin: Yes\n   Active: Yes\n{LIVE}"
        )
    );
    let nothing = root.run(Tool::UserMod, &[], &["bob@example.com", "", "y", "", "n"]);
    assert_eq!(nothing.status, 0);
    assert!(nothing.out.contains("Keeping existing password.\n"));
    assert!(
        nothing.out.ends_with("\nNo changes requested. User not modified.\n"),
        "{}",
        nothing.out
    );
}

#[test]
fn userlist_as_a_table_and_as_json() {
    let root = Root::new();
    root.add("ann@example.com", &["-a", "-n", "A very long display name indeed"]);
    root.add("a.very.long.address.indeed@example.com", &[]);
    let done = root.run(Tool::UserList, &[], &[]);
    assert_eq!(done.status, 0);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "",
            "=== InvokeAI Users ===",
            "",
            "User ID                              Email                          Display Name         Admin    Active  "
        ]
    );
    assert_eq!(lines[4], "-".repeat(108));
    let row = |email: &str, name: &str, admin: &str| format!(" {email:<30} {name:<20} {admin:<8} Yes     ");
    assert_eq!(lines[5][36..], row("a.very.long.address.indeed@ex", "", "No"));
    assert_eq!(lines[6][36..], row("ann@example.com", "A very long display", "Yes"));
    assert!(lines[7].starts_with("system                               system@system.invokeai         System"));
    assert_eq!(lines[8..], ["", "Total users: 3"]);
    let json = root.json();
    assert_eq!(json.len(), 3);
    assert_eq!(json[1]["name"], "A very long display name indeed");
    assert_eq!(
        json[2],
        serde_json::json!({"id": "system", "email": "system@system.invokeai", "name": "System", "is_admin": false, "is_active": true})
    );
    assert!(json[0]["name"].is_null());
}

#[test]
fn the_record_of_what_was_done_can_be_listed() {
    let root = Root::new();
    root.add("ann@example.com", &["-a"]);
    root.add("bob@example.com", &[]);
    root.run(Tool::UserMod, &["-e", "bob@example.com", "--deactivate"], &[]);
    let done = root.run(Tool::UserList, &["--log"], &[]);
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(
        lines[0].contains("user.changed") && lines[0].contains("(this machine)") && lines[0].ends_with("bob@example.com, deactivated"),
        "{}",
        done.out
    );
    assert_eq!(lines.last(), Some(&"3 of 3 entries"));
    let of_bob = root.run(Tool::UserList, &["--log", "--json", "--email", "bob@example.com"], &[]);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&of_bob.out).unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry["act"].as_str().unwrap()).collect::<Vec<_>>(),
        ["user.changed", "user.created"]
    );
}

#[test]
fn content_can_be_handed_over_and_deleted() {
    let root = Root::new();
    root.add("ann@example.com", &["-a"]);
    root.add("bob@example.com", &[]);
    let handed = root.run(Tool::UserMod, &["-e", "bob@example.com", "--transfer-to", "ann@example.com"], &[]);
    assert_eq!((handed.status, handed.out.as_str()), (0, "✅ Handed to ann@example.com: nothing\n"));
    let unknown = root.run(
        Tool::UserDel,
        &["-e", "bob@example.com", "-f", "--transfer-to", "nobody@example.com"],
        &[],
    );
    assert_eq!(
        (unknown.status, unknown.out.as_str()),
        (1, "❌ Error: No user found with email 'nobody@example.com'\n")
    );
    let deleted = root.run(Tool::UserDel, &["-e", "bob@example.com", "-f", "--delete-content"], &[]);
    assert_eq!(
        (deleted.status, deleted.out),
        (0, format!("✅ User deleted successfully!\n   Deleted: nothing\n{LIVE}"))
    );
}

#[test]
fn g17_the_root_is_that_of_the_option_before_that_of_the_variable() {
    let (root, other) = (Root::new(), Root::new());
    root.add("ann@example.com", &["--root", other.path().to_str().unwrap()]);
    assert!(other.user("ann@example.com").is_some());
    assert!(!root.path().join("databases").exists());
}

#[test]
fn g02_accounts_are_added_changed_and_removed() {
    let root = Root::new();
    root.add("root@example.com", &["--admin"]);
    root.add("alice@example.com", &["-n", "Alice"]);
    let changed = root.run(Tool::UserMod, &["-e", "alice@example.com", "-n", "Alicia"], &[]);
    assert_eq!(
        (changed.status, root.user("alice@example.com").unwrap()["name"].as_str()),
        (0, Some("Alicia"))
    );
    let removed = root.run(Tool::UserDel, &["-e", "alice@example.com", "--force"], &[]);
    assert_eq!(
        (removed.status, root.user("alice@example.com")),
        (0, None),
        "{}{}",
        removed.out,
        removed.err
    );
    assert!(root.user("root@example.com").is_some());
}

#[test]
fn g04_there_may_be_several_administrators() {
    let root = Root::new();
    root.add("one@example.com", &["--admin"]);
    root.add("two@example.com", &[]);
    assert_eq!(root.run(Tool::UserMod, &["-e", "two@example.com", "--admin"], &[]).status, 0);
    root.add("three@example.com", &["-a"]);
    let administrators = root.json().into_iter().filter(|user| user["is_admin"] == true);
    assert_eq!(administrators.count(), 3);
}

#[test]
fn the_database_of_the_configuration_is_used() {
    let root = Root::new();
    std::fs::write(root.path().join("invokeai.yaml"), "schema_version: 4.0.3\ndb_dir: elsewhere\n").unwrap();
    root.add("ann@example.com", &[]);
    assert!(root.path().join("elsewhere/invokeai.db").exists());
}

#[test]
fn faults_are_told_in_one_line() {
    let root = Root::new();
    std::fs::create_dir_all(root.path().join("databases")).unwrap();
    std::fs::write(
        root.path().join("databases/invokeai.db"),
        "this is no database, and longer than a header would be: ".repeat(10),
    )
    .unwrap();
    let table = root.run(Tool::UserList, &[], &[]);
    assert_eq!(table.status, 1);
    assert!(table.out.starts_with("Error listing users: cannot "), "{}", table.out);
    let json = root.run(Tool::UserList, &["--json"], &[]);
    let told: serde_json::Value = serde_json::from_str(json.err.lines().last().unwrap()).unwrap();
    assert!(json.status == 1 && json.out.is_empty() && told["error"].as_str().unwrap().contains("invokeai.db"));
    let add = root.run(Tool::UserAdd, &["-e", "a@example.com", "-p", "Str0ngPass"], &[]);
    assert!(
        add.status == 1 && add.out.starts_with("❌ Unexpected error: cannot "),
        "{}",
        add.out
    );
}
