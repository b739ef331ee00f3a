//! Command line, configuration, logs, node, exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use switchboard::app::App;
use switchboard::cli::{self, Command};
use switchboard::config::{Config, Mode};
use switchboard::doctor;
use switchboard::ids::CallId;
use switchboard::lifecycle::{Hangups, Lifecycle, run_to_end};
use switchboard::metrics;
use switchboard::telemetry::{self, LogLevel};
use url::Url;

/// The configuration or the command line is wrong; starting again will not help.
const EXIT_CONFIG: u8 = 2;
/// What was asked for did not come about.
const EXIT_FAILURE: u8 = 1;

/// Gives memory back after a wave of connections has left; the system's allocator keeps most of it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::parse() {
        // It listens at once: before, a hangup would end it.
        Command::Serve => match Hangups::listen() {
            Ok(hangups) => configured(|config| serve(config, hangups)),
            Err(error) => failed(EXIT_FAILURE, format_args!("cannot listen for signals: {error}")),
        },
        Command::Token { user, expires } => configured(|config| match cli::token(config, &user, expires) {
            Ok(token) => printed(&token),
            Err(error) => failed(EXIT_CONFIG, error),
        }),
        Command::Call { id, json, node: Some(node) } => print_call(&node, id, json),
        Command::Call { id, json, node: None } => configured(|config| match cli::own_node(config) {
            Ok(node) => print_call(&node, id, json),
            Err(error) => failed(EXIT_CONFIG, error),
        }),
        Command::CheckConfig => configured(|config| printed(&cli::check_config(config))),
        Command::Doctor { json } => configured(|config| examine(config, json)),
        Command::MetricsDoc => printed(metrics::document().trim_end()),
        Command::ApiDoc { kind } => printed(kind.document().trim_end()),
    }
}

/// What becomes of `command` under the configuration, if that is valid.
fn configured(command: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    match Config::load() {
        Ok(config) => command(&config),
        Err(errors) => failed(EXIT_CONFIG, format_args!("the configuration is not valid\n{errors}")),
    }
}

fn printed(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(EXIT_FAILURE, error),
    }
}

fn failed(code: u8, error: impl Display) -> ExitCode {
    eprintln!("switchboard: {error}");
    ExitCode::from(code)
}

/// Looks at everything a node needs. Exit code 1 says that something is broken.
fn examine(config: &Config, json: bool) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(EXIT_FAILURE, error),
    };
    let report = run_to_end(runtime, doctor::examine(config));
    let printed = printed(&if json { report.json() } else { report.text() });
    if report.is_good() { printed } else { ExitCode::from(EXIT_FAILURE) }
}

fn print_call(node: &Url, id: CallId, as_json: bool) -> ExitCode {
    match cli::call(node, id, as_json) {
        Ok(text) => printed(&text),
        Err(error) => failed(EXIT_FAILURE, error),
    }
}

fn serve(config: &Config, hangups: Hangups) -> ExitCode {
    let telemetry = match telemetry::init(&config.logs) {
        Ok(guard) => guard,
        Err(error) => return failed(EXIT_CONFIG, error),
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(config.server.worker_threads).enable_all().build();
    let served = runtime.and_then(|runtime| run_to_end(runtime, run(config, hangups, telemetry.level())));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(EXIT_FAILURE, error),
    }
}

async fn run(config: &Config, hangups: Hangups, level: LogLevel) -> std::io::Result<()> {
    let app = App::bind(config)?;
    let address = app.address();
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    tracing::info!(url = format!("{scheme}://{address}"), "listening");
    if let Some(address) = app.inside_address() {
        tracing::info!(url = format!("http://{address}/metrics"), "metrics");
    }
    if config.mode == Mode::Development {
        println!("{}", cli::welcome(scheme, address, config.auth.secret.is_some()));
    }
    let end = async {
        if let Err(error) = Lifecycle::asked_to_end().await {
            tracing::error!(%error, "cannot be told to end");
            std::future::pending::<()>().await;
        }
    };
    app.run(end, hangups, level).await;
    Ok(())
}
