//! The commands as processes of their own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

fn run(program: &str, root: &std::path::Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("INVOKEAI_ROOT", root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn g15_g39_the_four_commands_make_change_list_and_remove_accounts() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let add = run(
        env!("CARGO_BIN_EXE_invoke-useradd"),
        root,
        &[],
        "ann@example.com\nAnn\nStr0ngPass\nStr0ngPass\ny\n",
    );
    assert_eq!(add.status.code(), Some(0), "{}", String::from_utf8_lossy(&add.stdout));
    let add = run(
        env!("CARGO_BIN_EXE_invoke-useradd"),
        root,
        &["-e", "bob@example.com", "--password-stdin"],
        "Str0ngPass\n",
    );
    assert_eq!(add.status.code(), Some(0), "{}", String::from_utf8_lossy(&add.stdout));
    let modify = run(
        env!("CARGO_BIN_EXE_invoke-usermod"),
        root,
        &["-e", "bob@example.com", "-n", "Bob"],
        "",
    );
    assert_eq!(modify.status.code(), Some(0));
    let list = run(env!("CARGO_BIN_EXE_invoke-userlist"), root, &["--json"], "");
    let users: Vec<serde_json::Value> = serde_json::from_slice(&list.stdout).unwrap();
    let names: Vec<_> = users
        .iter()
        .map(|user| (user["email"].as_str().unwrap(), user["name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        names,
        [
            ("bob@example.com", "Bob"),
            ("ann@example.com", "Ann"),
            ("system@system.invokeai", "System")
        ]
    );
    let remove = run(env!("CARGO_BIN_EXE_invoke-userdel"), root, &["-e", "bob@example.com"], "yes\n");
    assert_eq!(remove.status.code(), Some(0));
    let last = run(env!("CARGO_BIN_EXE_invoke-userdel"), root, &["-e", "ann@example.com", "-f"], "");
    assert_eq!(last.status.code(), Some(1));
    assert_eq!(
        run(env!("CARGO_BIN_EXE_invoke-userdel"), root, &["--nonsense"], "").status.code(),
        Some(2)
    );
}
