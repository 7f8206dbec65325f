//! The server program.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use invoke_core::{
    Core,
    config::{Environment, Flags},
    env::Env,
    service::{Door, app::CONTRACT_VERSION},
};
use invoke_server::{Options, Server, Tls, logging, progress};
use tokio::net::TcpListener;

/// Generate pictures together: a server for many people, wire-compatible with InvokeAI.
#[derive(Debug, Parser)]
#[command(name = "invoke-server", disable_version_flag = true)]
struct Arguments {
    /// Folder that holds everything: configuration, database, pictures, models.
    #[arg(long)]
    root: Option<PathBuf>,
    /// Configuration file to use instead of `invokeai.yaml` in the root.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on.
    #[arg(long)]
    port: Option<u16>,
    /// Folder of a built web client, with an `index.html`.
    #[arg(long)]
    web_dir: Option<PathBuf>,
    /// How many sessions that are alike denoise together, 1 to 4. As many as was measured to pay if this is not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=4))]
    coalesce: Option<u8>,
    /// What is logged: debug, info, warning, error or critical.
    #[arg(long)]
    log_level: Option<String>,
    /// Print the version and leave.
    #[arg(long)]
    version: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.version {
        println!("invoke-server {} (contract {CONTRACT_VERSION})", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("invoke-server: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    if let Some(dir) = arguments.web_dir.as_ref().filter(|dir| !dir.join("index.html").is_file()) {
        return Err(format!("--web-dir {}: there is no index.html in it", dir.display()));
    }
    let flags = Flags {
        root: arguments.root,
        config: arguments.config,
        host: arguments.host,
        port: arguments.port,
        web_dir: arguments.web_dir,
        log_level: arguments.log_level,
    };
    let environment = Environment::of_process();
    let core = Core::open(&flags, &environment, Env::system(), Door::Server).map_err(|error| error.to_string())?;
    for engine in core.engines() {
        engine.gains().fix(arguments.coalesce.map(usize::from));
    }
    let settings = core.config().settings();
    let log_level = logging::start(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(30))
        .build()
        .map_err(|error| format!("threads cannot be started: {error}"))?;
    let served = runtime.block_on(serve(core.clone(), log_level));
    // Work that was cut off by the end of its connection is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    core.shutdown();
    served
}

async fn serve(core: Core, log_level: logging::LogLevel) -> Result<(), String> {
    let settings = core.config().settings();
    let port = u16::try_from(settings.port).map_err(|_| format!("`port` must be a number from 0 to 65535, not {}", settings.port))?;
    let address = (settings.host.as_str(), port);
    let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "port {port} on {} is taken: stop what uses it, or choose another with --port",
            settings.host
        ),
        _ => format!("cannot listen on {}:{port}: {error}", settings.host),
    })?;
    let place = listener.local_addr().map_err(|error| error.to_string())?;
    let options = Options {
        log_level,
        tls: Tls::of(core.config())?,
        ..Options::of(core.config())
    };
    let base = options.base_path.clone();
    tracing::info!("version {} (contract {CONTRACT_VERSION})", env!("CARGO_PKG_VERSION"));
    tracing::info!("root directory = {}", core.config().root().display());
    let in_vain = core.config().set_in_vain();
    if !in_vain.is_empty() {
        tracing::info!("set, without effect here, and kept for InvokeAI's files: {}", in_vain.join(", "));
    }
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let progress = progress::in_terminal(core.bus());
    let server = Arc::new(Server::new(core, options)?);
    tracing::info!("Invoke running on {scheme}://{place}{base} (Press CTRL+C to quit)");
    let done = invoke_server::serve(server, listener, stopped()).await;
    drop(progress);
    done.map_err(|error| error.to_string())
}

/// Completes when somebody asks the program to end.
async fn stopped() {
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!("Ctrl-C cannot be heard: {error}");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
    tracing::info!("stopping");
}
