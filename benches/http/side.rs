//! One server in a process and a root of its own.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    client::{Connection, now, posted},
    content::Content,
};

/// Whose gallery is listed.
pub(crate) const EMAIL: &str = "alice@example.com";
/// The password of everybody.
pub(crate) const PASSWORD: &str = "Passw0rd-for-all";
const ADMINISTRATOR: &str = "root@example.com";
/// The original takes half a minute on a cold disk.
const START_PATIENCE: Duration = Duration::from_mins(3);

/// Which server.
pub(crate) enum Program {
    /// This one.
    Ours(PathBuf),
    /// InvokeAI, run by this Python.
    Original(PathBuf),
}

/// A running server with content.
pub(crate) struct Side {
    process: Child,
    _root: tempfile::TempDir,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Token of the user whose gallery is listed.
    pub(crate) token: String,
    /// Token of another user.
    pub(crate) other_token: String,
    /// Seconds from the start of the process, with its content in place, to its first answer.
    pub(crate) start_s: f64,
    /// Resident memory before anything was measured; NaN where the system does not tell.
    pub(crate) idle_mib: f64,
}

impl Side {
    /// Makes a root, fills it, and starts the server on it.
    pub(crate) fn start(program: Program, content: &Content) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let settings = format!(
            "schema_version: 4.0.3\nhost: 127.0.0.1\nport: {}\nmultiuser: true\nhttp_compression_level: 0\nlog_level: warning\n",
            address.port()
        );
        std::fs::write(root.path().join("invokeai.yaml"), settings).expect("a written configuration");
        // Once to have the database made, once more to measure.
        let (process, _) = launch(&program, root.path(), address);
        let user = accounts(address);
        stop(process);
        content
            .write(&root.path().join("databases/invokeai.db"), &user)
            .expect("rows in the database");
        let (process, start_s) = launch(&program, root.path(), address);
        let (token, other_token) = (sign_in(address, EMAIL), sign_in(address, ADMINISTRATOR));
        Self {
            idle_mib: resident_mib(&process),
            process,
            _root: root,
            address,
            token,
            other_token,
            start_s,
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("a server could not be ended: {error}");
        }
    }
}

fn launch(program: &Program, root: &Path, address: SocketAddr) -> (Child, f64) {
    let mut command = match program {
        Program::Ours(server) => Command::new(server),
        Program::Original(python) => {
            let mut command = Command::new(python);
            command.args(["-c", "from invokeai.app.run_app import run_app; run_app()"]);
            command
        }
    };
    command.arg("--root").arg(root).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = now();
    let mut process = command.spawn().expect("a server that starts");
    loop {
        if ask(address, b"GET /api/v1/app/version HTTP/1.1\r\nhost: x\r\n\r\n").is_ok_and(|(status, _)| status == 200) {
            return (process, now().saturating_sub(begun).as_secs_f64());
        }
        assert!(process.try_wait().expect("a process").is_none(), "the server ended");
        assert!(now().saturating_sub(begun) < START_PATIENCE, "the server does not answer");
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process that has not begun to listen cannot tell that it has"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Ends a server as a person would, so that it leaves its database whole.
fn stop(mut process: Child) {
    let id = process.id().to_string();
    let asked = Command::new("kill").args(["-INT", &id]).status();
    if !asked.is_ok_and(|status| status.success()) {
        process.kill().expect("a process of ours");
    }
    process.wait().expect("a process of ours");
}

fn ask(address: SocketAddr, request: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = Connection::open(address).await?;
        let (status, body) = connection.ask(request).await?;
        Ok((status, body.to_vec()))
    })
}

fn post(address: SocketAddr, path: &str, token: &str, body: &Value) -> Value {
    let (status, answer) = ask(address, &posted(path, token, body)).expect("an answer");
    assert!(status < 300, "{path}: {status}: {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).expect("JSON")
}

fn sign_in(address: SocketAddr, email: &str) -> String {
    let body = json!({"email": email, "password": PASSWORD, "remember_me": false});
    let answer = post(address, "/api/v1/auth/login", "", &body);
    answer["token"].as_str().expect("a token").to_owned()
}

/// Makes the accounts; the identifier of the user whose gallery is listed.
fn accounts(address: SocketAddr) -> String {
    let administrator = json!({"email": ADMINISTRATOR, "display_name": "Root", "password": PASSWORD});
    post(address, "/api/v1/auth/setup", "", &administrator);
    let token = sign_in(address, ADMINISTRATOR);
    let user = json!({"email": EMAIL, "display_name": "Alice", "password": PASSWORD, "is_admin": false});
    let made = post(address, "/api/v1/auth/users", &token, &user);
    made["user_id"].as_str().expect("an identifier").to_owned()
}

fn resident_mib(process: &Child) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .map_or(f64::NAN, |kib| kib / 1024.0)
}
