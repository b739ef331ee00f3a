//! The load benchmark: switchboard beside a Node server of the same contract (`benches/peer`), in one run, as ratios; and
//! either of them as several nodes behind one Redis, beside itself as fewer.
//!
//! ```text
//! cargo bench --bench load -- [calls|idle|latency|register|storm|deadlines|all] [--quick]
//!   --quick             one short run of each: a check that everything works, not figures to quote
//!   --only NAME         just `switchboard` or just `peer`
//!   --nodes A,B         nodes behind one Redis; with several numbers, how each figure grows from the first   1
//!   --store NAME        where switchboard keeps its state: embedded (default for one node), redis
//!   --peer-store NAME   where the peer keeps its state: redis (default for one node), memory, adapter (redis, and relays
//!                       through it: default for several)
//!   --runs N            runs of each server, interleaved; the median counts      calls, latency, register 3 · others 1
//!   --seconds N         length of a measured window                                 calls, latency 10
//!   --rates A,B         calls per second                                            calls 50,300
//!   --pairs N           pairs of a caller and a callee, one call at a time each     calls 400
//!   --gap MS            pause before each further candidate                         calls 10
//!   --candidates N      candidates of each side; with 0 what the changes of a call cost   calls 8
//!   --connections N     registered websockets                                       idle 10000
//!   --hold N            seconds they are held, at a ping every 25 s                 idle 50
//!   --users N           users who register                                          register 5000 · storm 100000
//!   --rate N            registrations per second                                    register 1000 · storm 5000
//!   --calls N           calls nobody answers                                        deadlines 1000
//!   --keys N            keys of others in the same Redis                            deadlines 1000000
//! ```
//!
//! It starts the servers as its children on free loopback ports (with a `redis-server` of their own where they need one;
//! the peer after `npm ci` if `node_modules` is missing) and kills them by their pid. A whole call is initiate, ring, accept,
//! an offer of 3 KB, an answer of 2.5 KB, 8 candidates each way, end: 21 relayed messages in 45 frames. Of several nodes the
//! callee is at the next one after the caller's. The generator is one thread and tells what it used itself; only a storm of
//! more connections than a process may open has generators of its own. switchboard logs as `LOG_LEVEL` says, to a file; the
//! peer does not log. `storm` and `deadlines` always have several nodes and a Redis: a storm as many as its users need, half
//! of which are killed; `deadlines` two at least. CPU of the server is that of all nodes.
//! Machines differ: compare the ratios of one run, never figures of two machines.
//!
//! `options` what to measure · `process` a child · `subject` the nodes as children · `redis_server` their Redis and what it
//! tells about itself · `probe` whether it answers at once · `usage` what a process consumed · `client` one Socket.IO
//! connection · `frames` what it sends · `pair` one call at a time · `crowd` many that only answer pings · `shard` a crowd in
//! a process of its own · `calls` `idle` `latency` `register` `storm` `deadlines` the scenarios · `report` the tables.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures the time that really passes")]
#![allow(clippy::similar_names, reason = "caller and callee are the words")]

mod calls;
mod client;
mod crowd;
mod deadlines;
mod frames;
mod idle;
mod latency;
mod options;
mod pair;
mod probe;
mod process;
mod redis_server;
mod register;
mod report;
mod shard;
mod storm;
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
    if let Some(order) = &options.shard {
        return shard::serve(order).await;
    }
    options.check()?;
    subject::prepare(options)?;
    println!("ratio: how many times as good switchboard is; below 1 the peer is better\n");
    if options.wants(Scenario::Calls) {
        calls::run(options).await?;
    }
    if options.wants(Scenario::Latency) {
        latency::run(options).await?;
    }
    if options.wants(Scenario::Register) {
        register::run(options).await?;
    }
    if options.wants(Scenario::Deadlines) {
        deadlines::run(options).await?;
    }
    if options.wants(Scenario::Storm) {
        storm::run(options).await?;
    }
    if options.wants(Scenario::Idle) {
        idle::run(options).await?;
    }
    Ok(())
}
