//! Whole calls at a steady rate: CPU of the server per call and per relayed message, set-up, ring and candidate times, failures.
//!
//! Open loop: a call starts when it is due, whatever became of the earlier ones; if no pair is free it counts as failed.
//! The window opens after a warm-up and counts what completes in it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Failure;
use crate::options::Options;
use crate::pair::{Observed, Pair, Script};
use crate::report::Better::{Higher, Lower, Neither};
use crate::report::{Column, Table, ms, quantile_ms};
use crate::subject::{Consumed, Subject};

const WARM_UP: Duration = Duration::from_secs(4);
const WARM_UP_RATE: u32 = 150;
/// Before each window at its own rate.
const SETTLE: Duration = Duration::from_secs(1);
/// Clients give up on an answer after 5 s.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// After the warm-up: what the nodes do when nobody calls.
const REST: Duration = Duration::from_secs(2);
const USUAL_RUNS: u16 = 3;

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let mut tables: Vec<Tables> = options.rates.iter().map(|rate| Tables::new(*rate)).collect();
    for run in 0..options.runs(USUAL_RUNS) {
        for column in options.columns() {
            println!("calls, run {}: {}", run + 1, column.name());
            let subject = Subject::start(&options.plan(column)).await?;
            let script = Script { gap: options.gap(), candidates: options.candidates, hang_up: true };
            let mut exchange = Exchange::open(&subject.addresses(), options.pairs, script).await?;
            exchange.run(WARM_UP_RATE, WARM_UP, &mut Tally::default()).await?;
            exchange.settle().await?;
            let rest = subject.rest(REST).await?;
            for (rate, tables) in options.rates.iter().zip(&mut tables) {
                exchange.run(*rate, SETTLE, &mut Tally::default()).await?;
                let mut tally = Tally::default();
                let before = subject.read().await?;
                let took = exchange.run(*rate, options.window(), &mut tally).await?;
                let consumed = subject.read().await?.since(&before);
                tally.tell_failures(column);
                tables.enter(column, tally, &consumed, &rest, took);
                exchange.settle().await?;
            }
        }
    }
    tables.iter().for_each(Tables::print);
    Ok(())
}

/// The pairs, which of them are free, and how they tell what became of a call.
struct Exchange {
    starts: Vec<Sender<()>>,
    free: VecDeque<usize>,
    under_way: usize,
    ended: Receiver<Ended>,
    pairs: JoinSet<()>,
}

struct Ended {
    pair: usize,
    outcome: Result<Observed, Failure>,
    /// Whether the pair can have another call.
    alive: bool,
}

impl Exchange {
    async fn open(nodes: &[SocketAddr], count: u32, script: Script) -> Result<Self, Failure> {
        // A pair has at most one message in it.
        let (report, ended) = mpsc::channel(count as usize);
        let mut exchange =
            Self { starts: Vec::new(), free: VecDeque::new(), under_way: 0, ended, pairs: JoinSet::new() };
        for number in 0..count {
            let (start, started) = mpsc::channel(1);
            let pair = Pair::register(nodes, number).await?;
            exchange.free.push_back(exchange.starts.len());
            exchange.pairs.spawn(serve(exchange.starts.len(), pair, script, started, report.clone()));
            exchange.starts.push(start);
        }
        Ok(exchange)
    }

    /// Starts calls at `rate` for `length` and notes what completes; says how long it really took.
    async fn run(&mut self, rate: u32, length: Duration, tally: &mut Tally) -> Result<Duration, Failure> {
        let begin = Instant::now();
        let interval = Duration::from_secs(1) / rate;
        let mut due = begin;
        // Waits on calls that end and on the moment the next one is due.
        while due.duration_since(begin) < length {
            tokio::select! {
                ended = self.ended.recv() => self.note(ended.ok_or("all pairs are gone")?, tally),
                () = sleep_until(due) => {
                    due += interval;
                    self.start(tally);
                }
            }
        }
        Ok(begin.elapsed())
    }

    fn start(&mut self, tally: &mut Tally) {
        tally.started += 1;
        match self.free.pop_front() {
            None => tally.fail("no pair is free"),
            Some(pair) if self.starts[pair].try_send(()).is_ok() => self.under_way += 1,
            // Its task has ended; the pair does not come back.
            Some(_) => tally.fail("a connection was lost between calls"),
        }
    }

    fn note(&mut self, ended: Ended, tally: &mut Tally) {
        self.under_way -= 1;
        if ended.alive {
            self.free.push_back(ended.pair);
        }
        match ended.outcome {
            Ok(observed) => tally.complete(observed),
            Err(error) => tally.fail(&error.to_string()),
        }
    }

    /// Waits for the calls under way, so that the next window does not begin with them.
    async fn settle(&mut self) -> Result<(), Failure> {
        while self.under_way > 0 {
            let ended = timeout(2 * CALL_DEADLINE, self.ended.recv()).await?;
            self.note(ended.ok_or("all pairs are gone")?, &mut Tally::default());
        }
        Ok(())
    }
}

/// Serves one pair: answers its pings between calls, plays a call when told to. Ends when the exchange or a connection is gone.
async fn serve(number: usize, mut pair: Pair, script: Script, mut starts: Receiver<()>, report: Sender<Ended>) {
    loop {
        tokio::select! {
            start = starts.recv() => if start.is_none() { return },
            packet = pair.caller.receive() => if packet.is_err() { return } else { continue },
            packet = pair.callee.receive() => if packet.is_err() { return } else { continue },
        }
        let mut call_id = String::new();
        let played = timeout(CALL_DEADLINE, pair.play(script, &mut call_id)).await;
        let outcome = played.unwrap_or_else(|_| Err("not over in time".into()));
        let alive = match &outcome {
            Ok(_) => true,
            Err(_) if call_id.is_empty() => true,
            // The pair's next call should find this one over.
            Err(_) => pair.caller.send(pair.frames.end.of(&call_id)).await.is_ok(),
        };
        if report.send(Ended { pair: number, outcome, alive }).await.is_err() || !alive {
            return;
        }
    }
}

/// What completed in a window.
#[derive(Default)]
struct Tally {
    started: u32,
    completed: u32,
    failed: u32,
    overtaken: u32,
    relayed: u32,
    rings: Vec<Duration>,
    set_ups: Vec<Duration>,
    candidates: Vec<Duration>,
    reasons: BTreeMap<String, u32>,
}

impl Tally {
    fn complete(&mut self, observed: Observed) {
        self.completed += 1;
        self.overtaken += u32::from(observed.overtaken);
        self.relayed += observed.relayed;
        self.rings.push(observed.ring);
        self.set_ups.push(observed.set_up);
        self.candidates.extend(observed.candidates);
    }

    fn fail(&mut self, reason: &str) {
        self.failed += 1;
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    fn tell_failures(&self, column: Column) {
        for (reason, count) in self.reasons.iter().take(5) {
            println!("  {} of {} calls of {} failed: {reason}", count, self.started, column.name());
        }
    }
}

/// What is reported of one rate.
struct Tables {
    calls: Table,
    commands: Table,
}

impl Tables {
    fn new(rate: u32) -> Self {
        Self {
            calls: Table::new(format!("calls: {rate} per second")),
            commands: Table::new(format!(
                "calls: {rate} per second, Redis commands per call, those of scripts included"
            )),
        }
    }

    fn enter(&mut self, column: Column, mut tally: Tally, consumed: &Consumed, rest: &Consumed, took: Duration) {
        let calls = f64::from(tally.completed);
        let table = &mut self.calls;
        let per_relayed = ms(consumed.server) * 1e3 / f64::from(tally.relayed);
        table.add(column, "server CPU per call, ms", 3, Lower, ms(consumed.server) / calls);
        table.add(column, "server CPU per relayed message, us", 1, Lower, per_relayed);
        if let Some(redis) = &consumed.redis {
            table.add(column, "Redis CPU per call, ms", 3, Lower, ms(redis.cpu) / calls);
            table.add(column, "server and Redis CPU per call, ms", 3, Lower, ms(consumed.total()) / calls);
            table.add_traffic(column, "call", redis, calls);
            self.commands.add_commands(column, redis, calls);
        }
        table.add(column, "ring p50, ms", 2, Lower, quantile_ms(&mut tally.rings, 500));
        table.add(column, "ring p99, ms", 2, Lower, quantile_ms(&mut tally.rings, 990));
        table.add(column, "candidate p50, ms", 2, Lower, quantile_ms(&mut tally.candidates, 500));
        table.add(column, "candidate p99, ms", 2, Lower, quantile_ms(&mut tally.candidates, 990));
        table.add(column, "set-up p50, ms", 2, Lower, quantile_ms(&mut tally.set_ups, 500));
        table.add(column, "set-up p99, ms", 2, Lower, quantile_ms(&mut tally.set_ups, 990));
        table.add(column, "calls completed per second", 1, Higher, calls / took.as_secs_f64());
        table.add(column, "calls failed", 0, Neither, f64::from(tally.failed));
        table.add(column, "calls with a candidate before its description", 0, Neither, f64::from(tally.overtaken));
        table.add(column, "generator CPU per call, ms", 3, Neither, ms(consumed.generator) / calls);
        table.add(column, "cores busy with something else", 2, Neither, consumed.others);
        table.add_rest(column, rest);
    }

    fn print(&self) {
        self.calls.print();
        self.commands.print();
    }
}
