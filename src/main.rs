//! Command line, configuration, logs, node, exit code.

use std::process::ExitCode;

use switchboard::app::App;
use switchboard::cli::{self, Command};
use switchboard::config::{Config, Mode};
use switchboard::doctor;
use switchboard::ids::CallId;
use switchboard::lifecycle::{Hangups, Lifecycle};
use switchboard::metrics;
use switchboard::telemetry::{self, LogLevel};
use url::Url;

/// The configuration or the command line is wrong; starting again will not help.
const EXIT_CONFIG: u8 = 2;

/// Gives memory back after a wave of connections has left; the system's allocator keeps most of it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command = cli::parse();
    // A server does so at once: before, a hangup would end it.
    let hangups = if command == Command::Serve { listening_for_hangups() } else { None };
    if command == Command::MetricsDoc {
        print!("{}", metrics::document());
        return ExitCode::SUCCESS;
    }
    if let Command::ApiDoc { kind } = command {
        print!("{}", kind.document());
        return ExitCode::SUCCESS;
    }
    if let Command::Call { id, json, node: Some(node) } = &command {
        return print_call(node, *id, *json);
    }
    let config = match Config::load() {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("switchboard: the configuration is not valid\n{errors}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match command {
        Command::Serve | Command::MetricsDoc | Command::ApiDoc { .. } => {
            hangups.map_or(ExitCode::FAILURE, |hangups| serve(&config, hangups))
        }
        Command::Token { user, expires } => match cli::token(&config, &user, expires) {
            Ok(token) => {
                println!("{token}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("switchboard: {error}");
                ExitCode::from(EXIT_CONFIG)
            }
        },
        Command::Call { id, json, node: _ } => match cli::own_node(&config) {
            Ok(node) => print_call(&node, id, json),
            Err(error) => {
                eprintln!("switchboard: {error}");
                ExitCode::from(EXIT_CONFIG)
            }
        },
        Command::CheckConfig => {
            println!("{}", cli::check_config(&config));
            ExitCode::SUCCESS
        }
        Command::Doctor { json } => examine(&config, json),
    }
}

/// Looks at everything a node needs. Exit code 1 says that something is broken.
fn examine(config: &Config, json: bool) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("switchboard: {error}");
            return ExitCode::FAILURE;
        }
    };
    let report = runtime.block_on(doctor::examine(config));
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    println!("{}", if json { report.json() } else { report.text() });
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_call(node: &Url, id: CallId, as_json: bool) -> ExitCode {
    match cli::call(node, id, as_json) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("switchboard: {error}");
            ExitCode::FAILURE
        }
    }
}

fn listening_for_hangups() -> Option<Hangups> {
    Hangups::listen().inspect_err(|error| eprintln!("switchboard: cannot listen for signals: {error}")).ok()
}

fn serve(config: &Config, hangups: Hangups) -> ExitCode {
    let telemetry = match telemetry::init(&config.logs) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("switchboard: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(config.server.worker_threads).enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(run(config, hangups, telemetry.level())));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchboard: {error}");
            ExitCode::FAILURE
        }
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
