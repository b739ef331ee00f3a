//! How long one message takes at 1,000 messages per second, and what it costs, through one call and spread over 20: sent by
//! the caller until received by the callee, who is at another node if there is one. Beside it the floor, the same rate and
//! size through a bare TCP echo on loopback: what a node adds is the difference.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Failure;
use crate::client::Packet;
use crate::frames::Candidates;
use crate::options::Options;
use crate::pair::{Pair, Script};
use crate::report::Better::{Lower, Neither};
use crate::report::{Column, Table, count, ms, quantile_ms};
use crate::subject::{Consumed, Subject};

/// Messages per second, over all calls.
const RATE: u32 = 1_000;
const CALLS: [u32; 2] = [1, 20];
const WARM_UP: Duration = Duration::from_secs(2);
/// For what is under way when the last message was sent.
const DRAIN: Duration = Duration::from_secs(2);
const SET_UP_DEADLINE: Duration = Duration::from_secs(5);
const USUAL_RUNS: u16 = 3;

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let title = |calls: u32| format!("latency: {RATE} messages per second over {calls} call(s), beside the floor");
    let mut tables = CALLS.map(|calls| Table::new(title(calls)));
    for run in 0..options.runs(USUAL_RUNS) {
        println!("latency, run {}: floor", run + 1);
        let mut floor = echo(WARM_UP, options.window()).await?;
        let floor = Quantiles::of(&mut floor);
        for column in options.columns() {
            println!("latency, run {}: {}", run + 1, column.name());
            let subject = Subject::start(&options.plan(column)).await?;
            for (calls, table) in CALLS.into_iter().zip(&mut tables) {
                let lines = lines(&subject.addresses(), calls).await?;
                let (lines, _) = stream(lines, WARM_UP).await?;
                let before = subject.read().await?;
                let (lines, mut streamed) = stream(lines, options.window()).await?;
                let consumed = subject.read().await?.since(&before);
                enter(table, column, &Quantiles::of(&mut streamed.took), &floor);
                cost(table, column, &streamed, &consumed);
                hang_up(lines).await?;
            }
        }
    }
    tables.iter().for_each(Table::print);
    Ok(())
}

/// In milliseconds.
struct Quantiles {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Quantiles {
    fn of(samples: &mut [Duration]) -> Self {
        Self { p50: quantile_ms(samples, 500), p99: quantile_ms(samples, 990), max: quantile_ms(samples, 1000) }
    }
}

fn enter(table: &mut Table, column: Column, node: &Quantiles, floor: &Quantiles) {
    table.add(column, "p50, ms", 3, Lower, node.p50);
    table.add(column, "p99, ms", 3, Lower, node.p99);
    table.add(column, "max, ms", 3, Lower, node.max);
    table.add(column, "floor p50, ms", 3, Neither, floor.p50);
    table.add(column, "floor p99, ms", 3, Neither, floor.p99);
    table.add(column, "floor max, ms", 3, Neither, floor.max);
    table.add(column, "added by the node p50, ms", 3, Lower, node.p50 - floor.p50);
    table.add(column, "added by the node p99, ms", 3, Lower, node.p99 - floor.p99);
}

fn cost(table: &mut Table, column: Column, streamed: &Streamed, consumed: &Consumed) {
    let messages = count(streamed.took.len() as u64);
    let each_us = |cpu| ms(cpu) * 1e3 / messages;
    table.add(column, "messages lost", 0, Neither, f64::from(streamed.lost));
    table.add(column, "server CPU per message, us", 1, Lower, each_us(consumed.server));
    if let Some(redis) = &consumed.redis {
        table.add(column, "Redis CPU per message, us", 1, Lower, each_us(redis.cpu));
        table.add(column, "server and Redis CPU per message, us", 1, Lower, each_us(consumed.total()));
        table.add_traffic(column, "message", redis, messages);
    }
    table.add(column, "cores busy with something else", 2, Neither, consumed.others);
}

/// Messages through some calls.
#[derive(Default)]
struct Streamed {
    took: Vec<Duration>,
    lost: u32,
}

/// A pair in a call.
struct Line {
    pair: Pair,
    call_id: String,
}

/// As many calls, just set up. No user is in two of the shapes, so that none meets its own past.
async fn lines(nodes: &[SocketAddr], calls: u32) -> Result<Vec<Line>, Failure> {
    let script = Script { gap: Duration::ZERO, candidates: 0, hang_up: false };
    let mut lines = Vec::new();
    for number in 0..calls {
        let mut pair = Pair::register(nodes, 100 * calls + number).await?;
        let mut call_id = String::new();
        timeout(SET_UP_DEADLINE, pair.play(script, &mut call_id))
            .await
            .map_err(|_| "a call was not set up in time")??;
        lines.push(Line { pair, call_id });
    }
    Ok(lines)
}

async fn hang_up(lines: Vec<Line>) -> Result<(), Failure> {
    for mut line in lines {
        line.pair.caller.send(line.pair.frames.end.of(&line.call_id)).await?;
    }
    Ok(())
}

/// Streams messages over all lines at once, taking turns.
async fn stream(lines: Vec<Line>, length: Duration) -> Result<(Vec<Line>, Streamed), Failure> {
    let begin = Instant::now();
    let interval = Duration::from_secs(1) / RATE;
    let calls = u32::try_from(lines.len())?;
    let mut streams = JoinSet::new();
    for (offset, line) in (0..calls).zip(lines) {
        streams.spawn(candidates(line, Pace::new(begin + interval * offset, interval * calls, length)));
    }
    let mut lines = Vec::new();
    let mut all = Streamed::default();
    while let Some(ended) = streams.join_next().await {
        let (line, streamed) = ended??;
        lines.push(line);
        all.took.extend(streamed.took);
        all.lost += streamed.lost;
    }
    Ok((lines, all))
}

/// When a stream's next message is due, and when each was sent.
struct Pace {
    due: Instant,
    interval: Duration,
    end: Instant,
    sent_at: Vec<Instant>,
}

impl Pace {
    fn new(begin: Instant, interval: Duration, length: Duration) -> Self {
        Self { due: begin, interval, end: begin + length, sent_at: Vec::with_capacity(16 * 1024) }
    }

    fn is_over(&self) -> bool {
        self.due >= self.end
    }

    /// Notes that a message is sent at this moment, and gives its number.
    fn send(&mut self) -> usize {
        self.due += self.interval;
        self.sent_at.push(Instant::now());
        self.sent_at.len() - 1
    }

    /// What to wait for: the next message or, after the last, the end of the drain.
    fn next(&self) -> Instant {
        if self.is_over() { self.end + DRAIN } else { self.due }
    }

    fn is_drained(&self) -> bool {
        Instant::now() >= self.end + DRAIN
    }
}

/// Streams candidates from the caller to the callee.
async fn candidates(mut line: Line, mut pace: Pace) -> Result<(Line, Streamed), Failure> {
    let mut took = Vec::with_capacity(pace.sent_at.capacity());
    let Line { pair, call_id } = &mut line;
    // Waits on the callee, on the caller, and on the moment the next message is due.
    while !pace.is_over() || (took.len() < pace.sent_at.len() && !pace.is_drained()) {
        tokio::select! {
            packet = pair.callee.receive() => {
                if let Packet::Event { name: "ice_candidate", body } = Packet::parse(&packet?)
                    && let Some(sent_at) = Candidates::number(body).and_then(|number| pace.sent_at.get(number))
                {
                    took.push(sent_at.elapsed());
                }
            }
            packet = pair.caller.receive() => { packet?; }
            () = sleep_until(pace.next()) => if !pace.is_over() {
                let number = pace.send();
                pair.caller.send(pair.frames.from_caller.of(call_id, number)).await?;
            }
        }
    }
    let lost = u32::try_from(pace.sent_at.len() - took.len())?;
    Ok((line, Streamed { took, lost }))
}

/// Streams as many messages of the same size through a bare TCP echo in a thread of this process.
async fn echo(warm_up: Duration, window: Duration) -> Result<Vec<Duration>, Failure> {
    let size =
        crate::frames::Frames::between("caller-0", "callee-0").from_caller.of(&uuid::Uuid::nil().to_string(), 0).len();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    // Ends when the client below is dropped, and with it the connection.
    let server = thread::spawn(move || serve_echo(&listener, size));
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut took = Vec::new();
    for length in [warm_up, window] {
        took = echo_window(&mut stream, size, length).await?;
    }
    drop(stream);
    server.join().map_err(|_| "the echo panicked")??;
    Ok(took)
}

async fn echo_window(stream: &mut TcpStream, size: usize, length: Duration) -> Result<Vec<Duration>, Failure> {
    let mut pace = Pace::new(Instant::now(), Duration::from_secs(1) / RATE, length);
    let (mut message, mut echoed) = (vec![0; size], vec![0; size]);
    let mut took = Vec::with_capacity(pace.sent_at.capacity());
    while !pace.is_over() {
        sleep_until(pace.next()).await;
        let number = pace.send();
        message[..8].copy_from_slice(&number.to_le_bytes());
        stream.write_all(&message).await?;
        timeout(DRAIN, stream.read_exact(&mut echoed)).await??;
        took.push(pace.sent_at[number].elapsed());
    }
    Ok(took)
}

fn serve_echo(listener: &TcpListener, size: usize) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut message = vec![0; size];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message)?;
    }
    Ok(())
}
