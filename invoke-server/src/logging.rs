//! What is logged, where and how.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use invoke_core::config::{LogFormat, Settings};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// Our own crates, which `log_level` is about.
const OURS: &[&str] = &["invoke_core", "invoke_server"];
/// The numbers by which clients name levels: everything, debug, info, warning, error, critical.
pub const LEVELS: &[i64] = &[0, 10, 20, 30, 40, 50];

/// What is logged of our own doings; can be changed while the server runs.
#[derive(Clone)]
pub struct LogLevel {
    number: Arc<AtomicI64>,
    apply: Arc<dyn Fn(i64) + Send + Sync>,
}

impl LogLevel {
    /// The level by its number.
    pub fn get(&self) -> i64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Changes it.
    pub fn set(&self, number: i64) {
        self.number.store(number, Ordering::Relaxed);
        (self.apply)(number);
    }
}

impl Default for LogLevel {
    /// A level that nothing depends on, for programs that log as they please.
    fn default() -> Self {
        Self {
            number: Arc::new(AtomicI64::new(20)),
            apply: Arc::new(|_| {}),
        }
    }
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogLevel").field(&self.get()).finish()
    }
}

fn directives(ours: &str, network: &str) -> String {
    let ours: Vec<String> = OURS.iter().map(|name| format!("{name}={ours}")).collect();
    format!("{network},{}", ours.join(","))
}

/// A level's number and its name here, from its name in the configuration.
fn level(name: &str) -> (i64, &'static str) {
    match name {
        "debug" => (10, "debug"),
        "warning" => (30, "warn"),
        "error" => (40, "error"),
        "critical" => (50, "error"),
        _ => (20, "info"),
    }
}

/// A level's name here, from its number.
fn name_of(number: i64) -> &'static str {
    match number {
        ..=0 => "trace",
        1..=10 => "debug",
        11..=20 => "info",
        21..=30 => "warn",
        _ => "error",
    }
}

/// Begins to log to standard error as the configuration says.
///
/// # Errors
/// If something else in this process has taken charge of logging.
pub fn start(settings: &Settings) -> Result<LogLevel, String> {
    let (number, ours) = level(settings.log_level.as_str());
    let network = level(settings.log_level_network.as_str()).1;
    let (filter, handle) = reload::Layer::new(EnvFilter::new(directives(ours, network)));
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = match settings.log_format {
        LogFormat::Color | LogFormat::Legacy => lines.with_ansi(terminal).boxed(),
        LogFormat::Plain => lines.with_ansi(false).boxed(),
        LogFormat::Syslog => lines.with_ansi(false).without_time().boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    started.map_err(|error| format!("logging cannot be started: {error}"))?;
    let apply = move |number| {
        if let Err(error) = handle.reload(EnvFilter::new(directives(name_of(number), network))) {
            tracing::warn!("the log level stays as it is: {error}");
        }
    };
    Ok(LogLevel {
        number: Arc::new(AtomicI64::new(number)),
        apply: Arc::new(apply),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ours_and_the_networks() {
        assert_eq!(
            directives(level("critical").1, level("warning").1),
            "warn,invoke_core=error,invoke_server=error"
        );
        for name in ["debug", "info", "warning", "error"] {
            assert_eq!(name_of(level(name).0), level(name).1);
        }
    }
}
