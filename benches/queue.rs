//! The generation queue: filling it, asking about it, taking from it, and what surrounds the work of a session.
//!
//!     cargo bench -p invoke-server --bench queue -- [--original PYTHON] [--finished 1000000] [--waiting 100000] [--sessions 5000]
//!
//! With `--original` the same requests go to the InvokeAI 6.14.2 of that Python, in the same run, both over HTTP on one connection.
//! `--finished 0` leaves out the long queue with its long history, which takes half a minute to make.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "common/client.rs"]
mod client;
#[path = "common/original.rs"]
mod original;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, mpsc},
    time::Instant,
};

use client::Client;
use invoke_core::{
    Core,
    authz::{Actor, acts, authorize_global},
    config::{Config, QueueMode, Settings},
    db::Db,
    domain::{
        BatchId, Error, QueueId, SessionId, UserId,
        page::Direction,
        queue_item::{Ending, ItemStatus},
    },
    engine::Device,
    env::Env,
    events::Event,
    queue::{Asking, Claim, Ledger},
    repo::queue as repo,
    service::{Door, queue::Runs},
};
use invoke_server::{Options, Server, serve};
use original::Original;
use serde_json::{Value, json};

/// What the stock client sends for a picture from text.
const TXT2IMG: &str = include_str!("../tests/contract/graphs/sd1_txt2img.enqueue_batch.json");
const QUEUE: &str = "/api/v1/queue/default";

fn main() {
    let finished = number("finished", 1_000_000);
    let mut table = Table::default();
    let root = tempfile::tempdir().expect("a temporary folder");
    let (server, core) = ours(root.path());
    measure_http(&mut table, "ours", server, root.path(), std::process::id());
    if let Some(python) = option("original") {
        let root = tempfile::tempdir().expect("a temporary folder");
        let original = Original::start(&python, root.path());
        measure_http(&mut table, "InvokeAI", original.address, root.path(), original.pid());
    }
    table.print();
    one_after_another(&core, number("sessions", 5000));
    core.shutdown();
    if finished > 0 {
        long_queue(finished, number("waiting", 100_000));
    }
}

/// The value after `--name` on the command line.
fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|a| *a != format!("--{name}"));
    arguments.next().and(arguments.next())
}

fn number(name: &str, otherwise: usize) -> usize {
    option(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// A server of our own in this process.
fn ours(root: &Path) -> (SocketAddr, Core) {
    let core = Core::of_config(Config::from_settings(root, Settings::default()), Env::system(), Door::Server).expect("a fresh root opens");
    let options = Options {
        compression_level: 0,
        ..Options::of(core.config())
    };
    let server = Arc::new(Server::new(core.clone(), options).expect("routes"));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            tell.send(listener.local_addr().expect("an address")).expect("the caller waits");
            serve(server, listener, std::future::pending()).await.expect("the server runs");
        });
    });
    (told.recv().expect("the server starts"), core)
}

/// Rows of names, with a figure for each side.
#[derive(Default)]
struct Table(Vec<(String, Vec<(String, f64, &'static str)>)>);

impl Table {
    fn put(&mut self, row: &str, side: &str, figure: f64, unit: &'static str) {
        let at = self.0.iter().position(|(name, _)| name == row).unwrap_or_else(|| {
            self.0.push((row.to_owned(), Vec::new()));
            self.0.len() - 1
        });
        self.0[at].1.push((side.to_owned(), figure, unit));
    }

    fn print(&self) {
        for (name, sides) in &self.0 {
            let texts: Vec<String> = sides
                .iter()
                .map(|(side, figure, unit)| format!("{side} {figure:.2} {unit}"))
                .collect();
            let ratio = match sides.as_slice() {
                [ours, theirs] => format!(", {:.1} times less", theirs.1 / ours.1),
                _ => String::new(),
            };
            println!("{name}: {}{ratio}", texts.join(", "));
        }
    }
}

/// The recorded batch with a thousand seeds.
fn thousand_pictures(first_seed: usize) -> Vec<u8> {
    let mut request: Value = serde_json::from_str(TXT2IMG).expect("the recorded request is JSON");
    request["batch"]["data"][0][0]["items"] = (first_seed..first_seed + 1000).collect();
    request.to_string().into_bytes()
}

/// A graph of one node, a thousand times.
fn thousand_sums() -> Vec<u8> {
    let graph = json!({"id": "g", "nodes": {"n": {"id": "n", "type": "add", "a": 1, "b": 2, "use_cache": false}}, "edges": []});
    json!({"batch": {"graph": graph, "runs": 1000}}).to_string().into_bytes()
}

/// Bytes that a process has handed to the system to be written, to files and sockets alike.
fn written(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or(f64::NAN)
}

/// Size of the database with its log, in bytes.
fn on_disk(root: &Path) -> f64 {
    let size = |end: &str| std::fs::metadata(root.join("databases").join(format!("invokeai.db{end}"))).map_or(0, |file| file.len());
    (size("") + size("-wal")) as f64
}

fn measure_http(table: &mut Table, side: &str, address: SocketAddr, root: &Path, pid: u32) {
    let mut client = Client::connect(address).expect("the server accepts");
    client.get("PUT", &format!("{QUEUE}/processor/pause"), b"");
    let requests: Vec<Vec<u8>> = (0..10).map(|n| thousand_pictures(n * 1000)).collect();
    let sums: Vec<Vec<u8>> = (0..10).map(|_| thousand_sums()).collect();
    let mut best = [f64::INFINITY; 2];
    for round in 0..3 {
        for (kind, requests) in [&sums, &requests].into_iter().enumerate() {
            client.get("PUT", &format!("{QUEUE}/clear"), b"");
            let (bytes, size) = (written(pid), on_disk(root));
            let begun = Instant::now();
            let mut answered = 0;
            for request in requests {
                answered += client.get("POST", &format!("{QUEUE}/enqueue_batch"), request).len();
            }
            best[kind] = best[kind].min(begun.elapsed().as_secs_f64());
            if round == 0 && kind == 1 {
                let per_session = (written(pid) - bytes - answered as f64) / 1e4;
                table.put(
                    "bytes written to files for each session of the picture graph",
                    side,
                    per_session,
                    "B",
                );
                table.put("growth of the database for each", side, (on_disk(root) - size).max(0.0) / 1e4, "B");
            }
        }
    }
    table.put("enqueue 10,000 sessions of one node", side, best[0], "s");
    table.put("enqueue 10,000 sessions of the picture graph", side, best[1], "s");
    for (name, path) in [
        ("status with 10,000 waiting", "status"),
        ("item ids with 10,000 waiting", "item_ids"),
    ] {
        let path = format!("{QUEUE}/{path}");
        table.put(name, side, median_ms(50, || drop(client.get("GET", &path, b""))), "ms");
    }
    client.get("PUT", &format!("{QUEUE}/clear"), b"");
    client.get("PUT", &format!("{QUEUE}/processor/resume"), b"");
}

/// The median time of something, in milliseconds.
fn median_ms(times: usize, mut work: impl FnMut()) -> f64 {
    let mut taken: Vec<f64> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    taken.sort_by(f64::total_cmp);
    taken[times / 2]
}

/// Runs sessions of one node and prints what they cost.
fn one_after_another(core: &Core, sessions: usize) {
    let operator = Actor::local_operator();
    let (tell, told) = mpsc::channel();
    let listening = core.bus().subscribe(move |published| {
        if let Event::QueueItemStatusChanged(change) = &*published.event {
            tell.send((change.status, Instant::now())).expect("the benchmark listens");
        }
    });
    core.queue.pause(&operator).expect("the operator may");
    let queue_id = QueueId::new("default");
    for _ in 0..sessions.div_ceil(1000) {
        let mut batch: Value = serde_json::from_slice(&thousand_sums()).expect("JSON");
        batch["batch"]["runs"] = json!(sessions.min(1000));
        core.queue
            .enqueue_batch(&operator, &queue_id, batch["batch"].take(), false)
            .expect("a good batch");
    }
    core.queue.resume(&operator).expect("the operator may");
    let (mut first, mut last, mut ended, mut gaps) = (None, None, 0, Vec::new());
    while ended < sessions {
        let (status, at) = told.recv().expect("the queue runs");
        match status {
            ItemStatus::InProgress => {
                first.get_or_insert(at);
                gaps.extend(last.map(|last| at.duration_since(last).as_secs_f64() * 1e3));
            }
            ItemStatus::Completed => {
                ended += 1;
                last = Some(at);
            }
            other => panic!("a sum ended as {}", other.as_str()),
        }
    }
    drop(listening);
    let seconds = last
        .zip(first)
        .map_or(f64::NAN, |(last, first)| last.duration_since(first).as_secs_f64());
    gaps.sort_by(f64::total_cmp);
    println!(
        "sessions of one node: {:.0} a second; between two of them {:.2} ms (median), {:.2} ms (99 of 100), {:.2} ms (longest)",
        sessions as f64 / seconds,
        gaps[gaps.len() / 2],
        gaps[gaps.len() * 99 / 100],
        gaps[gaps.len() - 1]
    );
}

/// What a user's status costs, and what it costs to claim an item: whose turn it is, the owner's account, the session laid out, the event, the commit.
/// A worker's own claims come between those of the workers of this core, which is paused.
fn status_and_claim(root: &Path, mode: QueueMode) -> (f64, f64) {
    let settings = Settings {
        multiuser: true,
        session_queue_mode: mode,
        ..Settings::default()
    };
    let core = Core::of_config(Config::from_settings(root, settings), Env::system(), Door::Library).expect("the root opens");
    let (operator, queue_id) = (Actor::local_operator(), QueueId::new("default"));
    core.queue.pause(&operator).expect("the operator may");
    let busy = || core.queue.status(&operator, &queue_id).expect("a status")["processor"]["is_processing"] == json!(true);
    while busy() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let status = median_ms(100, || drop(core.queue.status(&operator, &queue_id).expect("a status")));
    let runs = Runs::new(core.queue.clone(), core.images.clone(), core.models.clone());
    let (device, loaded) = (
        Device {
            id: "other".into(),
            name: "Other".into(),
        },
        vec!["another model".to_owned()],
    );
    let claim = median_ms(200, || {
        let asking = Asking {
            device: &device,
            loaded: &loaded,
            at_a_time: &|_| 1,
        };
        assert!(matches!(runs.claim(&asking), Claim::Work(_)), "items wait");
    });
    core.shutdown();
    (status, claim)
}

/// A queue with a long history, and many users' items waiting.
fn long_queue(finished: usize, waiting: usize) {
    const USERS: usize = 1000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (env, queue_id) = (Env::system(), QueueId::new("default"));
    std::fs::create_dir_all(folder.path().join("databases")).expect("a folder");
    let path = folder.path().join("databases").join("invokeai.db");
    let db = Db::open(&path, env.now()).expect("a database");
    let leave = authorize_global::<acts::UseServer>(&Actor::local_operator()).expect("the operator may");
    rusqlite::Connection::open(&path)
        .and_then(|connection| {
            for user in 0..USERS {
                connection.execute(
                    "INSERT INTO users (user_id, email, password_hash) VALUES (?1, ?1 || '@example.com', 'x')",
                    [format!("00000000-0000-0000-0000-{user:012}")],
                )?;
            }
            Ok(())
        })
        .expect("accounts can be added");
    let request: Value = serde_json::from_str(TXT2IMG).expect("JSON");
    let graph = request["batch"]["graph"].to_string();
    let fill = |user: usize, n: usize, end: bool| {
        let user_id = UserId::new(format!("00000000-0000-0000-0000-{user:012}"));
        let batch = repo::NewBatch {
            queue_id: &queue_id,
            batch_id: &BatchId::new(env.uuid()),
            user_id: &user_id,
            by_key: false,
            origin: Some("generate"),
            destination: Some("generate"),
            priority: 0,
            cost: 1.0 + (user % 7) as f64,
            models: &["model".to_owned()],
            fields: Some(json!([["seed", "value"]]).to_string()),
            graph: &graph,
            workflow: None,
            now: env.now(),
        };
        let items = (0..n).map(|seed| repo::NewItem {
            session_id: Some(SessionId::new(env.uuid())),
            values: Some(format!("[{seed}]")),
            ..repo::NewItem::default()
        });
        db.write(|tx| -> Result<(), Error> {
            let ids = repo::insert_batch(tx, &leave, &batch, items)?;
            for id in ids.into_iter().filter(|_| end) {
                repo::finish(tx, id, &Ending::Completed, None, env.now())?;
            }
            Ok(())
        })
        .expect("rows can be added");
    };
    let row = |history: usize| {
        let ids = median_ms(5, || {
            db.read(|tx| -> Result<_, Error> { Ok(repo::ids_by_creation(tx, &queue_id, Direction::Desc)?) })
                .expect("ids");
        });
        let mut figures = Vec::new();
        for mode in [QueueMode::Fifo, QueueMode::RoundRobin, QueueMode::Fair] {
            let (status, claim) = status_and_claim(folder.path(), mode);
            figures.push(format!(
                "{}: status {status:.3} ms, claim {claim:.3} ms",
                format!("{mode:?}").to_lowercase()
            ));
        }
        println!(
            "{waiting} waiting of {USERS} users, {history} finished: all ids {ids:.1} ms; {}",
            figures.join("; ")
        );
    };
    for user in 0..USERS {
        fill(user, waiting / USERS, false);
    }
    row(0);
    for user in 0..USERS {
        fill(user, finished / USERS, true);
    }
    row(finished);
}
