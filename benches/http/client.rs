//! Clients that ask again and again over connections of their own.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use invoke_core::env::{Clock, SystemClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The time since some start.
pub(crate) fn now() -> Duration {
    Duration::from_nanos(SystemClock.monotonic_ns())
}

/// What some connections ask for.
pub(crate) struct Load {
    request: Arc<[u8]>,
    connections: usize,
}

impl Load {
    /// A GET with a token.
    pub(crate) fn get(path: &str, token: &str, connections: usize) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        Self {
            request: request.into_bytes().into(),
            connections,
        }
    }

    /// Signing in.
    pub(crate) fn login(email: &str, password: &str, connections: usize) -> Self {
        let body = serde_json::json!({"email": email, "password": password, "remember_me": false});
        Self {
            request: posted("/api/v1/auth/login", "", &body).into(),
            connections,
        }
    }
}

/// A POST of JSON.
pub(crate) fn posted(path: &str, token: &str, body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    let bearer = if token.is_empty() {
        String::new()
    } else {
        format!("authorization: Bearer {token}\r\n")
    };
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{bearer}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What one measurement gave.
pub(crate) struct Figures {
    /// Answers a second.
    pub(crate) per_second: f64,
    /// Milliseconds that half of the answers took at most.
    pub(crate) median_ms: f64,
    /// Milliseconds that 99 of 100 took at most.
    pub p99_ms: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} a second, p50 {:.2} ms, p99 {:.2} ms",
            self.per_second, self.median_ms, self.p99_ms
        )
    }
}

/// A connection and what has come over it.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(1 << 16),
        })
    }

    /// Sends a request and reads the answer: its status and body.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> std::io::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let (mut looked_at, mut whole) = (0, None);
        loop {
            if whole.is_some_and(|(_, end)| self.buffer.len() >= end) {
                break;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(cut());
            }
            if whole.is_none() {
                let from = usize::saturating_sub(looked_at, 3);
                looked_at = self.buffer.len();
                if let Some(end) = self.buffer[from..].windows(4).position(|four| four == b"\r\n\r\n") {
                    let body = from + end + 4;
                    whole = Some((body, body + content_length(&self.buffer[..body])));
                }
            }
        }
        let (body, end) = whole.ok_or_else(cut)?;
        let status = std::str::from_utf8(&self.buffer[9..12]).ok().and_then(|text| text.parse().ok());
        Ok((status.ok_or_else(cut)?, &self.buffer[body..end]))
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |value| value.trim().parse().expect("a length"))
}

/// Puts all loads on a server at once for so long, and on until each connection has got one answer at least; the figures of each. A short while before
/// that is not counted.
pub(crate) fn measure(address: SocketAddr, loads: &[Load], time: Duration) -> Vec<Figures> {
    const WARM_UP: Duration = Duration::from_millis(500);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let begun = now() + WARM_UP;
        let end = begun + time;
        let running: Vec<Vec<_>> = loads
            .iter()
            .map(|load| {
                (0..load.connections)
                    .map(|_| tokio::spawn(client(address, Arc::clone(&load.request), begun, end)))
                    .collect()
            })
            .collect();
        let mut figures = Vec::new();
        for clients in running {
            let (mut times, mut ended) = (Vec::new(), end);
            for client in clients {
                let (of_one, last) = client.await.expect("a client that does not panic");
                times.extend(of_one);
                ended = ended.max(last);
            }
            times.sort_unstable();
            let at = |part: f64| {
                times
                    .get((times.len().saturating_sub(1) as f64 * part) as usize)
                    .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
            };
            figures.push(Figures {
                per_second: times.len() as f64 / ended.saturating_sub(begun).as_secs_f64(),
                median_ms: at(0.5),
                p99_ms: at(0.99),
            });
        }
        figures
    })
}

/// The time of each answer that came in the span, or of the first one after it if none did, and when the last one came.
async fn client(address: SocketAddr, request: Arc<[u8]>, begun: Duration, end: Duration) -> (Vec<Duration>, Duration) {
    let mut connection = Connection::open(address).await.expect("the server accepts");
    let (mut times, mut last) = (Vec::new(), begun);
    loop {
        let asked = now();
        if asked >= end && !times.is_empty() {
            return (times, last);
        }
        let (status, body) = connection.ask(&request).await.expect("the server answers");
        assert!(status == 200, "{status}: {}", String::from_utf8_lossy(body));
        let answered = now();
        if answered >= begun && (answered <= end || times.is_empty()) {
            times.push(answered.saturating_sub(asked));
            last = answered;
        }
    }
}
