//! Calls that nobody answers, in a Redis that holds a million keys of others: how long after its deadline each call is said
//! to have timed out. With expiry notifications of Redis off and on; and with the node that took all the calls killed while
//! they ring, when the callees are at another node and the callers come there with the same device.
//!
//! The deadline is the server's time stamp in `incoming_call` plus the ring time-out; generator and servers share a clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::Failure;
use crate::client::{Client, Packet, number_field, text_field};
use crate::frames::INITIATE;
use crate::options::Options;
use crate::pair::{Pair, accepted};
use crate::report::Better::{Lower, Neither};
use crate::report::{Column, Table, ms, quantile_ms};
use crate::subject::{Consumed, Plan, Subject};

const RING_TIMEOUT: Duration = Duration::from_secs(2);
/// Over how long the calls are spread. Where their node is killed all ring at that moment.
const SPREAD: Duration = Duration::from_secs(10);
const QUICK_SPREAD: Duration = Duration::from_secs(4);
const SPREAD_BEFORE_KILL: Duration = Duration::from_millis(1_500);
const RING_DEADLINE: Duration = Duration::from_secs(5);
/// After its deadline: of a call that has not timed out by then, the parties are never told.
const GRACE: Duration = Duration::from_secs(5);
/// After a time-out: for a second one, which should not come.
const LINGER: Duration = Duration::from_secs(1);
const USUAL_RUNS: u16 = 1;

#[derive(Clone, Copy)]
struct Circumstances {
    notifications: bool,
    killed: bool,
}

impl Circumstances {
    const ALL: [Self; 4] = [
        Self { notifications: false, killed: false },
        Self { notifications: true, killed: false },
        Self { notifications: false, killed: true },
        Self { notifications: true, killed: true },
    ];

    fn title(self) -> String {
        let notifications = if self.notifications { "on" } else { "off" };
        let killed = if self.killed { ", the node that took the calls killed while they ring" } else { "" };
        format!("notifications {notifications}{killed}")
    }
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let (calls, keys) = (options.calls(), options.keys());
    let mut tables = Circumstances::ALL.map(|circumstances| {
        Table::new(format!("deadlines: {calls} unanswered calls beside {keys} keys, {}", circumstances.title()))
    });
    for run in 0..options.runs(USUAL_RUNS) {
        for column in options.columns_of_several() {
            for (circumstances, table) in Circumstances::ALL.into_iter().zip(&mut tables) {
                println!("deadlines, run {}: {}, {}", run + 1, column.name(), circumstances.title());
                let mut plan = options.plan_of_several(column);
                plan.settings.push(("CALL_RING_TIMEOUT", RING_TIMEOUT.as_millis().to_string()));
                if circumstances.notifications {
                    plan.redis_arguments.extend(["--notify-keyspace-events", "Ex"]);
                }
                let spread = if circumstances.killed {
                    SPREAD_BEFORE_KILL
                } else if options.quick {
                    QUICK_SPREAD
                } else {
                    SPREAD
                };
                let (told, consumed) = observe(&plan, keys, calls, spread, circumstances.killed).await?;
                told.enter(column, table, &consumed);
            }
        }
    }
    tables.iter().for_each(Table::print);
    Ok(())
}

async fn observe(
    plan: &Plan,
    keys: u32,
    calls: u32,
    spread: Duration,
    killed: bool,
) -> Result<(Told, Consumed), Failure> {
    let mut subject = Subject::start(plan).await?;
    subject.redis()?.fill(keys).await?;
    let nodes = subject.addresses();
    let mut pairs = Vec::new();
    for number in 0..calls {
        // An even number in two nodes: all callers at the one that is to be killed, all callees at the next.
        let (nodes, pair) = if killed { (&nodes[..2], 2 * number) } else { (&nodes[..], number) };
        pairs.push(Pair::register(nodes, pair).await?);
    }

    let before = subject.read().await?;
    let (ringing, mut rung) = mpsc::channel::<()>(1);
    let (kill, killing) = watch::channel(false);
    let begin = Instant::now();
    let mut calling = JoinSet::new();
    for (number, pair) in (0..calls).zip(pairs) {
        let due = begin + spread * number / calls;
        let refuge = killed.then(|| Refuge { node: nodes[1], pair: 2 * number, killing: killing.clone() });
        calling.spawn(unanswered(pair, due, refuge, ringing.clone()));
    }
    drop(ringing);
    // Nothing is ever sent: this ends when each call rings or has failed to.
    let _ = rung.recv().await;
    if killed {
        subject.kill(1)?;
        kill.send_replace(true);
    }
    // What the killed node consumed is not known.
    let before = if killed { subject.read().await? } else { before };
    let mut told = Told::default();
    while let Some(call) = calling.join_next().await {
        told.add(call?);
    }
    let consumed = subject.read().await?.since(&before);
    Ok((told, consumed))
}

/// Where a caller goes when its node is dead.
struct Refuge {
    node: SocketAddr,
    pair: u32,
    killing: watch::Receiver<bool>,
}

impl Refuge {
    /// Waits until the node is dead, and comes with the same device.
    async fn come(mut self) -> Result<Client, Failure> {
        self.killing.wait_for(|killed| *killed).await?;
        Client::registered(self.node, &format!("caller-{}", self.pair), 2 * self.pair).await
    }
}

/// What the two of a call were told, by the time since the epoch.
struct Unanswered {
    deadline: Duration,
    caller: Vec<TimedOut>,
    callee: Vec<TimedOut>,
}

/// A `call_timeout`.
struct TimedOut {
    arrived: Duration,
    /// When the server decided it, where it says so.
    decided: Option<Duration>,
}

/// Lets a call ring when it is due. `ringing` is dropped as soon as it does, or has failed to.
async fn unanswered(
    pair: Pair,
    due: Instant,
    refuge: Option<Refuge>,
    ringing: mpsc::Sender<()>,
) -> Result<Unanswered, Failure> {
    sleep_until(due).await;
    let Pair { mut caller, mut callee, frames } = pair;
    caller.send(frames.initiate).await?;
    let begun = timeout(RING_DEADLINE, async { tokio::try_join!(begun(&mut caller), rung(&mut callee)) }).await;
    let (call_id, rung) = begun.map_err(|_| "does not ring in time")??;
    drop(ringing);
    let end = Instant::now() + RING_TIMEOUT + GRACE;
    let caller_hears = async {
        if let Some(refuge) = refuge {
            caller = refuge.come().await?;
        }
        timed_out(&mut caller, &call_id, end).await
    };
    let (caller, callee) = tokio::try_join!(caller_hears, timed_out(&mut callee, &call_id, end))?;
    Ok(Unanswered { deadline: rung + RING_TIMEOUT, caller, callee })
}

/// The id of the call that the caller has begun.
async fn begun(caller: &mut Client) -> Result<String, Failure> {
    loop {
        let packet = caller.receive().await?;
        if let Packet::Ack { id: INITIATE, body } = Packet::parse(&packet) {
            accepted("call_initiate", body)?;
            return Ok(text_field(body, "callId").ok_or("an ack without a callId")?.to_owned());
        }
    }
}

/// When the call began, by the server's clock.
async fn rung(callee: &mut Client) -> Result<Duration, Failure> {
    loop {
        let packet = callee.receive().await?;
        if let Packet::Event { name: "incoming_call", body } = Packet::parse(&packet) {
            return Ok(time_stamp(body).ok_or("an incoming_call without a timestamp")?);
        }
    }
}

/// Every `call_timeout` of the call until `end`, or until some time after the first.
async fn timed_out(client: &mut Client, call_id: &str, mut end: Instant) -> Result<Vec<TimedOut>, Failure> {
    let mut heard = Vec::new();
    while let Ok(packet) = timeout_at(end, client.receive()).await {
        if let Packet::Event { name: "call_timeout", body } = Packet::parse(&packet?)
            && text_field(body, "callId") == Some(call_id)
        {
            heard.push(TimedOut { arrived: SystemTime::now().duration_since(UNIX_EPOCH)?, decided: time_stamp(body) });
            end = end.min(Instant::now() + LINGER);
        }
    }
    Ok(heard)
}

fn time_stamp(body: &str) -> Option<Duration> {
    number_field(body, "timestamp").map(Duration::from_millis)
}

/// What became of all calls; times after their deadlines.
#[derive(Default)]
struct Told {
    callers: Vec<Duration>,
    callees: Vec<Duration>,
    decided: Vec<Duration>,
    never: u32,
    twice: u32,
    early: u32,
    failures: BTreeMap<String, u32>,
}

impl Told {
    fn add(&mut self, call: Result<Unanswered, Failure>) {
        let Unanswered { deadline, caller, callee } = match call {
            Ok(call) => call,
            Err(error) => return *self.failures.entry(error.to_string()).or_default() += 1,
        };
        for (heard, late) in [(&caller, &mut self.callers), (&callee, &mut self.callees)] {
            match heard.first() {
                None => self.never += 1,
                Some(first) => {
                    late.push(first.arrived.saturating_sub(deadline));
                    self.decided.extend(first.decided.map(|decided| decided.saturating_sub(deadline)));
                    self.early += u32::from(first.arrived < deadline);
                }
            }
            self.twice += u32::from(heard.len() > 1);
        }
    }

    fn enter(mut self, column: Column, table: &mut Table, consumed: &Consumed) {
        let told = [
            (&mut self.callers, ["told the caller p50, ms", "told the caller p99, ms", "told the caller max, ms"]),
            (&mut self.callees, ["told the callee p50, ms", "told the callee p99, ms", "told the callee max, ms"]),
            (&mut self.decided, ["decided p50, ms", "decided p99, ms", "decided max, ms"]),
        ];
        for (late, rows) in told {
            for (row, per_mille) in rows.into_iter().zip([500, 990, 1000]) {
                if !late.is_empty() {
                    table.add(column, row, 1, Lower, quantile_ms(late, per_mille));
                }
            }
        }
        table.add(column, "parties not told within 5 s", 0, Neither, f64::from(self.never));
        table.add(column, "parties told twice", 0, Neither, f64::from(self.twice));
        table.add(column, "parties told early", 0, Neither, f64::from(self.early));
        table.add(column, "calls failed", 0, Neither, f64::from(self.failures.values().sum::<u32>()));
        if let Some(redis) = &consumed.redis {
            let per_second = ms(redis.cpu) / consumed.elapsed.as_secs_f64();
            table.add(column, "Redis CPU per second, ms", 2, Lower, per_second);
        }
        table.add(column, "cores busy with something else", 2, Neither, consumed.others);
        for (why, times) in self.failures.iter().take(5) {
            println!("  {times} calls of {} failed: {why}", column.name());
        }
    }
}
