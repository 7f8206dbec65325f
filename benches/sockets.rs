//! Five hundred Socket.IO clients on a fast queue, some of which never read: does the queue slow down, does the server's memory grow?
//!
//!     cargo bench -p invoke-server --bench sockets -- [--clients 500] [--silent 50] [--sessions 2000] [--rounds 4]
//!
//! The server is a process of its own. Every round runs the same sessions: first without clients, then with all of them. There are two kinds: sums, which are
//! over at once, and pictures of 64 by 64 in [`STEPS`] steps, each step of which is told with a preview to everybody who may hear of it.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "common/client.rs"]
mod client;

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use client::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const QUEUE: &str = "/api/v1/queue/default";

fn main() {
    let (clients, silent) = (number("clients", 500), number("silent", 50));
    let (sessions, rounds) = (number("sessions", 2000), number("rounds", 4));
    let root = tempfile::tempdir().expect("a temporary folder");
    let server = Running::start(root.path());
    println!("idle: {:.1} MB", server.memory());
    let mut http = Client::connect(server.address).expect("the server accepts");
    let kinds = [("sums", sums(), sessions), ("pictures", pictures(&mut http), sessions / 20)];
    for (kind, graph, sessions) in &kinds {
        let before: Vec<f64> = (0..rounds).map(|_| rate(&mut http, graph, *sessions)).collect();
        println!("no clients: {} {kind} a second, {:.1} MB", listed(&before), server.memory());
    }

    let heard = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let connected: Vec<_> = (0..clients)
        .map(|n| {
            let heard = Arc::clone(&heard);
            runtime.block_on(Socket::connect(server.address, n < silent, heard))
        })
        .collect();
    for socket in connected {
        runtime.spawn(socket.listen());
    }
    println!("{clients} clients, {silent} of them silent: {:.1} MB", server.memory());
    for (kind, graph, sessions) in &kinds {
        for round in 1..=rounds {
            heard.store(0, Ordering::Relaxed);
            let rate = rate(&mut http, graph, *sessions);
            std::thread::sleep(Duration::from_secs(1));
            println!(
                "round {round}: {rate:.1} {kind} a second, {} letters read by each, {:.1} MB",
                heard.load(Ordering::Relaxed) / (clients - silent).max(1) as u64,
                server.memory()
            );
        }
    }
    // Reading sockets end with the runtime.
    runtime.shutdown_background();
}

/// The value after `--name` on the command line.
fn number(name: &str, otherwise: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|a| *a != format!("--{name}"));
    let text = arguments.next().and(arguments.next());
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

fn listed(rates: &[f64]) -> String {
    let texts: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    texts.join(", ")
}

/// Steps of a picture.
const STEPS: usize = 20;

fn sums() -> Value {
    json!({"id": "g", "nodes": {"n": {"id": "n", "type": "add", "a": 1, "b": 2, "use_cache": false}}, "edges": []})
}

/// A picture of the model that ships with the program.
fn pictures(http: &mut Client) -> Value {
    let models: Value = serde_json::from_slice(&http.get("GET", "/api/v2/models/?model_type=main", b"")).expect("JSON");
    let model = &models["models"][0];
    let model = json!({"key": model["key"], "hash": model["hash"], "name": model["name"], "base": model["base"], "type": model["type"]});
    let edge = |from: &str, output: &str, to: &str, input: &str| json!({"source": {"node_id": from, "field": output}, "destination": {"node_id": to, "field": input}});
    let mut nodes = json!({
        "model": {"type": "main_model_loader", "model": model},
        "positive": {"type": "compel", "prompt": "a red circle"},
        "negative": {"type": "compel", "prompt": ""},
        "noise": {"type": "noise", "seed": 1, "width": 64, "height": 64},
        "denoise": {"type": "denoise_latents", "steps": STEPS, "cfg_scale": 5.0, "scheduler": "ddim"},
        "picture": {"type": "l2i", "is_intermediate": false},
    });
    for (name, node) in nodes.as_object_mut().expect("an object") {
        node["id"] = json!(name);
        node["use_cache"] = json!(false);
    }
    json!({"id": "g", "nodes": nodes, "edges": [
        edge("model", "clip", "positive", "clip"),
        edge("model", "clip", "negative", "clip"),
        edge("model", "unet", "denoise", "unet"),
        edge("positive", "conditioning", "denoise", "positive_conditioning"),
        edge("negative", "conditioning", "denoise", "negative_conditioning"),
        edge("noise", "noise", "denoise", "noise"),
        edge("model", "vae", "picture", "vae"),
        edge("denoise", "latents", "picture", "latents"),
    ]})
}

/// Runs sessions and returns how many a second there were.
fn rate(http: &mut Client, graph: &Value, sessions: usize) -> f64 {
    http.get("PUT", &format!("{QUEUE}/clear"), b"");
    http.get("PUT", &format!("{QUEUE}/processor/pause"), b"");
    let request = json!({"batch": {"graph": graph, "runs": sessions}}).to_string();
    http.get("POST", &format!("{QUEUE}/enqueue_batch"), request.as_bytes());
    let begun = Instant::now();
    http.get("PUT", &format!("{QUEUE}/processor/resume"), b"");
    loop {
        let status: Value = serde_json::from_slice(&http.get("GET", &format!("{QUEUE}/status"), b"")).expect("JSON");
        if status["queue"]["completed"].as_u64() == Some(sessions as u64) {
            return sessions as f64 / begun.elapsed().as_secs_f64();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The server's own process; it ends with this value.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(root: &std::path::Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let child = Command::new(env!("CARGO_BIN_EXE_invoke-server"))
            .args(["--port", &address.port().to_string(), "--root"])
            .arg(root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server's program");
        let running = Self { child, address };
        for _ in 0..300 {
            if Client::connect(address).is_ok() {
                return running;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not answer");
    }

    /// Memory that it holds, in MB, as Linux tells it.
    fn memory(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kilobytes.unwrap_or(f64::NAN) / 1000.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Socket.IO client over a WebSocket: as much of both as it takes to listen to a queue.
struct Socket {
    stream: TcpStream,
    silent: bool,
    heard: Arc<AtomicU64>,
}

impl Socket {
    async fn connect(address: SocketAddr, silent: bool, heard: Arc<AtomicU64>) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts");
        let head = "GET /ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("the server reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("the server answers"));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        let mut socket = Self { stream, silent, heard };
        socket.expect("0").await;
        socket.send("40").await;
        socket.expect("40").await;
        socket.send(r#"42["subscribe_queue",{"queue_id":"default"}]"#).await;
        socket
    }

    /// Reads until the server says something that begins so; it may ask at any time whether we are there.
    async fn expect(&mut self, begin: &str) {
        loop {
            let text = self.receive().await;
            if text != "2" {
                assert!(text.starts_with(begin), "{text} instead of {begin}");
                return;
            }
            self.send("3").await;
        }
    }

    /// Reads until the connection ends, or only keeps it open.
    async fn listen(mut self) {
        if self.silent {
            std::future::pending::<()>().await;
        }
        loop {
            let text = self.receive().await;
            if text == "2" {
                self.send("3").await;
            } else if text.starts_with("42") {
                self.heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sends a text of less than 126 bytes.
    async fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).expect("a short text"), 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await.expect("the server reads");
    }

    async fn receive(&mut self) -> String {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).await.expect("the server keeps the connection");
        let length = match head[1] & 0x7f {
            126 => u64::from(self.stream.read_u16().await.expect("a length")),
            127 => self.stream.read_u64().await.expect("a length"),
            short => u64::from(short),
        };
        let mut text = vec![0; usize::try_from(length).expect("a frame that fits into memory")];
        self.stream.read_exact(&mut text).await.expect("the whole frame");
        String::from_utf8(text).expect("text frames only")
    }
}
