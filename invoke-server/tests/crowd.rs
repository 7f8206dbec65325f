//! Eight people who write and eight who read at one server, which is then killed in the midst of it and started again.
//!
//! Ten seconds; `INVOKE_CROWD_SECONDS=60 cargo test -p invoke-server --test crowd` makes it a minute. Held: no request fails, so no
//! "database is locked"; what was acknowledged is there afterwards, before and after the kill; nothing dangles.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use invoke_core::env::{Clock, SystemClock};
use serde_json::{Value, json};

const WRITERS: usize = 8;
const READERS: usize = 8;
const PASSWORD: &str = "Passw0rd-for-all";
const PICTURE: &[u8] = include_bytes!("../../tests/contract/fixtures/small.png");

fn now() -> Duration {
    Duration::from_nanos(SystemClock.monotonic_ns())
}

#[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of the program")]
fn seconds() -> u64 {
    std::env::var("INVOKE_CROWD_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10)
}

/// A server in a process of its own.
struct Program {
    process: Child,
    address: SocketAddr,
}

impl Program {
    fn start(root: &Path, port: u16) -> Self {
        let log = fs::File::options().create(true).append(true).open(root.join("server.log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_invoke-server"))
            .args([
                "--root",
                root.to_str().unwrap(),
                "--port",
                &port.to_string(),
                "--log-level",
                "warning",
            ])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let begun = now();
        while Client::new(address, "").try_ask("GET", "/api/v1/app/version", &[], b"").is_none() {
            assert!(now().saturating_sub(begun) < Duration::from_mins(1), "the server does not answer");
            std::thread::yield_now();
        }
        Self { process, address }
    }

    /// As `kill -9`.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// One person's connection, opened again when it is cut.
struct Client {
    address: SocketAddr,
    bearer: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(address: SocketAddr, token: &str) -> Self {
        let bearer = if token.is_empty() {
            String::new()
        } else {
            format!("authorization: Bearer {token}\r\n")
        };
        Self {
            address,
            bearer,
            connection: None,
        }
    }

    /// The answer; none if the server is gone.
    fn try_ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<(u16, Vec<u8>)> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address).ok()?;
            stream.set_nodelay(true).ok()?;
            self.connection = Some(BufReader::new(stream));
        }
        let answer = self.exchange(method, path, headers, body);
        if answer.is_none() {
            self.connection = None;
        }
        answer
    }

    fn exchange(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let connection = self.connection.as_mut()?;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\n{}content-length: {}\r\n",
            self.bearer,
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        connection.get_mut().write_all(&bytes).ok()?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().ok()?;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).ok()?;
        Some((status, body))
    }

    fn json(&mut self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let headers = [("content-type", "application/json")];
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, bytes) = self.try_ask(method, path, &headers, text.as_bytes())?;
        Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, value) = self.json("GET", path, &Value::Null).expect("an answer");
        assert_eq!(status, 200, "{path}: {value}");
        value
    }
}

/// What a person was told is done.
#[derive(Debug, Default)]
struct Done {
    counter: u64,
    boards: BTreeSet<String>,
    pictures: BTreeSet<String>,
    starred: BTreeSet<String>,
    deleted: BTreeSet<String>,
    items: u64,
}

/// Writes until told to stop or the server is gone. A request that was sent and not answered may have been done or not.
fn write(client: &mut Client, done: &mut Done, stop: &AtomicBool, writes: &AtomicU64) {
    let upload = "/api/v1/images/upload?image_category=user&is_intermediate=false";
    let form = [("content-type", "multipart/form-data; boundary=b")];
    let mut body = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\ncontent-type: image/png\r\n\r\n".to_vec();
    body.extend_from_slice(PICTURE);
    body.extend_from_slice(b"\r\n--b--\r\n");
    let mut rounds = || -> Option<()> {
        while !stop.load(Ordering::Relaxed) {
            let counted = |answer: (u16, Value)| {
                assert!(answer.0 < 300, "{}: {}", answer.0, answer.1);
                writes.fetch_add(1, Ordering::Relaxed);
                answer.1
            };
            let set = client.json(
                "POST",
                "/api/v1/client_state/default/set_by_key?key=n",
                &json!((done.counter + 1).to_string()),
            )?;
            counted(set);
            done.counter += 1;
            let board = counted(client.json("POST", "/api/v1/boards/?board_name=b", &Value::Null)?);
            let board = board["board_id"].as_str().unwrap().to_owned();
            done.boards.insert(board.clone());
            for on in [String::new(), format!("&board_id={board}")] {
                let (status, bytes) = client.try_ask("POST", &format!("{upload}{on}"), &form, &body)?;
                let made = counted((status, serde_json::from_slice(&bytes).unwrap()));
                done.pictures.insert(made["image_name"].as_str().unwrap().to_owned());
            }
            let first = done.pictures.first().unwrap().clone();
            let last = done.pictures.last().unwrap().clone();
            let starred = counted(client.json("POST", "/api/v1/images/star", &json!({"image_names": [last]}))?);
            assert_eq!(starred["starred_images"], json!([last]));
            done.starred.insert(last.clone());
            if done.pictures.len() > 6 && first != last {
                // From here on it is there or not, until the answer says that it is not.
                done.pictures.remove(&first);
                done.starred.remove(&first);
                let gone = counted(client.json("DELETE", &format!("/api/v1/images/i/{first}"), &Value::Null)?);
                assert_eq!(gone["deleted_images"], json!([first]));
                done.deleted.insert(first);
            }
            let batch = json!({"batch": {"runs": 2, "graph": {"id": "g", "nodes": {"n": {"id": "n", "type": "add", "a": 1, "b": 2}}, "edges": []}}});
            let enqueued = counted(client.json("POST", "/api/v1/queue/default/enqueue_batch", &batch)?);
            done.items += enqueued["enqueued"].as_u64().unwrap();
        }
        Some(())
    };
    // None: the server is gone.
    let _ = rounds();
}

/// Reads until told to stop or the server is gone.
fn read(client: &mut Client, stop: &AtomicBool, reads: &AtomicU64) {
    let paths = [
        "/api/v1/images/names",
        "/api/v1/images/?limit=50",
        "/api/v1/gallery/item_names",
        "/api/v1/boards/?all=true",
        "/api/v1/queue/default/status",
        "/api/v1/auth/me",
        "/api/v1/virtual_boards/by_date",
        "/api/v1/images/intermediates",
    ];
    while !stop.load(Ordering::Relaxed) {
        for path in paths {
            let Some((status, value)) = client.json("GET", path, &Value::Null) else {
                return;
            };
            assert_eq!(status, 200, "{path}: {value}");
            reads.fetch_add(1, Ordering::Relaxed);
            match path {
                "/api/v1/images/names" => {
                    let names: BTreeSet<&str> = value["image_names"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|name| name.as_str().unwrap())
                        .collect();
                    assert_eq!(json!(names.len()), value["total_count"], "no name twice, none missing");
                }
                "/api/v1/images/?limit=50" => {
                    let items = value["items"].as_array().unwrap();
                    assert!(items.len() as i64 <= value["total"].as_i64().unwrap());
                    let starred: Vec<bool> = items.iter().map(|item| item["starred"].as_bool().unwrap()).collect();
                    assert!(starred.is_sorted_by(|a, b| a >= b), "marked ones come first");
                }
                _ => {}
            }
        }
    }
}

fn names(value: &Value) -> BTreeSet<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// Everything that was acknowledged is there.
fn check(client: &mut Client, done: &Done) {
    let counter: Value = client.get("/api/v1/client_state/default/get_by_key?key=n");
    let counter: u64 = counter.as_str().map_or(0, |text| text.parse().unwrap());
    assert!(
        counter == done.counter || counter == done.counter + 1,
        "{counter} for {}",
        done.counter
    );
    let there = names(&client.get("/api/v1/images/names")["image_names"]);
    assert!(done.pictures.is_subset(&there), "a picture is lost");
    assert!(done.deleted.is_disjoint(&there), "a deleted picture came back");
    // Beyond that there may be what was under way when the server was killed: one upload, or one deletion.
    assert!(
        there.len() <= done.pictures.len() + 1,
        "{} for {}",
        there.len(),
        done.pictures.len()
    );
    for name in &there {
        for what in ["full", "thumbnail"] {
            let (status, bytes) = client.try_ask("GET", &format!("/api/v1/images/i/{name}/{what}"), &[], b"").unwrap();
            assert!(status == 200 && !bytes.is_empty(), "{name}/{what}: {status}");
        }
    }
    let items = client.get("/api/v1/images/?limit=1000");
    let starred: BTreeSet<String> = items["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["starred"] == json!(true))
        .map(|item| item["image_name"].as_str().unwrap().to_owned())
        .collect();
    assert!(done.starred.is_subset(&starred), "a mark is lost");
    let boards = client.get("/api/v1/boards/?all=true");
    let there: BTreeSet<String> = boards
        .as_array()
        .unwrap()
        .iter()
        .map(|board| board["board_id"].as_str().unwrap().to_owned())
        .collect();
    assert!(done.boards.is_subset(&there), "a board is lost");
    for board in boards.as_array().unwrap() {
        let id = board["board_id"].as_str().unwrap();
        let on_it = names(&client.get(&format!("/api/v1/boards/{id}/image_names")));
        let counted = board["image_count"].as_u64().unwrap() + board["asset_count"].as_u64().unwrap();
        assert_eq!(counted, on_it.len() as u64, "a board's count is wrong");
    }
}

/// The database is whole, its counts are those of its rows, and files and records belong together.
fn check_files(root: &Path) {
    let database = rusqlite::Connection::open(root.join("databases/invokeai.db")).unwrap();
    let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    for sql in [
        "SELECT COUNT(*) FROM pragma_foreign_key_check",
        "SELECT (SELECT COUNT(*) FROM images) - (SELECT COALESCE(SUM(n), 0) FROM gallery_counts)",
    ] {
        let n: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(n, 0, "{sql}");
    }
    let mut statement = database.prepare("SELECT image_name FROM images").unwrap();
    let recorded: BTreeSet<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let folder = root.join("outputs/images");
    let files = |folder: PathBuf, extension: &str| -> BTreeSet<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .map(|path| format!("{}.png", path.file_stem().unwrap().to_str().unwrap()))
            .collect()
    };
    let full = files(folder.clone(), "png");
    // A file is written before its record: what a killed server left without one went at its next start.
    assert_eq!(full, recorded);
    assert_eq!(files(folder.join("thumbnails"), "webp"), recorded);
    for left in [".staged", ".incoming"] {
        assert_eq!(fs::read_dir(folder.join(left)).unwrap().count(), 0, "{left}");
    }
}

#[test]
fn eight_write_and_eight_read_and_a_kill_loses_nothing_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    fs::write(
        root.path().join("invokeai.yaml"),
        "schema_version: 4.0.3\nmultiuser: true\nmax_queue_size: 1000000\n",
    )
    .unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Program::start(root.path(), port);
    let post = |token: &str, path: &str, body: Value| {
        let (status, value) = Client::new(server.address, token).json("POST", path, &body).unwrap();
        assert!(status < 300, "{path}: {value}");
        value
    };
    let account = |name: &str| json!({"email": format!("{name}@example.com"), "password": PASSWORD, "display_name": name});
    let sign_in = |name: &str| {
        let login = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
        post("", "/api/v1/auth/login", login)["token"].as_str().unwrap().to_owned()
    };
    post("", "/api/v1/auth/setup", account("root"));
    let root_token = sign_in("root");
    let tokens: Vec<String> = (0..WRITERS)
        .map(|n| {
            let name = format!("user{n}");
            post(&root_token, "/api/v1/auth/users", account(&name));
            sign_in(&name)
        })
        .collect();
    let mut done: Vec<Done> = (0..WRITERS).map(|_| Done::default()).collect();
    let (writes, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    let address = server.address;
    // Twice: once stopped in order, to compare exactly; then killed in the midst.
    for killed in [false, true] {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (token, done) in tokens.iter().zip(&mut done) {
                let (stop, writes) = (&stop, &writes);
                scope.spawn(move || write(&mut Client::new(address, token), done, stop, writes));
            }
            for n in 0..READERS {
                let (token, stop, reads) = (&tokens[n % WRITERS], &stop, &reads);
                scope.spawn(move || read(&mut Client::new(address, token), stop, reads));
            }
            let until = now() + Duration::from_secs(seconds().div_ceil(2));
            // Something else than sleeping, which tells as well that the server lives.
            let mut watcher = Client::new(address, "");
            let few = || writes.load(Ordering::Relaxed).min(reads.load(Ordering::Relaxed)) <= 100;
            // On a machine that is slow it takes as long as it takes until there is something to compare.
            while now() < until || few() {
                assert!(now() < until + Duration::from_mins(5), "hardly anything is written or read");
                let (status, _) = watcher.try_ask("GET", "/api/v1/app/version", &[], b"").expect("the server lives");
                assert_eq!(status, 200);
                std::thread::park_timeout(Duration::from_millis(50));
            }
            if killed {
                // SIGKILL, with every client in the midst of something.
                let id = server.process.id().to_string();
                assert!(Command::new("kill").args(["-9", &id]).status().unwrap().success());
            } else {
                stop.store(true, Ordering::Relaxed);
            }
        });
        if !killed {
            for (token, done) in tokens.iter().zip(&done) {
                check(&mut Client::new(address, token), done);
            }
            let mut administrator = Client::new(address, &root_token);
            let total = administrator.get("/api/v1/queue/default/status")["queue"]["total"]
                .as_u64()
                .unwrap();
            assert_eq!(total, done.iter().map(|done| done.items).sum::<u64>(), "an item is lost");
        }
    }
    server.kill();
    let again = Program::start(root.path(), port);
    for (token, done) in tokens.iter().zip(&done) {
        check(&mut Client::new(again.address, token), done);
    }
    let total = Client::new(again.address, &root_token).get("/api/v1/queue/default/status")["queue"]["total"]
        .as_u64()
        .unwrap();
    assert!(total >= done.iter().map(|done| done.items).sum::<u64>(), "an item is lost");
    again.kill();
    check_files(root.path());
    let log = fs::read_to_string(root.path().join("server.log")).unwrap();
    assert!(!log.contains("locked") && !log.contains("panicked"), "{log}");
    let (writes, reads) = (writes.into_inner(), reads.into_inner());
    println!("{writes} writes, {reads} reads");
    assert!(writes > 100 && reads > 100, "{writes} writes, {reads} reads");
}
