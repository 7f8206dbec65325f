//! What keeps the program from starting is told in one line, and by its exit code.

use std::{fs, net::TcpListener, path::Path, process::Command};

/// What the program says when it cannot start with these arguments.
fn refusal(root: &Path, more: &[&str]) -> String {
    let ended = Command::new(env!("CARGO_BIN_EXE_invoke-server"))
        .arg("--root")
        .arg(root)
        .args(more)
        .output()
        .unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
    assert!(told.starts_with("invoke-server: "), "{told}");
    told
}

#[test]
fn a_port_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let told = refusal(folder.path(), &["--port", &port]);
    assert!(told.contains(&format!("port {port}")) && told.contains("--port"), "{told}");
}

#[test]
fn a_root_that_cannot_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for root in [file.clone(), file.join("below")] {
        let told = refusal(&root, &["--port", "0"]);
        assert!(told.contains(&*root.to_string_lossy()), "{told}");
    }
}

#[test]
fn a_database_of_a_later_version() {
    let folder = tempfile::tempdir().unwrap();
    // Opened once, so that there is one.
    drop(invoke_core::Core::open_root(folder.path()).unwrap());
    let file = folder.path().join("databases/invokeai.db");
    let database = rusqlite::Connection::open(&file).unwrap();
    database
        .execute("INSERT INTO invoke_migrations VALUES (999, 'tomorrow')", [])
        .unwrap();
    drop(database);
    let told = refusal(folder.path(), &["--port", "0"]);
    assert!(told.contains(&*file.to_string_lossy()) && told.contains("999"), "{told}");
}

#[test]
fn a_configuration_with_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("invokeai.yaml");
    for (text, words) in [("hots: x\n", "hots"), ("port: many\n", "port"), ("port: [\n", "invokeai.yaml")] {
        fs::write(&file, format!("schema_version: 4.0.3\n{text}")).unwrap();
        let told = refusal(folder.path(), &[]);
        assert!(told.contains(&*file.to_string_lossy()) && told.contains(words), "{told}");
    }
}
