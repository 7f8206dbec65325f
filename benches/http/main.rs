//! Requests a second and their times, of this server and, beside it, of the original:
//!
//!     cargo bench -p invoke-server --bench http
//!     cargo bench -p invoke-server --bench http -- --original venv/bin/python
//!     cargo bench -p invoke-server --bench http -- --pictures 200000 --items 100000 --original venv/bin/python
//!
//! Each server gets a fresh root with accounts, the same rows in its database, and no compression; servers and clients share the machine.
//! `--original` is a Python that InvokeAI 6.14.2 is installed for. `--server` names another build of this server than the one at hand.

mod client;
mod content;
mod side;

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::{
    client::{Figures, Load},
    content::Content,
    side::{Program, Side},
};

#[derive(Debug, Parser)]
struct Arguments {
    /// Program to measure.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_invoke-server"))]
    server: PathBuf,
    /// Python with InvokeAI 6.14.2, to measure that beside it.
    #[arg(long)]
    original: Option<PathBuf>,
    /// Pictures in the gallery.
    #[arg(long, default_value_t = 1000)]
    pictures: u64,
    /// Finished items in the queue.
    #[arg(long, default_value_t = 1000)]
    items: u64,
    /// Seconds for each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One line of the table.
struct Line {
    label: &'static str,
    figures: Figures,
}

/// What was measured of one server.
struct Measured {
    start_s: f64,
    idle_mib: f64,
    lines: Vec<Line>,
}

const CONNECTIONS: usize = 16;
/// Connections that sign in at the same time.
const SIGNING_IN: usize = 50;

const NAMES: &str = "/api/v1/images/names?is_intermediate=false";
const PAGE: &str = "/api/v1/images/?is_intermediate=false&limit=100&offset=100";
const ME: &str = "/api/v1/auth/me";
const STATUS: &str = "/api/v1/queue/default/status";
const BOARDS: &str = "/api/v1/boards/?all=true";

fn measure(program: Program, arguments: &Arguments) -> Measured {
    let content = Content {
        pictures: arguments.pictures,
        items: arguments.items,
    };
    let side = Side::start(program, &content);
    let time = Duration::from_secs_f64(arguments.seconds);
    let alone = |label, path: &str, connections| {
        let load = Load::get(path, &side.token, connections);
        let figures = client::measure(side.address, &[load], time).remove(0);
        eprintln!("  {label}: {figures}");
        Line { label, figures }
    };
    let mut lines = vec![
        alone("version", "/api/v1/app/version", CONNECTIONS),
        alone("boards (20)", BOARDS, CONNECTIONS),
        alone("queue status", STATUS, CONNECTIONS),
        alone("me", ME, CONNECTIONS),
        alone("image names", NAMES, CONNECTIONS),
        alone("image list (100)", PAGE, CONNECTIONS),
        alone("all names, one at a time", NAMES, 1),
        alone("one page, one at a time", PAGE, 1),
    ];
    // Another user's request while two connections list the gallery without end.
    let unrelated = |label, path: &str, beside: Vec<Load>| {
        let mut loads = vec![Load::get(path, &side.other_token, 1)];
        loads.extend(beside);
        let figures = client::measure(side.address, &loads, time).remove(0);
        eprintln!("  {label}: {figures}");
        Line { label, figures }
    };
    let lists = || vec![Load::get(NAMES, &side.token, 1), Load::get(PAGE, &side.token, 1)];
    lines.push(unrelated("me while lists run", ME, lists()));
    lines.push(unrelated("boards while lists run", BOARDS, lists()));
    let sixteen = client::measure(side.address, &[Load::login(side::EMAIL, side::PASSWORD, CONNECTIONS)], time).remove(0);
    eprintln!("  login: {sixteen}");
    lines.push(Line {
        label: "login",
        figures: sixteen,
    });
    let sign_in = Load::login(side::EMAIL, side::PASSWORD, SIGNING_IN);
    let both = client::measure(side.address, &[sign_in, Load::get(ME, &side.other_token, 1)], time);
    for (label, figures) in ["login, 50 at once", "me while 50 sign in"].into_iter().zip(both) {
        eprintln!("  {label}: {figures}");
        lines.push(Line { label, figures });
    }
    Measured {
        start_s: side.start_s,
        idle_mib: side.idle_mib,
        lines,
    }
}

fn main() {
    let arguments = Arguments::parse();
    eprintln!("{}", arguments.server.display());
    let ours = measure(Program::Ours(arguments.server.clone()), &arguments);
    let theirs = arguments.original.clone().map(|python| {
        eprintln!("InvokeAI of {}", python.display());
        measure(Program::Original(python), &arguments)
    });
    println!(
        "{} pictures, {} items, {CONNECTIONS} connections",
        arguments.pictures, arguments.items
    );
    let blank = "";
    println!(
        "{blank:<26} {:>10} {:>9} {:>9}   {:>10} {:>9} {:>9} {:>8}",
        "requests/s", "p50 ms", "p99 ms", "original", "p50 ms", "p99 ms", "ratio"
    );
    for (at, Line { label, figures }) in ours.lines.iter().enumerate() {
        print!(
            "{label:<26} {:>10.0} {:>9.2} {:>9.2}",
            figures.per_second, figures.median_ms, figures.p99_ms
        );
        if let Some(theirs) = &theirs {
            let other = &theirs.lines[at].figures;
            print!(
                "   {:>10.0} {:>9.2} {:>9.2} {:>7.1}x",
                other.per_second,
                other.median_ms,
                other.p99_ms,
                figures.per_second / other.per_second
            );
        }
        println!();
    }
    let pair = |label: &str, unit: &str, ours: f64, theirs: Option<f64>| {
        print!("{label:<26} {ours:>10.2} {unit:<19}");
        if let Some(theirs) = theirs {
            print!("   {theirs:>10.2} {unit:<19} {:>7.1}x", theirs / ours);
        }
        println!();
    };
    pair("start to first answer", "s", ours.start_s, theirs.as_ref().map(|of| of.start_s));
    pair("memory when idle", "MiB", ours.idle_mib, theirs.as_ref().map(|of| of.idle_mib));
}
