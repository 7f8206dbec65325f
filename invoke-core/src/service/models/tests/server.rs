//! A small HTTP server for tests: pages that honour ranges or not, break off, or wait.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::{Condvar, Mutex};

/// What one path answers.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether a part may be asked for.
    pub(super) ranges: bool,
    /// Ends the connection after so many bytes of the body, the first time that it is asked for.
    pub(super) cut: Option<usize>,
    /// Waits after so many bytes until the gate is opened.
    pub(super) hold: Option<usize>,
    /// Without its length.
    pub(super) chunked: bool,
}

impl Page {
    pub(super) fn of(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: vec![("etag".into(), "\"v1\"".into())],
            body: body.into(),
            ranges: true,
            cut: None,
            hold: None,
            chunked: false,
        }
    }

    pub(super) fn redirect(to: &str) -> Self {
        let mut page = Self::of("");
        page.status = 302;
        page.headers = vec![("location".into(), to.into())];
        page
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
}

#[derive(Default)]
struct State {
    pages: Mutex<HashMap<String, Page>>,
    asked: Mutex<Vec<Asked>>,
    open: Mutex<bool>,
    opened: Condvar,
}

pub(super) struct Server {
    port: u16,
    state: Arc<State>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let of_thread = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&of_thread);
                // A client that went away is no failure.
                thread::spawn(move || drop(answer(&state, stream)));
            }
        });
        Self { port, state }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn put(&self, path: &str, page: Page) {
        self.state.pages.lock().insert(path.into(), page);
    }

    pub(super) fn open(&self) {
        *self.state.open.lock() = true;
        self.state.opened.notify_all();
    }

    pub(super) fn asked(&self, path: &str) -> Vec<Asked> {
        self.state.asked.lock().iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

fn answer(state: &State, stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let path = target.split('?').next().unwrap_or_default().to_owned();
    state.asked.lock().push(Asked {
        path: path.clone(),
        headers: headers.clone(),
    });
    let absent = Page {
        status: 404,
        ..Page::of("no such page")
    };
    let page = state.pages.lock().get(&path).cloned().unwrap_or(absent);
    if let Some(page) = state.pages.lock().get_mut(&path) {
        page.cut = None;
    }
    let (mut status, mut extra, mut from) = (page.status, String::new(), 0);
    if let Some(range) = headers.get("range").filter(|_| page.ranges) {
        from = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
        let whole = page.body.len();
        if from >= whole {
            (status, extra) = (416, format!("content-range: bytes */{whole}\r\n"));
            from = whole;
        } else {
            (status, extra) = (206, format!("content-range: bytes {from}-{}/{whole}\r\n", whole - 1));
        }
    }
    let mut stream = stream;
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{extra}");
    for (name, value) in &page.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !page.chunked {
        head.push_str(&format!("content-length: {}\r\n", page.body.len() - from));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let end = page.cut.unwrap_or(usize::MAX).min(page.body.len());
    let first = page.hold.unwrap_or(end).clamp(from, end.max(from));
    stream.write_all(&page.body[from..first])?;
    stream.flush()?;
    if page.hold.is_some() {
        let mut open = state.open.lock();
        while !*open {
            state.opened.wait(&mut open);
        }
    }
    stream.write_all(&page.body[first.min(end)..end])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let _ = stream.read(&mut [0]);
    Ok(())
}
