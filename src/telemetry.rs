//! Where logs go: standard output as text or JSON, and daily files if a directory is configured.
//!
//! Only this program logs below WARN; the libraries beneath would log payloads there. Writers sit behind bounded
//! queues, so that a stuck terminal or disk never holds up a call: what does not fit is dropped.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// Days for which log files are kept.
const FILES_KEPT: usize = 14;

/// Writes what is still queued when it is dropped; keep it until the end of the program.
#[must_use = "logs stop when the guard is dropped"]
pub struct TelemetryGuard {
    _writers: Vec<WorkerGuard>,
    level: LogLevel,
}

impl TelemetryGuard {
    /// How detailed the logs are.
    pub fn level(&self) -> LogLevel {
        self.level.clone()
    }
}

/// How detailed the logs are, which may change while the program runs.
#[derive(Clone)]
pub struct LogLevel(Arc<dyn Fn(Level) + Send + Sync>);

impl LogLevel {
    /// From here on this is the most detailed level that is logged.
    pub fn set(&self, level: Level) {
        (self.0)(level);
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directory cannot be made.
    #[error("LOG_DIR: cannot write log files: {0}")]
    Directory(#[from] io::Error),
    /// A file in it cannot be made.
    #[error("LOG_DIR: cannot write log files: {0}")]
    File(#[from] InitError),
    /// Something in this process logs already.
    #[error("logging is set up already")]
    Twice(#[from] SetGlobalDefaultError),
}

/// Sends the logs of the process where `config` says.
///
/// # Errors
/// If the log directory cannot be used, or logging was set up before.
pub fn init(config: &LogConfig) -> Result<TelemetryGuard, TelemetryError> {
    let (subscriber, guard) = subscriber(config, io::stdout(), io::stdout().is_terminal())?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(guard)
}

fn subscriber(
    config: &LogConfig,
    console: impl io::Write + Send + 'static,
    colours: bool,
) -> Result<(impl Subscriber + Send + Sync, TelemetryGuard), TelemetryError> {
    let mut writers = Vec::new();
    let mut queued = |writer: NonBlocking, guard: WorkerGuard| {
        writers.push(guard);
        writer
    };
    let mut layers = Vec::new();

    let (writer, guard) = tracing_appender::non_blocking(console);
    let console = fmt::layer().with_writer(queued(writer, guard)).with_target(false);
    layers.push(match config.format {
        LogFormat::Text => console.with_ansi(colours).boxed(),
        LogFormat::Json => console.json().flatten_event(true).boxed(),
    });
    if let Some(directory) = &config.directory {
        // The appender would make it too, but only after complaining that it cannot list old files.
        fs::create_dir_all(directory)?;
        for (prefix, most_detailed) in [("combined.log", Level::TRACE), ("error.log", Level::ERROR)] {
            let (writer, guard) = tracing_appender::non_blocking(daily_file(directory, prefix)?);
            layers.push(json_lines(queued(writer, guard), most_detailed));
        }
    }
    let (filter, handle) = reload::Layer::new(targets(config.level));
    let subscriber = Registry::default().with(layers.with_filter(filter));
    // Fails only once the subscriber is gone, and with it all logs.
    let level = LogLevel(Arc::new(move |level| drop(handle.reload(targets(level)))));
    Ok((subscriber, TelemetryGuard { _writers: writers, level }))
}

/// This program up to `level`, all others up to WARN at most.
fn targets(level: Level) -> Targets {
    Targets::new().with_default(level.min(Level::WARN)).with_target(env!("CARGO_CRATE_NAME"), level)
}

fn daily_file(directory: &Path, prefix: &str) -> Result<RollingFileAppender, InitError> {
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(prefix)
        .max_log_files(FILES_KEPT)
        .build(directory)
}

fn json_lines<S>(writer: NonBlocking, most_detailed: Level) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(writer)
        .with_filter(LevelFilter::from_level(most_detailed))
        .boxed()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use uuid::Uuid;

    use super::*;

    #[derive(Clone, Default)]
    struct Console(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Console {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the console shows when `log` has run.
    fn console(config: &LogConfig, log: impl FnOnce()) -> String {
        let console = Console::default();
        let (subscriber, guard) = subscriber(config, console.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        drop(guard);
        let bytes = console.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn config(level: Level, format: LogFormat) -> LogConfig {
        LogConfig { level, format, directory: None }
    }

    fn everything() {
        tracing::error!("one");
        tracing::info!(call_id = "c", "two");
        tracing::debug!("three");
        tracing::warn!(target: "engineioxide::socket", "four");
        tracing::info!(target: "engineioxide::socket", "five");
    }

    #[test]
    fn libraries_are_heard_from_warn_upwards() {
        let lines = |level| console(&config(level, LogFormat::Text), everything).lines().count();
        assert_eq!(lines(Level::ERROR), 1);
        assert_eq!(lines(Level::WARN), 2);
        assert_eq!(lines(Level::INFO), 3);
        assert_eq!(lines(Level::DEBUG), 4);
        assert_eq!(lines(Level::TRACE), 4);
    }

    #[test]
    fn another_level_counts_from_then_on() {
        let console = Console::default();
        let (subscriber, guard) = subscriber(&config(Level::INFO, LogFormat::Text), console.clone(), false).unwrap();
        let level = guard.level();
        tracing::subscriber::with_default(subscriber, || {
            let log = || {
                tracing::debug!("of this program");
                tracing::info!(target: "engineioxide::socket", "of another one");
            };
            log();
            level.set(Level::DEBUG);
            log();
            level.set(Level::INFO);
            log();
        });
        drop(guard);
        let bytes = console.0.lock().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("of this program"), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = console(&config(Level::INFO, LogFormat::Json), everything);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[1]["message"], "two");
        assert_eq!(lines[1]["call_id"], "c");
        assert_eq!(lines[1]["level"], "INFO");
    }

    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let name = format!("test-logs-{}", Uuid::new_v4());
            Self(Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name))
        }

        /// The one file whose name begins with `prefix`, and its text.
        fn file(&self, prefix: &str) -> (String, String) {
            let entry = fs::read_dir(&self.0)
                .unwrap()
                .map(Result::unwrap)
                .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                .unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read_to_string(entry.path()).unwrap())
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_are_named_after_the_day_and_errors_stand_apart() {
        let directory = Directory::new();
        let mut config = config(Level::INFO, LogFormat::Text);
        config.directory = Some(directory.0.clone());
        assert_eq!(console(&config, everything).lines().count(), 3);
        let (name, combined) = directory.file("combined.log.");
        assert_eq!(name.len(), "combined.log.2026-01-31".len());
        assert_eq!(combined.lines().count(), 3);
        let (_, errors) = directory.file("error.log.");
        assert_eq!(errors.lines().count(), 1);
        assert!(errors.contains(r#""message":"one""#), "{errors}");
    }

    #[test]
    fn an_unusable_directory_is_an_error() {
        let mut config = config(Level::INFO, LogFormat::Text);
        config.directory = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
        let error = subscriber(&config, Console::default(), false).err().unwrap();
        assert!(error.to_string().starts_with("LOG_DIR: "), "{error}");
    }
}
