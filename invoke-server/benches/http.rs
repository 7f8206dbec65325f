//! Requests a second and their times, over sixteen connections to a server of its own:
//!
//!     cargo bench -p invoke-server --bench http
//!
//! Clients and server share the machine, as they did when the original was measured.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use invoke_core::{
    Core,
    authn::Email,
    authz::Actor,
    config::{Config, Settings},
    env::Env,
    service::auth::{Credentials, Door, Setup},
};
use invoke_server::{Options, Server, serve};

const CONNECTIONS: usize = 16;
const SECONDS: u64 = 4;

/// What one measurement gave.
struct Figures {
    per_second: f64,
    median_ms: f64,
    p99_ms: f64,
    worst_ms: f64,
}

fn main() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings {
        multiuser: true,
        ..Settings::default()
    };
    let env = Env::system();
    let core = Core::of_config(Config::from_settings(root.path(), settings), env.clone(), Door::Library).expect("a fresh root opens");
    let email = Email::parse("root@example.com").expect("an address");
    let password = "Passw0rd-root".to_owned();
    let nobody = Actor::anonymous();
    core.auth
        .setup(
            &nobody,
            &Setup {
                email: email.clone(),
                display_name: None,
                password: password.clone(),
            },
        )
        .expect("set-up");
    let credentials = Credentials {
        email,
        password,
        remember_me: false,
    };
    let token = core.auth.login(&nobody, &credentials, None).expect("signing in").token;
    let options = Options::of(core.config());
    let server = Arc::new(Server::new(core, options).expect("routes"));
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(serve(server, listener, std::future::pending()));

    println!(
        "{:<28} {:>10} {:>9} {:>9} {:>9}",
        "route", "requests/s", "p50 ms", "p99 ms", "max ms"
    );
    for (name, path) in [
        ("version", "/api/v1/app/version"),
        ("boards", "/api/v1/boards/?all=true"),
        ("queue status", "/api/v1/queue/default/status"),
        ("me", "/api/v1/auth/me"),
    ] {
        let figures = measure(&env, address, path, &token);
        println!(
            "{name:<28} {:>10.0} {:>9.2} {:>9.2} {:>9.2}",
            figures.per_second, figures.median_ms, figures.p99_ms, figures.worst_ms
        );
    }
}

fn measure(env: &Env, address: SocketAddr, path: &str, token: &str) -> Figures {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    let begun = env.monotonic_ns();
    let end = begun + Duration::from_secs(SECONDS).as_nanos() as u64;
    let mut times: Vec<u64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| client(env, address, request.as_bytes(), end)))
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client that does not panic"))
            .collect()
    });
    let elapsed = (env.monotonic_ns() - begun) as f64 / 1e9;
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize] as f64 / 1e6;
    Figures {
        per_second: times.len() as f64 / elapsed,
        median_ms: at(0.5),
        p99_ms: at(0.99),
        worst_ms: at(1.0),
    }
}

/// Asks again and again over one connection; the nanoseconds that each answer took.
fn client(env: &Env, address: SocketAddr, request: &[u8], end: u64) -> Vec<u64> {
    let mut connection = BufReader::new(TcpStream::connect(address).expect("the server accepts"));
    connection.get_ref().set_nodelay(true).expect("a socket option");
    let (mut times, mut line, mut body) = (Vec::new(), String::new(), Vec::new());
    while env.monotonic_ns() < end {
        let begun = env.monotonic_ns();
        connection.get_mut().write_all(request).expect("the server reads");
        let mut length = 0;
        let mut is_status = true;
        loop {
            line.clear();
            connection.read_line(&mut line).expect("the server answers");
            if is_status {
                assert!(line.starts_with("HTTP/1.1 200"), "{line}");
                is_status = false;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        connection.read_exact(&mut body).expect("the whole body");
        times.push(env.monotonic_ns() - begun);
    }
    times
}
