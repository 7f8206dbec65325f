//! InvokeAI itself, started for a comparison.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::client::Client;

/// A running InvokeAI; it ends with this value.
pub(crate) struct Original {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Original {
    /// Starts the InvokeAI of this Python on an empty root and waits until it answers.
    pub(crate) fn start(python: &str, root: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let settings = format!(
            "schema_version: 4.0.3\nhost: 127.0.0.1\nport: {}\nhttp_compression_level: 0\n",
            address.port()
        );
        std::fs::write(root.join("invokeai.yaml"), settings).expect("the root can be written");
        let program = "import sys; sys.argv = ['invokeai-web', '--root', sys.argv[1]]\nfrom invokeai.app.run_app import run_app\nrun_app()";
        let child = Command::new(python)
            .args(["-c", program])
            .arg(root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the Python program named by --original");
        let mut original = Self { child, address };
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(200));
            if let Some(status) = original.child.try_wait().expect("a child can be asked") {
                panic!("InvokeAI ended with {status}");
            }
            let asked = Client::connect(address).and_then(|mut client| client.ask("GET", "/api/v1/queue/default/status", b""));
            if matches!(asked, Ok((200, _))) {
                return original;
            }
        }
        panic!("InvokeAI does not answer");
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
