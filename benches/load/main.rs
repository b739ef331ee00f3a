//! The load benchmark: switchboard beside a Node server of the same contract (`benches/peer`), in one run, as ratios.
//!
//! ```text
//! cargo bench --bench load -- [calls|idle|latency|all] [--quick]
//!   --quick             one short run of each: a check that everything works, not figures to quote
//!   --only NAME         just `switchboard` or just `peer`
//!   --peer-store NAME   where the peer keeps its state: redis (default), memory, adapter (redis, and relays through it)
//!   --runs N            runs of each server, interleaved; the median counts         calls, latency 3 · idle 1
//!   --seconds N         length of a measured window                                 calls, latency 10
//!   --rates A,B         calls per second                                            calls 50,300
//!   --pairs N           pairs of a caller and a callee, one call at a time each     calls 400
//!   --gap MS            pause before each further candidate                         calls 10
//!   --connections N     registered websockets                                       idle 10000
//!   --hold N            seconds they are held, at a ping every 25 s                        idle 50
//! ```
//!
//! It starts the servers as its children on free loopback ports (the peer with a `redis-server` of its own, after `npm ci`
//! if `node_modules` is missing) and kills them by their pid. A whole call is initiate, ring, accept, an offer of 3 KB, an
//! answer of 2.5 KB, 8 candidates each way, end: 21 relayed messages in 45 frames. The generator is one thread and tells
//! what it used itself. switchboard logs as `LOG_LEVEL` says, to a file; the peer does not log.
//! Machines differ: compare the ratios of one run, never figures of two machines.
//!
//! `options` what to measure · `subject` the servers as children · `usage` what a process consumed · `client` one
//! Socket.IO connection · `frames` what it sends · `pair` one call at a time · `calls` `idle` `latency` the scenarios ·
//! `report` the tables.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures the time that really passes")]
#![allow(clippy::similar_names, reason = "caller and callee are the words")]

mod calls;
mod client;
mod frames;
mod idle;
mod latency;
mod options;
mod pair;
mod report;
mod subject;
mod usage;

use std::process::ExitCode;

use clap::Parser;
use options::{Options, Scenario};
use tokio::signal::unix::{SignalKind, signal};

/// What can go wrong in a benchmark is only ever printed.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let options = Options::parse();
    // One thread, so that the generator takes one core at most and leaves the other to the server.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    // An interrupt drops the scenario, and with it the child processes.
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = run(&options) => outcome,
            signal = interrupted() => signal.and(Err("interrupted".into())),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn interrupted() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        outcome = tokio::signal::ctrl_c() => Ok(outcome?),
    }
}

fn failed(error: &Failure) -> ExitCode {
    eprintln!("load: {error}");
    ExitCode::FAILURE
}

async fn run(options: &Options) -> Result<(), Failure> {
    usage::raise_open_file_limit()?;
    subject::prepare(options)?;
    println!("ratio: how many times as good switchboard is; below 1 the peer is better\n");
    if options.wants(Scenario::Calls) {
        calls::run(options).await?;
    }
    if options.wants(Scenario::Latency) {
        latency::run(options).await?;
    }
    if options.wants(Scenario::Idle) {
        idle::run(options).await?;
    }
    Ok(())
}
